"""A devnet's folder: who owns it, what lies where in it, and how it is cleared away.

network.json         how clients find the network (`grail.network_file`)
processes.json       ids and start times of all processes
manager.json         the process that owns the network
configuration.json   the operators' configuration
faucet.json          the faucet's key
node/ sockets/ hosts/ logs/ wallets/
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from grail.errors import InvalidInput
from grail.folders import private_folder, write_private
from grail.network_file import start_time
from grail_devnet.processes import ProcessBackend

MANAGER = "manager.json"

MAX_SOCKET_PATH = 107
"""Bytes of a unix socket's path (Linux)."""


@dataclass(frozen=True, slots=True)
class Manager:
    """The process that owns a network: its id, its start time, and whether it does nothing else."""

    pid: int
    started: int
    daemon: bool


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folder of one devnet. `path` is absolute."""

    path: Path

    @property
    def configuration(self) -> Path:
        """The operators' configuration."""
        return self.path / "configuration.json"

    @property
    def node(self) -> Path:
        """The node's data."""
        return self.path / "node"

    def socket(self, operator: str) -> Path:
        """The socket of an operator's enclave; the path is short because Linux allows little."""
        return self.path / "run" / operator.removeprefix("operator-")

    def host(self, operator: str) -> Path:
        """The configuration of an operator's host, which holds the token."""
        return self.path / "hosts" / f"{operator}.json"

    def manager(self) -> Manager | None:
        """The process that owns the network, if it lives."""
        try:
            body = json.loads((self.path / MANAGER).read_text())
            known = Manager(int(body["pid"]), int(body["start_time"]), body["daemon"] is True)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return known if start_time(known.pid) == known.started else None

    def clear(self) -> None:
        """End what a dead manager may have left, and empty the folder.

        Raises `Unavailable` naming a process that could not be ended.
        """
        left = ProcessBackend.attach(self.path)
        try:
            left.stop()
        finally:
            left.close()
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


@dataclass
class Claim:
    """The right to run a devnet in a folder: a lock that the kernel frees when its holder dies."""

    folder: StateFolder
    stale: bool = False
    _lock: int = field(default=-1, repr=False)

    @classmethod
    def take(cls, path: Path, *, daemon: bool = False) -> Claim:
        """Make the folder, or take over one whose manager is dead, emptied.

        Raises `InvalidInput` when a devnet runs there, or the folder is not private.
        """
        _check_length(path)
        folder = StateFolder(private_folder(path).absolute())
        lock = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if not _locked(lock, folder.path):
            os.close(lock)
            raise InvalidInput(
                f"a devnet is running already in {folder.path}",
                hint="stop it with `grail devnet down`, or give this one another --name",
            )
        claim = cls(folder, any(folder.path.iterdir()), lock)
        try:
            folder.clear()
            pid = os.getpid()
            manager = {"pid": pid, "start_time": start_time(pid), "daemon": daemon}
            write_private(folder.path / MANAGER, json.dumps(manager).encode())
            for name in ("run", "hosts", "logs", "wallets"):
                private_folder(folder.path / name)
        except BaseException:
            os.close(lock)
            raise
        return claim

    def release(self) -> None:
        """Empty and remove the folder, and give up the lock. Once is enough."""
        if self._lock < 0:
            return
        self.folder.clear()
        self.folder.path.rmdir()
        os.close(self._lock)
        self._lock = -1


def _locked(handle: int, path: Path) -> bool:
    """Lock the folder; False when another holds it, or removed it while this one looked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(handle).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _check_length(path: Path) -> None:
    longest = StateFolder(path.absolute()).socket("operator-00")
    if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
        raise InvalidInput(
            f"folder {path}: too long a path for a unix socket ({MAX_SOCKET_PATH} bytes)",
            hint="choose a shorter folder, or a shorter XDG_STATE_HOME",
        )
