"""What comes from Bitcoin: transactions, PSBTs, headers, scripts, addresses, a node's answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Coroutine, Sequence
from typing import Any

from fuzz.target import Target
from grail import native
from grail.bitcoin import psbt_v2, script
from grail.bitcoin.addresses import from_address
from grail.bitcoin.node import Node
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import HEADER_SIZE, Header, Inclusion, target_from_bits
from grail.bitcoin.tx import Tx
from grail.codec import decode, encode
from grail.errors import GrailError, Incorrect, InvalidInput, Unavailable
from grail.types import BlockHash, OutPoint, Txid


def transaction(raw: bytes) -> None:
    """A transaction has one encoding, which the SDK writes too."""
    tx = Tx.parse(raw)
    again = Tx(tx.version, tx.inputs, tx.outputs, tx.locktime)
    assert again.serialize() == raw, "other bytes"
    assert (again.txid, again.weight) == (tx.txid, tx.weight), "another txid or weight"


def psbt(raw: bytes) -> None:
    """A PSBT has one encoding here."""
    found = Psbt.parse(raw)
    assert found.serialize() == raw, "other bytes"
    try:
        found.prevouts()
        found.extract()
    except (Incorrect, InvalidInput):
        pass


def psbt_text(raw: bytes) -> None:
    """The text form of either version."""
    text = raw.decode("latin-1")
    for read in (Psbt.from_base64, psbt_v2.from_base64):
        try:
            Psbt.from_base64(read(text).to_base64())
        except InvalidInput:
            continue


def psbt_2(raw: bytes) -> None:
    """What version 2 turns into is a canonical PSBT of version 0."""
    found = psbt_v2.parse(raw)
    assert Psbt.parse(found.serialize()) == found, "another PSBT"


def headers(raw: bytes) -> None:
    """Headers, one after the other, and where a transaction stands in a block."""
    try:
        header = Header.parse(raw[:HEADER_SIZE])
        assert header.serialize() == raw[:HEADER_SIZE], "other bytes"
        target_from_bits(header.bits)
    except (InvalidInput, Incorrect):
        pass
    found = Inclusion.from_value(decode(raw))
    assert encode(found.to_value()) == raw, "other bytes"


def scripts(raw: bytes) -> None:
    """Instructions of a script; those of the shortest form are written the same."""
    steps = list(script.read(raw))
    assert len(steps) <= len(raw), "more steps than bytes"


def addresses(raw: bytes) -> None:
    """Texts that people paste: an address, an outpoint, a txid."""
    text = raw.decode("utf-8", "replace")
    for read in (OutPoint.from_text, Txid.from_hex, BlockHash.from_hex):
        try:
            assert str(read(text)) == text.lower(), "another text"
        except InvalidInput:
            continue
    found = from_address(text, "bcrt")
    assert native.address_encode(found, "bcrt").lower() == text.lower(), "another address"


class HostileNode(Node):
    """A node whose answer is given: what HTTP brought is read by the real code."""

    def __init__(self, answer: bytes) -> None:
        self.url, self.answer, self.asked = "http://node", answer, 0
        self._ids = iter(range(1, 1 << 20))

    async def _authorized(
        self,
        method: str,
        request: object,
        patience: float | None,  # noqa: ARG002 - as the real one
    ) -> tuple[int, bytes]:
        self.asked += 1
        assert self.asked < 1_000, f"{method}: asks for ever"
        if isinstance(request, list):
            ids = [each["id"] for each in request]
            return 200, b"[" + b",".join(_enveloped(i, self.answer) for i in ids) + b"]"
        assert isinstance(request, dict)
        return 200, _enveloped(request["id"], self.answer)


def _enveloped(number: int, answer: bytes) -> bytes:
    """As a result to the right request; one that begins with a brace and "id" is whole already."""
    if answer[:5] == b'{"id"':
        return answer
    return b'{"id": %d, "error": null, "result": ' % number + answer + b"}"


_HASH = BlockHash(bytes(32))
_TXID = Txid(bytes(32))
CALLS = (
    lambda node: node.getblockchaininfo(),
    lambda node: node.getblockcount(),
    lambda node: node.getbestblockhash(),
    lambda node: node.getblockheader(_HASH),
    lambda node: node.getblockheader_info(_HASH),
    lambda node: node.headers(1, 3),
    lambda node: node.getblock(_HASH),
    lambda node: node.getblock_txids(_HASH),
    lambda node: node.getblock_transactions(_HASH),
    lambda node: node.blocks(1, 2),
    lambda node: node.waitfornewblock(_HASH),
    lambda node: node.getrawtransaction(_TXID),
    lambda node: node.transaction_status(_TXID),
    lambda node: node.inclusion(_TXID, _HASH),
    lambda node: node.sendrawtransaction(b""),
    lambda node: node.testmempoolaccept([b"", b""]),
    lambda node: node.submitpackage([b"", b""]),
    lambda node: node.gettxout(OutPoint(_TXID, 0)),
    lambda node: node.getmempoolentry(_TXID),
    lambda node: node.getmempoolinfo(),
    lambda node: node.getrawmempool(),
    lambda node: node.generatetoaddress(1, ""),
    lambda node: node.uptime(),
    lambda node: node.version(),
)


def run(coroutine: Coroutine[Any, Any, object]) -> object:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        coroutine.close()
    raise AssertionError("it waits for something")


def rpc(raw: bytes) -> None:
    """The first byte names a call, the rest is what the node answers it."""
    run(CALLS[(raw[0] if raw else 0) % len(CALLS)](HostileNode(raw[1:])))


def _transactions() -> list[bytes]:
    from fuzz import seeds

    return [tx.serialize() for tx in seeds.transactions()]


def _psbts() -> list[bytes]:
    from fuzz import seeds

    return [each.serialize() for each in seeds.psbts()]


def _headers() -> list[bytes]:
    from fuzz import seeds

    chain = seeds.world().chain
    proof = chain.prove(seeds.world().deploy.txid)
    return [*(header.serialize() for header in chain.headers[:2]), encode(proof.to_value())]


def _scripts() -> list[bytes]:
    from fuzz import seeds

    return [out.script for tx in seeds.transactions() for out in tx.outputs]


def _addresses() -> list[bytes]:
    from fuzz import seeds

    tx = seeds.transactions()[0]
    known = []
    for made in (out.script for out in tx.outputs):
        try:
            known.append(native.address_encode(made, "bcrt").encode())
        except InvalidInput:
            continue
    return [*known, str(tx.outpoint(0)).encode(), str(tx.txid).encode()]


def _answers() -> list[bytes]:
    from fuzz import seeds

    tx = seeds.transactions()[0]
    hashed, raw = "ab" * 32, tx.serialize().hex()
    fields = {
        **dict.fromkeys(("hash", "bestblockhash", "previousblockhash", "txid", "wtxid"), hashed),
        **dict.fromkeys(("height", "blocks", "headers", "vsize", "time", "mediantime", "nTx"), 7),
        **dict.fromkeys(("version", "confirmations", "descendantcount", "ancestorcount"), 1),
        **dict.fromkeys(("ancestorsize", "descendantsize", "maxmempool", "bytes"), 9),
        **dict.fromkeys(("initialblockdownload", "pruned", "coinbase", "allowed"), False),
        "chain": "regtest",
        "chainwork": "02",
        "verificationprogress": 1.0,
        "subversion": "/x/",
        "value": 0.5,
        "mempoolminfee": 0.00001,
        "minrelaytxfee": 0.00001,
        "incrementalrelayfee": 0.00001,
        "fees": {"base": 0.1, "ancestor": 0.1, "effective-includes": [], "descendant": 0.1},
        "scriptPubKey": {"hex": "51"},
        "depends": [hashed],
        "spentby": [hashed],
        "package_msg": "success",
        "tx-results": {hashed: {"txid": hashed}},
        "hex": raw,
        "tx": [hashed],
    }
    values: Sequence[object] = (7, hashed, "00" * 80, raw, [hashed], fields, [fields], None, "0.1")
    blocks = {**fields, "tx": [{"hex": raw}]}
    whole = b'{"id":1,"error":{"code":-5,"message":"x"},"result":null}'
    found = [
        bytes([call]) + json.dumps(value).encode()
        for call in range(len(CALLS))
        for value in (*values, blocks)
    ]
    return [*found, b"\x00" + whole, b"\x01" + whole.replace(b"-5", b"1e400")]


def _texts() -> list[bytes]:
    return [base64.b64encode(raw) for raw in _psbts()]


def _psbts_2() -> list[bytes]:
    from fuzz import seeds

    return list(seeds.psbts_2())


REFUSED_BY_A_NODE: tuple[type[GrailError], ...] = (InvalidInput, Unavailable, Incorrect)

TARGETS = (
    Target("transaction", transaction, _transactions),
    Target("psbt", psbt, _psbts),
    Target("psbt text", psbt_text, _texts),
    Target("psbt version 2", psbt_2, _psbts_2),
    Target("headers and inclusion", headers, _headers, most=1_024),
    Target("script", scripts, _scripts, most=1_024),
    Target("address", addresses, _addresses, most=256),
    Target("RPC answer", rpc, _answers, refusals=REFUSED_BY_A_NODE),
)
