"""Spends in blocks at the enclave: nothing that is spent is voted for, nothing dead holds a vault."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import (
    ALICE,
    BOB,
    QUORUM,
    RATE,
    World,
    account,
    acting,
    ask,
    double_spend,
    open_round,
    prove,
    rule,
    show_spend,
    sign,
    two_coins,
    vote,
    zkbtc_app,
)

import grail.bridge.peg_out as peg_out_module
from grail.bridge.peg_out import draft_peg_out
from grail.draft.draft import Purse
from grail.operators import frames, memory
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Reply
from grail.types import TxOut
from grail.wallet.coins import Coin
from grail_enclave.enclave import Enclave


@pytest.fixture
def world() -> World:
    return World.begun()


def known(enclave: Enclave) -> int:
    return len(acting(enclave).memory.known)


def test_S23_a_double_spent_input_frees_the_vault_after_one_block(world):
    built, vault, held, own = two_coins(world)
    enclaves = world.enclaves(QUORUM)
    request = world.request(built, ALICE)
    votes = [vote(enclave, request) for enclave in enclaves]
    assert all(sign(enclave, request, votes).refusal is None for enclave in enclaves)
    next_one = world.request(world.peg_out(vault, held, 60_000), ALICE)
    assert {rule(vote(enclave, next_one)) for enclave in enclaves} == {"OutpointTaken"}

    conflict = double_spend(own)
    world.confirm(conflict)
    world.feed(*enclaves)
    proof = world.chain.prove(conflict.txid)
    for enclave in enclaves:
        assert rule(vote(enclave, next_one)) == "OutpointTaken"  # headers alone do not tell
        assert show_spend(enclave, conflict, proof).refusal is None
    again = [vote(enclave, next_one) for enclave in enclaves]
    assert all(sign(enclave, next_one, again).refusal is None for enclave in enclaves)
    state = enclaves[0].state_hash()
    assert rule(sign(enclaves[0], request, votes)) == "OutpointTaken"
    assert enclaves[0].state_hash() == state


def test_S23_a_dead_transaction_is_neither_voted_for_nor_signed(world):
    built, _, _, own = two_coins(world)
    enclaves = world.enclaves(QUORUM)
    request = world.request(built, ALICE)
    votes = [vote(enclave, request) for enclave in enclaves]
    conflict = double_spend(own)
    world.confirm(conflict)
    one = enclaves[0]
    world.feed(one)
    assert show_spend(one, conflict, world.chain.prove(conflict.txid)).refusal is None
    assert rule(vote(one, request)) == "InputSpent"
    assert rule(sign(one, request, votes)) == "InputSpent"
    assert rule(open_round(one, 16, request)) == "InputSpent"


def test_S12_a_reorganisation_revives_a_decision(world):
    """The conflict's block is gone: the old votes decide again, and it can be finished."""
    built, _, _, own = two_coins(world)
    enclaves = world.enclaves(QUORUM)
    request = world.request(built, ALICE)
    votes = [vote(enclave, request) for enclave in enclaves]
    before = world.chain
    world.chain = before.fork(before.height)
    conflict = double_spend(own)
    world.confirm(conflict)
    one = enclaves[0]
    world.feed(one)
    show_spend(one, conflict, world.chain.prove(conflict.txid)).unwrap()
    assert rule(sign(one, request, votes)) == "InputSpent"
    world.chain = before.fork(before.height)
    world.chain.mine_many(2)
    world.feed(one)
    assert sign(one, request, votes).refusal is None


def test_S13_S34_a_false_proof_changes_nothing(world):
    built, _, _, own = two_coins(world)
    one = world.enclave()
    vote(one, world.request(built, ALICE)).unwrap()
    conflict = double_spend(own)
    other = world.give(BOB, 1_000)
    world.confirm(conflict)
    proof = world.chain.prove(conflict.txid)
    state = one.state_hash()
    assert rule(show_spend(one, conflict, proof)) == "NotConfirmed"  # its header is not there yet
    world.feed(one)
    state = one.state_hash()
    for bad in (
        world.chain.prove(other.outpoint.txid),
        replace(proof, index=proof.index ^ 1),
        replace(proof, branch=()),
        replace(proof, block=type(proof.block)(bytes(32))),
    ):
        assert rule(show_spend(one, conflict, bad)) == "NotConfirmed"
    assert rule(show_spend(one, conflict, proof, built.tx, conflict)) == "InvalidInput"
    for body in (None, [], [b"", None, []], [b"x", proof.to_value(), []]):
        assert ask(one, frames.SPENT, body).refusal is not None
    assert one.state_hash() == state
    assert show_spend(one, conflict, proof, built.tx).refusal is None
    assert known(one) == 0


def settled(world: World) -> tuple[list[Enclave], list[Reply], Coin, Coin, Coin]:
    """Enclaves and their votes for a spend that is k deep since.

    The vault output that it spent, the one that came of it, and Alice's units.
    """
    first, minted = world.served(900_000)
    world.confirm(first)
    enclaves = world.enclaves(QUORUM)
    held = world.coin(first, 1, {world.zkbtc.token: minted})
    built = world.peg_out(world.coin(first, 0), held, 100_000)
    request = world.request(built, ALICE)
    votes = [vote(enclave, request) for enclave in enclaves]
    tx = world.signed(built, [sign(enclave, request, votes) for enclave in enclaves], ALICE)
    world.confirm(tx)
    world.chain.mine_many(world.network.k + 2)
    world.feed(*enclaves)
    charms = built.check().charms
    at = next(i for i, out in enumerate(tx.outputs) if out.script == first.outputs[0].script)
    kept = next(i for i, found in enumerate(charms) if world.zkbtc.token in found)
    held = world.coin(tx, kept, {world.zkbtc.token: charms[kept][world.zkbtc.token]})
    return enclaves, votes, world.coin(first, 0), world.coin(tx, at), held


def frozen(world: World) -> tuple[SigningRequest, SigningRequest, list[Enclave]]:
    """A request that spends a vault output spent long ago and the live one, and an honest one."""
    enclaves, _, dead, live, held = settled(world)
    purse = Purse([held], ALICE.script, RATE)
    drafted = draft_peg_out(
        world.context, zkbtc_app(), [dead, live], purse, burn=50_000, pay_to=ALICE.script
    )
    assert {dead.outpoint, live.outpoint} <= {txin.outpoint for txin in drafted.tx.inputs}
    evil = world.request(prove(drafted), ALICE)
    return evil, world.request(world.peg_out(live, held, 60_000), ALICE), enclaves


def test_S23_an_outpoint_that_was_spent_freezes_no_live_one(world, monkeypatch):
    monkeypatch.setattr(peg_out_module, "select_vault", lambda vault, _: list(vault))
    evil, honest, enclaves = frozen(world)
    for enclave in enclaves:
        state = enclave.state_hash()
        assert rule(vote(enclave, evil)) == "OutpointTaken"  # by the decision of then
        assert enclave.state_hash() == state
    # One that saw nothing of the spend: the evidence of the very request shows it.
    assert rule(vote(world.enclave(), evil)) == "InputSpent"
    votes = [vote(enclave, honest) for enclave in enclaves]
    for enclave in enclaves:
        # The honest request's evidence showed the spend, k deep: the decision is forgotten, not it.
        assert known(enclave) == 1
        without = replace(evil, evidence=tuple(replace(i, inclusion=None) for i in evil.evidence))
        for request in (evil, without):
            assert vote(enclave, request).refusal is not None
        assert rule(vote(enclave, evil)) == "InputSpent"
    assert all(sign(enclave, honest, votes).refusal is None for enclave in enclaves)


def test_S33_normal_use_leaves_nothing_behind(world):
    """A vault spent again and again within k blocks: what is k deep is forgotten, all of it."""
    tx, minted = world.served(900_000)
    world.confirm(tx)
    enclaves = world.enclaves(QUORUM)
    vault, held = world.coin(tx, 0), world.coin(tx, 1, {world.zkbtc.token: minted})
    for _ in range(3):
        built = world.peg_out(vault, held, 50_000)
        request = world.request(built, ALICE)
        votes = [vote(enclave, request) for enclave in enclaves]
        tx = world.signed(built, [sign(enclave, request, votes) for enclave in enclaves], ALICE)
        world.confirm(tx)
        world.feed(*enclaves)
        charms = built.check().charms
        kept = next(i for i, found in enumerate(charms) if world.zkbtc.token in found)
        at = next(i for i, o in enumerate(tx.outputs) if o.script == vault.output.script)
        held = world.coin(tx, kept, {world.zkbtc.token: charms[kept][world.zkbtc.token]})
        vault = world.coin(tx, at)
    # The last one's spend is in no request's evidence: its host shows it.
    for enclave in enclaves:
        show_spend(enclave, tx, world.chain.prove(tx.txid)).unwrap()
    assert {known(enclave) for enclave in enclaves} == {3}
    world.chain.mine_many(world.network.k)
    world.feed(*enclaves)
    assert {known(enclave) for enclave in enclaves} == {0}


def test_S33_one_outpoint_fills_no_table(world, monkeypatch):
    """One proof, many change scripts: the rounds of one outpoint are no trouble to another."""
    monkeypatch.setattr(memory, "MAX_FAMILIES", 6)
    built, *_ = two_coins(world)
    unrelated = world.request(world.peg_in(*world.paid(400_000)))
    one = world.enclaves(2)[1]
    for number in range(10):
        changed = (*built.tx.outputs[:-1], TxOut(60_000, account(f"m{number}").script))
        flood = replace(built, tx=replace(built.tx, outputs=changed))
        reply = open_round(one, 1 + 16 * number, world.request(flood, ALICE))
        assert reply.refusal is None
        assert known(one) == 1
    assert vote(one, unrelated).refusal is None


def test_S34_a_refused_request_teaches_nothing(world):
    """Its evidence shows a settled spend, and yet it changes no state when it is refused."""
    enclaves, votes, _, live, held = settled(world)
    follows = world.request(world.peg_out(live, held, 60_000), ALICE)
    one = enclaves[0]
    state = one.state_hash()
    assert rule(sign(one, follows, votes)) == "NotDecided"
    assert one.state_hash() == state
    assert vote(one, follows).refusal is None
    assert known(one) == 1
