"""Brings one transaction to a decision (ROUNDS.md, COORDINATOR a to c). Anyone may run it.

It is trusted with nothing: every message is verified before it counts, and a lying or silent
operator is only left out. First all are asked for a vote at the fast ballot. When no quorum can
agree any more, the operator whose turn it is opens a round; promises tell whether our transaction
may be voted for, or which other one has to be finished first. That one is then finished by us.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from random import Random

import anyio

from grail.errors import (
    DecodeError,
    GrailError,
    Incorrect,
    InvalidInput,
    Refused,
    SignatureInvalid,
    Unavailable,
)
from grail.operators import frames
from grail.operators.certificates import (
    Decision,
    Proposal,
    blocker,
    check_decision,
)
from grail.operators.frames import Frame, Reply
from grail.operators.messages import Family, Open, Promise, Scope, Standing, Vote
from grail.operators.report import LATE, LIED, REFUSED, RIVAL, SILENT, Report
from grail.operators.transport import Transport

Heard = Callable[[int, Reply], bool]
"""Takes an operator's reply; True when no more answers are needed."""


LONELY = 3
"""Rounds in a row that too few answered before a coordinator gives up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds, and how often to try. None of it matters for safety.

    `answer` is the most for one answer, `opener` for one that opens a round; `straggler` is what
    late ones get when a quorum has answered but does not agree. Who gives no answer is asked up to
    `tries` times: an answer that was lost is given again. A failed round is followed by a pause of
    `base` doubled each time, at most `cap`, shortened by chance; after `rounds` of them it is over.
    """

    answer: float = 10.0
    opener: float = 3.0
    straggler: float = 0.5
    tries: int = 1
    base: float = 0.05
    cap: float = 3.0
    rounds: int = 40


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
    """Decides one transaction among the operators of a scope.

    `read` computes the proposal of a signing request from its bytes, so nobody's word is taken for
    it; it raises `InvalidInput`. `passed_on` is called with each decision for another transaction
    that was found or made on the way.
    """

    scope: Scope
    transport: Transport
    read: Callable[[bytes], Proposal]
    passed_on: Callable[[Decision, Proposal], Awaitable[None]]
    limits: Limits = field(default_factory=Limits)
    report: Report = field(default_factory=Report)
    chance: Random = field(default_factory=Random, repr=False)
    _bodies: dict[Family, Proposal] = field(init=False, default_factory=dict, repr=False)

    async def decide(self, proposal: Proposal) -> Decision:
        """D(F) for this proposal.

        Raises `Refused` OutpointTaken, with the winner's txid as `got`, when another transaction
        took an outpoint, and `QuorumNotReached` when too few operators answer or agree.
        """
        self._bodies[proposal.family] = proposal
        first = await self._fast(proposal)
        if isinstance(first, Decision):
            return first
        if isinstance(first, _Taken):
            return await self._settle(first, proposal)
        if first.contested:
            return await self._contest(proposal, first.above)
        raise self.report.failure("voted", first.alive, self.scope.quorum)

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
            return bool(ended) or len(votes) >= self.scope.quorum

        def hopeless(unheard: int) -> bool:
            return bool(contested) and len(votes) + unheard < self.scope.quorum

        def patient() -> bool:
            split = bool(contested) and len(votes) + len(contested) >= self.scope.quorum
            return not split and len(refused) <= self.scope.n - self.scope.quorum

        await self.ask("voted", frame, heard, hopeless=hopeless, patient=patient)
        if ended:
            return ended[0]
        if len(votes) >= self.scope.quorum:
            return check_decision(self.scope, list(votes.values()), proposal)
        return _Failed(above[0], len(votes), contested=bool(contested))

    # b: ballots

    async def _contest(self, mine: Proposal, above: int) -> Decision:
        target, number, helped, lonely = mine, self._next(above), 0, 0
        for attempt in range(self.limits.rounds):
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
                    lonely = 0 if outcome.alive >= self.scope.quorum else lonely + 1
                    if lonely >= LONELY:
                        raise self.report.failure("promised", outcome.alive, self.scope.quorum)
                    number, target = max(number, outcome.above), mine
                    if outcome.behind is not None:
                        # Bring those that lag nearer first: half of what they go along with.
                        number = outcome.behind + self.scope.n // 2
                    await self.hold(attempt)
            number = self._next(number)
        raise self.report.failure("agreed", 0, self.scope.quorum)

    def _next(self, number: int) -> int:
        """The next round whose opener answered when it was last asked, or just the next one."""
        silent = {a.operator for a in self.report.latest.values() if a.verdict == SILENT}
        for candidate in range(number + 1, number + 1 + self.scope.n):
            if candidate % self.scope.n not in silent:
                return candidate
        return number + 1

    async def hold(self, attempt: int) -> None:
        """Pause before the next try, longer each time, by chance shorter."""
        longest = min(self.limits.base * 2.0 ** min(attempt, 20), self.limits.cap)
        await anyio.sleep(longest * self.chance.random())

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
        opener = number % self.scope.n
        answers: list[Open | _Taken | _Blocked | _Failed] = []

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                message = Open.parse(_bytes(reply.body))
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
                    answers.append(_Failed(standing.promised, self.scope.quorum, behind))
            return True

        frame = frames.open_frame(number, target.body)
        await self.ask("opened", frame, heard, (opener,), seconds=self.limits.opener)
        # A silent opener says nothing about how many others are there: the next round will tell.
        return answers[0] if answers else _Failed(number, self.scope.quorum)

    async def _promises(
        self, opened: Open, target: Proposal
    ) -> tuple[Promise, ...] | _Taken | _Blocked | _Failed:
        promises: dict[int, Promise] = {}
        refused: set[int] = set()
        lagging: dict[int, int] = {}
        ended: list[_Taken] = []
        above = [opened.round]

        def blocked() -> tuple[int, Family] | None:
            scope = self.scope
            return blocker(scope.n, scope.quorum, list(promises.values()), target)

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                message = Promise.parse(_bytes(reply.body))
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
            return bool(ended) or (len(promises) >= self.scope.quorum and blocked() is None)

        def waiting() -> bool:
            return len(promises) < self.scope.quorum

        def hopeless(unheard: int) -> bool:
            return len(promises) + unheard < self.scope.quorum

        frame = frames.promise_frame(opened, target.body)
        await self.ask("promised", frame, heard, hopeless=hopeless, patient=waiting)
        if lagging and waiting() and not ended:
            shown = frames.promise_frame(opened, target.body, list(promises.values()))
            await self.ask("promised", shown, heard, tuple(lagging))
        if ended:
            return ended[0]
        alive = len(promises.keys() | refused)
        if len(promises) < self.scope.quorum:
            return _Failed(above[0], alive, min(lagging.values(), default=None))
        in_the_way = blocked()
        if in_the_way is None:
            return tuple(promises.values())
        voters = [
            operator
            for operator, promise in promises.items()
            if any(report.family == in_the_way[1] for report in promise.reports)
        ]
        other = await self._fetch(in_the_way[1], voters)
        return _Failed(above[0], alive) if other is None else _Blocked(other)

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
            return bool(ended) or len(votes) >= self.scope.quorum

        def hopeless(unheard: int) -> bool:
            return len(votes) + unheard < self.scope.quorum

        frame = frames.ballot_frame(promises, target.body)
        await self.ask("voted", frame, heard, hopeless=hopeless)
        if ended:
            return ended[0]
        if len(votes) < self.scope.quorum:
            return _Failed(above[0], self.scope.quorum)
        return check_decision(self.scope, list(votes.values()), target)

    # c: what was decided for others

    async def _settle(self, taken: _Taken, mine: Proposal) -> Decision:
        """Ours is decided already: take it. Another one is: pass it on, then ours if it can be."""
        if taken.proposal.family == mine.family:
            return taken.decision
        await self._finished(taken.decision, taken.proposal, mine)
        return await self._contest(mine, taken.decision.round)

    async def _finished(self, decision: Decision, winner: Proposal, mine: Proposal) -> None:
        """Pass another's decision on. Raises `Refused` OutpointTaken when ours is dead by it."""
        await self.passed_on(decision, winner)
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
        """The decision that a standing carries, verified; None when it carries none."""
        if not standing.decision:
            return None
        other = self._rival(standing, target)
        try:
            return _Taken(check_decision(self.scope, standing.decision, other), other)
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

            await self.ask("told", frames.body_frame(wanted), heard, operators=operators)
        return self._bodies.get(wanted)

    # asking, and judging what comes back

    def _mine(
        self, operator: int, message: Open | Promise | Vote, number: int, of: Proposal
    ) -> None:
        """Raise unless that operator signed this message for this round and transaction."""
        message.verify(self.scope)
        if message.head.sender != operator:
            raise SignatureInvalid(f"{message.KIND}: of operator {message.head.sender}")
        if (message.round, message.family) != (number, of.family):
            raise SignatureInvalid(f"{message.KIND}: for another ballot")

    def _vote(self, operator: int, reply: Reply, number: int, of: Proposal) -> Vote:
        message = Vote.parse(_bytes(reply.body))
        self._mine(operator, message, number, of)
        if message.outpoints != of.outpoints:
            raise SignatureInvalid("vote: over other outpoints")
        return message

    async def ask(
        self,
        stage: str,
        frame: Frame,
        heard: Heard,
        operators: Collection[int] | None = None,
        *,
        seconds: float | None = None,
        hopeless: Callable[[int], bool] | None = None,
        patient: Callable[[], bool] | None = None,
    ) -> None:
        """Ask in parallel until `heard` says enough, `hopeless` says never, or time is over.

        `heard` gets verified refusals, and replies that it verifies itself by raising.
        """
        asked = range(self.scope.n) if operators is None else operators
        unheard = set(asked)

        def take(operator: int, said: Reply | GrailError, seconds: float) -> bool:
            unheard.discard(operator)
            verdict, text, enough = self._judge(stage, frame, heard, operator, said)
            self.report.add(stage, operator, verdict, text, seconds)
            return enough or (hopeless is not None and hopeless(len(unheard)))

        await ask_all(
            self.transport,
            asked,
            frame,
            take,
            seconds=seconds or self.limits.answer,
            tries=self.limits.tries,
            straggler=self.limits.straggler,
            patient=patient,
        )
        for operator in sorted(unheard - self.report.latest.keys()):
            self.report.add(stage, operator, LATE, "the others were enough", 0.0)

    def _judge(
        self, stage: str, frame: Frame, heard: Heard, operator: int, said: Reply | GrailError
    ) -> tuple[str, str, bool]:
        """The verdict on an answer, a text that says more, and whether it was the last needed."""
        if isinstance(said, DecodeError):
            return LIED, f"unreadable answer: {said}", False
        if isinstance(said, Refused):
            return REFUSED, str(said), False
        if isinstance(said, GrailError):
            return SILENT, str(said), False
        try:
            verdict, text = stage, ""
            if said.refusal is not None:
                key = self.scope.keys[operator]
                said.refusal.verify(self.scope.network, key, frame.subject)
                verdict, text = REFUSED, f"{said.refusal.rule}: {said.refusal.message}"
                if said.standing is not None:
                    verdict, text = RIVAL, said.standing.rule
            return verdict, text, heard(operator, said)
        except (Incorrect, InvalidInput) as exc:
            return LIED, str(exc), False


def _bytes(body: object) -> bytes:
    if not isinstance(body, bytes):
        raise DecodeError("reply: expected a signed message")
    return body


async def ask_all(
    transport: Transport,
    operators: Collection[int],
    frame: Frame,
    take: Callable[[int, Reply | GrailError, float], bool],
    *,
    seconds: float,
    tries: int = 1,
    straggler: float = 0,
    patient: Callable[[], bool] | None = None,
) -> None:
    """Ask operators in parallel; `take` gets each answer or error, and ends it all with True.

    Once `patient` says no, those that have not answered yet get `straggler` seconds more.
    """
    started = anyio.current_time()
    done = False
    async with anyio.create_task_group() as group:

        async def one(operator: int) -> None:
            nonlocal done
            said: Reply | GrailError
            for _ in range(tries):
                try:
                    with anyio.fail_after(seconds):
                        said = await transport.ask(operator, frame)
                except TimeoutError:
                    said = Unavailable(f"no answer in {seconds:g} s")
                except GrailError as exc:
                    said = exc
                if not isinstance(said, Unavailable):
                    break
            if done:
                return
            now = anyio.current_time()
            if take(operator, said, now - started):
                done = True
                group.cancel_scope.cancel()
            elif patient is not None and not patient():
                scope = group.cancel_scope
                scope.deadline = min(scope.deadline, now + straggler)

        for operator in operators:
            group.start_soon(one, operator)
