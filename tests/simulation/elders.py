"""The judge of the roster's part: what every enclave may know at most, and whom it may blame.

It sees who spoke when, and which bytes went from whom to whom. A message tells no more than its
sender knew when it was made, so `Sight` says of each member when it lived at the latest, as far as
word of it can have come through: no host, clock or repetition makes that younger. It reads no
heartbeat.

    I7   whoever is linked with, counted or believed has a seat, and its papers are in order
    I7   one agreed state for each number, everywhere; no enclave goes back to an older one
    I7   blamed are those that gave two words for one number, and nobody else
    I7   no member looks younger than it can be known to be; who is cut off votes for nothing new
    I7   after the last fault all views are equal, within `ROUNDS` rounds of exchanges
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from grail.types import XOnlyKey
from simulation.unsafe import Unsafe

ROUNDS = 20
"""Rounds of exchanges after the last fault; in each every host begins one with a peer of its own."""
TOLERANCE = 0.002
"""Seconds: ages are shown in milliseconds."""

Pcrs = Mapping[int, bytes]

Word = tuple[XOnlyKey, int, int, int]
"""Key, number, round and step: what a member has one state for."""


@dataclass
class Sight:
    """When each member lived at the latest, in true seconds, as far as one instance can know."""

    who: str
    lived: dict[XOnlyKey, float] = field(default_factory=dict)
    number: int = -1

    def lives(self, key: XOnlyKey, now: float) -> None:
        """The instance itself was asked for a sign of life."""
        self.lived[key] = now

    def told(self, known: Mapping[XOnlyKey, float]) -> None:
        """A message came from one that knew this when it was made."""
        for key, when in known.items():
            if when > self.lived.get(key, -inf):
                self.lived[key] = when

    def alive(self, since: float) -> int:
        """How many members can be known to have lived since then."""
        return sum(when >= since for when in self.lived.values())


@dataclass
class Elders:
    """What was seen so far; each method looks at one more thing and raises `Unsafe`.

    `accepted` is what a document says of the one build that may run.
    """

    members: frozenset[XOnlyKey]
    accepted: Pcrs
    agreed: dict[int, bytes] = field(default_factory=dict)
    spoken: defaultdict[Word, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    liars: set[XOnlyKey] = field(default_factory=set)

    def spoke(self, word: Word, state: bytes) -> None:
        """A key signed this. Who gave two words where it has one is a liar, whoever made it."""
        self.spoken[word].add(state)
        if len(self.spoken[word]) > 1:
            self.liars.add(word[0])

    def holds(self, sight: Sight, number: int, state: bytes) -> None:
        """An instance takes this state for the newest one that was agreed on."""
        if number < sight.number:
            raise Unsafe(f"I7: {sight.who}: from state {sight.number} back to {number}")
        sight.number = number
        if number >= 0 and self.agreed.setdefault(number, state) != state:
            raise Unsafe(f"I7: {sight.who}: another state {number} than others have agreed on")

    def blames(self, who: str, guilty: Iterable[XOnlyKey]) -> None:
        """An instance takes these for proven liars."""
        framed = frozenset(guilty) - self.liars
        if framed:
            raise Unsafe(f"I7: {who}: {len(framed)} framed, among them {min(framed)}")

    def linked(self, who: str, peers: Mapping[XOnlyKey, Pcrs]) -> None:
        """An instance has open links with these, whose documents said that this runs there."""
        for key, pcrs in peers.items():
            if key not in self.members:
                raise Unsafe(f"I7: {who}: linked with {key}, which has no seat")
            if pcrs != self.accepted:
                raise Unsafe(f"I7: {who}: linked with {key}, whose code is another")

    def seen(self, sight: Sight, ages: Mapping[XOnlyKey, float], now: float) -> None:
        """An instance takes members to have lived so many true seconds ago."""
        for key, age in ages.items():
            if now - age > sight.lived.get(key, -inf) + TOLERANCE:
                raise Unsafe(
                    f"I7: {sight.who}: {key} looks alive {age:.3f} s ago, which is too new"
                )

    def votes(self, sight: Sight, window: float, quorum: int, now: float) -> None:
        """An instance voted for something new; a sign of life is good for so many true seconds."""
        alive = sight.alive(now - window - TOLERANCE)
        if alive < quorum:
            raise Unsafe(f"I7: {sight.who}: votes while it can know of {alive} living members")

    def equal(self, views: Mapping[str, bytes], rounds: float) -> bool:
        """Whether these views are equal; they have to be after so many rounds."""
        same = len(set(views.values())) <= 1
        if not same and rounds > ROUNDS:
            raise Unsafe(f"I7: views differ {rounds:.0f} rounds after the last fault")
        return same

    def complete(
        self, number: int, wanted: int, guilty: Collection[XOnlyKey], rounds: float
    ) -> bool:
        """Whether all that the hosts wanted is agreed on, and each liar is known for one."""
        done = number >= wanted and self.liars <= frozenset(guilty)
        if not done and rounds > ROUNDS:
            missing = len(self.liars - frozenset(guilty))
            raise Unsafe(f"I7: state {number} of {wanted} agreed on, {missing} liars not known")
        return done
