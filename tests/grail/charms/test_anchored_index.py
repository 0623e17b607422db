"""An index that takes a quorum's word ends where a full one does, and takes no other word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from enclave_world import ALICE, KEYS, QUORUM, ROSTER, World, zkbtc_app
from made_pool import MadePool

from grail.bitcoin.addresses import Roster, quorum_leaf, quorum_witness
from grail.bitcoin.taproot import leaf_hash
from grail.bitcoin.tx import Tx, sighash
from grail.charms.app import Contract
from grail.charms.descriptor import Bundle
from grail.charms.history import Coin, HistoryKind, Judge, Judged
from grail.charms.index import CharmIndex
from grail.charms.record import Record, Reign, roster_state
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Act, Assembled
from grail.draft.draft import Draft, Payment
from grail.zk import groth16

NOWHERE: dict[bytes, Bundle] = {}


@pytest.fixture(scope="module")
def made() -> MadePool:
    return MadePool.with_swaps(20)


def indexed(
    made: MadePool, history: HistoryKind, bundles: Mapping[bytes, Bundle] | None = None
) -> CharmIndex:
    known = made.context.bundles if bundles is None else bundles
    index = CharmIndex(made.world.network, made.world.zkbtc, known, history=history)
    for number, block in enumerate(made.world.chain.blocks):
        index.apply_block(number, block.header.hash, block.txs)
    return index


def test_both_kinds_end_in_one_state(made: MadePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same charms and record; anchored, only what no quorum signed has its proof checked."""
    checked: list[bytes] = []
    known = groth16.verify

    def seen(vk: bytes, publics: Sequence[int], proof: bytes) -> None:
        checked.append(proof)
        known(vk, publics, proof)

    monkeypatch.setattr(groth16, "verify", seen)
    full = indexed(made, "full")
    assert len(checked) == 20 + 4  # deploy, mint, issue, the pool's creation
    checked.clear()
    anchored = indexed(made, "anchored")
    assert len(checked) == 3
    assert anchored.state_hash() == full.state_hash()
    for index in (full, anchored):
        for _ in range(2):
            index.undo_block()
    assert anchored.state_hash() == full.state_hash()


def test_anchored_needs_nothing_below(made: MadePool) -> None:
    """Without the pool's bundle a full index knows nothing of it; an anchored one knows its tip."""
    without = {vk: bundle for vk, bundle in made.context.bundles.items() if vk != made.pool.vk}
    port = made.port()
    full, anchored = (indexed(made, kind, without) for kind in ("full", "anchored"))
    assert not full.known(port.coin.outpoint)
    assert anchored.charms(port.coin.outpoint) == port.coin.charms
    assert anchored.coin(made.swaps[-1].outpoint(1)) == indexed(made, "full").coin(
        made.swaps[-1].outpoint(1)
    )


# ---- what is no anchor: a mint whose proof is false, signed in one way or another


@pytest.fixture(scope="module")
def world() -> World:
    return World.begun()


@pytest.fixture(scope="module")
def false(world: World) -> Assembled:
    mint = world.peg_in(*world.paid())
    assert mint.spell is not None
    return mint.with_proofs([replace(mint.spell.proofs[0], proof=bytes(128))])


def signed(built: Assembled, keys: Sequence[KeyPair] = KEYS[:QUORUM]) -> Tx:
    tx = built.signed_by(ALICE)
    for spend in built.check_unproven().quorum_inputs:
        digest = sighash(tx, built.spent_outputs, spend.index, leaf_hash=spend.leaf.leaf_hash)
        given = {key.public: key.sign(digest) for key in keys}
        tx = tx.with_witness(spend.index, quorum_witness(ROSTER, spend.leaf, given))
    return tx


def judged(
    world: World, built: Assembled, tx: Tx, record: Record | None = None, **changes: int
) -> Judged:
    coins = [
        Coin(p.sats + changes.get("sats", 0), p.script, p.charms, None) for p in built.prevouts
    ]
    bundles = {zkbtc_app().vk: zkbtc_app().bundle}
    known = world.context.record if record is None else record
    height = world.context.height
    judge = Judge(world.network, history="anchored")
    return judge.judge(tx, coins, bundles, known, height, confirmed=True)


def burned(found: Judged) -> bool:
    assert found.refusal is not None
    assert found.refusal.rule == "ProofInvalid"
    return not any(found.charms) and not found.signed


def test_a_quorums_word_is_taken(world: World, false: Assembled) -> None:
    """That is what "anchored" trusts: twelve of those that rule."""
    found = judged(world, false, signed(false))
    assert found.signed
    assert found.refusal is None
    assert found.charms[1] == {world.zkbtc.token: false.tx.outputs[0].sats}
    full = Judge(world.network).judge(
        signed(false),
        [Coin(p.sats, p.script, p.charms, None) for p in false.prevouts],
        {zkbtc_app().vk: zkbtc_app().bundle},
        world.context.record,
        world.context.height,
        confirmed=True,
    )
    assert burned(full)


def test_a_broken_quorum_signature_is_no_anchor(world: World, false: Assembled) -> None:
    tx = signed(false)
    *stack, leaf, control = tx.inputs[0].witness
    places = [index for index, item in enumerate(stack) if item]
    for place in (places[0], places[-1]):
        flipped = bytes([stack[place][0] ^ 1]) + stack[place][1:]
        for item in (flipped, b"", bytes(64), stack[places[1 if place == places[0] else 0]]):
            broken = [*stack[:place], item, *stack[place + 1 :], leaf, control]
            assert burned(judged(world, false, tx.with_witness(0, tuple(broken))))
    assert burned(judged(world, false, false.tx))  # no witness at all
    assert burned(judged(world, false, tx.with_witness(0, (*stack[1:], leaf, control))))
    unlike = (*stack, leaf[:-1], control)
    assert burned(judged(world, false, tx.with_witness(0, unlike)))


def test_signatures_over_other_amounts_are_no_anchor(world: World, false: Assembled) -> None:
    """The prevouts come from the index; a signature covers them."""
    found = judged(world, false, signed(false), sats=1)
    assert not found.signed
    assert found.refusal is not None


def test_a_foreign_quorum_is_no_anchor(world: World, false: Assembled) -> None:
    """Twelve keys that nobody elected, on a leaf of their own."""
    keys = sorted((KeyPair(bytes([11, i]) * 16) for i in range(1, 17)), key=lambda k: k.public)
    foreign = Roster.of(0, [key.public for key in keys], QUORUM)
    tx = false.tx
    spend = false.check_unproven().quorum_inputs[0]
    *_, control = signed(false).inputs[0].witness
    leaf = quorum_leaf(foreign)
    digest = sighash(tx, false.spent_outputs, spend.index, leaf_hash=leaf_hash(leaf))
    given = {key.public: key.sign(digest) for key in keys[:QUORUM]}
    stack = [given.get(key, b"") for key in reversed(foreign.keys)]
    assert burned(judged(world, false, tx.with_witness(0, (*stack, leaf, control))))


@pytest.mark.parametrize(("start", "end"), [(0, -1), (0, 0), (1, None)])
def test_an_anchor_counts_within_its_reign(
    world: World, false: Assembled, start: int, end: int | None
) -> None:
    """Confirmed in the last block of the reign: an anchor. One later, or one too early: none."""
    height, tx = world.context.height, signed(false)
    zkbtc, first = world.zkbtc, world.deployed_at
    if end is None:
        record = Record(zkbtc, (Reign(ROSTER, height + start),))
    else:
        new = Roster.of(1, [KeyPair(bytes([12, i]) * 16).public for i in range(1, 17)], QUORUM)
        last = height + end
        record = Record(zkbtc, (Reign(ROSTER, first, last), Reign(new, last + 1)))
    found = judged(world, false, tx, record)
    assert found.signed == (end == 0)
    if end != 0:
        assert found.refusal is not None
        assert not any(found.charms)


def test_the_roster_is_never_taken_on_its_own_word(world: World) -> None:
    """A quorum that signed a successor with a false proof: the record does not change."""
    mine = Roster.of(1, [KeyPair(bytes([9, i]) * 16).public for i in range(1, 17)], QUORUM)
    nft = world.coin(world.deploy, 0, {world.zkbtc.nft: roster_state(ROSTER)})
    draft = Draft(world.context)
    draft.spend_guarded(world.zkbtc, nft)
    draft.spend(world.give(ALICE, 90_000))
    guard = world.context.guard(world.zkbtc, mine).script_pubkey
    draft.pay(guard, nft.sats, {world.zkbtc.nft: roster_state(mine)})
    draft.change = Payment(ALICE.script, 85_000)
    draft.act(Act(Contract.parse(world.configuration.zkbtc), zkbtc_app(), "roster"))
    built = draft.assemble()
    found = judged(world, built, signed(built))
    assert burned(found)
    assert found.record == world.context.record
