"""A host in this process: real enclave on a real unix socket, a node that is answered by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from enclave_world import World
from made_chain import MadeChain
from starlette.applications import Starlette

from grail.bitcoin.node import Node
from grail.bitcoin.tx import Tx
from grail.operators.transport import Host, HttpTransport
from grail.types import OutPoint
from grail_enclave.enclave import Enclave
from grail_enclave.serve import Server
from grail_host.api import Api
from grail_host.application import application
from grail_host.auditor import Auditor
from grail_host.caretaker import Caretaker
from grail_host.conflicts import Conflicts
from grail_host.finisher import Finisher
from grail_host.follower import Follower
from grail_host.link import Link
from grail_host.peers import Connect, Peers
from grail_host.prechecks import Prechecks
from grail_host.quota import Quota

PORT = 18_999
TOKEN = "0123456789abcdef0123456789abcdef"


@dataclass
class FakeNode:
    """bitcoind's side of JSON-RPC over the made chain: headers, unspent outputs, a mempool."""

    world: World
    spent: set[OutPoint] = field(default_factory=set)
    waiting: set[OutPoint] = field(default_factory=set)
    mempool: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    down: bool = False
    left: MadeChain | None = None

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("connection refused")
        call = json.loads(request.content)
        if isinstance(call, list):
            return httpx.Response(200, json=[self._answer(each) for each in call])
        answer = self._answer(call)
        return httpx.Response(200 if answer["error"] is None else 500, json=answer)

    def _answer(self, call: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(call["method"])
        try:
            result = getattr(self, "_" + call["method"])(*call["params"])
        except KeyError as exc:
            error = {"code": -5, "message": f"not found: {exc}"}
            return {"id": call["id"], "result": None, "error": error}
        return {"id": call["id"], "result": result, "error": None}

    def _getbestblockhash(self) -> str:
        return str(self.world.chain.blocks[-1].header.hash)

    def _getblockcount(self) -> int:
        return self.world.chain.height

    def _getblockhash(self, height: int) -> str:
        return str(self.world.chain.blocks[height].header.hash)

    def _getblockheader(self, block: str, verbose: bool) -> Any:
        chain = self.world.chain
        off = self.left is not None and block not in {str(b.header.hash) for b in chain.blocks}
        blocks = (self.left or chain).blocks if off else chain.blocks
        height = {str(b.header.hash): i for i, b in enumerate(blocks)}[block]
        header = blocks[height].header
        if not verbose:
            return header.serialize().hex()
        return {
            "hash": block,
            "height": height,
            "confirmations": -1 if off else chain.height - height + 1,
            "time": header.time,
            "mediantime": header.time,
            "chainwork": "02",
            **({"previousblockhash": str(header.previous)} if height else {}),
        }

    def _getblock(self, block: str, verbosity: int) -> Any:
        stale = [] if self.left is None else self.left.blocks
        found = {str(b.header.hash): b for b in (*stale, *self.world.chain.blocks)}[block]
        if verbosity == 1:
            return {"tx": [str(tx.txid) for tx in found.txs]}
        return {"tx": [{"hex": tx.serialize().hex()} for tx in found.txs]}

    def _gettxout(self, txid: str, vout: int, mempool: bool) -> Any:
        outpoint = OutPoint.from_text(f"{txid}:{vout}")
        tx = self.world.transactions.get(outpoint.txid)
        if tx is None or outpoint in self.spent or vout >= len(tx.outputs):
            return None
        if mempool and outpoint in self.waiting:
            return None
        out = tx.outputs[vout]
        return {
            "value": f"{out.sats / 1e8:.8f}",
            "confirmations": 1,
            "coinbase": False,
            "scriptPubKey": {"hex": out.script.hex()},
        }

    def _getmempoolentry(self, txid: str) -> Any:
        return {
            "vsize": 100,
            "fees": {"base": "0.00001000", "ancestor": "0.00001000"},
            "ancestorcount": 1,
            "ancestorsize": 100,
            "descendantcount": 1,
            "depends": [],
            "spentby": [],
            "raw": self.mempool[txid],
        }

    def _gettxspendingprevout(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        spent = {
            str(txin.outpoint): txid
            for txid, raw in self.mempool.items()
            if raw
            for txin in Tx.parse(bytes.fromhex(raw)).inputs
        }
        names = [f"{item['txid']}:{item['vout']}" for item in asked]
        return [
            {**item, "spendingtxid": spent[name]} if name in spent else item
            for item, name in zip(asked, names, strict=True)
        ]

    def _getrawtransaction(self, txid: str, verbosity: int, _block: str = "") -> Any:
        for block in self.world.chain.blocks:
            for tx in block.txs:
                if str(tx.txid) == txid:
                    raw = tx.serialize().hex()
                    where = {"blockhash": str(block.header.hash), "confirmations": 1}
                    return {"hex": raw, **where} if verbosity else raw
        return {"hex": self.mempool[txid]} if verbosity else self.mempool[txid]

    def _sendrawtransaction(self, raw: str) -> str:
        tx = Tx.parse(bytes.fromhex(raw))
        self.mempool[str(tx.txid)] = raw
        self.spent |= {txin.outpoint for txin in tx.inputs}
        return str(tx.txid)


@dataclass
class Running:
    """A host and what it runs on."""

    app: Starlette
    enclave: Enclave
    node: FakeNode
    follower: Follower
    conflicts: Conflicts
    finisher: Finisher
    caretaker: Caretaker
    link: Link
    socket: Path
    auditor: Auditor

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A caller with the token, on the host's own name."""
        given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/cbor"} | headers
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url=f"http://127.0.0.1:{PORT}",
            headers=given,
        )


@contextlib.asynccontextmanager
async def served(path: Path, enclave: Enclave) -> AsyncIterator[asyncio.Task[None]]:
    """The enclave's own server on a socket in a private folder."""
    path.parent.chmod(0o700)
    ready = asyncio.Event()
    task = asyncio.create_task(Server(path, enclave.answer).run(ready.set))
    await ready.wait()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(
    world: World,
    folder: Path,
    *,
    quota: Quota | None = None,
    peers: tuple[Host, ...] = (),
    connect: Connect = HttpTransport,
    enclave: Enclave | None = None,
) -> AsyncIterator[Running]:
    """A host over an enclave that knows the roster, and a node that knows the chain."""
    enclave, fake = enclave or world.enclave(), FakeNode(world)
    cookie = folder / "cookie"
    cookie.write_text("__cookie__:secret")
    socket = folder / "e.sock"
    node = Node("http://127.0.0.1:1", cookie, transport=httpx.MockTransport(fake.handle))
    link = Link(socket, seconds=5)
    follower = Follower(node, link)
    conflicts = Conflicts(node, link, follower, world.network)
    others = Peers(peers, connect)
    finisher = Finisher(node, link, world.network, others, patience=0.01)
    caretaker = Caretaker(node, link, world.network, others, patience=0.01)
    auditor = Auditor(node, link, rest=0)
    api = Api(
        link,
        conflicts,
        Prechecks(node),
        quota or Quota(1_000, 10**9),
        finisher,
        caretaker=caretaker,
        auditor=auditor,
    )
    app = application(api.endpoints(), port=PORT, token=TOKEN, version="0.0.0")
    async with served(socket, enclave):
        try:
            yield Running(
                app, enclave, fake, follower, conflicts, finisher, caretaker, link, socket, auditor
            )
        finally:
            await finisher.aclose()
            await caretaker.aclose()
            await link.aclose()
            await node.aclose()
