"""The roster record: who rules when, made from the Grail NFT's states alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import spellbook as book
from spellbook import NETWORK, ROSTERS, ZKBTC

from grail.charms.record import GRACE, Record, Reign, read_state, roster_state
from grail.errors import InvalidInput, SpellIncorrect

EMPTY = Record(ZKBTC)


def test_reigns_follow_each_other() -> None:
    """from = height of the spell + k, to = the next one's from - 1."""
    record = EMPTY.extended(roster_state(ROSTERS[0]), 100, NETWORK)
    record = record.extended(roster_state(ROSTERS[1]), 406, NETWORK)
    assert record == book.SECOND
    assert [record.ruling(h) for h in (105, 106, 411, 412, 9_999)] == [
        None,
        record.reigns[0],
        record.reigns[0],
        record.reigns[1],
        record.reigns[1],
    ]
    assert record.reign(1) == record.reigns[1]
    assert record.reign(2) is None
    assert record.reign(-1) is None


def test_a_known_roster_changes_nothing() -> None:
    assert book.SECOND.extended(roster_state(ROSTERS[0]), 100, NETWORK) is book.SECOND
    assert book.SECOND.extended(roster_state(ROSTERS[1]), 9_000, NETWORK) is book.SECOND


def test_two_rosters_of_one_block() -> None:
    """A reorg may put two roster spells into one block: the first then never rules."""
    record = EMPTY.extended(roster_state(ROSTERS[0]), 100, NETWORK)
    record = record.extended(roster_state(ROSTERS[1]), 300, NETWORK)
    record = record.extended(roster_state(ROSTERS[2]), 300, NETWORK)
    assert [reign.epoch for h in (305, 306) if (reign := record.ruling(h))] == [0, 2]
    assert not any(record.reigns[1].rules(h) for h in range(290, 320))


@pytest.mark.parametrize(
    "reigns",
    [
        (Reign(ROSTERS[1], 106),),
        (Reign(ROSTERS[0], 106), Reign(ROSTERS[1], 412)),
        (Reign(ROSTERS[0], 106, 410), Reign(ROSTERS[1], 412)),
        (Reign(ROSTERS[0], 106, 411),),
        (Reign(ROSTERS[0], 500, 411), Reign(ROSTERS[1], 412)),
    ],
)
def test_a_record_with_a_gap_is_refused(reigns: tuple[Reign, ...]) -> None:
    with pytest.raises(InvalidInput):
        Record(ZKBTC, reigns)


def test_what_counts_and_for_how_long() -> None:
    reign = book.SECOND.reigns[0]
    assert [reign.counts(h, grace=False) for h in (105, 106, 411, 412)] == [
        False,
        True,
        True,
        False,
    ]
    assert [reign.counts(411 + GRACE + i, grace=True) for i in (0, 1)] == [True, False]
    assert book.SECOND.reigns[1].counts(1 << 40, grace=False)
    assert reign.span(grace=True) == "height 106 to 411 + 1008"
    assert book.SECOND.reigns[1].span(grace=True) == "height 412 to now"


def test_a_successor_counts_after_its_delay() -> None:
    """However soon the state says, nobody moves before 2,016 blocks have passed."""
    gid = book.NEXT_ZKBTC.gid(NETWORK)
    for stated, expected in ((0, 100 + 2_016), (2_116, 2_116), (9_000, 9_000)):
        record = EMPTY.extended(roster_state(ROSTERS[0], gid, stated), 100, NETWORK)
        assert record.reigns[0].successor == gid
        assert record.reigns[0].successor_from == expected
    assert EMPTY.extended(roster_state(ROSTERS[0]), 100, NETWORK).reigns[0].successor_from == 0


def test_the_record_as_it_was() -> None:
    """At a height nobody knows of rosters that were made later; the last one has no end yet."""
    k = NETWORK.k
    assert book.SECOND.at(412 - k, NETWORK) is book.SECOND
    before = book.SECOND.at(412 - k - 1, NETWORK)
    assert before == book.FIRST
    assert before.at(106 - k - 1, NETWORK).reigns == ()


def test_states_are_read_and_written() -> None:
    gid = book.NEXT_ZKBTC.gid(NETWORK)
    assert read_state(roster_state(ROSTERS[2], gid, 7)) == (ROSTERS[2], gid, 7)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 1),
        (0, False),
        (1, True),
        (1, -1),
        (1, 1 << 64),
        (1, "0"),
        (2, b""),
        (2, bytes(31)),
        (2, bytes(32)),
        (2, [bytes(32)]),
        (3, True),
        (3, 0),
        (3, 5),
        (4, b""),
        (4, b"\xff" * 32),
        (5, bytes(31)),
        (5, None),
        (6, 1),
        (6, -1),
        (6, False),
        (6, 1 << 64),
    ],
)
def test_R3_states_that_are_no_roster(at: int, value: Any) -> None:
    state = roster_state(ROSTERS[0])
    state[at] = value
    with pytest.raises(SpellIncorrect) as caught:
        EMPTY.extended(state, 100, NETWORK)
    assert caught.value.rule == "RosterInvalid"
    assert caught.value.got
    assert caught.value.expected


@pytest.mark.parametrize(
    "state", [None, [], [0], roster_state(ROSTERS[0])[:-1], [*roster_state(ROSTERS[0]), 0]]
)
def test_R3_states_of_another_form(state: Any) -> None:
    with pytest.raises(SpellIncorrect, match="RosterInvalid"):
        read_state(state)


def test_R7_epochs_neither_skip_nor_return() -> None:
    with pytest.raises(SpellIncorrect, match="RosterInvalid"):
        EMPTY.extended(roster_state(ROSTERS[1]), 100, NETWORK)
    with pytest.raises(SpellIncorrect, match="RosterInvalid"):
        book.FIRST.extended(roster_state(ROSTERS[2]), 400, NETWORK)
    with pytest.raises(SpellIncorrect, match="RosterInvalid"):
        book.FIRST.extended(roster_state(ROSTERS[1]), 99, NETWORK)
    with pytest.raises(SpellIncorrect, match="RosterInvalid"):
        book.SECOND.extended(roster_state(replace(ROSTERS[2], epoch=1)), 400, NETWORK)


def test_R3_an_address_is_never_shared_by_two_epochs() -> None:
    with pytest.raises(SpellIncorrect, match="earlier"):
        book.FIRST.extended(roster_state(replace(ROSTERS[0], epoch=1)), 400, NETWORK)


GID, OTHER = bytes([7]) * 32, bytes([8]) * 32


def test_a_successor_is_named_within_a_reign() -> None:
    """Roster, epoch and reign stay; it counts from the height stated, or 2,016 blocks on."""
    for stated, expected in ((9_999, 9_999), (1, 2_516)):
        record = book.FIRST.extended(roster_state(ROSTERS[0], GID, stated), 500, NETWORK)
        assert record.rosters == book.FIRST.rosters
        reign = record.reigns[0]
        assert (reign.start, reign.end) == (106, None)
        assert (reign.successor, reign.successor_from, reign.successor_at) == (GID, expected, 500)
        again = record.extended(roster_state(ROSTERS[0], GID, stated), 9_000, NETWORK)
        assert again is record


@pytest.mark.parametrize(("successor", "stated"), [(OTHER, 9_999), (bytes(32), 0)])
def test_Z26_a_successor_is_never_changed_or_taken_back(successor: bytes, stated: int) -> None:
    record = book.FIRST.extended(roster_state(ROSTERS[0], GID, 9_999), 500, NETWORK)
    with pytest.raises(SpellIncorrect, match="fixed"):
        record.extended(roster_state(ROSTERS[0], successor, stated), 600, NETWORK)


def test_an_ended_reign_names_no_successor() -> None:
    with pytest.raises(SpellIncorrect, match="fixed"):
        book.SECOND.extended(roster_state(ROSTERS[0], GID, 9_999), 500, NETWORK)
    record = book.SECOND.extended(roster_state(ROSTERS[1], GID, 9_999), 500, NETWORK)
    assert [reign.successor for reign in record.reigns] == [bytes(32), GID]


def test_G13_what_came_before_a_successor_is_judged_without_it() -> None:
    """The deploy's own state names none, and stays correct when the record names one later."""
    record = book.FIRST.extended(roster_state(ROSTERS[0], GID, 9_999), 500, NETWORK)
    assert record.at(499, NETWORK) == book.FIRST
    assert record.at(500, NETWORK) is record
    assert record.at(499, NETWORK).extended(roster_state(ROSTERS[0]), 100, NETWORK) == book.FIRST
