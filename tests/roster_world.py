"""Members of a roster with their views, and a network between them that does what a seed says.

Keys, signatures and messages are real ones. A check of a signature that one view made is remembered
for the others: a thousand views take a thousand words each.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from grail.bitcoin.addresses import Roster
from grail.crypto.schnorr import NUMS, KeyPair
from grail.operators.messages import BestHeader
from grail.roster.gossip import Gossip
from grail.roster.pulse import Pulse
from grail.roster.signed import Ground
from grail.roster.state import NOTHING, RosterState, Seat
from grail.roster.statement import WISH, Statement
from grail.roster.view import Thing, View
from grail.types import BlockHash

GROUND = Ground(bytes([1]) * 32, bytes([2]) * 32)
IMAGE = tuple(hashlib.sha384(bytes([each])).digest() for each in range(3))
OTHER_IMAGE = tuple(hashlib.sha384(bytes([each, 1])).digest() for each in range(3))
BEST = BestHeader(BlockHash(bytes(32)), 100, 1_000)


@cache
def keys(count: int) -> tuple[KeyPair, ...]:
    """The first `count` members' keys, in order of their public ones."""
    made = [KeyPair(hashlib.sha256(b"member %d" % each).digest()) for each in range(count)]
    return tuple(sorted(made, key=lambda pair: bytes(pair.public)))


@cache
def spare(number: int) -> KeyPair:
    """A key that is in no roster yet."""
    return KeyPair(hashlib.sha256(b"spare %d" % number).digest())


def seat(pair: KeyPair, zone: str = "a", owner: str = "") -> Seat:
    name = owner or f"o{bytes(pair.public)[:3].hex()}"
    return Seat(pair.public, name, name, zone)


def first_state(members: Sequence[KeyPair], quorum: int | None = None) -> RosterState:
    seats = tuple(sorted(seat(pair, "abcd"[at % 4]) for at, pair in enumerate(members)))
    least = 2 * len(members) // 3 + 1
    return RosterState(0, NOTHING, 0, seats, quorum or max(least, 3 * len(members) // 4), NUMS,
                       (IMAGE,))  # fmt: skip


def following(before: RosterState, **changes: object) -> RosterState:
    """The next state with these fields changed; number, link and epoch are made to fit."""
    made = replace(before, number=before.number + 1, previous=before.digest(GROUND.network))
    made = replace(made, **changes)
    signers = (made.keys, made.quorum, made.internal_key)
    if signers != (before.keys, before.quorum, before.internal_key):
        made = replace(made, epoch=before.epoch + 1)
    return made


def exchanged(before: RosterState, out: Iterable[KeyPair], into: Iterable[KeyPair]) -> RosterState:
    """The next state, in which these left and those came."""
    gone = {pair.public for pair in out}
    kept = [each for each in before.seats if each.key not in gone]
    return following(before, seats=tuple(sorted([*kept, *map(seat, into)])))


def word(pair: KeyPair, state: RosterState, ground: Ground = GROUND, round_: int = 0) -> Thing:
    made = Statement(pair.public, state.number, state.digest(ground.network), round=round_)
    return Thing(made.signed(pair, ground))


def wish(pair: KeyPair, state: RosterState, round_: int = 0) -> Thing:
    digest = state.digest(GROUND.network)
    made = Statement(pair.public, state.number, digest, round=round_, step=WISH)
    return Thing(made.signed(pair, GROUND))


@dataclass
class Member:
    """One operator: its key, its view, its pulse."""

    pair: KeyPair
    genesis: Roster
    clock: Callable[[], float]
    view: View = field(init=False)
    pulse: Pulse = field(init=False)

    def __post_init__(self) -> None:
        self.view = View(GROUND, self.genesis)
        self.pulse = Pulse(GROUND, self.pair.public, self.clock)

    @property
    def gossip(self) -> Gossip:
        return Gossip(self.view, self.pulse)

    def says(self, state: RosterState) -> None:
        """Signs a state and keeps both."""
        self.view.take(word(self.pair, state))
        assert state in [thing.inside for thing in self.view.things(state.number)] or (
            self.view.take(Thing(state))
        ), "a state that it cannot speak of yet"
        self.follow()

    def follow(self) -> None:
        agreed = self.view.agreed
        if agreed is not None and (agreed.number, agreed.keys) != (
            self.pulse.number,
            self.pulse.members,
        ):
            digest = self.view.digest_of(agreed.number)
            self.pulse.follow(agreed.number, digest, agreed.keys)

    def beat(self, best: BestHeader = BEST) -> None:
        self.pulse.beat(self.pair, 1, best)


@dataclass
class Network:
    """Members, time, and what the wire does: `joined` says who reaches whom, `lost` how often."""

    members: list[Member]
    rng: random.Random
    now: float = 0.0
    lost: float = 0.0
    joined: Callable[[int, int], bool] = lambda _one, _two: True
    sent: int = 0
    messages: int = 0

    @classmethod
    def of(cls, count: int, seed: int = 0) -> Network:
        made = cls([], random.Random(seed))
        genesis = first_state(keys(count)).roster
        made.members = [Member(pair, genesis, lambda: made.now) for pair in keys(count)]
        return made

    def join(self, pair: KeyPair) -> Member:
        """One more, who knows the first roster and nothing else."""
        made = Member(pair, self.members[0].genesis, lambda: self.now)
        self.members.append(made)
        return made

    def start(self) -> RosterState:
        """All members say the first state."""
        state = first_state([member.pair for member in self.members])
        for member in self.members:
            member.says(state)
        return state

    def agreed_first(self) -> RosterState:
        """As `start`, and every view has taken every word."""
        state = self.start()
        words = [word(member.pair, state) for member in self.members]
        for member in self.members:
            for each in words:
                member.view.take(each)
            member.follow()
        return state

    def talk(self, one: int, two: int) -> None:
        """One exchange; messages get lost, and repeated ones come too."""
        ends = self.members[one].gossip, self.members[two].gossip
        message, at = ends[0].begin(), 1
        while message is not None:
            self.sent += len(message)
            self.messages += 1
            if self.rng.random() < self.lost:
                break
            answer = ends[at].take(message)
            if self.rng.random() < self.lost:
                ends[at].take(message)  # it came twice
            message, at = answer, 1 - at
        self.members[one].follow()
        self.members[two].follow()

    def round(self) -> None:
        """Each member talks to one other that it reaches, drawn by chance."""
        order = list(range(len(self.members)))
        self.rng.shuffle(order)
        for one in order:
            other = self.rng.randrange(len(self.members))
            if other != one and self.joined(one, other):
                self.talk(one, other)

    def equal(self, group: Iterable[int] | None = None) -> bool:
        """Whether all views, or those of a group, are one."""
        chosen = range(len(self.members)) if group is None else group
        return len({self.members[at].view.digest() for at in chosen}) == 1

    def rounds_until_equal(self, most: int = 200, group: Iterable[int] | None = None) -> int:
        """Play rounds until views are equal: how many it took."""
        chosen = None if group is None else list(group)
        for made in range(most + 1):
            if self.equal(chosen):
                return made
            self.round()
        raise AssertionError(f"views differ after {most} rounds")

    @property
    def agreed(self) -> set[RosterState | None]:
        """What the members hold for the newest state."""
        return {member.view.agreed for member in self.members}
