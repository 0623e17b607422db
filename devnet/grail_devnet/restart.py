"""A killed node or host starts again; a whole network's node does after its manager's death.

An enclave never does: its key is in its memory alone. A process has to be started by the network's
manager, whose death ends it, so others ask for it (`requests`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from grail.bitcoin.node import Node
from grail.errors import InvalidInput, Unavailable
from grail.network_file import NetworkFile
from grail_devnet import bitcoind, regtest
from grail_devnet.processes import ProcessBackend

HOST_SECONDS = 30.0
"""A host answers 0.4 s after its start; a machine under load may take a hundred times that."""

NODE = f"{regtest.NAME}/{regtest.NAME}"


async def restart(backend: ProcessBackend, file: NetworkFile, name: str) -> None:
    """Start the node or a host again, if it is dead, and return when it serves.

    Raises `InvalidInput` for an enclave, a stranger, and what runs; `Unavailable`.
    """
    found = {process.name: process for process in backend.named(name)}
    if any(each.endswith("/enclave") and not p.alive for each, p in found.items()):
        raise InvalidInput(
            f"the enclave of {name.partition('/')[0]} cannot start again: its key died with it",
            hint="a network with up to 4 of 16 operators down still signs",
        )
    dead = [each for each, process in found.items() if not process.alive]
    if not dead:
        raise InvalidInput(f"{name} is running already")
    for each in dead:
        if each == NODE:
            async with Node(file.node_url, file.node_cookie) as node:
                await start_node_again(
                    backend, node, lambda: backend.start_again(NODE, regtest.REINDEX)
                )
        else:
            backend.start_again(each)
            (url,) = (o.url for o in file.operators if o.name == each.partition("/")[0])
            await _listening(backend, each, url)


async def start_node_again(backend: ProcessBackend, node: Node, start: Callable[[], None]) -> None:
    """Start the node by `start` and return when it has its old chain again."""
    log = backend.folder / "logs" / f"{NODE.replace('/', '.')}.log"
    before = log.stat().st_size if log.exists() else 0
    start()
    await regtest.wait_until_up(
        node, lambda: backend.exit_code(NODE), lambda: backend.logs(regtest.NAME)
    )
    await regtest.wait_until_whole(node, lambda: _since(log, before))


def _since(log: Path, position: int) -> str:
    with log.open("rb") as file:
        file.seek(position)
        return file.read().decode("utf-8", "replace")


async def _listening(backend: ProcessBackend, name: str, url: str) -> None:
    """Return when something takes connections at a host's address. Raises `Unavailable`."""
    address, _, port = url.removeprefix("http://").partition(":")
    deadline = time.monotonic() + HOST_SECONDS
    while True:
        code = backend.exit_code(name)
        if code is not None:
            raise Unavailable(f"{name} ended (exit code {code}): {backend.logs(name, 5)}")
        try:
            async with await anyio.connect_tcp(address, int(port)):
                return
        except OSError as exc:
            if time.monotonic() > deadline:
                raise Unavailable(f"{name} did not listen in {HOST_SECONDS:.0f} s: {exc}") from exc
        await anyio.sleep(0.02)


@dataclass(frozen=True)
class Salvage:
    """The node of a network whose manager died, on its old chain, without operators."""

    old: NetworkFile
    backend: ProcessBackend
    binary: Path | None
    progress: Callable[[str], None]

    async def run(self, manager: tuple[int, int]) -> NetworkFile:
        """Start the node; on return wallets can be opened. Raises `Unavailable`."""
        self.progress(regtest.NAME)
        binary = self.binary
        if binary is None:
            binary = await anyio.to_thread.run_sync(bitcoind.find, self.progress)
        (port,) = regtest.free_ports(1)
        url = f"http://127.0.0.1:{port}"
        command = regtest.command(binary, self.old.folder / "node", port, again=True)
        async with Node(url, self.old.node_cookie) as node:
            await start_node_again(
                self.backend,
                node,
                lambda: self.backend.start(regtest.NAME, {regtest.NAME: command}),
            )
        file = replace(self.old, node_url=url, manager=manager)
        file.save()
        return file
