"""Hosts from one process that has read their code already, and becomes one whenever it is asked.

Reading a host's modules takes half a second of a core and 20 MB: sixteen hosts would each do it.
`python -m grail_devnet.nursery FD` does it once and then forks. Messages on the socket FD, JSON:

    to it     {"arguments": [...], "log": PATH}   a host's command line, and where it writes
    from it   {"born": PID}, later {"ended": PID, "code": -9}

It ends when its last host has ended after a SIGTERM, or at once when the manager is gone; hosts are
killed with it by the kernel. Only hosts come from here: an enclave is measured, then executed.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grail.errors import Unavailable
from grail_enclave.hardening import end_with_parent

NAME = "nursery"
"""The node of this process, and the process."""

BIRTH_SECONDS = 60.0
"""Until the first host is born all of its code is read; on a fresh checkout it is compiled too."""

_MESSAGE = 65_536


@dataclass(frozen=True, slots=True)
class Hosted:
    """The command of a host that comes from the nursery: the arguments of `grail_host`."""

    arguments: tuple[str, ...]


class Nursery:
    """The manager's end. `process` is the nursery's own."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.process = process
        self._channel = channel
        self._codes: dict[int, int] = {}
        self._lock = threading.Lock()

    def bear(self, host: Hosted, log: Path) -> Born:
        """Start a host that writes to `log`. Raises `Unavailable` when there is no nursery."""
        ask = json.dumps({"arguments": host.arguments, "log": str(log)}).encode()
        deadline = time.monotonic() + BIRTH_SECONDS
        with self._lock:
            try:
                self._channel.send(ask)
            except OSError as exc:
                raise Unavailable(f"the hosts' nursery is gone: {exc.strerror}") from exc
            while (left := deadline - time.monotonic()) > 0:
                told = self._hear(left)
                if told is not None and "born" in told:
                    return Born(self, int(told["born"]))
                if self.process.poll() is not None:
                    break
        raise Unavailable(f"the hosts' nursery bore no host (exit code {self.process.poll()})")

    def code(self, pid: int) -> int | None:
        """How a host ended, or None while it runs. Hosts die with their nursery."""
        with self._lock:
            while self._hear(0) is not None:
                pass
            if pid not in self._codes and self.process.poll() is not None:
                return -signal.SIGKILL
            return self._codes.get(pid)

    def _hear(self, seconds: float) -> dict[str, Any] | None:
        """The next message, with an end of a host kept; None when none comes in time."""
        if self._channel.fileno() < 0 or not select.select([self._channel], [], [], seconds)[0]:
            return None
        raw = self._channel.recv(_MESSAGE)
        if not raw:
            return None
        told: dict[str, Any] = json.loads(raw)
        if "ended" in told:
            self._codes[int(told["ended"])] = int(told["code"])
        return told

    def close(self) -> None:
        """Let go of it: it ends, and its hosts with it. What is known of their ends stays."""
        with self._lock:
            while self._hear(0) is not None:
                pass
            self._channel.close()


class Born:
    """A host, looked at as `subprocess.Popen` lets one look at a child."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._nursery.code(self.pid)

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("grail_host", timeout)
            time.sleep(0.005)
        return code


class _Children:
    """In the nursery: the hosts that live, each by a descriptor that is readable at its end."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._pids: dict[int, int] = {}
        self._leaving = False

    def leave(self, *_signal: object) -> None:
        """End after the last host: at once if there is none."""
        self._leaving = True
        if not self._pids:
            sys.exit(0)

    def next_host(self) -> dict[str, Any] | None:
        """What is asked for next; None when nothing will be."""
        while not self._leaving or self._pids:
            for ready in select.select([self._channel.fileno(), *self._pids], [], [])[0]:
                if ready == self._channel.fileno():
                    raw = self._channel.recv(_MESSAGE)
                    asked: dict[str, Any] | None = json.loads(raw) if raw else None
                    return asked
                self._ended(ready)
        return None

    def born(self, pid: int) -> None:
        """Keep a host, and say that it lives."""
        self._pids[os.pidfd_open(pid)] = pid
        self._channel.send(json.dumps({"born": pid}).encode())

    def _ended(self, handle: int) -> None:
        pid = self._pids.pop(handle)
        os.close(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._channel.send(json.dumps({"ended": pid, "code": code}).encode())

    def forget(self) -> None:
        """In a host: let go of the nursery's descriptors."""
        self._channel.close()
        for handle in self._pids:
            os.close(handle)


def main(arguments: list[str]) -> int:
    """The nursery's process; in a host, the host's."""
    channel = socket.socket(fileno=int(arguments[0]))
    children = _Children(channel)
    signal.signal(signal.SIGTERM, children.leave)
    from grail_host.__main__ import main as host

    gc.freeze()  # a collection would write to pages that all hosts share
    own = os.getpid()
    while (asked := children.next_host()) is not None:
        # A host that is told to end at once must not take that for a word to the nursery.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if pid:
            children.born(pid)
            continue
        end_with_parent()
        if os.getppid() != own:
            return 1  # the nursery ended before the kernel was told to end this with it
        children.forget()
        _write_to(Path(asked["log"]))
        return host(asked["arguments"])
    return 0


def _write_to(log: Path) -> None:
    """Be a session of its own, whose words go to `log`."""
    os.setsid()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
