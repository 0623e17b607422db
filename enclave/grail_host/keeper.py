"""Keeps what its enclave signed until it is deep in the chain, and publishes it again.

A node forgets: it restarts, its mempool is full, transactions expire, blocks are undone. The
decision stands all the same (rounds, rule 8), so the transaction is sent again, parents before
children, until it is k blocks deep. Nothing here is needed for safety.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from grail.bitcoin.network import Network
from grail.bitcoin.node import Node
from grail.bitcoin.tx import Tx
from grail.errors import NodeError
from grail.operators.messages import Family
from grail.operators.spent import family_of
from grail.types import OutPoint, Txid
from grail_host.conflicts import Conflicts
from grail_host.looking import keep_looking

PAUSE = 2.0
"""Seconds between two looks, by chance up to half more: sixteen hosts need not send at once."""

LONGEST_PAUSE = 60.0
"""Seconds between two tries to publish one transaction that the node does not take."""

MAX_KEPT = 1_024
"""Transactions at once, the oldest go first; some 2 MB."""

GIVEN_UP = 144
"""Blocks after which a transaction that came into no block is kept no longer."""

log = logging.getLogger("grail_host")


@dataclass
class _Kept:
    """A signed transaction; `tx` once it was seen."""

    outpoint: OutPoint
    since: int
    tx: Tx | None = None
    tries: int = 0
    again_at: float = 0.0


@dataclass
class Keeper:
    """Watches signed transactions on the operator's own node."""

    node: Node
    network: Network
    conflicts: Conflicts
    _kept: OrderedDict[Family, _Kept] = field(init=False, default_factory=OrderedDict)

    def keep(self, family: Family, outpoint: OutPoint) -> None:
        """Watch a signed transaction by one guarded output that it spends."""
        self._kept.setdefault(family, _Kept(outpoint, self.conflicts.height))
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again."""
        await asyncio.sleep(PAUSE)  # there is nothing to keep yet
        await keep_looking("keeping signed transactions", self.look, PAUSE, spread=0.5)

    async def look(self) -> None:
        """Find what is new in the mempool, and publish what left it for no block.

        Raises `Unavailable`, `NodeError` or `Refused`.
        """
        if not self._kept:
            return
        await self.conflicts.look()
        await self._find()
        waiting = set(await self.node.getrawmempool())
        for family, kept in list(self._kept.items()):
            kept.since = kept.since or self.conflicts.height
            over = self.conflicts.height > kept.since + GIVEN_UP
            if over or (kept.tx is not None and not self.conflicts.watches(family)):
                del self._kept[family]
            elif self.conflicts.in_block(family) or kept.tx is None or kept.tx.txid in waiting:
                continue
            else:
                await self._publish(kept, kept.tx)

    async def _find(self) -> None:
        """Take the transactions themselves from the mempool."""
        wanted = {family: kept for family, kept in self._kept.items() if kept.tx is None}
        if not wanted:
            return
        asked = [{"txid": str(k.outpoint.txid), "vout": k.outpoint.vout} for k in wanted.values()]
        reply = await self.node.call("gettxspendingprevout", asked)
        for (family, kept), found in zip(wanted.items(), reply, strict=True):
            if "spendingtxid" not in found:
                continue
            tx = Tx.parse(await self.node.getrawtransaction(Txid.from_hex(found["spendingtxid"])))
            if family_of(self.network.id, tx) == family:
                kept.tx = tx

    async def _publish(self, kept: _Kept, tx: Tx) -> None:
        now = time.monotonic()
        if now < kept.again_at:
            return
        try:
            await self.node.sendrawtransaction(tx.serialize())
        except NodeError as exc:
            kept.again_at = now + min(PAUSE * 2.0 ** min(kept.tries, 20), LONGEST_PAUSE)
            kept.tries += 1
            log.info("transaction %s is not taken again: %s", tx.txid, exc)
        else:
            kept.tries, kept.again_at = 0, 0.0
            log.info("published %s again", tx.txid)
