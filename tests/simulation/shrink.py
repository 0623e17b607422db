"""Makes a failing schedule smaller while it still fails in the same way.

Greedy: leave out one user, one event, one sick operator, one kind of noise after the other, again
and again, until nothing can be left out. What is left is what the failure needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from simulation.schedule import ECLIPSE, HOLD, SAY, STRANGER, Schedule

MOST = 300
"""Plays at most: a schedule that fails slowly is left as large as it is."""

OF_ROSTER = (SAY, ECLIPSE, HOLD, STRANGER)
"""Events that need a roster to befall."""

Fails = Callable[[Schedule], str]
"""Plays a schedule; the invariant that breaks, or nothing."""


def shrunk(schedule: Schedule, fails: Fails, most: int = MOST) -> Schedule:
    """The smallest schedule found that breaks the same invariant."""
    why, plays = fails(schedule), 1
    assert why, "the schedule does not fail"
    smaller = True
    while smaller:
        smaller = False
        for candidate in _without(schedule):
            if plays >= most:
                return schedule
            plays += 1
            if fails(candidate) == why:
                schedule, smaller = candidate, True
                break
    return schedule


def _without(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule with one thing less, the largest things first."""
    if schedule.roster:
        plain = replace(schedule, roster=False, sealed=False)
        yield replace(plain, events=tuple(e for e in schedule.events if e.kind not in OF_ROSTER))
    if len(schedule.events) > 3:
        half = len(schedule.events) // 2
        yield replace(schedule, events=schedule.events[:half])
        yield replace(schedule, events=schedule.events[half:])
    for at in range(len(schedule.asks)):
        kept = schedule.asks[:at] + schedule.asks[at + 1 :]
        if kept:
            yield replace(schedule, asks=kept)
    for at in range(len(schedule.events)):
        yield replace(schedule, events=schedule.events[:at] + schedule.events[at + 1 :])
    for operator in schedule.sick:
        sick = {n: kind for n, kind in schedule.sick.items() if n != operator}
        yield replace(schedule, sick=sick)
    if schedule.sealed:
        yield replace(schedule, sealed=False)
    for name in ("loss", "duplicates"):
        if getattr(schedule, name):
            yield replace(schedule, **{name: 0.0})
    for at, ask in enumerate(schedule.asks):
        if ask.vanishes is not None or ask.again:
            plain = replace(ask, vanishes=None, again=False)
            yield replace(schedule, asks=(*schedule.asks[:at], plain, *schedule.asks[at + 1 :]))
