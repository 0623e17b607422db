"""A member's wish or word for a state of the roster, and the proof that a member gave two.

    signature over H("grail/roster/statement/1",
                     NET || [configuration, key, number, round, step, state])

In each round of a number (deciding.py) a member has one wish and one word. Two signatures of one
key for the same number, round and step, on different states, prove it guilty to whoever sees them;
nothing else does (threats R5 and R6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from grail.errors import DecodeError, SignatureInvalid
from grail.operators.messages import Fields
from grail.roster.signed import Ground, Signed
from grail.types import XOnlyKey

WISH: Final = 0
"""A member would have this state follow."""
WORD: Final = 1
"""A member was shown that a quorum wishes it: a quorum of words makes it the roster's state."""


@dataclass(frozen=True, slots=True)
class Statement(Signed):
    """`key` wishes state `number` to be the one with digest `state`, or gives its word for it."""

    TAG: ClassVar[str] = "grail/roster/statement/1"

    number: int
    state: bytes
    round: int = 0
    step: int = WORD

    @property
    def ballot(self) -> tuple[XOnlyKey, int, int]:
        """Of what a member has one for each number: (key, round, step)."""
        return self.key, self.round, self.step

    def fields(self) -> list[Any]:
        """[key, number, round, step, state, signature]."""
        said = [bytes(self.key), self.number, self.round, self.step, self.state]
        return [*said, self.signature]

    @classmethod
    def from_fields(cls, value: Any) -> Self:
        """Read what `fields` wrote. Raises `DecodeError`; nothing is verified yet."""
        parts = Fields(value, "statement", 6)
        key, number = XOnlyKey(parts.blob("key", 32)), parts.uint("number", 64)
        round_, step = parts.uint("round", 16), parts.uint("step", 8)
        if step not in {WISH, WORD}:
            raise DecodeError(f"statement: step {step}, expected {WISH} or {WORD}")
        state, signature = parts.blob("state", 32), parts.blob("signature", 64)
        return cls(key, number, state, round_, step, signature=signature)


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two statements of one key for one number, round and step on different states."""

    first: Statement
    second: Statement

    @property
    def culprit(self) -> XOnlyKey:
        """Who signed both."""
        return self.first.key

    def check(self, ground: Ground) -> None:
        """Raise `SignatureInvalid` unless it proves its culprit guilty."""
        one, two = self.first, self.second
        if (one.ballot, one.number) != (two.ballot, two.number):
            raise SignatureInvalid("equivocation: not one member's words for one number and round")
        if one.state == two.state:
            raise SignatureInvalid("equivocation: both say the same")
        one.verify(ground)
        two.verify(ground)
