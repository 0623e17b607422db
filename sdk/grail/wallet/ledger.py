"""What the node's chain and mempool say, as a wallet needs it: coins, charms, the roster record.

A ledger follows one node block by block, reorgs included, and lays the mempool over the tip. It
trusts the node for what is in the chain, and nobody for what a spell means: charms come from
`grail.charms.index`, which checks every spell itself. It needs no wallet RPC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grail.bitcoin.network import Network
from grail.bitcoin.node import Node
from grail.bitcoin.spv import COINBASE_MATURITY, Inclusion, prove_inclusion
from grail.bitcoin.tx import Tx
from grail.charms.app import App, Contract, Data
from grail.charms.descriptor import Bundle
from grail.charms.index import CharmIndex
from grail.charms.record import Record
from grail.errors import NodeError, Unavailable
from grail.operators.evidence import is_anchor
from grail.types import BlockHash, OutPoint, Txid
from grail.wallet.blocks import Blocks, Unspent, spendable
from grail.wallet.coins import Coin


class Ledger:
    """The coins of everybody, with their charms, as of the newest block and the mempool."""

    def __init__(
        self, node: Node, network: Network, zkbtc: Contract, bundles: Iterable[Bundle] = ()
    ) -> None:
        self.node = node
        self.network = network
        self.bundles = {bundle.vk: bundle for bundle in bundles}
        self.index = CharmIndex(network, zkbtc, self.bundles)
        self.blocks = Blocks()
        self.mempool: dict[Txid, Tx] = {}
        self._waiting: dict[OutPoint, Coin] = {}
        self._taken: dict[OutPoint, Txid] = {}

    @property
    def height(self) -> int:
        """The tip's height; -1 before the first `follow`."""
        return self.blocks.height

    @property
    def record(self) -> Record:
        """The roster record as of the tip."""
        return self.index.record

    async def follow(self) -> None:
        """Catch up with the node: undo what left its best chain, read the rest, then the mempool.

        Raises `Unavailable` when the chain moves faster than it can be read.
        """
        for _ in range(8):
            tip = await self.node.getbestblockhash()
            try:
                await self._follow_chain(tip)
                await self._follow_mempool()
            except NodeError:
                continue  # a block or a transaction went away meanwhile
            if await self.node.getbestblockhash() == tip:
                return
        raise Unavailable(f"node {self.node.url}: its chain changes faster than it can be read")

    async def _follow_chain(self, tip: BlockHash) -> None:
        if self.blocks.chain and self.blocks.chain[-1].hash == tip:
            return
        height = (await self.node.getblockheader_info(tip)).height
        while self.blocks.chain and not await self._on_best_chain(height):
            self.blocks.undo()
            self.index.undo_block()
        while self.height < height:
            block = await self.node.getblockhash(self.height + 1)
            txs = [Tx.parse(raw) for raw in await self.node.getblock_transactions(block)]
            self.index.apply_block(self.height + 1, block, txs)
            self.blocks.add(block, txs)

    async def _on_best_chain(self, height: int) -> bool:
        if self.height > height:
            return False
        return await self.node.getblockhash(self.height) == self.blocks.chain[-1].hash

    async def _follow_mempool(self) -> None:
        txids = set(await self.node.getrawmempool())
        kept = {txid: tx for txid, tx in self.mempool.items() if txid in txids}
        for txid in txids - kept.keys():
            kept[txid] = Tx.parse(await self.node.getrawtransaction(txid))
        self.mempool = _parents_first(kept)
        self._waiting, self._taken = {}, {}
        charms: dict[OutPoint, Mapping[App, Data]] = {}
        for txid, tx in self.mempool.items():
            for txin in tx.inputs:
                self._taken[txin.outpoint] = txid
            found = self.index.unconfirmed(tx, charms)
            charms |= {OutPoint(txid, vout): held for vout, held in enumerate(found) if held}
            signed = is_anchor(tx, self.record.rosters)
            for outpoint, output in spendable(tx):
                held = charms.get(outpoint, {})
                self._waiting[outpoint] = Coin(outpoint, output, held, None, signed)

    # ---- coins

    def coins(self, script: bytes) -> list[Coin]:
        """The unspent outputs at a script, those in the mempool too, in order of outpoints."""
        found = [
            self._coin(outpoint, unspent)
            for outpoint, unspent in self.blocks.unspent.items()
            if unspent.output.script == script and outpoint not in self._taken
        ]
        found += [
            coin
            for outpoint, coin in self._waiting.items()
            if coin.output.script == script and outpoint not in self._taken
        ]
        return sorted(found, key=lambda coin: coin.outpoint)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """The unspent output of this outpoint, or None when it is spent or unknown."""
        if outpoint in self._taken:
            return None
        if outpoint in self._waiting:
            return self._waiting[outpoint]
        unspent = self.blocks.unspent.get(outpoint)
        return None if unspent is None else self._coin(outpoint, unspent)

    def holders(self, app: App) -> list[Coin]:
        """The unspent outputs that hold charms of an app, those in the mempool too."""
        found = [
            coin
            for outpoint in self.index.outpoints(app)
            if (coin := self.coin(outpoint)) is not None
        ]
        found += [
            coin
            for outpoint, coin in self._waiting.items()
            if app in coin.charms and outpoint not in self._taken
        ]
        return found

    def spender(self, outpoint: OutPoint) -> Txid | None:
        """The unconfirmed transaction that spends an outpoint, if there is one."""
        return self._taken.get(outpoint)

    def _coin(self, outpoint: OutPoint, unspent: Unspent) -> Coin:
        height = unspent.height or 0
        return Coin(
            outpoint,
            unspent.output,
            self.index.charms(outpoint),
            unspent.height,
            signed_by_quorum=False,
            mature_at=height + COINBASE_MATURITY if unspent.coinbase else 0,
        )

    # ---- transactions

    async def transaction(self, txid: Txid) -> Tx:
        """A transaction that was seen, or that the node knows. Raises `NodeError`."""
        known = self.blocks.transactions.get(txid) or self.mempool.get(txid)
        return known or Tx.parse(await self.node.getrawtransaction(txid))

    def confirmations(self, txid: Txid) -> int:
        """How deep a transaction is in the chain; 0 when it is in no block."""
        height = self.blocks.heights.get(txid)
        return 0 if height is None else self.height - height + 1

    def inclusion(self, txid: Txid) -> Inclusion | None:
        """The proof that a transaction is in its block, or None when it is in none."""
        height = self.blocks.heights.get(txid)
        if height is None:
            return None
        block = self.blocks.chain[height]
        coinbase = self.blocks.transactions[block.txids[0]].serialize()
        return prove_inclusion(block.hash, block.txids, txid, coinbase)


def _parents_first(txs: Mapping[Txid, Tx]) -> dict[Txid, Tx]:
    """The same transactions, each after those whose outputs it spends."""
    ordered: dict[Txid, Tx] = {}
    left = dict(sorted(txs.items()))
    while left:
        ready = {
            txid: tx
            for txid, tx in left.items()
            if not any(txin.outpoint.txid in left for txin in tx.inputs)
        }
        ordered |= ready
        left = {txid: tx for txid, tx in left.items() if txid not in ready}
        if not ready:  # impossible in a mempool: a transaction cannot spend its own child
            raise Unavailable("the node's mempool holds a circle of transactions")
    return ordered
