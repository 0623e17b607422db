"""The devnet's Bitcoin node: a bitcoind on regtest that nobody outside this machine can reach."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from grail.bitcoin.node import WARMING_UP, Node
from grail.bitcoin.rpc_answer import Fields
from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx, TxIn
from grail.errors import GrailError, NodeError, NodeUnfit, Unavailable
from grail.folders import private_folder
from grail.types import OutPoint, TxOut
from grail.wallet.account import Account

NAME = "bitcoind"
REINDEX = "-reindex"
"""Reads all block files again."""

REINDEXED = "Reindexing finished"
"""What the node's log says when it has read its block files again."""

START_SECONDS = 30.0
"""A bitcoind answers 0.2 s after its start; a machine under load may take a hundred times that."""

PROBE_BYTES = 1_000
"""A spell with two proofs has some 900 bytes."""


def command(binary: Path, folder: Path, port: int, *, again: bool = False) -> list[str]:
    """The command line: RPC on loopback with a cookie, no peers, no wallet, an index of all ids.

    The node writes its log to its output; 32 host and client connections may ask at once. `again`
    is for a folder that a killed node left: its blocks are there, but the index of them is written
    once an hour and at a good end, so without it the chain would begin anew at block 0, and no
    peer is there to ask for the rest.
    """
    private_folder(folder)
    return [
        str(binary),
        "-regtest",
        f"-datadir={folder}",
        "-server=1",
        "-rpcbind=127.0.0.1",
        "-rpcallowip=127.0.0.1",
        f"-rpcport={port}",
        "-rpccookieperms=owner",
        "-rpcthreads=8",
        "-rpcworkqueue=256",
        "-listen=0",
        "-connect=0",
        "-dnsseed=0",
        "-txindex=1",
        "-dbcache=16",
        "-persistmempool=0",
        "-printtoconsole=1",
        "-nodebuglogfile",
        *([REINDEX] if again else []),
    ]


def cookie(folder: Path) -> Path:
    """Where the node writes its cookie, mode 0600, at each start."""
    return folder / "regtest" / ".cookie"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago, all different."""
    held = [socket.socket() for _ in range(count)]
    try:
        for holder in held:
            holder.bind(("127.0.0.1", 0))
        return [int(holder.getsockname()[1]) for holder in held]
    finally:
        for holder in held:
            holder.close()


def check_port(port: int) -> None:
    """Raise `Unavailable` when something listens on this port of 127.0.0.1 already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise Unavailable(
                f"{NAME}: port {port} of 127.0.0.1 is in use", hint="leave the port out, or free it"
            ) from exc


async def wait_until_up(
    node: Node,
    exit_code: Callable[[], int | None],
    logs: Callable[[], str],
    seconds: float = START_SECONDS,
) -> None:
    """Return when the node answers.

    Raises `Unavailable` with the end of its log when it ends instead, or takes too long.
    """
    deadline = time.monotonic() + seconds
    last = ""
    while time.monotonic() < deadline:
        code = exit_code()
        if code is not None:
            raise Unavailable(f"{NAME} ended at its start (exit code {code}): {_reason(logs())}")
        try:
            await node.uptime()
        except NodeError as exc:
            if exc.code != WARMING_UP:
                raise
            last = str(exc)
        except Unavailable as exc:
            last = str(exc)
        else:
            return
        await anyio.sleep(0.02)
    raise Unavailable(f"{NAME} did not answer within {seconds:.0f} s: {last}")


async def wait_until_whole(
    node: Node, log: Callable[[], str], seconds: float = START_SECONDS
) -> None:
    """Return when a node that was started `again` has its chain and its index of transactions.

    `log` gives what it wrote since its start. Raises `Unavailable` when it takes too long.
    """
    deadline = time.monotonic() + seconds
    while REINDEXED not in log() or not await _indexed(node):
        if time.monotonic() > deadline:
            raise Unavailable(f"{NAME} did not read its blocks again within {seconds:.0f} s")
        await anyio.sleep(0.02)


async def _indexed(node: Node) -> bool:
    chain = await node.getblockchaininfo()
    reply = Fields("getindexinfo", await node.call("getindexinfo"))
    index = Fields("getindexinfo", reply.get("txindex"))
    whole = chain.blocks == chain.headers == index.uint("best_block_height")
    return whole and index.flag("synced")


def _reason(log: str) -> str:
    """The line of a log that says what was wrong: the last error, else the last line."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "rror" in line]
    return (errors or lines or ["its log is empty"])[-1]


async def check_fit(node: Node, binary: Path, funder: Account, coin: OutPoint, held: TxOut) -> None:
    """Raise `NodeUnfit` unless the node would relay a spell: an OP_RETURN of 1,000 bytes.

    Debian's bitcoin-knots caps an OP_RETURN at 83 bytes whatever its options.
    """
    spell = TxOut(0, op_return(secrets.token_bytes(PROBE_BYTES)))
    change = TxOut(held.sats - 10_000, funder.script)
    probe = funder.sign(Tx(2, (TxIn(coin),), (change, spell)), [held], 0)
    try:
        (answer,) = await node.testmempoolaccept([probe.serialize()])
    except NodeError as exc:
        raise NodeUnfit(f"{binary}: cannot test a spell ({exc})") from exc
    if not answer.allowed:
        raise NodeUnfit(
            f"{binary}: relays no OP_RETURN of {PROBE_BYTES:,} bytes ({answer.reason})",
            hint="name another by BITCOIND, or unset it to have one fetched or built",
        )


async def describe(node: Node) -> str:
    """The node's version in words, or why it does not answer."""
    try:
        return (await node.version())[1]
    except GrailError as exc:
        return f"no answer: {exc}"
