"""Finishes what its enclave voted for and nobody went on with (rounds, coordinator's rule c).

A vote without a decision holds its outpoints and a place in the enclave's memory until somebody
asks again. Whoever asked may have died, so the host asks itself after a while, like any
coordinator: the transaction is decided and published, or another one that took its outpoints is.
"""

from __future__ import annotations

import logging

from grail.bitcoin.network import Network
from grail.bitcoin.node import Node
from grail.errors import Refused
from grail.operators.client import collect_all
from grail.operators.messages import Family
from grail.types import OutPoint
from grail_host.link import Link
from grail_host.peers import Peers
from grail_host.waiting import Waiter

TRIES = 6
"""Then it is left to whoever wants the outpoint next."""

PATIENCE = 2.0
"""How much longer than for a signed one: most votes are gone on with within a second."""

log = logging.getLogger("grail_host")


class Caretaker(Waiter):
    """Waits for voted transactions to be signed, and takes up those that are not."""

    def __init__(
        self, node: Node, link: Link, network: Network, peers: Peers, *, patience: float
    ) -> None:
        super().__init__(node, link, network, peers, patience=patience * PATIENCE)

    def voted(self, family: Family, outpoints: tuple[OutPoint, ...], request: bytes) -> None:
        """Take note of what the enclave voted for."""
        if self._takes(family):
            self._wait_for(family, self._watch(outpoints, request))

    def signed(self, family: Family) -> None:
        """It was decided and signed: others see to it from here on."""
        task = self._pending.get(family)
        if task is not None:
            task.cancel()

    async def _watch(self, outpoints: tuple[OutPoint, ...], request: bytes) -> None:
        """Wait, and see whether anything is left to do."""

        async def look() -> bool:
            if await self._any_spent(outpoints):
                return True
            try:
                await self._finish(request)
            except Refused as exc:
                if exc.rule in ("OutpointTaken", "InputSpent"):
                    return True  # another one won, and was passed on
                raise
            return False

        await self._look_again("voted", TRIES, look)

    async def _finish(self, request: bytes) -> None:
        collected = await collect_all(
            request,
            self._network,
            (await self._link.status()).scopes,
            lambda scope: self._peers.ranked(scope.keys),
            publish=self._publish,
        )
        await self._publish(collected.tx)
        log.info("published %s, which was only voted for", collected.tx.txid)
