"""What anybody may post to any path of a host, and what a host may answer: without a socket."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from fuzz.target import Target
from fuzz.wire_targets import _enclave, _frames, _loop, _replies
from grail.bitcoin.node import Node
from grail.errors import InvalidInput, Refused, Unavailable
from grail.operators.frames import KINDS, Frame, Reply
from grail.operators.transport import Host, HttpTransport
from grail_host.api import CBOR, JSON, SUMMARIES, Api
from grail_host.application import application
from grail_host.conflicts import Conflicts
from grail_host.finisher import Finisher
from grail_host.follower import Follower
from grail_host.link import Link
from grail_host.openapi import FAILURES
from grail_host.peers import Peers
from grail_host.prechecks import Prechecks
from grail_host.quota import Quota
from grail_host.turns import Turns

PORT, TOKEN_TEXT = 18_999, "0123456789abcdef0123456789abcdef"
PATHS = ("turn", "turn/done", *SUMMARIES)
KINDS_OF_BODY = (CBOR, JSON, "text/plain", "")
Message = dict[str, Any]


class Direct(Link):
    """The line to an enclave in this process: the same frames, without a socket."""

    async def ask_raw(self, frame: bytes) -> bytes:
        return _enclave().answer(frame)


@cache
def _served() -> tuple[asyncio.AbstractEventLoop, Callable[..., Awaitable[None]]]:
    from host_world import FakeNode

    from fuzz import seeds

    world = seeds.world()
    cookie = _cookie()
    fake = FakeNode(world)
    node = Node("http://127.0.0.1:1", cookie, transport=httpx.MockTransport(fake.handle))
    link = Direct(Path("unused"))
    conflicts = Conflicts(node, link, Follower(node, link), world.network)
    finisher = Finisher(node, link, world.network, Peers([]), patience=3_600)
    # A clock that leaps: nobody waits for a turn.
    turns = Turns(itertools.count(0, 60).__next__)
    quota = Quota(1 << 40, 1 << 60)
    api = Api(link, conflicts, Prechecks(node), quota, finisher, turns=turns)
    app = application(api.endpoints(), port=PORT, token=TOKEN_TEXT, version="0")
    return asyncio.new_event_loop(), app


def _cookie() -> Path:
    from fuzz.file_targets import _file

    return _file("cookie", b"__cookie__:secret")


def body(raw: bytes) -> None:
    """Two bytes choose path and type, the rest is the body, in two pieces.

    The status is one that the description names, a problem is one, and 500 never comes.
    """
    path, kind = PATHS[(raw[0] if raw else 0) % len(PATHS)], raw[1] if len(raw) > 1 else 0
    loop, app = _served()
    status, headers, answer = loop.run_until_complete(
        asyncio.wait_for(_post(app, path, KINDS_OF_BODY[kind % 4], raw[2:], kind >> 2), 20)
    )
    assert status == 200 or str(status) in FAILURES, f"status {status}, which nothing describes"
    said = headers[b"content-type"].decode()
    if status == 200 and path in SUMMARIES:
        assert said == CBOR, said
        Reply.parse(answer)
        return
    assert said == JSON, said
    found = json.loads(answer)
    if status != 200:
        assert found.keys() == {"error", "message", "hint"}, "no problem"
        raise Refused(found["error"], found["message"])


async def _post(
    app: Callable[..., Awaitable[None]], path: str, kind: str, body: bytes, length: int
) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request by ASGI; `length` 1 announces the length, 2 another one."""
    given = [
        (b"host", b"127.0.0.1:%d" % PORT),
        (b"authorization", b"Bearer " + TOKEN_TEXT.encode()),
        (b"content-type", kind.encode()),
    ]
    if length:
        given.append((b"content-length", b"%d" % (len(body) * length)))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": f"/v1/{path}",
        "raw_path": f"/v1/{path}".encode(),
        "root_path": "",
        "query_string": b"",
        "headers": given,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", PORT),
    }
    half = len(body) // 2
    coming: list[Message] = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    pieces = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), pieces


STATUSES = (200, 409, 401, 500, 503, 302, 204)
ENCODINGS = ("", "gzip", "deflate", "identity")


@dataclass
class HostileHost:
    """A host whose next answer is given."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def handle(self, _request: httpx.Request) -> httpx.Response:
        # As a stream: a body that is given whole is unpacked before the client reads it.
        stream = httpx.ByteStream(self.body)
        return httpx.Response(self.status, headers=self.headers, stream=stream)


@cache
def _hostile() -> tuple[HostileHost, HttpTransport]:
    host = HostileHost()
    named = Host("http://127.0.0.1:1", TOKEN_TEXT)
    return host, HttpTransport([named], transport=httpx.MockTransport(host.handle))


def answer(raw: bytes) -> None:
    """Two bytes choose status, type and packing, the rest is what the host answers a client.

    It is read as an enclave's reply or as the host's own words; no error repeats the token.
    """
    host, client = _hostile()
    status, kind = raw[0] if raw else 0, raw[1] if len(raw) > 1 else 0
    host.status, host.body = STATUSES[status % len(STATUSES)], raw[2:]
    host.headers = {"content-type": KINDS_OF_BODY[kind % 4]}
    if packed := ENCODINGS[(kind >> 2) % 4]:
        host.headers["content-encoding"] = packed
    try:
        if kind >> 4 & 1:
            said = _loop().run_until_complete(client.tell(0, "turn", {"what": "ab" * 32}))
            assert isinstance(said, dict), "no object"
        else:
            _loop().run_until_complete(client.ask(0, Frame(KINDS[0])))
    except (InvalidInput, Refused, Unavailable) as exc:
        if TOKEN_TEXT in str(exc):
            raise AssertionError("the token in an error") from exc
        raise


def _answers() -> list[bytes]:
    problem = {"error": "InputSpent", "message": "the node does not know it", "hint": ""}
    turn = {"ticket": "x" * 32, "ahead": 0, "last": "cd" * 32}
    said = [json.dumps(each).encode() for each in (turn, problem)]
    whole = [b"\x00\x00" + each for each in _replies()]
    said.append(b"[" * 4_000)
    own = [bytes([status, 17]) + each for status in range(len(STATUSES)) for each in said]
    return [
        *whole,
        *own,
        b"\x00\x04" + gzip.compress(_replies()[0]),
        b"\x00\x15" + gzip.compress(said[0]),
    ]


def _bodies() -> list[bytes]:
    small = [
        {"what": "ab" * 32, "stays": True, "ticket": "x"},
        {"what": "ab" * 32, "ticket": "x" * 32, "txid": "cd" * 32},
    ]
    posted = [bytes([index, 4 + (index < 2)]) for index in range(len(PATHS))]
    found = [start + json.dumps(value).encode() for start in posted[:2] for value in small]
    for raw in _frames():
        kind = Frame.parse(raw).kind
        if kind in SUMMARIES:
            found.append(posted[PATHS.index(kind)] + raw)
    return [*found, *(start + Frame(KINDS[0]).raw for start in posted)]


TARGETS = (
    Target("HTTP body", body, _bodies, refusals=(Refused,), most=32_768, seconds=5.0),
    Target("host's answer", answer, _answers, refusals=(InvalidInput, Refused, Unavailable)),
)
