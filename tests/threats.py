"""Prints the threats that have tests, into docs/threats.md: which id, which tests, what each shows.

A test carries the id of its threat in its name (`test_S10_headers_without_work`, or
`test_c19_...`); its docstring, or its name, says what it shows. Ids are those of the threat model.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"test_([A-Z]\d+)_(\w+)")
HEAD = """# Threats and their tests

Made by `make threats` from the tests' names; a test of threat S10 is called `test_S10_...`.
[security.md](security.md) says what the letters stand for and what is trusted.

| threat | test | what it shows |
|---|---|---|
"""


def tests() -> dict[str, list[tuple[str, str, str]]]:
    """Threat id -> (file, test, what it shows), in order of the files."""
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if match := NAME.match(node.name):
                says = (ast.get_docstring(node) or match[2].replace("_", " ")).splitlines()[0]
                found[match[1]].append((str(path.relative_to(ROOT)), node.name, says))
    return found


def order(threat: str) -> tuple[str, int]:
    """Letters first, then numbers as numbers."""
    return threat[0], int(threat[1:])


def table() -> str:
    """The whole page."""
    rows = [
        f"| {threat} | [`{name}`](../{path}) | {says.replace('|', '/')} |"
        for threat, cases in sorted(tests().items(), key=lambda item: order(item[0]))
        for path, name, says in cases
    ]
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    """Write the page and print how many threats have a test."""
    found = tests()
    (ROOT / "docs" / "threats.md").write_text(table())
    count = sum(len(cases) for cases in found.values())
    print(f"threats with a test: {len(found)}, tests: {count}: docs/threats.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
