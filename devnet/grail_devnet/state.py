"""A devnet's folder: who owns it, what lies where in it, and how it is cleared away.

network.json         how clients find the network (`grail.network_file`)
processes.json       ids and start times of all processes
manager.json         the process that owns the network
configuration.json   the operators' configuration
faucet.json          the faucet's key
root.pem             the root of this devnet's attestation documents (`grail attest verify`)
authority.json       the key under it, of which modules' keys are issued
measurement.json     the PCRs of the enclaves' image and of their configuration
sandbox.json         what this machine lacks to keep enclaves from everything else
image/               the files that enclaves run, read-only
image-2/ ..          another build that the operators accepted, and image-2.json its PCRs
rogue/               the same for an operator whose build has a fault, in a network that accepts one
node/ run/ hosts/ modules/ logs/ wallets/ unfinished/ requests/

What a manager's death leaves: its children are killed by the kernel, locks are freed by it, and
files are whole because each is renamed into its place. The enclaves' keys are gone with them, so
what only operators could spend (the vault, pools) stays where it is. The chain and the wallets
are in the folder still: `salvage` brings the node back on them, so that coins and charms move and
deposits are taken back by their own keys. The next `up` of the same name clears all of it away.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from grail.errors import InvalidInput
from grail.folders import private_folder, write_private
from grail.network_file import start_time
from grail_devnet.image.launch import removed
from grail_devnet.processes import ProcessBackend

MANAGER = "manager.json"

DYING_SECONDS = 2.0
"""How long the kernel may take to free what a killed manager held."""

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
        """The socket of an operator's enclave; the path is short because Linux allows little.

        It lies in a folder of its own, all that this enclave may write to.
        """
        return self.path / "run" / operator.removeprefix("operator-") / "s"

    def module_socket(self, operator: str) -> Path:
        """The socket at which an operator's enclave finds its security module."""
        return self.path / "run" / f"m{operator.removeprefix('operator-')}" / "s"

    def module(self, operator: str) -> Path:
        """What the security module of an operator holds, with its key."""
        return self.path / "modules" / f"{operator}.json"

    @property
    def image(self) -> Path:
        """The files that enclaves run."""
        return self.path / "image"

    def build(self, number: int) -> Path:
        """The files of another build that the operators accepted; from 2 on."""
        return self.path / f"image-{number}"

    @property
    def builds(self) -> list[Path]:
        """All builds of the enclave, the oldest first."""
        later = sorted(self.path.glob("image-*/"), key=lambda each: int(each.name[6:]))
        return [self.image, *later]

    @property
    def measurements(self) -> list[Path]:
        """The PCRs of each build that enclaves were started from."""
        return [self.measurement, *sorted(self.path.glob("image-*.json"))]

    def rogue(self, operator: str) -> Path:
        """The files that an operator's enclave runs whose build has a fault."""
        return self.path / "rogue" / operator

    @property
    def rogues(self) -> tuple[str, ...]:
        """The operators that run a build with a fault; nobody, unless the network was told to."""
        return tuple(sorted(path.name for path in (self.path / "rogue").glob("operator-*")))

    @property
    def measurement(self) -> Path:
        """The PCRs of the image and the configuration, by their indexes."""
        return self.path / "measurement.json"

    @property
    def root(self) -> Path:
        """The root of this devnet's attestation documents."""
        return self.path / "root.pem"

    @property
    def sandbox(self) -> Path:
        """What this machine lacks to keep enclaves from everything else."""
        return self.path / "sandbox.json"

    def host(self, operator: str) -> Path:
        """The configuration of an operator's host, which holds the token."""
        return self.path / "hosts" / f"{operator}.json"

    def journal(self, operator: str) -> Path:
        """Where an operator's host keeps what it has to finish."""
        return self.path / "hosts" / operator

    def cut(self, operator: str) -> Path:
        """Which other hosts an operator's host does not reach; there while it is partitioned."""
        return self.path / "hosts" / f"{operator}.cut"

    @property
    def requests(self) -> Path:
        """What other processes ask of the manager, a file each."""
        return self.path / "requests"

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
        self.end_left()
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                removed(entry)
            else:
                entry.unlink()

    def end_left(self) -> None:
        """End what a dead manager may have left. Raises `Unavailable` naming what would not."""
        left = ProcessBackend.attach(self.path)
        try:
            left.stop()
        finally:
            left.close()


@dataclass
class Claim:
    """The right to run a devnet in a folder: a lock that the kernel frees when its holder dies.

    `kept` says that the folder stays when the claim is given up.
    """

    folder: StateFolder
    stale: bool = False
    kept: bool = False
    _lock: int = field(default=-1, repr=False)

    @classmethod
    def take(cls, path: Path, *, daemon: bool = False, keep: bool = False) -> Claim:
        """Make the folder, or take over one whose manager is dead, emptied unless `keep`.

        Raises `InvalidInput` when a devnet runs there, or the folder is not private.
        """
        _check_length(path)
        folder = StateFolder(private_folder(path).absolute())
        lock = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        deadline = time.monotonic() + DYING_SECONDS
        while not (locked := _locked(lock, folder.path)) and folder.manager() is None:
            # held by one that was killed a moment ago, or by one that begins just now
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        if not locked:
            os.close(lock)
            raise InvalidInput(
                f"a devnet is running already in {folder.path}",
                hint="stop it with `grail devnet down`, or give this one another --name",
            )
        claim = cls(folder, any(folder.path.iterdir()), keep, lock)
        try:
            if keep:
                folder.end_left()
            else:
                folder.clear()
            pid = os.getpid()
            manager = {"pid": pid, "start_time": start_time(pid), "daemon": daemon}
            write_private(folder.path / MANAGER, json.dumps(manager).encode())
            for name in ("run", "hosts", "logs", "wallets", "requests"):
                private_folder(folder.path / name)
        except BaseException:
            os.close(lock)
            raise
        return claim

    def release(self) -> None:
        """Empty and remove the folder, unless it is kept, and give up the lock. Once is enough."""
        if self._lock < 0:
            return
        if self.kept:
            (self.folder.path / MANAGER).unlink(missing_ok=True)
        else:
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
    longest = f"{StateFolder(path.absolute()).module_socket('operator-00')}~"
    if len(os.fsencode(longest)) > MAX_SOCKET_PATH:
        raise InvalidInput(
            f"folder {path}: too long a path for a unix socket ({MAX_SOCKET_PATH} bytes)",
            hint="choose a shorter folder, or a shorter XDG_STATE_HOME",
        )
