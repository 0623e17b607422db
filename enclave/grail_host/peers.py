"""The other operators' hosts, and which of them stands for which key."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from grail.errors import GrailError
from grail.operators.frames import STATUS, Frame, Status
from grail.operators.transport import NOBODY, Host, HttpTransport, Transport
from grail.types import XOnlyKey

STATUS_SECONDS = 5.0
"""For another host to say whose it is."""

Connect = Callable[[Sequence[Host]], AbstractAsyncContextManager[Transport]]
"""Makes the transport to some hosts."""


class Peers:
    """All operators' hosts, in any order; this one may be among them."""

    def __init__(
        self,
        hosts: Sequence[Host],
        connect: Connect = HttpTransport,
        renewed: Callable[[], Sequence[Host]] | None = None,
    ) -> None:
        """`renewed` tells the hosts of now: operators come and go while this one runs."""
        self.hosts = tuple(hosts)
        self._connect = connect
        self._renewed = renewed

    def _renew(self) -> None:
        if self._renewed is not None:
            with contextlib.suppress(GrailError):  # a file being written is read the next time
                self.hosts = tuple(self._renewed())

    @contextlib.asynccontextmanager
    async def ranked(self, keys: Sequence[XOnlyKey]) -> AsyncIterator[Transport]:
        """A transport to the operators by rank, for as long as the context lasts.

        Each host says its enclave's key; a false one can neither vote nor sign.
        """
        self._renew()
        found: dict[XOnlyKey, Host] = {}
        async with self._connect(self.hosts) as transport:

            async def ask(number: int) -> None:
                try:
                    async with asyncio.timeout(STATUS_SECONDS):
                        reply = await transport.ask(number, Frame(STATUS))
                    found[Status.from_fields(reply.unwrap()).key] = self.hosts[number]
                except (GrailError, TimeoutError):
                    return  # a dead one: its place below holds nobody

            await asyncio.gather(*(ask(number) for number in range(len(self.hosts))))
        async with self._connect([found.get(key, NOBODY) for key in keys]) as transport:
            yield transport
