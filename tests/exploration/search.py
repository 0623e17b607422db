"""A search through all states, in order of distance, so that the first way found is a shortest."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .instances import Instances

Progress = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Step:
    """One operator's part in a schedule: its state before and after, and what was asked of it.

    Without a state before, it is an event of the whole network.
    """

    text: str
    before: Any = None
    after: Any = None
    request: tuple[Any, ...] = ()
    answer: Any = None


class Model(Protocol):
    """States, what follows them, and what must hold in each."""

    name: str
    instances: Instances

    def start(self) -> Any: ...

    def seats(self, state: Any) -> list[tuple[str, int, int]]: ...

    def key(self, state: Any) -> Hashable: ...

    def following(self, state: Any) -> Iterator[tuple[tuple[Step, ...], Any]]: ...

    def decided(self, state: Any) -> Sequence[str]: ...

    def wrong(self, state: Any) -> str: ...

    def stuck(self, state: Any) -> str: ...


@dataclass(frozen=True)
class Found:
    """A state that must not be, and the way to it."""

    what: str
    stuck: bool
    state: Any
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Explored:
    """What a search saw, in seconds of one core. `verdict`: whether it closed, or how far it went."""

    name: str
    states: int
    transitions: int
    decisions: int
    deadlocks: int
    violations: int
    seconds: float
    verdict: str
    found: tuple[Found, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.states:,} states, {self.transitions:,} transitions, "
            f"{self.decisions:,} with a decision, deadlocks {self.deadlocks}, "
            f"violations {self.violations}, {self.verdict}, {self.seconds:.1f} s"
        )


def search(
    model: Model,
    verdict: str,
    progress: Progress | None = None,
    *,
    first: bool = False,
    seconds: float | None = None,
) -> Explored:
    """Visit every state of a model; with `first`, stop at the first that must not be."""
    began, said = time.process_time(), time.monotonic()
    start = model.start()
    # What led to each state: the state before it, and the step.
    came: dict[Hashable, tuple[Any, tuple[Step, ...]] | None] = {model.key(start): None}
    todo = deque([start])
    transitions = decisions = deadlocks = violations = 0
    found: list[Found] = []

    def way(state: Any) -> tuple[Step, ...]:
        parts = []
        while (last := came[model.key(state)]) is not None:
            state, steps = last
            parts.append(steps)
        return tuple(step for steps in reversed(parts) for step in steps)

    while todo:
        state = todo.popleft()
        decisions += bool(model.decided(state))
        wrong = model.wrong(state)
        stuck = "" if wrong else model.stuck(state)
        if wrong or stuck:
            violations += bool(wrong)
            deadlocks += bool(stuck)
            if not found or (first and not wrong):
                found.append(Found(wrong or stuck, bool(stuck), state, way(state)))
            if first:
                break
        for steps, after in model.following(state):
            transitions += 1
            key = model.key(after)
            if key not in came:
                came[key] = (state, steps)
                todo.append(after)
        if progress and time.monotonic() > said + 5:
            said = time.monotonic()
            progress(f"{model.name}: {len(came):,} states, {len(todo):,} to go on from")
        if seconds is not None and time.process_time() > began + seconds:
            verdict = f"NOT exhausted, {len(todo):,} to go on from"
            break
    return Explored(
        model.name,
        len(came),
        transitions,
        decisions,
        deadlocks,
        violations,
        time.process_time() - began,
        verdict,
        tuple(found),
    )
