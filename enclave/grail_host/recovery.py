"""Brings the own enclave back among the operators after its memory was lost (rounds, rule 6).

The enclave says that it may not vote; the host carries its question to the other operators and
their answers back, and then the bodies of what was taken over. Replicas of one operator do not
fight over it: who was replaced waits, longer each time, before it asks again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from grail.operators.asking import Operators
from grail.operators.frames import Instance
from grail.operators.messages import Scope, Standing
from grail.operators.recovery import recover, restore
from grail_host.link import Link
from grail_host.looking import keep_looking
from grail_host.peers import Peers

PAUSE = 2.0
"""Seconds between two looks at the own enclave."""

BACK_OFF = 30.0
"""Seconds before a replaced instance asks again, doubled each time, by chance up to half more."""

LONGEST = 3_600.0
"""Seconds that it waits at most, and that passes between two searches for missing bodies."""

log = logging.getLogger("grail_host")


class Recovery:
    """Looks whether the enclave may vote, and does what is needed when it may not.

    `restored` is called with each transaction whose body the enclave took back.
    """

    def __init__(
        self,
        link: Link,
        peers: Peers,
        restored: Callable[[Standing], Awaitable[None]],
        *,
        pause: float = PAUSE,
        back_off: float = BACK_OFF,
    ) -> None:
        self._link = link
        self._peers = peers
        self._restored = restored
        self._pause = pause
        self._back_off = back_off
        self._replaced = 0
        self._searches = 0

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again."""
        await keep_looking("recovery", self.look, self._pause, spread=0.5)

    async def look(self) -> float:
        """Recover the enclave when it needs that; seconds until the next look come back.

        Raises `Unavailable`, `Refused` or `QuorumNotReached`.
        """
        status = await self._link.status()
        for seat in reversed(status.seats):  # the roster that rules first
            found, index = seat.instance, seat.index
            if found is None or index is None or (found.recovered and not found.lacking):
                continue
            return await self._recover(status.scope_of(seat), found, index)
        self._searches = 0
        return self._pause

    async def _recover(self, scope: Scope, found: Instance, index: int) -> float:
        """Recover the enclave's instance of one roster."""
        if not found.recovered and found.epoch:
            self._replaced += 1
            wait = min(self._back_off * 2.0 ** min(self._replaced - 1, 20), LONGEST)
            log.warning("a newer instance of this operator was seen; asking again in %g s", wait)
            await asyncio.sleep(wait * random.SystemRandom().uniform(1, 1.5))
        async with self._peers.ranked(scope.keys) as transport:
            operators = Operators(scope, transport)
            if found.recovered:
                lacking = await restore(self._link.ask, operators, index, self._restored)
            else:
                done = await recover(self._link.ask, operators, index, self._restored)
                lacking = done.lacking
                log.info("recovered at epoch %d by %d grants", done.epoch, len(done.grantors))
        if not lacking:
            return self._pause
        self._searches += 1
        log.warning("%d bodies or decisions that were taken over are missing", len(lacking))
        return min(self._pause * 2.0 ** min(self._searches, 20), LONGEST)
