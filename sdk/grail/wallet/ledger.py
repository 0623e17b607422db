"""What the node's chain and mempool say, as a wallet needs it: coins, charms, the roster record.

A ledger follows one node block by block (reorgs included) and lays the mempool over the tip. It
trusts the node for what is in the chain, and nobody for what a spell means: charms come from
`grail.charms.index`, which checks every spell itself. It needs no wallet RPC and no transaction
index: what is above its first height it has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from grail.bitcoin import spv
from grail.bitcoin.node import Node
from grail.bitcoin.spv import COINBASE_MATURITY, Inclusion
from grail.bitcoin.tx import Tx
from grail.charms.app import App, Contract
from grail.charms.descriptor import Bundle
from grail.charms.index import CharmIndex
from grail.charms.record import Record
from grail.errors import NodeError, Unavailable
from grail.operators.configuration import Configuration
from grail.operators.evidence import Known, is_anchor
from grail.types import BlockHash, OutPoint, Txid, TxOut
from grail.wallet.coins import Coin

MAX_REORG = 100
"""Blocks that can be undone; a deeper reorg has the ledger read the chain again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction is confirmed."""

    block: BlockHash
    height: int


@dataclass(frozen=True, slots=True)
class _Unspent:
    output: TxOut
    coinbase: bool


@dataclass(frozen=True, slots=True)
class _Block:
    hash: BlockHash
    txids: tuple[Txid, ...]
    created: tuple[OutPoint, ...]
    spent: tuple[tuple[OutPoint, _Unspent], ...]


@dataclass
class _Chain:
    """The blocks that were read, and the outputs that they leave unspent."""

    blocks: list[_Block] = field(default_factory=list)
    unspent: dict[OutPoint, _Unspent] = field(default_factory=dict)
    transactions: dict[Txid, Tx] = field(default_factory=dict)
    places: dict[Txid, Place] = field(default_factory=dict)

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def add(self, block: BlockHash, txs: list[Tx]) -> None:
        created: list[OutPoint] = []
        spent: list[tuple[OutPoint, _Unspent]] = []
        height = len(self.blocks)
        for index, tx in enumerate(txs):
            self.transactions[tx.txid] = tx
            self.places[tx.txid] = Place(block, height)
            spent += _spend(self.unspent, tx)
            created += _create(self.unspent, tx, coinbase=index == 0)
        txids = tuple(tx.txid for tx in txs)
        self.blocks.append(_Block(block, txids, tuple(created), tuple(spent)))

    def undo(self) -> None:
        block = self.blocks.pop()
        for outpoint in block.created:
            self.unspent.pop(outpoint, None)
        created = set(block.created)
        self.unspent.update((o, u) for o, u in block.spent if o not in created)
        for txid in block.txids:
            self.places.pop(txid, None)


def _spend(unspent: dict[OutPoint, _Unspent], tx: Tx) -> list[tuple[OutPoint, _Unspent]]:
    taken = []
    for txin in tx.inputs:
        found = unspent.pop(txin.outpoint, None)
        if found is not None:
            taken.append((txin.outpoint, found))
    return taken


def _create(unspent: dict[OutPoint, _Unspent], tx: Tx, *, coinbase: bool) -> list[OutPoint]:
    made = []
    for vout, output in enumerate(tx.outputs):
        if output.script[:1] == b"\x6a":
            continue  # never spendable
        outpoint = OutPoint(tx.txid, vout)
        unspent[outpoint] = _Unspent(output, coinbase)
        made.append(outpoint)
    return made
