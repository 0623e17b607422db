"""From nothing to a network that signs: node, enclaves, hosts, first roster, deploy.

Everything that can run at the same time does: circuits compile while the node starts, and all
operators start at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkbtc import ZkBtc
from grail.bitcoin.network import REGTEST, Network
from grail.bitcoin.node import Node
from grail.bitcoin.spv import Header, PinnedHeader
from grail.charms.app import Contract, identity_of
from grail.charms.record import NO_SUCCESSOR
from grail.errors import GrailError, InvalidInput, Unavailable
from grail.folders import write_private
from grail.network_file import NetworkFile, Operator
from grail.operators.configuration import Configuration
from grail.operators.frames import STATUS, Frame, Status
from grail.operators.transport import Host, HttpTransport, Transport
from grail.roster.state import Seat
from grail_devnet import bitcoind, genesis, regtest
from grail_devnet.enclave_socket import SocketTransport
from grail_devnet.faucet import MATURITY, Faucet
from grail_devnet.genesis import operator_name
from grail_devnet.launcher import NAME as NSM
from grail_devnet.launcher import Launcher
from grail_devnet.nursery import Hosted
from grail_devnet.processes import ProcessBackend
from grail_devnet.state import StateFolder

READY_SECONDS = 240.0
"""32 Python processes are ready after 10 to 30 s of two cores, on a loaded machine later.

One that ends is seen at once and does not wait for this.
"""

COINS = 20
"""Mature coins of 50 BTC that the faucet starts with."""

GRAIL_COIN = 100_000
"""Sats at the grail outpoint: the Grail NFT's own, the deploy's fee, and change."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `deploy` False leaves the network with a roster and no zkBTC yet.

    `successor_vk` is the vk of a mended zkBTC: the operators then agree on the contract of zkBTC's
    identity and this vk as its successor. `rogue` is the operator who runs a build with a fault,
    which the network accepts. Raises `InvalidInput` where that is nobody.
    """

    operators: int = 16
    quorum: int = 12
    deploy: bool = True
    node_port: int | None = None
    bitcoind: Path | None = None
    successor_vk: bytes | None = None
    rogue: str | None = None

    def __post_init__(self) -> None:
        """Refuse a rogue who is no operator. Raises `InvalidInput`."""
        if self.rogue is not None and self.rogue not in self.names:
            raise InvalidInput(
                f"no operator will be called {self.rogue[:60]!r}",
                hint=f"{self.names[0]} to {self.names[-1]}",
            )

    @property
    def names(self) -> list[str]:
        """The operators' names."""
        return [operator_name(index) for index in range(self.operators)]


@dataclass
class Started:
    """A network in the making; `file` is written when its operators are ready."""

    plan: Plan
    folder: StateFolder
    backend: ProcessBackend
    progress: Progress
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    async def run(self, name: str, manager: tuple[int, int]) -> NetworkFile:
        """Start everything; on return a client can connect. Raises what went wrong, by name."""
        node_port, *host_ports = regtest.free_ports(1 + self.plan.operators)
        if self.plan.node_port is not None:
            node_port = self.plan.node_port
            regtest.check_port(node_port)
        url = f"http://127.0.0.1:{node_port}"
        async with Node(url, regtest.cookie(self.folder.node)) as node:
            self.progress("bitcoind")
            binary = self.plan.bitcoind
            if binary is None:
                binary = await anyio.to_thread.run_sync(bitcoind.find, self.progress)
            app, faucet, launcher = await self._node_app_and_image(node, binary, node_port)
            configuration = await self._configure(node, app, faucet, launcher)
            self.progress(f"{self.plan.operators} operators")
            statuses = await self._operators(node, host_ports, launcher)
            self.progress("first roster")
            sockets = SocketTransport([self.folder.socket(n) for n in self.plan.names])
            keys = [status.key for status in statuses]
            roster = await genesis.agree_on_roster(sockets, configuration, keys)
            self.progress("signs of life")
            await genesis.agree_on_state(sockets, configuration, roster, self._seats(statuses))
            file = self._network_file(name, manager, node, host_ports, statuses)
            if self.plan.deploy:
                self.progress("zkBTC")
                deployed = await genesis.publish_deploy(
                    node, configuration, app, roster, faucet.account
                )
                await faucet.mine(configuration.network.k)
                await genesis.record_deploy(node, sockets, configuration, app, deployed.tx)
            file.save()
        return file

    def _seats(self, statuses: list[Status]) -> list[Seat]:
        """A devnet's operators: each its own owner and account, spread over four zones."""
        return [
            Seat(status.key, name, f"account-{name}", f"zone-{'abcd'[index % 4]}")
            for index, (name, status) in enumerate(zip(self.plan.names, statuses, strict=True))
        ]

    async def _node_app_and_image(
        self, node: Node, binary: Path, port: int
    ) -> tuple[CompiledApp, Faucet, Launcher]:
        """The node with its coins, zkBTC's keys and the enclaves' image, made at the same time."""
        self.backend.start(
            regtest.NAME, {"bitcoind": regtest.command(binary, self.folder.node, port)}
        )
        self.backend.prepare_hosts()
        preparing = asyncio.create_task(
            anyio.to_thread.run_sync(Launcher.prepare, self.folder, self.plan.rogue)
        )
        compiling = asyncio.create_task(anyio.to_thread.run_sync(zkbtc))
        try:
            faucet = await self._coins(node, binary)
            self.progress("circuits")
            app = await compiling
            self.progress("the enclaves' image")
            launcher = await preparing
        except BaseException:
            compiling.cancel()
            # It writes into the folder that is cleared away next: it must have ended.
            with anyio.CancelScope(shield=True), contextlib.suppress(GrailError):
                await preparing
            raise
        for rogue in launcher.others:
            self.progress(f"a second build is accepted, with a fault in it: {rogue} runs it")
        for lack in launcher.sandbox.missing:
            self.progress(f"enclaves are not kept apart from this machine: {lack}")
        return app, faucet, launcher

    async def _coins(self, node: Node, binary: Path) -> Faucet:
        await regtest.wait_until_up(
            node,
            lambda: self.backend.exit_code(f"{regtest.NAME}/bitcoind"),
            lambda: self.backend.logs(regtest.NAME),
        )
        self.progress("coins")
        faucet = Faucet.create(node, self.folder.path)
        await faucet.mine(MATURITY + COINS)
        coin = (await faucet.coins())[0]
        await regtest.check_fit(node, binary, faucet.account, coin.outpoint, coin.held)
        return faucet

    async def _configure(
        self, node: Node, app: CompiledApp, faucet: Faucet, launcher: Launcher
    ) -> Configuration:
        """Fix the network: its first header is the tip, its outpoint a coin in the block above.

        Only what lies above the first header can be shown to an enclave; and 16 hosts have few
        headers to show.
        """
        height = await node.getblockcount()
        header = await node.getblockheader(await node.getblockhash(height))
        funded = await faucet.pay([(faucet.account.address, GRAIL_COIN)])
        network, vk = Network(REGTEST, funded.outpoint(0)), self.plan.successor_vk
        heir = None if vk is None else Contract(identity_of(network.grail_outpoint), vk)
        configuration = Configuration(
            network,
            PinnedHeader(height, Header.parse(header)),
            app.bundle.vk,
            operators=self.plan.operators,
            quorum=self.plan.quorum,
            single_party=True,
            successor=NO_SUCCESSOR if heir is None else heir.gid(network),
            attesting=launcher.attesting(),
        )
        write_private(self.folder.configuration, configuration.to_json().encode())
        return configuration

    async def _operators(self, node: Node, ports: list[int], launcher: Launcher) -> list[Status]:
        """Start all operators and return what each says of itself once it answers."""
        hosts = [Host(f"http://127.0.0.1:{port}", self.token) for port in ports]
        found: list[Status] = []
        async with HttpTransport(hosts, timeout=READY_SECONDS) as transport:
            deadline = time.monotonic() + READY_SECONDS
            self.backend.start(NSM, {NSM: launcher.modules(self.plan.names)})
            await self.start_operators(node, hosts, range(len(hosts)), launcher)
            for index in range(len(hosts)):
                found.append(await self.wait_for(transport, index, deadline))
                self.progress(f"{len(found)} of {len(hosts)} operators")
        self.backend.processes()  # by now bubblewrap has told which process is an enclave's
        return found

    async def _wait_for_modules(self, names: Sequence[str]) -> None:
        """Return when these operators' modules listen. Raises `Unavailable`."""
        deadline = time.monotonic() + READY_SECONDS
        left = [self.folder.module_socket(name) for name in names]
        while left := [path for path in left if not path.is_socket()]:
            code = self.backend.exit_code(f"{NSM}/{NSM}")
            if code is not None or time.monotonic() > deadline:
                raise Unavailable(f"the security modules ended: {self.backend.logs(NSM, 5)}")
            await anyio.sleep(0.01)

    async def start_operators(
        self,
        node: Node,
        hosts: list[Host],
        which: range,
        launcher: Launcher,
        bundles: Sequence[Path] = (),
    ) -> None:
        """Start hosts, and behind them enclaves, which find their modules when they begin.

        `bundles` are for those that join a network.
        """
        peers = [{"url": host.url, "token": host.token} for host in hosts]
        configuration = str(self.folder.configuration)
        for index in which:
            name = operator_name(index)
            host = self.folder.host(name)
            body = {
                "socket": str(self.folder.socket(name)),
                "port": int(hosts[index].url.rpartition(":")[2]),
                "token": self.token,
                "node": {"url": node.url, "cookie": str(node.cookie)},
                "configuration": configuration,
                "peers": peers,
                "journal": str(self.folder.journal(name)),
                "bundles": [str(path) for path in bundles],
                "cut": str(self.folder.cut(name)),
            }
            write_private(host, json.dumps(body, indent=1).encode())
            self.backend.start(name, {"host": Hosted(("--config", str(host)))})
        await self._wait_for_modules([operator_name(index) for index in which])
        for index in which:
            name = operator_name(index)
            self.backend.start(name, {"enclave": launcher.enclave(name)}, behind=True)

    async def wait_for(self, transport: Transport, index: int, deadline: float) -> Status:
        """What an operator's enclave says once it answers. Raises `Unavailable`."""
        name = operator_name(index)
        last = "no answer yet"
        while time.monotonic() < deadline:
            for process in ("enclave", "host"):
                code = self.backend.exit_code(f"{name}/{process}")
                if code is not None:
                    log = self.backend.logs(f"{name}/{process}", 5)
                    raise Unavailable(f"{name}: its {process} ended (exit code {code}): {log}")
            try:
                reply = await transport.ask(index, Frame(STATUS))
                return Status.from_fields(reply.unwrap())
            except Unavailable as exc:
                last = str(exc)
            await anyio.sleep(0.05)
        raise Unavailable(f"{name} was not ready within {READY_SECONDS:.0f} s: {last}")

    def _network_file(
        self,
        name: str,
        manager: tuple[int, int],
        node: Node,
        ports: list[int],
        statuses: list[Status],
    ) -> NetworkFile:
        operators = [
            Operator(operator, status.key, f"http://127.0.0.1:{port}", self.folder.socket(operator))
            for operator, port, status in zip(self.plan.names, ports, statuses, strict=True)
        ]
        return NetworkFile(
            name=name,
            folder=self.folder.path,
            chain=REGTEST.name,
            node_url=node.url,
            node_cookie=node.cookie,
            configuration=self.folder.configuration,
            operators=tuple(sorted(operators, key=lambda operator: operator.key)),
            manager=manager,
            token=self.token,
        )


def zkbtc() -> CompiledApp:
    """ZkBTC, compiled with the devnet's setup; its keys come from the cache when they are there."""
    return compile_app(ZkBtc)
