"""Prints every refusal with its attack, into docs/refusals.md."""

from __future__ import annotations

import sys
from pathlib import Path

# The packages first: beside `tests`, `tests/grail` would stand for `grail`.
REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / folder) for folder in ("sdk", "enclave", "devnet", "tests")]

from socket_attacks import attacks_of_all_steps
from socket_attacks.names import EXCEPTED, ROOT
from socket_attacks.registry import Attack

PAGE = ROOT / "docs" / "refusals.md"

HEAD = """# Refusals and the attacks that they answer

Made by `python tests/socket_attacks/page.py` from `tests/socket_attacks`. Each attack is bytes sent
to an enclave's socket. With all rules the enclave refuses them, signed, by the name given. With
that one rule out the same bytes get a vote or signatures, so nothing else stood in their way.
Where the name has a star the rule is about what an enclave remembers or who it is, and it stays:
the same bytes pass at one that has no such memory, or is the operator that they are for.
Where another defence stands behind it on purpose, the second table says which and why.

| refusal | attack | who would gain what | threats |
|---|---|---|---|
"""

BEHIND = """
Defences behind another one:

| refusal | attack | would also be refused by | since |
|---|---|---|---|
"""

REST = """
Names without an attack:

| name | reason |
|---|---|
"""


def page() -> str:
    """The whole page."""
    attacks = attacks_of_all_steps()
    rows = [
        f"| {_rule(each)} | {_text(each.title)} | {each.gains} | {', '.join(each.threats)} |"
        for each in attacks
    ]
    behind = [
        f"| {each.rule} | {_text(each.title)} | {other.rule} | {other.reason} |"
        for each in attacks
        for other in each.behind
    ]
    rest = [f"| {name} | {reason} |" for name, reason in sorted(EXCEPTED.items())]
    parts = (HEAD, *rows, BEHIND.rstrip("\n"), *behind, REST.rstrip("\n"), *rest)
    return "\n".join((parts[0].rstrip("\n"), *parts[1:])) + "\n"


def _rule(attack: Attack) -> str:
    """The name, with a star where the rule is not what is taken out."""
    removal = attack.removal
    return attack.rule + ("" if removal.state and removal.index is None else " *")


def _text(title: str) -> str:
    return title.replace("_", " ")


if __name__ == "__main__":
    PAGE.write_text(page())
