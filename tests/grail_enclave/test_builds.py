"""Which builds may run changes by the quorum, and who runs a dropped one is out; seats come and go."""

from __future__ import annotations

import pytest
from society_world import IMAGE, NEXT, NEXT_PCRS, Station, Towns, module

from grail.crypto.schnorr import KeyPair
from grail.errors import Refused
from grail.operators import frames
from grail.operators.attesting import MAX_IMAGES
from grail.operators.frames import Frame
from grail.operators.link_frames import images_frame
from grail.roster.deciding import PATIENCE_SECONDS
from grail.roster.state import RosterState, Seat

BOTH = tuple(sorted([IMAGE, NEXT]))
OLD = (IMAGE,)


def refused(rule: str, call, *args) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*args)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def mixed(old: int = 6, new: int = 2, **changes: int) -> Towns:
    """Operators of two accepted builds, the newer ones last, in step with state 0."""
    count = old + new
    towns = Towns.of(count, 3 * count // 4, images=BOTH, **changes)
    towns.stations = []
    for at in range(count):
        own = module(towns.configuration, NEXT_PCRS) if at >= old else None
        towns.add(own=own)
    towns.start()
    return towns


def seat(station: Station, name: str = "newcomer") -> Seat:
    return Seat(station.key.public, name, name, "z")


def test_A16_two_members_whose_image_is_dropped_are_out_in_time() -> None:
    """Out by the next tick of whoever knows; the six others are a quorum of fresh ones, and go on."""
    towns = mixed()
    kept, dropped = range(6), range(6, 8)
    assert towns.tick(0).links == 7
    before = towns.now
    towns.accept(OLD, kept)
    towns.ticks(3)
    assert {state.images for state in towns.states(kept)} == {OLD}
    assert towns.now == before
    for at in kept:
        made = towns.tick(at)
        assert (made.links, len({sight.key for sight in towns.shown(at).sights})) == (5, 8)
    for at in dropped:
        refused("PcrUnaccepted", towns.dial, at, 0)
    for _ in range(7):
        towns.now += 10
        towns.ticks(2)
    fresh = [len(station.enclave.anchors().alive) for station in towns.stations]
    assert fresh[:6] == [6] * 6
    assert all(count < 6 for count in fresh[6:])
    assert len(towns.stations[0].enclave.anchors().alive) == towns.configuration.quorum
    # they are in nobody's way: the next state needs no word of theirs
    towns.accept(BOTH, kept)
    towns.ticks(4)
    assert {state.images for state in towns.states(kept)} == {BOTH}


def test_A16_a_document_is_good_for_one_interval() -> None:
    """Whoever never hears that a build was dropped asks for a new document all the same."""
    towns = Towns.of(reattest_seconds=300)
    towns.start()
    towns.now += 300
    assert towns.tick(1).links == 3
    towns.now += 1
    assert towns.tick(1).links == 0


def test_A16_a_minority_drops_nothing() -> None:
    towns = mixed()
    towns.accept(OLD, range(5))
    towns.ticks(6)
    assert {state.images for state in towns.states()} == {BOTH}
    assert towns.tick(7).links == 7


def test_A16_no_enclave_signs_its_own_build_away() -> None:
    towns = mixed()
    why = refused("RosterInvalid", towns.accept, (NEXT,), [0])
    assert "lacks the one that runs here" in why.detail
    # nor by what a quorum of the others wishes
    towns.accept(OLD, range(6))
    towns.ticks(3)
    dropped = towns.stations[7].enclave._society
    key = towns.stations[7].key.public
    assert not [each for each in dropped._view.said(1) if each.key == key]


def test_builds_that_are_none() -> None:
    towns = Towns.of()
    towns.start()
    many = tuple((bytes([1, at]) * 24, *IMAGE[1:]) for at in range(MAX_IMAGES + 1))
    ask = towns.stations[0].ask
    refused("FrameInvalid", towns.accept, many, [0])
    refused("FrameInvalid", ask, Frame(frames.ROSTER_IMAGES, [[b"short"] * 3]))
    refused("FrameInvalid", ask, Frame(frames.ROSTER_IMAGES, 1))
    refused("RosterInvalid", ask, Frame(frames.ROSTER_IMAGES, []))
    refused("RosterInvalid", ask, Frame(frames.ROSTER_IMAGES, [list(each) for each in BOTH[::-1]]))
    refused("RosterInvalid", towns.accept, [IMAGE, (bytes(48), *IMAGE[1:])], [0])
    refused("FrameInvalid", ask, Frame(frames.ROSTER_LEAVE, None))
    towns.ticks(2)
    assert {state.images for state in towns.states()} == {OLD}


def test_operators_move_to_another_build_one_by_one() -> None:
    """Accept it beside the old one, replace each operator, then drop the old one: no pause between."""
    towns = Towns.of()
    state = towns.start()
    rulers = [state]
    towns.accept(BOTH)
    towns.ticks(4)
    (state,) = towns.states()
    assert (state.number, state.epoch, state.images) == (1, 0, BOTH)
    for _ in range(4):
        leaving = towns.stations[0]
        newcomer = towns.add(own=module(towns.configuration, NEXT_PCRS))
        state = exchanged(towns, rulers, state, leaving, newcomer)
        towns.stations.remove(leaving)
        renumbered(towns)
        assert towns.tick(0).alive == 4
    for station in towns.stations:
        station.ask(images_frame([NEXT]))
    towns.ticks(4)
    assert {each.images for each in towns.states()} == {(NEXT,)}
    towns.ticks(2)
    assert {towns.tick(at).links for at in range(4)} == {3}


def exchanged(
    towns: Towns, rulers: list[RosterState], state: RosterState, leaving: Station, new: Station
) -> RosterState:
    """One operator is replaced, as the chain settles it: the state that all then agree on."""
    members = [station for station in towns.stations if station is not new]
    for station in members:
        station.ask(Frame(frames.ROSTER_EXPECT, [bytes(new.key.public)]))
    seats = [each for each in state.seats if each.key != leaving.key.public] + [seat(new)]
    after = towns.following(state, seats)
    rulers.append(after)
    towns.settled(*rulers)
    at = towns.stations.index(new)
    for peer in range(at):
        towns.dial(at, peer)
    for station in members:
        station.ask(Frame(frames.ROSTER_SAY, after.serialize()))
    new.enclave._society.begin(rulers[0].roster)
    towns.ticks(5)
    assert towns.states(range(1, len(towns.stations))) == {after}
    return after


def renumbered(towns: Towns) -> None:
    """After the first one went: links are known by the places of their ends."""
    for station in towns.stations:
        links = station.links
        station.links = {peer - 1: ends for peer, ends in links.items() if peer > 0}


def race(towns: Towns, first: RosterState, wishes: int) -> tuple[RosterState, Station]:
    """Some wish for other images while the chain settles another roster, of the same number."""
    leaving, newcomer = towns.stations[0], towns.add()
    for station in towns.stations[:4]:
        station.ask(Frame(frames.ROSTER_EXPECT, [bytes(newcomer.key.public)]))
    for peer in range(4):
        towns.dial(4, peer)
    newcomer.enclave._society.begin(first.roster)
    seats = [each for each in first.seats if each.key != leaving.key.public] + [seat(newcomer)]
    after = towns.following(first, seats)
    towns.settled(first, after)
    towns.accept(BOTH, range(wishes))
    for station in towns.stations[wishes:4]:
        station.ask(Frame(frames.ROSTER_SAY, after.serialize()))
    return after, newcomer


@pytest.mark.parametrize("wishes", [1, 2, 3])
def test_A16_R9_a_change_of_images_and_one_of_the_roster_end_both(wishes: int) -> None:
    """Each is wished for by some in the first round of one number: neither sticks."""
    towns = Towns.of()
    first = towns.start()
    after, _ = race(towns, first, wishes)
    towns.ticks(3)
    for station in towns.stations[:wishes]:  # they come to see the roster on chain, too
        state = towns.shown(0).state
        assert state is not None
        if state.epoch == 0:
            chain = towns.following(state, after.seats)
            station.ask(Frame(frames.ROSTER_SAY, chain.serialize()))
    towns.accept(BOTH, range(4))
    for _ in range(12):
        towns.now += PATIENCE_SECONDS
        towns.ticks(2)
    assert {(s.keys, s.epoch) for s in towns.states(range(1, 5))} == {(after.keys, 1)}
    towns.accept(BOTH, range(1, 5))
    for _ in range(6):
        towns.now += PATIENCE_SECONDS
        towns.ticks(2)
    (state,) = towns.states(range(1, 5))
    assert (state.keys, state.images, state.number) == (after.keys, BOTH, 2)
    assert towns.shown(1).guilty == ()


def test_R16_silence_is_by_the_own_clock_and_heard_heights() -> None:
    towns = Towns.of(fresh_seconds=10, silent_seconds=60)
    towns.start()
    for _ in range(7):
        towns.now += 10
        towns.ticks(2, cut=[3])
    gone = towns.stations[3].key.public
    sights = {sight.key: sight for sight in towns.shown(0).sights}
    assert [sights[each.key.public].silent for each in towns.stations] == [False] * 3 + [True]
    assert sights[gone].height == towns.configuration.pinned.height
    towns.dial(3, 0)
    towns.dial(3, 1)
    towns.ticks(3)
    assert not any(sight.silent for sight in towns.shown(0).sights)


def test_one_that_asks_to_leave_says_so_to_all() -> None:
    towns = Towns.of()
    towns.start()
    towns.stations[2].ask(Frame(frames.ROSTER_LEAVE, True))
    towns.ticks(3)
    leaving = towns.stations[2].key.public
    for at in range(4):
        assert [s.key for s in towns.shown(at).sights if s.leaving] == [leaving]
    assert towns.tick(0).alive == 4  # and goes on
    towns.stations[2].ask(Frame(frames.ROSTER_LEAVE, False))
    towns.ticks(3)
    assert not any(sight.leaving for sight in towns.shown(0).sights)


def test_R7_a_key_that_left_gets_no_seat_again_and_its_operator_does_by_a_new_one() -> None:
    towns = Towns.of()
    first = towns.start()
    rulers, leaving = [first], towns.stations[0]
    newcomer = towns.add()
    state = exchanged(towns, rulers, first, leaving, newcomer)
    old = [each for each in first.seats if each.key == leaving.key.public]
    back = towns.following(state, [*state.seats[1:], *old])
    towns.settled(*rulers, back)
    society = towns.stations[1].enclave._society
    society.expect([leaving.key.public])
    towns.dial(0, 1)
    why = refused("NotMember", society.say, back)
    assert "gets no seat again" in why.detail
    towns.stations.remove(leaving)
    renumbered(towns)
    again = towns.add()
    out = next(s for s in towns.stations if s.key.public == state.seats[-1].key)
    towns.stations.remove(out)
    towns.stations.insert(0, out)
    relinked(towns)
    exchanged(towns, rulers, state, out, again)


def relinked(towns: Towns) -> None:
    """All links of members anew, since places changed."""
    for station in towns.stations:
        station.links = {}
    for one in range(len(towns.stations) - 1):
        for two in range(one):
            towns.dial(one, two)
    towns.ticks(2)


def test_R7_an_expelled_key_is_not_let_in_by_any_operators_word() -> None:
    towns = Towns.of()
    towns.start()
    society, liar = towns.stations[0].enclave._society, towns.stations[1].key
    assert society._view is not None
    society._view._guilty[liar.public] = None  # type: ignore[assignment]
    society.expect([liar.public])
    refused("NotMember", towns.dial, 1, 0)
    refused("NotMember", society._check_strangers, [liar.public])
    society._check_strangers([KeyPair.generate().public])


def test_R15_joins_and_leaves_without_end() -> None:
    """Twelve times one comes and one goes, each a state of its own; all stay in step and alive."""
    towns = Towns.of()
    state = towns.start()
    rulers = [state]
    for _ in range(12):
        leaving = towns.stations[0]
        state = exchanged(towns, rulers, state, leaving, towns.add())
        towns.stations.remove(leaving)
        renumbered(towns)
        towns.ticks(2)
        assert [towns.tick(at).alive for at in range(4)] == [4] * 4
        assert [len(station.enclave.anchors().alive) for station in towns.stations] == [4] * 4
    assert (state.number, state.epoch) == (12, 12)
