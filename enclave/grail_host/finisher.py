"""Finishes what was decided and then left: collects the signatures and publishes (threat S17).

A user, or a coordinator, may collect twelve signatures and keep them until the price suits, or die
on the way. Whatever this host's enclave has signed is therefore looked at again after a while; when
its guarded outputs are still unspent, the host asks the other operators itself and publishes. A
host that was killed meanwhile finds what it waited for in its journal.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from grail.bitcoin.network import Network
from grail.bitcoin.node import ALREADY_CONFIRMED, Node
from grail.bitcoin.tx import Tx
from grail.errors import GrailError, NodeError
from grail.operators.certificates import check_decision
from grail.operators.client import finish
from grail.operators.frames import STATUS, Frame, Status, read_sign
from grail.operators.messages import Family
from grail.operators.signing_job import SigningJob
from grail.operators.transport import Host, HttpTransport
from grail_host.journal import Journal
from grail_host.keeper import Keeper
from grail_host.link import Link
from grail_host.peers import Connect, Peers

TRIES = 5
"""Then the transaction is left to its user: an input of it was probably spent elsewhere."""

MAX_PENDING = 256
"""Transactions waited for at once."""

log = logging.getLogger("grail_host")


class Finisher:
    """Waits for decided transactions to appear on the node, and finishes those that do not."""

    def __init__(
        self,
        node: Node,
        link: Link,
        network: Network,
        peers: Sequence[Host],
        *,
        patience: float,
        connect: Connect = HttpTransport,
        keeper: Keeper | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._node = node
        self._link = link
        self._network = network
        self._peers = Peers(peers, connect)
        self._patience = patience
        self._keeper = keeper
        self._journal = journal
        self._pending: dict[Family, asyncio.Task[None]] = {}

    def decided(self, frame: Frame) -> None:
        """Take note of a sign frame that the enclave answered with signatures."""
        votes, _ = read_sign(frame.body)
        family = votes[0].family
        if self._keeper is not None:
            self._keeper.keep(family, votes[0].outpoints[0])
        if not self._peers.hosts or len(self._pending) >= MAX_PENDING:
            return
        if family not in self._pending:
            if self._journal is not None:
                self._journal.keep(family, frame)
            task = asyncio.create_task(self._watch(family, frame))
            self._pending[family] = task
            task.add_done_callback(lambda _: self._pending.pop(family, None))

    def resume(self) -> None:
        """Go on with what an earlier process of this host was killed over."""
        for frame in self._journal.frames() if self._journal is not None else ():
            self.decided(frame)

    async def aclose(self) -> None:
        """Forget what is pending."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, family: Family, frame: Frame) -> None:
        """Wait, by chance longer than the other hosts, and see whether anything is left to do."""
        await self._tried(frame)
        if self._journal is not None:
            self._journal.drop(family)

    async def _tried(self, frame: Frame) -> None:
        for attempt in range(TRIES):
            wait = self._patience * 2.0**attempt
            await asyncio.sleep(wait + random.SystemRandom().uniform(0, wait))
            if self._journal is not None:
                self._journal.write()
            try:
                if await self._settled(frame):
                    return
                await self._finish(frame)
            except GrailError as exc:
                log.warning("finishing a decided transaction: %s", exc)

    async def _settled(self, frame: Frame) -> bool:
        votes, _ = read_sign(frame.body)
        return any([await self._node.gettxout(o) is None for o in votes[0].outpoints])

    async def _finish(self, frame: Frame) -> None:
        votes, request = read_sign(frame.body)
        job = await asyncio.to_thread(SigningJob.read, self._network, request)
        scope = Status.from_fields((await self._link.ask(Frame(STATUS))).unwrap()).scope
        decision = check_decision(scope, votes, job.proposal)
        async with self._peers.ranked(scope.keys) as transport:
            tx = await finish(job, decision, scope, transport)
        await self._publish(tx)
        log.info("published %s, which its user left", tx.txid)

    async def _publish(self, tx: Tx) -> None:
        try:
            await self._node.sendrawtransaction(tx.serialize())
        except NodeError as exc:
            if exc.code != ALREADY_CONFIRMED:
                raise
