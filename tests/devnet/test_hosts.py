"""The operators' hosts as they run: who may call, what they bear, what they finish themselves."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from grail.bitcoin.tx import Tx, TxIn
from grail.bridge.peg_in import draft_peg_in
from grail.bridge.peg_out import draft_peg_out
from grail.connection.connection import Connection, Wallet, connect
from grail.draft.assembled import Assembled
from grail.draft.draft import Purse
from grail.errors import Refused
from grail.operators import frames
from grail.operators.frames import MAX_FRAME, Frame, Reply
from grail.types import TxOut
from grail.wallet.coins import Coin
from grail_devnet.devnet import Devnet

pytestmark = pytest.mark.devnet


@pytest.fixture(scope="module")
def url(devnet: Devnet) -> str:
    """One host's address."""
    return devnet.file.operators[0].url


@pytest.fixture(scope="module")
def bearer(devnet: Devnet) -> dict[str, str]:
    return {"Authorization": f"Bearer {devnet.file.token}", "Content-Type": "application/cbor"}


@pytest.fixture(scope="module")
def net(devnet: Devnet) -> Iterator[Connection]:
    with connect(devnet.file, progress=False) as connection:
        yield connection


@pytest.fixture(scope="module")
def carol(net: Connection) -> Wallet:
    wallet = net.wallet("carol")
    net.faucet(wallet, 2_000_000)
    return wallet


STATUS = Frame(frames.STATUS).raw


def test_D1_D2_a_real_host_is_served_to_its_own_callers_only(url, bearer):
    with httpx.Client(base_url=url, trust_env=False) as client:
        ask = "/v1/status"
        assert client.post(ask, content=STATUS, headers=bearer).status_code == 200
        for foreign in ("evil.example", "localhost.evil.example", "127.0.0.1:1"):
            answer = client.post(ask, content=STATUS, headers=bearer | {"Host": foreign})
            assert answer.status_code == 421, foreign
        page = bearer | {"Origin": "http://evil.example"}
        assert client.post(ask, content=STATUS, headers=page).status_code == 403
        del page["Authorization"], page["Origin"]
        assert client.post(ask, content=STATUS, headers=page).status_code == 401
        assert client.options(ask, headers={"Origin": "http://evil.example"}).status_code == 403
        described = client.get("/openapi.json").json()
        assert set(described["paths"]) >= {"/v1/status", "/v1/vote", "/v1/sign"}
        assert "server" not in client.get(ask).headers


def raw(url: str, request: bytes, seconds: float = 5) -> bytes:
    """Bytes to a host, and what comes back until it closes or the time is over."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as line:
        line.sendall(request)
        answer = b""
        try:
            while piece := line.recv(65_536):
                answer += piece
        except TimeoutError:
            pass
        return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00" * 64 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/vote HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"GET " + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /v1/vote HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_request_ends_its_own_connection_and_nothing_else(url, bearer, request_):
    answer = raw(url, request_)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert httpx.post(f"{url}/v1/status", content=STATUS, headers=bearer).status_code == 200


def test_S33_many_open_lines_and_a_slow_one_hinder_nobody(url, bearer):
    """Two hundred half requests are held open; a whole one is answered beside them."""
    host, _, port = url.removeprefix("http://").partition(":")
    lines = [socket.create_connection((host, int(port)), timeout=5) for _ in range(200)]
    try:
        for line in lines:
            line.sendall(b"POST /v1/vote HTTP/1.1\r\nHost: ")
        begun = time.monotonic()
        answer = httpx.post(f"{url}/v1/status", content=STATUS, headers=bearer, timeout=10)
        assert answer.status_code == 200
        assert time.monotonic() - begun < 5
    finally:
        for line in lines:
            line.close()


def test_S33_a_body_too_long_is_refused_at_its_head(url, bearer):
    head = (
        f"POST /v1/vote HTTP/1.1\r\nHost: {url.removeprefix('http://')}\r\n"
        f"Authorization: {bearer['Authorization']}\r\nContent-Type: application/cbor\r\n"
        f"Content-Length: {MAX_FRAME + 1}\r\n\r\n"
    )
    assert raw(url, head.encode(), 3).startswith(b"HTTP/1.1 413")


def test_the_enclaves_own_refusal_comes_through_signed(devnet, url, bearer):
    frame = frames.vote_frame(b"no request")
    reply = Reply.parse(httpx.post(f"{url}/v1/vote", content=frame.raw, headers=bearer).content)
    assert reply.refusal is not None
    operator = devnet.file.operators[0]
    reply.refusal.verify(bytes(reply.refusal.network), operator.key, frame.subject)


def test_a_new_block_reaches_every_enclave(devnet, net):
    net.mine()

    async def heights() -> set[int]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answers = await asyncio.gather(
                *(client.get(f"{operator.url}/v1/status") for operator in devnet.file.operators)
            )
        return {json.loads(answer.content)["height"] for answer in answers}

    deadline = time.monotonic() + 20
    while (found := asyncio.run(heights())) != {net.height}:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_S17_a_user_who_keeps_his_signatures_is_not_waited_for(net, carol):
    """Twelve signatures collected, nothing published: the operators' hosts do it, once."""
    pending = carol.deposit(300_000)
    net.mine(6)
    session, call = net.session, net.portal.call
    call(session.refresh)
    coin = session.ledger.coin(pending.coin.outpoint)
    assert coin is not None
    context, app = session.context(), session.apps.zkbtc
    proven = draft_peg_in(context, app, pending.deposit, coin, session.rate).prove()
    collected = call(session.sign, call(session.request, proven))
    assert len(collected.signatures) == 12
    deadline = time.monotonic() + 60
    while proven.tx.txid not in call(session.node.getrawmempool):
        assert time.monotonic() < deadline, "no host published it"
        time.sleep(0.5)
    net.mine()
    assert call(session.node.transaction_status, proven.tx.txid).confirmations == 1


def test_S23_a_user_who_double_spends_freezes_the_vault_for_one_block(net, url, bearer):
    """His peg-out is decided, then his own input goes elsewhere: a block later others are served.

    Nobody tells the operators: their hosts find the block, and show it to their enclaves.
    """
    mallory, victim = net.wallet("mallory"), net.wallet("victim")
    session, call, token = net.session, net.portal.call, net.zkbtc
    for wallet in (mallory, victim):
        net.faucet(wallet, 400_000)
        wallet.deposit(200_000)
    net.mine(6)
    for wallet in (mallory, victim):
        for waiting in wallet.deposits():
            wallet.peg_in(waiting)
        net.mine()
    call(session.refresh)
    vault = [next(coin for coin in session.vault() if coin.height is not None)]

    def asked(wallet: Wallet) -> tuple[Coin, bytes, Assembled]:
        held = next(coin for coin in session.usable(wallet.script) if token in coin.charms)
        purse = Purse([held], wallet.script, session.rate)
        built = draft_peg_out(
            session.context(), session.apps.zkbtc, vault, purse, burn=50_000, pay_to=wallet.script
        ).prove()
        return held, call(session.request, built, wallet.inner.account), built

    own, first, decided = asked(mallory)
    _, second, served = asked(victim)
    assert {i.outpoint for i in decided.tx.inputs} & {i.outpoint for i in served.tx.inputs}
    elsewhere = Tx(2, (TxIn(own.outpoint),), (TxOut(own.output.sats - 300, mallory.script),), 0)
    elsewhere = mallory.inner.account.sign(elsewhere, [own.output], 0)

    assert len(call(session.sign, first).signatures) == 12
    frame = frames.vote_frame(second)
    reply = Reply.parse(httpx.post(f"{url}/v1/vote", content=frame.raw, headers=bearer).content)
    assert reply.refusal is not None  # the vault's output is mallory's by decision
    assert reply.refusal.rule in {"OutpointTaken", "RivalVoted"}
    call(session.node.sendrawtransaction, elsewhere.serialize())
    net.mine()
    assert call(session.node.transaction_status, elsewhere.txid).confirmations == 1

    collected = call(session.sign, second)
    assert len(collected.signatures) == 12
    call(session.publish, collected.tx)
    net.mine()
    assert call(session.node.transaction_status, served.tx.txid).confirmations == 1
    with pytest.raises(Refused) as caught:
        call(session.sign, first)
    assert caught.value.rule == "InputSpent"
