"""What one operator knows of the roster: states agreed on, words for the next one, proofs of guilt.

It only grows, and two views that took the same things, in whatever order and however often, are
equal: so gossip may lose, repeat and reorder what it likes. A state is agreed on when a quorum of
the members of the one before it gave its word in one round (all of them, for the first). Nothing
that was agreed on is ever undone: neither an old epoch nor an expelled member comes back (threat
R7).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from grail.bitcoin.addresses import Roster
from grail.errors import DecodeError, Refused, SignatureInvalid
from grail.operators.messages import Fields
from grail.roster.signed import Ground
from grail.roster.state import MAX_STATE, RosterState
from grail.roster.statement import WORD, Equivocation, Statement
from grail.roster.succession import linked
from grail.types import XOnlyKey

ID: Final = 16
"""Bytes that name a thing among those of one number."""
MAX_ROUNDS: Final = 64
"""Rounds of one number. Each begins when a quorum wished something in the one before."""

Ballot = tuple[XOnlyKey, int, int]
"""Key, round and step: what a member has one state for."""


@dataclass(frozen=True)
class Thing:
    """A statement, or a whole state: what views exchange."""

    inside: Statement | RosterState

    @property
    def number(self) -> int:
        """The number of the state that it is about."""
        return self.inside.number

    @cached_property
    def id(self) -> bytes:
        """Its name among those of its number, one for all signatures of the same word."""
        inside = self.inside
        if isinstance(inside, Statement):
            at = inside.round.to_bytes(4, "little") + inside.step.to_bytes(1, "little")
            body = bytes(inside.key) + at + inside.state
        else:
            body = inside.serialize()
        return hashlib.sha256(body).digest()[:ID]

    def fields(self) -> list[Any]:
        """["word", statement] or ["state", bytes]."""
        if isinstance(self.inside, Statement):
            return ["word", self.inside.fields()]
        return ["state", self.inside.serialize()]

    @classmethod
    def from_fields(cls, value: Any) -> Thing:
        """Read what `fields` wrote. Raises `DecodeError` or `InvalidInput`; nothing is verified."""
        parts = Fields(value, "thing", 2)
        kind = parts.text("kind", 8)
        if kind == "word":
            return cls(Statement.from_fields(parts.optional("statement")))
        if kind == "state":
            return cls(RosterState.parse(parts.blob("state", most=MAX_STATE)))
        raise DecodeError(f"thing: got {kind!r}, expected word or state")


@dataclass
class _Number:
    """All that is known of one number: statements by ballot and state, and the states themselves.

    `members` have a word on it, and `quorum` of them decide: those of the state before.
    """

    members: frozenset[XOnlyKey]
    quorum: int
    words: dict[tuple[Ballot, bytes], Thing] = field(default_factory=dict)
    by_ballot: Counter[Ballot] = field(default_factory=Counter)
    by_state: Counter[bytes] = field(default_factory=Counter)
    agreeing: Counter[tuple[int, bytes]] = field(default_factory=Counter)
    wishers: Counter[int] = field(default_factory=Counter)
    bodies: dict[bytes, Thing] = field(default_factory=dict)
    mark: bytes | None = None

    def things(self) -> Iterator[Thing]:
        """Words first, since a state is taken only when somebody said it."""
        yield from self.words.values()
        yield from self.bodies.values()

    def count(self, said: Statement, by: int) -> None:
        """Count a statement in, or out again."""
        before = self.by_ballot[said.ballot]
        self.by_ballot[said.ballot] += by
        self.by_state[said.state] += by
        if said.step == WORD:
            self.agreeing[said.round, said.state] += by
        elif before == 0:  # of two wishes of a liar one is always kept
            self.wishers[said.round] += 1

    def ready(self) -> list[bytes]:
        """The states whose bytes are here and for which a quorum gave its word in one round."""
        counts = self.agreeing.items()
        return [s for (_, s), count in counts if count >= self.quorum and s in self.bodies]

    @property
    def round(self) -> int:
        """The open round: in each one before it a quorum wished something."""
        opened = 0
        while opened < MAX_ROUNDS - 1 and self.wishers[opened] >= self.quorum:
            opened += 1
        return opened


class View:
    """One operator's view. `genesis` is the first roster, which its own members vouch for.

    `take` changes it; everything else reads.
    """

    def __init__(self, ground: Ground, genesis: Roster) -> None:
        self.ground = ground
        self.genesis = genesis
        self._states: list[RosterState] = []
        self._digests: list[bytes] = []
        self._numbers: list[_Number] = [_Number(frozenset(genesis.keys), len(genesis.keys))]
        self._guilty: dict[XOnlyKey, Equivocation] = {}

    # What it knows.

    @property
    def agreed(self) -> RosterState | None:
        """The newest state that was agreed on; None before the first."""
        return self._states[-1] if self._states else None

    @property
    def open(self) -> int:
        """The number of the next state: everything below is agreed on."""
        return len(self._states)

    @property
    def guilty(self) -> frozenset[XOnlyKey]:
        """Who gave two words for one number and round; expelled for good."""
        return frozenset(self._guilty)

    def proof(self, key: XOnlyKey) -> Equivocation | None:
        """Why a member is guilty."""
        return self._guilty.get(key)

    def state(self, number: int) -> RosterState:
        """An agreed state. Raises `Refused` ViewStale for one that is not known."""
        if not 0 <= number < len(self._states):
            raise Refused(
                "ViewStale", "no such state of the roster", got=str(number), expected="an old one"
            )
        return self._states[number]

    def digest_of(self, number: int) -> bytes:
        """The digest of an agreed state, or zeros before the first one."""
        return self._digests[number] if 0 <= number < len(self._digests) else bytes(32)

    def admit(self, key: XOnlyKey) -> None:
        """Raise `Refused` NotMember unless this key has a seat and is not guilty (threat R18)."""
        if key in self._guilty:
            raise Refused("NotMember", "expelled: it signed two states of one number", got=str(key))
        if key not in self._numbers[-1].members:
            raise Refused("NotMember", "no seat in the roster", got=str(key))

    def mark(self, number: int) -> bytes:
        """16 bytes that are equal where two views know the same of this number."""
        known = self._numbers[number]
        if known.mark is None:
            ids = b"".join(sorted(thing.id for thing in known.things()))
            known.mark = hashlib.sha256(ids).digest()[:ID]
        return known.mark

    def digest(self) -> bytes:
        """32 bytes that are equal where two views are."""
        marks = b"".join(self.mark(number) for number in range(len(self._numbers)))
        return hashlib.sha256(b"".join(self._digests) + marks).digest()

    def things(self, number: int) -> list[Thing]:
        """All that is known of a number, in an order in which another view can take it."""
        return list(self._numbers[number].things()) if number < len(self._numbers) else []

    def said(self, number: int) -> list[Statement]:
        """All wishes and words of a number."""
        return [each.inside for each in self.things(number) if isinstance(each.inside, Statement)]

    def round(self, number: int) -> int:
        """The open round of a number."""
        return self._numbers[number].round

    def body(self, number: int, digest: bytes) -> RosterState | None:
        """The state of this digest that somebody spoke for, if it is here."""
        found = self._numbers[number].bodies.get(digest)
        return None if found is None or isinstance(found.inside, Statement) else found.inside

    # What it learns.

    def take(self, thing: Thing) -> bool:
        """Learn one thing: whether it was new.

        What is about a later number than the next is left alone, since its members are not known
        yet; and so is what is about a later round than the open one. Raises `SignatureInvalid` for
        a word that is not its member's, `Refused` for a state that does not follow.
        """
        inside = thing.inside
        if inside.number > self.open:
            return False
        if isinstance(inside, Statement):
            new = self._hear(thing, inside)
        else:
            new = self._learn(thing, inside)
        if new:
            self._numbers[inside.number].mark = None
            self._advance()
        return new

    def _hear(self, thing: Thing, word: Statement) -> bool:
        known = self._numbers[word.number]
        if (word.ballot, word.state) in known.words:
            return False
        if word.key not in known.members:
            raise SignatureInvalid(f"statement: {word.key} had no word on number {word.number}")
        if word.round > known.round:
            return False
        word.verify(self.ground)
        known.words[word.ballot, word.state] = thing
        known.count(word, 1)
        if known.by_ballot[word.ballot] == 1:
            return True
        self._condemn(word.number, word.ballot)
        self._forget_idle(word.number)
        return (word.ballot, word.state) in known.words

    def _forget_idle(self, number: int) -> None:
        """Of a guilty member keep two words of a ballot, and those that may yet count.

        Those are for states that an honest member says too, of which there are no more than
        members: so nobody fills a view by signing on and on, and every view keeps the same ones.
        """
        known = self._numbers[number]
        twice = {key for (key, _, _), count in known.by_ballot.items() if count > 1}
        useful = {state for (key, _, _), state in known.words if key not in twice}
        useful.add(self.digest_of(number))
        for ballot in [ballot for ballot, count in known.by_ballot.items() if count > 2]:
            for state in sorted(state for each, state in known.words if each == ballot)[2:]:
                if state not in useful:
                    word = known.words.pop((ballot, state)).inside
                    assert isinstance(word, Statement)
                    known.count(word, -1)

    def _condemn(self, number: int, ballot: Ballot) -> None:
        known = self._numbers[number]
        said = sorted(state for each, state in known.words if each == ballot)
        first, second = (known.words[ballot, state].inside for state in said[:2])
        assert isinstance(first, Statement)
        assert isinstance(second, Statement)
        self._guilty.setdefault(ballot[0], Equivocation(first, second))

    def _learn(self, thing: Thing, state: RosterState) -> bool:
        known, digest = self._numbers[state.number], state.digest(self.ground.network)
        if digest in known.bodies or state.number < self.open or not known.by_state[digest]:
            return False
        if state.number == 0:
            if state.roster != self.genesis:
                raise Refused("RosterInvalid", "roster state 0: it is not the first roster")
        else:
            linked(self._states[-1], state, self.ground.network)
        known.bodies[digest] = thing
        return True

    def _advance(self) -> None:
        while True:
            known = self._numbers[self.open]
            ready = known.ready()
            if not ready:
                return
            chosen = min(ready)
            body = known.bodies[chosen]
            assert isinstance(body.inside, RosterState)
            self._states.append(body.inside)
            self._digests.append(chosen)
            known.bodies = {chosen: body}
            known.mark = None
            self._numbers.append(_Number(frozenset(body.inside.keys), body.inside.quorum))
