"""Progress is shown where somebody looks, and leaves nothing behind."""

from __future__ import annotations

import io
import sys

import pytest

from grail.connection import progress
from grail.connection.progress import CellLine, showing


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


def test_terminal_sees_the_steps_and_an_empty_line_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with showing("swap", 2, shown=True) as step:
        step("prove")
        step("sign")
    written = terminal.getvalue()
    assert "swap: prove" in written
    assert "swap: sign" in written
    assert written.rpartition("\r")[2].strip() == ""
    assert "\n" not in written


@pytest.mark.parametrize("shown", [True, False])
def test_nobody_looks_nothing_is_written(
    capsys: pytest.CaptureFixture[str], *, shown: bool
) -> None:
    with showing("swap", 2, shown=shown) as step:
        step("prove")
    assert capsys.readouterr() == ("", "")


def test_notebook_shows_one_line_and_ends_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    display = pytest.importorskip("IPython.display")
    told: list[object] = []

    class Handle:
        def update(self, data: object, *, raw: bool) -> None:
            told.append((data, raw))

    def shown(data: object, **options: object) -> Handle:
        told.append((data, options))
        return Handle()

    monkeypatch.setattr(display, "display", shown)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    with showing("swap", 2, shown=True) as step:
        step("prove")
        step("sign")
    assert told == [
        ({"text/plain": "swap: prove (1 of 2)"}, {"raw": True, "display_id": True}),
        ({"text/plain": "swap: sign (2 of 2)"}, True),
        ({}, True),
    ]


def test_line_that_was_never_shown_closes_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    CellLine().close()
    assert capsys.readouterr() == ("", "")
