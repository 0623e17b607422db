"""Shows the enclave the chain of the operator's own node, header by header.

After a reorganisation the other branch is shown from the fork on; the enclave weighs the work
itself and follows the heavier one. What a host hides or invents here costs liveness only.
"""

from __future__ import annotations

import asyncio
import itertools

from grail.bitcoin.node import Node
from grail.bitcoin.spv import MAX_HEADERS
from grail.errors import NodeError, Unavailable
from grail.operators.frames import HEADERS, Frame
from grail.operators.messages import BestHeader
from grail.types import BlockHash
from grail_host.link import Link
from grail_host.looking import keep_looking

PAUSE = 1.0
"""Seconds between two looks at the node; a request makes the host look at once."""

ASK_AGAIN = 10
"""Looks after which the enclave is asked for its best header again: it may have started anew."""


class Follower:
    """Keeps the enclave's best header level with the node's."""

    def __init__(self, node: Node, link: Link) -> None:
        self._node = node
        self._link = link
        self._shown: BlockHash | None = None
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Follow until cancelled; what fails is tried again."""
        looks = itertools.count()

        async def look() -> None:
            if next(looks) % ASK_AGAIN == 0:
                self._shown = None
            await self.sync()

        await keep_looking("headers", look, PAUSE)

    async def sync(self) -> None:
        """Show what the enclave lacks. Raises `Unavailable`, `NodeError` or `Refused`."""
        async with self._one_at_a_time:
            tip = await self._node.getbestblockhash()
            if tip == self._shown:
                return
            best = (await self._link.status()).best
            if best.hash != tip:
                await self._show(best)
            self._shown = tip

    async def _show(self, best: BestHeader) -> None:
        first = await self._fork(best) + 1
        last = await self._node.getblockcount()
        while first <= last:
            until = min(first + MAX_HEADERS - 1, last)
            headers = await self._node.headers(first, until)
            (await self._link.ask(Frame(HEADERS, headers))).unwrap()
            first = until + 1

    async def _fork(self, best: BestHeader) -> int:
        """The height of the last header that the enclave's best chain shares with the node's."""
        block = best.hash
        while True:
            try:
                info = await self._node.getblockheader_info(block)
            except NodeError as exc:
                raise Unavailable(
                    f"the node does not know the enclave's block {block}",
                    hint="it may still be catching up",
                ) from exc
            if info.confirmations >= 0 or info.previous is None:
                return info.height
            block = info.previous
