"""Who may call a host: names, origins, tokens; and what no answer ever carries."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Message

from grail_host.api import Endpoint
from grail_host.application import application
from grail_host.guard import Guard

PORT, TOKEN = 18_998, "t" * 32
OWN = {"Host": f"127.0.0.1:{PORT}"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def _fine(_request: object) -> Response:
    return Response(b"fine")


APP = application(
    [
        Endpoint("GET", "/read", "read", "Reads.", _fine),
        Endpoint("POST", "/write", "write", "Writes.", _fine, takes="application/cbor"),
    ],
    port=PORT,
    token=TOKEN,
    version="0",
)


def call(method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["/read", "/openapi.json"])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST"])
@pytest.mark.parametrize("port", ["", f":{PORT}"])
def test_D1_its_own_names_are_served(path, name, port):
    assert call("GET", path, {"Host": name + port}).status_code == 200


@pytest.mark.parametrize("path", ["/read", "/write", "/openapi.json", "/nothing"])
@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1:1",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "[::1]",
        "127.0.0.1@evil.example",
        "",
    ],
)
def test_D1_a_foreign_name_is_refused(path, name):
    """DNS rebinding: the request comes from loopback, but under the attacker's name."""
    answer = call("POST", path, {"Host": name, **BEARER})
    assert answer.status_code == 421
    assert answer.json()["error"] == "HostForbidden"


def test_D1_two_names_at_once_are_refused():
    sent: list[Message] = []

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        both = [(b"host", b"127.0.0.1"), (b"host", b"evil.example")]
        scope = {"type": "http", "method": "GET", "path": "/read", "headers": both}
        await Guard(APP, port=PORT, token=TOKEN)(scope, receive, send)

    asyncio.run(run())
    assert sent[0]["status"] == 421


def test_D1_websockets_are_closed_at_once():
    sent: list[Message] = []

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await Guard(APP, port=PORT, token=TOKEN)({"type": "websocket"}, receive, send)

    asyncio.run(run())
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN],
)
def test_D2_a_change_without_the_token_is_refused(authorization):
    headers = OWN | ({} if authorization is None else {"Authorization": authorization})
    answer = call("POST", "/write", headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "TokenMissing")
    assert TOKEN not in answer.text


def test_D2_with_the_token_it_passes():
    assert call("POST", "/write", OWN | BEARER).content == b"fine"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:1"]
)
def test_D2_another_sites_page_is_refused_even_with_the_token(origin):
    for method, path in (("POST", "/write"), ("GET", "/read")):
        answer = call(method, path, OWN | BEARER | {"Origin": origin})
        assert (answer.status_code, answer.json()["error"]) == (403, "OriginForbidden")


def test_D2_its_own_origin_passes():
    own = {"Origin": f"http://localhost:{PORT}"}
    assert call("POST", "/write", OWN | BEARER | own).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "extra"),
    [
        ("GET", "/read", {}),
        ("POST", "/write", {}),
        ("GET", "/nothing", {}),
        ("OPTIONS", "/write", {"Origin": "http://evil.example"}),
    ],
)
def test_D3_no_answer_opens_itself_to_other_sites(method, path, extra):
    answer = call(method, path, OWN | extra)
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_D3_a_preflight_gets_no_leave():
    answer = call(
        "OPTIONS",
        "/write",
        OWN
        | {
            "Origin": "http://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Private-Network": "true",
        },
    )
    assert answer.status_code == 403


def test_what_is_not_served_says_so():
    assert call("GET", "/nothing", OWN).json()["error"] == "NotFound"
    assert call("GET", "/write", OWN).json()["error"] == "MethodNotAllowed"
