"""A proof has many forms of bytes: none of them is an identity, and no cache is asked by them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import ALICE, World, rule, vote, zkbtc_app
from tests.curve import Q

from grail import native
from grail.draft.assembled import Assembled
from grail.errors import Incorrect, InvalidInput, ProofInvalid
from grail.zk import groth16
from grail_enclave.batch import ProofBatch


@pytest.fixture
def world() -> World:
    return World.begun()


def proof_of(built: Assembled) -> bytes:
    assert built.spell is not None
    return built.spell.proofs[0].proof


def with_proof(built: Assembled, proof: bytes) -> Assembled:
    assert built.spell is not None
    return built.with_proofs([replace(built.spell.proofs[0], proof=proof)])


def negated(proof: bytes) -> bytes:
    """-A, -B, C: e(-A, -B) is e(A, B), so it proves the same and looks different."""
    a_x, a_y, *b_x, b_y0, b_y1, c_x, c_y = native.proof_points(proof)
    return native.proof_from_points([a_x, Q - a_y, *b_x, Q - b_y0, Q - b_y1, c_x, c_y])


def test_Z14_another_form_of_a_proof_says_the_same(world: World) -> None:
    """Same statement, same facts, same charms, from other bytes; it proves nothing more either."""
    built = world.peg_in(*world.paid())
    other = with_proof(built, negated(proof_of(built)))
    assert proof_of(other) != proof_of(built)
    one, two = built.check(), other.check()
    assert one.contracts == two.contracts
    assert one.charms == two.charms
    publics = next(found.public_inputs for found in one.contracts if found.public_inputs)
    vk = zkbtc_app().circuits["settle"].vk
    groth16.verify(vk, publics, proof_of(other))
    with pytest.raises(ProofInvalid):
        groth16.verify(vk, (*publics[:2], publics[2] + 1), proof_of(other))


def test_Z14_another_form_gets_the_same_answer(world: World) -> None:
    """An enclave votes for either; neither order nor what it saw before makes a difference."""
    built = world.peg_in(*world.paid())
    forms = [built, with_proof(built, negated(proof_of(built)))]
    for order in (forms, forms[::-1]):
        first, second = world.enclaves(2)
        assert vote(first, world.request(order[0])).refusal is None
        assert vote(second, world.request(order[1])).refusal is None
        # The outpoint is what is taken, so another form is a rival and no second vote.
        reply = vote(first, world.request(order[1]))
        assert rule(reply) == "RivalVoted"
        assert reply.standing is not None
        assert reply.standing.txid == order[0].tx.txid
        assert vote(first, world.request(order[0])).refusal is None


def test_Z14_another_form_of_an_ancestors_proof(world: World) -> None:
    """A mint whose proof somebody wrote in another form is a mint; its units can be spent."""
    built = world.peg_in(*world.paid())
    mint = with_proof(built, negated(proof_of(built)))
    world.confirm(mint.tx)
    units = mint.tx.outputs[0].sats
    held = world.coin(mint.tx, 1, {world.zkbtc.token: units})
    out = world.peg_out(world.coin(mint.tx, 0), held, units - 100_000)
    assert vote(world.enclave(), world.request(out, ALICE)).refusal is None


def test_Z24_a_refusal_is_not_kept(world: World) -> None:
    """A bad proof, the good one, the bad one again: each answer is that of a fresh enclave."""
    good, other = (world.peg_in(*world.paid(sats)) for sats in (500_000, 600_000))
    bad = with_proof(good, proof_of(other))
    enclave = world.enclave()
    for _ in range(2):
        assert rule(vote(enclave, world.request(bad))) == "ProofInvalid"
    assert vote(enclave, world.request(good)).refusal is None
    assert rule(vote(enclave, world.request(bad))) == "ProofInvalid"


def test_Z24_what_was_refused_for_its_time_is_looked_at_anew(world: World) -> None:
    """Nothing of a verdict under one tip is taken for a verdict under another."""
    deposit, coin = world.paid(deep=False)
    request = world.request(world.peg_in(deposit, coin))
    enclave = world.enclave()
    assert rule(vote(enclave, request)) == "NotConfirmed"
    world.chain.mine_many(world.network.k - 1)
    world.feed(enclave)
    assert vote(enclave, request).refusal is None


def test_Z24_a_batchs_verdicts_answer_for_the_whole_statement(world: World) -> None:
    """Key, inputs or proof changed: a miss, so it is checked by itself, and its answer is its own."""
    good, other = (world.peg_in(*world.paid(sats)) for sats in (500_000, 600_000))
    vk = zkbtc_app().circuits["settle"].vk
    foreign = zkbtc_app().circuits["deploy"].vk
    statements = []
    for built in (good, other):
        publics = next(c.public_inputs for c in built.check().contracts if c.public_inputs)
        statements.append(groth16.Statement(vk, publics, proof_of(built)))
    one, two = statements
    batch = ProofBatch()
    batch.verify(*one)
    batch.verify(vk, two.publics, one.proof)
    with pytest.raises(Incorrect, match="1 of 2"):
        batch.settle()
    batch.verify(*one)
    batch.verify(*two)
    with pytest.raises(ProofInvalid):
        batch.verify(vk, two.publics, one.proof)
    for vk_, publics, proof in (
        (foreign, one.publics, one.proof),
        (vk, (*one.publics[:2], one.publics[2] + 1), one.proof),
        (vk, one.publics, two.proof),
    ):
        with pytest.raises(ProofInvalid):
            batch.verify(vk_, publics, proof)
    with pytest.raises(InvalidInput):
        batch.verify(vk, one.publics[:2], one.proof)
