"""What an enclave knows of the date, and how far a host can shift it: docs/time.md, to the second."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail.attestation.clock import (
    CHAIN_AHEAD,
    DRIFT,
    MAX_READINGS,
    MODULE_SECONDS,
    Clock,
    Reading,
    Span,
)
from grail.attestation.verifier import NONCE_SECONDS
from grail.errors import AttestationInvalid
from grail.types import XOnlyKey

PRESENT = 1_800_000_000.0
"""The date when the own clock shows 0."""
KEYS = [XOnlyKey(bytes([number]) * 32) for number in range(1, 17)]
OWN = KEYS[0]


@dataclass
class Time:
    """The own monotonic clock, and the date that nobody in the enclave can see.

    `pace`: seconds that really pass in one of the own ones.
    """

    pace: float = 1.0
    now: float = 0.0
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(OWN, lambda: self.now)

    @property
    def date(self) -> float:
        return PRESENT + self.now * self.pace

    def reading(self, *, delay: float, told: float, off: float) -> Reading:
        """An answer that took `delay` by the own clock, of a module whose clock is `off`.

        `told`: after how much of that time the module was asked; 0 at once, 1 at its end.
        """
        asked = self.now
        self.now += delay
        return Reading(
            PRESENT + (asked + told * delay) * self.pace + off,
            asked,
            self.now,
        )


def takes(clock: Clock, reading: Reading) -> str:
    try:
        clock.check(reading)
    except AttestationInvalid as exc:
        return exc.rule
    return ""


def shifted(*, told: float, off: float, pace: float, age: float) -> Time:
    """A clock of 16 members, 12 of them honest, whose answers the host held back for a minute."""
    world = Time(pace)
    world.clock.follow(KEYS, 4)
    begun = world.now
    for key in KEYS[:12]:
        world.now = begun
        world.clock.note(key, world.reading(delay=NONCE_SECONDS, told=told, off=off))
    for key in KEYS[12:]:  # and four that lie as they like, in the same direction
        world.clock.note(key, Reading(PRESENT + math.copysign(1e9, off), begun, world.now))
    world.now = begun + age
    return world


# How far a document may be from the present, by docs/time.md: D and d are delays of a minute, e is
# a module's error, a the age of the oldest reading (since it was asked), r the drift.
D, E, R = NONCE_SECONDS, MODULE_SECONDS, DRIFT


def behind(age: float, delay: float = D) -> float:
    return 3 * E + D * (1 - R) + delay * (1 + R) + 2 * R * age


def ahead(age: float) -> float:
    return 3 * E + D * (1 - R) + 2 * R * age


@pytest.mark.parametrize("age", [60.0, 3_660.0, 86_400.0])
def test_A11_a_host_shifts_the_clock_back_to_the_bound_and_no_second_more(age: float) -> None:
    """Honest answers held back, told early by slow modules, by a clock whose pace is off."""
    world = shifted(told=0, off=-E, pace=1 + R, age=age)
    assert world.clock.span().low == pytest.approx(world.date - (behind(age, 0) - E))
    at, bound = world.now, behind(age)
    for seconds, rule in ((0.0, ""), (bound - 0.001, ""), (bound + 1, "TimeBehind")):
        late = Reading(world.date - seconds, at - D, at)
        assert takes(world.clock, late) == rule


@pytest.mark.parametrize("age", [60.0, 3_660.0, 86_400.0])
def test_A11_a_host_shifts_the_clock_on_to_the_bound_and_no_second_more(age: float) -> None:
    world = shifted(told=1, off=E, pace=1 - R, age=age)
    assert world.clock.span().high == pytest.approx(world.date + (ahead(age) - E))
    at, bound = world.now, ahead(age)
    for seconds, rule in ((0.0, ""), (bound - 0.001, ""), (bound + 1, "TimeAhead")):
        early = Reading(world.date + seconds, at, at)
        assert takes(world.clock, early) == rule


def test_A11_the_bounds_are_those_that_the_page_names() -> None:
    """Minutes for a document, an hour after the last answers; the page has the table."""
    assert [round(behind(age), 1) for age in (60, 3_660, 90_000)] == [126.1, 133.3, 306.0]
    assert [round(ahead(age), 1) for age in (60, 3_660, 90_000)] == [66.1, 73.3, 245.9]


readings = st.tuples(
    st.floats(0, NONCE_SECONDS), st.floats(0, 1), st.floats(-MODULE_SECONDS, MODULE_SECONDS)
)
lies = st.floats(-1e10, 1e10)


@given(
    st.lists(readings, min_size=9, max_size=12),
    st.lists(lies, max_size=4),
    st.floats(1 - DRIFT, 1 + DRIFT),
    st.floats(0, 1e6),
    readings,
)
def test_A11_the_present_is_in_the_span_and_no_honest_document_is_refused(
    honest: list[tuple[float, float, float]],
    false: list[float],
    pace: float,
    later: float,
    last: tuple[float, float, float],
) -> None:
    """Whatever hosts delay within a minute, four modules say, and both paces make of it."""
    world = Time(pace)
    world.clock.follow(KEYS, 4)
    keys = iter(KEYS)
    for lie in false:
        world.clock.note(next(keys), Reading(PRESENT + lie, world.now, world.now))
    for delay, told, off in honest:
        world.clock.note(next(keys), world.reading(delay=delay, told=told, off=off))
    world.now += later
    span = world.clock.span()
    assert span.low - 1e-6 <= world.date <= span.high + 1e-6
    delay, told, off = last
    assert takes(world.clock, world.reading(delay=delay, told=told, off=off)) == ""


def test_A11_five_of_sixteen_would_have_to_lie() -> None:
    for liars, rule in ((4, ""), (5, "TimeAhead")):
        world = Time()
        world.clock.follow(KEYS, 4)
        for number, key in enumerate(islice(KEYS, 9)):
            off = -86_400.0 if number < liars else 0.0
            world.clock.note(key, world.reading(delay=0, told=0, off=off))
        assert takes(world.clock, Reading(PRESENT, 0, 0)) == rule


def test_A11_without_a_quorum_the_own_module_is_believed_and_without_it_nobody() -> None:
    world = Time()
    assert world.clock.span() == Span()
    assert world.clock.latest == math.inf
    assert takes(world.clock, Reading(0, 0, 0)) == takes(world.clock, Reading(1e12, 0, 0)) == ""
    world.clock.follow(KEYS, 4)
    for key in KEYS[1:9]:  # one fewer than 2 * 4 + 1
        world.clock.note(key, Reading(PRESENT - 86_400, 0, 0))
    assert world.clock.span() == Span()
    world.clock.note(OWN, Reading(PRESENT, 0, 0))  # with it there are nine
    assert world.clock.span() == Span(PRESENT - 86_400 - E, PRESENT - 86_400 + E)
    world.clock.follow(KEYS[:4], 1)
    assert world.clock.span().high == PRESENT - 86_400 + E
    world.clock.follow(KEYS[12:], 1)  # and now none that counts
    assert world.clock.span() == Span(PRESENT - E, PRESENT + E)


def test_A11_strangers_readings_never_count_and_take_no_room() -> None:
    world = Time()
    for number in range(2 * MAX_READINGS):
        stranger = XOnlyKey(number.to_bytes(2, "big") + bytes(30))
        world.clock.note(stranger, Reading(PRESENT - 1e6, 0, 0))
    assert world.clock.span() == Span()
    world.clock.note(OWN, Reading(PRESENT, 0, 0))
    world.clock.follow(KEYS, 4)
    for key in KEYS[1:]:
        world.clock.note(key, Reading(PRESENT, 0, 0))
    assert len(world.clock._readings) <= MAX_READINGS + 1
    assert world.clock.span() == Span(PRESENT - E, PRESENT + E)


def test_A11_the_chain_says_how_late_it_is_at_least() -> None:
    world = Time()
    world.clock.follow_chain(int(PRESENT))
    assert world.clock.span() == Span(PRESENT - CHAIN_AHEAD)
    # both spans end at a bound: the reading's own at its time and a module's error above it
    for off, rule in ((-E, ""), (-E - 1, "TimeBehind")):
        assert takes(world.clock, Reading(PRESENT - CHAIN_AHEAD + off, 0, 0)) == rule
    world.clock.note(OWN, Reading(PRESENT + 60, 0, 0))
    assert world.clock.span().low == PRESENT + 60 - E
    assert world.clock.latest == PRESENT + 60 + E + CHAIN_AHEAD


def test_A11_a_chain_from_the_future_moves_nothing() -> None:
    """Documents count for more: whoever can mine such a chain says nothing of the present by it."""
    world = Time()
    world.clock.note(OWN, Reading(PRESENT, 0, 0))
    for ahead_of, low in ((CHAIN_AHEAD, PRESENT), (CHAIN_AHEAD + E + 1, PRESENT - E)):
        world.clock.follow_chain(int(PRESENT + ahead_of))
        assert world.clock.span() == Span(low, PRESENT + E)


def test_A11_a_quorum_corrects_a_clock_that_slept() -> None:
    """Readings count even where they are refused; nothing is believed until there are enough."""
    world = Time()
    world.clock.follow(KEYS, 4)
    for key in KEYS:
        world.clock.note(key, Reading(PRESENT, 0, 0))
    tomorrow = Reading(PRESENT + 86_400, 0, 0)
    for number, key in enumerate(reversed(KEYS)):  # the own module last
        world.clock.note(key, tomorrow)
        # Eleven of the new and five of the old: the ends of the span cross.
        assert takes(world.clock, tomorrow) == ("" if number >= 11 else "TimeAhead"), number


def test_A11_what_the_own_module_contradicts_is_forgotten() -> None:
    """A reading of the own module that its last one excludes: the clock between them was wrong."""
    for off, others in ((2 * E, True), (2 * E + 1, False), (-2 * E - 1, False)):
        world = Time()
        world.clock.follow(KEYS, 4)
        for key in KEYS:
            world.clock.note(key, Reading(PRESENT, 0, 0))
        world.clock.note(OWN, Reading(PRESENT + off, 0, 0))
        assert (len(world.clock._readings) == 16) is others
        assert takes(world.clock, Reading(PRESENT + off, 0, 0)) == ""


def test_errors_name_both_dates() -> None:
    world = Time()
    world.clock.note(OWN, Reading(PRESENT, 0, 0))
    with pytest.raises(AttestationInvalid) as caught:
        world.clock.check(Reading(0, 0, 0))
    assert caught.value.got == "1970-01-01 00:00:00"
    assert caught.value.expected == "2027-01-15 07:59:58 to 2027-01-15 08:00:02 UTC"
    assert str(Span()) == "any time to any time UTC"
