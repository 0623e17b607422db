"""The line to the enclave: frames over a unix socket, connected again when it broke.

An enclave answers one frame at a time. Asking again after a lost reply is safe: the same request
gets the same answer (threat S18).
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from grail.errors import TooLarge, Unavailable
from grail.operators.frames import STATUS, Frame, Reply, Status, announced, lengthened

ANSWER_SECONDS = 30.0
"""For one frame, checks of a large request and its proofs included."""

CONNECTIONS = 4
"""Held open at once: the enclave works one by one, more would only wait inside it."""


class Link:
    """Asks the enclave; callers beyond `CONNECTIONS` wait their turn."""

    def __init__(self, path: Path, *, seconds: float = ANSWER_SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, frame: Frame) -> Reply:
        """The enclave's reply. Raises `Unavailable` or `DecodeError`."""
        return Reply.parse(await self.ask_raw(frame.raw))

    async def status(self) -> Status:
        """What the enclave says of itself. Raises `Unavailable`, `Refused` or `DecodeError`."""
        return Status.from_fields((await self.ask(Frame(STATUS))).unwrap())

    async def ask_raw(self, frame: bytes) -> bytes:
        """The reply's bytes to a frame's bytes, both without length. Raises `Unavailable`."""
        async with self._turns:
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._exchange(frame)
            except TimeoutError as exc:
                raise Unavailable(f"the enclave gave no answer in {self._seconds:g} s") from exc
            except (OSError, EOFError) as exc:
                reason = getattr(exc, "strerror", None) or "the connection was cut"
                raise Unavailable(f"the enclave is down: {reason}") from exc

    async def _exchange(self, frame: bytes) -> bytes:
        while self._idle:
            try:
                return await self._once(*self._idle.pop(), frame)
            except (OSError, EOFError):
                continue  # it idled too long, or the enclave was started anew: connect again
        return await self._once(*await asyncio.open_unix_connection(self._path), frame)

    async def _once(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frame: bytes
    ) -> bytes:
        try:
            writer.write(lengthened(frame))
            await writer.drain()
            raw = await reader.readexactly(announced(await reader.readexactly(4)))
        except TooLarge as exc:
            writer.close()
            raise Unavailable(f"the enclave's answer cannot be read: {exc}") from exc
        except BaseException:
            # Cut or cancelled in the middle: a late reply must never answer another frame.
            writer.close()
            raise
        self._idle.append((reader, writer))
        return raw

    async def aclose(self) -> None:
        """Close what is open."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
