"""Tables of transactions that one change each made incorrect, and what is asked of them.

A case is a function that answers a spoiled `Draft`; its name says what was done. It states the
refusal and the threats it stands for, so that each threat's test can collect its own cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pytest
import spellbook as book

from grail.charms.rule import Rule
from grail.errors import SpellIncorrect

OWN_TESTS = frozenset({"TwoSpells", "ForeignSpell", "SpellInvalid", "KeyUnsafe", "ProofInvalid"})
"""Rules without which nothing can be read, or that the spellbook leaves out: tested by themselves."""


@dataclass(frozen=True)
class Spoiled:
    """A case: what is done (the function's name), the refusal, and the threats it stands for."""

    make: Callable[[], book.Draft]
    rule: str
    threats: tuple[str, ...]

    def __str__(self) -> str:
        return self.make.__name__


class Cases:
    """The cases of one test file."""

    def __init__(self) -> None:
        self.all: list[Spoiled] = []

    def add(
        self, rule: str, *threats: str
    ) -> Callable[[Callable[[], book.Draft]], Callable[[], book.Draft]]:
        """Note the function below as a case."""

        def note(make: Callable[[], book.Draft]) -> Callable[[], book.Draft]:
            self.all.append(Spoiled(make, rule, threats))
            return make

        return note

    def of(self, threat: str) -> pytest.MarkDecorator:
        """The cases of one threat, as parameters `spoiled`."""
        found = [entry for entry in self.all if threat in entry.threats]
        assert found, threat
        return pytest.mark.parametrize("spoiled", found, ids=str)

    def rules(self, *modules: ModuleType) -> list[Rule]:
        """The shipped rules that these modules define and that cases can reach."""
        defined = [value for module in modules for value in vars(module).values()]
        return [rule for rule in book.RULES if rule in defined and rule.name not in OWN_TESTS]


def refused(spoiled: Spoiled) -> None:
    """The case is refused by its name, and the refusal says what was got and expected."""
    with pytest.raises(SpellIncorrect) as caught:
        spoiled.make().check()
    assert caught.value.rule == spoiled.rule, caught.value
    assert caught.value.got
    assert caught.value.expected


def needed(cases: Cases, rule: Rule) -> None:
    """Without the rule, one of its cases passes or meets another one: no rule is idle."""
    mine = [entry for entry in cases.all if entry.rule == rule.name]
    assert mine, f"no case for {rule.name}"
    assert any(_outcome(entry.make(), rule) != rule.name for entry in mine)


def _outcome(draft: book.Draft, leave_out: Rule) -> str:
    try:
        draft.check([leave_out])
    except SpellIncorrect as refusal:
        return refusal.rule
    except (IndexError, KeyError):
        return "crash"
    return "passes"
