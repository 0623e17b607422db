"""Attested enclaves that hold one roster: where the roster's part of a schedule begins.

They link, vouch for the first roster, say state 0 and hear each other, all by frames, once in a
process. What each of them knows then is copied into the instances with which a schedule begins.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, TypeVar

from society_world import IMAGE, NEXT, Towns, attesting

from grail.operators import frames
from grail.operators.configuration import Configuration
from grail.operators.frames import Frame
from grail.operators.link_frames import images_frame
from grail.roster.state import RosterState
from grail_enclave.society import Society
from simulation.crew import crew, per_crew
from simulation.market import market
from simulation.quiet import links, papers_of

FRESH = 28
"""Seconds for which a sign of life is good: what is said comes round to all, and back, in twenty."""

OTHER = (bytes([0xFC]) * 48, *NEXT[1:])
"""A build that liars want."""

T = TypeVar("T")


@per_crew
def configuration() -> Configuration:
    """The market's, with attestation asked for."""
    return replace(market().world.configuration, attesting=attesting(fresh_seconds=FRESH))


@per_crew
def town() -> Towns:
    """All of them, at the second 0 of their clocks."""
    with links("town"):
        made = Towns(configuration(), [])
        for key in crew().keys:
            made.add(key, own=papers_of(configuration()))  # type: ignore[arg-type]
        made.link_all()
        made.agree()
        market().world.feed(*(station.enclave for station in made.stations))
        made.say(made.first_state())
        made.ticks(4)
    return made


def settled(society: Society, operator: int, began: float) -> None:
    """Let an enclave know what its like in the town does; `began` is what its own clock shows."""
    like = town().stations[operator].enclave._society
    assert like is not None
    assert like._view is not None
    view = _apart(like._view)
    view._numbers = [_apart(number) for number in view._numbers]
    pulse = _apart(like._pulse)
    pulse.clock = society._pulse.clock
    for known in (pulse._sent, pulse._alive):
        for name in known:
            known[name] += began  # type: ignore[index]
    society._view, society._pulse = view, pulse


def _apart(thing: T) -> T:
    """A copy that shares nothing that changes."""
    made = copy.copy(thing)
    for name, value in vars(made).items():
        if isinstance(value, dict | list | set):
            setattr(made, name, copy.copy(value))
    return made


def wished(before: RosterState, *, rival: bool = False) -> Frame:
    """What all hosts want next: one seat elsewhere, then another build. Liars want another one."""
    number = before.number + 1
    if number % 2 == 0:
        more = OTHER if rival else NEXT
        more_or_less = (IMAGE,) if more in before.images else tuple(sorted([IMAGE, more]))
        return images_frame(more_or_less)
    seats: list[Any] = list(before.seats)
    at = number % len(seats)
    seats[at] = replace(seats[at], zone=f"{'rival' if rival else 'zone'}-{number}")
    previous = before.digest(market().world.network.id)
    state = replace(before, number=number, previous=previous, seats=tuple(seats))
    return Frame(frames.ROSTER_SAY, state.serialize())
