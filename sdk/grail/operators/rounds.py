"""One operator's voting state and the rules that guard it (ROUNDS.md, ENCLAVE RULES).

Promise before signature: a vote is a message that a ballot can revoke; a signature follows only a
decision, which a quorum voted for in one ballot. The state lives in memory and nowhere else. Each
call is atomic over all guarded outpoints of its transaction, changes nothing when it refuses
(threat S34), and gives the same message for the same request.

An answer is the signed message, or a `Standing`: what is in the way, with all that is needed to
finish it. An instance that did not draw its key itself votes only after the other operators told it
what it had promised (rule 6); one that was replaced votes no more (rule 7). Both may sign.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from grail.codec import encode
from grail.crypto.schnorr import KeyPair
from grail.errors import Refused, SignatureInvalid
from grail.operators.adoption import adopt
from grail.operators.certificates import (
    Decision,
    Proposal,
    check_decision,
    check_promises,
)
from grail.operators.epochs import NO_EPOCH, Epochs, Granted
from grail.operators.grants import Grant, Hello, paged
from grail.operators.memory import MAX_FAMILIES, NO_BALLOT, Known, Memory, Place
from grail.operators.messages import (
    BestHeader,
    Family,
    Open,
    Promise,
    Report,
    Scope,
    Standing,
    Vote,
)
from grail.operators.spent import Spend, SpentLog
from grail.operators.takeover import remembered, taken_over
from grail.types import OutPoint, XOnlyKey


@dataclass
class Acceptor:
    """The voting state of one instance of one operator; one caller at a time.

    As it is made it is the operator's first instance, whose process drew the key: there was none
    before it, so it has the first epoch. Every other instance is made by `handed_over`.
    """

    scope: Scope
    key: KeyPair = field(repr=False)
    log: SpentLog = field(repr=False)
    index: int = field(init=False)
    memory: Memory = field(init=False, default_factory=Memory, repr=False)
    epochs: Epochs = field(init=False, repr=False)
    told: dict[Family, Proposal] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.index = self.scope.index(self.key.public)
        self.epochs = Epochs(self.scope, self.index)

    @classmethod
    def handed_over(
        cls,
        scope: Scope,
        key: KeyPair,
        log: SpentLog,
        *,
        instance: XOnlyKey | None = None,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Acceptor:
        """An instance whose key came from elsewhere: it has no epoch, and must recover.

        `instance` is its instance key, drawn here unless given; `draw` gives the nonces.
        """
        made = cls(scope, key, log)
        own = KeyPair.generate().public if instance is None else instance
        made.epochs = Epochs(scope, made.index, NO_EPOCH, own, draw)
        return made

    @property
    def epoch(self) -> int:
        """The epoch of this instance; 0 before it was granted one."""
        return self.epochs.epoch

    @property
    def recovered(self) -> bool:
        """Whether it may vote, promise, open and grant."""
        return self.epochs.recovered

    def vote(self, proposal: Proposal, best: BestHeader) -> Vote | Standing:
        """Rule 1: a vote at the fast ballot when every outpoint is free.

        Raises `Refused` NotRecovered for an instance that may not vote, as rules 2 and 3 do.
        """
        self.epochs.check_recovered()
        self.check_alive(proposal)
        known, places = self.memory.lookup(proposal), self.memory.places(proposal)
        if known and known.vote and all(place.vote == (0, proposal.family) for place in places):
            return known.vote
        if any(place.vote or place.decided or place.promised != NO_BALLOT for place in places):
            return self._standing(proposal)
        self.memory.check_room(proposal, binding=True)
        vote = Vote(self.epochs.head(best), 0, proposal.family, proposal.outpoints).signed(self.key)
        known, places = self.memory.remember(proposal)
        known.vote = vote
        for place in places:
            place.vote = (0, proposal.family)
        self.memory.tidy(proposal.family, ())
        return vote

    def open(self, number: int, proposal: Proposal, best: BestHeader) -> Open | Standing:
        """Open round `number` for this transaction, one family per outpoint and round.

        Raises `Refused` NotOpener unless the round is this operator's.
        """
        if number < 1 or number % self.scope.n != self.index:
            raise Refused(
                "NotOpener",
                f"round {number} is not opened by operator {self.index}",
                got=str(number),
                expected=f"a round r with r mod {self.scope.n} = {self.index}",
            )
        self.epochs.check_recovered()
        self.check_alive(proposal)
        self.memory.lookup(proposal)
        ballot = (number, proposal.family)
        places = self.memory.places(proposal)
        if any(place.decided for place in places):
            return self._standing(proposal)
        for place in places:
            if place.opened[0] == number and place.opened != ballot:
                return self._named("RoundOpened", place.opened, proposal)
            if max(place.opened, place.promised) > ballot:
                return self._standing(proposal)
        if number > self._evidence(places) + self.scope.n:
            return self._too_far(proposal)
        self.memory.check_room(proposal, binding=False)
        opened = Open(self.epochs.head(best), number, proposal.family).signed(self.key)
        _, places = self.memory.remember(proposal)
        before = _named(places)
        for place in places:
            place.opened = ballot
        self.memory.tidy(proposal.family, before)
        return opened

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
        self._check_open(opened, proposal)
        self.epochs.check_recovered()
        self.check_alive(proposal)
        known = self.memory.lookup(proposal)
        ballot = (opened.round, opened.family)
        if known and known.promise and (known.promise.round, known.promise.family) == ballot:
            return known.promise
        places = self.memory.places(proposal)
        if any(place.decided for place in places):
            return self._standing(proposal)
        if any(place.promised >= ballot for place in places):
            return self._standing(proposal)
        if opened.round > max(self._evidence(places), self._shown(shown, proposal)) + self.scope.n:
            return self._too_far(proposal)
        self.memory.check_room(proposal, binding=False)
        reports = tuple(
            Report(outpoint, 0, None) if place.vote is None else Report(outpoint, *place.vote)
            for outpoint, place in zip(proposal.outpoints, places, strict=True)
        )
        promise = Promise(self.epochs.head(best), opened.round, opened.family, reports).signed(
            self.key
        )
        known, places = self.memory.remember(proposal)
        known.promise = promise
        before = _named(places)
        for place in places:
            place.promised = ballot
        self.memory.tidy(proposal.family, before)
        return promise

    def ballot(
        self, promises: Sequence[Promise], proposal: Proposal, best: BestHeader
    ) -> Vote | Standing:
        """Rule 3: vote in ballot (r, F) that q promises allow; votes they outdate are removed.

        Raises `Refused` NotPromised or BallotBlocked.
        """
        self.epochs.check_recovered()
        self.check_alive(proposal)
        permit = check_promises(self.scope, promises, proposal, self.log.dead())
        self._check_newest(promises)
        known, places = self.memory.lookup(proposal), self.memory.places(proposal)
        ballot = (permit.round, permit.family)
        if any(place.decided not in (None, permit.family) for place in places):
            return self._standing(proposal)
        if known and known.vote and all(place.vote == ballot for place in places):
            return known.vote
        if any(place.promised > ballot or place.vote == ballot for place in places):
            # A vote in this very ballot that was taken over is not sent again (rule 6).
            return self._standing(proposal)
        self.memory.check_room(proposal, binding=True)
        vote = Vote(self.epochs.head(best), permit.round, permit.family, proposal.outpoints).signed(
            self.key
        )
        known, places = self.memory.remember(proposal)
        known.vote = vote
        before = _named(places)
        self._remove_rivals(proposal)
        for place in places:
            place.promised = ballot
            place.vote = ballot
        self.memory.tidy(proposal.family, before)
        return vote

    def decide(self, votes: Sequence[Vote], proposal: Proposal) -> Decision | Standing:
        """Rule 4, first half: record D(F). Only the `Decision` returned allows a signature.

        Needs no vote of this instance, nor an epoch. Raises `Refused` NotDecided.

        Two decisions over one outpoint exist only where a block had killed the one and was undone.
        Then all follow the higher ballot, or a quorum could hold both and finish neither.
        """
        self.check_alive(proposal)
        decision = check_decision(self.scope, votes, proposal)
        self.memory.lookup(proposal)
        held = {place.decided for place in self.memory.places(proposal)}
        rivals = [name for name in held if name not in (None, proposal.family)]
        dead = self.log.conflict(proposal) is not None
        if rivals and (dead or not all(self._outranks(decision, name) for name in rivals)):
            return self._standing(proposal)
        self.memory.check_room(proposal, binding=True)
        known, places = self.memory.remember(proposal)
        before = _named(places)
        for name in rivals:
            self.memory.release(name)
        self._remove_rivals(proposal)
        for place in places:
            place.decided = proposal.family
        if not known.decision:
            known.decision = decision.votes
        self.memory.tidy(proposal.family, before)
        self.told.pop(proposal.family, None)
        self.epochs.seen_self(self._own_epoch(votes))
        return decision

    def began(self, proposal: Proposal, shown: Sequence[Promise] = ()) -> bool:
        """Whether this instance voted for it, or so many promised it that one honest one did.

        Whoever promises what he did not vote for has looked at all of it, or was shown the same.
        """
        known = self.memory.known.get(proposal.family)
        if known is not None and known.vote is not None:
            return True
        promised = [promise for promise in shown if promise.family == proposal.family]
        return self._shown(promised, proposal) > 0

    def body(self, family: Family) -> Standing | None:
        """The transaction behind a family, and its decision, for whoever must finish it."""
        known = self.memory.known.get(family)
        return None if known is None else self._told("Body", 0, known, 0)

    # Rules 6 and 7: instances

    def hello(self, epoch: int, best: BestHeader) -> Hello:
        """Ask to be this operator's newest instance, with this epoch.

        The same epoch again gives the same Hello; another epoch outdates it. Raises `Refused`
        NotReplaced when it is the newest already, EpochTaken for an epoch that one had before.
        """
        return self.epochs.ask(epoch, best, self.key)

    def grant(self, hello: Hello, best: BestHeader) -> Granted:
        """Rule 6, the grantor: know of no older instance of that operator from now on.

        The answer tells all that is remembered at this moment; the same Hello again gets the same.
        Raises `Refused` NotRecovered, HelloInvalid, or EpochTaken unless the epoch asked for is
        above every one seen of that operator.
        """
        self.epochs.check_recovered()
        if hello.head.sender == self.index:
            raise Refused("HelloInvalid", "an operator grants itself nothing")
        before = self.epochs.check_hello(hello)
        if before is not None:
            return before
        pages = paged(*remembered(self.memory))
        # From here on every message of this instance knows the new epoch, this grant first.
        self.epochs.note(hello)
        return self.epochs.granting(hello, pages, best, self.key)

    def page(self, hello: Hello, number: int) -> bytes:
        """A page of what this Hello was granted. Raises `Refused` HelloInvalid or EpochTaken."""
        granted = self.epochs.check_hello(hello)
        if granted is None or number >= len(granted.pages):
            raise Refused("HelloInvalid", "nothing was granted, or not that much", got=str(number))
        return granted.pages[number]

    def newest(self, operator: int) -> Hello | None:
        """The word of that operator's newest instance, unless that is its first one."""
        return self.epochs.hellos.get(operator)

    def superseded(self, hello: Hello) -> None:
        """Rule 7: another instance of this operator asks for a higher epoch, so this one stops.

        A Hello of this very instance, or for an epoch of the past, changes nothing. Raises
        `Refused` HelloInvalid.
        """
        self.epochs.superseded(hello)

    def recover(self, grants: Sequence[Grant], pages: Sequence[bytes] = ()) -> tuple[bytes, ...]:
        """Rule 6, the new instance: take over what others remember, once all of it is there.

        `grants` are for the last Hello; `pages` are some that they name, kept until the others
        come. The hashes of those that are missing come back, none once it has recovered. Raises
        `Refused` NotGranted.
        """
        hello = self.epochs.check_grants(grants)
        if self.epochs.epoch == hello.epoch:
            return ()
        missing = self.epochs.bring(grants, pages)
        if missing:
            return missing
        told = [[self.epochs.pages[name] for name in grant.pages] for grant in grants]
        found = adopt(self.scope, told)
        self.memory = taken_over(self.memory, found)
        known = self.memory.known
        self.told = {
            claim.family: Proposal(claim.family, claim.outpoints, claim.txid, b"")
            for claim in found.decided[:MAX_FAMILIES]
            if claim.family not in known or not known[claim.family].decision
        }
        self.epochs.begin(hello, grants)
        self.follow()
        return ()

    def lacking(self) -> tuple[Family, ...]:
        """The families whose body, or decision, this instance was told of and does not hold."""
        bare = {name for name, known in self.memory.known.items() if self._bare(known)}
        return tuple(sorted(bare | self.told.keys()))

    def restore(self, proposal: Proposal, votes: Sequence[Vote] = ()) -> None:
        """Take in a body that is lacking, and its decision where there is one.

        Raises `Refused` NotLacking for any other transaction, NotDecided for votes that decide
        nothing.
        """
        if votes:
            decided = self.decide(votes, proposal)
            if isinstance(decided, Standing):
                raise Refused(decided.rule, "another transaction was decided")
            return
        self.check_alive(proposal)
        known = self.memory.lookup(proposal)
        if known is None or not self._bare(known):
            raise Refused("NotLacking", "nothing is known of it, or all", got=proposal.family.hex())
        self.memory.check_room(proposal, binding=True)
        self.memory.remember(proposal)

    # Rule 8: the chain's verdict

    def check_alive(self, proposal: Proposal, shown: Sequence[Spend] = ()) -> None:
        """Raise `Refused` InputSpent when blocks keep the transaction from confirming.

        So they do when they hold a conflict, and when they hold it itself k deep. `shown` are
        spends that came with the request. What stands in the way with a decision is answered with
        that decision, not here.
        """
        block = self.log.conflict(proposal, shown)
        mark = next((m for o in proposal.outpoints if (m := self.log.settled(o))), None)
        decided = [place.decided for place in self.memory.places(proposal)]
        if any(name not in (None, proposal.family) for name in decided):
            return
        if block is not None or mark is not None:
            raise Refused(
                "InputSpent",
                "an input is spent in a block",
                got=str(mark.txid) if mark else f"block {block}",
                expected="inputs that are unspent",
            )

    def confirmed(self, spends: Iterable[Spend]) -> None:
        """Take in spends in blocks: votes and decisions of what is dead by them are removed."""
        concerned = self.concerned()
        for spend in spends:
            self.log.note(spend, concerned)
        self.follow()

    def concerned(self) -> frozenset[OutPoint]:
        """The outpoints whose spend matters here: guarded ones, and what else is hung on."""
        others = (known.proposal.spends for known in self.memory.known.values())
        told = (proposal.spends for proposal in self.told.values())
        return frozenset(self.memory.outpoints).union(*others, *told)

    def follow(self) -> None:
        """Look at all marks again: the heaviest chain has grown, or is another one."""
        for name, known in list(self.memory.known.items()):
            block = self.log.conflict(known.proposal)
            if block is not None:
                self.log.bury(name, block)
                self.memory.release(name)
        self.memory.close({o for o in self.memory.outpoints if self.log.settled(o)})
        # Those who told of it have let it go as well: nobody gives its votes any more.
        self.told = {
            name: told
            for name, told in self.told.items()
            if self.log.conflict(told) is None and not any(map(self.log.settled, told.outpoints))
        }

    def state_hash(self) -> bytes:
        """A digest of all that the rules remember: equal before and after every refusal."""
        state = [self.memory.state(), self.log.state(), self.epochs.state(), sorted(self.told)]
        return hashlib.sha256(encode(state)).digest()

    # What the rules share. None of these changes anything but the last one.

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

    def _own_epoch(self, messages: Sequence[Vote] | Sequence[Promise]) -> int:
        """The epoch of this operator's own message among verified ones, or 0."""
        own = [m.head.v[self.index] for m in messages if m.head.sender == self.index]
        return max(own, default=NO_EPOCH)

    def _check_newest(self, promises: Sequence[Promise]) -> None:
        newer = self._own_epoch(promises)
        if newer > self.epochs.epoch:
            raise Refused(
                "NotRecovered",
                "a newer instance of this operator has promised",
                got=f"epoch {self.epochs.epoch}",
                expected=f"epoch {newer}",
            )

    def _bare(self, known: Known) -> bool:
        """Whether a vote or decision names a transaction whose body is not here."""
        return not known.proposal.body and self.memory.is_bound(known.proposal.family)

    def _evidence(self, places: Sequence[Place]) -> int:
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
        return Standing("RoundTooFar", self._evidence(self.memory.places(proposal)))

    def _standing(self, proposal: Proposal) -> Standing:
        """The decision in the way; else the highest vote; else the promise alone."""
        places = self.memory.places(proposal)
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
        evidence = self._evidence(self.memory.places(proposal))
        known = self.memory.known.get(ballot[1])
        if known is None:  # only a promise or an opening named it, and there was no room
            return Standing(rule, evidence)
        return self._told(rule, evidence, known, ballot[0])

    def _told(self, rule: str, promised: int, known: Known, number: int) -> Standing:
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

    def _outranks(self, decision: Decision, name: Family) -> bool:
        """Whether a decision is of a higher ballot than the one that is noted for this family."""
        known = self.memory.known.get(name)
        if known is None or not known.decision:
            return False
        return (decision.round, decision.family) > (known.decision[0].round, name)

    def _remove_rivals(self, proposal: Proposal) -> None:
        """Remove conflicting votes on ALL outpoints of their transactions, not only shared ones.

        The last thing that a rule changes, after every check has passed.
        """
        for place in self.memory.places(proposal):
            if place.vote is not None and place.vote[1] != proposal.family:
                rival = place.vote[1]
                self.memory.unvote(rival, self.memory.known[rival].proposal.outpoints)


def _named(places: Sequence[Place]) -> frozenset[Family]:
    """The families that these outpoints name."""
    return frozenset().union(*(place.named for place in places))
