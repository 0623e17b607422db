"""Finishes what was decided and then left: collects the signatures and publishes (threat S17).

A user, or a coordinator, may collect twelve signatures and keep them until the price suits, or die
on the way. Whatever this host's enclave has signed is therefore looked at again after a while; when
its guarded outputs are still unspent, the host asks the other operators itself and publishes. A
host that was killed meanwhile finds what it waited for in its journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from grail.bitcoin.network import Network
from grail.bitcoin.node import Node
from grail.operators.certificates import check_decision
from grail.operators.client import collect_all, finish
from grail.operators.frames import Frame, read_sign
from grail.operators.messages import Family, Vote
from grail.operators.signing_job import SigningJob, deciding
from grail_host.journal import Journal
from grail_host.keeper import Keeper
from grail_host.link import Link
from grail_host.peers import Peers
from grail_host.waiting import Waiter

TRIES = 5
"""Then the transaction is left to its user: an input of it was probably spent elsewhere."""

log = logging.getLogger("grail_host")


class Finisher(Waiter):
    """Waits for decided transactions to appear on the node, and finishes those that do not."""

    def __init__(
        self,
        node: Node,
        link: Link,
        network: Network,
        peers: Peers,
        *,
        patience: float,
        keeper: Keeper | None = None,
        journal: Journal | None = None,
    ) -> None:
        super().__init__(node, link, network, peers, patience=patience)
        self._keeper = keeper
        self._journal = journal
        self._frames: dict[Family, Frame] = {}

    def decided(self, frame: Frame) -> None:
        """Take note of a sign frame that the enclave answered with signatures.

        A later one of the same family pays more, and the enclave signs none that pays less: where
        its user left it half signed, nothing else of the family may be finishable any more.
        """
        votes, _ = read_sign(frame.body)
        family = votes[0].family
        if self._keeper is not None:
            self._keeper.keep(family, votes[0].outpoints[0])
        waits = family in self._frames
        if not waits and not self._takes(family):
            return
        self._frames[family] = frame
        if self._journal is not None:
            self._journal.keep(family, frame)
        if not waits:
            self._wait_for(family, self._watch(family))

    def resume(self) -> list[bytes]:
        """Go on with what an earlier process of this host was killed over; the requests of it."""
        left = self._journal.frames() if self._journal is not None else []
        for frame in left:
            self.decided(frame)
        return [read_sign(frame.body)[1] for frame in left]

    async def _watch(self, family: Family) -> None:
        """Wait, and finish what nobody else does."""

        async def look() -> bool:
            if self._journal is not None:
                self._journal.write()
            votes, request = read_sign(self._frames[family].body)
            if await self._any_spent(votes[0].outpoints):
                return True
            await self._finish(votes, request)
            return False

        await self._look_again("decided", TRIES, look)
        del self._frames[family]
        if self._journal is not None:
            self._journal.drop(family)

    async def _finish(self, votes: Sequence[Vote], request: bytes) -> None:
        scopes = (await self._link.status()).scopes
        scope = await asyncio.to_thread(deciding, request, scopes)
        job = await asyncio.to_thread(SigningJob.read, self._network, request, scope)
        decision = check_decision(scope, votes, job.proposal)
        async with self._peers.ranked(scope.keys) as transport:
            tx = await finish(job, decision, scope, transport)
        if job.later:  # the rosters after this one sign as well
            found = await collect_all(
                job.continued(tx),
                self._network,
                scopes,
                lambda next_: self._peers.ranked(next_.keys),
                publish=self._publish,
            )
            tx = found.tx
        await self._publish(tx)
        log.info("published %s, which its user left", tx.txid)
