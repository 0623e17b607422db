"""How a frame reaches an operator and its reply comes back: one method, over HTTP or in memory."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
import httpx

from grail.errors import DecodeError, GrailError, Refused, TooLarge, Unavailable
from grail.operators.frames import MAX_FRAME, Frame, Reply
from grail.tls import trusted

CBOR = "application/cbor"
JSON = "application/json"

MAX_PROBLEM = 4_096
"""Bytes of a host's own JSON answer."""


class Transport(Protocol):
    """The one seam between the client and the operators."""

    async def ask(self, operator: int, frame: Frame) -> Reply:
        """An operator's reply to a frame; refusals come back as replies, unverified.

        Raises `Unavailable` when there is none, `Refused` when its host would not pass the frame
        on, `DecodeError` when the reply cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Host:
    """Where an operator's host listens, and the token that it wants."""

    url: str
    token: str = field(repr=False)


NOBODY = Host("http://127.0.0.1:9", "")
"""In the place of a host that is not known, or did not answer."""


class HttpTransport:
    """The operators' hosts over HTTP, in the order of their ranks in the roster."""

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        timeout: float = 30,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.hosts = tuple(hosts)
        # trust_env off: a proxy from the environment must not see a token for loopback.
        self._http = httpx.AsyncClient(
            timeout=timeout,
            transport=transport,
            trust_env=False,
            verify=trusted(),
            limits=httpx.Limits(max_connections=256, max_keepalive_connections=64),
        )

    def __repr__(self) -> str:
        return f"HttpTransport({len(self.hosts)} hosts)"

    async def ask(self, operator: int, frame: Frame) -> Reply:
        """Post the frame to /v1/<kind>. Raises `Unavailable`, `Refused` or `DecodeError`."""
        host = self.hosts[operator]
        response, raw = await self._post(host, frame.kind, frame.raw, CBOR)
        if response.headers.get("content-type", "").partition(";")[0] != CBOR:
            raise DecodeError(f"host {host.url}: the answer is no CBOR")
        return Reply.parse(raw)

    async def tell(
        self, operator: int, path: str, body: Mapping[str, str | bool]
    ) -> dict[str, Any]:
        """Post something that is the host's own business. Raises as `ask`."""
        host = self.hosts[operator]
        _, raw = await self._post(host, path, json.dumps(dict(body)).encode(), JSON)
        try:
            said = json.loads(raw[:MAX_PROBLEM])
        except (ValueError, RecursionError) as exc:
            raise DecodeError(f"host {host.url}: the answer is no JSON") from exc
        if not isinstance(said, dict):
            raise DecodeError(f"host {host.url}: the answer is no JSON object")
        return said

    async def _post(
        self, host: Host, path: str, body: bytes, kind: str
    ) -> tuple[httpx.Response, bytes]:
        headers = {
            "Authorization": f"Bearer {host.token}",
            "Content-Type": kind,
            "Accept-Encoding": "identity",
        }
        try:
            async with self._http.stream(
                "POST", f"{host.url}/v1/{path}", content=body, headers=headers
            ) as response:
                raw = await _read(response, host.url)
        except httpx.TimeoutException as exc:
            raise Unavailable(f"host {host.url}: no answer in time") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Unavailable(f"host {host.url}: {type(exc).__name__} {exc}".rstrip()) from exc
        if response.status_code != httpx.codes.OK:
            raise _refusal(host.url, response.status_code, raw)
        return response, raw

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _refusal(url: str, status: int, raw: bytes) -> GrailError:
    """What a host says on its own account: its word alone, so it counts as a refusal of one."""
    try:
        said = json.loads(raw[:MAX_PROBLEM])
        error, message = str(said["error"])[:60], str(said["message"])[:500]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Unavailable(f"host {url}: HTTP {status}")
    if status == httpx.codes.CONFLICT:
        return Refused(error, message)
    return Unavailable(f"host {url}: HTTP {status}: {error}: {message}")


async def _read(response: httpx.Response, url: str) -> bytes:
    """The body, never more than a frame may hold, and never packed: a few bytes would be many."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise DecodeError(f"host {url}: the answer is packed, though nobody asked for that")
    pieces, size = [], 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > MAX_FRAME:
            raise TooLarge(f"host {url}: the answer is longer than {MAX_FRAME} bytes")
        pieces.append(piece)
    return b"".join(pieces)


@dataclass(slots=True)
class Fault:
    """What goes wrong on the way to one operator.

    `delay` is in seconds; `tamper` gets the reply's bytes and gives others; `duplicate` delivers
    the frame twice.
    """

    dead: bool = False
    delay: float = 0
    duplicate: bool = False
    tamper: Callable[[Frame, bytes], bytes] | None = None


@dataclass
class MemoryTransport:
    """The operators in this process: each is a function from frame bytes to reply bytes.

    Everything crosses as bytes, as it would on a wire; `faults` says what goes wrong, by operator.
    """

    peers: Sequence[Callable[[bytes], Awaitable[bytes]]]
    faults: dict[int, Fault] = field(default_factory=dict)

    async def ask(self, operator: int, frame: Frame) -> Reply:
        """Hand the frame over, with this operator's fault. Raises as `Transport.ask`."""
        fault = self.faults.get(operator) or Fault()
        if fault.dead:
            raise Unavailable(f"operator {operator}: connection refused")
        await anyio.sleep(fault.delay)
        raw = await self.peers[operator](frame.raw)
        if fault.duplicate:
            raw = await self.peers[operator](frame.raw)
        if fault.tamper is not None:
            raw = fault.tamper(frame, raw)
        return Reply.parse(raw)
