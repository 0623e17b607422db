"""The enclave's security module: one client, over the real device or over the devnet's socket.

`/dev/nsm` takes an ioctl with two buffers (Linux, include/uapi/linux/nsm.h). Where there is no such
device the devnet's module listens on a unix socket and speaks the same bytes, with a length before
each. Nothing above the two transports knows which one it is; documents tell it to others, by the
root of their chain.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from grail.attestation import nsm
from grail.errors import DecodeError, TooLarge, Unavailable
from grail.operators.frames import announced, lengthened

DEVICE: Final = Path("/dev/nsm")

IOCTL: Final = 0xC0200A00
"""_IOWR(0x0A, 0, struct nsm_raw): both directions, 32 bytes, magic 0x0A, number 0."""

RAW: Final = struct.Struct("=QQQQ")
"""struct nsm_raw: address and length of the request, then of the answer's buffer."""

SOCKET_SECONDS: Final = 5.0

Ioctl = Callable[[int, int, bytearray], int]
"""Calls the kernel; it may change the 32 bytes, and what they point to."""


class Exchange(Protocol):
    """A way to a module: the bytes of a request in, those of the answer out."""

    def __call__(self, request: bytes) -> bytes:
        """Raises `Unavailable` when there is no answer."""


class Device:
    """The real one: a descriptor of `/dev/nsm`, and the ioctl that is all it understands."""

    def __init__(self, descriptor: int, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._descriptor = descriptor
        self._ioctl = ioctl

    @classmethod
    def open(cls, path: Path = DEVICE) -> Device:
        """Raises `Unavailable` where there is no such device."""
        try:
            return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError as exc:
            raise Unavailable(
                f"{path}: {exc.strerror}", hint="the device is there inside a Nitro enclave only"
            ) from exc

    def __call__(self, request: bytes) -> bytes:
        """One request. Raises `Unavailable`."""
        question = ctypes.create_string_buffer(request, len(request))
        room = ctypes.create_string_buffer(nsm.MAX_ANSWER)
        message = bytearray(
            RAW.pack(
                ctypes.addressof(question), len(request), ctypes.addressof(room), nsm.MAX_ANSWER
            )
        )
        try:
            self._ioctl(self._descriptor, IOCTL, message)
        except OSError as exc:
            why = "InputTooLarge" if exc.errno == errno.EMSGSIZE else exc.strerror
            raise Unavailable(f"security module: {why}") from exc
        *_, size = RAW.unpack(message)
        if size > nsm.MAX_ANSWER:
            raise DecodeError(f"security module: an answer of {size} bytes in {nsm.MAX_ANSWER}")
        return room.raw[:size]


class Socket:
    """The devnet's module: a connection for each request."""

    def __init__(self, path: Path, seconds: float = SOCKET_SECONDS) -> None:
        self._path = path
        self._seconds = seconds

    def __call__(self, request: bytes) -> bytes:
        """One request. Raises `Unavailable`, or `DecodeError` for an answer of wrong length."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
                stream.settimeout(self._seconds)
                stream.connect(str(self._path))
                stream.sendall(lengthened(request))
                with stream.makefile("rb") as answer:
                    size = announced(answer.read(4), nsm.MAX_ANSWER)
                    raw = answer.read(size)
        except TooLarge as exc:
            raise DecodeError(f"security module: {exc}") from exc
        except OSError as exc:
            raise Unavailable(f"security module at {self._path.name}: {exc}") from exc
        if len(raw) != size:
            raise Unavailable(f"security module at {self._path.name}: it hung up")
        return raw


class Module:
    """A security module: the seam `Attestor`, and what else an enclave asks of it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @classmethod
    def at(cls, path: Path) -> Module:
        """The module behind a device, or behind a socket. Raises `Unavailable`."""
        try:
            device = stat.S_ISCHR(path.stat().st_mode)
        except OSError as exc:
            raise Unavailable(f"security module {path.name}: {exc.strerror}") from exc
        return cls(Device.open(path) if device else Socket(path))

    def document(
        self, nonce: bytes | None, public_key: bytes | None, user_data: bytes | None
    ) -> bytes:
        """A signed document with these three fields. Raises `Unavailable`, `InvalidInput`."""
        request = nsm.attestation(nonce, public_key, user_data)
        return nsm.octets(nsm.answer(self._exchange(request), "Attestation"), "document")

    def describe(self) -> nsm.Description:
        """What the module says of itself."""
        raw = self._exchange(nsm.request(nsm.DESCRIBE))
        return nsm.description(nsm.answer(raw, nsm.DESCRIBE))

    def pcr(self, index: int) -> bytes:
        """The value of a PCR."""
        return nsm.octets(
            nsm.answer(self._exchange(nsm.describe_pcr(index)), "DescribePCR"), "data"
        )

    def extend(self, index: int, data: bytes) -> bytes:
        """Extend a PCR that is not locked, and return its new value."""
        return nsm.octets(
            nsm.answer(self._exchange(nsm.extend_pcr(index, data)), "ExtendPCR"), "data"
        )

    def lock(self, index: int) -> None:
        """Lock a PCR."""
        nsm.answer(self._exchange(nsm.lock_pcr(index)), "LockPCR")

    def lock_below(self, count: int) -> None:
        """Lock all PCRs below `count`."""
        nsm.answer(self._exchange(nsm.lock_pcrs(count)), "LockPCRs")

    def random(self) -> bytes:
        """Random bytes, as many as the module gives at once (AWS: 256)."""
        return nsm.octets(nsm.answer(self._exchange(nsm.request(nsm.RANDOM)), nsm.RANDOM), "random")
