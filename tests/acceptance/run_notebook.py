"""Runs the notebooks of a folder in the environment of whoever runs this, and checks that they end.

python run_notebook.py FOLDER STATE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jupytext
from nbclient import NotebookClient


def main(folder: Path, state: Path) -> None:
    """Execute each notebook with a state folder of its own."""
    os.environ["XDG_STATE_HOME"] = str(state)
    pages = sorted(folder.glob("*.py")) + sorted(folder.glob("*.ipynb"))
    if not pages:
        raise SystemExit(f"no notebook in {folder}")
    for page in pages:
        notebook = jupytext.read(page)
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
        print(page.name)


main(Path(sys.argv[1]), Path(sys.argv[2]))
