"""What the node's chain and mempool say, as a wallet needs it: coins, charms, the roster record.

A ledger follows one node block by block, reorgs included, and lays the mempool over the tip. It
trusts the node for what is in the chain, and nobody for what a spell means: charms come from
`grail.charms.index`, which checks every spell itself, or in "anchored" all but those that the
ruling quorum signed. It needs no wallet RPC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from grail.bitcoin.network import Network
from grail.bitcoin.node import BlockReader, Node
from grail.bitcoin.spv import COINBASE_MATURITY, Inclusion, prove_inclusion
from grail.bitcoin.tx import Tx
from grail.charms import history
from grail.charms.app import App, Contract
from grail.charms.descriptor import Bundle
from grail.charms.history import HistoryKind, Judged
from grail.charms.index import CharmIndex
from grail.charms.record import Record
from grail.errors import NodeError, Unavailable
from grail.operators.evidence import is_anchor
from grail.types import BlockHash, OutPoint, Txid, TxOut
from grail.wallet.coins import Coin

CHUNK = 128
"""Blocks that are asked for at once."""


@dataclass(frozen=True, slots=True)
class _Block:
    hash: BlockHash
    txids: tuple[Txid, ...]


class Ledger:
    """The coins of everybody, with their charms, as of the newest block and the mempool."""

    def __init__(
        self,
        node: Node,
        network: Network,
        zkbtc: Contract,
        bundles: Iterable[Bundle] = (),
        history: HistoryKind = "full",
    ) -> None:
        self.history = history
        self.node = node
        self.network = network
        self.bundles = {bundle.vk: bundle for bundle in bundles}
        self._zkbtc = zkbtc
        self._reader = BlockReader(node, CHUNK)
        self._start()

    def _start(self) -> None:
        self._index = CharmIndex(self.network, self._zkbtc, self.bundles, history=self.history)
        self._view = self._index.unconfirmed([])
        self._viewed: BlockHash | None = None
        self._blocks: list[_Block] = []
        self._transactions: dict[Txid, Tx] = {}
        self._heights: dict[Txid, int] = {}
        self._mempool: dict[Txid, Tx] = {}
        self._verdicts: dict[Txid, Judged] = {}
        self._spenders: dict[OutPoint, Txid] = {}

    @property
    def height(self) -> int:
        """The tip's height; -1 before the first `follow`."""
        return len(self._blocks) - 1

    @property
    def record(self) -> Record:
        """The roster record as of the tip."""
        return self._index.record

    def learn(self, bundle: Bundle) -> None:
        """Make an app's bundle known; the next `follow` reads again what could not be judged."""
        if bundle.vk not in self.bundles:
            self.bundles[bundle.vk] = bundle
            self._viewed = None
            if self._index.incomplete is not None:
                self._start()

    def state_hash(self) -> bytes:
        """One hash over all confirmed charms, where they lie, and the record."""
        return self._index.state_hash()

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
        if self._blocks and self._blocks[-1].hash == tip:
            return
        height = (await self.node.getblockheader_info(tip)).height
        while self._blocks and not await self._on_best_chain(height):
            if self._index.tip is None:  # deeper than what can be undone
                self._start()
                break
            self._undo()
        while self.height < height:
            for block, raws in await self._reader.read(self.height + 1, height):
                self._apply(block, [Tx.parse(raw) for raw in raws])

    async def _on_best_chain(self, height: int) -> bool:
        if self.height > height:
            return False
        return await self.node.getblockhash(self.height) == self._blocks[-1].hash

    def _apply(self, block: BlockHash, txs: list[Tx]) -> None:
        height = len(self._blocks)
        for judged in self._index.apply_block(height, block, txs):
            self._verdicts[judged.tx.txid] = judged
        for tx in txs:
            self._transactions[tx.txid] = tx
            self._heights[tx.txid] = height
            self._spenders.update((txin.outpoint, tx.txid) for txin in tx.inputs)
        self._blocks.append(_Block(block, tuple(tx.txid for tx in txs)))

    def _undo(self) -> None:
        self._index.undo_block()
        for txid in self._blocks.pop().txids:
            del self._heights[txid]
            self._verdicts.pop(txid, None)
            for txin in self._transactions[txid].inputs:
                self._spenders.pop(txin.outpoint, None)

    async def _follow_mempool(self) -> None:
        txids = set(await self.node.getrawmempool())
        fresh = {
            txid: Tx.parse(await self.node.getrawtransaction(txid))
            for txid in txids - self._mempool.keys()
        }
        if self._blocks[-1].hash == self._viewed and txids >= self._mempool.keys():
            # the usual case: what was there stands, and its proofs are not checked again
            added = parents_first(fresh)
            self._index.extend(self._view, list(added.values()))
            self._mempool |= added
            return
        kept = {txid: tx for txid, tx in self._mempool.items() if txid in txids}
        self._mempool = parents_first(kept | fresh)
        self._view = self._index.unconfirmed(list(self._mempool.values()))
        self._viewed = self._blocks[-1].hash

    # ---- coins

    def coins(self, script: bytes) -> list[Coin]:
        """The unspent outputs at a script, those in the mempool too, in order of outpoints.

        One whose charms are unknown is left out: it can be neither counted nor spent safely.
        """
        found = [
            self._coin(outpoint, coin)
            for outpoint, coin in self._view.unspent()
            if coin.script == script and coin.charms is not None
        ]
        return sorted(found, key=lambda coin: coin.outpoint)

    def contracts(self) -> set[Contract]:
        """The contracts of which an unspent output holds a charm, and zkBTC."""
        found = {app.contract for _, coin in self._view.unspent() for app in coin.charms or ()}
        return found | {self._zkbtc}

    def at(self, scripts: Collection[bytes]) -> list[Coin]:
        """The unspent outputs at any of these scripts, as `coins` of each."""
        return sorted(
            (
                self._coin(outpoint, coin)
                for outpoint, coin in self._view.unspent()
                if coin.script in scripts and coin.charms is not None
            ),
            key=lambda coin: coin.outpoint,
        )

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """The unspent output of this outpoint; None when it is spent, unknown, or unreadable."""
        found = self._view.coin(outpoint)
        if found is None or found.charms is None:
            return None
        return self._coin(outpoint, found)

    def holders(self, app: App) -> list[Coin]:
        """The unspent outputs that hold charms of an app, those in the mempool too."""
        found = [
            self._coin(outpoint, coin)
            for outpoint, coin in self._view.unspent()
            if coin.charms and app in coin.charms
        ]
        return sorted(found, key=lambda coin: coin.outpoint)

    def spender(self, outpoint: OutPoint) -> Txid | None:
        """The transaction that spends an outpoint, in a block or unconfirmed, if there is one."""
        return self._spenders.get(outpoint) or self._view.spent.get(outpoint)

    def _coin(self, outpoint: OutPoint, found: history.Coin) -> Coin:
        mature_at, signed = 0, False
        if found.height is None:
            ruling = self.record.ruling(self.height + 1)
            rosters = () if ruling is None else (ruling.roster,)
            signed = is_anchor(self._mempool[outpoint.txid], rosters)
        elif self._blocks[found.height].txids[0] == outpoint.txid:
            mature_at = found.height + COINBASE_MATURITY
        output = TxOut(found.sats, found.script)
        return Coin(outpoint, output, found.charms or {}, found.height, signed, mature_at)

    # ---- transactions

    async def transaction(self, txid: Txid) -> Tx:
        """A transaction that was seen, or that the node knows. Raises `NodeError`."""
        return self.known(txid) or Tx.parse(await self.node.getrawtransaction(txid))

    def verdict(self, txid: Txid) -> Judged | None:
        """What the rules say of a transaction with a spell; None for one without, or unknown."""
        return self._verdicts.get(txid) or self._view.judged.get(txid)

    def confirmations(self, txid: Txid) -> int:
        """How deep a transaction is in the chain; 0 when it is in no block."""
        height = self._heights.get(txid)
        return 0 if height is None else self.height - height + 1

    def confirmed_at(self, txid: Txid) -> int | None:
        """The height of a transaction's block; None when it is in no block."""
        return self._heights.get(txid)

    def known(self, txid: Txid) -> Tx | None:
        """A transaction that was ever seen here, even if it is nowhere now."""
        return self._transactions.get(txid) or self._mempool.get(txid)

    def seen(self, txid: Txid) -> bool:
        """Whether a transaction is in the chain or in the mempool now."""
        return txid in self._heights or txid in self._mempool

    def unconfirmed_ancestors(self, tx: Tx) -> set[Txid]:
        """The unconfirmed transactions that one hangs on, itself not counted."""
        queue = [txin.outpoint.txid for txin in tx.inputs]
        found: set[Txid] = set()
        while queue:
            parent = self._mempool.get(queue.pop())
            if parent is not None and parent.txid not in found:
                found.add(parent.txid)
                queue += [txin.outpoint.txid for txin in parent.inputs]
        return found

    def children(self, txid: Txid) -> list[Txid]:
        """The unconfirmed transactions that spend an output of this one."""
        return sorted(
            (
                other.txid
                for other in self._mempool.values()
                if any(txin.outpoint.txid == txid for txin in other.inputs)
            ),
            key=str,
        )

    def inclusion(self, txid: Txid) -> Inclusion | None:
        """The proof that a transaction is in its block, or None when it is in none."""
        height = self._heights.get(txid)
        if height is None:
            return None
        block = self._blocks[height]
        coinbase = self._transactions[block.txids[0]].serialize()
        return prove_inclusion(block.hash, block.txids, txid, coinbase)


def parents_first(txs: Mapping[Txid, Tx]) -> dict[Txid, Tx]:
    """The same transactions, each after those whose outputs it spends."""
    ordered: dict[Txid, Tx] = {}
    left = dict(sorted(txs.items()))
    while left:
        ready = {
            txid: tx
            for txid, tx in left.items()
            if not any(txin.outpoint.txid in left for txin in tx.inputs)
        }
        if not ready:  # impossible in a mempool: a transaction cannot spend its own child
            raise Unavailable("the node's mempool holds a circle of transactions")
        ordered |= ready
        left = {txid: tx for txid, tx in left.items() if txid not in ready}
    return ordered
