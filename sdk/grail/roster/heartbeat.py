"""Signs of life: that a member's enclave runs, what it agrees on, and what it heard of others.

    signature over H("grail/roster/heartbeat/1",
                     NET || [configuration, key, instance, count, number, state, leaving, best,
                             echoes])

A host may hold back all that comes to its enclave, and bring it days later: when something arrived
says nothing of when it was said. So each heartbeat echoes the last one heard of every other member
(`echoes`: the first 16 bytes of its signature, by rank; zeros for none), and an enclave that finds
an own heartbeat echoed knows that the sender lived after that one was made (threat R8). A signature
is drawn with fresh randomness: no other instance of the key has said it before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from grail.errors import DecodeError
from grail.operators.messages import BestHeader, Fields
from grail.roster.signed import Signed
from grail.types import XOnlyKey

ECHO: Final = 16
"""Bytes by which a heartbeat is echoed."""
MAX_ECHOES: Final = 999 * ECHO


@dataclass(frozen=True, slots=True)
class Heartbeat(Signed):
    """The `count`-th of instance `instance` of an operator (ROUNDS.md, rule 6): later ones win.

    `leaving`: its operator asks for another roster without this seat. It signs as ever until then.
    """

    TAG: ClassVar[str] = "grail/roster/heartbeat/1"

    instance: int
    count: int
    number: int
    state: bytes
    best: BestHeader
    echoes: bytes
    leaving: bool = False

    @property
    def age(self) -> tuple[int, int]:
        """What rises from each to the next."""
        return self.instance, self.count

    def echo(self, rank: int) -> bytes:
        """What it echoes of the member of this rank; zeros for nothing."""
        return self.echoes[rank * ECHO : (rank + 1) * ECHO]

    def fields(self) -> list[Any]:
        """[key, instance, count, number, state, leaving, best, echoes, signature]."""
        return [
            bytes(self.key),
            self.instance,
            self.count,
            self.number,
            self.state,
            self.leaving,
            self.best.fields(),
            self.echoes,
            self.signature,
        ]

    @classmethod
    def from_fields(cls, value: Any) -> Self:
        """Read what `fields` wrote. Raises `DecodeError`; nothing is verified yet."""
        parts = Fields(value, "heartbeat", 9)
        key, instance = XOnlyKey(parts.blob("key", 32)), parts.uint("instance", 32)
        count, number = parts.uint("count", 32), parts.uint("number", 64)
        state, leaving = parts.blob("state", 32), parts.optional("leaving")
        if type(leaving) is not bool:
            raise DecodeError("heartbeat: leaving is neither true nor false")
        best = BestHeader.from_fields(parts.optional("best header"))
        echoes, signature = parts.blob("echoes", most=MAX_ECHOES), parts.blob("signature", 64)
        return cls(key, instance, count, number, state, best, echoes, leaving, signature=signature)
