"""Every refusal's name, from the protocol's text and from the code, and those without an attack."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = ROOT / "docs" / "protocol.md"

PACKAGES = (
    ROOT / "sdk" / "grail" / "charms",
    ROOT / "sdk" / "grail" / "operators",
    ROOT / "enclave" / "grail_enclave",
)
OUTSIDE = {"client", "coordinator", "transport", "asking", "signing_job", "report"}
"""Modules of whoever asks enclaves: what they raise is no enclave's answer."""

RAISERS = {
    "Behind",
    "Refused",
    "Rule",
    "SpellIncorrect",
    "Standing",
    "_named",
    "refuse",
    "rule",
}
NAME = re.compile(r"(?:[A-Z][a-z]+){2,}|Busy")
"""A name in a text, where single words are words."""
CAPITALISED = re.compile(r"(?:[A-Z][a-z]+)+")

EXCEPTED = {
    "Unchecked": "no rule as shipped leaves it to a later one: see test_robustness, S35",
    "InternalError": "a fault that nobody foresaw, so nobody can send it: see test_robustness, S35",
    "DepositDepth": "the name of a rule in the configuration; its refusal is NotConfirmed",
    "SpellIncorrect": "the name of a group of rules; each refuses by its own name",
    "InputTooLarge": "what a security module answers its own enclave: see test_nsm",
}
"""Names without an attack, each with the reason."""


def of_the_protocol() -> set[str]:
    """The names in the table of section 9, and those that section 10 adds."""
    text = PROTOCOL.read_text()
    sections = dict(
        re.findall(r"^## (\d+)\. [^\n]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    )
    rows = [line for line in sections["9"].splitlines() if line.startswith("|")]
    table = {name for row in rows for name in NAME.findall(row.split("|")[3])}
    assert len(table) > 40, "section 9 has no table of refusals any more"
    return table | (set(NAME.findall(sections["10"])) & of_the_code())


def of_the_code() -> set[str]:
    """The names that are given to whatever raises or answers a refusal."""
    found: set[str] = set()
    for package in PACKAGES:
        for path in package.glob("*.py"):
            if path.stem not in OUTSIDE:
                found |= _names(ast.parse(path.read_text()))
    return found


def _names(tree: ast.AST) -> set[str]:
    values: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node.func) in RAISERS:
            values += node.args[:1]
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "name":
            values += [node.value] if node.value is not None else []
        elif isinstance(node, ast.Assign) and "name" in ast.unparse(node.targets[0]):
            values += node.value.elts[:1] if isinstance(node.value, ast.Tuple) else [node.value]
        elif isinstance(node, ast.IfExp):
            values += [node.body, node.orelse]
    texts = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    return {text for text in texts if CAPITALISED.fullmatch(text)}


def _called(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
