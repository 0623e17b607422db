"""How results show themselves: a text table, and the same as HTML for a notebook.

Every cell of the HTML goes through `html.escape`: names, memos and errors may come from the chain
or from an app's author, and must stay text (threat D5).
"""

from __future__ import annotations

import html
from collections.abc import Sequence

Cell = str | int | None

LONGEST = 70
"""The longest text in a column with others beside it: an outpoint fits, a whole app does not."""


def text_of(cell: Cell) -> str:
    """A cell as text: thousands apart, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return str(cell)


def _numeric(rows: Sequence[Sequence[Cell]], column: int) -> bool:
    return all(isinstance(row[column], int) or row[column] is None for row in rows)


def text_table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Columns under their heads, where these say something; numbers to the right.

    What is too long for a column, such as an app without a name, stands whole below the table.
    """
    notes: dict[str, str] = {}

    def fitted(text: str) -> str:
        return text if len(text) <= LONGEST else notes.setdefault(text, f"[{len(notes) + 1}]")

    head = [fitted(name) for name in head]
    texts = [[*(fitted(text_of(c)) for c in row[:-1]), *map(text_of, row[-1:])] for row in rows]
    widths = [max(len(line[i]) for line in [list(head), *texts]) for i in range(len(head))]
    right = [bool(rows) and _numeric(rows, i) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        parts = [
            cell.rjust(width) if aligned else cell.ljust(width)
            for cell, width, aligned in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(parts).rstrip()

    top = [line(head), line(["-" * width for width in widths])] if any(head) else []
    below = [f"{mark} {text}" for text, mark in notes.items()]
    return "\n".join([*top, *map(line, texts), *below])


def html_table(head: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "") -> str:
    """The same as an HTML table, every text escaped."""
    parts = ["<table>"]
    if caption:
        parts.append(f"<caption>{html.escape(caption)}</caption>")
    if any(head):
        cells = [f"<th>{html.escape(name)}</th>" for name in head]
        parts.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
    parts.append("<tbody>")
    for row in rows:
        cells = []
        for cell in row:
            style = ' style="text-align:right"' if isinstance(cell, int) else ""
            cells.append(f"<td{style}>{html.escape(text_of(cell))}</td>")
        parts.append("<tr>" + "".join(cells) + "</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


class Shown:
    """A result with rows: text and prompt show a table, a notebook the same as HTML."""

    def _title(self) -> str:
        raise NotImplementedError

    def _head(self) -> Sequence[str]:
        raise NotImplementedError

    def _rows(self) -> Sequence[Sequence[Cell]]:
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self._title()}\n{text_table(self._head(), self._rows())}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return html_table(self._head(), self._rows(), self._title())
