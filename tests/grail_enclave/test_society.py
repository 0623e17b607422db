"""Enclaves that attest to each other, at their sockets: who gets in, who is cut off, what it sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import vote
from forged_documents import PCRS
from link_world import AUTHORITY
from society_world import IMAGE, NEXT, NEXT_PCRS, Station, Towns, attesting, module, sixteen

from grail.crypto.schnorr import KeyPair
from grail.errors import InvalidInput, Refused, Unavailable
from grail.links.identity import Own
from grail.links.link import LINK_SECONDS
from grail.operators import frames
from grail.operators.frames import Frame
from grail.operators.link_frames import carry_frame
from grail.operators.roster import roster_fields
from grail.roster.state import Seat
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import EmulatedModule, now
from grail_enclave.enclave import Enclave
from grail_enclave.nsm import Module

CHANGED = {**PCRS, 2: bytes([5]) * 48}


def refused(rule: str, call, *args) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*args)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def test_attested_operators_begin_and_are_alive() -> None:
    towns = Towns.of()
    state = towns.start()
    views = [towns.shown(at) for at in range(4)]
    assert {shown.state for shown in views} == {state}
    assert len({shown.view for shown in views}) == 1
    assert all(sight.alive == 0 for shown in views for sight in shown.sights)
    made = towns.tick(0)
    assert (made.alive, made.members, made.links) == (4, 4, 3)


def test_A1_R1_no_first_roster_without_an_attested_link_to_each_member() -> None:
    towns = Towns.of()
    for one, two in ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1)):
        towns.dial(one, two)
    body = roster_fields(towns.roster)
    why = refused("RosterInvalid", towns.stations[3].ask, Frame(frames.FIRST_ROSTER_SIGN, body))
    assert "no attested link to 1 members" in why.detail
    towns.dial(3, 2)
    towns.agree()


def test_R1_A2_changed_code_gets_no_link_and_no_seat() -> None:
    """An impostor: another image, another root, another configuration."""
    towns = Towns.of()
    settings = towns.configuration
    other = replace(settings, attesting=attesting(fresh_seconds=61))
    impostors = [
        (module(settings, CHANGED), "PcrUnaccepted"),
        (module(settings, authority=Authority.draw(now())), "RootUnknown"),
        (module(other), "PcrUnaccepted"),
    ]
    for own, rule in impostors:
        towns.stations = towns.stations[:4]
        towns.add(own=own)
        refused(rule, towns.dial, 4, 0)
        assert towns.tick(0).links == 0
    # the same image with its own configuration: another prologue, so not even the second message
    towns.stations = towns.stations[:4]
    stranger = Enclave(other, KeyPair.generate(), module=module(other))
    towns.stations.append(Station(KeyPair.generate(), stranger))
    refused("MessageForged", towns.dial, 4, 0)


def test_A2_a_register_that_is_not_in_the_document_is_none() -> None:
    """The configuration's register was never locked, so the document does not have it."""
    towns = Towns.of()
    towns.add(own=Module(EmulatedModule.draw(AUTHORITY, PCRS).answer))
    refused("PcrUnaccepted", towns.dial, 4, 0)


def test_R18_strangers_of_the_right_image_are_nobody_after_the_first_roster() -> None:
    """Twelve perfect strangers could be started by anybody: none is talked to."""
    towns = Towns.of()
    towns.start()
    for _ in range(2):
        towns.add()
        refused("NotMember", towns.dial, len(towns.stations) - 1, 0)


def test_A11_R18_links_lapse_and_are_made_anew() -> None:
    towns = Towns.of()
    towns.start()
    towns.now += LINK_SECONDS + 1
    assert towns.tick(1).links == 0
    towns.link_all()
    towns.ticks(4)
    assert towns.tick(1).links == 3
    assert towns.tick(1).alive == 4


def test_R8_an_enclave_that_is_cut_off_says_so() -> None:
    towns = Towns.of()
    towns.start()
    for _ in range(7):
        towns.now += 10
        towns.ticks(3, cut=[0])
    assert len(towns.stations[0].enclave.anchors().alive) == 1
    assert len(towns.stations[1].enclave.anchors().alive) == 3
    towns.link_all()
    towns.ticks(4)
    assert len(towns.stations[0].enclave.anchors().alive) == 4


@pytest.mark.parametrize("what", ["owner", "account", "zone"])
def test_R2_seats_of_one_owner_account_or_zone_are_capped(what: str) -> None:
    """Each by its own setting of the configuration; the others are as they are by default."""
    towns = Towns.of(**{f"per_{what}": 1})
    towns.link_all()
    towns.agree()
    state = towns.first_state()
    greedy = replace(state, seats=tuple(replace(seat, **{what: "one"}) for seat in state.seats))
    why = refused("RosterInvalid", towns.say, greedy)
    assert (why.got, why.expected) == ("4", "at most 1")
    assert f"seats of one {what}" in why.detail
    towns.say(state)


def test_R10_before_a_first_roster_links_are_as_many_as_one_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The right image draws keys without end; here three others are as many as there may be."""
    monkeypatch.setattr("grail_enclave.society.MAX_MEMBERS", 3)
    towns = Towns.of(operators=7, quorum=5)
    for one in (1, 2, 3):
        towns.dial(one, 0)
    for one in (4, 5, 6):
        assert refused("TooManyPeers", towns.dial, one, 0).got == "4"
    assert towns.tick(0).links == 3
    towns.dial(1, 0)  # whoever has a link has one anew
    towns.dial(0, 2)
    assert towns.tick(0).links == 3
    towns.now += LINK_SECONDS + 1  # and what is over makes room
    assert towns.tick(0).links == 0
    towns.dial(4, 0)


def test_what_is_shown_of_each_member() -> None:
    """The image in its document, its own module's word for itself, and whom the links reach."""
    towns = Towns.of(images=tuple(sorted([IMAGE, NEXT])))
    own = module(towns.configuration, NEXT_PCRS, clock=towns.date)
    del towns.stations[3]
    towns.add(own=own)
    towns.start()
    other = towns.stations[3].key.public
    for at, station in enumerate(towns.stations):
        sights = {sight.key: sight for sight in towns.shown(at).sights}
        for key, sight in sights.items():
            assert sight.image == (NEXT if key == other else IMAGE)[0]
            assert sight.linked == (key != station.key.public)


def test_a_module_that_does_not_answer_hides_no_roster(monkeypatch: pytest.MonkeyPatch) -> None:
    towns = Towns.of()
    towns.start()

    def silent(_self: Own) -> None:
        raise Unavailable("the module does not answer")

    monkeypatch.setattr(Own, "image", silent)
    shown = towns.shown(0)
    assert {s.image for s in shown.sights if s.key != towns.stations[0].key.public} == {IMAGE[0]}
    assert [s.image for s in shown.sights if s.key == towns.stations[0].key.public] == [None]


def test_a_link_on_which_no_answer_comes_is_none_to_look_at() -> None:
    """Gossip goes round a cut, so all are alive; who began the link that is cut says so."""
    towns = Towns.of()
    towns.start()

    def linked() -> list[set[int]]:
        places = {station.key.public: at for at, station in enumerate(towns.stations)}
        return [{places[s.key] for s in towns.shown(at).sights if s.linked} for at in range(4)]

    everybody = [{1, 2, 3}, {0, 2, 3}, {0, 1, 3}, {0, 1, 2}]
    assert linked() == everybody
    del towns.stations[3].links[0]  # what 3 says to 0 gets lost from here on
    for _ in range(4):
        towns.now += 4
        towns.ticks(2)
    assert linked() == [*everybody[:3], {1, 2}]
    assert all(sight.alive is not None and sight.alive < 5_000 for sight in towns.shown(3).sights)
    assert towns.tick(3).links == 3  # nobody told the enclave that it is over
    towns.dial(3, 0)
    towns.ticks(2)
    assert linked() == everybody


def test_first_states_that_are_not_the_rosters() -> None:
    towns = Towns.of()
    towns.link_all()
    state = towns.first_state()
    refused("RosterInvalid", towns.say, state)  # no first roster yet
    towns.agree()
    other = (bytes([9]) * 48, *state.images[0][1:])
    refused("RosterInvalid", towns.say, replace(state, images=(other,)))
    stranger = Seat(KeyPair.generate().public, "o", "a", "z")
    refused(
        "RosterInvalid",
        towns.say,
        replace(state, seats=tuple(sorted([*state.seats[1:], stranger]))),
    )
    refused("ViewStale", towns.say, replace(state, number=1, previous=bytes([1]) * 32))
    towns.say(state)
    towns.say(state)
    moved = replace(state, seats=tuple(replace(seat, zone="elsewhere") for seat in state.seats))
    refused("RosterFixed", towns.say, moved)


def test_A14_frames_of_links_that_are_none() -> None:
    towns = Towns.of(operators=2, quorum=2)
    towns.link_all()
    one = towns.stations[0]
    for frame in (
        Frame(frames.LINK_DIAL, 1),
        Frame(frames.LINK_ANSWER, None),
        Frame(frames.LINK_ANSWER, bytes(65_536)),
        Frame(frames.LINK_CARRY, [1]),
        Frame(frames.LINK_CARRY, [1 << 63, b""]),
        Frame(frames.TICK, -1),
        Frame(frames.ROSTER_SAY, []),
        Frame(frames.ROSTER_SAY, b""),
        Frame(frames.ROSTER_VIEW, 0),
        Frame(frames.ROSTER_EXPECT, None),
        Frame(frames.ROSTER_EXPECT, [b"short"]),
    ):
        refused("FrameInvalid", one.ask, frame)
    refused("NotOpen", one.ask, carry_frame(5, b"x"))
    refused("MessageForged", one.ask, Frame(frames.LINK_ANSWER, bytes(31)))
    assert towns.tick(1).links == 1


def test_attestation_is_asked_for_or_not_there() -> None:
    towns = Towns.of(operators=2, quorum=2)
    with pytest.raises(InvalidInput, match="no security module"):
        Enclave(towns.configuration, KeyPair.generate())
    plain = Enclave(replace(towns.configuration, attesting=None), KeyPair.generate())
    station = Station(KeyPair.generate(), plain)
    refused("FrameInvalid", station.ask, Frame(frames.LINK_DIAL))


def test_R8_an_enclave_that_is_cut_off_signs_nothing() -> None:
    """Sixteen of them, one of which is shown no peer for a minute: it refuses until it is again."""
    world, towns = sixteen()
    request = world.request(world.peg_in(*world.paid()))
    world.feed(*(station.enclave for station in towns.stations))
    alone, others = towns.stations[0].enclave, towns.stations[1].enclave
    towns.ticks(2)
    for _ in range(7):
        towns.now += 10
        towns.ticks(2, cut=[0])
    refusal = vote(alone, request).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.got, refusal.expected) == ("ViewStale", "1", "at least 12")
    vote(others, request).unwrap()
    for peer in range(1, 16):
        towns.dial(peer, 0)
    towns.ticks(3)
    vote(alone, request).unwrap()


def test_best_headers_travel_with_heartbeats() -> None:
    """A hidden heavier chain is seen: its enclave is shown an old one, and hears of the newer."""
    world, towns = sixteen()
    request = world.request(world.peg_in(*world.paid()))
    world.feed(*(station.enclave for station in towns.stations))
    vote(towns.stations[0].enclave, request).unwrap()
    world.chain.mine_many(world.network.staleness + 1)
    world.feed(*(station.enclave for station in towns.stations[1:]))
    towns.ticks(3)
    refusal = vote(towns.stations[0].enclave, request).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.message) == ("ViewStale", "other operators report a longer chain")
    heard = towns.stations[0].enclave.anchors().heard
    assert max(best.height for best in heard.values()) == world.chain.height


def test_R1_R13_an_operator_is_replaced_by_what_the_chain_settled() -> None:
    """The newcomer links because it is expected, and has no word; the state follows the chain."""
    towns = Towns.of()
    first = towns.start()
    leaving, old = towns.stations[0], towns.stations[:]
    newcomer = towns.add()
    refused("NotMember", towns.dial, 4, 0)
    for station in old:
        station.ask(Frame(frames.ROSTER_EXPECT, [bytes(newcomer.key.public)]))
    seats = [each for each in first.seats if each.key != leaving.key.public]
    seats.append(Seat(newcomer.key.public, "new owner", "new account", "a"))
    after = towns.following(first, seats)
    society = [station.enclave._society for station in old]
    towns.settled(first, after)
    refused("RosterInvalid", society[1].say, after)  # no document of it was seen
    for peer in range(4):
        towns.dial(4, peer)
    towns.settled()
    refused("RosterInvalid", society[1].say, after)
    towns.settled(first)
    refused("RosterInvalid", society[1].say, after)
    towns.settled(first, after)
    other = replace(after, images=((bytes([9]) * 48, *first.images[0][1:]),))
    refused("NotDecided", society[1].say, other)
    for each in society:
        each.say(after)
        each.say(after)
    moved = replace(after, seats=tuple(replace(seat, zone="e") for seat in after.seats))
    refused("ViewStale", society[1].say, replace(moved, number=3))
    newcomer.enclave._society.begin(towns.roster_of(old))
    towns.ticks(4)
    assert {towns.shown(at).state for at in range(1, 5)} == {after}
    assert len({towns.shown(at).view for at in range(1, 5)}) == 1
    towns.ticks(2)
    assert towns.tick(4).alive == 4
    assert towns.tick(1).alive == 4
    refused("NotMember", towns.dial, 0, 1)  # who left is a stranger


def test_R5_an_enclave_says_one_thing_in_a_round() -> None:
    """Its operator changes its mind; the wish that it made stands, and what follows is the same."""
    towns = Towns.of()
    first = towns.start()
    places = (tuple(replace(seat, zone=zone) for seat in first.seats) for zone in ("x", "y"))
    one, two = (towns.following(first, seats, epoch=0) for seats in places)
    towns.settled(first)
    society = towns.stations[0].enclave._society
    society.say(one)
    society.say(two)
    assert [each.state for each in society._view.said(1)] == [one.digest(society._ground.network)]
    for station in towns.stations[1:]:
        station.enclave._society.say(one)
    towns.ticks(3)
    assert {towns.shown(at).state for at in range(1, 4)} == {one}
    for station in towns.stations:
        station.enclave._society.say(towns.following(one, two.seats, epoch=0))
    towns.ticks(4)
    assert {state.seats for state in towns.states()} == {two.seats}
    assert towns.shown(0).guilty == ()
