"""What the process takes from itself before it holds a secret: core dumps, and being traced."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

from grail.errors import Unavailable

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def harden() -> None:
    """No core dumps, no tracer of the same user, files for this user only (invariant I8).

    Raises `Unavailable` when the kernel refuses: a process that could leave its key in a dump
    does not start.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise Unavailable(f"prctl: {os.strerror(ctypes.get_errno())}")


def end_with_parent() -> None:
    """Be killed when the process that started this one ends. Raises `Unavailable`."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise Unavailable(f"prctl: {os.strerror(ctypes.get_errno())}")
