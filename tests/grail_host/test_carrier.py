"""How soon a host looks again: at once while members come and go, or while a state is decided."""

from __future__ import annotations

from grail.operators.link_frames import Tick
from grail_host.carrier import HURRY, PAUSE, Carrier


def ticked(alive: int, *, busy: bool = False, members: int = 5) -> Tick:
    return Tick(alive, members, 4, (), (), busy)


def carrier() -> Carrier:
    return Carrier(None, None, "http://127.0.0.1:1")  # type: ignore[arg-type]


def test_a_network_at_rest_is_looked_at_now_and_then() -> None:
    assert carrier()._pause(ticked(5)) == PAUSE


def test_a_state_that_is_being_decided_does_not_wait_for_the_next_look() -> None:
    made = carrier()
    assert [made._pause(ticked(5, busy=busy)) for busy in (False, True, True, False)] == [
        PAUSE,
        HURRY,
        HURRY,
        PAUSE,
    ]


def test_for_one_that_stays_away_nobody_hurries_for_long() -> None:
    made = carrier()
    pauses = [made._pause(ticked(4)) for _ in range(20)]
    assert pauses[0] == HURRY
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE
    assert made._pause(ticked(3)) == HURRY
