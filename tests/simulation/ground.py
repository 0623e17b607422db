"""The chain of one schedule: blocks on the market's, transactions that wait, forks.

Everybody sees the same blocks, each at his own time; what a block may hold is decided here by
plain rules: every input exists on that chain and is unspent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from made_chain import Block, MadeChain

from grail.bitcoin.tx import Tx
from grail.types import BlockHash, OutPoint, Txid, TxOut
from simulation.crew import per_crew
from simulation.market import market


@per_crew
def _unspent() -> dict[OutPoint, TxOut]:
    """What is unspent on the market's chain."""
    found: dict[OutPoint, TxOut] = {}
    for block in market().world.chain.blocks:
        apply(found, block)
    return found


def apply(unspent: dict[OutPoint, TxOut], block: Block) -> None:
    """What a block takes out of the unspent outputs, and what it adds."""
    for tx in block.txs:
        for txin in tx.inputs:
            unspent.pop(txin.outpoint, None)
        unspent.update((tx.outpoint(vout), out) for vout, out in enumerate(tx.outputs))


@dataclass
class Ground:
    """The best chain, all blocks that ever were, and what waits for one."""

    chain: MadeChain = field(init=False)
    base: int = field(init=False)
    blocks: dict[BlockHash, tuple[Block, int]] = field(init=False, default_factory=dict)
    waiting: dict[Txid, Tx] = field(init=False, default_factory=dict)
    ever: dict[Txid, Tx] = field(init=False, default_factory=dict)
    reorganised: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        world = market().world
        self.base = world.chain.height
        self.chain = world.chain.fork(self.base)

    @property
    def above(self) -> list[Block]:
        """The best chain's blocks above the market's."""
        return self.chain.blocks[self.base + 1 - self.chain.start :]

    @property
    def unspent(self) -> dict[OutPoint, TxOut]:
        """The unspent outputs of the best chain."""
        found = dict(_unspent())
        for block in self.above:
            apply(found, block)
        return found

    def publish(self, tx: Tx) -> None:
        """Put a finished transaction among those that wait; it may never confirm."""
        self.waiting.setdefault(tx.txid, tx)

    def mine(self, *first: Tx) -> Block:
        """A block with these, and with what waits, as far as their inputs are unspent."""
        unspent, chosen = self.unspent, []
        for tx in (*first, *self.waiting.values()):
            if all(txin.outpoint in unspent for txin in tx.inputs):
                for txin in tx.inputs:
                    del unspent[txin.outpoint]
                unspent.update((tx.outpoint(vout), out) for vout, out in enumerate(tx.outputs))
                chosen.append(tx)
        return self._added(chosen)

    def reorganise(self, depth: int, *, empty: bool) -> None:
        """Replace the last blocks by as many and one more: empty ones, or with what waits."""
        depth = min(depth, len(self.above))
        self.reorganised = max(self.reorganised, depth)
        self.chain = self.chain.fork(self.chain.height - depth)
        for _ in range(depth + 1):
            if empty:
                self._added([])
            else:
                self.mine()

    def _added(self, txs: Sequence[Tx]) -> Block:
        block = self.chain.mine(*txs)
        self.blocks[block.header.hash] = (block, self.chain.height)
        self.ever.update((tx.txid, tx) for tx in txs)
        return block

    def ancestors(self, tip: BlockHash) -> Iterator[Block]:
        """The blocks from a tip down to the market's chain."""
        while tip in self.blocks:
            block = self.blocks[tip][0]
            yield block
            tip = block.header.previous

    def conflicts(self, spends: frozenset[OutPoint], txid: Txid, tip: BlockHash) -> bool:
        """Whether another transaction below this tip spends one of these outpoints."""
        return any(
            tx.txid != txid and any(txin.outpoint in spends for txin in tx.inputs)
            for block in self.ancestors(tip)
            for tx in block.txs
        )
