"""The key's birth, and where it is kept.

The key is 32 bytes of mixed randomness (`entropy`), drawn once when the process starts. It never
leaves the process: the one sealer of today keeps what it seals in memory, so a process that
ends takes its key with it. A sealed store plugs in behind the same two methods.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Protocol

from grail.crypto.schnorr import KeyPair
from grail.errors import Incorrect
from grail_enclave import entropy

KEY_NAME = "operator key"


class Sealer(Protocol):
    """Binds a value to its name and version, and gives it back to this enclave only."""

    def seal(self, name: str, value: bytes) -> bytes:
        """Bytes that may lie on an untrusted disk; they replace what was sealed under the name."""

    def open(self, name: str, sealed: bytes) -> bytes:
        """The value. Raises `Incorrect` for other bytes, another name or an older version."""


class MemorySealer:
    """Keeps values in this process; it hands out tickets that say nothing of the values."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, bytes]] = {}

    def __repr__(self) -> str:
        return f"MemorySealer({len(self._kept)} values)"

    def seal(self, name: str, value: bytes) -> bytes:
        """Keep the value; the ticket of an earlier version opens nothing any more."""
        ticket = secrets.token_bytes(32)
        self._kept[name] = (ticket, value)
        return ticket

    def open(self, name: str, sealed: bytes) -> bytes:
        """The newest value of this name. Raises `Incorrect`."""
        kept = self._kept.get(name)
        if kept is None or not secrets.compare_digest(kept[0], sealed):
            raise Incorrect(f"sealed {name}: not sealed here, or an older version")
        return kept[1]


def draw(sealer: Sealer, module: Callable[[], bytes] | None = None) -> KeyPair:
    """Draw the operator's key and seal it; what is used is what the sealer gives back.

    `module` gives the security module's random bytes. Raises `SourceUnfit` or `Unavailable`.
    """
    # The curve's order is so close to 2^256 that a value outside it is never drawn; if it were,
    # KeyPair refuses it and the process does not start.
    sealed = sealer.seal(KEY_NAME, entropy.seed(module))
    return KeyPair(sealer.open(KEY_NAME, sealed))
