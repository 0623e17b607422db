"""The other operators' hosts, and which of them stands for which key."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from grail.errors import GrailError, Unavailable
from grail.operators.frames import STATUS, Frame, Reply, Status
from grail.operators.transport import NOBODY, Host, HttpTransport, Transport
from grail.types import XOnlyKey

STATUS_SECONDS = 5.0
"""For another host to say whose it is."""

Connect = Callable[[Sequence[Host]], AbstractAsyncContextManager[Transport]]
"""Makes the transport to some hosts."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A file with the URLs of hosts that are out of reach: a devnet's partition; none, none."""

    path: Path

    def check(self, host: Host) -> None:
        """Raise `Unavailable` for a host that is named there."""
        try:
            named = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return
        if isinstance(named, list) and host.url in named:
            raise Unavailable(f"{host.url} is out of reach: the network is partitioned")


@dataclass(frozen=True, slots=True)
class _Reaching:
    """A transport that reaches nobody beyond a cut."""

    inner: Transport
    hosts: Sequence[Host]
    cut: Cut

    async def ask(self, operator: int, frame: Frame) -> Reply:
        self.cut.check(self.hosts[operator])
        return await self.inner.ask(operator, frame)


class Peers:
    """All operators' hosts, in any order; this one may be among them."""

    def __init__(
        self,
        hosts: Sequence[Host],
        connect: Connect = HttpTransport,
        renewed: Callable[[], Sequence[Host]] | None = None,
        cut: Cut | None = None,
    ) -> None:
        """`renewed` tells the hosts of now: operators come and go while this one runs."""
        self.hosts = tuple(hosts)
        self._bare = connect
        self._renewed = renewed
        self._cut = cut

    def renew(self) -> tuple[Host, ...]:
        """The hosts of now."""
        if self._renewed is not None:
            with contextlib.suppress(GrailError):  # a file being written is read the next time
                self.hosts = tuple(self._renewed())
        return self.hosts

    @contextlib.asynccontextmanager
    async def _connect(self, hosts: Sequence[Host]) -> AsyncIterator[Transport]:
        async with self._bare(hosts) as transport:
            yield transport if self._cut is None else _Reaching(transport, hosts, self._cut)

    def connected(self) -> AbstractAsyncContextManager[Transport]:
        """A transport to the hosts in the order of the list."""
        return self._connect(self.hosts)

    @contextlib.asynccontextmanager
    async def ranked(self, keys: Sequence[XOnlyKey]) -> AsyncIterator[Transport]:
        """A transport to the operators by rank, for as long as the context lasts.

        Each host says its enclave's key; a false one can neither vote nor sign.
        """
        self.renew()
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
