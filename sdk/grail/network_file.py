"""The file by which a running network is found: its node, its operators, its token.

A devnet writes it into its own folder under the owner's state folder (mode 0700), and `connect`
reads it there. Nothing is ever taken from the current folder (threat D22).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grail.errors import DecodeError, GrailError, InvalidInput, Unavailable
from grail.folders import check_private, private_folder, state_root, write_private
from grail.types import XOnlyKey

FILE = "network.json"
FORMAT = 1
MAX_FILE = 1_000_000
"""Bytes; 16 operators take some 5 KB."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
"""What a network may be called: it becomes a folder's name, so no dots and no slashes."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its host's URL, and its enclave's socket on this machine."""

    name: str
    key: XOnlyKey
    url: str
    socket: Path


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """A running network. `token` opens the hosts' HTTP; `manager` is its process and start time.

    `configuration` is the path of the operators' configuration, which pins network id, quorum, the
    first header and zkBTC's vk. Operators stand in the order of their keys, as in the first roster.
    """

    name: str
    folder: Path
    chain: str
    node_url: str
    node_cookie: Path
    configuration: Path
    operators: tuple[Operator, ...]
    manager: tuple[int, int]
    token: str = field(repr=False)

    @property
    def running(self) -> bool:
        """Whether its manager lives: the same process, not a later one with the same number."""
        return start_time(self.manager[0]) == self.manager[1]

    def save(self) -> None:
        """Write it into its folder, for its owner alone."""
        body = {
            "format": FORMAT,
            "name": self.name,
            "chain": self.chain,
            "node": {"url": self.node_url, "cookie": str(self.node_cookie)},
            "configuration": str(self.configuration),
            "operators": [
                {"name": o.name, "key": str(o.key), "url": o.url, "socket": str(o.socket)}
                for o in self.operators
            ],
            "manager": {"pid": self.manager[0], "start_time": self.manager[1]},
            "token": self.token,
        }
        write_private(self.folder / FILE, json.dumps(body, indent=1).encode())


def networks_folder() -> Path:
    """The folder that holds one folder per devnet."""
    return private_folder(private_folder(state_root()) / "devnet")


def folder_of(name: str) -> Path:
    """The folder of a devnet by its name. Raises `InvalidInput`."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"devnet name: got {name[:40]!r}", hint="use 1 to 32 of a-z, 0-9, dash and underscore"
        )
    return networks_folder() / name


def load(folder: Path) -> NetworkFile:
    """Read the file of one network.

    Raises `Unavailable` where there is none, `InvalidInput` when the folder is not private,
    `DecodeError` when the file is damaged.
    """
    if not folder.exists():
        raise Unavailable(f"no network at {folder}", hint="start one: grail devnet up")
    check_private(folder)
    path = folder / FILE
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as exc:
        raise Unavailable(f"no network at {folder}", hint="start one: grail devnet up") from exc
    except OSError as exc:
        raise InvalidInput(f"{path}: {exc.strerror}") from exc
    with os.fdopen(handle, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise DecodeError(f"{path}: more than {MAX_FILE} bytes")
    try:
        return _parse(folder, json.loads(raw))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, GrailError) as exc:
        raise DecodeError(f"{path}: not the file of a network ({type(exc).__name__})") from exc


def find(name: str | None = None) -> NetworkFile:
    """The running network of that name, or the only one that runs (`default` if it does).

    Raises `Unavailable` where none runs, `InvalidInput` where a name is needed.
    """
    if name is not None:
        folder = folder_of(name)
        found = load(folder) if folder.exists() else None
        if found is None or not found.running:
            hint = f"start it: grail devnet up --name {name}" if found is None else _after(name)
            raise Unavailable(f"devnet {name!r} is not running", hint=hint)
        return found
    alive = running()
    for network in alive:
        if network.name == "default":
            return network
    if not alive:
        dead = _files()
        hint = _after(dead[0].name) if len(dead) == 1 else "start one: grail devnet up"
        raise Unavailable("no devnet is running", hint=hint)
    if len(alive) > 1:
        names = ", ".join(network.name for network in alive)
        raise InvalidInput(f"several devnets are running: {names}", hint="name one of them")
    return alive[0]


def _after(name: str) -> str:
    """What to do after the death of a network's manager, which left its folder."""
    which = "" if name == "default" else f" --name {name}"
    return (
        f"{name!r} died: grail devnet salvage{which} brings its chain and wallets back, without "
        f"its operators; grail devnet up{which} clears them away and starts a new one"
    )


def running() -> list[NetworkFile]:
    """The networks whose manager lives, by name. A damaged file counts as none."""
    return [network for network in _files() if network.running]


def _files() -> list[NetworkFile]:
    found = []
    for folder in sorted(networks_folder().iterdir()):
        with contextlib.suppress(GrailError):
            found.append(load(folder))
    return found


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None when it is gone or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name stands in brackets and may hold anything, brackets too.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _parse(folder: Path, body: dict[str, Any]) -> NetworkFile:
    if body["format"] != FORMAT:
        raise DecodeError(f"format {body['format']}, expected {FORMAT}")
    return NetworkFile(
        name=str(body["name"]),
        folder=folder,
        chain=str(body["chain"]),
        node_url=str(body["node"]["url"]),
        node_cookie=Path(body["node"]["cookie"]),
        configuration=Path(body["configuration"]),
        operators=tuple(
            Operator(str(o["name"]), XOnlyKey.from_hex(o["key"]), str(o["url"]), Path(o["socket"]))
            for o in body["operators"]
        ),
        manager=(int(body["manager"]["pid"]), int(body["manager"]["start_time"])),
        token=str(body["token"]),
    )
