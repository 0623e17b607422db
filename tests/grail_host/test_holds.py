"""The pause before a higher round: doubled, capped, and none where nothing was promised."""

from __future__ import annotations

import asyncio

import pytest
from simulator import VirtualLoop, outpoint

from grail_host import holds
from grail_host.holds import CAP, REMEMBERED, Holds

A, B = outpoint("a"), outpoint("b")


@pytest.fixture
def virtual(monkeypatch):
    """Holds on the clock of a virtual loop."""

    def run(main):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            monkeypatch.setattr(holds.time, "monotonic", runner.get_loop().time)
            return runner.run(main())

    return run


def test_a_higher_round_waits_and_a_first_or_equal_one_does_not(virtual):
    async def main() -> list[float]:
        held, loop, waited = Holds(), asyncio.get_running_loop(), []
        for outpoints, number in (
            ([A], 7),
            ([A], 7),
            ([B], 8),
            ([A, B], 8),
            ([A], 6),
        ):
            before = loop.time()
            await held.wait(outpoints, number)
            waited.append(loop.time() - before)
            if number == 7:
                held.promised(outpoints, number)
        return waited

    waited = virtual(main)
    assert waited[:3] == [0, 0, 0]
    assert CAP / 2 <= waited[3] <= CAP
    assert waited[4] == 0


def test_the_pause_doubles_and_is_over_once_that_time_has_passed(virtual):
    async def main() -> tuple[float, float, float]:
        loop, took = asyncio.get_running_loop(), []
        for number in (1, 3):
            held = Holds()
            held.promised([A], number)
            before = loop.time()
            await held.wait([A], number + 1)
            took.append(loop.time() - before)
        held.promised([A], 3)
        await asyncio.sleep(CAP)
        before = loop.time()
        await held.wait([A], 4)
        return took[0], took[1], loop.time() - before

    one, three, none = virtual(main)
    assert 0.05 <= one <= 0.1
    assert 0.2 <= three <= 0.4
    assert none == 0


def test_S33_a_bounded_number_is_remembered():
    held = Holds()
    for number in range(REMEMBERED + 5):
        held.promised([outpoint(str(number))], 1)
    assert len(held._promised) == REMEMBERED
