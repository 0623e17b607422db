"""Threats G10, G11 and G13: conflicts that are shown, parents that go away, caches that are flooded."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from enclave_world import (
    ALICE,
    QUORUM,
    World,
    ask,
    double_spend,
    rule,
    show_spend,
    sign,
    two_coins,
    vote,
    zkbtc_app,
)
from made_chain import MadeChain
from made_pool import TRADERS, MadePool
from tests.kernel import verify_spend

from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx, TxIn
from grail.charms.app import App, Data
from grail.charms.envelope import MAGIC
from grail.charms.index import CharmIndex
from grail.draft.assembled import Assembled
from grail.errors import Refused
from grail.operators import frames
from grail.operators.evidence import SigningRequest, TxEvidence, assemble
from grail.operators.frames import Reply
from grail.types import BlockHash, TxOut
from grail_enclave.caches import RequestBundles, Verdict, VerdictCache
from grail_enclave.history import History


@pytest.fixture
def world() -> World:
    return World.begun()


class Rivals:
    """A peg-out of Alice's that was decided and signed, her own input of it, and a rival spend."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.first, vault, held, self.own = two_coins(world)
        self.enclaves = world.enclaves(QUORUM)
        self.request = world.request(self.first, ALICE)
        self.votes = [vote(enclave, self.request) for enclave in self.enclaves]
        self.first_tx = self.signed(self.first, self.request, self.votes)
        self.second = world.peg_out(vault, held, 60_000)
        self.rival = world.request(self.second, ALICE)
        self.conflict = double_spend(self.own)

    def signed(self, built: Assembled, request: SigningRequest, votes: list[Reply]) -> Tx:
        replies = [sign(enclave, request, votes) for enclave in self.enclaves]
        tx = self.world.signed(built, replies, ALICE)
        verify_spend(tx.serialize(), built.spent_outputs)
        return tx

    def assert_taken(self) -> None:
        """Nobody votes for the rival, and votes for the first are no decision for it."""
        for enclave in self.enclaves[:2]:
            before = enclave.state_hash()
            assert rule(vote(enclave, self.rival)) == "OutpointTaken"
            assert rule(sign(enclave, self.rival, self.votes)) == "NotDecided"
            assert enclave.state_hash() == before


def headers_of(chain: MadeChain) -> list[bytes]:
    return [header.serialize() for header in chain.headers]


def test_G10_a_fake_conflict_gets_no_second_signature(world: World) -> None:
    """In no block, under a header without work, on a lighter fork: the decision stands."""
    rivals = Rivals(world)
    one = rivals.enclaves[0]
    genuine = world.chain.prove(rivals.own.outpoint.txid)
    # the proof of another transaction, and one of a block that nobody has
    for proof in (genuine, replace(genuine, block=BlockHash(bytes(32)))):
        assert rule(show_spend(one, rivals.conflict, proof)) == "NotConfirmed"
        rivals.assert_taken()
    # a header with the right links and no work
    private = world.chain.fork(world.chain.height)
    block = private.mine(rivals.conflict)
    lazy = block.header
    while int.from_bytes(lazy.hash, "little") <= 0x7FFFFF << 232:
        lazy = replace(lazy, nonce=lazy.nonce + 1)
    assert rule(ask(one, frames.HEADERS, [lazy.serialize()])) == "HeadersInvalid"
    proof = replace(block.prove(rivals.conflict.txid), block=lazy.hash)
    assert rule(show_spend(one, rivals.conflict, proof)) == "NotConfirmed"
    rivals.assert_taken()
    # a fork with work of its own, and no more of it than the chain that it leaves
    private = world.chain.fork(world.chain.height - 1)
    private.mine(rivals.conflict)
    for enclave in rivals.enclaves:
        ask(enclave, frames.HEADERS, headers_of(private)).unwrap()
        shown = show_spend(enclave, rivals.conflict, private.prove(rivals.conflict.txid))
        assert rule(shown) == "NotConfirmed"
    rivals.assert_taken()


def test_G10_a_shallow_conflict_gets_no_second_signature(world: World) -> None:
    """With a depth of three blocks asked for, one and two free nothing; the third does."""
    world.__dict__.pop("first_roster", None)
    world.configuration = replace(world.configuration, void_depth=3)
    rivals = Rivals(world)
    world.confirm(rivals.conflict)
    for _ in range(2):
        world.feed(*rivals.enclaves)
        for enclave in rivals.enclaves:
            assert (
                show_spend(enclave, rivals.conflict, world.chain.prove(rivals.conflict.txid)).body
                is None
            )
        rivals.assert_taken()
        world.chain.mine()
    world.feed(*rivals.enclaves)
    assert all(vote(enclave, rivals.rival).refusal is None for enclave in rivals.enclaves)


def books(world: World, chain: MadeChain) -> tuple[int, int]:
    """Units of zkBTC in unspent outputs, and the sats of the vault, by a plain scan of a chain."""
    bundle = zkbtc_app().bundle
    index = CharmIndex(world.network, world.zkbtc, {bundle.vk: bundle})
    for number, block in enumerate(chain.blocks):
        index.apply_block(chain.start + number, block.header.hash, block.txs)
    vault = world.context.guard(world.zkbtc).script_pubkey
    units = sats = 0
    for _, coin in index.unspent():
        charms = coin.charms
        assert charms is not None
        held = charms.get(world.zkbtc.token, 0)
        assert isinstance(held, int)
        units += held
        if coin.script == vault and world.zkbtc.nft not in charms:
            sats += coin.sats
    return units, sats


def test_G10_a_true_conflict_that_is_reorganised_away(world: World) -> None:
    """Both spends have a quorum's signatures then; one outpoint, so one confirms: books exact."""
    rivals = Rivals(world)
    before = world.chain
    world.chain = before.fork(before.height)
    world.confirm(rivals.conflict)
    world.feed(*rivals.enclaves)
    for enclave in rivals.enclaves:
        show_spend(enclave, rivals.conflict, world.chain.prove(rivals.conflict.txid)).unwrap()
    votes = [vote(enclave, rivals.rival) for enclave in rivals.enclaves]
    second_tx = rivals.signed(rivals.second, rivals.rival, votes)
    shared = {txin.outpoint for txin in rivals.first_tx.inputs} & {
        txin.outpoint for txin in second_tx.inputs
    }
    assert shared, "two spends that could both confirm"

    minted = books(world, before)
    assert minted[0] == minted[1] > 0
    for tx, burned in ((rivals.first_tx, 100_000), (second_tx, 60_000)):
        other = before.fork(before.height)
        other.mine(tx)
        other.mine_many(2)
        units, sats = books(world, other)
        assert units == sats == minted[0] - burned
        late = rivals.first_tx if tx is second_tx else second_tx
        spent = {txin.outpoint for txin in tx.inputs}
        assert any(txin.outpoint in spent for txin in late.inputs), "a block could take both"

    # The first one's decision counts again where the conflict is gone; then its block settles it.
    away = before.fork(before.height)
    away.mine_many(2)
    world.chain = away
    world.feed(*rivals.enclaves)
    world.confirm(rivals.first_tx)
    world.feed(*rivals.enclaves)
    for enclave in rivals.enclaves:
        show_spend(enclave, rivals.first_tx, world.chain.prove(rivals.first_tx.txid)).unwrap()
        before_refusal = enclave.state_hash()
        assert rule(vote(enclave, rivals.rival)) == "InputSpent"
        assert rule(sign(enclave, rivals.rival, votes)) == "InputSpent"
        assert enclave.state_hash() == before_refusal
    units, sats = books(world, world.chain)
    assert units == sats == minted[0] - 100_000


# ---- G11


LINKS = 10


def test_G11_every_link_of_a_chain_of_ten_is_evicted() -> None:
    """A trader takes his coin back below each link: what hung on it goes, the pool goes on.

    At every tip the units of zkBTC equal the vault's sats, the pool's state is what it holds, and
    the next swap on what is left gets a vote in the very next block.
    """
    made = MadePool.with_swaps(20)
    base = made.world.chain.fork(made.world.chain.height - 1)
    links = made.swaps[:LINKS]
    assert all(tx in made.world.chain.blocks[-1].txs for tx in links)
    assert all(
        later.inputs[0].outpoint == earlier.outpoint(0)
        for earlier, later in itertools.pairwise(links)
    )
    bundles = {app.bundle.vk: app.bundle for app in made.apps.values()}
    for kept in range(LINKS):
        evicted = links[kept]
        chain = base.fork(base.height)
        known = {tx.txid: tx for block in chain.blocks for tx in block.txs}
        known |= {tx.txid: tx for tx in links[:kept]}
        own = evicted.inputs[-1].outpoint  # the trader's plain coin
        sats = known[own.txid].outputs[own.vout].sats
        owner = TRADERS[kept % len(TRADERS)].script
        back = Tx(2, (TxIn(own, witness=(bytes(64),)),), (TxOut(sats - 500, owner),), 0)
        chain.mine(*links[:kept], back)
        after = made.on(chain)
        assert len(after.swaps) == kept

        index = CharmIndex(after.world.network, after.world.zkbtc, bundles)
        for number, block in enumerate(chain.blocks):
            index.apply_block(chain.start + number, block.header.hash, block.txs)
        units, sats = _supply(after, index)
        assert units == sats, f"link {kept}"
        port = after.port()
        held = index.charms(port.coin.outpoint)
        assert (held[port.asset_a], held[port.asset_b]) == (port.state.a, port.state.b)

        enclave = after.world.enclave()
        dead = _requested(after, evicted)
        assert vote(enclave, dead).refusal is None  # headers alone do not tell
        show_spend(enclave, back, chain.prove(back.txid)).unwrap()
        assert rule(vote(enclave, dead)) == "InputSpent"
        psbt = after.swap().psbt(after.world.transactions, *TRADERS)
        request = assemble(psbt, after.bundles, after.known())
        assert vote(enclave, request).refusal is None, f"link {kept}: the pool is stuck"


def _supply(made: MadePool, index: CharmIndex) -> tuple[int, int]:
    vault = made.context.guard(made.world.zkbtc).script_pubkey
    units = sats = 0
    for _, coin in index.unspent():
        charms = coin.charms
        assert charms is not None
        held = charms.get(made.world.zkbtc.token, 0)
        assert isinstance(held, int)
        units += held
        if coin.script == vault and made.world.zkbtc.nft not in charms:
            sats += coin.sats
    return units, sats


def _requested(made: MadePool, tx: Tx) -> SigningRequest:
    """A request for a transaction as it was, with the evidence of now."""
    psbt = Psbt.of(replace(tx, inputs=tuple(replace(i, witness=()) for i in tx.inputs)))
    for index, txin in enumerate(tx.inputs):
        previous = made.world.transactions[txin.outpoint.txid]
        witness = txin.witness if index else ()
        psbt = psbt.with_input(
            index,
            non_witness_utxo=previous,
            witness_utxo=previous.outputs[txin.outpoint.vout],
            final_script_witness=witness or None,
        )
    return assemble(psbt, made.bundles, made.known())


# ---- G13


def test_G13_a_flooded_cache_says_what_a_fresh_run_says() -> None:
    """Room for a few verdicts, all asked for in any order: each answer is that of a fresh run."""
    made = MadePool.with_swaps(20)
    enclave = made.world.enclave()
    known = made.known()
    items = {
        txid: TxEvidence(raw, known.inclusions.get(txid))
        for txid, raw in known.transactions.items()
    }
    outpoints = [tx.outpoint(n) for tx in made.swaps for n in range(len(tx.outputs))]

    def looked(cache: VerdictCache) -> History:
        anchors = replace(enclave.anchors(), verdicts=cache)
        raws = tuple(made.bundles)
        return History(items, RequestBundles(raws, anchors.bundles), anchors, anchored=False)

    fresh = looked(VerdictCache(MAGIC))
    expected: dict[object, dict[App, Data]] = {out: dict(fresh.charms(out)) for out in outpoints}
    assert any(expected.values())
    small = VerdictCache(MAGIC, most=20_000)
    order = [*outpoints] * 2
    random.Random(13).shuffle(order)
    for outpoint in order:
        assert dict(looked(small).charms(outpoint)) == expected[outpoint]
        assert 0 < len(small) < 8 < len(made.swaps)


def test_G13_a_verdict_under_other_rules_is_no_verdict() -> None:
    """A cache that was filled under another magic is asked for nothing."""
    made = MadePool.with_swaps(20)
    enclave = made.world.enclave()
    swap = made.swaps[0]
    item = TxEvidence(swap.serialize(), made.world.chain.prove(swap.txid))
    filled = VerdictCache(b"GRL0")
    assert item.inclusion is not None
    filled.put(swap.txid, item.inclusion.block, Verdict(({},) * len(swap.outputs), True), 100)
    assert filled.get(swap.txid, lambda _block: 1) is not None
    filled._magic = MAGIC
    anchors = replace(enclave.anchors(), verdicts=filled)
    found = History({swap.txid: item}, RequestBundles((), anchors.bundles), anchors)
    with pytest.raises(Refused, match="HistoryMissing"):
        found.charms(swap.outpoint(0))
