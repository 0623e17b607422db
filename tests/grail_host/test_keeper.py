"""Signed transactions are kept: published again when they vanish, until they are deep."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.tx import Tx, TxIn
from grail.errors import NodeError
from grail.operators.messages import Family
from grail.operators.spent import family_of
from grail.types import OutPoint, Txid, TxOut
from grail_host import keeper
from grail_host.keeper import Keeper

NETWORK = Network(REGTEST, OutPoint(Txid(bytes(32)), 0))


def spending(outpoint: OutPoint, sats: int = 1_000) -> Tx:
    return Tx(2, (TxIn(outpoint),), (TxOut(sats, b"\x51"),))


PORT = OutPoint(Txid(b"\x01" * 32), 0)
PARENT = spending(PORT)
CHILD = spending(PARENT.outpoint(0), 900)


@dataclass
class Mempool:
    """The node and what the host saw in blocks, answered from sets."""

    txs: dict[Txid, Tx] = field(default_factory=dict)
    blocks: set[Family] = field(default_factory=set)
    watched: set[Family] = field(default_factory=set)
    sent: list[Txid] = field(default_factory=list)
    height: int = 100

    async def look(self) -> None:
        """Blocks are as the test says."""

    def watches(self, family: Family) -> bool:
        return family in self.watched

    def in_block(self, family: Family) -> bool:
        return family in self.blocks

    async def getrawmempool(self) -> list[Txid]:
        return list(self.txs)

    async def getrawtransaction(self, txid: Txid) -> bytes:
        return self.txs[txid].serialize()

    async def call(self, method: str, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert method == "gettxspendingprevout"
        spent = {txin.outpoint: tx.txid for tx in self.txs.values() for txin in tx.inputs}
        found = []
        for item in asked:
            by = spent.get(OutPoint.from_text(f"{item['txid']}:{item['vout']}"))
            found.append(dict(item) if by is None else {**item, "spendingtxid": str(by)})
        return found

    async def sendrawtransaction(self, raw: bytes) -> Txid:
        tx = Tx.parse(raw)
        parent = tx.inputs[0].outpoint.txid
        if parent != PORT.txid and parent not in self.txs:
            raise NodeError("bad-txns-inputs-missingorspent", code=-25)
        self.txs[tx.txid] = tx
        self.sent.append(tx.txid)
        return tx.txid


@pytest.fixture
def node() -> Mempool:
    return Mempool()


@pytest.fixture
def kept(node: Mempool) -> Keeper:
    """A keeper that saw a parent and its child in the mempool."""
    made = Keeper(node, NETWORK, node)  # type: ignore[arg-type]
    for tx in (PARENT, CHILD):
        node.txs[tx.txid] = tx
        node.watched.add(name(tx))
        made.keep(name(tx), tx.inputs[0].outpoint)
    asyncio.run(made.look())
    return made


def name(tx: Tx) -> Family:
    return family_of(NETWORK.id, tx)


def test_what_waits_is_left_alone(node: Mempool, kept: Keeper) -> None:
    asyncio.run(kept.look())
    assert node.sent == []


def test_G11_what_vanished_is_sent_again_parents_first(node: Mempool, kept: Keeper) -> None:
    node.txs.clear()
    asyncio.run(kept.look())
    assert node.sent == [PARENT.txid, CHILD.txid]


def test_what_a_block_holds_is_not_sent_and_after_a_reorg_it_is(
    node: Mempool, kept: Keeper
) -> None:
    node.txs.clear()
    node.blocks = {name(PARENT), name(CHILD)}
    asyncio.run(kept.look())
    assert node.sent == []
    node.blocks.clear()
    asyncio.run(kept.look())
    assert node.sent == [PARENT.txid, CHILD.txid]


def test_what_is_deep_is_forgotten(node: Mempool, kept: Keeper) -> None:
    node.txs.clear()
    node.watched.clear()
    asyncio.run(kept.look())
    assert node.sent == []
    node.watched = {name(PARENT)}
    asyncio.run(kept.look())
    assert node.sent == []


def test_what_the_node_does_not_take_is_tried_less_and_less(
    node: Mempool, kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []
    now = 0.0

    async def refused(_raw: bytes) -> Txid:
        tries.append(now)
        raise NodeError("min relay fee not met", code=-26)

    monkeypatch.setattr(keeper.time, "monotonic", lambda: now)
    monkeypatch.setattr(node, "sendrawtransaction", refused)
    del node.txs[CHILD.txid]
    for second in range(120):
        now = float(second)
        asyncio.run(kept.look())
    assert len(tries) == 6
    assert max(b - a for a, b in itertools.pairwise(tries)) <= keeper.LONGEST_PAUSE
    node.height += keeper.GIVEN_UP + 1
    now = 1_000.0
    asyncio.run(kept.look())
    assert len(tries) == 6


def test_another_spend_of_the_output_is_not_taken_for_ours(node: Mempool) -> None:
    made = Keeper(node, NETWORK, node)  # type: ignore[arg-type]
    made.keep(name(PARENT), PORT)
    node.watched.add(name(PARENT))
    other = spending(PORT, 500)
    node.txs[other.txid] = other
    asyncio.run(made.look())
    node.txs.clear()
    asyncio.run(made.look())
    assert node.sent == []


def test_S33_no_more_than_so_many_are_kept(node: Mempool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "MAX_KEPT", 3)
    made = Keeper(node, NETWORK, node)  # type: ignore[arg-type]
    for number in range(10):
        made.keep(bytes([number]) * 32, OutPoint(Txid(bytes(32)), number))  # type: ignore[arg-type]
    assert len(made._kept) == 3
