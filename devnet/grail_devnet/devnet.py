"""A network on your machine in one line.

    with Devnet() as net:
        net.faucet(address, 1_000_000)

`Devnet(...)` starts a network that ends with this process; `attach` finds one that another process
runs, such as `grail devnet up`. All calls are plain ones and work inside a notebook.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
import weakref
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from grail.apps.compiler import CompiledApp
from grail.attestation.verifier import Policy
from grail.bitcoin.addresses import Roster
from grail.bitcoin.node import Node, NodeSync
from grail.bitcoin.tx import Tx
from grail.connection.progress import showing
from grail.crypto.schnorr import NUMS
from grail.errors import InvalidInput, Unavailable
from grail.folders import write_private
from grail.network_file import FILE, NetworkFile, find, folder_of, load, start_time
from grail.operators.configuration import Configuration
from grail.operators.frames import ROSTER_LEAVE, Frame
from grail.portal import Portal
from grail.roster.state import RosterState
from grail.types import BlockHash
from grail_devnet import genesis, status
from grail_devnet.enclave_socket import SocketTransport
from grail_devnet.equivocator import Equivocated, equivocate
from grail_devnet.faucet import Faucet
from grail_devnet.genesis import Deployed
from grail_devnet.image.changed import copied
from grail_devnet.image.launch import removed
from grail_devnet.impostor import CHANGED, TurnedAway, attempt
from grail_devnet.launcher import policy
from grail_devnet.processes import KILL_SECONDS, Process, ProcessBackend
from grail_devnet.requests import SECONDS as ASKED_SECONDS
from grail_devnet.requests import ask_manager, serve_requests
from grail_devnet.restart import Salvage, restart
from grail_devnet.roster_change import JOIN_SECONDS, RosterChange, RosterChanged
from grail_devnet.startup import Plan, Progress, Started, zkbtc
from grail_devnet.state import Claim, StateFolder
from grail_devnet.status import Status

LINE = b"# another build\n"
"""What a build has more than the one before it."""

DOWN_SECONDS = 10.0
"""How long a manager may take to end its network before its processes are killed under it."""


class Devnet:
    """A running network: 16 operators (two processes each), their modules, a node, a faucet.

    `file` tells clients where everything is, `node` is the Bitcoin node, `backend` starts and
    stops processes by name.
    """

    _salvaged = False

    def __init__(
        self,
        name: str | None = None,
        *,
        operators: int = 16,
        quorum: int = 12,
        deploy: bool = True,
        node_port: int | None = None,
        bitcoind: Path | None = None,
        successor_vk: bytes | None = None,
        rogue: str | None = None,
        folder: Path | None = None,
        progress: Progress | None = None,
        daemon: bool = False,
    ) -> None:
        """Start a network, and return when it signs.

        Without a name it gets one of its own; `folder` is for those who keep state elsewhere;
        `successor_vk` names the app that the operators agree on as zkBTC's successor; `rogue` is an
        operator who runs a build with a fault, which this network accepts (`equivocate`);
        `daemon` says that this process serves the network alone and may be ended with it.
        Raises `InvalidInput` when one of that name runs, `NodeUnfit` or `Unavailable` when
        something cannot start; nothing is left behind then.
        """
        name = name or f"py-{os.getpid()}-{secrets.token_hex(3)}"
        plan = Plan(operators, quorum, deploy, node_port, bitcoind, successor_vk, rogue)
        claim = Claim.take(folder or folder_of(name), daemon=daemon)
        backend = ProcessBackend(claim.folder.path)
        self._portal, self._nodes = Portal(), list[Node]()
        self._end: Callable[[], object] = weakref.finalize(
            self, _end, claim, backend, self._portal, self._nodes
        )
        try:
            with showing("devnet", plan.operators + 7, shown=progress is None) as bar:
                say = progress or bar
                if claim.stale:
                    say("clearing away a devnet that ended without `down`")
                started = Started(plan, claim.folder, backend, say)
                manager = (os.getpid(), start_time(os.getpid()) or 0)
                file = self._portal.call(started.run, name, manager)
        except BaseException:
            self._end()
            raise
        self._open(file, backend)

    def _open(self, file: NetworkFile, backend: ProcessBackend) -> None:
        self.file = file
        self.folder = StateFolder(file.folder)
        self.backend = backend
        self.configuration = Configuration.from_json(file.configuration.read_text())
        self.node = NodeSync(Node(file.node_url, file.node_cookie), self._portal)
        self._nodes.append(self.node.inner)

    @classmethod
    def salvage(
        cls,
        name: str = "default",
        *,
        folder: Path | None = None,
        bitcoind: Path | None = None,
        progress: Progress | None = None,
        daemon: bool = False,
    ) -> Self:
        """Bring back the chain of a network whose manager died, without its operators.

        Their keys are gone, so what only they could spend stays where it is, and whatever asks
        them ends in `QuorumNotReached`. Plain coins and charms move as before, and a deposit is
        taken back by its own key after its delay. `close` leaves the folder as it is, `down`
        removes it. Raises `Unavailable` where there is no such network, `InvalidInput` when it
        runs, `DecodeError` when its files are damaged.
        """
        path = folder or folder_of(name)
        old = load(path)
        claim = Claim.take(path, daemon=daemon, keep=True)
        self = cls.__new__(cls)
        self._portal, self._nodes = Portal(), []
        backend = ProcessBackend.attach(claim.folder.path)
        self._end = weakref.finalize(self, _end, claim, backend, self._portal, self._nodes)
        try:
            salvaged = Salvage(old, backend, bitcoind, progress or (lambda _: None))
            manager = (os.getpid(), start_time(os.getpid()) or 0)
            file = self._portal.call(salvaged.run, manager)
        except BaseException:
            self._end()
            raise
        self._salvaged = True
        self._open(file, backend)
        return self

    @classmethod
    def attach(cls, name: str | None = None, *, folder: Path | None = None) -> Self:
        """The running network of that name, or the only one.

        Raises `Unavailable` where none runs, `InvalidInput` where a name is needed.
        """
        file = load(folder) if folder else find(name)
        if not file.running:
            raise Unavailable(f"devnet {file.name!r} is not running", hint="grail devnet up")
        self = cls.__new__(cls)
        self._portal, self._nodes = Portal(), []
        backend = ProcessBackend.attach(file.folder)
        self._end = weakref.finalize(self, _detach, backend, self._portal, self._nodes)
        self._open(file, backend)
        return self

    def __repr__(self) -> str:
        """Name, size, and what it is not (D16)."""
        count = len(self.file.operators)
        fault = "".join(f", {each} runs a build with a fault" for each in self.folder.rogues)
        return f"<Devnet {self.file.name}: {count} operators{fault}, {status.ISOLATION}>"

    @property
    def name(self) -> str:
        """The name under which `grail.connect` finds it."""
        return self.file.name

    def status(self) -> Status:
        """Node, operators, processes and their memory, as they are now."""
        return self._portal.call(self._status)

    async def _status(self) -> Status:
        network = self.configuration.network
        return await status.gather(
            self.file, network.id, self.configuration.quorum, self.node.inner, self.processes()
        )

    def policy(self) -> Policy:
        """Whom to believe here: this devnet's own root, and the image that it measured.

        The build with a fault that a `rogue` runs is not in it: its operators accept that, you do
        not. Raises `DecodeError` when its files are damaged.
        """
        return policy(self.folder)

    def processes(self) -> list[Process]:
        """Every process of the network: the node's, the modules', and two for each operator."""
        return self.backend.processes()

    def logs(self, name: str, lines: int = 40) -> str:
        """The last lines that a node or operator wrote. Raises `InvalidInput` for a stranger."""
        return self.backend.logs(name, lines)

    def faucet(self, address: str, sats: int, *, confirm: bool = True) -> Tx:
        """Pay sats to an address; with `confirm` they are in a block on return.

        Raises `InvalidInput` for an address of another chain or an amount below dust.
        """
        return self._portal.call(self._faucet().pay, [(address, sats)], confirm=confirm)

    def mine(self, blocks: int = 1) -> list[BlockHash]:
        """Mine blocks. Raises `InvalidInput`."""
        return self._portal.call(self._faucet().mine, blocks)

    def _faucet(self) -> Faucet:
        reserved = self.configuration.network.grail_outpoint
        return Faucet.open(self.node.inner, self.file.folder, reserved)

    def kill(self, name: str) -> None:
        """End an operator (or `operator-01/enclave` alone) without warning: kill -9."""
        self.backend.kill(name)

    def restart(self, name: str) -> None:
        """Start a killed node or host again and return when it serves; the node with its chain.

        What waited in the node's mempool is gone. Raises `InvalidInput` for an enclave, whose key
        died with it, and for what runs already.
        """
        if self._managed_here:
            self._portal.call(restart, self.backend, self.file, name)
        else:
            self._ask_manager("restart", name)

    def serve_requests(self) -> None:
        """Do what other processes asked of this network's manager."""
        does = {
            "restart": lambda name: self.restart(str(name)),
            "join": lambda count: self._join(int(count), lambda _: None),
            "retire": lambda names: self.retire(*map(str, names)),
        }
        serve_requests(self.folder, does)

    @property
    def _managed_here(self) -> bool:
        return self.file.manager[0] == os.getpid()

    def _ask_manager(self, what: str, about: object, seconds: float = ASKED_SECONDS) -> None:
        """Have the manager do something, and see what there is then. Raises as `ask_manager`."""
        ask_manager(self.folder, what, about, seconds)
        self.file = load(self.file.folder)
        self.backend.close()
        self.backend = ProcessBackend.attach(self.file.folder)

    def pause(self, name: str) -> None:
        """Stop an operator where it stands; `resume` lets it go on."""
        self.backend.pause(name)

    def resume(self, name: str) -> None:
        """Let a paused or cut operator go on."""
        self.backend.resume(name)

    def cut(self, name: str) -> None:
        """Take an operator off the network, while its enclave goes on. `resume` mends it."""
        self.backend.cut(name)

    def partition(self, *groups: Iterable[str]) -> None:
        """Part the operators: their hosts reach each other within a group alone.

        Whoever is in no group named is in one more. Clients reach all. Raises `InvalidInput`.
        """
        named = [set(group) for group in groups]
        known = {operator.name: operator.url for operator in self.file.operators}
        strangers = sorted(set().union(*named) - set(known))
        if strangers:
            raise InvalidInput(
                f"no operator is called {strangers[0][:60]!r}",
                hint=f"there are: {', '.join(known)}",
            )
        if len(set().union(*named)) < sum(map(len, named)):
            raise InvalidInput("an operator is in two groups", hint="name each at most once")
        rest = set(known) - set().union(*named)
        for group in (*named, rest):
            beyond = sorted(url for name, url in known.items() if name not in group)
            for name in group:
                write_private(self.folder.cut(name), json.dumps(beyond).encode())

    def heal(self) -> None:
        """End a partition."""
        for operator in self.file.operators:
            self.folder.cut(operator.name).unlink(missing_ok=True)

    def impostor(self, operator: str = "operator-01", changed: str = CHANGED) -> TurnedAway:
        """Let an enclave with one line more in its code dial an operator: what it is told.

        Raises `Incorrect` if it is let in, `InvalidInput` for an operator or a file that is none.
        """
        if operator not in {each.name for each in self.file.operators}:
            raise InvalidInput(f"no operator is called {operator[:60]!r}")
        return self._portal.call(attempt, self.folder, operator, changed)

    def equivocate(self, operator: str) -> Equivocated:
        """Have an operator's enclave sign two states of one number: the others expel it.

        Only a build with a fault does, which a network accepts that was started with `rogue`.
        Raises `Refused` where the enclave is an honest one, `InvalidInput` for a stranger.
        """
        network = self.configuration.network.id
        return self._portal.call(equivocate, self.file.operators, operator, network)

    def deploy(self, app: CompiledApp | None = None) -> Deployed:
        """Deploy zkBTC on a network started with `deploy=False`. Raises `InvalidInput`."""
        return self._portal.call(self._deploy, app or zkbtc())

    async def _deploy(self, app: CompiledApp) -> Deployed:
        sockets = SocketTransport([operator.socket for operator in self.file.operators])
        keys = tuple(operator.key for operator in self.file.operators)
        roster = Roster(0, keys, self.configuration.quorum, NUMS)
        node, faucet = self.node.inner, self._faucet()
        deployed = await genesis.publish_deploy(
            node, self.configuration, app, roster, faucet.account
        )
        await faucet.mine(self.configuration.network.k)
        await genesis.record_deploy(node, sockets, self.configuration, app, deployed.tx)
        return deployed

    def change_roster(
        self,
        *,
        remove: Collection[str] = (),
        add: int = 0,
        quorum: int | None = None,
        progress: Progress | None = None,
    ) -> RosterChanged:
        """Have another roster follow: `add` fresh operators come, the named ones are in it no more.

        The old quorum signs the spell; when the next roster rules, everything that is guarded moves
        to its addresses, at the faucet's expense. Those that left run on, and serve deposits to
        their old addresses, until `retire` ends them. Raises `InvalidInput`, `Unavailable`,
        `QuorumNotReached`.
        """
        with showing("roster", add + 5, shown=progress is None) as bar:
            say = progress or bar
            self._portal.call(self._roster_change(say).check, remove, add, quorum)
            before = {operator.name for operator in self.file.operators}
            if add:
                say(f"{add} operators join")
                self._join(add, say)
            return self._portal.call(self._roster_change(say).run, remove, quorum, before)

    def _join(self, count: int, progress: Progress) -> None:
        """Start fresh operators; each has the record, and links with all, when this returns."""
        if not self._managed_here:
            self._ask_manager("join", count, JOIN_SECONDS)
            return
        bundle = self.folder.path / "zkbtc.bundle"
        write_private(bundle, zkbtc().bundle.serialize())
        change = self._roster_change(progress)
        try:
            self._portal.call(change.join, count, bundle)
        finally:
            self.file = change.file

    def _roster_change(self, progress: Progress = lambda _: None) -> RosterChange:
        node, policy = self.node.inner, self.configuration
        return RosterChange(self.file, self.folder, self.backend, node, policy, progress)

    def accept_build(self, changed: str = CHANGED, line: bytes = LINE) -> RosterState:
        """Have the quorum accept another build of the enclave beside those of now.

        It is the first build with one line more in the file `changed`. Operators that join from now
        on run it, so `change_roster` replaces others by such. Returns the state that accepts it.
        Raises `InvalidInput` for a file that is none, `Unavailable` where no quorum agrees.
        """
        number = len(self.folder.builds) + 1
        image = copied(self.folder.image, self.folder.build(number), changed, line * (number - 1))
        try:
            return self._portal.call(self._roster_change().accept, image.registers)
        except BaseException:
            removed(image.folder)
            raise

    def ask_to_leave(self, name: str, *, leaving: bool = True) -> None:
        """Have an operator tell all others that it asks for a roster without it, or no more.

        It votes and signs as before; `change_roster(remove=[name])` replaces it. Raises
        `InvalidInput` for an operator that is none, `Unavailable` for one that is down.
        """
        sockets = [each.socket for each in self.file.operators if each.name == name]
        if not sockets:
            raise InvalidInput(f"no operator is called {name[:60]!r}")
        transport = SocketTransport(sockets)
        self._portal.call(genesis.ask_all, transport, 1, Frame(ROSTER_LEAVE, leaving))

    def retire(self, *names: str) -> None:
        """End operators that are in the newest roster no more, and forget where they were.

        Raises `InvalidInput` for a stranger, and for whoever is in it.
        """
        if not self._managed_here:
            self._ask_manager("retire", names)
            return
        change = self._roster_change()
        self._portal.call(change.check_left, names)
        self.backend.stop(names)
        self.file = change.without(names)

    def down(self) -> None:
        """End the network: no process and no state stay. Raises `Unavailable` naming what would.

        An attached network is ended too, whoever started it.
        """
        self._end()
        if self.file.manager[0] != os.getpid() or self._salvaged:
            end_network(self.folder)

    def close(self) -> None:
        """Let go of an attached network, which runs on; one of this process's own ends."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def end_network(folder: StateFolder) -> None:
    """End the network in a folder from outside its manager, and remove what it leaves.

    A manager that is somebody's program (a notebook, a test) lives on; only its network ends.
    Raises `Unavailable` naming what could not be ended.
    """
    known = folder.manager()
    if known is not None and not known.daemon:
        left = ProcessBackend.attach(folder.path)
        left.stop()
        left.close()
        (folder.path / FILE).unlink(missing_ok=True)
        return
    if known is not None:
        manager = Process("manager", known.pid, known.started, "")
        manager.signal(signal.SIGTERM)
        if not _gone(manager, DOWN_SECONDS):
            manager.signal(signal.SIGKILL)  # the kernel then kills its children
            if not _gone(manager, KILL_SECONDS):
                raise Unavailable(f"the manager (process {manager.pid}) could not be ended")
    if folder.path.exists():
        Claim.take(folder.path).release()


def _gone(process: Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _end(claim: Claim, backend: ProcessBackend, portal: Portal, nodes: list[Node]) -> None:
    """End a network of this process; also called when the object is dropped, and at exit."""
    try:
        _disconnect(portal, nodes)  # first: a start that was stopped half way must start no more
        backend.stop()
    finally:
        backend.close()
        claim.release()


def _detach(backend: ProcessBackend, portal: Portal, nodes: list[Node]) -> None:
    _disconnect(portal, nodes)
    backend.close()


def _disconnect(portal: Portal, nodes: list[Node]) -> None:
    for node in nodes:
        portal.call(node.aclose)
    portal.close()
