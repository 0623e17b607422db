"""The newest heartbeat of each member, and since when that member is known to have lived.

An own heartbeat that comes back echoed proves that its sender lived after it was made, by the
enclave's own monotonic clock: no host can make a member look fresher than it is, whatever it holds
back, repeats or reorders (threats R8 and R16). `fresh` is what signing asks for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from grail.crypto.schnorr import KeyPair
from grail.errors import SignatureInvalid
from grail.operators.messages import BestHeader
from grail.roster.heartbeat import ECHO, Heartbeat
from grail.roster.signed import Ground
from grail.types import XOnlyKey

FRESH_SECONDS: Final = 60.0
"""How old a quorum's newest signs of life may be while an enclave signs."""
REMEMBERED: Final = 256
"""Own heartbeats that may still be echoed; at one every two seconds, eight minutes of them."""


@dataclass
class Pulse:
    """Of the members of the agreed state `number` (-1: none yet) with digest `state`, by rank.

    `clock` gives seconds that never fall; `leaving` is what the own heartbeats say of it.
    """

    ground: Ground
    own: XOnlyKey
    clock: Callable[[], float]
    members: Sequence[XOnlyKey] = ()
    number: int = -1
    state: bytes = bytes(32)
    _newest: dict[XOnlyKey, Heartbeat] = field(default_factory=dict)
    _sent: OrderedDict[bytes, float] = field(default_factory=OrderedDict)
    _alive: dict[XOnlyKey, float] = field(default_factory=dict)
    _seated: dict[XOnlyKey, float] = field(default_factory=dict)
    _count: int = 0
    leaving: bool = False

    def beat(self, keys: KeyPair, instance: int, best: BestHeader) -> Heartbeat:
        """Make the next own heartbeat, and take it. Raises `InvalidInput` for another's key."""
        self._count += 1
        echoes = b"".join(map(self._echo, self.members))
        made = Heartbeat(keys.public, instance, self._count, self.number, self.state, best, echoes)
        signed = replace(made, leaving=self.leaving).signed(keys, self.ground)
        self._newest[self.own] = signed
        self._sent[self._name(signed)] = self.clock()
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
        return signed

    def take(self, heartbeat: Heartbeat) -> bool:
        """Learn a heartbeat: whether it is newer than what was known.

        Raises `SignatureInvalid` unless a member of the roster signed it.
        """
        key = heartbeat.key
        if key not in self.members:
            if heartbeat.number != self.number:
                return False  # a member of a state that is over, or not known here yet
            raise SignatureInvalid(f"heartbeat: {key} has no seat")
        known = self._newest.get(key)
        if key == self.own or (known is not None and known.age >= heartbeat.age):
            return False
        heartbeat.verify(self.ground)
        self._newest[key] = heartbeat
        # Ranks are those of the sender's state: of another one they name others.
        if (heartbeat.number, heartbeat.state) == (self.number, self.state):
            made = self._sent.get(heartbeat.echo(self._rank))
            if made is not None:
                self._alive[key] = max(made, self._alive.get(key, made))
        return True

    def follow(self, number: int, state: bytes, members: Sequence[XOnlyKey]) -> None:
        """Another state was agreed on; who has no seat in it is forgotten."""
        self.number, self.state, self.members = number, state, tuple(members)
        for known in (self._newest, self._alive, self._seated):
            for key in [key for key in known if key not in self.members]:
                del known[key]
        now = self.clock()
        for key in self.members:
            self._seated.setdefault(key, now)

    def age(self, key: XOnlyKey) -> float | None:
        """Seconds since which a member is known to have lived at least once; None: never seen."""
        if key == self.own:
            return 0.0
        alive = self._alive.get(key)
        return None if alive is None else self.clock() - alive

    def silence(self, key: XOnlyKey) -> float:
        """Seconds since which nothing shows that a member lives: one never seen, since it is one.

        By the own clock alone: no date, and nothing that a host brings late, shortens or adds to it
        (threat R16).
        """
        age = self.age(key)
        return self.clock() - self._seated.get(key, self.clock()) if age is None else age

    def newest(self, key: XOnlyKey) -> Heartbeat | None:
        """The newest heartbeat of a member."""
        return self._newest.get(key)

    def alive(self, seconds: float = FRESH_SECONDS) -> frozenset[XOnlyKey]:
        """The members, this one included, that lived within so many seconds."""
        ages = {key: self.age(key) for key in self.members}
        return frozenset(key for key, age in ages.items() if age is not None and age <= seconds)

    # For gossip.

    def ages(self) -> bytes:
        """Instance and count of each member's newest heartbeat, by rank: 8 bytes each."""
        return b"".join(
            b"".join(part.to_bytes(4, "little") for part in self._age(key)) for key in self.members
        )

    def newer(self, ages: bytes, most: int) -> tuple[Heartbeat, ...]:
        """What another lacks, whose heartbeats have these ages; of at most so many bytes."""
        found: list[Heartbeat] = []
        for rank, key in enumerate(self.members):
            known = self._newest.get(key)
            theirs = ages[8 * rank : 8 * rank + 8].ljust(8, b"\x00")
            age = int.from_bytes(theirs[:4], "little"), int.from_bytes(theirs[4:], "little")
            if known is None or known.age <= age:
                continue
            most -= len(known.echoes) + 250
            if most < 0:
                break
            found.append(known)
        return tuple(found)

    @property
    def _rank(self) -> int:
        """The own rank; without a seat one that nothing is echoed at."""
        return self.members.index(self.own) if self.own in self.members else len(self.members)

    def _age(self, key: XOnlyKey) -> tuple[int, int]:
        known = self._newest.get(key)
        return (0, 0) if known is None else known.age

    @staticmethod
    def _name(heartbeat: Heartbeat) -> bytes:
        # Of the signature, which is another each time: two instances of one key, made alike by
        # whoever owns them, may say the very same, and an echo of the one's words proves nothing to
        # the other.
        return heartbeat.signature[:ECHO]

    def _echo(self, key: XOnlyKey) -> bytes:
        known = self._newest.get(key)
        return bytes(ECHO) if known is None or key == self.own else self._name(known)
