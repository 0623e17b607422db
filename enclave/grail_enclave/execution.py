"""No other program: from here on the kernel lets this process run none in its place.

A fault that lets a stranger call into the C library then ends at what this process has loaded, and
that was measured. The filter is a handful of instructions (Linux, Documentation/userspace-api/
seccomp_filter.rst), written here so that nothing is added to the image for it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import Final

from grail.errors import Unavailable

CALLS: Final = {"x86_64": (0xC000003E, 59, 322), "aarch64": (0xC00000B7, 221, 281)}
"""By machine: its number (include/uapi/linux/audit.h), and those of execve and execveat."""

X32: Final = 0x40000000
"""From here on x86_64 numbers a second set of the same calls; aarch64 has none there."""

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JGE|BPF_K, BPF_RET|BPF_K."""

_NUMBER, _MACHINE = 0, 4
"""Offsets in `struct seccomp_data`."""

_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def program(machine: str) -> bytes:
    """The filter, an array of `struct sock_filter`. Raises `KeyError` for a machine not listed."""
    number, execve, execveat = CALLS[machine]
    steps = (
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 0, 5, number),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 3, 0, X32),
        (_EQUAL, 2, 0, execve),
        (_EQUAL, 1, 0, execveat),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    )
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def forbid_programs() -> None:
    """Refuse execve to this thread, and to all that it starts. Call it before any other starts.

    Raises `Unavailable` when the kernel knows no filters. Does nothing on machines not listed.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in CALLS:
        return
    raw = program(machine)
    code = ctypes.create_string_buffer(raw, len(raw))
    # struct sock_fprog: a count, and on 64 bits six bytes of room before the pointer.
    filled = ctypes.create_string_buffer(
        struct.pack("=H6xQ", len(raw) // 8, ctypes.addressof(code)), 16
    )
    libc = ctypes.CDLL(None, use_errno=True)
    for given in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, filled, 0, 0),
    ):
        if libc.prctl(*given) != 0:
            raise Unavailable(
                f"seccomp: {os.strerror(ctypes.get_errno())}",
                hint="the kernel needs CONFIG_SECCOMP_FILTER",
            )
