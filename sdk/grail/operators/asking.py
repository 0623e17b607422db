"""Asking operators in parallel, and judging what comes back.

A reply counts only once it is verified: refusals here, everything else by whoever asked. What an
operator said, or that it said nothing, goes into the report.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random, SystemRandom

import anyio

from grail.errors import (
    DecodeError,
    GrailError,
    Incorrect,
    InvalidInput,
    Refused,
    Unavailable,
)
from grail.operators.frames import Frame, Reply
from grail.operators.messages import Scope
from grail.operators.report import LATE, LIED, REFUSED, RIVAL, SILENT, Report
from grail.operators.transport import Transport

Heard = Callable[[int, Reply], bool]
"""Takes an operator's reply; True when no more answers are needed."""


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


@dataclass
class Operators:
    """The operators of a scope, as one who asks them for one request sees them."""

    scope: Scope
    transport: Transport
    limits: Limits = field(default_factory=Limits)
    report: Report = field(default_factory=Report)
    chance: Random = field(default_factory=SystemRandom, repr=False)

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

    def too_few_left(self, *rules: str) -> bool:
        """Whether so many operators' last answers refuse by these rules that no quorum is left."""
        told = sum(self.report.refusing(rule) for rule in rules)
        return told > self.scope.n - self.scope.quorum

    async def pause(self, attempt: int) -> None:
        """Pause before the next try, longer each time, by chance shorter."""
        longest = min(self.limits.base * 2.0 ** min(attempt, 20), self.limits.cap)
        await anyio.sleep(longest * self.chance.random())

    def next_round(self, number: int) -> int:
        """The next round whose opener answered when it was last asked, or just the next one."""
        silent = {a.operator for a in self.report.latest.values() if a.verdict == SILENT}
        for candidate in range(number + 1, number + 1 + self.scope.n):
            if candidate % self.scope.n not in silent:
                return candidate
        return number + 1


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
