"""Lines that never finish a request are closed; those that work are left alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from grail_host import deadline
from grail_host.deadline import Deadline

WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.asynccontextmanager
async def serving(seconds: float) -> AsyncIterator[int]:
    """A server on loopback whose one path takes so long."""

    async def slow(_request: Request) -> Response:
        await asyncio.sleep(seconds)
        return Response(b"done")

    app = Starlette(routes=[Route("/", slow)])
    config = uvicorn.Config(app, http=Deadline, ws="none", log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    line = socket.socket()
    line.bind(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[line]))
    while not server.started:  # noqa: ASYNC110 -- the server has no event for it
        await asyncio.sleep(0.01)
    try:
        yield line.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        line.close()


async def closed_after(reader: asyncio.StreamReader) -> float:
    begun = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        await reader.read()
    return asyncio.get_running_loop().time() - begun


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(deadline, "HEAD_SECONDS", 0.2)


@pytest.mark.parametrize("begun", [b"", WHOLE[:-3]])
def test_S33_half_a_request_is_not_waited_for(begun):
    async def main() -> None:
        async with serving(0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            assert await closed_after(reader) < 1
            writer.close()

    asyncio.run(main())


def test_S33_bytes_that_trickle_in_do_not_keep_it_open():
    async def main() -> None:
        async with serving(0) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

            async def trickle() -> None:
                with contextlib.suppress(OSError):
                    for byte in WHOLE[:-1] * 20:
                        writer.write(bytes([byte]))
                        await writer.drain()
                        await asyncio.sleep(0.05)

            feeding = asyncio.create_task(trickle())
            assert await closed_after(reader) < 1
            feeding.cancel()
            writer.close()

    asyncio.run(main())


def test_a_request_under_way_is_left_alone_and_so_is_a_line_in_use():
    async def main() -> None:
        async with serving(0.7) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(2):
                writer.write(WHOLE)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(4) == b"done"
            assert await closed_after(reader) < 1
            writer.close()

    asyncio.run(main())
