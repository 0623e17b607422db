"""Coming back to a transaction after a while, to see whether anybody went on with it.

What the finisher does for signed transactions and the caretaker for those only voted for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence

from grail.bitcoin.network import Network
from grail.bitcoin.node import ALREADY_CONFIRMED, Node
from grail.bitcoin.tx import Tx
from grail.errors import GrailError, NodeError
from grail.operators.messages import Family
from grail.types import OutPoint
from grail_host.link import Link
from grail_host.peers import Peers

MAX_PENDING = 256
"""Transactions waited for at once by each, with their requests."""

log = logging.getLogger("grail_host")


class Waiter:
    """The transactions that are waited for, one task each."""

    def __init__(
        self, node: Node, link: Link, network: Network, peers: Peers, *, patience: float
    ) -> None:
        self._node = node
        self._link = link
        self._network = network
        self._peers = peers
        self._patience = patience
        self._pending: dict[Family, asyncio.Task[None]] = {}

    async def aclose(self) -> None:
        """Forget what is pending."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _takes(self, family: Family) -> bool:
        """Whether there is a point in waiting for it, and room."""
        free = len(self._pending) < MAX_PENDING and family not in self._pending
        return bool(self._peers.hosts) and free

    def _wait_for(self, family: Family, watch: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(watch)
        self._pending[family] = task
        task.add_done_callback(lambda _: self._pending.pop(family, None))

    async def _look_again(self, what: str, tries: int, look: Callable[[], Awaitable[bool]]) -> None:
        """Look after longer and longer waits, by chance longer than the other hosts'.

        Ends when a look says that nothing is left to do, or after so many.
        """
        for attempt in range(tries):
            wait = self._patience * 2.0**attempt
            await asyncio.sleep(wait + random.SystemRandom().uniform(0, wait))
            try:
                if await look():
                    return
            except GrailError as exc:
                log.warning("finishing a %s transaction: %s", what, exc)

    async def _any_spent(self, outpoints: Sequence[OutPoint]) -> bool:
        """Whether the node has seen a spend of one of these, in a block or its mempool."""
        return any([await self._node.gettxout(o) is None for o in outpoints])

    async def _publish(self, tx: Tx) -> None:
        try:
            await self._node.sendrawtransaction(tx.serialize())
        except NodeError as exc:
            if exc.code != ALREADY_CONFIRMED:
                raise
