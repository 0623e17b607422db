"""One operator's voting state and the rules that guard it (ROUNDS.md, ENCLAVE RULES 1 to 5).

Promise before signature: a vote is a message that a ballot can revoke; a signature follows only a
decision, which a quorum voted for in one ballot. The state lives in memory and nowhere else. Each
call is atomic over all guarded outpoints of its transaction, changes nothing when it refuses
(threat S34), and gives the same message for the same request.

An answer is the signed message, or a `Standing`: what is in the way, with all that is needed to
finish it. Rules 6 to 8 (new epochs, replicas, the chain's verdict) plug in at `epoch`, V, `dead`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from grail.codec import encode
from grail.crypto.schnorr import KeyPair
from grail.errors import InvalidInput, Refused, SignatureInvalid
from grail.operators.certificates import (
    Decision,
    Proposal,
    check_decision,
    check_promises,
)
from grail.operators.messages import (
    BestHeader,
    Family,
    Head,
    Open,
    Promise,
    Report,
    Scope,
    Standing,
    Vote,
)
from grail.types import OutPoint

FIRST_EPOCH = 1
"""The epoch of every instance that started with the network; later ones ask for a new one."""

MAX_FAMILIES = 4_096
"""Transactions remembered at once: a bound on memory. Spent ones are dropped by `forget`."""

MAX_BODIES = 64_000_000
"""Bytes of signing requests kept; beyond it the oldest go. Others hold them too: liveness only."""

_NONE = (0, Family(b""))
"""The promise of an outpoint that nobody asked about: below every ballot of round 1."""


@dataclass(slots=True)
class _Outpoint:
    """What rules 1 to 5 remember of one guarded outpoint."""

    promised: tuple[int, Family] = _NONE
    vote: tuple[int, Family] | None = None
    decided: Family | None = None
    opened: tuple[int, Family] = _NONE


@dataclass(slots=True)
class _Known:
    """A transaction that was named here, and the last messages sent for it."""

    proposal: Proposal
    vote: Vote | None = None
    promise: Promise | None = None
    decision: tuple[Vote, ...] = ()


@dataclass
class Acceptor:
    """The voting state of one instance of one operator; one caller at a time."""

    scope: Scope
    key: KeyPair = field(repr=False)
    epoch: int = FIRST_EPOCH
    index: int = field(init=False)
    _v: list[int] = field(init=False)
    _outpoints: dict[OutPoint, _Outpoint] = field(init=False, default_factory=dict, repr=False)
    _known: dict[Family, _Known] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.index = self.scope.index(self.key.public)
        self._v = [FIRST_EPOCH] * self.scope.n
        self._v[self.index] = self.epoch

    def vote(self, proposal: Proposal, best: BestHeader) -> Vote | Standing:
        """Rule 1: a vote at the fast ballot when every outpoint is free."""
        self._check_newest()
        known = self._lookup(proposal)
        places = self._places(proposal)
        if (
            known is not None
            and known.vote is not None
            and all(place.vote == (0, proposal.family) for place in places)
        ):
            return known.vote
        if any(place.vote or place.decided or place.promised != _NONE for place in places):
            return self._standing(proposal)
        known = self._remember(proposal)
        known.vote = Vote(self._head(best), 0, proposal.family, proposal.outpoints).signed(self.key)
        for place in self._places(proposal, keep=True):
            place.vote = (0, proposal.family)
        return known.vote

    def open(self, number: int, proposal: Proposal, best: BestHeader) -> Open | Standing:
        """Open round `number` for this transaction, one family per outpoint and round.

        Raises `Refused` NotOpener unless the round is this operator's.
        """
        self._check_newest()
        if number < 1 or number % self.scope.n != self.index:
            raise Refused(
                "NotOpener",
                f"round {number} is not opened by operator {self.index}",
                got=str(number),
                expected=f"a round r with r mod {self.scope.n} = {self.index}",
            )
        self._lookup(proposal)
        ballot = (number, proposal.family)
        places = self._places(proposal)
        if any(place.decided for place in places):
            return self._standing(proposal)
        for place in places:
            if place.opened[0] == number and place.opened != ballot:
                return self._named("RoundOpened", place.opened, proposal)
            if max(place.opened, place.promised) > ballot:
                return self._standing(proposal)
        if number > self._evidence(places) + self.scope.n:
            return self._too_far(proposal)
        self._remember(proposal)
        for place in self._places(proposal, keep=True):
            place.opened = ballot
        return Open(self._head(best), number, proposal.family).signed(self.key)

    def promise(
        self,
        opened: Open,
        proposal: Proposal,
        best: BestHeader,
        shown: Sequence[Promise] = (),
    ) -> Promise | Standing:
        """Rule 2: promise an opened ballot that is higher than all before, and report the votes.

        A round more than n above what this instance knows needs evidence: promises `shown` of so
        many operators that an honest host is among them. Raises `Refused` NotOpened when the
        Open does not verify or names another transaction.
        """
        self._check_newest()
        self._check_open(opened, proposal)
        known = self._lookup(proposal)
        ballot = (opened.round, opened.family)
        if known and known.promise and (known.promise.round, known.promise.family) == ballot:
            return known.promise
        places = self._places(proposal)
        if any(place.decided for place in places):
            return self._standing(proposal)
        if any(place.promised >= ballot for place in places):
            return self._standing(proposal)
        if opened.round > max(self._evidence(places), self._shown(shown, proposal)) + self.scope.n:
            return self._too_far(proposal)
        known = self._remember(proposal)
        self._merge(opened.head.v)
        places = self._places(proposal, keep=True)
        reports = tuple(
            Report(outpoint, 0, None) if place.vote is None else Report(outpoint, *place.vote)
            for outpoint, place in zip(proposal.outpoints, places, strict=True)
        )
        for place in places:
            place.promised = ballot
        known.promise = Promise(self._head(best), opened.round, opened.family, reports).signed(
            self.key
        )
        return known.promise

    def ballot(
        self, promises: Sequence[Promise], proposal: Proposal, best: BestHeader
    ) -> Vote | Standing:
        """Rule 3: vote in ballot (r, F) that q promises allow; votes they outdate are removed.

        Raises `Refused` NotPromised or BallotBlocked.
        """
        self._check_newest()
        permit = check_promises(self.scope, promises, proposal, self.dead())
        known = self._lookup(proposal)
        ballot = (permit.round, permit.family)
        places = self._places(proposal)
        if any(place.decided not in (None, permit.family) for place in places):
            return self._standing(proposal)
        if known and known.vote and all(place.vote == ballot for place in places):
            return known.vote
        if any(place.promised > ballot for place in places):
            return self._standing(proposal)
        known = self._remember(proposal)
        for promise in promises:
            self._merge(promise.head.v)
        self._remove_rivals(proposal)
        for place in self._places(proposal, keep=True):
            place.promised = ballot
            place.vote = ballot
        known.vote = Vote(self._head(best), permit.round, permit.family, proposal.outpoints).signed(
            self.key
        )
        return known.vote

    def decide(self, votes: Sequence[Vote], proposal: Proposal) -> Decision | Standing:
        """Rule 4, first half: record D(F). Only the `Decision` returned allows a signature.

        Needs no vote of this instance, nor the newest epoch. Raises `Refused` NotDecided.
        """
        decision = check_decision(self.scope, votes, proposal)
        self._lookup(proposal)
        if any(place.decided not in (None, proposal.family) for place in self._places(proposal)):
            return self._standing(proposal)
        known = self._remember(proposal)
        for vote in votes:
            self._merge(vote.head.v)
        self._remove_rivals(proposal)
        for place in self._places(proposal, keep=True):
            place.decided = proposal.family
        if not known.decision:
            known.decision = decision.votes
        return decision

    def body(self, family: Family) -> Standing | None:
        """The transaction behind a family, and its decision, for whoever must finish it."""
        known = self._known.get(family)
        return None if known is None else self._told("Body", 0, known, 0)

    def forget(self, outpoints: Iterable[OutPoint]) -> None:
        """Drop outpoints whose spend is k deep (rule 8); whole transactions only."""
        gone = set(outpoints)
        for name, known in list(self._known.items()):
            if gone.issuperset(known.proposal.outpoints):
                del self._known[name]
        live = {o for known in self._known.values() for o in known.proposal.outpoints}
        for outpoint in gone - live:
            self._outpoints.pop(outpoint, None)

    def dead(self) -> frozenset[Family]:
        """Families with proof that they cannot confirm (rule 8): none, until the chain is asked."""
        return frozenset()

    def state_hash(self) -> bytes:
        """A digest of all that rules 1 to 5 remember: equal before and after every refusal."""
        state = [
            [
                o.serialize(),
                list(place.promised),
                None if place.vote is None else list(place.vote),
                place.decided,
                list(place.opened),
            ]
            for o, place in sorted(self._outpoints.items())
        ]
        return hashlib.sha256(encode([self._v, state, sorted(self._known)])).digest()

    # What the rules share. None of these changes anything but the last group.

    def _check_newest(self) -> None:
        if self._v[self.index] > self.epoch:
            raise Refused(
                "InstanceReplaced",
                "a newer instance of this operator votes",
                got=f"epoch {self.epoch}",
                expected=f"epoch {self._v[self.index]}",
            )

    def _check_open(self, opened: Open, proposal: Proposal) -> None:
        try:
            opened.verify(self.scope)
        except SignatureInvalid as exc:
            raise Refused("NotOpened", str(exc)) from exc
        if opened.round < 1 or opened.head.sender != opened.round % self.scope.n:
            raise Refused(
                "NotOpened",
                f"operator {opened.head.sender} does not open round {opened.round}",
                got=str(opened.head.sender),
                expected=str(opened.round % self.scope.n),
            )
        if opened.family != proposal.family:
            raise Refused(
                "NotOpened",
                "the round is open for another transaction",
                got=opened.family.hex(),
                expected=proposal.family.hex(),
            )

    def _head(self, best: BestHeader) -> Head:
        scope = self.scope
        return Head(
            scope.network, scope.roster, scope.configuration, self.index, tuple(self._v), best
        )

    def _lookup(self, proposal: Proposal) -> _Known | None:
        known = self._known.get(proposal.family)
        if known is not None and known.proposal.outpoints != proposal.outpoints:
            raise InvalidInput("one family with two sets of guarded outpoints")
        if known is None and len(self._known) >= MAX_FAMILIES:
            raise Refused("Busy", "too many transactions are under way", got=str(len(self._known)))
        return known

    def _places(self, proposal: Proposal, *, keep: bool = False) -> list[_Outpoint]:
        if keep:
            return [self._outpoints.setdefault(o, _Outpoint()) for o in proposal.outpoints]
        return [self._outpoints.get(o) or _Outpoint() for o in proposal.outpoints]

    def _evidence(self, places: Sequence[_Outpoint]) -> int:
        return max(max(place.promised[0], place.opened[0]) for place in places)

    def _shown(self, promises: Sequence[Promise], proposal: Proposal) -> int:
        """The round that more operators have promised here than may be hostile, or 0."""
        rounds: dict[int, int] = {}
        for promise in promises:
            if set(promise.outpoints).isdisjoint(proposal.outpoints):
                continue
            try:
                promise.verify(self.scope)
            except SignatureInvalid as exc:
                raise Refused("NotPromised", f"evidence does not verify: {exc}") from exc
            sender = promise.head.sender
            rounds[sender] = max(rounds.get(sender, 0), promise.round)
        hostile = self.scope.n - self.scope.quorum
        return sorted(rounds.values(), reverse=True)[hostile] if len(rounds) > hostile else 0

    def _too_far(self, proposal: Proposal) -> Standing:
        return Standing("RoundTooFar", self._evidence(self._places(proposal)))

    def _standing(self, proposal: Proposal) -> Standing:
        """The decision in the way; else the highest vote; else the promise alone."""
        places = self._places(proposal)
        for place in places:
            if place.decided is not None:
                mine = place.decided == proposal.family
                rule = "AlreadyDecided" if mine else "OutpointTaken"
                return self._named(rule, (0, place.decided), proposal)
        votes = [place.vote for place in places if place.vote is not None]
        rivals = [vote for vote in votes if vote[1] != proposal.family]
        if rivals:
            return self._named("RivalVoted", max(rivals), proposal)
        if votes:
            return self._named("BallotPromised", max(votes), proposal)
        return Standing("BallotPromised", self._evidence(places))

    def _named(self, rule: str, ballot: tuple[int, Family], proposal: Proposal) -> Standing:
        evidence = self._evidence(self._places(proposal))
        return self._told(rule, evidence, self._known[ballot[1]], ballot[0])

    def _told(self, rule: str, promised: int, known: _Known, number: int) -> Standing:
        told = known.proposal
        return Standing(
            rule,
            promised,
            known.decision[0].round if known.decision else number,
            told.family,
            told.outpoints,
            told.txid,
            known.decision,
            told.body,
        )

    # Changes, made only after every check of a rule has passed.

    def _remember(self, proposal: Proposal) -> _Known:
        known = self._known.setdefault(proposal.family, _Known(proposal))
        if not known.proposal.body:
            known.proposal = proposal
        kept = sum(len(each.proposal.body) for each in self._known.values())
        for each in self._known.values():
            if kept <= MAX_BODIES:
                break
            if each is not known:
                kept -= len(each.proposal.body)
                each.proposal = replace(each.proposal, body=b"")
        return known

    def _merge(self, v: Sequence[int]) -> None:
        self._v = [max(pair) for pair in zip(self._v, v, strict=True)]

    def _remove_rivals(self, proposal: Proposal) -> None:
        """Remove conflicting votes on ALL outpoints of their transactions, not only shared ones."""
        rivals = {
            place.vote[1]
            for place in self._places(proposal)
            if place.vote is not None and place.vote[1] != proposal.family
        }
        for rival in rivals:
            for place in self._places(self._known[rival].proposal):
                if place.vote is not None and place.vote[1] == rival:
                    place.vote = None
