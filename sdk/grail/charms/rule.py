"""What a rule is: a name, the threats it answers, and a check that raises.

Rules are values in an ordered tuple, so that a trace can name them, a test can leave one out and
see what it guarded, and an operator's configuration can commit to their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from grail.charms.case import Case
from grail.errors import SpellIncorrect


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its refusal's name, the ids of the threats that it answers, and the check.

    `check` raises `SpellIncorrect` with this name, and returns nothing.
    """

    name: str
    threats: tuple[str, ...]
    check: Callable[[Case], None]


def rule(name: str, *threats: str) -> Callable[[Callable[[Case], None]], Rule]:
    """Make a rule of the function below it."""
    return lambda check: Rule(name, threats, check)


def refuse(name: str, message: str, *, got: object, expected: object) -> NoReturn:
    """Raise the refusal, with what was found and what would have passed."""
    raise SpellIncorrect(name, message, got=str(got)[:200], expected=str(expected)[:200])
