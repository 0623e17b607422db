"""Runs a notebook on a network of its own and keeps the copy with its outputs in build/notebooks.

`make test-docs` looks at what it shows; the site shows that same copy. As a program it runs those
notebooks whose copy is missing or old.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
RUN = ROOT / "build" / "notebooks"


def executed(path: Path, folder: Path, copy_to: Path) -> nbformat.NotebookNode:
    """The notebook after a run; the network's private files are copied before it ends.

    Not those of hosts, which hold no secret: a host removes one when it is done with it. Nor the
    enclaves' images, which hold none either, and are large.
    """
    book = nbformat.read(path, as_version=4)
    code = f"import shutil; _ = shutil.copytree(devnet.file.folder, {str(copy_to)!r}, ignore=shutil.ignore_patterns('node', 'run', 'hosts', 'image', 'rogue'))"
    book.cells.insert(len(book.cells) - 1, nbformat.v4.new_code_cell(code))
    client = NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    del book.cells[-2]
    RUN.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, RUN / path.name)
    return book


def cells(path: Path) -> list[tuple[str, str]]:
    """What a notebook says, without its outputs."""
    return [(cell.cell_type, cell.source) for cell in nbformat.read(path, as_version=4).cells]


def refresh() -> None:
    """Run the notebooks whose copy is not of their cells as they are now."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        copy = RUN / path.name
        if not copy.exists() or cells(copy) != cells(path):
            with tempfile.TemporaryDirectory() as folder:
                executed(path, Path(folder), Path(folder) / "kept")


if __name__ == "__main__":
    refresh()
