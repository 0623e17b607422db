"""The socket: frames in, replies out, one at a time, and nothing that a peer sends stops it.

A frame is a u32 little-endian length and that many bytes. The length is capped before anything is
allocated, a frame must arrive within its deadline however slowly it is sent, and any fault closes
that one connection (threat A14). Only the user that the process runs as may connect (threat D9).
Deadlines are the event loop's monotonic clock; there is no wall clock in this package.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from grail.errors import InvalidInput, TooLarge
from grail.operators.frames import announced, lengthened

FRAME_DEADLINE = 10.0
"""Seconds from a frame's first byte to its last, and for the peer to take a reply."""
IDLE_DEADLINE = 600.0
"""Seconds that a connection may stay silent between frames."""
MAX_CLIENTS = 64
"""Connections at once; a host keeps a few. One more closes the one that was silent longest."""

Answer = Callable[[bytes], bytes]
"""Bytes of a frame to bytes of a reply. It never raises."""


class Server:
    """Listens on a unix socket in a private folder and answers frames by one function."""

    def __init__(
        self,
        path: Path,
        answer: Answer,
        *,
        frame_deadline: float = FRAME_DEADLINE,
        idle_deadline: float = IDLE_DEADLINE,
    ) -> None:
        self._path = path
        self._answer = answer
        self._frame_deadline = frame_deadline
        self._idle_deadline = idle_deadline
        # In order of their last frame, the most silent first.
        self._clients: dict[asyncio.StreamWriter, None] = {}

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until cancelled; `ready` is called once the socket listens.

        Raises `InvalidInput` when the socket's folder is open to others.
        """
        check_folder(self._path.parent)
        # A path that a dead process left behind would refuse the bind; the folder is ours alone.
        if self._path.is_socket():
            self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
        except OSError as exc:
            listener.close()
            raise InvalidInput(f"socket {self._path.name}: {exc.strerror}") from exc
        server = await asyncio.start_unix_server(self._client, sock=listener, limit=1 << 16)
        try:
            ready()
            await server.serve_forever()
        finally:
            server.close()
            for writer in list(self._clients):
                writer.close()
            self._path.unlink(missing_ok=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not same_user(writer):
            writer.close()
            return
        while len(self._clients) >= MAX_CLIENTS:
            silent = next(iter(self._clients))
            del self._clients[silent]
            silent.transport.abort()
        self._clients[writer] = None
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError, TimeoutError, TooLarge):
            # A cut, slow or oversized frame: nothing was taken in, the connection is over.
            pass
        finally:
            self._clients.pop(writer, None)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(self._idle_deadline):
            first = await reader.read(1)
        if not first:
            return False
        if writer in self._clients:
            del self._clients[writer]
            self._clients[writer] = None
        async with asyncio.timeout(self._frame_deadline):
            prefix = first + await reader.readexactly(3)
            frame = await reader.readexactly(announced(prefix))
        reply = lengthened(self._answer(frame))
        writer.write(reply)
        async with asyncio.timeout(self._frame_deadline):
            await writer.drain()
        return True


def same_user(writer: asyncio.StreamWriter) -> bool:
    """Whether the peer's kernel credentials are those of this process's user."""
    peer = writer.get_extra_info("socket")
    if peer is None:
        return False
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack(
        "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return bool(uid == os.geteuid())


def check_folder(folder: Path) -> None:
    """Raise `InvalidInput` unless the folder is this user's and closed to all others."""
    try:
        found = folder.stat()
    except OSError as exc:
        raise InvalidInput(f"socket folder {folder.name}: {exc.strerror}") from exc
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise InvalidInput(
            f"socket folder {folder.name}: mode {stat.S_IMODE(found.st_mode):04o}, expected 0700",
            hint="make it with mode 0700, owned by the user that runs the enclave",
        )
