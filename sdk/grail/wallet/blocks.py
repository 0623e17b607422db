"""The part of the chain that a ledger has read: unspent outputs, and how to undo a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from grail.bitcoin.tx import Tx
from grail.types import BlockHash, OutPoint, Txid, TxOut

OP_RETURN = b"\x6a"


@dataclass(frozen=True, slots=True)
class Unspent:
    """An unspent output, the height of its block (None: unconfirmed), whether it is a reward."""

    output: TxOut
    height: int | None
    coinbase: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was read. `spent` and `created` are what undoing it needs."""

    hash: BlockHash
    txids: tuple[Txid, ...]
    created: tuple[OutPoint, ...]
    spent: tuple[tuple[OutPoint, Unspent], ...]


@dataclass
class Blocks:
    """The blocks from height 0 to the tip, and the outputs that they leave unspent."""

    chain: list[Block] = field(default_factory=list)
    unspent: dict[OutPoint, Unspent] = field(default_factory=dict)
    transactions: dict[Txid, Tx] = field(default_factory=dict)
    heights: dict[Txid, int] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """The tip's height; -1 before the first block."""
        return len(self.chain) - 1

    def add(self, block: BlockHash, txs: Sequence[Tx]) -> None:
        """Read the block after the tip."""
        height = len(self.chain)
        created: list[OutPoint] = []
        spent: list[tuple[OutPoint, Unspent]] = []
        for index, tx in enumerate(txs):
            self.transactions[tx.txid] = tx
            self.heights[tx.txid] = height
            for txin in tx.inputs:
                found = self.unspent.pop(txin.outpoint, None)
                if found is not None:
                    spent.append((txin.outpoint, found))
            for outpoint, output in spendable(tx):
                self.unspent[outpoint] = Unspent(output, height, index == 0)
                created.append(outpoint)
        txids = tuple(tx.txid for tx in txs)
        self.chain.append(Block(block, txids, tuple(created), tuple(spent)))

    def undo(self) -> Block:
        """Take the tip off again; returns it."""
        block = self.chain.pop()
        for outpoint in block.created:
            self.unspent.pop(outpoint, None)
        # an output that the block both made and spent is gone with it
        created = set(block.created)
        self.unspent.update({o: u for o, u in block.spent if o not in created})
        for txid in block.txids:
            del self.heights[txid]
        return block


def spendable(tx: Tx) -> list[tuple[OutPoint, TxOut]]:
    """The outputs that somebody may spend one day: all but OP_RETURN."""
    return [
        (OutPoint(tx.txid, vout), output)
        for vout, output in enumerate(tx.outputs)
        if output.script[:1] != OP_RETURN
    ]
