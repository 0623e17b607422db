"""Waiting for a turn at a pool, so that users do not all build on the same output at once.

One operator's host keeps the queue of a pool; everybody asks the same one first, by the pool's
guard id, and the next when it is down. It is a hint: nothing is refused to who goes without, and
who waits in vain goes anyway (votes and ballots decide, `grail.operators.rounds`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio

from grail.errors import GrailError
from grail.operators.transport import HttpTransport

ANSWER_SECONDS = 4.0
"""For one answer; a host holds its own back for a second."""

STUCK_SECONDS = 40.0
"""Without any progress of the queue: then it is left."""

QUEUE_SECONDS = 300.0
"""In one queue at most, however it moves: a host could count down for ever."""

PAUSE = 0.1
"""Seconds between two questions: only an honest host holds its answers back."""

STAY_SECONDS = 1.5
"""Between two words that the turn is in use."""

TXID = re.compile(r"[0-9a-f]{64}")

ASKED = 3
"""Hosts that are tried."""


@dataclass
class Turn:
    """A turn at a pool. `last` is the newest transaction that came of one, by the host's word.

    Its owner sets `txid` to what came of his own.
    """

    last: str = ""
    txid: str = ""


@dataclass(frozen=True)
class Turns:
    """The queues that the operators' hosts keep."""

    transport: HttpTransport

    @contextlib.asynccontextmanager
    async def turn(self, what: bytes) -> AsyncIterator[Turn]:
        """Wait for the turn at a guard id, and hold it while the block runs."""
        found, count = Turn(), len(self.transport.hosts)
        first = int.from_bytes(what[:8], "big") % count
        for step in range(min(ASKED, count)):
            operator = (first + step) % count
            ticket, found.last = await self._queue(operator, what.hex())
            if ticket:
                break
        asked: dict[str, str | bool] = {"what": what.hex(), "ticket": ticket, "stays": True}
        alive = asyncio.create_task(self._stay(operator, asked)) if ticket else None
        try:
            yield found
        finally:
            if alive is not None:
                alive.cancel()
                told = {"what": what.hex(), "ticket": ticket, "txid": found.txid}
                with anyio.CancelScope(shield=True), contextlib.suppress(GrailError, TimeoutError):
                    with anyio.fail_after(ANSWER_SECONDS):
                        await self.transport.tell(operator, "turn/done", told)

    async def _stay(self, operator: int, asked: dict[str, str | bool]) -> None:
        """Say from time to time that the turn is in use, while it lasts: one that is not passes on.

        It asks for no place behind the others: nobody would use that, and all would wait for it.
        """
        while True:
            await asyncio.sleep(STAY_SECONDS)
            with contextlib.suppress(GrailError):
                said = await self.transport.tell(operator, "turn", asked)
                if said.get("ticket") != asked["ticket"]:
                    return

    async def _queue(self, operator: int, what: str) -> tuple[str, str]:
        """A ticket whose turn it is, empty when the host does not answer; and the last txid."""
        ticket, ahead, last = "", 1 << 30, ""
        deadline = anyio.current_time() + STUCK_SECONDS
        last_call = anyio.current_time() + QUEUE_SECONDS
        while anyio.current_time() < min(deadline, last_call):
            try:
                with anyio.fail_after(ANSWER_SECONDS):
                    asked = {"what": what, "ticket": ticket}
                    said = await self.transport.tell(operator, "turn", asked)
                ticket, now, last = str(said["ticket"]), int(said["ahead"]), str(said["last"])
                last = last if TXID.fullmatch(last) else ""
            except (GrailError, TimeoutError, KeyError, ValueError, TypeError, OverflowError):
                return "", ""
            if now <= 0:
                break
            if now < ahead:
                ahead, deadline = now, anyio.current_time() + STUCK_SECONDS
            await anyio.sleep(PAUSE)
        return ticket, last
