"""All links of an enclave: bounded, newest first, and rid of what is over."""

from __future__ import annotations

import pytest
from link_world import World, own

from grail.errors import LinkInvalid, TooLarge
from grail.links.link import MAX_MESSAGE
from grail.links.switchboard import HANDSHAKE_SECONDS, MAX_HALF_OPEN, MAX_OUTBOX, Switchboard


class Wire:
    """Two switchboards, and a host that carries between links of theirs."""

    def __init__(self) -> None:
        self.world = World()
        self.enclaves = own(), own()
        self.boards = tuple(Switchboard(each, self.world.terms) for each in self.enclaves)
        self.keys = tuple(each.keys.public for each in self.enclaves)

    def connect(self, start: int = 0) -> tuple[int, int]:
        one, two = self.boards[start], self.boards[1 - start]
        here = one.dial()
        (first,) = one.fetch(here)
        there = two.answer(first)
        while True:
            back = two.fetch(there)
            for message in back:
                assert one.carry(here, message) is None
            forth = one.fetch(here)
            for message in forth:
                assert two.carry(there, message) is None
            if not back and not forth:
                return here, there


def test_enclaves_dial_and_talk() -> None:
    wire = Wire()
    here, there = wire.connect()
    one, two = wire.boards
    assert one.peers == {wire.keys[1]}
    assert two.peers == {wire.keys[0]}
    assert one.number_to(wire.keys[1]) == here
    assert (one.dialled(), two.dialled()) == ((here,), ())
    for word in (b"a", b"b"):
        one.post(here, word)
    assert [two.carry(there, sealed) for sealed in one.fetch(here)] == [b"a", b"b"]
    assert one.fetch(here) == []
    with pytest.raises(TooLarge):
        one.post(here, bytes(MAX_MESSAGE + 1))
    one.post(here, b"c")


def test_both_dial_at_once_and_both_links_stay() -> None:
    wire = Wire()
    wire.connect(0)
    wire.connect(1)
    assert [len(board) for board in wire.boards] == [2, 2]


def test_R10_a_peer_that_dials_again_and_again_has_one_link() -> None:
    wire = Wire()
    numbers = [wire.connect() for _ in range(5)]
    assert [len(board) for board in wire.boards] == [1, 1]
    for number, _ in numbers[:-1]:
        with pytest.raises(LinkInvalid, match="no link"):
            wire.boards[0].fetch(number)
    here, there = numbers[-1]
    wire.boards[0].post(here, b"new")
    assert wire.boards[1].carry(there, *wire.boards[0].fetch(here)) == b"new"


def test_A14_R10_half_open_links_are_few_and_do_not_wait_for_ever() -> None:
    wire = Wire()
    here, there = wire.connect()
    for _ in range(3 * MAX_HALF_OPEN):
        wire.boards[1].answer(bytes(32))
        wire.boards[0].dial()
    assert [len(board) for board in wire.boards] == [MAX_HALF_OPEN + 1] * 2
    wire.boards[0].post(here, b"through")
    assert wire.boards[1].carry(there, *wire.boards[0].fetch(here)) == b"through"
    wire.world.now += HANDSHAKE_SECONDS
    assert wire.boards[1].sweep() == []
    wire.world.now += 1
    gone = wire.boards[1].sweep()
    assert len(gone) == MAX_HALF_OPEN
    assert all(why.startswith("HalfOpen") for _, why in gone)
    assert len(wire.boards[1]) == 1


def test_R10_a_reader_that_takes_nothing_loses_its_link() -> None:
    wire = Wire()
    here, _ = wire.connect()
    one = wire.boards[0]
    for _ in range(MAX_OUTBOX // MAX_MESSAGE):
        one.post(here, bytes(MAX_MESSAGE))
    with pytest.raises(LinkInvalid, match="SlowReader"):
        one.post(here, bytes(MAX_MESSAGE))
    assert len(one) == 0
    with pytest.raises(LinkInvalid, match="no link"):
        one.post(here, b"x")
    with pytest.raises(LinkInvalid, match="no link to"):
        one.number_to(wire.keys[1])


def test_R18_expelled_members_lose_their_links() -> None:
    wire = Wire()
    here, _ = wire.connect()
    wire.world.strangers.add(wire.keys[1])
    with pytest.raises(LinkInvalid, match="NotMember"):
        wire.boards[0].post(here, b"x")
    assert len(wire.boards[0]) == 0
    wire.world.strangers = {wire.keys[0]}
    ((_, why),) = wire.boards[1].sweep()
    assert why.startswith("NotMember")
    with pytest.raises(LinkInvalid, match="no link"):
        wire.boards[0].carry(here, b"x")


def test_a_forged_message_costs_that_link_only() -> None:
    wire = Wire()
    _, there = wire.connect()
    wire.connect(1)
    with pytest.raises(LinkInvalid, match="MessageForged"):
        wire.boards[1].carry(there, bytes(40))
    assert len(wire.boards[1]) == 1
    assert wire.boards[1].peers == {wire.keys[0]}
    with pytest.raises(LinkInvalid):
        wire.boards[1].answer(b"junk")
    assert len(wire.boards[1]) == 1
