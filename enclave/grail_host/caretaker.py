"""Finishes what its enclave voted for and nobody went on with (rounds, coordinator's rule c).

A vote without a decision holds its outpoints and a place in the enclave's memory until somebody
asks again. Whoever asked may have died, so the host asks itself after a while, like any
coordinator: the transaction is decided and published, or another one that took its outpoints is.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass

from grail.bitcoin.network import Network
from grail.bitcoin.node import ALREADY_CONFIRMED, Node
from grail.bitcoin.tx import Tx
from grail.errors import GrailError, NodeError, Refused
from grail.operators.client import collect
from grail.operators.frames import STATUS, Frame, Status
from grail.operators.messages import Family
from grail.operators.signing_job import SigningJob
from grail.types import OutPoint
from grail_host.link import Link
from grail_host.peers import Peers

TRIES = 6
"""Then it is left to whoever wants the outpoint next."""

MAX_PENDING = 256
"""Transactions waited for at once, with their requests."""

PATIENCE = 2.0
"""How much longer than for a signed one: most votes are gone on with within a second."""

log = logging.getLogger("grail_host")


@dataclass(frozen=True, slots=True)
class _Voted:
    request: bytes
    outpoints: tuple[OutPoint, ...]


class Caretaker:
    """Waits for voted transactions to be signed, and takes up those that are not."""

    def __init__(
        self, node: Node, link: Link, network: Network, peers: Peers, *, patience: float
    ) -> None:
        self._node = node
        self._link = link
        self._network = network
        self._peers = peers
        self._patience = patience * PATIENCE
        self._pending: dict[Family, asyncio.Task[None]] = {}

    def voted(self, family: Family, outpoints: tuple[OutPoint, ...], request: bytes) -> None:
        """Take note of what the enclave voted for."""
        if not self._peers.hosts or len(self._pending) >= MAX_PENDING or family in self._pending:
            return
        task = asyncio.create_task(self._watch(_Voted(request, outpoints)))
        self._pending[family] = task
        task.add_done_callback(lambda _: self._pending.pop(family, None))

    def signed(self, family: Family) -> None:
        """It was decided and signed: others see to it from here on."""
        task = self._pending.get(family)
        if task is not None:
            task.cancel()

    async def aclose(self) -> None:
        """Forget what is pending."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, voted: _Voted) -> None:
        """Wait, by chance longer than the other hosts, and see whether anything is left to do."""
        for attempt in range(TRIES):
            wait = self._patience * 2.0**attempt
            await asyncio.sleep(wait + random.SystemRandom().uniform(0, wait))
            try:
                if any([await self._node.gettxout(o) is None for o in voted.outpoints]):
                    return
                await self._finish(voted.request)
            except Refused as exc:
                if exc.rule in ("OutpointTaken", "InputSpent"):
                    return  # another one won, and was passed on
                log.warning("finishing a voted transaction: %s", exc)
            except GrailError as exc:
                log.warning("finishing a voted transaction: %s", exc)

    async def _finish(self, request: bytes) -> None:
        job = await asyncio.to_thread(SigningJob.read, self._network, request)
        if not job.leaves:
            return  # who asked did not say how it is spent, so nobody else can finish it
        status = Status.from_fields((await self._link.ask(Frame(STATUS))).unwrap())
        scope = status.scope
        async with self._peers.ranked(scope.keys) as transport:
            collected = await collect(job, self._network, scope, transport, publish=self._publish)
        await self._publish(collected.tx)
        log.info("published %s, which was only voted for", collected.tx.txid)

    async def _publish(self, tx: Tx) -> None:
        try:
            await self._node.sendrawtransaction(tx.serialize())
        except NodeError as exc:
            if exc.code != ALREADY_CONFIRMED:
                raise
