"""Enclaves behind real unix sockets: bytes of a frame in, bytes of a reply out."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grail_enclave.enclave import Enclave
from grail_enclave.serve import Server

DEADLINE = 60.0
"""Seconds that a test waits for a reply."""


class Sockets:
    """Servers in a thread of their own, in a private folder that goes with them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._names = itertools.count()

    @contextmanager
    def serving(self, enclave: Enclave) -> Iterator[Path]:
        """The path of a socket that this enclave answers at."""
        path = self._folder / str(next(self._names))
        ready = threading.Event()
        run = Server(path, enclave.answer).run(ready.set)
        task = asyncio.run_coroutine_threadsafe(run, self._loop)
        assert ready.wait(DEADLINE)
        try:
            yield path
        finally:
            task.cancel()
            while path.exists():
                threading.Event().wait(0.001)

    def close(self) -> None:
        """Stop the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()


def ask_socket(path: Path, raw: bytes) -> bytes:
    """One frame on a connection of its own, as any peer would send it."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE)
        peer.connect(str(path))
        peer.sendall(struct.pack("<I", len(raw)) + raw)
        (size,) = struct.unpack("<I", _exactly(peer, 4))
        return _exactly(peer, size)


def _exactly(peer: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = peer.recv(size - len(found))
        assert part, "the enclave closed the connection"
        found += part
    return found


@contextmanager
def sockets() -> Iterator[Sockets]:
    """Servers in a temporary folder of mode 0700."""
    with tempfile.TemporaryDirectory(prefix="grail-") as folder:
        made = Sockets(Path(folder))
        try:
            yield made
        finally:
            made.close()
