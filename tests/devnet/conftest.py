"""Fixtures of the tests that run real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain_life import Life, opened

from grail.bitcoin.node import Node, NodeSync
from grail.portal import Portal
from grail_devnet import bitcoind, regtest
from grail_devnet.devnet import Devnet
from grail_devnet.faucet import Faucet
from grail_devnet.processes import ProcessBackend


@pytest.fixture(scope="session", autouse=True)
def binary() -> Path:
    """A fit bitcoind, found before any test changes the environment."""
    return bitcoind.find()


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty state folder: networks of the machine's user are neither seen nor touched."""
    folder = tmp_path_factory.mktemp("s")  # short, as a unix socket's path must be
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


class LoneNode:
    """A bitcoind with a faucet and no operators."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder = folder
        self.binary = binary
        self.backend = ProcessBackend(folder)
        self.portal = Portal()
        (self.port,) = regtest.free_ports(1)
        data = folder / "node"
        self.node = Node(f"http://127.0.0.1:{self.port}", regtest.cookie(data))
        self.sync = NodeSync(self.node, self.portal)
        self.start()
        self.faucet = Faucet.create(self.node, folder)
        self.portal.call(self.faucet.mine, 110)

    def start(self) -> None:
        """Start the node, or start it again."""
        command = regtest.command(self.binary, self.folder / "node", self.port)
        self.backend.start(regtest.NAME, {"bitcoind": command})
        self.portal.call(
            regtest.wait_until_up,
            self.node,
            lambda: self.backend.exit_code("bitcoind/bitcoind"),
            lambda: self.backend.logs(regtest.NAME),
        )

    def close(self) -> None:
        """End everything."""
        self.sync.close()
        self.backend.stop()
        self.backend.close()
        self.portal.close()


@pytest.fixture
def lone_node(tmp_path: Path, binary: Path) -> Iterator[LoneNode]:
    """A bitcoind with a faucet and no operators."""
    node = LoneNode(tmp_path, binary)
    yield node
    node.close()


@pytest.fixture(scope="session")
def life() -> Iterator[Life]:
    """A network whose blocks are undone and whose node is killed; its tests leave it usable."""
    with opened() as found:
        yield found


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Five operators, of whom four sign, for a test alone."""
    folder = tmp_path_factory.mktemp("n")
    with Devnet(operators=5, quorum=4, folder=folder / "net", progress=str) as devnet:
        yield devnet
