"""Threat G15: what an address guards is one bundle; another version of it is another app."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import MALLORY, RATE, rule, vote
from made_pool import TRADERS, MadePool

from grail import codec
from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkapp import Transaction, ZkApp, action
from grail.bitcoin import script
from grail.charms.app import App, Contract, Data
from grail.charms.envelope import WORD
from grail.charms.spell import VERSION, Spell
from grail.draft.assembled import Act, Assembled
from grail.draft.draft import CARRIER, Draft, Payment
from grail.operators.evidence import SigningRequest, assemble
from grail.types import TxOut
from grail_enclave.enclave import Enclave


class Newer(ZkApp):
    """The next version as its author would like it: whatever he wants."""

    @action(1, changes="t", args=2)
    def swap(self, tx: Transaction) -> None:
        tx.supply_in.assert_equal(tx.arg(0), "what one says")
        tx.supply_out.assert_equal(tx.arg(1), "what one says")


@pytest.fixture(scope="module")
def made() -> MadePool:
    return MadePool.with_swaps(20)


@pytest.fixture(scope="module")
def newer() -> CompiledApp:
    return compile_app(Newer)


@pytest.fixture
def enclave(made: MadePool) -> Enclave:
    return made.world.enclave()


def requested(made: MadePool, built: Assembled, *more: CompiledApp) -> SigningRequest:
    psbt = built.psbt(made.world.transactions, *TRADERS, MALLORY)
    bundles = [*made.bundles, *(app.bundle.serialize() for app in more)]
    return assemble(psbt, bundles, made.known())


def rewritten(built: Assembled, **changes: Data) -> Assembled:
    """The spell's map with fields changed or added, as canonical CBOR; proof and all else as is."""
    assert built.spell is not None
    carrier = built.spell.op_return()
    body = {**codec.decode(built.spell.S, free_keys=True), **changes}
    payload = b"\x82" + codec.encode(body) + codec.encode(built.spell.proof_bytes())
    outputs = tuple(
        TxOut(0, script.op_return(WORD, payload)) if out.script == carrier else out
        for out in built.tx.outputs
    )
    return replace(built, tx=replace(built.tx, outputs=outputs))


def test_G15_spells_of_another_version(made: MadePool, enclave: Enclave) -> None:
    """An honest swap under another version number, or with a list of versions of its apps."""
    swap = made.swap()
    request = requested(made, rewritten(swap, version=VERSION))
    for changes in (
        {"version": VERSION - 1},
        {"version": VERSION + 1},
        {"versioned_apps": {0: 2}},
        {"versioned_apps": {}},
        {"version": VERSION + 1, "versioned_apps": {0: 2}},
    ):
        before = enclave.state_hash()
        reply = vote(enclave, requested(made, rewritten(swap, **changes)))
        assert rule(reply) == "SpellInvalid", changes
        assert enclave.state_hash() == before
    assert vote(enclave, request).refusal is None


def taking(made: MadePool, app: CompiledApp, *, renamed: bool) -> Assembled:
    """The pool's port spent with a proof of the next version: its tokens go to Mallory.

    The pool's state is kept, on an output of his; or it becomes a state of the next version.
    """
    port, pool = made.port(), made.pool
    after = Contract(pool.identity, app.vk)
    draft = Draft(made.context)
    draft.spend_guarded(pool, port.coin)
    draft.spend(made.world.give(MALLORY, 90_000))
    held: dict[App, Data] = {port.asset_a: port.state.a, port.asset_b: port.state.b}
    draft.pay(MALLORY.script, CARRIER, {**held, pool.nft: port.coin.charms[pool.nft]})
    draft.act(Act(after, app, "swap", args=(0, 0)))
    draft.change = Payment(MALLORY.script, 90_000 - 700 * RATE)
    built = draft.assemble()
    assert built.spell is not None
    if renamed:
        new = {
            (after.nft if each == pool.nft else each): data
            for each, data in built.spell.outs[0].items()
        }
        spent = [each for prevout in built.prevouts for each in prevout.charms]
        spelled = Spell.build([new], spent=spent, x=built.spell.x, acting=[after])
        proofs = [
            replace(proof, contract=spelled.contracts.index(after)) for proof in built.spell.proofs
        ]
        built = built.with_spell(replace(spelled, proofs=tuple(proofs)))
    return built


@pytest.mark.parametrize("renamed", [False, True])
def test_G15_another_version_needs_the_old_ones_action(
    made: MadePool, newer: CompiledApp, enclave: Enclave, renamed: bool
) -> None:
    """Same identity, another bundle, a proof under its key: the guarded app has not acted."""
    assert newer.vk != made.apps[made.pool.vk].vk
    request = requested(made, taking(made, newer, renamed=renamed), newer)
    made.world.feed(enclave)
    before = enclave.state_hash()
    reply = vote(enclave, request)
    assert rule(reply) == "ProofMissing"
    assert reply.refusal is not None
    assert str(made.pool) in reply.refusal.message
    assert enclave.state_hash() == before


def test_G15_another_bundle_under_the_old_name(made: MadePool, newer: CompiledApp) -> None:
    """The address names a hash: with only the next version's bundle there, nothing is judged."""
    enclave = made.world.enclave()
    swap = made.swap()
    honest = requested(made, swap)
    others = tuple(
        newer.bundle.serialize() if raw == made.apps[made.pool.vk].bundle.serialize() else raw
        for raw in honest.bundles
    )
    assert rule(vote(enclave, replace(honest, bundles=others))) == "BundleMismatch"
    assert vote(enclave, honest).refusal is None
