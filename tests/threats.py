"""The threat table: which id, which tests, which defences are switched off; into docs/threats.md.

A test carries the ids of its threats in its name (`test_S10_headers_without_work`, or
`test_S13_S14_proofs`); its docstring, or its name, says what it shows. Ids are those of the threat
model. `tests/defences` has the defences.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from defences.defence import LETTERS, issue_rows
from defences.run import DEFENCES

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"test_((?:[A-Z]\d+_)+)(\w+)")
HEAD = """# Threats and their tests

Made by `make threats` from the tests' names; a test of threat S10 is called `test_S10_...`.
[security.md](security.md) says what the letters stand for and what is trusted. `make nightly` takes out
each defence, one at a time, and sees its test fail; the number is how many a threat has.

| threat | defences | test | what it shows |
|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the list that the defences answer: its tests, and how many defences go off."""

    threat: str
    tests: tuple[str, ...]
    defences: int


def tests() -> dict[str, list[tuple[str, str, str]]]:
    """Threat id -> (file, test, what it shows), in order of the files."""
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if match := NAME.match(node.name):
                says = (ast.get_docstring(node) or match[2].replace("_", " ")).splitlines()[0]
                for threat in match[1].strip("_").split("_"):
                    found[threat].append((str(path.relative_to(ROOT)), node.name, says))
    return found


def order(threat: str) -> tuple[str, int]:
    """Letters first, then numbers as numbers."""
    return threat[0], int(threat[1:])


def rows() -> tuple[Row, ...]:
    """The rows of the list, in its order; one without a test has none here either."""
    found, defended = tests(), Counter(entry.threat for entry in DEFENCES)
    return tuple(
        Row(threat, tuple(name for _, name, _ in found.get(threat, ())), defended[threat])
        for threat in issue_rows()
    )


def table() -> str:
    """The whole page."""
    defended = Counter(entry.threat for entry in DEFENCES)
    lines = [
        f"| {threat} | {defended[threat] or ''} | [`{name}`](../{path}) | {says.replace('|', '/')} |"
        for threat, cases in sorted(tests().items(), key=lambda item: order(item[0]))
        for path, name, says in cases
    ]
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    """Write the page; print each row of the list, and how many have a test. 1 when one has none."""
    (ROOT / "docs" / "threats.md").write_text(table())
    listed = rows()
    for row in listed:
        names = ", ".join(row.tests[:2]) + (", ..." if len(row.tests) > 2 else "")
        print(f"{row.threat:4} {len(row.tests):3} tests  {row.defences:2} defences  {names}")
    tested = [row for row in listed if row.tests]
    print(f"threats {', '.join(LETTERS)}: rows with test {len(tested)} of {len(listed)}")
    missing = [row.threat for row in listed if not row.tests or not row.defences]
    if missing:
        print(f"without a test or a defence: {', '.join(missing)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
