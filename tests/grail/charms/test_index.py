"""The index: charms only through correct spells, the record, and every reorg equal to a fresh scan."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import spellbook as book
from hypothesis import given, settings
from hypothesis import strategies as st
from spellbook import NETWORK, ROSTERS, TOKEN, ZKBTC, Draft, coin, guard, person

from grail.bitcoin.tx import Tx, TxIn
from grail.charms import envelope
from grail.charms.app import units
from grail.charms.history import COINBASE, Coin, Judge
from grail.charms.index import CharmIndex
from grail.charms.record import roster_state
from grail.errors import InvalidInput, SpellIncorrect
from grail.types import BlockHash, OutPoint, TxOut


def new_index() -> CharmIndex:
    """An empty index whose verifier says yes: the spells of these tests are judged by plain rules."""
    return CharmIndex(NETWORK, ZKBTC, book.BUNDLES, rules=book.RULES, verify=book.yes)


@dataclass
class Chain:
    """Blocks of transactions, and the coins that a next transaction may spend."""

    seed: int
    blocks: list[tuple[BlockHash, tuple[Tx, ...]]] = field(default_factory=list)

    def mine(self, *txs: Tx) -> None:
        height = len(self.blocks)
        tag = f"{self.seed}/{height}/{[str(tx.txid) for tx in txs]}"
        coinbase = Tx(
            2,
            (TxIn(COINBASE, hashlib.sha256(tag.encode()).digest()),),
            (TxOut(1_000_000, person("miner")),),
        )
        self.blocks.append((BlockHash(book.label(tag)), (coinbase, *txs)))

    def feed(self, index: CharmIndex, start: int = 0) -> CharmIndex:
        for height in range(start, len(self.blocks)):
            index.apply_block(height, *self.blocks[height])
        return index


def funds(n: int = 4) -> Tx:
    """A transaction that gives everybody plain coins, and the grail outpoint's coin to Alice."""
    return Tx(
        2,
        (TxIn(book.outpoint("genesis")),),
        tuple(TxOut(100_000, person("alice")) for _ in range(n)),
    )


def issued(plain: OutPoint, sats: int = 100_000) -> Draft:
    """Units of a token whose identity is this coin's."""
    contract = book.Contract(book.identity_of(plain), book.TOKEN_BUNDLE.vk)
    return Draft(
        [(plain, coin(sats, person("alice")))],
        [(1_000, person("alice"), {contract.token: 1_000})],
        {contract: 0},
    )


def test_C7_charms_exist_only_through_correct_spells() -> None:
    """The same output of units: minted, claimed by a spell that is not correct, and without its past."""
    pay, chain = funds(), Chain(0)
    mint = issued(pay.outpoint(0))
    token = next(iter(mint.acts)).token
    plain = pay.outpoint(1)
    claimed = Draft(
        [(plain, coin(100_000, person("alice")))], [(1_000, person("bob"), {token: 1_000})]
    )
    unproven = book.transfer()
    chain.mine(pay)
    chain.mine(mint.tx(), claimed.tx(), unproven.tx())
    index = chain.feed(new_index())
    assert index.charms(mint.tx().outpoint(0)) == {token: 1_000}
    assert index.charms(claimed.tx().outpoint(0)) == {}
    # Nobody has shown what `transfer` spends: its charms are unknown, not credited and not gone.
    assert not index.known(unproven.tx().outpoint(0))
    with pytest.raises(SpellIncorrect, match="HistoryMissing"):
        index.charms(unproven.tx().outpoint(0))
    assert index.known(unproven.tx().outpoint(2))
    assert index.outpoints(token) == [mint.tx().outpoint(0)]
    assert index.outpoints(TOKEN.token) == []


def test_C8_an_incorrect_spell_or_none_burns() -> None:
    pay = funds()
    mint = issued(pay.outpoint(0))
    contract = next(iter(mint.acts))
    held = coin(1_000, person("alice"), {contract.token: 1_000})
    inflated = Draft(
        [(mint.tx().outpoint(0), held)], [(900, person("bob"), {contract.token: 1_001})]
    )
    bare = Tx(2, (TxIn(mint.tx().outpoint(0)),), (TxOut(900, person("bob")),))
    for burning, why in ((inflated.tx(), "ProofMissing"), (bare, None)):
        chain = Chain(1)
        chain.mine(pay)
        chain.mine(mint.tx())
        index = chain.feed(new_index())
        chain.mine(burning)
        verdicts = index.apply_block(2, *chain.blocks[2])
        assert [v.refusal.rule for v in verdicts if v.refusal] == ([why] if why else [])
        assert index.charms(burning.outpoint(0)) == {}
        assert index.outpoints(contract.token) == []
        index.undo_block()
        assert index.charms(mint.tx().outpoint(0)) == {contract.token: 1_000}


def grail_chain() -> tuple[Chain, CharmIndex]:
    """A chain whose Grail NFT is made at height 100; its identity is that of a coin in block 0."""
    chain = Chain(2)
    chain.mine(funds())
    while len(chain.blocks) < 100:
        chain.mine()
    return chain, new_index()


def test_the_record_follows_the_grail_nft() -> None:
    """deploy, then a roster spell; a reorg takes the new epoch back."""
    deploy = book.deploy().tx()
    source = {NETWORK.grail_outpoint: TxOut(1_000_000, person("alice"))}
    index = new_index()
    chain, _ = grail_chain()
    chain.feed(index)
    chain.mine(deploy)
    index.apply_block(100, *chain.blocks[100], prevouts=source)
    assert index.record == book.FIRST
    assert index.charms(deploy.outpoint(0)) == {ZKBTC.nft: roster_state(ROSTERS[0])}
    while len(chain.blocks) < 406:
        chain.mine()
    chain.feed(index, 101)
    change = book.new_roster()
    change.inputs = [(deploy.outpoint(0), change.inputs[0][1])]
    before = index.state_hash()
    chain.mine(change.tx())
    index.apply_block(406, *chain.blocks[406])
    assert index.record == book.SECOND
    assert index.record.ruling(412) == book.SECOND.reigns[1]
    index.undo_block()
    assert index.record == book.FIRST
    assert index.state_hash() == before


def test_the_older_coins_come_with_the_block() -> None:
    """Without the coin that deploy spends, its verdict is open, and the index says where."""
    chain, index = grail_chain()
    chain.feed(index)
    chain.mine(book.deploy().tx())
    chain.mine()
    verdicts = index.apply_block(100, *chain.blocks[100])
    assert [v.refusal.rule for v in verdicts if v.refusal] == ["HistoryMissing"]
    index.apply_block(101, *chain.blocks[101])
    assert index.incomplete == 100
    assert index.record.reigns == ()


def test_a_missing_bundle_leaves_charms_unknown() -> None:
    """Unknown goes on to what spends it; with the bundle, the same blocks give the charms."""
    pay = funds()
    mint = issued(pay.outpoint(0))
    contract = next(iter(mint.acts))
    held = coin(1_000, person("alice"), {contract.token: 1_000})
    spend = Draft([(mint.tx().outpoint(0), held)], [(900, person("bob"), {contract.token: 1_000})])
    chain = Chain(3)
    chain.mine(pay)
    chain.mine(mint.tx(), spend.tx())
    bundles = {vk: b for vk, b in book.BUNDLES.items() if vk != contract.vk}
    index = CharmIndex(NETWORK, ZKBTC, bundles, rules=book.RULES, verify=book.yes)
    chain.feed(index)
    assert index.incomplete == 1
    assert not index.known(spend.tx().outpoint(0))
    bundles[contract.vk] = book.TOKEN_BUNDLE
    index.undo_block()
    index.apply_block(1, *chain.blocks[1])
    assert index.incomplete is None
    assert index.charms(spend.tx().outpoint(0)) == {contract.token: 1_000}
    assert index.state_hash() == chain.feed(new_index()).state_hash()


def test_blocks_follow_each_other() -> None:
    chain, index = Chain(4), new_index()
    chain.mine()
    chain.mine()
    with pytest.raises(InvalidInput):
        index.undo_block()
    chain.feed(index)
    assert index.height == 1
    assert index.tip == chain.blocks[1][0]
    with pytest.raises(InvalidInput):
        index.apply_block(3, *chain.blocks[1])
    assert index.undo_block() == chain.blocks[1][0]
    assert index.undo_block() == chain.blocks[0][0]
    assert index.height is None
    assert index.tip is None


def test_unconfirmed_transactions_lie_on_top() -> None:
    """Children see their parents' charms; a rival of what is there is left out; blocks are untouched."""
    pay = funds()
    mint = issued(pay.outpoint(0))
    contract = next(iter(mint.acts))
    held = coin(1_000, person("alice"), {contract.token: 1_000})
    spend = Draft([(mint.tx().outpoint(0), held)], [(900, person("bob"), {contract.token: 1_000})])
    rival = Draft([(mint.tx().outpoint(0), held)], [(800, person("eve"), {contract.token: 1_000})])
    chain = Chain(5)
    chain.mine(pay)
    index = chain.feed(new_index())
    before = index.state_hash()
    view = index.unconfirmed([mint.tx(), spend.tx(), rival.tx()])
    assert view.charms(spend.tx().outpoint(0)) == {contract.token: 1_000}
    assert view.coin(mint.tx().outpoint(0)) is None
    assert view.spent[mint.tx().outpoint(0)] == spend.tx().txid
    assert view.coin(rival.tx().outpoint(0)) is None
    assert view.charms(rival.tx().outpoint(0)) == {}
    assert [found.height for _, found in view.unspent()].count(None) == 4 - 1
    assert index.state_hash() == before
    assert index.coin(mint.tx().outpoint(0)) is None


# ---- random chains


class Author:
    """Writes random blocks: correct transfers and mints, burns, counterfeits, chains within a block."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def block(self, index: CharmIndex) -> list[Tx]:
        """Transactions that spend what is unspent at the index's tip, or made in this block."""
        coins = sorted(index.unspent(), key=lambda pair: pair[0])
        self.random.shuffle(coins)
        txs: list[Tx] = []
        for outpoint, held in coins[: self.random.randint(0, 4)]:
            if held.charms is None:
                continue
            tx = self._spend(outpoint, book.Prevout(held.sats, held.script, held.charms))
            txs.append(tx)
            if self.random.random() < 0.3 and not held.charms:
                made = Draft([(tx.outpoint(0), coin(tx.outputs[0].sats, tx.outputs[0].script))], [])
                txs.append(made.tx())
        return txs

    def _spend(self, outpoint: OutPoint, held: book.Prevout) -> Tx:
        if not held.charms:
            return issued(outpoint, held.sats).tx()
        app = next(iter(held.charms))
        amount, dice = units(held.charms, app), self.random.random()
        if dice < 0.15:  # no spell: burned
            return Tx(2, (TxIn(outpoint),), (TxOut(500, person("x")),))
        if dice < 0.3:  # an incorrect spell: burned
            amount += 1
        part = self.random.randint(1, amount)
        outs = [(400, person("a"), {app: part})]
        if amount > part:
            outs.append((400, person("b"), {app: amount - part}))
        return Draft([(outpoint, held)], list(outs)).tx()


def _grow(chain: Chain, index: CharmIndex, author: Author, n: int) -> None:
    for _ in range(n):
        chain.mine(*author.block(index))
        height = len(chain.blocks) - 1
        index.apply_block(height, *chain.blocks[height])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=4))
def test_C19_reorgs_leave_no_phantom(seed: int, reorgs: list[tuple[int, int]]) -> None:
    """After each random reorg the index is that of a fresh scan, and supply is what was minted."""
    chain, index, author = Chain(seed), new_index(), Author(seed)
    chain.mine(funds())
    chain.feed(index)
    _grow(chain, index, author, 4)
    for depth, length in reorgs:
        for _ in range(min(depth, len(chain.blocks) - 1)):
            assert index.undo_block() == chain.blocks.pop()[0]
        chain.seed += 1
        _grow(chain, index, author, length)
        fresh = chain.feed(new_index())
        assert index.state_hash() == fresh.state_hash()
        assert dict(index.unspent()) == dict(fresh.unspent())
        assert (index.height, index.tip, index.record) == (fresh.height, fresh.tip, fresh.record)
    assert all(total <= 1_000 for total in _supplies(index))


def _supplies(index: CharmIndex) -> Iterator[int]:
    totals: dict[book.App, int] = {}
    for _, held in index.unspent():
        for app, amount in (held.charms or {}).items():
            totals[app] = totals.get(app, 0) + amount
    yield from totals.values()


@pytest.mark.parametrize("confirmed", [True, False])
def test_S27_too_early_is_final_in_a_block_only(confirmed: bool) -> None:
    """A mint before its roster rules: burned where it confirmed; outside a block not yet known."""
    draft = book.peg_in()
    judge = Judge(NETWORK, book.RULES, book.yes)
    coins = [Coin(held.sats, held.script, held.charms, 0) for _, held in draft.inputs]
    judged = judge.judge(draft.tx(), coins, book.BUNDLES, book.FIRST, 105, confirmed=confirmed)
    assert judged.refusal is not None
    assert judged.refusal.rule == "RetiredRoster"
    assert judged.unknown is not confirmed
    assert not any(judged.charms)


def test_C19_undoing_everything_leaves_nothing() -> None:
    chain, index, author = Chain(6), new_index(), Author(6)
    empty = index.state_hash()
    chain.mine(funds())
    chain.feed(index)
    _grow(chain, index, author, 12)
    assert any(held.charms for _, held in index.unspent())
    for _ in range(len(chain.blocks)):
        index.undo_block()
    assert index.state_hash() == empty
    assert list(index.unspent()) == []


def test_C20_a_block_of_hostile_spells_is_scanned() -> None:
    """A coinbase with a spell, junk in every carrier: no charms, no error."""
    pay = funds()
    junk = Tx(
        2,
        (TxIn(pay.outpoint(0)),),
        tuple(TxOut(0, b"\x6a\x05spell" + book.script.push(b"\x9f" * n)) for n in (0, 1, 500)),
    )
    single = Tx(2, (TxIn(pay.outpoint(1)),), (TxOut(0, envelope_of(b"\x9f" * 60_000)),))
    minted = Draft([(COINBASE, coin(0, b""))], [(0, guard(ZKBTC), {})])
    index = new_index()
    verdicts = index.apply_block(0, BlockHash(bytes(32)), [minted.tx(), pay, junk, single])
    assert [v.refusal.rule for v in verdicts if v.refusal] == ["TwoSpells", "SpellInvalid"]
    assert all(not held.charms for _, held in index.unspent())


def envelope_of(payload: bytes) -> bytes:
    return book.script.op_return(envelope.WORD, payload)
