"""No other program runs in an enclave's place."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys

import pytest

from grail_enclave.execution import CALLS, X32, program

REFUSED, ALLOWED = 0x00050000 | errno.EPERM, 0x7FFF0000

TRY = """
import ctypes, os, sys, threading
from grail_enclave.execution import forbid_programs
forbid_programs()
forbid_programs()
def tried(what, *given):
    try:
        what(*given)
    except OSError as exc:
        print(exc.errno)
def attempts():
    tried(os.execv, sys.executable, [sys.executable, "-c", "print('ran')"])
    tried(os.posix_spawn, sys.executable, [sys.executable, "-c", "print('ran')"], {})
    handle = os.open(sys.executable, os.O_RDONLY)
    tried(os.execve, handle, [sys.executable, "-c", "print('ran')"], {})
attempts()
thread = threading.Thread(target=attempts)
thread.start()
thread.join()
"""


@pytest.mark.skipif(os.uname().machine not in CALLS, reason="no filter for this machine")
def test_A13_no_program_runs_in_its_place() -> None:
    """By path, by a child, by an open file; from the first thread and from a later one."""
    done = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(errno.EPERM)] * 6


def verdict(raw: bytes, machine: int, number: int) -> int:
    """Run the filter by hand (BPF as in Linux, net/core/filter.c, the four instructions of it)."""
    data, accumulator, at = struct.pack("=II", number, machine), 0, 0
    while True:
        code, true, false, k = struct.unpack_from("=HBBI", raw, at * 8)
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == 0x06:
            return k
        else:
            at += true if (accumulator == k if code == 0x15 else accumulator >= k) else false


@pytest.mark.parametrize("name", CALLS)
def test_which_calls_are_refused_on_each_machine(name: str) -> None:
    machine, execve, execveat = CALLS[name]
    raw = program(name)
    assert verdict(raw, machine, execve) == verdict(raw, machine, execveat) == REFUSED
    for number in set(range(500)) - {execve, execveat}:
        assert verdict(raw, machine, number) == ALLOWED
    for number in (X32, X32 + 520, 0xFFFFFFFF):  # the same calls by their other numbers
        assert verdict(raw, machine, number) == REFUSED
    for other in (0x40000003, 0x40000028, 0):  # i386 and arm on the same kernel, and nonsense
        assert {verdict(raw, other, number) for number in range(500)} == {REFUSED}
