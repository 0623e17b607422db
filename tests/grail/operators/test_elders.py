"""The judge of the roster's part of the schedules: planted evidence makes each check fail."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from enclave_world import KEYS, QUORUM
from forged_documents import PCRS
from simulation import Ask, Event, Schedule, Unsafe, drawn, play
from simulation.campaigns import why
from simulation.elders import ROUNDS, Elders, Sight
from simulation.schedule import CREWS, alive

from grail.crypto.schnorr import KeyPair
from grail.roster.pulse import Pulse
from grail.roster.view import View
from grail_enclave.society import Society

MEMBERS = tuple(key.public for key in KEYS)
ONE, TWO = bytes([1]) * 32, bytes([2]) * 32


@pytest.fixture
def elders() -> Elders:
    return Elders(frozenset(MEMBERS), PCRS)


def test_I7_one_state_for_each_number(elders):
    elders.holds(Sight("one"), 1, ONE)
    elders.holds(Sight("two"), 1, ONE)
    with pytest.raises(Unsafe, match="I7: three: another state 1"):
        elders.holds(Sight("three"), 1, TWO)


def test_I7_no_way_back_to_an_older_state(elders):
    sight = Sight("one")
    elders.holds(sight, 0, ONE)
    elders.holds(sight, 2, TWO)
    with pytest.raises(Unsafe, match="I7: one: from state 2 back to 0"):
        elders.holds(sight, 0, ONE)


def test_I7_nobody_is_framed_and_no_liar_gets_away(elders):
    elders.spoke((MEMBERS[3], 1, 0, 0), ONE)
    elders.spoke((MEMBERS[3], 1, 0, 0), ONE)
    elders.spoke((MEMBERS[3], 2, 0, 0), TWO)
    with pytest.raises(Unsafe, match="I7: one: 1 framed"):
        elders.blames("one", [MEMBERS[3]])
    elders.spoke((MEMBERS[3], 1, 0, 0), TWO)
    elders.blames("one", [MEMBERS[3]])
    with pytest.raises(Unsafe, match="I7: one: 1 framed"):
        elders.blames("one", MEMBERS[3:5])
    assert not elders.complete(1, 1, [], ROUNDS)
    with pytest.raises(Unsafe, match="I7: state 1 of 1 agreed on, 1 liars not known"):
        elders.complete(1, 1, [], ROUNDS + 1)
    assert elders.complete(1, 1, [MEMBERS[3]], ROUNDS + 1)


def test_I7_links_with_members_only(elders):
    elders.linked("one", dict.fromkeys(MEMBERS, PCRS))
    with pytest.raises(Unsafe, match=r"I7: one: linked with .*, which has no seat"):
        elders.linked("one", {KeyPair(bytes([9]) * 32).public: PCRS})
    with pytest.raises(Unsafe, match=r"I7: one: linked with .*, whose code is another"):
        elders.linked("one", {MEMBERS[1]: {**PCRS, 2: bytes(48)}})


def test_I7_no_member_looks_younger_than_it_can_be_known_to_be(elders):
    sight = Sight("one", {MEMBERS[1]: 5.0})
    elders.seen(sight, {MEMBERS[1]: 15.0}, 20.0)
    with pytest.raises(Unsafe, match=r"I7: one: .* looks alive 14.900 s ago"):
        elders.seen(sight, {MEMBERS[1]: 14.9}, 20.0)
    sight.told({MEMBERS[1]: 5.1, MEMBERS[2]: 4.0})
    elders.seen(sight, {MEMBERS[1]: 14.9, MEMBERS[2]: 16.0}, 20.0)
    with pytest.raises(Unsafe, match="I7: one: "):
        elders.seen(sight, {MEMBERS[3]: 16.0}, 20.0)


def test_I7_who_is_cut_off_votes_for_nothing_new(elders):
    sight = Sight("one", dict.fromkeys(MEMBERS[:QUORUM], 5.0))
    elders.votes(sight, 10, QUORUM, 15.0)
    with pytest.raises(Unsafe, match="I7: one: votes while it can know of 0 living members"):
        elders.votes(sight, 10, QUORUM, 15.1)
    sight.told(dict.fromkeys(MEMBERS[1:QUORUM], 8.0))
    with pytest.raises(Unsafe, match="can know of 11 living"):
        elders.votes(sight, 10, QUORUM, 17.0)


def test_I7_views_are_equal_in_time(elders):
    assert elders.equal({"one": ONE, "two": ONE}, 3)
    assert not elders.equal({"one": ONE, "two": TWO}, ROUNDS)
    with pytest.raises(Unsafe, match="I7: views differ 21 rounds"):
        elders.equal({"one": ONE, "two": TWO}, ROUNDS + 1)
    with pytest.raises(Unsafe, match="I7: state 0 of 1"):
        elders.complete(0, 1, [], ROUNDS + 1)


def test_living_schedules_are_text():
    schedule = alive(drawn(8), Random(8))
    assert {"say", "eclipse"} <= {event.kind for event in schedule.events}
    assert Schedule.from_json(schedule.to_json()) == schedule


@pytest.mark.parametrize("operators", sorted(set(CREWS)))
def test_living_schedules_play_the_same_twice(operators):
    schedule = alive(drawn(8, operators), Random(8))
    one, two = play(schedule), play(schedule)
    assert (one.seconds, one.counts) == (two.seconds, two.counts)
    assert [c.outcome for c in one.clients] == [c.outcome for c in two.clients]


# Take a defence out, and a schedule shows it.

BLIND = Schedule(
    1,
    (Ask("D1", start=32),),
    (Event(0.5, "eclipse", 3, seconds=40),),
    roster=True,
)


def test_R8_a_schedule_shows_votes_without_a_fresh_view(monkeypatch):
    assert why(BLIND) == ""
    everybody = frozenset(key.public for key in KEYS)
    monkeypatch.setattr(Society, "alive", property(lambda _: everybody))
    assert why(BLIND) == "I7"


HELD = replace(BLIND, events=(Event(3, "hold", 3, seconds=8),))
LYING = Schedule(1, (Ask("D1"),), (Event(1, "say"),), {5: "equivocating"}, roster=True)
STRANGE = replace(BLIND, events=(Event(1, "stranger", 3), Event(2, "stranger", 3, which=1)))


def test_R8_R16_a_schedule_shows_members_that_look_too_young(monkeypatch):
    assert why(HELD) == ""
    monkeypatch.setattr(Pulse, "age", lambda *_: 0.0)
    assert why(HELD) == "I7"


def test_R5_a_schedule_shows_a_liar_that_gets_away(monkeypatch):
    assert why(LYING) == ""
    monkeypatch.setattr(View, "_condemn", lambda *_: None)
    assert why(LYING) == "I7"


def test_R5_R18_a_schedule_on_real_links(monkeypatch):
    """Noise and documents as they are: what the quiet links leave out changes nothing."""
    both = replace(LYING, events=(*LYING.events, *STRANGE.events), sealed=True)
    assert why(both) == ""
    monkeypatch.setattr(View, "_condemn", lambda *_: None)
    assert why(both) == "I7"


def test_R18_a_schedule_shows_a_stranger_that_is_let_in(monkeypatch):
    assert why(STRANGE) == ""
    monkeypatch.setattr(Society, "_admit", lambda *_: None)
    assert why(STRANGE) == "I7"
