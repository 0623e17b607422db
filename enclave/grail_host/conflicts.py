"""Looks in new blocks for spends that concern what the enclave voted for, and shows them to it.

Somebody may spend an input of a voted or decided transaction elsewhere. Once that is in a block the
transaction is dead, and its guarded outputs are free again (rounds, rule 8); an enclave sees only
headers, so its host brings it the proof. Own spends are shown too: they settle what they were
voted for. Whatever is hidden or missed here costs liveness, and another host may show it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from grail.bitcoin.network import Network
from grail.bitcoin.node import NOT_FOUND, Node
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import prove_inclusion
from grail.bitcoin.tx import Tx
from grail.errors import InvalidInput, NodeError, Refused
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Frame, spent_frame
from grail.operators.messages import Family
from grail.operators.spent import MAX_PATH, family_of
from grail.types import BlockHash, OutPoint, Txid
from grail_host.follower import Follower
from grail_host.link import Link
from grail_host.looking import keep_looking

PAUSE = 1.0
"""Seconds between two looks at the node; a request makes the host look at once."""

MAX_WATCHED = 4_096
"""Transactions watched at once, as many as the enclave remembers; the oldest go first."""

LOOKBACK = 144
"""Blocks that are looked through at most, after a pause or for a transaction heard of late."""

log = logging.getLogger("grail_host")


@dataclass(frozen=True, slots=True)
class Watched:
    """A transaction, and for each outpoint that it rests on what dies when another spends that.

    A path holds raw transactions: the one that spends the outpoint, then what hangs on it, and so
    on down to the transaction itself.
    """

    family: Family
    paths: dict[OutPoint, tuple[bytes, ...]]


def read_watched(network: Network, request: bytes) -> Watched:
    """What to look for on behalf of a signing request. Raises `InvalidInput`."""
    parsed = SigningRequest.parse(request)
    tx = Psbt.parse(parsed.psbt).tx
    unconfirmed = {item.tx.txid: item.tx for item in parsed.evidence if item.inclusion is None}
    paths: dict[OutPoint, tuple[bytes, ...]] = {}
    queue: list[tuple[Tx, tuple[bytes, ...]]] = [(tx, ())]
    while queue:
        each, below = queue.pop()
        path = (each.serialize_unsigned(), *below)
        for txin in each.inputs:
            if txin.outpoint not in paths:
                paths[txin.outpoint] = path
                parent = unconfirmed.pop(txin.outpoint.txid, None)
                if parent is not None:
                    queue.append((parent, path))
    return Watched(family_of(network.id, tx), paths)


class Conflicts:
    """The transactions that the enclave voted for, and the blocks that were looked through."""

    def __init__(self, node: Node, link: Link, follower: Follower, network: Network) -> None:
        self._node = node
        self._link = link
        self._follower = follower
        self._network = network
        self._watched: OrderedDict[Family, Watched] = OrderedDict()
        self._index: dict[OutPoint, set[Family]] = {}
        self._found: dict[Family, int] = {}
        self._seen: list[tuple[int, BlockHash]] = []
        self._one_at_a_time = asyncio.Lock()

    @property
    def height(self) -> int:
        """The height of the newest block that was looked through; 0 before the first."""
        return self._seen[-1][0] if self._seen else 0

    def watches(self, family: Family) -> bool:
        """Whether a transaction is looked out for: not once it, or a conflict, is k deep."""
        return family in self._watched

    def in_block(self, family: Family) -> bool:
        """Whether a block of the best chain holds a transaction, or a conflict with it."""
        return family in self._found

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again."""
        await keep_looking("spends in blocks", self.look, PAUSE)

    async def watch(self, request: bytes, *, late: bool = False) -> None:
        """Look out for a request's transaction; `late` when a block may hold a spend already.

        Raises `Unavailable` or `NodeError`.
        """
        try:
            watched = await asyncio.to_thread(read_watched, self._network, request)
        except InvalidInput:
            return
        if watched.family in self._watched:
            return
        self._watched[watched.family] = watched
        for outpoint in watched.paths:
            self._index.setdefault(outpoint, set()).add(watched.family)
        if len(self._watched) > MAX_WATCHED:
            self._unwatch(next(iter(self._watched)))
        if late and await self._gone(watched):
            async with self._one_at_a_time:
                tip = self._seen[-1][0] if self._seen else await self._node.getblockcount()
                for height in range(max(1, tip - LOOKBACK + 1), tip + 1):
                    await self._look_in(height, {watched.family})

    async def look(self) -> None:
        """Show the enclave new headers, then what new blocks spend.

        Raises `Unavailable`, `NodeError` or `Refused`.
        """
        await self._follower.sync()
        async with self._one_at_a_time:
            tip = await self._node.getbestblockhash()
            if self._seen and self._seen[-1][1] == tip:
                return
            last = await self._node.getblockcount()
            # Where all that was seen is undone, the branches part below it: from far enough down.
            first = last if not self._seen else 1
            await self._leave_fork(last)
            first = self._seen[-1][0] + 1 if self._seen else first
            for height in range(max(first, last - LOOKBACK + 1), last + 1):
                block = await self._look_in(height, self._watched.keys())
                self._seen.append((height, block))
            del self._seen[:-LOOKBACK]
            for family, height in list(self._found.items()):
                if last - height >= self._network.k:
                    self._unwatch(family)

    async def _leave_fork(self, last: int) -> None:
        """Forget the blocks that a reorganisation took off the chain.

        What they held is unconfirmed again, and may meet a conflict in the new branch: whatever
        hangs on it dies with it.
        """
        undone: dict[Txid, Tx] = {}
        while self._seen:
            height, block = self._seen[-1]
            if height <= last and await self._node.getblockhash(height) == block:
                break
            if self._watched:
                undone |= await self._held(block)
            self._seen.pop()
            for family in [f for f, found in self._found.items() if found >= height]:
                del self._found[family]
        if undone:
            await asyncio.to_thread(self._hang_on, undone)

    async def _held(self, block: BlockHash) -> dict[Txid, Tx]:
        """What an undone block held; nothing when the node keeps it no longer."""
        try:
            raws = await self._node.getblock_transactions(block)
        except NodeError as exc:
            log.warning("the undone block %s: %s", block, exc)
            return {}
        return {tx.txid: tx for tx in map(Tx.parse, raws[1:])}

    def _hang_on(self, undone: Mapping[Txid, Tx]) -> None:
        """Look out for spends of what undone transactions spend, where something hangs on them."""
        for family, watched in self._watched.items():
            queue = [outpoint for outpoint in watched.paths if outpoint.txid in undone]
            while queue:
                outpoint = queue.pop()
                tx = undone[outpoint.txid]
                path = (tx.serialize_unsigned(), *watched.paths[outpoint])
                for txin in tx.inputs:
                    if len(path) > MAX_PATH or txin.outpoint in watched.paths:
                        continue
                    watched.paths[txin.outpoint] = path
                    self._index.setdefault(txin.outpoint, set()).add(family)
                    if txin.outpoint.txid in undone:
                        queue.append(txin.outpoint)

    async def _look_in(self, height: int, families: Collection[Family]) -> BlockHash:
        """Show the enclave what a block spends of these transactions."""
        block = await self._node.getblockhash(height)
        if not families:
            return block
        raws = await self._node.getblock_transactions(block)
        for frame, family in await asyncio.to_thread(self._shown, block, raws, set(families)):
            try:
                (await self._link.ask(frame)).unwrap()
            except Refused as exc:
                if exc.rule == "NotConfirmed":
                    raise  # it lacks that header yet: look again
                log.warning("a spend in block %s: %s", block, exc)
            self._found[family] = height
        return block

    def _shown(
        self, block: BlockHash, raws: Sequence[bytes], families: set[Family]
    ) -> list[tuple[Frame, Family]]:
        """The frames for a block, each with the family that it is about."""
        txs = [Tx.parse(raw) for raw in raws]
        txids = [tx.txid for tx in txs]
        found = []
        for tx, raw in zip(txs, raws, strict=True):
            hits = [txin.outpoint for txin in tx.inputs if txin.outpoint in self._index]
            if not hits:
                continue
            proof = prove_inclusion(block, txids, tx.txid, raws[0])
            own, told = family_of(self._network.id, tx), set[Family]()
            for outpoint in hits:
                for family in sorted((self._index[outpoint] & families) - told):
                    path = self._watched[family].paths[outpoint]
                    if family != own and Tx.parse(path[0]).txid == tx.txid:
                        continue  # an unconfirmed parent of it has confirmed
                    told.add(family)
                    path = () if family == own else path
                    found.append((spent_frame(raw, proof, path), family))
        return found

    async def _gone(self, watched: Watched) -> bool:
        """Whether an input of a transaction is neither unspent nor spent in the mempool alone."""
        for outpoint in watched.paths:
            if await self._node.gettxout(outpoint, mempool=False) is None:
                try:
                    await self._node.getmempoolentry(outpoint.txid)
                except NodeError as exc:
                    if exc.code != NOT_FOUND:
                        raise
                    return True
        return False

    def _unwatch(self, family: Family) -> None:
        watched = self._watched.pop(family, None)
        self._found.pop(family, None)
        for outpoint in watched.paths if watched else ():
            families = self._index[outpoint]
            families.discard(family)
            if not families:
                del self._index[outpoint]
