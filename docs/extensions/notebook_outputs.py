"""Notebooks are shown as they came out of a run: build/notebooks has the copy of the last one.

In the repository they have no outputs. A copy whose cells are not the notebook's is not shown.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "build" / "notebooks"
"""Where `tests/notebook_run.py` leaves each notebook after a run."""


def cells(text: str) -> list[tuple[str, str]]:
    """What a notebook says, without its outputs."""
    book = nbformat.reads(text, as_version=4)
    return [(cell.cell_type, cell.source) for cell in book.cells]


def outputs(_app: Sphinx, page: str, source: list[str]) -> None:
    """Take the copy that was run. Raises: ExtensionError when it is missing or old."""
    if not page.startswith("notebooks/"):
        return
    copy = RUN.parent / f"{page}.ipynb"
    if not copy.exists() or cells(copy.read_text()) != cells(source[0]):
        raise ExtensionError(f"{page}.ipynb has not been run as it is now: make docs runs it")
    source[0] = copy.read_text()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("source-read", outputs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
