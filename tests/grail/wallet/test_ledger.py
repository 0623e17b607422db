"""The ledger over a node in memory: blocks, reorgs, the mempool, and a chain that does not hold still."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.node import HeaderInfo
from grail.bitcoin.spv import is_coinbase
from grail.bitcoin.tx import Tx, TxIn
from grail.charms.app import Contract
from grail.crypto.schnorr import KeyPair
from grail.errors import NodeError, TooLarge, Unavailable
from grail.types import BlockHash, OutPoint, Txid, TxOut
from grail.wallet.account import Account
from grail.wallet.ledger import Ledger

ALICE = Account("alice", KeyPair(b"\x01" * 32), REGTEST)
BOB = Account("bob", KeyPair(b"\x02" * 32), REGTEST)
ZKBTC = Contract(b"\x11" * 32, b"\x22" * 32)
NETWORK = Network(REGTEST, OutPoint(Txid(bytes(32)), 0))


@dataclass
class MemoryNode:
    """The calls that a ledger makes, answered from lists. `restless` counts tips still to come."""

    chain: list[tuple[BlockHash, list[Tx]]] = field(default_factory=list)
    pool: dict[Txid, Tx] = field(default_factory=dict)
    most: int = 1_000
    restless: int = 0
    url: str = "memory"
    _made: int = 0

    def mine(self, script: bytes = ALICE.script, txs: Sequence[Tx] = ()) -> None:
        self._made += 1
        null = OutPoint(Txid(bytes(32)), 0xFFFFFFFF)
        reward = Tx(
            2,
            (TxIn(null, script_sig=b"\x04" + self._made.to_bytes(4, "big")),),
            (TxOut(50_000, script),),
        )
        block = BlockHash(hashlib.sha256(self._made.to_bytes(8, "big")).digest())
        self.chain.append((block, [reward, *txs]))
        for tx in txs:
            self.pool.pop(tx.txid, None)

    def reorg(self, depth: int) -> None:
        """Take blocks off; their payments wait in the mempool again."""
        for _ in range(depth):
            _, txs = self.chain.pop()
            self.pool |= {tx.txid: tx for tx in txs[1:]}
        alive = {OutPoint(tx.txid, 0) for _, txs in self.chain for tx in txs}
        alive |= {OutPoint(txid, 0) for txid in self.pool}
        while gone := [t for t in self.pool.values() if t.inputs[0].outpoint not in alive]:
            for tx in gone:  # what spent a reward that is no more is no more
                del self.pool[tx.txid]
                alive.discard(OutPoint(tx.txid, 0))

    async def getbestblockhash(self) -> BlockHash:
        if self.restless:
            self.restless -= 1
            self.mine()
        return self.chain[-1][0]

    async def getblockheader_info(self, block: BlockHash) -> HeaderInfo:
        height = [found for found, _ in self.chain].index(block)
        return HeaderInfo(block, height, 1, None, None, 0, 0, 0)

    async def getblockhash(self, height: int) -> BlockHash:
        if height >= len(self.chain):
            raise NodeError("Block height out of range", code=-8)
        return self.chain[height][0]

    async def blocks(self, first: int, last: int) -> list[tuple[BlockHash, list[bytes]]]:
        if last - first + 1 > self.most:
            raise TooLarge("answer: too large")
        return [(h, [tx.serialize() for tx in txs]) for h, txs in self.chain[first : last + 1]]

    async def getrawmempool(self) -> list[Txid]:
        return sorted(self.pool)

    async def getrawtransaction(self, txid: Txid) -> bytes:
        if txid not in self.pool:
            raise NodeError("No such mempool transaction", code=-5)
        return self.pool[txid].serialize()


def ledger(node: MemoryNode) -> Ledger:
    return Ledger(node, NETWORK, ZKBTC)  # type: ignore[arg-type]


def follow(found: Ledger) -> Ledger:
    anyio.run(found.follow)
    return found


def payment(spent: Tx, to: bytes, fee: int = 100) -> Tx:
    """All of output 0 to a script."""
    return Tx(2, (TxIn(spent.outpoint(0)),), (TxOut(spent.outputs[0].sats - fee, to),))


def started(blocks: int = 3) -> tuple[MemoryNode, Ledger]:
    node = MemoryNode()
    for _ in range(blocks):
        node.mine()
    return node, follow(ledger(node))


def test_coins_come_from_blocks_with_their_depth() -> None:
    node, found = started()
    assert found.height == 2
    coins = found.coins(ALICE.script)
    assert sorted(coin.height or 0 for coin in coins) == [0, 1, 2]
    assert {coin.mature_at for coin in coins} == {100, 101, 102}
    reward = node.chain[0][1][0]
    assert found.confirmations(reward.txid) == 3
    assert found.inclusion(reward.txid) is not None
    assert is_coinbase(reward)


def test_mempool_lies_over_the_tip_parents_first() -> None:
    node, found = started()
    first = payment(node.chain[0][1][0], BOB.script)
    second = payment(first, ALICE.script)
    node.pool = {tx.txid: tx for tx in (second, first)}
    follow(found)
    assert found.coins(BOB.script) == []
    assert found.spender(first.outpoint(0)) == second.txid
    (fresh,) = [coin for coin in found.coins(ALICE.script) if coin.height is None]
    assert (fresh.outpoint, fresh.sats) == (second.outpoint(0), 49_800)
    assert not fresh.signed_by_quorum
    assert found.coin(first.outpoint(0)) is None
    assert found.inclusion(first.txid) is None


def test_unconfirmed_ancestors_are_what_hangs_together() -> None:
    node, found = started()
    first = payment(node.chain[0][1][0], BOB.script)
    second = payment(first, ALICE.script)
    apart = payment(node.chain[1][1][0], ALICE.script)
    node.pool = {tx.txid: tx for tx in (first, apart)}
    follow(found)
    node.pool[second.txid] = second
    follow(found)  # laid on the view that is there
    below = [len(found.unconfirmed_ancestors(tx)) for tx in (first, second, apart)]
    assert below == [0, 1, 0]
    assert found.children(first.txid) == [second.txid]
    node.mine(txs=[first])
    follow(found)
    assert found.unconfirmed_ancestors(second) == set()
    assert found.spender(first.inputs[0].outpoint) == first.txid
    node.reorg(1)
    node.pool.clear()
    follow(found)
    assert found.spender(first.inputs[0].outpoint) is None
    assert not found.seen(first.txid)


def test_C19_reorg_undoes_and_goes_on() -> None:
    node, found = started()
    paid = payment(node.chain[0][1][0], BOB.script)
    node.mine(txs=[paid])
    follow(found)
    assert found.confirmations(paid.txid) == 1
    node.reorg(2)
    for _ in range(3):
        node.mine(BOB.script)
    follow(found)
    assert found.height == 4
    assert found.confirmations(paid.txid) == 0
    assert found.state_hash() == follow(ledger(node)).state_hash()
    (waiting,) = [coin for coin in found.coins(BOB.script) if coin.height is None]
    assert waiting.outpoint == paid.outpoint(0)


def test_reorg_deeper_than_can_be_undone_reads_the_chain_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grail.charms.index.MAX_UNDO", 2)
    node, found = started(6)
    node.reorg(4)
    for _ in range(5):
        node.mine(BOB.script)
    follow(found)
    assert found.height == 6
    assert len(found.coins(ALICE.script)) == 2
    assert len(found.coins(BOB.script)) == 5


def test_large_blocks_are_asked_for_in_smaller_pieces() -> None:
    node, _ = started(9)
    node.most = 1
    assert len(follow(ledger(node)).coins(ALICE.script)) == 9
    node.most = 0
    with pytest.raises(TooLarge):
        follow(ledger(node))


def test_chain_that_grows_meanwhile_is_read_to_its_end() -> None:
    node, found = started()
    node.restless = 3
    follow(found)
    assert found.height == len(node.chain) - 1


def test_chain_that_never_holds_still_is_named() -> None:
    node, found = started()
    node.restless = 1_000
    with pytest.raises(Unavailable, match="changes faster"):
        follow(found)


class Follows(RuleBasedStateMachine):
    """Whatever the node does, the ledger that followed it equals one that starts anew."""

    def __init__(self) -> None:
        super().__init__()
        self.node, self.ledger = started()

    @rule(mine=st.booleans(), to=st.sampled_from([ALICE.script, BOB.script]), data=st.data())
    def pay(self, mine: bool, to: bytes, data: st.DataObject) -> None:
        known = {tx.txid: tx for _, txs in self.node.chain for tx in txs} | self.node.pool
        spent = {i.outpoint for tx in known.values() for i in tx.inputs}
        free = [tx for tx in known.values() if tx.outpoint(0) not in spent]
        free = [tx for tx in free if tx.outputs[0].sats > 1_000]
        tx = payment(data.draw(st.sampled_from(sorted(free, key=lambda tx: tx.txid))), to)
        if mine and tx.inputs[0].outpoint.txid not in self.node.pool:
            self.node.mine(to, [tx])
        else:
            self.node.pool[tx.txid] = tx

    @rule(script=st.sampled_from([ALICE.script, BOB.script]))
    def mine(self, script: bytes) -> None:
        self.node.mine(script)

    @rule(depth=st.integers(1, 3), more=st.integers(1, 4))
    def reorg(self, depth: int, more: int) -> None:
        self.node.reorg(min(depth, len(self.node.chain) - 1))
        for _ in range(more):
            self.node.mine(BOB.script)

    @rule()
    def follow(self) -> None:
        follow(self.ledger)
        self.equal()

    def equal(self) -> None:
        fresh = follow(ledger(self.node))
        for script in (ALICE.script, BOB.script):
            assert self.ledger.coins(script) == fresh.coins(script)
        assert self.ledger.state_hash() == fresh.state_hash()
        assert self.ledger.height == fresh.height
        known = [tx for _, txs in self.node.chain for tx in txs] + list(self.node.pool.values())
        for tx in known:
            assert self.ledger.seen(tx.txid)
            assert self.ledger.spender(tx.outpoint(0)) == fresh.spender(tx.outpoint(0))
            assert self.ledger.children(tx.txid) == fresh.children(tx.txid)
            chain = self.ledger.unconfirmed_ancestors(tx)
            assert chain == fresh.unconfirmed_ancestors(tx)
            assert chain <= self.node.pool.keys()

    @invariant()
    def sats_are_where_the_node_has_them(self) -> None:
        """After each step the node's own outputs, counted plainly, are what a new ledger sees."""
        known = {tx.txid: tx for _, txs in self.node.chain for tx in txs} | self.node.pool
        spent = {i.outpoint for tx in known.values() for i in tx.inputs}
        left = [tx for tx in known.values() if tx.outpoint(0) not in spent]
        fresh = follow(ledger(self.node))
        for script in (ALICE.script, BOB.script):
            expected = sum(t.outputs[0].sats for t in left if t.outputs[0].script == script)
            assert sum(coin.sats for coin in fresh.coins(script)) == expected


TestFollows = Follows.TestCase
TestFollows.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
