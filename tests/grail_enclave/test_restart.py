"""An enclave that was killed and started again with the same key, through its frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from enclave_world import (
    KEYS,
    QUORUM,
    ROSTER,
    World,
    acting,
    ask,
    ballot,
    hello_body,
    open_round,
    promise,
    roster_id,
    rule,
    sign,
    vote,
)
from tests.kernel import verify_spend

from grail.errors import QuorumNotReached
from grail.operators import frames
from grail.operators.asking import Limits, Operators
from grail.operators.client import collect
from grail.operators.frames import Frame, Instance, Reply, Status
from grail.operators.grants import Grant, Hello
from grail.operators.messages import Vote
from grail.operators.recovery import Recovered, recover
from grail.operators.roster import roster_fields
from grail.operators.signing_job import SigningJob
from grail.operators.transport import Fault, MemoryTransport
from grail_enclave.enclave import Enclave, started


@pytest.fixture
def world() -> World:
    return World.begun()


def handed_over(world: World, index: int) -> Enclave:
    """A new process with an operator's key: it was taught roster and record again."""
    enclave = Enclave(world.configuration, KEYS[index], handed_over=True)
    world.feed(enclave)
    ask(enclave, frames.FIRST_ROSTER_ACCEPT, world.first_roster.fields()).unwrap()
    ask(enclave, frames.RECORD, world.deploy_record().to_value()).unwrap()
    return enclave


def asked_of(enclave: Enclave, epoch: int) -> Reply:
    """A new instance's question for an epoch."""
    return ask(enclave, frames.HELLO, hello_body(enclave, epoch))


def instance(enclave: Enclave) -> Instance:
    found = Status.from_fields(ask(enclave, frames.STATUS).unwrap()).instance
    assert found is not None
    return found


def peers(enclaves: Sequence[Enclave]) -> MemoryTransport:
    def peer(enclave: Enclave) -> Callable[[bytes], Awaitable[bytes]]:
        async def answer(raw: bytes) -> bytes:
            return enclave.answer(raw)

        return answer

    return MemoryTransport([peer(enclave) for enclave in enclaves])


def recovered(
    enclaves: Sequence[Enclave], index: int, transport: MemoryTransport | None = None
) -> Recovered:
    """Carry the question of enclave `index` to the others, and their grants back."""
    state = acting(enclaves[0])

    async def own(frame: Frame) -> Reply:
        return Reply.parse(enclaves[index].answer(frame.raw))

    async def main() -> Recovered:
        limits = Limits(answer=2, straggler=0.1)
        operators = Operators(state.scope, transport or peers(enclaves), limits)
        return await recover(own, operators, index)

    return asyncio.run(main())


def test_P1_a_restarted_enclave_votes_only_once_the_others_told_it(world: World) -> None:
    """Rolled back to nothing: neither vote, promise nor grant; then it goes on where it was."""
    deposit, coin = world.paid()
    one, two = world.peg_in(deposit, coin), world.peg_in(deposit, coin, rate=3)
    ours, theirs = world.request(one), world.request(two)
    enclaves = world.enclaves()
    votes = [vote(enclave, ours) for enclave in enclaves[:QUORUM]]
    enclaves[0] = handed_over(world, 0)
    assert instance(enclaves[0]) == Instance(0, 1, recovered=False)
    before = enclaves[0].state_hash()
    opened = open_round(enclaves[12], 12, theirs)
    assert rule(vote(enclaves[0], theirs)) == "NotRecovered"
    assert rule(promise(enclaves[0], opened, theirs)) == "NotRecovered"
    hello = asked_of(handed_over(world, 3), 2).unwrap()
    assert rule(ask(enclaves[0], frames.GRANT, [hello, None])) == "NotRecovered"
    assert enclaves[0].state_hash() == before

    done = recovered(enclaves, 0)
    assert (done.epoch, done.grantors, done.lacking) == (2, tuple(range(1, 16)), ())
    assert instance(enclaves[0]) == Instance(2, 2, recovered=True)
    # Its old vote stands, with the body that it was brought; it is sent to nobody.
    reply = vote(enclaves[0], theirs)
    assert rule(reply) == "RivalVoted"
    assert reply.standing is not None
    assert reply.standing.body == ours.serialize()
    assert rule(vote(enclaves[0], ours)) == "BallotPromised"
    # What its old instance and eleven others decided is signed by the new one too.
    signed = [sign(enclave, ours, votes) for enclave in enclaves]
    verify_spend(world.signed(one, signed).serialize(), one.spent_outputs)


def test_a_restarted_enclave_takes_part_in_all_that_follows(world: World) -> None:
    """Twelve up, one of them restarted in the middle of a split: a ballot decides."""
    deposit, coin = world.paid()
    one, two = world.peg_in(deposit, coin), world.peg_in(deposit, coin, rate=3)
    ours, theirs = world.request(one), world.request(two)
    enclaves = world.enclaves()[:13]
    for index, enclave in enumerate(enclaves):
        vote(enclave, ours if index % 2 else theirs).unwrap()
    enclaves[5] = handed_over(world, 5)
    recovered([*enclaves, *world.enclaves()[13:]], 5)
    opened = open_round(enclaves[1], 1, ours)
    promises = [promise(enclave, opened, ours) for enclave in enclaves[1:]]
    votes = [ballot(enclave, promises, ours) for enclave in enclaves[1:]]
    assert [Vote.parse(v.unwrap()).head.v[5] for v in votes] == [2] * 12
    signed = [sign(enclave, ours, votes) for enclave in enclaves]
    verify_spend(world.signed(one, signed).serialize(), one.spent_outputs)


def test_P1_decisions_and_bodies_come_back(world: World) -> None:
    deposit, coin = world.paid()
    one, two = world.peg_in(deposit, coin), world.peg_in(deposit, coin, rate=3)
    ours, theirs = world.request(one), world.request(two)
    enclaves = world.enclaves()
    votes = [vote(enclave, ours) for enclave in enclaves[:QUORUM]]
    for enclave in enclaves[4:]:
        sign(enclave, ours, votes).unwrap()
    enclaves[0] = handed_over(world, 0)
    assert recovered(enclaves, 0).lacking == ()
    reply = vote(enclaves[0], theirs)
    assert rule(reply) == "OutpointTaken"
    assert reply.standing is not None
    assert len(reply.standing.decision) == QUORUM
    assert reply.standing.body == ours.serialize()


def test_P1_a_handed_over_key_vouches_for_no_first_roster(world: World) -> None:
    """Its last instance may have vouched for another one. It accepts the one that all signed."""
    enclave = Enclave(world.configuration, KEYS[0], handed_over=True)
    before = enclave.state_hash()
    assert rule(ask(enclave, frames.FIRST_ROSTER_SIGN, roster_fields(ROSTER))) == "RosterFixed"
    assert rule(ask(enclave, frames.HELLO, hello_body(enclave, 2))) == "ViewStale"
    assert enclave.state_hash() == before
    assert instance(handed_over(world, 0)).recovered is False
    with_rules = started(world.configuration, KEYS[0], handed_over=True)
    assert rule(ask(with_rules, frames.FIRST_ROSTER_SIGN, roster_fields(ROSTER))) == "RosterFixed"


def test_K1_two_enclaves_with_one_key_are_one_operator(world: World) -> None:
    """A standby takes over while the old one still runs: it is told, stops, and may still sign."""
    built = world.peg_in(*world.paid())
    request = world.request(built)
    enclaves = world.enclaves()
    old, new = enclaves[0], handed_over(world, 0)
    late = vote(old, request)
    transport = peers([old, *enclaves[1:]])  # the old one still answers for the operator

    async def main() -> Recovered:
        async def own(frame: Frame) -> Reply:
            return Reply.parse(new.answer(frame.raw))

        state = acting(old)
        return await recover(own, Operators(state.scope, transport), 0)

    asyncio.run(main())
    assert instance(new).recovered
    assert instance(old) == Instance(1, 2, recovered=False)
    assert rule(vote(old, request)) == "NotRecovered"
    votes = [vote(enclave, request) for enclave in enclaves[1:]]
    assert rule(sign(new, request, [late, *votes[:11]])) == "NotDecided"
    assert sign(old, request, votes[:12]).refusal is None
    assert sign(new, request, votes[:12]).refusal is None


def test_K7_a_late_vote_of_a_paused_enclave_is_void(world: World) -> None:
    """The client's own choice leaves it out: the certificate is made of the fourteen others."""
    built = world.peg_in(*world.paid())
    request = world.request(built)
    enclaves = world.enclaves()
    old, new = enclaves[0], handed_over(world, 0)
    recovered([new, *enclaves[1:]], 0)
    transport = peers([old, *enclaves[1:]])  # paused through all of it: it never heard
    transport.faults.update({i: Fault(dead=True) for i in (13, 14, 15)})
    job = SigningJob.read(world.network, request.serialize())
    state = acting(old)

    async def main() -> None:
        done = await collect(job, world.network, state.scope, transport, limits=Limits(answer=2))
        assert 0 not in {vote.head.sender for vote in done.decision.votes}
        verify_spend(done.tx.serialize(), built.spent_outputs)

    asyncio.run(main())


def test_recovery_finds_a_free_epoch_and_names_who_is_left_out(world: World) -> None:
    """An attempt that came to nothing used up an epoch; two liars accuse others, one is dead."""
    enclaves = world.enclaves()
    enclaves[0] = handed_over(world, 0)
    first = asked_of(handed_over(world, 0), 4).unwrap()
    for enclave in enclaves[1:10]:
        ask(enclave, frames.GRANT, [first, None]).unwrap()
    transport = peers(enclaves)

    def accuse(frame: Frame, raw: bytes) -> bytes:
        """Operator 3 tells of a newer instance of operator 4, which 4's key never spoke of."""
        reply = Reply.parse(raw)
        if frame.kind != frames.GRANT or reply.refusal is not None:
            return raw
        grant = Grant.parse(reply.body)
        v = tuple(9 if i == 4 else e for i, e in enumerate(grant.head.v))
        lie = replace(grant, head=replace(grant.head, v=v)).signed(KEYS[3])
        return Reply(lie.serialize()).serialize()

    transport.faults.update({3: Fault(tamper=accuse), 9: Fault(dead=True)})
    done = recovered(enclaves, 0, transport)
    assert done.epoch == 5
    assert set(done.grantors) == set(range(1, 16)) - {3, 9}
    assert instance(enclaves[0]).recovered


def test_too_few_others_recover_nobody(world: World) -> None:
    enclaves = world.enclaves()
    enclaves[0] = handed_over(world, 0)
    transport = peers(enclaves)
    transport.faults.update({i: Fault(dead=True) for i in range(9, 16)})
    with pytest.raises(QuorumNotReached, match="8 of 9 operators granted"):
        recovered(enclaves, 0, transport)
    assert not instance(enclaves[0]).recovered


def test_K1_a_takeover_that_fails_half_way_stops_the_old_instance_too(world: World) -> None:
    """Eight count it no more: it has to ask for an epoch itself, and comes back with it."""
    enclaves = world.enclaves()
    old, new = enclaves[0], handed_over(world, 0)
    transport = peers(enclaves)
    transport.faults.update({i: Fault(dead=True) for i in range(9, 16)})
    with pytest.raises(QuorumNotReached, match="8 of 9 operators granted"):
        recovered([new, *enclaves[1:]], 0, transport)
    assert instance(old) == Instance(1, 2, recovered=False)
    assert recovered(enclaves, 0).epoch == 3
    assert instance(old) == Instance(3, 3, recovered=True)


def test_K1_a_survivor_is_shown_the_word_of_a_clone_that_is_gone(world: World) -> None:
    """A clone asked for an epoch and went: what the other says is void until it asks itself."""
    built = world.peg_in(*world.paid())
    enclaves = world.enclaves()
    hello = asked_of(handed_over(world, 0), 2).unwrap()
    for enclave in enclaves[1:]:
        ask(enclave, frames.GRANT, [hello, None]).unwrap()
    assert ask(enclaves[1], frames.NEWEST, [0, roster_id(enclaves[1])]).unwrap() == hello
    assert ask(enclaves[1], frames.NEWEST, [2, roster_id(enclaves[1])]).unwrap() is None
    assert rule(ask(enclaves[1], frames.NEWEST, "0")) == "FrameInvalid"
    assert instance(enclaves[0]) == Instance(1, 1, recovered=True)

    transport = peers(enclaves)
    transport.faults.update({i: Fault(dead=True) for i in (12, 13, 14, 15)})
    request = world.request(built).serialize()
    job = SigningJob.read(world.network, request)
    state = acting(enclaves[0])
    limits = Limits(answer=2, base=0.01, cap=0.1)
    with pytest.raises(QuorumNotReached):
        asyncio.run(collect(job, world.network, state.scope, transport, limits=limits))
    assert instance(enclaves[0]) == Instance(1, 2, recovered=False)

    transport.faults[12] = Fault()
    assert recovered(enclaves, 0, transport).epoch == 3
    asyncio.run(collect(job, world.network, state.scope, transport, limits=limits))


def test_S34_refused_frames_of_rule_6_change_nothing(world: World) -> None:
    enclaves = world.enclaves(12)
    new = handed_over(world, 0)
    hello = ask(new, frames.HELLO, hello_body(new, 2)).unwrap()
    grants = [ask(e, frames.GRANT, [hello, None]).unwrap() for e in enclaves[1:10]]
    page = ask(enclaves[1], frames.GRANT, [hello, 0])
    assert rule(page) == "HelloInvalid"  # an empty memory has no page
    other = Hello.parse(hello).signed(KEYS[5]).serialize()
    for enclave, kind, body, name in (
        (new, frames.HELLO, hello_body(new, 1), "EpochTaken"),
        (new, frames.HELLO, hello_body(new, -1), "FrameInvalid"),
        (new, frames.RECOVER, [grants[:8], []], "NotGranted"),
        (new, frames.RECOVER, [[*grants[:8], grants[0]], []], "NotGranted"),
        (new, frames.RECOVER, [grants, [b"\xa0"]], "NotGranted"),
        (new, frames.RECOVER, [[b"x"], []], "FrameInvalid"),
        (new, frames.RESTORE, [[], b"x"], "FrameInvalid"),
        (enclaves[1], frames.GRANT, [other, None], "HelloInvalid"),
        (enclaves[1], frames.GRANT, [b"", None], "FrameInvalid"),
        (enclaves[1], frames.HELLO, hello_body(enclaves[1], 2), "NotReplaced"),
        (enclaves[1], frames.RECOVER, [grants, []], "NotGranted"),
        (enclaves[0], frames.GRANT, [other, None], "HelloInvalid"),
    ):
        before = enclave.state_hash()
        reply = ask(enclave, kind, body)
        assert rule(reply) == name, (kind, rule(reply))
        assert enclave.state_hash() == before
    assert ask(new, frames.RECOVER, [grants, []]).unwrap() == []
    assert instance(new).recovered


def test_a_deploy_that_comes_back_finds_its_votes(world: World) -> None:
    """The same roster on record again, in whatever block: nothing that was voted is forgotten."""
    built = world.peg_in(*world.paid())
    enclave = world.enclave()
    vote(enclave, world.request(built)).unwrap()
    (before,) = enclave._acceptors.items()
    ask(enclave, frames.RECORD, world.deploy_record().to_value()).unwrap()
    enclave._told = None  # as after a record under which another roster ruled
    ask(enclave, frames.RECORD, world.deploy_record().to_value()).unwrap()
    assert [before] == list(enclave._acceptors.items())
