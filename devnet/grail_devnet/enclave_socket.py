"""An operator's enclave asked over its socket, past its host: for starting up, and for tests.

On one machine the devnet may reach what in production only the host reaches; what is asked is
checked by the enclave all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio

from grail.errors import DecodeError, TooLarge, Unavailable
from grail.operators.frames import Frame, Reply, announced, lengthened


class SocketTransport:
    """The seam `Transport.ask` over unix sockets, one connection a question."""

    def __init__(self, sockets: Sequence[Path], *, seconds: float = 30) -> None:
        self.sockets = tuple(sockets)
        self._seconds = seconds

    async def ask(self, operator: int, frame: Frame) -> Reply:
        """An enclave's reply to a frame; refusals come back as replies, unverified.

        Raises `Unavailable` when there is none, `DecodeError` when it cannot be read.
        """
        return Reply.parse(await ask_raw(self.sockets[operator], frame.serialize(), self._seconds))


async def ask_raw(socket: Path, frame: bytes, seconds: float = 30) -> bytes:
    """The bytes of the reply to any bytes. Raises `Unavailable` or `DecodeError`."""
    try:
        with anyio.fail_after(seconds):
            async with await anyio.connect_unix(str(socket)) as stream:
                await stream.send(lengthened(frame))
                size = announced(await _exactly(stream, 4))
                return await _exactly(stream, size)
    except TimeoutError as exc:
        raise Unavailable(f"enclave at {socket.name}: no answer in time") from exc
    except TooLarge as exc:
        raise DecodeError(f"enclave at {socket.name}: {exc}") from exc
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError) as exc:
        reason = str(exc) or "the connection was closed"
        raise Unavailable(f"enclave at {socket.name}: {reason}") from exc


async def _exactly(stream: anyio.abc.ByteReceiveStream, size: int) -> bytes:
    raw = bytearray()
    while len(raw) < size:
        raw += await stream.receive(min(65_536, size - len(raw)))
    return bytes(raw)
