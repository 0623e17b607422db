"""What a rule is, when it runs, and the refusal that a broken rule of the spell becomes."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from grail.errors import Refused, SpellIncorrect
from grail_enclave.case import Case


class Stage(Enum):
    """What is asked for. A forced vote repeats no check that depends on time (ROUNDS rule 3)."""

    ADMIT = "admit"
    """A first vote, an opening or a promise: everything."""
    FORCED = "forced"
    """A vote that promises allow."""
    SIGN = "sign"
    """Signatures after a decision."""


ALWAYS = frozenset(Stage)
FIRST = frozenset({Stage.ADMIT})


class Rule(Protocol):
    """One rule: the refusal's name, its step, the threats it answers, when it runs, the check."""

    @property
    def name(self) -> str:
        """The refusal's name in the protocol; it stands in the configuration digest."""

    @property
    def step(self) -> int:
        """The step of section 9."""

    @property
    def threats(self) -> tuple[str, ...]:
        """Ids of the threats that it answers."""

    @property
    def stages(self) -> frozenset[Stage]:
        """When it runs."""

    def check(self, case: Case) -> object:
        """What the rule establishes. Raises `Refused`."""


def refused(exc: SpellIncorrect) -> Refused:
    """The refusal that a broken rule of the spell becomes."""
    return Refused(exc.rule, exc.detail, got=exc.got, expected=exc.expected)
