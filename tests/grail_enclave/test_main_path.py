"""From a request to votes, a decision, signatures, and a transaction that Bitcoin takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import (
    ALICE,
    BOB,
    KEYS,
    QUORUM,
    World,
    ask,
    ballot,
    open_round,
    promise,
    prove,
    rule,
    sign,
    vote,
    zkbtc_app,
)
from tests.kernel import verify_spend

from grail.draft.assembled import Act
from grail.draft.draft import CARRIER, Draft, Payment
from grail.operators import frames
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Status
from grail.operators.messages import Vote
from grail.types import TxOut


@pytest.fixture
def world() -> World:
    return World.begun()


def test_peg_in_then_peg_out_in_one_block(world: World) -> None:
    """Twelve of sixteen votes and signatures; a second spell hangs on the unconfirmed first."""
    enclaves = world.enclaves()
    built = world.peg_in(*world.paid())
    world.feed(*enclaves)
    request = world.request(built)
    votes = [vote(enclave, request) for enclave in enclaves]
    signed = [sign(enclave, request, votes[2:14]) for enclave in enclaves]
    tx = world.signed(built, signed)
    verify_spend(tx.serialize(), built.spent_outputs)

    minted = tx.outputs[0].sats
    held = world.coin(tx, 1, {world.zkbtc.token: minted})
    out = world.peg_out(world.coin(tx, 0), held, minted // 2)
    request = world.request(out, ALICE)
    assert any(item.prevouts is not None for item in request.evidence)
    votes = [vote(enclave, request) for enclave in enclaves[4:]]
    signed = [sign(enclave, request, votes) for enclave in enclaves[4:]]
    final = world.signed(out, signed, ALICE, first=4)
    verify_spend(final.serialize(), out.spent_outputs)


def test_status_tells_who_and_where(world: World) -> None:
    enclave = world.bare(3)
    before = Status.from_fields(ask(enclave, frames.STATUS).unwrap())
    assert (before.key, before.index, before.epoch) == (KEYS[3].public, None, None)
    assert before.best.height == world.chain.height
    ready = Status.from_fields(ask(world.enclave(), frames.STATUS).unwrap())
    assert (ready.index, ready.epoch) == (0, 0)
    assert ready.roster == world.deploy.outpoint(0)
    assert ready.configuration == world.configuration.digest


def test_S18_same_request_same_answer(world: World) -> None:
    """A lost reply is asked for again: votes and signatures are the very same bytes."""
    built = world.peg_in(*world.paid())
    enclaves = world.enclaves(QUORUM)
    request = world.request(built)
    votes = [vote(enclave, request) for enclave in enclaves]
    assert vote(enclaves[0], request).body == votes[0].body
    first = sign(enclaves[0], request, votes)
    world.chain.mine()
    world.feed(*enclaves)
    assert sign(enclaves[0], request, votes).body == first.body


def test_S16_rival_is_refused_with_what_stands_in_the_way(world: World) -> None:
    """After a vote for one spend, a vote for a rival is refused, and the rival's body is told."""
    deposit, coin = world.paid()
    one, two = world.peg_in(deposit, coin), world.peg_in(deposit, coin, rate=3)
    enclave = world.enclave()
    request = world.request(one)
    vote(enclave, request).unwrap()
    state = enclave.state_hash()
    reply = vote(enclave, world.request(two))
    assert rule(reply) == "RivalVoted"
    assert reply.standing is not None
    assert (reply.standing.txid, reply.standing.body) == (one.tx.txid, request.serialize())
    assert enclave.state_hash() == state
    told = ask(enclave, frames.BODY, reply.standing.family).unwrap()
    assert told is not None


def test_S16_rivals_split_and_a_ballot_finishes_one(world: World) -> None:
    """Eight voted for each of two rivals: a ballot moves all to one, and it alone is signed."""
    deposit, coin = world.paid()
    one, two = world.peg_in(deposit, coin), world.peg_in(deposit, coin, rate=3)
    ours, theirs = world.request(one), world.request(two)
    enclaves = world.enclaves()
    for index, enclave in enumerate(enclaves):
        vote(enclave, ours if index % 2 else theirs).unwrap()
    opened = open_round(enclaves[1], 1, ours)
    assert rule(open_round(enclaves[2], 1, ours)) == "NotOpener"
    promises = [promise(enclave, opened, ours) for enclave in enclaves]
    few = ballot(enclaves[0], promises[:11], ours)
    assert rule(few) == "NotPromised"
    votes = [ballot(enclave, promises, ours) for enclave in enclaves]
    assert {Vote.parse(v.unwrap()).round for v in votes} == {1}
    signed = [sign(enclave, ours, votes[:QUORUM]) for enclave in enclaves]
    tx = world.signed(one, signed)
    verify_spend(tx.serialize(), one.spent_outputs)
    reply = vote(enclaves[0], theirs)
    assert rule(reply) == "OutpointTaken"
    assert reply.standing is not None
    assert len(reply.standing.decision) == QUORUM


def test_S16_eleven_votes_are_no_decision(world: World) -> None:
    """Eleven votes, one twice, one of another ballot's family, one altered: no signature."""
    deposit, coin = world.paid()
    request = world.request(world.peg_in(deposit, coin))
    other = world.request(world.peg_in(deposit, coin, rate=3))
    votes = world.voted(request)
    enclave = world.enclave()
    state = enclave.state_hash()
    foreign = vote(world.enclaves(13)[12], other)
    raw = votes[0].unwrap()
    forged = replace(votes[0], body=raw[:-1] + bytes([raw[-1] ^ 1]))
    for few in (
        [],
        votes[:11],
        [*votes[:11], votes[0]],
        [*votes[:11], foreign],
        [*votes[1:], forged],
    ):
        assert rule(sign(enclave, request, few)) == "NotDecided"
        assert enclave.state_hash() == state
    assert sign(enclave, request, votes).refusal is None


def test_G9_raise_of_the_fee_alone(world: World) -> None:
    """A decided transaction that pays more from its change is signed without a new ballot."""
    tx, minted = world.served()
    world.confirm(tx)
    draft = Draft(world.context)
    draft.spend_guarded(world.zkbtc, world.coin(tx, 0))
    draft.spend(world.coin(tx, 1, {world.zkbtc.token: minted}), world.give(ALICE, 90_000))
    draft.pay_guard(world.zkbtc, minted - 100_000)
    draft.keep_rest(ALICE.script, CARRIER, {world.zkbtc.token: -100_000})
    draft.pay(BOB.script, 100_000)
    draft.change = Payment(ALICE.script, 60_000)
    draft.act(Act(world.zkbtc, zkbtc_app(), "settle"))
    built = prove(draft.assemble())

    def paying(change: int) -> SigningRequest:
        outputs = (*built.tx.outputs[:-1], TxOut(change, ALICE.script))
        return world.request(replace(built, tx=replace(built.tx, outputs=outputs)), ALICE)

    request, dearer, cheaper = paying(60_000), paying(55_000), paying(65_000)
    votes = world.voted(request)
    enclave = world.enclave()
    assert sign(enclave, dearer, votes).refusal is None
    assert rule(sign(enclave, request, votes)) == "FeeOutOfRange"
    fresh = world.enclave()
    assert sign(fresh, request, votes).refusal is None
    assert sign(fresh, dearer, votes).refusal is None
    assert rule(sign(fresh, cheaper, votes)) == "FeeOutOfRange"
    assert sign(fresh, request, votes).refusal is None  # signed before: the same answer


def test_S32_request_of_another_network(world: World) -> None:
    """Votes of another network, though from the same keys, decide nothing here."""
    other = World(_serial=1_000)  # another coin at its start: another network
    assert other.network.id != world.network.id
    request = world.request(world.peg_in(*world.paid()))
    foreign = other.request(other.peg_in(*other.paid()))
    votes = other.voted(foreign)
    assert rule(sign(world.enclave(), request, votes)) == "NotDecided"
    assert rule(vote(world.enclave(), foreign)) in {"NotConfirmed", "ProofInvalid"}
