"""Other operators' hosts without sockets: enclaves behind the transport that hosts reach them by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from grail.errors import Unavailable
from grail.operators.transport import Host, MemoryTransport, Transport
from grail_enclave.enclave import Enclave


class InMemory(MemoryTransport):
    """The in-memory transport as a context, as `Peers` opens one."""

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


def reach(
    enclaves: Sequence[Enclave], dead: Sequence[int] = ()
) -> Callable[[Sequence[Host]], InMemory]:
    """Hosts `http://peer/0` and on, each before its enclave; strangers refuse.

    So do those that are in `dead` when they are asked.
    """
    numbered = {f"http://peer/{number}": number for number in range(len(enclaves))}

    def peer(number: int | None) -> Callable[[bytes], Awaitable[bytes]]:
        async def answer(raw: bytes) -> bytes:
            if number is None or number in dead:
                raise Unavailable("connection refused")
            return enclaves[number].answer(raw)

        return answer

    return lambda hosts: InMemory([peer(numbered.get(host.url)) for host in hosts])
