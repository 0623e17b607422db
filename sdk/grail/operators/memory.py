"""What an instance remembers of outpoints and transactions, and how much of it (ROUNDS.md, STATE).

A transaction is remembered while an outpoint of it names it: by its vote, its decision, its highest
promise or opening. So one outpoint holds four at most, however many ask for it, and nobody's flood
reaches another's outpoint. What a vote or decision names is never dropped for want of room: a new
one is refused instead. What only a promise names is the first to go; the promise itself stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from grail.errors import InvalidInput, Refused
from grail.operators.certificates import Proposal
from grail.operators.messages import Family, Promise, Vote
from grail.types import OutPoint

MAX_FAMILIES = 4_096
"""Transactions remembered at once, each with a vote, a promise and up to a quorum's votes."""

MAX_PLACES = 200_000
"""Guarded outpoints remembered at once, some 60 MB: those that were asked for and are not spent."""

MAX_BODIES = 128_000_000
"""Bytes of signing requests kept; beyond it new transactions are refused."""

LARGE_BODY = 256_000
"""Requests above it may fill half of that at most: padding shuts out nothing but padding."""

NO_BALLOT = (0, Family(b""))
"""The promise of an outpoint that nobody asked about: below every ballot of round 1."""


@dataclass(slots=True)
class Place:
    """What rules 1 to 5 remember of one guarded outpoint."""

    promised: tuple[int, Family] = NO_BALLOT
    vote: tuple[int, Family] | None = None
    decided: Family | None = None
    opened: tuple[int, Family] = NO_BALLOT

    @property
    def bound(self) -> frozenset[Family]:
        """The families that may not be forgotten here."""
        names = {self.vote[1]} if self.vote is not None else set()
        return frozenset(names if self.decided is None else names | {self.decided})

    @property
    def named(self) -> frozenset[Family]:
        """All families that it names."""
        return self.bound | {self.promised[1], self.opened[1]} - {NO_BALLOT[1]}


@dataclass(slots=True)
class Known:
    """A transaction that was named here, and the last messages sent for it."""

    proposal: Proposal
    vote: Vote | None = None
    promise: Promise | None = None
    decision: tuple[Vote, ...] = ()


@dataclass
class Memory:
    """The tables of one instance."""

    outpoints: dict[OutPoint, Place] = field(default_factory=dict, repr=False)
    known: dict[Family, Known] = field(default_factory=dict, repr=False)

    def places(self, proposal: Proposal) -> list[Place]:
        """The outpoints' records, to look at: those that are not there yet are blank."""
        return [self.outpoints.get(outpoint) or Place() for outpoint in proposal.outpoints]

    def lookup(self, proposal: Proposal) -> Known | None:
        """What is known of a transaction. Raises `InvalidInput` for other outpoints than before."""
        known = self.known.get(proposal.family)
        if known is not None and known.proposal.outpoints != proposal.outpoints:
            raise InvalidInput("one family with two sets of guarded outpoints")
        return known

    def check_room(self, proposal: Proposal, *, binding: bool) -> None:
        """Raise `Refused` Busy when a transaction cannot be remembered; `binding` as a vote is."""
        new = sum(outpoint not in self.outpoints for outpoint in proposal.outpoints)
        if len(self.outpoints) + new > MAX_PLACES:
            raise Refused("Busy", "too many outpoints are in use", got=str(len(self.outpoints)))
        held = [each for name, each in self.known.items() if self.is_bound(name)]
        if len(held) >= MAX_FAMILIES and not self.is_bound(proposal.family):
            raise Refused("Busy", "too many transactions are under way", got=str(len(held)))
        if not binding:
            return
        size = len(proposal.body)
        most = MAX_BODIES // 2 if size > LARGE_BODY else MAX_BODIES
        others = sum(
            len(each.proposal.body) for each in held if each.proposal.family != proposal.family
        )
        if others + size > most:
            raise Refused("Busy", "too many requests are under way", got=f"{others} bytes")

    def is_bound(self, name: Family) -> bool:
        """Whether a vote or a decision names this family."""
        known = self.known.get(name)
        return known is not None and any(name in p.bound for p in self.places(known.proposal))

    def remember(self, proposal: Proposal) -> tuple[Known, list[Place]]:
        """Keep a transaction and its outpoints, whose records come back to be changed."""
        known = self.known.setdefault(proposal.family, Known(proposal))
        if not known.proposal.body:
            known.proposal = proposal
        return known, [self.outpoints.setdefault(o, Place()) for o in proposal.outpoints]

    def tidy(self, kept: Family, candidates: Iterable[Family]) -> None:
        """Forget candidates that no outpoint names any more, and the oldest unbound beyond room."""
        for name in set(candidates) - {kept}:
            known = self.known.get(name)
            if known and not any(name in p.named for p in self.places(known.proposal)):
                del self.known[name]
        size = sum(len(each.proposal.body) for each in self.known.values())
        if len(self.known) <= MAX_FAMILIES and size <= MAX_BODIES:
            return
        for name in [n for n in self.known if n != kept and not self.is_bound(n)]:
            if size > MAX_BODIES:
                body = self.known[name].proposal.body
                size -= len(body)
                self.known[name].proposal = replace(self.known[name].proposal, body=b"")
            if len(self.known) > MAX_FAMILIES:
                del self.known[name]

    def release(self, name: Family) -> None:
        """Remove a family's votes and decision on all its outpoints, and the family itself."""
        known = self.known.pop(name, None)
        if known is not None:
            self.unvote(name, known.proposal.outpoints)

    def unvote(self, name: Family, outpoints: Sequence[OutPoint]) -> None:
        """Remove a family's votes and decision on these outpoints. Promises stay."""
        for outpoint in outpoints:
            place = self.outpoints.get(outpoint)
            if place is None:
                continue
            if place.vote is not None and place.vote[1] == name:
                place.vote = None
            if place.decided == name:
                place.decided = None

    def close(self, gone: set[OutPoint]) -> None:
        """Drop outpoints that were spent for good, and every transaction over one of them."""
        for name, known in list(self.known.items()):
            if not gone.isdisjoint(known.proposal.outpoints):
                self.release(name)
        for outpoint in gone:
            self.outpoints.pop(outpoint, None)

    def state(self) -> list[object]:
        """All that matters for rules 1 to 5, ready for CBOR."""
        places = [
            [
                o.serialize(),
                list(place.promised),
                None if place.vote is None else list(place.vote),
                place.decided,
                list(place.opened),
            ]
            for o, place in sorted(self.outpoints.items())
        ]
        return [places, sorted(self.known)]
