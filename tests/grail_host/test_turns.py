"""Turns at a pool: one at a time, in order, and nobody can hold up the others for long."""

from __future__ import annotations

import asyncio

import pytest

from grail.errors import InvalidInput, Refused
from grail_host import turns
from grail_host.turns import TurnAnswer, TurnAsked, TurnDone, Turns

POOL, OTHER = "ab" * 32, "cd" * 32
TXID = "12" * 32


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(turns, "HOLD", 0.0)
    return Clock()


def ask(queues: Turns, ticket: str = "", what: str = POOL) -> TurnAnswer:
    return asyncio.run(queues.take(TurnAsked(what, ticket)))


def test_the_first_goes_at_once_and_the_others_in_their_order(clock: Clock) -> None:
    queues = Turns(clock)
    first, second, third = (ask(queues) for _ in range(3))
    assert [place.ahead for place in (first, second, third)] == [0, 1, 2]
    assert len({place.ticket for place in (first, second, third)}) == 3
    assert ask(queues, second.ticket) == second
    assert ask(queues, what=OTHER).ahead == 0
    queues.done(TurnDone(POOL, first.ticket, TXID))
    assert ask(queues, second.ticket) == TurnAnswer(second.ticket, 0, TXID)
    assert ask(queues, third.ticket).ahead == 1
    assert ask(queues, second.ticket).ahead == 0  # a lost answer is given again


def test_a_turn_that_is_not_ended_passes_on(clock: Clock) -> None:
    queues = Turns(clock)
    first, second = ask(queues), ask(queues)
    while clock.now < turns.LEASE - 1:
        clock.now += turns.SILENCE / 2
        assert ask(queues, first.ticket).ahead == 0  # slow, and alive
        assert ask(queues, second.ticket).ahead == 1
    clock.now = turns.LEASE + 0.1
    assert ask(queues, second.ticket).ahead == 0
    assert ask(queues, first.ticket).ahead == 1  # it queues up again, behind


def test_a_turn_whose_owner_died_passes_on_sooner(clock: Clock) -> None:
    queues = Turns(clock)
    _first, second = ask(queues), ask(queues)
    clock.now = turns.SILENCE - 0.1
    assert ask(queues, second.ticket).ahead == 1
    clock.now = turns.SILENCE + 0.1
    assert ask(queues, second.ticket).ahead == 0


def test_who_stays_over_his_time_gets_no_place_behind(clock: Clock) -> None:
    queues = Turns(clock)
    first, second = ask(queues), ask(queues)
    stays = TurnAsked(POOL, first.ticket, stays=True)
    while clock.now < turns.LEASE - 1:
        clock.now += turns.SILENCE / 2
        assert asyncio.run(queues.take(stays)).ticket == first.ticket
        ask(queues, second.ticket)
    clock.now = turns.LEASE + 0.1
    assert asyncio.run(queues.take(stays)) == TurnAnswer("", 0)
    assert ask(queues, second.ticket).ahead == 0
    queues.done(TurnDone(POOL, second.ticket))
    assert ask(queues).ahead == 0  # nobody is waited for who is gone


def test_who_asks_no_more_gives_up_his_place(clock: Clock) -> None:
    queues = Turns(clock)
    first, _second, third = (ask(queues) for _ in range(3))
    clock.now = turns.SILENCE - 0.1
    ask(queues, first.ticket)
    assert ask(queues, third.ticket).ahead == 2
    clock.now = turns.SILENCE + 0.1
    assert ask(queues, third.ticket).ahead == 1  # the first one's turn lasts; the second left


def test_only_the_one_whose_turn_it_was_says_what_came_of_it(clock: Clock) -> None:
    queues = Turns(clock)
    _first, second = ask(queues), ask(queues)
    queues.done(TurnDone(POOL, second.ticket, TXID))
    queues.done(TurnDone(POOL, "made up", TXID))
    assert ask(queues).last == ""


def test_S33_queues_and_places_are_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_PLACES", 3)
    monkeypatch.setattr(turns, "MAX_QUEUES", 2)
    queues = Turns(clock)
    for _ in range(3):
        ask(queues)
    with pytest.raises(Refused, match="QueueFull"):
        ask(queues)
    for number in range(10):
        ask(queues, what=f"{number:064x}")
    assert len(queues._queues) == 2
    for what in ("", "ab", POOL.upper(), POOL + "00", "g" * 64):
        with pytest.raises(InvalidInput, match="hex"):
            ask(queues, what=what)


def test_an_answer_is_held_until_the_turn_comes() -> None:
    queues = Turns()

    async def main() -> None:
        first = await queues.take(TurnAsked(POOL))
        waiting = asyncio.create_task(queues.take(TurnAsked(POOL)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        queues.done(TurnDone(POOL, first.ticket))
        assert (await asyncio.wait_for(waiting, turns.HOLD / 2)).ahead == 0

    asyncio.run(main())


def test_over_http(host) -> None:
    async def main() -> None:
        async with host() as running, running.client(**{"Content-Type": "application/json"}) as c:
            first = (await c.post("/v1/turn", json={"what": POOL})).json()
            assert first["ahead"] == 0
            told = {"what": POOL, "ticket": first["ticket"], "txid": TXID}
            assert (await c.post("/v1/turn/done", json=told)).json()["last"] == TXID
            for wrong in ({}, {"what": "x"}, {"what": POOL, "more": 1}, {"what": 7}):
                answer = await c.post("/v1/turn", json=wrong)
                assert answer.status_code == 400, wrong
            for odd in (b"", b"{", b'{"what": "\xff"}', b"[" * 1_000, b'{"what": "\\ud800"}'):
                assert (await c.post("/v1/turn", content=odd)).status_code == 400, odd
            assert (await c.post("/v1/turn", json={"what": "a" * 2_000})).status_code == 413
        async with running.client() as cbor:
            assert (await cbor.post("/v1/turn", content=b"{}")).status_code == 415

    asyncio.run(main())
