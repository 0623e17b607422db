"""The RPC client: exact amounts, typed errors for every way an answer can be wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import anyio
import anyio.abc
import httpx
import pytest

from grail.bitcoin.node import WARMING_UP, Node, NodeSync
from grail.bitcoin.rpc_answer import format_btc, parse_sats
from grail.errors import DecodeError, NodeError, TooLarge, Unavailable
from grail.types import BlockHash, OutPoint, Txid

TXID = "aa" * 31 + "01"
BLOCK = "bb" * 31 + "02"


def node(tmp_path: Path, handler: Callable[[httpx.Request], httpx.Response], **options) -> Node:
    cookie = tmp_path / ".cookie"
    if not cookie.exists():
        cookie.write_text("__cookie__:first")
    return Node("http://node.test:1", cookie, transport=httpx.MockTransport(handler), **options)


def answering(result: object, *, raw: str | None = None):
    """A node that answers every call with this result (or this text in its place)."""

    def handler(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        text = json.dumps(result) if raw is None else raw
        return httpx.Response(200, text=f'{{"result": {text}, "error": null, "id": {asked["id"]}}}')

    return handler


def ask(client: Node, method: str, *args: object):
    async def run():
        async with client:
            return await getattr(client, method)(*args)

    return anyio.run(run)


@pytest.mark.parametrize(
    ("text", "sats"),
    [
        ("20999999.97690000", 2_099_999_997_690_000),
        ("0.00000001", 1),
        ("0.1", 10_000_000),
        ("0.30000000", 30_000_000),
        ("-0.00000330", -330),
        ("21000000", 2_100_000_000_000_000),
        ("0", 0),
    ],
)
def test_B14_amounts_are_exact(text: str, sats: int) -> None:
    assert parse_sats(Decimal(text)) == sats
    assert parse_sats(text) == sats
    assert parse_sats(Decimal(format_btc(sats))) == sats


def test_B14_amounts_never_pass_through_a_float(tmp_path) -> None:
    # As floats 0.1 + 0.2 is 0.30000000000000004; and 20,999,999.9769 BTC has no exact double.
    raw = "[0.1, 0.2, 20999999.97690000]"
    values = ask(node(tmp_path, answering(None, raw=raw)), "call", "getamounts")
    assert [type(value) for value in values] == [Decimal] * 3
    first, second, third = (parse_sats(value) for value in values)
    assert first + second == 30_000_000
    assert third == 2_099_999_997_690_000


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        True,
        None,
        "1e400",
        "x",
        Decimal("0.000000001"),
        Decimal("1E+20"),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("21000000.00000001"),
        "0.100000000000000000000000000000001",
    ],
)
def test_B14_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        parse_sats(value)


def test_a_coin_is_read_with_exact_sats(tmp_path) -> None:
    raw = '{"value": 20999999.97690000, "scriptPubKey": {"hex": "51"}, "confirmations": 3, "coinbase": true}'
    coin = ask(
        node(tmp_path, answering(None, raw=raw)), "gettxout", OutPoint(Txid.from_hex(TXID), 1)
    )
    assert (coin.sats, coin.script, coin.confirmations, coin.coinbase) == (
        2_099_999_997_690_000,
        b"\x51",
        3,
        True,
    )


def test_an_unknown_coin_is_none(tmp_path) -> None:
    assert (
        ask(node(tmp_path, answering(None)), "gettxout", OutPoint(Txid.from_hex(TXID), 1)) is None
    )


def test_ids_are_reversed_on_the_wire(tmp_path) -> None:
    found = ask(node(tmp_path, answering(BLOCK)), "getblockhash", 1)
    assert found == BlockHash(bytes.fromhex(BLOCK)[::-1])


def test_the_nodes_own_errors_carry_their_number(tmp_path) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        error = {"code": WARMING_UP, "message": "Loading block index…"}
        return httpx.Response(
            500, json={"result": None, "error": error, "id": json.loads(request.content)["id"]}
        )

    with pytest.raises(NodeError, match="getblockcount: Loading") as caught:
        ask(node(tmp_path, handler), "getblockcount")
    assert caught.value.code == WARMING_UP


def test_D17_the_cookie_is_read_again_after_a_restart(tmp_path) -> None:
    seen = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        if (
            len(seen) == 2
        ):  # restarted: the old cookie no longer holds, the new one lies in the file
            (tmp_path / ".cookie").write_text("__cookie__:second")
            return httpx.Response(401)
        return answering(7)(request)

    async def run() -> None:
        async with node(tmp_path, handler) as client:
            assert await client.getblockcount() == 7
            assert await client.getblockcount() == 7

    anyio.run(run)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("status", [401, 403])
def test_a_cookie_that_stays_wrong_is_said(tmp_path, status) -> None:
    with pytest.raises(Unavailable, match="cookie was refused"):
        ask(node(tmp_path, lambda _: httpx.Response(status)), "getblockcount")


def test_no_cookie_means_no_node(tmp_path) -> None:
    client = Node("http://node.test:1", tmp_path / "nothing")
    with pytest.raises(Unavailable, match="no cookie") as caught:
        ask(client, "getblockcount")
    assert caught.value.hint == "is the node up?"


def test_the_cookie_is_in_no_error_and_no_repr(tmp_path) -> None:
    client = node(tmp_path, lambda _: httpx.Response(403))
    with pytest.raises(Unavailable) as caught:
        ask(client, "getblockcount")
    assert "first" not in f"{caught.value!r} {caught.value} {caught.value.hint} {client!r}"


def test_a_node_that_is_gone_or_slow_is_unavailable(tmp_path) -> None:
    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    with pytest.raises(Unavailable, match="connection refused"):
        ask(node(tmp_path, refused), "getblockcount")
    with pytest.raises(Unavailable, match="no answer in time"):
        ask(node(tmp_path, slow), "getblockcount")


def test_a_full_work_queue_is_unavailable(tmp_path) -> None:
    with pytest.raises(Unavailable, match="too many requests"):
        ask(
            node(tmp_path, lambda _: httpx.Response(503, text="Work queue depth exceeded")),
            "getblockcount",
        )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "<html>",
        '{"result": 1}',
        '{"result": 1, "error": null, "id": 99}',
        '{"error": null, "id": 1}',
        '{"result": 1, "error": "text", "id": 1}',
        "[" * 100_000,
        '{"result": NaN, "error": null, "id": 1}',
        "\xff",
    ],
)
def test_an_answer_that_is_no_answer(tmp_path, text) -> None:
    with pytest.raises(DecodeError):
        ask(node(tmp_path, lambda _: httpx.Response(200, text=text)), "getblockcount")


def test_a_packed_answer_is_not_unpacked(tmp_path) -> None:
    """A few bytes would be many before anybody counts them."""
    packed = gzip.compress(b'{"result": 1, "error": null, "id": 1}')
    answer = httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})
    with pytest.raises(DecodeError, match="packed"):
        ask(node(tmp_path, lambda _: answer), "getblockcount")


def test_an_answer_that_never_ends_is_cut(tmp_path) -> None:
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        ask(
            node(tmp_path, lambda _: httpx.Response(200, text=" " * 2000), max_reply=1000),
            "getblockcount",
        )


def test_an_answer_byte_by_byte_ends_at_its_deadline(tmp_path) -> None:
    """Each byte comes well within the time of the whole, and there is always one more."""
    sent = []

    async def drip(stream: anyio.abc.SocketStream) -> None:
        with suppress(anyio.BrokenResourceError, anyio.EndOfStream):
            async with stream:
                await stream.receive()
                await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while True:
                    await stream.send(b" ")
                    sent.append(anyio.current_time())
                    await anyio.sleep(0.02)

    async def run() -> None:
        (tmp_path / ".cookie").write_text("__cookie__:first")
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with anyio.create_task_group() as group:
                group.start_soon(listener.serve, drip)
                url = f"http://127.0.0.1:{port}"
                async with Node(url, tmp_path / ".cookie", timeout=0.3) as client:
                    with anyio.fail_after(2), pytest.raises(Unavailable, match="no answer in time"):
                        await client.getblockcount()
                    # a call that waits on purpose brings its own time
                    with anyio.fail_after(2), pytest.raises(Unavailable, match="no answer in time"):
                        await client.call("waitfornewblock", patience=0.1)
                group.cancel_scope.cancel()

    anyio.run(run)
    assert len(sent) > 3


CASES = [
    ("getblockcount", (), [-1, 1.5, "1", True, None]),
    ("getblockhash", (1,), [7, "zz", "aa", None, "aa" * 33]),
    ("getblockheader", (BlockHash(bytes(32)),), ["00" * 79, 5, {"a": 1}]),
    ("getblock", (BlockHash(bytes(32)),), ["0", 5, None]),
    ("getblock_txids", (BlockHash(bytes(32)),), [{"tx": ["aa"]}, {"tx": 5}, {}, []]),
    (
        "getblock_transactions",
        (BlockHash(bytes(32)),),
        [{"tx": [{}]}, {"tx": ["aa"]}, {"tx": [{"hex": 1}]}],
    ),
    ("getblockchaininfo", (), [{}, {"chain": 1}, []]),
    ("gettxout", (OutPoint(Txid(bytes(32)), 0),), [{}, {"value": "1", "scriptPubKey": []}, 5]),
    ("getrawmempool", (), [{}, ["aa"], 5]),
    ("testmempoolaccept", ([b"\x00"],), [[], [{}, {}], [5], [{"txid": TXID, "allowed": True}]]),
    ("submitpackage", ([b"\x00"],), [{}, {"tx-results": []}, {"tx-results": {}, "package_msg": 1}]),
    ("getmempoolentry", (Txid(bytes(32)),), [{}, {"vsize": 1, "fees": {"base": True}}]),
    ("generatetoaddress", (1, "x"), [5, ["aa"]]),
    ("sendrawtransaction", (b"\x00",), [5, "aa", None]),
    ("transaction_status", (Txid(bytes(32)),), [{}, {"hex": "zz"}]),
]


@pytest.mark.parametrize(
    ("method", "args", "result"),
    [(method, args, result) for method, args, results in CASES for result in results],
)
def test_malformed_results_are_decode_errors(tmp_path, method, args, result) -> None:
    with pytest.raises(DecodeError):
        ask(node(tmp_path, answering(result)), method, *args)


def test_a_refused_package_says_why(tmp_path) -> None:
    result = {
        "package_msg": "transaction failed",
        "tx-results": {"w": {"txid": TXID, "error": "min relay fee not met"}},
    }
    with pytest.raises(NodeError, match="min relay fee not met"):
        ask(node(tmp_path, answering(result)), "submitpackage", [b"\x00"])


def test_acceptance_names_the_reason(tmp_path) -> None:
    result = [{"txid": TXID, "allowed": False, "reject-reason": "scriptpubkey"}]
    (answer,) = ask(node(tmp_path, answering(result)), "testmempoolaccept", [b"\x00"])
    assert (answer.allowed, answer.reason, answer.fee) == (False, "scriptpubkey", 0)


def test_headers_come_in_two_requests(tmp_path) -> None:
    bodies = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        bodies.append([item["method"] for item in asked])
        results = {"getblockhash": BLOCK, "getblockheader": "07" * 80}
        return httpx.Response(
            200,
            json=[{"id": i["id"], "result": results[i["method"]], "error": None} for i in asked],
        )

    assert ask(node(tmp_path, handler), "headers", 3, 5) == [b"\x07" * 80] * 3
    assert bodies == [["getblockhash"] * 3, ["getblockheader"] * 3]
    assert ask(node(tmp_path, handler), "headers", 3, 2) == []


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", '[{"id": 1, "error": null}]', '[{"id": 9}]'])
def test_a_malformed_batch_is_a_decode_error(tmp_path, text) -> None:
    with pytest.raises(DecodeError):
        ask(node(tmp_path, lambda _: httpx.Response(200, text=text)), "headers", 3, 3)


def test_an_error_in_a_batch_is_raised(tmp_path) -> None:
    text = '[{"id": 1, "result": null, "error": {"code": -8, "message": "out of range"}}]'
    with pytest.raises(NodeError, match="out of range"):
        ask(node(tmp_path, lambda _: httpx.Response(200, text=text)), "headers", 3, 3)


def test_the_sync_face_has_the_same_calls(tmp_path) -> None:
    with NodeSync(node(tmp_path, answering(7))) as client:
        assert client.getblockcount() == 7
        assert client.getblockcount.__doc__ == Node.getblockcount.__doc__
    public = {name for name in vars(Node) if not name.startswith("_")}
    assert public - set(dir(NodeSync)) == {"stop"}
