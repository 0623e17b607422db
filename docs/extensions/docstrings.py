"""Docstrings as they are written: what is set off by four spaces is code, to the letter.

So is a table, which has columns in its first line. A name's docstring has no type in front of a
colon, as napoleon would have it: an empty comment in front tells it so.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

CODE = " " * 4
COLUMNS = re.compile(r"\S {3,}\S")
NAMES = {"attribute", "data", "property"}


def tables_set_off(lines: list[str]) -> list[str]:
    """The lines, those of tables four spaces in."""
    moved: list[str] = []
    inside = False
    for line in lines:
        begins = not moved or not moved[-1]
        inside = bool(line) and (inside or (begins and bool(COLUMNS.search(line))))
        moved.append(CODE + line if inside else line)
    return moved


def mark_code(
    _app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Put the mark of a literal block before each such block."""
    marked: list[str] = ["..", ""] if what in NAMES else []
    inside = False
    for line in tables_set_off(lines):
        starts = line.startswith(CODE) and marked and not marked[-1]
        if starts and not inside:
            marked += ["::", ""]
        inside = (inside or bool(starts)) if line.startswith(CODE) or not line else False
        marked.append(line)
    lines[:] = marked


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls; before napoleon, which reads the sections."""
    app.connect("autodoc-process-docstring", mark_code, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
