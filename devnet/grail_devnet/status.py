"""What a devnet looks like at one moment: its node, its operators, every process and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import anyio

from grail.bitcoin.node import Node
from grail.errors import GrailError
from grail.network_file import NetworkFile
from grail.operators import frames
from grail.operators.frames import Frame
from grail.operators.transport import Host, HttpTransport
from grail_devnet import regtest, sandbox
from grail_devnet.processes import Process
from grail_devnet.state import StateFolder

ASK_SECONDS = 2.0
"""How long a status waits for an operator before it says that there was no answer."""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process: `state` is running, paused or dead; `memory` is bytes that are its own."""

    name: str
    pid: int
    state: str
    memory: int
    log: str

    @classmethod
    def of(cls, process: Process) -> ProcessStatus:
        """Look at a process now."""
        state = "paused" if process.paused else "running" if process.alive else "dead"
        return cls(process.name, process.pid, state, process.memory, process.log)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The Bitcoin node. `version` tells why it does not answer, when it does not."""

    url: str
    version: str
    height: int | None
    process: ProcessStatus


@dataclass(frozen=True, slots=True)
class OperatorStatus:
    """One operator. `height` is its enclave's best header's; a silent one has `error` instead.

    `rank` is that of its key in the roster: the protocol knows operators by it.
    """

    name: str
    rank: int
    key: str
    url: str
    socket: str
    height: int | None
    epoch: int | None
    error: str
    enclave: ProcessStatus
    host: ProcessStatus


@dataclass(frozen=True, slots=True)
class Status:
    """A whole devnet. `processes` counts those that run, `memory` adds up their bytes.

    `unconfined` says what keeps enclaves from being confined to their image, if anything does;
    `rogues` are operators that run a build with a fault, which the network was told to accept.
    """

    name: str
    folder: str
    network_id: str
    quorum: int
    isolation: str
    unconfined: tuple[str, ...]
    rogues: tuple[str, ...]
    node: NodeStatus
    operators: tuple[OperatorStatus, ...]
    processes: int
    memory: int

    def to_json(self) -> dict[str, object]:
        """Plain maps, lists, texts and numbers."""
        return asdict(self)


ISOLATION = "emulated, no isolation: an enclave here is a process like any other"
"""Said wherever a devnet's operators are shown: nobody should trust them with real keys (D16)."""


async def gather(
    file: NetworkFile, network_id: bytes, quorum: int, node: Node, processes: Sequence[Process]
) -> Status:
    """Look at everything. What does not answer is said in its place, never raised."""
    seen = {process.name: ProcessStatus.of(process) for process in processes}
    answers: dict[str, frames.Status | GrailError] = {}
    hosts = [Host(operator.url, file.token) for operator in file.operators]

    async with HttpTransport(hosts, timeout=ASK_SECONDS) as transport:

        async def ask(index: int, name: str) -> None:
            try:
                reply = await transport.ask(index, Frame(frames.STATUS))
                answers[name] = frames.Status.from_fields(reply.unwrap())
            except GrailError as exc:
                answers[name] = exc

        async with anyio.create_task_group() as group:
            for index, operator in enumerate(file.operators):
                group.start_soon(ask, index, operator.name)

    operators, folder = [], StateFolder(file.folder)
    for operator in sorted(file.operators, key=lambda operator: operator.name):
        answer = answers[operator.name]
        known = answer if isinstance(answer, frames.Status) else None
        operators.append(
            OperatorStatus(
                name=operator.name,
                rank=file.operators.index(operator)
                if known is None or known.index is None
                else known.index,
                key=str(operator.key),
                url=operator.url,
                socket=str(operator.socket),
                height=known.best.height if known else None,
                epoch=known.epoch if known else None,
                error="" if known else str(answer),
                enclave=seen[f"{operator.name}/enclave"],
                host=seen[f"{operator.name}/host"],
            )
        )
    return Status(
        name=file.name,
        folder=str(file.folder),
        network_id=network_id.hex(),
        quorum=quorum,
        isolation=ISOLATION,
        unconfined=sandbox.lacks(folder.sandbox),
        rogues=folder.rogues,
        node=await _node(file, node, seen[f"{regtest.NAME}/bitcoind"]),
        operators=tuple(operators),
        processes=sum(process.state != "dead" for process in seen.values()),
        memory=sum(process.memory for process in seen.values()),
    )


async def _node(file: NetworkFile, node: Node, process: ProcessStatus) -> NodeStatus:
    try:
        height = await node.getblockcount()
    except GrailError as exc:
        return NodeStatus(file.node_url, f"no answer: {exc}", None, process)
    return NodeStatus(file.node_url, (await node.version())[1], height, process)
