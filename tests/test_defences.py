"""The list of defences: none of its entries is lost by a change elsewhere, and each row has one."""

from __future__ import annotations

import ast
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest
from defences import run
from defences.defence import ROOT, Defence, Patch, issue_rows
from defences.judging import Verdicts, bare
from defences.run import DEFENCES, chosen
from defences.scratch import replaced

TESTS = ROOT / "tests"


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_the_issues_rows() -> None:
    assert len(issue_rows()) == len(set(issue_rows())) == 137
    assert {"S17", "C15", "Z8", "D5"}.isdisjoint(issue_rows())


def test_every_row_has_a_defence() -> None:
    defended = {entry.threat for entry in DEFENCES}
    assert [row for row in issue_rows() if row not in defended] == []
    assert defended <= set(issue_rows())


@pytest.mark.parametrize("entry", DEFENCES, ids=lambda entry: f"{entry.threat} {entry.place}")
def test_an_entry_says_what_is_there(entry: Defence) -> None:
    """Each snippet stands once in its file, is changed by its patch, and its tests exist.

    Where code moved, write the snippet anew; where a guard is gone, say what took its place.
    """
    for patch in entry.patches:
        text = (ROOT / patch.file).read_text()
        assert replaced(text, patch) != text
        if patch.file.endswith(".py"):
            compile(replaced(text, patch), patch.file, "exec")
    assert entry.tests
    for test in entry.tests:
        path, _, name = bare(test).partition("::")
        assert name in functions(TESTS / path), test


def test_a_row_without_a_defence_is_an_error() -> None:
    with pytest.raises(ValueError, match="Q1"):
        chosen(["Q1"])


def test_a_snippet_must_stand_once() -> None:
    patch = Patch("f.py", "a", "b")
    assert replaced("xax", patch) == "xbx"
    for text in ("x", "aa"):
        with pytest.raises(ValueError, match="expected once"):
            replaced(text, patch)


def test_what_counts_as_red() -> None:
    """A failed assertion does; a broken fixture or import, a missing test, a pass do not."""
    verdicts = Verdicts(passed={"p", "both"}, red={"r", "both"}, broken={"b": "set-up: no"})
    assert verdicts.why_not_red(["r", "both[1]"]) == ""
    assert "passes" in verdicts.why_not_red(["r", "p"])
    assert "set-up" in verdicts.why_not_red(["b"])
    assert "did not run" in verdicts.why_not_red(["x"])
    assert verdicts.why_not_green(["p"]) == ""
    assert "fails" in verdicts.why_not_green(["both"])


class Copy:
    """In the place of a copy of the tree."""

    def __init__(self, _name: str) -> None:
        pass

    def without(self, _patches: object) -> nullcontext[None]:
        return nullcontext()

    def remove(self) -> None:
        pass


def test_what_could_not_be_judged_is_not_red(monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(_scratch: object, tests: list[str], timeout: float = 0) -> Verdicts:
        if not timeout:  # with the defence off
            raise RuntimeError("the report is no XML")
        return Verdicts(passed={bare(test) for test in tests})

    monkeypatch.setattr(run, "Scratch", Copy)
    monkeypatch.setattr(run, "run_tests", judged)
    found = run.switch_off(["S1"])
    assert (found.red, found.rows) == (0, 0)
    assert len(found.survivors) == found.total > 0
    assert "no XML" in found.survivors[0]
