"""Pages that repeat the code say what the code says."""

from __future__ import annotations

import inspect
import re
import traceback
from pathlib import Path

import command_line
import pytest

from grail import errors
from grail.attestation import form
from grail.commands.terminal import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.docs


def documented_tree() -> dict[str, tuple[str, ...]]:
    """The classes of the module's docstring, each with the bases that its place and note name."""
    found: dict[str, tuple[str, ...]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        row = re.fullmatch(r"( *)([A-Z]\w+)(?: \((\w+)\))?  +\S.*", line)
        if row is None:
            continue
        depth, name, also = len(row[1]), row[2], row[3]
        above = [(d, n) for d, n in above if d < depth]
        parent = above[-1][1] if above else "Exception"
        found[name] = (parent, *([also] if also else []))
        above.append((depth, name))
    return found


def test_tree_of_errors_is_that_of_the_code() -> None:
    classes = {
        name: tuple(base.__name__ for base in found.__bases__)
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, errors.GrailError)
    }
    assert documented_tree() == classes


def test_page_of_errors_shows_the_tree_of_the_code() -> None:
    page = (DOCS / "errors.md").read_text()
    tree = (errors.__doc__ or "").split("\n\n", 1)[1].strip()
    assert f"```\n{tree}\n```" in page
    named = set(re.findall(r"`([A-Z]\w+)`", page))
    assert named <= set(documented_tree()), "the page names an error that is none"


def test_page_of_errors_has_the_exit_codes_of_the_command() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)`", (DOCS / "errors.md").read_text(), re.MULTILINE))
    assert rows == {str(code): kind.__name__ for kind, code in EXIT_CODES}


def test_page_of_the_command_is_what_it_prints() -> None:
    assert command_line.PAGE.read_text() == command_line.page(command_line.all_helps()), (
        "make cli-page"
    )


def test_page_of_attestation_names_every_check() -> None:
    sources = (ROOT / "sdk" / "grail" / "attestation").glob("*.py")
    raised = r'AttestationInvalid\(\s*"(\w+)"'
    rules = {rule for path in sources for rule in re.findall(raised, path.read_text())}
    rules |= {rule for _, rule in form._RULES}
    rows = re.findall(
        r"^\| .* \| ([\w, ]+) \|$", (DOCS / "attestation.md").read_text(), re.MULTILINE
    )
    named = {rule for row in rows for rule in row.split(", ") if re.fullmatch(r"[A-Z]\w+", rule)}
    assert named == rules


def test_page_of_links_names_every_check() -> None:
    sources = [
        *(ROOT / "sdk" / "grail" / "links").glob("*.py"),
        ROOT / "enclave" / "grail_enclave" / "society.py",  # whom an enclave lets in
    ]
    raised = {
        rule
        for path in sources
        for rule in re.findall(r'LinkInvalid\(\s*"(\w+)"', path.read_text())
    }
    page = (DOCS / "links.md").read_text()
    rows = re.findall(r"^\| ([A-Z]\w+(?:, \w+)*) \|", page, re.MULTILINE)
    named = {rule for row in rows for rule in row.split(", ")}
    assert named == raised | {"NotMember"}


def test_hint_is_shown_by_a_traceback() -> None:
    error = errors.Unavailable("it is away", hint="wait")
    assert traceback.format_exception_only(error)[-1] == "hint: wait\n"
    error.hint = "come back later"
    assert traceback.format_exception_only(error)[-1] == "hint: come back later\n"
    assert len(traceback.format_exception_only(errors.Unavailable("it is away"))) == 1


def test_index_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)\)", (DOCS / "index.md").read_text()))
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert pages <= linked
    assert "decisions/README.md" in linked
    examples = {f"../examples/{path.name}" for path in (ROOT / "examples").glob("*.py")}
    assert examples - linked == {"../examples/books.py"}, "a part of the demo, not one by itself"


def test_index_of_decisions_links_each() -> None:
    page = (DOCS / "decisions" / "README.md").read_text()
    for decision in sorted((DOCS / "decisions").glob("0*.md")):
        assert f"({decision.name})" in page, decision.name
