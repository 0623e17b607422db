"""JSON-RPC to bitcoind, typed: bytes, ids and sats come out, never floats or unchecked text.

Methods have the names that bitcoind gives its calls. `Node` is async; `NodeSync` is the same by
way of a portal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from grail.bitcoin.rpc import Rpc
from grail.bitcoin.rpc_answer import (
    Fields,
    read_block_hash,
    read_block_hashes,
    read_bytes,
    read_txid,
    read_uint,
)
from grail.bitcoin.spv import Inclusion, prove_inclusion
from grail.bitcoin.tx import Tx
from grail.errors import DecodeError, NodeError, TooLarge
from grail.portal import Face, Portal, blocking
from grail.types import BlockHash, OutPoint, Sats, Txid

NOT_FOUND = -5
"""RPC_INVALID_ADDRESS_OR_KEY: no such block or transaction."""
VERIFY_REJECTED = -26
"""RPC_VERIFY_REJECTED: the mempool refuses the transaction; the message says why."""
ALREADY_CONFIRMED = -27
"""RPC_VERIFY_ALREADY_IN_UTXO_SET: the transaction is in the chain."""
WARMING_UP = -28
"""RPC_IN_WARMUP: the node starts; ask again."""


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """`getblockchaininfo`: which chain, how high, and how much work."""

    chain: str
    blocks: int
    headers: int
    best: BlockHash
    work: int
    median_time: int
    initial_download: bool


@dataclass(frozen=True, slots=True)
class HeaderInfo:
    """`getblockheader`: a header and where it stands; `confirmations` is -1 off the best chain."""

    hash: BlockHash
    height: int
    confirmations: int
    previous: BlockHash | None
    next: BlockHash | None
    time: int
    median_time: int
    work: int


@dataclass(frozen=True, slots=True)
class Coin:
    """`gettxout`: an unspent output. `confirmations` is 0 in the mempool."""

    outpoint: OutPoint
    sats: Sats
    script: bytes
    confirmations: int
    coinbase: bool


@dataclass(frozen=True, slots=True)
class Acceptance:
    """`testmempoolaccept`: whether the node would take the transaction, and if not, why."""

    txid: Txid
    allowed: bool
    reason: str
    vsize: int
    fee: Sats


@dataclass(frozen=True, slots=True)
class MempoolEntry:
    """`getmempoolentry`: an unconfirmed transaction; it counts itself among its relatives."""

    txid: Txid
    vsize: int
    fee: Sats
    ancestors: int
    descendants: int
    depends: tuple[Txid, ...]
    spent_by: tuple[Txid, ...]
    ancestor_vsize: int
    ancestor_fees: Sats


@dataclass(frozen=True, slots=True)
class MempoolInfo:
    """`getmempoolinfo`: how full the mempool is, and the least it takes in sats per 1,000 vB."""

    usage: int
    limit: int
    least: Sats


@dataclass(frozen=True, slots=True)
class TxStatus:
    """`getrawtransaction`: the bytes, and the block that holds it (None: still in the mempool)."""

    raw: bytes
    block: BlockHash | None
    confirmations: int


class Node(Rpc):
    """A bitcoind, asked by its own names for its calls.

    Every call raises `Unavailable` when the node cannot be reached or is too slow, `NodeError`
    (with `.code`) when it answers with an error, and `DecodeError` when the answer is malformed.
    """

    # ---- chain

    async def getblockchaininfo(self) -> ChainInfo:
        """Chain, height, best block and work."""
        info = Fields("getblockchaininfo", await self.call("getblockchaininfo"))
        return ChainInfo(
            chain=info.text("chain"),
            blocks=info.uint("blocks"),
            headers=info.uint("headers"),
            best=info.block_hash("bestblockhash"),
            work=info.hex_uint("chainwork"),
            median_time=info.uint("mediantime"),
            initial_download=info.flag("initialblockdownload"),
        )

    async def getblockcount(self) -> int:
        """Height of the best chain's tip."""
        return read_uint("getblockcount", await self.call("getblockcount"))

    async def getbestblockhash(self) -> BlockHash:
        """Hash of the best chain's tip."""
        return read_block_hash("getbestblockhash", await self.call("getbestblockhash"))

    async def getblockhash(self, height: int) -> BlockHash:
        """Hash of the best chain's block at a height."""
        return read_block_hash("getblockhash", await self.call("getblockhash", height))

    async def getblockheader(self, block: BlockHash) -> bytes:
        """The 80 bytes of a header."""
        return _header(await self.call("getblockheader", str(block), False))

    async def getblockheader_info(self, block: BlockHash) -> HeaderInfo:
        """Height, confirmations, neighbours, times and work of a header."""
        info = Fields("getblockheader", await self.call("getblockheader", str(block), True))
        return HeaderInfo(
            hash=info.block_hash("hash"),
            height=info.uint("height"),
            confirmations=info.int("confirmations"),
            previous=info.block_hash("previousblockhash")
            if info.has("previousblockhash")
            else None,
            next=info.block_hash("nextblockhash") if info.has("nextblockhash") else None,
            time=info.uint("time"),
            median_time=info.uint("mediantime"),
            work=info.hex_uint("chainwork"),
        )

    async def headers(self, first: int, last: int) -> list[bytes]:
        """The best chain's headers from height `first` to `last`, both included."""
        blocks = await self.batch("getblockhash", [[height] for height in range(first, last + 1)])
        raws = await self.batch("getblockheader", [[str(block), False] for block in blocks])
        return [_header(raw) for raw in raws]

    async def getblock(self, block: BlockHash) -> bytes:
        """A block's bytes."""
        return read_bytes("getblock", await self.call("getblock", str(block), 0))

    async def getblock_txids(self, block: BlockHash) -> list[Txid]:
        """The txids of a block in their order, from which a Merkle branch is made."""
        info = Fields("getblock", await self.call("getblock", str(block), 1))
        return [read_txid("getblock", txid) for txid in info.list("tx")]

    async def getblock_transactions(self, block: BlockHash) -> list[bytes]:
        """The transactions of a block in their order, each as its bytes."""
        info = Fields("getblock", await self.call("getblock", str(block), 2))
        return [Fields("getblock", tx).bytes("hex") for tx in info.list("tx")]

    async def blocks(self, first: int, last: int) -> list[tuple[BlockHash, list[bytes]]]:
        """The best chain's blocks from height `first` to `last`: hash and raw transactions.

        Two requests for all of them. Raises `TooLarge` when that is more than one answer holds.
        """
        hashes = await self.batch("getblockhash", [[height] for height in range(first, last + 1)])
        blocks = await self.batch("getblock", [[str(block), 2] for block in hashes])
        return [
            (
                read_block_hash("getblockhash", block),
                [Fields("getblock", tx).bytes("hex") for tx in Fields("getblock", body).list("tx")],
            )
            for block, body in zip(hashes, blocks, strict=True)
        ]

    async def waitfornewblock(self, current: BlockHash, seconds: float = 10) -> BlockHash:
        """The new tip when it differs from `current`, or the same after so many seconds."""
        reply = await self.call(
            "waitfornewblock", int(seconds * 1000), str(current), patience=seconds + 10
        )
        return Fields("waitfornewblock", reply).block_hash("hash")

    async def invalidateblock(self, block: BlockHash) -> None:
        """Treat a block as invalid: a reorg for tests."""
        await self.call("invalidateblock", str(block))

    async def reconsiderblock(self, block: BlockHash) -> None:
        """Undo `invalidateblock`."""
        await self.call("reconsiderblock", str(block))

    # ---- transactions

    async def getrawtransaction(self, txid: Txid, block: BlockHash | None = None) -> bytes:
        """A transaction's bytes; without a transaction index the block must be named."""
        where = [] if block is None else [str(block)]
        return read_bytes(
            "getrawtransaction", await self.call("getrawtransaction", str(txid), 0, *where)
        )

    async def transaction_status(self, txid: Txid) -> TxStatus:
        """A transaction's bytes, its block and its confirmations."""
        info = Fields("getrawtransaction", await self.call("getrawtransaction", str(txid), 1))
        return TxStatus(
            raw=info.bytes("hex"),
            block=info.block_hash("blockhash") if info.has("blockhash") else None,
            confirmations=info.uint("confirmations") if info.has("confirmations") else 0,
        )

    async def inclusion(self, txid: Txid, block: BlockHash) -> Inclusion:
        """The proof that a transaction stands in this block. Raises `InvalidInput`."""
        raws = await self.getblock_transactions(block)
        return prove_inclusion(block, [Tx.parse(raw).txid for raw in raws], txid, raws[0])

    async def sendrawtransaction(self, raw: bytes) -> Txid:
        """Publish a transaction. `NodeError` -26 says why the mempool refuses it."""
        return read_txid("sendrawtransaction", await self.call("sendrawtransaction", raw.hex()))

    async def testmempoolaccept(self, transactions: Sequence[bytes]) -> list[Acceptance]:
        """Whether the mempool would take these transactions (parents first), without sending."""
        reply = await self.call("testmempoolaccept", [raw.hex() for raw in transactions])
        if not isinstance(reply, list) or len(reply) != len(transactions):
            raise DecodeError("testmempoolaccept: not one answer a transaction")
        return [_acceptance(Fields("testmempoolaccept", item)) for item in reply]

    async def submitpackage(self, transactions: Sequence[bytes]) -> list[Txid]:
        """Publish parents and their child as one package. Raises `NodeError` when refused."""
        reply = await self.call("submitpackage", [raw.hex() for raw in transactions])
        info = Fields("submitpackage", reply)
        results = info.map("tx-results")
        if info.text("package_msg") != "success":
            reasons = [str(r["error"]) for r in results.values() if "error" in r]
            text = f"{info.text('package_msg')}: {', '.join(reasons)}"
            raise NodeError(f"submitpackage: {text[:500]}", code=VERIFY_REJECTED)
        return [Fields("submitpackage", result).txid("txid") for result in results.values()]

    async def gettxout(self, outpoint: OutPoint, *, mempool: bool = True) -> Coin | None:
        """An unspent output, or None when it is spent or unknown; `mempool` counts what waits."""
        reply = await self.call("gettxout", str(outpoint.txid), outpoint.vout, mempool)
        if reply is None:
            return None
        info = Fields("gettxout", reply)
        return Coin(
            outpoint=outpoint,
            sats=info.sats("value"),
            script=Fields("gettxout", info.get("scriptPubKey")).bytes("hex"),
            confirmations=info.uint("confirmations"),
            coinbase=info.flag("coinbase"),
        )

    async def getmempoolentry(self, txid: Txid) -> MempoolEntry:
        """Size, fee and relatives of an unconfirmed transaction."""
        info = Fields("getmempoolentry", await self.call("getmempoolentry", str(txid)))
        fees = Fields("getmempoolentry", info.get("fees"))
        return MempoolEntry(
            txid=txid,
            vsize=info.uint("vsize"),
            fee=fees.sats("base"),
            ancestors=info.uint("ancestorcount"),
            descendants=info.uint("descendantcount"),
            depends=tuple(read_txid("getmempoolentry", item) for item in info.list("depends")),
            spent_by=tuple(read_txid("getmempoolentry", item) for item in info.list("spentby")),
            ancestor_vsize=info.uint("ancestorsize"),
            ancestor_fees=fees.sats("ancestor"),
        )

    async def getmempoolinfo(self) -> MempoolInfo:
        """How full the mempool is; a full one takes only what pays more than what it dropped."""
        info = Fields("getmempoolinfo", await self.call("getmempoolinfo"))
        return MempoolInfo(info.uint("usage"), info.uint("maxmempool"), info.sats("mempoolminfee"))

    async def getrawmempool(self) -> list[Txid]:
        """The txids of all unconfirmed transactions."""
        reply = await self.call("getrawmempool")
        if not isinstance(reply, list):
            raise DecodeError("getrawmempool: expected a list")
        return [read_txid("getrawmempool", item) for item in reply]

    # ---- regtest, and the process

    async def generatetoaddress(self, blocks: int, address: str) -> list[BlockHash]:
        """Mine blocks whose reward goes to an address (regtest)."""
        return read_block_hashes(
            "generatetoaddress", await self.call("generatetoaddress", blocks, address)
        )

    async def generatetodescriptor(self, blocks: int, script: bytes) -> list[BlockHash]:
        """Mine blocks whose reward goes to a script (regtest)."""
        reply = await self.call("generatetodescriptor", blocks, f"raw({script.hex()})")
        return read_block_hashes("generatetodescriptor", reply)

    async def uptime(self) -> int:
        """Seconds since the node's start."""
        return read_uint("uptime", await self.call("uptime"))

    async def version(self) -> tuple[int, str]:
        """The node's version number (310000 is 31.0) and its own text for it."""
        info = Fields("getnetworkinfo", await self.call("getnetworkinfo"))
        return info.uint("version"), info.text("subversion")

    async def stop(self) -> None:
        """Ask the node to end."""
        await self.call("stop")


class BlockReader:
    """Reads the best chain's blocks, `most` at once, fewer from then on where they are large."""

    def __init__(self, node: Node, most: int) -> None:
        self._node = node
        self._most = most

    async def read(self, first: int, last: int) -> list[tuple[BlockHash, list[bytes]]]:
        """The blocks from height `first` on, up to `last` at most, at least one.

        Raises `TooLarge` for a single block that is more than one answer holds.
        """
        while True:
            try:
                return await self._node.blocks(first, min(last, first + self._most - 1))
            except TooLarge:
                if self._most == 1:
                    raise
                self._most //= 2


class NodeSync(Face[Node]):
    """`Node` with plain calls. Give it a portal, or it makes one and `close` ends it."""

    def __init__(self, node: Node, portal: Portal | None = None) -> None:
        super().__init__(node, portal or Portal())
        self._own_portal = portal is None

    call = blocking(Node.call)
    batch = blocking(Node.batch)
    inclusion = blocking(Node.inclusion)
    getblockchaininfo = blocking(Node.getblockchaininfo)
    getblockcount = blocking(Node.getblockcount)
    getbestblockhash = blocking(Node.getbestblockhash)
    getblockhash = blocking(Node.getblockhash)
    getblockheader = blocking(Node.getblockheader)
    getblockheader_info = blocking(Node.getblockheader_info)
    headers = blocking(Node.headers)
    getblock = blocking(Node.getblock)
    getblock_txids = blocking(Node.getblock_txids)
    getblock_transactions = blocking(Node.getblock_transactions)
    blocks = blocking(Node.blocks)
    waitfornewblock = blocking(Node.waitfornewblock)
    invalidateblock = blocking(Node.invalidateblock)
    reconsiderblock = blocking(Node.reconsiderblock)
    getrawtransaction = blocking(Node.getrawtransaction)
    transaction_status = blocking(Node.transaction_status)
    sendrawtransaction = blocking(Node.sendrawtransaction)
    testmempoolaccept = blocking(Node.testmempoolaccept)
    submitpackage = blocking(Node.submitpackage)
    gettxout = blocking(Node.gettxout)
    getmempoolentry = blocking(Node.getmempoolentry)
    getmempoolinfo = blocking(Node.getmempoolinfo)
    getrawmempool = blocking(Node.getrawmempool)
    generatetoaddress = blocking(Node.generatetoaddress)
    generatetodescriptor = blocking(Node.generatetodescriptor)
    uptime = blocking(Node.uptime)
    version = blocking(Node.version)

    def close(self) -> None:
        """Close the connections, and the portal if it is this object's own."""
        self.portal.call(self.inner.aclose)
        if self._own_portal:
            self.portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _header(reply: object) -> bytes:
    raw = read_bytes("getblockheader", reply)
    if len(raw) != 80:
        raise DecodeError(f"getblockheader: got {len(raw)} bytes, expected 80")
    return raw


def _acceptance(info: Fields) -> Acceptance:
    allowed = info.flag("allowed") if info.has("allowed") else False
    reason = ""
    if not allowed:
        reason = next(
            (info.text(k) for k in ("reject-reason", "package-error") if info.has(k)), "refused"
        )
    return Acceptance(
        txid=info.txid("txid"),
        allowed=allowed,
        reason=reason,
        vsize=info.uint("vsize") if allowed else 0,
        fee=Fields("testmempoolaccept", info.get("fees")).sats("base") if allowed else Sats(0),
    )
