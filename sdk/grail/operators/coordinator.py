"""Brings one transaction to a decision (ROUNDS.md, COORDINATOR a to c). Anyone may run it.

It is trusted with nothing: every message is verified before it counts, and a lying or silent
operator is only left out. First all are asked for a vote at the fast ballot. When no quorum can
agree any more, the operator whose turn it is opens a round; promises tell whether our transaction
may be voted for, or which other one has to be finished first. That one is then finished by us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from grail.errors import QuorumNotReached, Refused, SignatureInvalid
from grail.operators import frames
from grail.operators.asking import Operators
from grail.operators.certificates import (
    Decision,
    Proposal,
    blocker,
    check_decision,
    consistent_subset,
)
from grail.operators.frames import Reply
from grail.operators.grants import Hello
from grail.operators.messages import Family, Message, Open, Promise, Scope, Standing, Vote
from grail.operators.report import VOID, Report

M = TypeVar("M", bound=Message)

SPENT = "build the transaction again on outputs that are unspent"
"""What to do when a block holds a spend of an input."""

TIMELY = frozenset({"HeightStale", "RecoveryNear", "RetiredRoster", "MoveNotEqual"})
"""What is answered to a request that was in time once: promises of others show that it was."""

LONELY = 3
"""Rounds in a row that too few answered before a coordinator gives up."""


@dataclass(frozen=True, slots=True)
class _Blocked:
    """Another family must be finished first; `again` in the same round, which is open for it."""

    proposal: Proposal
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Taken:
    """A decision that some operator holds already, for ours or for another family."""

    decision: Decision
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class _Failed:
    """It came to nothing; `above` is the highest round promised, `alive` how many answered.

    `behind` is what an operator knows for which the round was too far ahead.
    """

    above: int
    alive: int
    behind: int | None = None
    contested: bool = True


@dataclass
class Coordinator:
    """Decides one transaction among the operators.

    `read` computes the proposal of a signing request from its bytes, so nobody's word is taken for
    it; it raises `InvalidInput`. `passed_on` is called with each decision for another transaction
    that was found or made on the way; it raises `Refused` InputSpent when so many operators saw a
    spend of its inputs in a block that no quorum can sign it. Who still holds on to such a one, as
    an enclave must whose host hides that block, is left out.
    """

    operators: Operators
    read: Callable[[bytes], Proposal]
    passed_on: Callable[[Decision, Proposal], Awaitable[None]]
    _bodies: dict[Family, Proposal] = field(init=False, default_factory=dict, repr=False)
    _own: Family = field(init=False, default=Family(b""), repr=False)
    _apart: dict[Family, Report] = field(init=False, default_factory=dict, repr=False)
    _dead: set[Family] = field(init=False, default_factory=set, repr=False)

    @property
    def _scope(self) -> Scope:
        return self.operators.scope

    @property
    def _quorum(self) -> int:
        return self.operators.scope.quorum

    async def decide(self, proposal: Proposal) -> Decision:
        """D(F) for this proposal.

        Raises `Refused` OutpointTaken, with the winner's txid as `got`, when another transaction
        took an outpoint, InputSpent when a block holds a spend of an input, and `QuorumNotReached`
        when too few operators answer or agree.
        """
        self._bodies[proposal.family] = proposal
        self._own = proposal.family
        try:
            return await self._decide(proposal)
        except QuorumNotReached as exc:
            if exc.rule != "InputSpent":
                raise
            # No use in asking again, unlike for a quorum that was not there.
            raise Refused(exc.rule, exc.detail, hint=SPENT) from exc

    async def _decide(self, proposal: Proposal) -> Decision:
        first = await self._fast(proposal)
        if isinstance(first, Decision):
            return first
        if isinstance(first, _Taken):
            return await self._settle(first, proposal)
        if first.contested:
            return await self._contest(proposal, first.above)
        raise self.operators.report.failure("voted", first.alive, self._quorum)

    # a: the fast ballot

    async def _fast(self, proposal: Proposal) -> Decision | _Taken | _Failed:
        votes: dict[int, Vote] = {}
        contested: set[int] = set()
        refused: set[int] = set()
        ended: list[_Taken] = []
        above = [0]
        frame = frames.vote_frame(proposal.body)

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                votes[operator] = self._vote(operator, reply, 0, proposal)
            elif reply.standing is not None:
                contested.add(operator)
                above[0] = max(above[0], reply.standing.promised)
                if (taken := self._taken(reply.standing, proposal)) is not None:
                    ended.append(taken)
            else:
                refused.add(operator)
            return bool(ended) or self._agreed(votes)

        def hopeless(unheard: int) -> bool:
            return bool(contested) and len(_counted(votes)) + unheard < self._quorum

        def patient() -> bool:
            split = bool(contested) and len(votes) + len(contested) >= self._quorum
            return not split and len(refused) <= self._scope.n - self._quorum

        await self.operators.ask("voted", frame, heard, hopeless=hopeless, patient=patient)
        if ended:
            return ended[0]
        counted = await self._certified("voted", votes)
        if len(counted) < self._quorum:
            return _Failed(above[0], len(counted), contested=bool(contested))
        return check_decision(self._scope, counted, proposal)

    # b: ballots

    async def _contest(self, mine: Proposal, above: int) -> Decision:
        target, number, helped, lonely = mine, self.operators.next_round(above), 0, 0
        nearer = False
        for attempt in range(self.operators.limits.rounds):
            outcome = await self._ballot(number, target)
            match outcome:
                case Decision() if target.family == mine.family:
                    return outcome
                case Decision():
                    await self._finished(outcome, target, mine)
                    target = mine
                case _Taken() if outcome.proposal.family == mine.family:
                    return outcome.decision
                case _Taken():
                    await self._finished(outcome.decision, outcome.proposal, mine)
                    target = mine
                case _Blocked(again=True) if helped != number:
                    target, helped = outcome.proposal, number
                    continue
                case _Blocked():
                    target = mine if outcome.again else outcome.proposal
                case _Failed():
                    lonely = 0 if outcome.alive >= self._quorum else lonely + 1
                    if lonely >= LONELY:
                        raise self.operators.report.failure("promised", outcome.alive, self._quorum)
                    self._notice_spent(target)
                    number, target = max(number, outcome.above), mine
                    if outcome.behind is not None:
                        # Bring those that lag nearer first: half of what they go along with. Every
                        # other time: who opens that round may be far above it, and so for ever.
                        nearer = not nearer
                        number = outcome.behind + self._scope.n // 2 if nearer else number
                    await self.operators.pause(attempt)
            number = self.operators.next_round(number)
        raise self.operators.report.failure("agreed", 0, self._quorum)

    def _notice_spent(self, target: Proposal) -> None:
        """Raise `Refused` InputSpent when ours cannot confirm; another's is in the way no more.

        A few may hold a promise still and not have seen the block: the rounds would go on for them.
        """
        if not self._about(target.family).too_few_left("InputSpent"):
            return
        if target.family == self._own:
            raise Refused("InputSpent", "most operators saw a spend in a block", hint=SPENT)
        self._dead.add(target.family)

    async def _ballot(
        self, number: int, target: Proposal
    ) -> Decision | _Taken | _Blocked | _Failed:
        opened = await self._open(number, target)
        if not isinstance(opened, Open):
            return opened
        promises = await self._promises(opened, target)
        if not isinstance(promises, tuple):
            return promises
        return await self._votes(number, promises, target)

    async def _open(self, number: int, target: Proposal) -> Open | _Taken | _Blocked | _Failed:
        opener = number % self._scope.n
        answers: list[Open | _Taken | _Blocked | _Failed] = []

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                message = Open.parse(reply.blob())
                self._mine(operator, message, number, target)
                answers.append(message)
            elif reply.standing is not None:
                standing = reply.standing
                if (taken := self._taken(standing, target)) is not None:
                    answers.append(taken)
                elif standing.rule == "RoundOpened" and standing.body:
                    answers.append(_Blocked(self._rival(standing, target), again=True))
                else:
                    behind = standing.promised if standing.rule == "RoundTooFar" else None
                    answers.append(_Failed(standing.promised, self._quorum, behind))
            return True

        frame = frames.open_frame(number, target.body)
        await self._about(target.family).ask(
            "opened", frame, heard, (opener,), seconds=self.operators.limits.opener
        )
        # A silent opener says nothing about how many others are there: the next round will tell.
        return answers[0] if answers else _Failed(number, self._quorum)

    async def _promises(
        self, opened: Open, target: Proposal
    ) -> tuple[Promise, ...] | _Taken | _Blocked | _Failed:
        promises: dict[int, Promise] = {}
        refused: set[int] = set()
        lagging: dict[int, int] = {}
        late: set[int] = set()
        ended: list[_Taken] = []
        above = [opened.round]

        def blocked() -> tuple[int, Family] | None:
            return self._blocker(promises, target)

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                message = Promise.parse(reply.blob())
                self._mine(operator, message, opened.round, target)
                if message.outpoints != target.outpoints:
                    raise SignatureInvalid("promise: over other outpoints")
                promises[operator] = message
            elif reply.standing is not None:
                refused.add(operator)
                above[0] = max(above[0], reply.standing.promised)
                if reply.standing.rule == "RoundTooFar":
                    lagging[operator] = reply.standing.promised
                if (taken := self._taken(reply.standing, target)) is not None:
                    ended.append(taken)
            elif reply.refusal.rule in TIMELY:
                late.add(operator)
            return bool(ended) or (self._agreed(promises) and blocked() is None)

        def waiting() -> bool:
            return not self._agreed(promises)

        def hopeless(unheard: int) -> bool:
            return len(_counted(promises)) + unheard < self._quorum

        frame = frames.promise_frame(opened, target.body)
        await self._about(target.family).ask(
            "promised", frame, heard, hopeless=hopeless, patient=waiting
        )
        if (lagging or late) and waiting() and not ended:
            shown = frames.promise_frame(opened, target.body, list(promises.values()))
            again = (*lagging, *sorted(late))
            await self._about(target.family).ask("promised", shown, heard, again)
        if ended:
            return ended[0]
        alive = len(promises.keys() | refused)
        # A vote has a body. Where nobody who says that one stands in the way shows it, they may
        # lie: it goes on without them, while a quorum is left.
        left = dict(promises)
        while True:
            counted = await self._certified("promised", left)
            if len(counted) < self._quorum:
                return _Failed(above[0], alive, min(lagging.values(), default=None))
            in_the_way = self._blocker(left, target)
            if in_the_way is None:
                return tuple(counted)
            voters = [
                operator
                for operator, promise in left.items()
                if any(report.family == in_the_way[1] for report in promise.reports)
            ]
            if (other := await self._fetch(in_the_way[1], voters)) is not None:
                return _Blocked(other)
            for operator in voters:
                del left[operator]

    async def _votes(
        self, number: int, promises: tuple[Promise, ...], target: Proposal
    ) -> Decision | _Taken | _Failed:
        votes: dict[int, Vote] = {}
        ended: list[_Taken] = []
        above = [number]

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                votes[operator] = self._vote(operator, reply, number, target)
            elif reply.standing is not None:
                above[0] = max(above[0], reply.standing.promised)
                if (taken := self._taken(reply.standing, target)) is not None:
                    ended.append(taken)
            return bool(ended) or self._agreed(votes)

        def hopeless(unheard: int) -> bool:
            return len(_counted(votes)) + unheard < self._quorum

        frame = frames.ballot_frame(promises, target.body)
        await self._about(target.family).ask("voted", frame, heard, hopeless=hopeless)
        if ended:
            return ended[0]
        counted = await self._certified("voted", votes)
        if len(counted) < self._quorum:
            return _Failed(above[0], self._quorum)
        return check_decision(self._scope, counted, target)

    # c: what was decided for others

    async def _settle(self, taken: _Taken, mine: Proposal) -> Decision:
        """Ours is decided already: take it. Another one is: pass it on, then ours if it can be."""
        if taken.proposal.family == mine.family:
            return taken.decision
        await self._finished(taken.decision, taken.proposal, mine)
        return await self._contest(mine, taken.decision.round)

    async def _finished(self, decision: Decision, winner: Proposal, mine: Proposal) -> None:
        """Pass another's decision on. Raises `Refused` OutpointTaken when ours is dead by it."""
        try:
            await self.passed_on(decision, winner)
        except Refused as exc:
            if exc.rule != "InputSpent":
                raise
            self._dead.add(winner.family)
            return
        shared = sorted(set(winner.outpoints) & set(mine.outpoints))
        if shared:
            raise Refused(
                "OutpointTaken",
                f"another transaction spends {shared[0]}",
                got=str(winner.txid),
                expected=str(mine.txid),
                hint="build the transaction again on the winner's outputs",
            )

    def _taken(self, standing: Standing, target: Proposal) -> _Taken | None:
        """The decision that a standing carries, verified; None without one that can confirm."""
        if not standing.decision or standing.family in self._dead:
            return None
        other = self._rival(standing, target)
        try:
            return _Taken(check_decision(self._scope, standing.decision, other), other)
        except Refused as exc:
            raise SignatureInvalid(f"a decision that is none: {exc}") from exc

    def _rival(self, standing: Standing, target: Proposal) -> Proposal:
        """The transaction of a standing. Raises `SignatureInvalid` when it is not in the way."""
        other = target if standing.family == target.family else self._body(standing)
        if other is None and standing.family is not None and standing.txid is not None:
            # Its body was dropped: the votes still tell the family and the outpoints.
            other = Proposal(standing.family, standing.outpoints, standing.txid, b"")
        if other is None or set(other.outpoints).isdisjoint(target.outpoints):
            raise SignatureInvalid("what is said to stand in the way does not")
        return other

    def _body(self, standing: Standing) -> Proposal | None:
        """The transaction of a standing, computed from its body, where it has one."""
        if standing.family is None:
            return None
        if standing.family not in self._bodies:
            if not standing.body:
                return None
            other = self.read(standing.body)
            if other.family != standing.family:
                raise SignatureInvalid("the body is another transaction's")
            self._bodies[other.family] = other
        return self._bodies[standing.family]

    async def _fetch(self, wanted: Family, operators: Collection[int]) -> Proposal | None:
        if wanted not in self._bodies:

            def heard(_operator: int, reply: Reply) -> bool:
                if reply.refusal is None and reply.body is not None:
                    self._body(Standing.from_fields(reply.body))
                return wanted in self._bodies

            frame = frames.body_frame(wanted)
            await self._about(wanted).ask("told", frame, heard, operators=operators)
        return self._bodies.get(wanted)

    # which messages make a certificate

    def _blocker(
        self, promises: Mapping[int, Promise], target: Proposal
    ) -> tuple[int, Family] | None:
        counted = list(_counted(promises).values())
        return blocker(self._scope.n, self._quorum, counted, target, self._dead)

    def _agreed(self, messages: Mapping[int, M]) -> bool:
        return len(messages) >= self._quorum and len(_counted(messages)) >= self._quorum

    async def _certified(self, stage: str, messages: Mapping[int, M]) -> list[M]:
        """The messages that count together; who is left out, and so that it is, is reported.

        When too few are left, those left out are told why, so that they may count the next time.
        """
        counted = _counted(messages)
        left_out = sorted(messages.keys() - counted.keys())
        for operator in left_out:
            text = "its instance was replaced, or it says so of others"
            self.operators.report.add(stage, operator, VOID, text, 0.0)
        if len(counted) < self._quorum:
            for operator in left_out:
                await self._tell_replaced(operator, messages)
        return list(counted.values())

    async def _tell_replaced(self, operator: int, messages: Mapping[int, Message]) -> None:
        """Show an operator the word of its newer instance, so that it asks for an epoch again.

        That one may be gone before it had the epoch that it asked for: then nobody else tells it,
        and what it says is void for ever. Whoever only says that there is one has no word to show.
        """
        had = messages[operator].head.v[operator]
        words: list[Hello] = []

        def heard(_operator: int, reply: Reply) -> bool:
            if reply.refusal is None and reply.body is not None:
                hello = Hello.parse(reply.blob())
                hello.verify(self._scope)
                if hello.head.sender != operator or hello.epoch <= had:
                    raise SignatureInvalid("hello: another's, or of no newer instance")
                words.append(hello)
            return bool(words)

        apart = replace(self.operators, report=Report())
        accusers = [o for o, message in messages.items() if message.head.v[operator] > had]
        await apart.ask("told", frames.newest_frame(operator, self._scope.roster), heard, accusers)
        if words:
            frame = frames.grant_frame(words[0])
            await apart.ask("told", frame, lambda _operator, _reply: True, (operator,))

    # asking, and judging what comes back

    def _about(self, family: Family) -> Operators:
        """The operators, to be asked about a transaction.

        What they answer about another's, which has to be finished first, is no answer about ours:
        it goes into a report of its own.
        """
        if family == self._own:
            return self.operators
        return replace(self.operators, report=self._apart.setdefault(family, Report()))

    def _mine(
        self, operator: int, message: Open | Promise | Vote, number: int, of: Proposal
    ) -> None:
        """Raise unless that operator signed this message for this round and transaction."""
        message.verify(self._scope)
        if message.head.sender != operator:
            raise SignatureInvalid(f"{message.KIND}: of operator {message.head.sender}")
        if (message.round, message.family) != (number, of.family):
            raise SignatureInvalid(f"{message.KIND}: for another ballot")

    def _vote(self, operator: int, reply: Reply, number: int, of: Proposal) -> Vote:
        message = Vote.parse(reply.blob())
        self._mine(operator, message, number, of)
        if message.outpoints != of.outpoints:
            raise SignatureInvalid("vote: over other outpoints")
        return message


def _counted(messages: Mapping[int, M]) -> dict[int, M]:
    """As many as are consistent: one that was replaced, or a liar, makes all others void."""
    return consistent_subset(messages, 0) or {}
