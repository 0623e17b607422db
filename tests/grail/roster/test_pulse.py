"""Heartbeats: a quorum of fresh ones, which no host can make look fresher than they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from roster_world import BEST, GROUND, Network, keys, spare

from grail.errors import SignatureInvalid
from grail.roster.heartbeat import Heartbeat
from grail.roster.pulse import FRESH_SECONDS, REMEMBERED, Pulse


def beating(count: int = 16, seed: int = 0) -> Network:
    net = Network.of(count, seed)
    net.start()
    net.rounds_until_equal()
    return net


def around(net: Network, times: int = 6) -> None:
    for _ in range(times):
        for member in net.members:
            member.beat()
        net.round()


def test_all_are_fresh_while_all_talk() -> None:
    net = beating()
    member = net.members[0]
    assert len(member.pulse.alive()) < 12
    around(net, 12)
    assert member.pulse.alive() == {pair.public for pair in keys(16)}
    assert all(member.pulse.age(pair.public) == 0 for pair in keys(16))


def test_R8_an_eclipsed_enclave_stops_and_comes_back() -> None:
    net = beating(seed=1)
    around(net, 12)
    net.joined = lambda one, two: 0 not in (one, two)
    for _ in range(7):
        net.now += FRESH_SECONDS / 6
        around(net, 4)
    alone = net.members[0].pulse
    assert alone.alive() == {alone.own}
    assert len(net.members[1].pulse.alive()) == 15
    net.joined = lambda _one, _two: True
    around(net, 12)
    assert len(alone.alive()) == 16


def test_R8_peers_chosen_by_the_host_are_not_a_quorum() -> None:
    net = beating(seed=2)
    around(net, 12)
    shown = set(range(8))
    net.joined = lambda one, two: 0 not in (one, two) or {one, two} <= shown
    # what the shown ones pass on is signed by its members: they hide nothing, so hide them too
    net.joined = lambda one, two: (one in shown) == (two in shown)
    for _ in range(7):
        net.now += FRESH_SECONDS / 6
        around(net, 4)
    assert len(net.members[0].pulse.alive()) == 8


def test_R8_R16_held_back_heartbeats_are_as_old_as_what_they_echo() -> None:
    """A host keeps all that comes for an hour, and brings it then: late, in order, one by one."""
    net = beating(4, 3)
    around(net, 8)
    one, two = net.members[0].pulse, net.members[1].pulse
    begun = net.now
    kept: list[Heartbeat] = []
    for _ in range(20):
        net.now += 1
        net.members[0].beat()
        two.take(one.newest(keys(4)[0].public))
        net.members[1].beat()
        kept.append(two.newest(keys(4)[1].public))
    net.now += 3_600
    for heartbeat in kept:
        one.take(heartbeat)
    age = one.age(keys(4)[1].public)
    assert age == net.now - (begun + 20)
    assert age > FRESH_SECONDS


def test_R16_a_clock_that_is_off_by_days_expels_nobody() -> None:
    """Ages are differences of the own monotonic clock; no date is read anywhere."""
    for shift in (-30 * 86_400, 30 * 86_400):
        net = beating(4, 4)
        net.now += shift
        around(net, 8)
        assert len(net.members[0].pulse.alive()) == 4


def test_R16_one_that_was_never_heard_of_is_silent_since_it_is_a_member() -> None:
    net = beating(4, 4)
    around(net, 8)
    pulse, joined = net.members[0].pulse, spare(0).public
    heard = [key for key in pulse.members if key != pulse.own]
    begun = net.now
    net.now += 100
    pulse.follow(1, bytes([1]) * 32, (*pulse.members, joined))
    net.now += 61
    assert pulse.age(joined) is None
    assert pulse.silence(joined) == 61
    assert all(pulse.silence(key) >= net.now - begun for key in heard)
    assert pulse.silence(pulse.own) == 0


def test_R8_replayed_and_forged_heartbeats_count_for_nothing() -> None:
    net = beating(4, 5)
    around(net, 8)
    pulse, other = net.members[0].pulse, net.members[1]
    newest = other.pulse.newest(other.pair.public)
    pulse.take(newest)
    assert not pulse.take(newest)
    with pytest.raises(SignatureInvalid):
        pulse.take(replace(newest, count=newest.count + 1))
    with pytest.raises(SignatureInvalid):
        pulse.take(replace(newest, key=keys(4)[2].public, count=1_000))
    stranger = Heartbeat(spare(0).public, 1, 1, 0, bytes(32), BEST, bytes(64))
    with pytest.raises(SignatureInvalid, match="no seat"):
        pulse.take(stranger)
    # an echo of what was never sent, and of a heartbeat of another instance of this one
    lying = Heartbeat(
        other.pair.public, 1, 10_000, newest.number, newest.state, BEST, bytes([7]) * 64
    )
    net.now += 3_600
    assert pulse.take(lying.signed(other.pair, GROUND))
    assert pulse.age(other.pair.public) == 3_600


def test_R8_an_echo_of_a_twin_is_no_sign_of_life() -> None:
    """Two instances of one key that say the very same: what one hears back, the other may not."""
    net = beating(4, 7)
    one, other = net.members[0], net.members[1]
    twin = Pulse(GROUND, one.pair.public, lambda: net.now)
    twin.follow(one.pulse.number, one.pulse.state, one.pulse.members)
    one.pulse = Pulse(GROUND, one.pair.public, lambda: net.now)
    one.pulse.follow(twin.number, twin.state, twin.members)
    one.beat()
    other.pulse.take(one.pulse.newest(one.pair.public))
    other.beat()
    net.now += 3_600
    twin.beat(one.pair, 1, BEST)
    assert twin.newest(one.pair.public) == one.pulse.newest(one.pair.public)
    twin.take(other.pulse.newest(other.pair.public))
    assert twin.age(other.pair.public) is None
    one.pulse.take(other.pulse.newest(other.pair.public))
    assert one.pulse.age(other.pair.public) == 3_600


def test_a_newer_instance_wins_and_memory_is_bounded() -> None:
    net = beating(4, 6)
    around(net, 4)
    member, other = net.members[0], net.members[1]
    other.pulse.beat(other.pair, 2, BEST)
    assert member.pulse.take(other.pulse.newest(other.pair.public))
    for _ in range(2 * REMEMBERED):
        member.beat()
    assert len(member.pulse._sent) == REMEMBERED
    member.pulse.follow(1, bytes(32), [member.pair.public])
    assert member.pulse.newest(other.pair.public) is None
    assert member.pulse.age(other.pair.public) is None
    assert member.pulse.age(member.pair.public) == 0
