"""One JSON-RPC call to bitcoind over HTTP: the transport under `grail.bitcoin.node`.

The cookie is read from its file, and read again when the node restarted and made a new one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import httpx

from grail.errors import DecodeError, NodeError, TooLarge, Unavailable
from grail.tls import trusted

MAX_REPLY = 64_000_000
"""Bytes of one answer: a block of 4 MB in hex with its JSON, several times over."""


class Rpc:
    """A bitcoind over HTTP. The cookie file is read again when the node restarts with a new one.

    Every call raises `Unavailable` when the node cannot be reached or its answer is not whole after
    `timeout` seconds, `NodeError` (with `.code`) when it answers with an error, and `DecodeError`
    when the answer is malformed.
    """

    def __init__(
        self,
        url: str,
        cookie: Path | str,
        *,
        timeout: float = 30,
        max_reply: int = MAX_REPLY,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self.cookie = Path(cookie)
        self._timeout = timeout
        self._max_reply = max_reply
        self._ids = itertools.count(1)
        self._auth: httpx.BasicAuth | None = None
        # trust_env off: a proxy from the environment must not see a loopback node's cookie.
        # No timeout of httpx's: it counts from byte to byte, `_post` counts the whole answer.
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None), transport=transport, trust_env=False, verify=trusted()
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

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

    async def call(self, method: str, *params: Any, patience: float | None = None) -> Any:
        """One RPC call by name; numbers with a decimal point come back as `Decimal`.

        `patience` is in seconds, in place of `timeout`, for calls that wait on purpose.
        """
        request = self._request(method, params)
        status, raw = await self._authorized(method, request, patience)
        return self._result(method, self._json(method, status, raw), request["id"])

    async def batch(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        """Many calls of one method in one request; results in the order of `params`.

        Raises the first error among the answers.
        """
        if not params:
            return []
        requests = [self._request(method, item) for item in params]
        status, raw = await self._authorized(method, requests, None)
        replies = self._json(method, status, raw)
        if not isinstance(replies, list) or len(replies) != len(requests):
            raise DecodeError(f"node {self.url}: {method}: not one answer for each call")
        return [
            self._result(method, reply, request["id"])
            for reply, request in zip(replies, requests, strict=True)
        ]

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {
            "jsonrpc": "1.0",
            "id": next(self._ids),
            "method": method,
            "params": list(params),
        }

    async def _authorized(
        self, method: str, request: object, patience: float | None
    ) -> tuple[int, bytes]:
        body = json.dumps(request).encode()
        status, raw = await self._post(method, body, patience)
        if status == httpx.codes.UNAUTHORIZED:  # the node restarted: its cookie is new
            self._auth = None
            status, raw = await self._post(method, body, patience)
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise Unavailable(
                f"node {self.url}: the cookie was refused ({status})",
                hint=f"is {self.cookie} the cookie of this node?",
            )
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            raise Unavailable(f"node {self.url}: {method}: too many requests at once (503)")
        return status, raw

    async def _post(self, method: str, body: bytes, patience: float | None) -> tuple[int, bytes]:
        if self._auth is None:
            self._auth = self._read_cookie()
        raw = bytearray()
        try:
            with anyio.fail_after(self._timeout if patience is None else patience):
                async with self._http.stream(
                    "POST",
                    self.url,
                    content=body,
                    auth=self._auth,
                    headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
                ) as response:
                    if response.headers.get("content-encoding", "identity") != "identity":
                        raise DecodeError(f"node {self.url}: {method}: the answer is packed")
                    async for piece in response.aiter_bytes():
                        raw += piece
                        if len(raw) > self._max_reply:
                            raise TooLarge(
                                f"node {self.url}: {method}: more than {self._max_reply} bytes"
                            )
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise Unavailable(f"node {self.url}: {method}: no answer in time") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Unavailable(
                f"node {self.url}: {method}: {exc or type(exc).__name__}", hint="is the node up?"
            ) from exc
        return response.status_code, bytes(raw)

    def _read_cookie(self) -> httpx.BasicAuth:
        try:
            user, colon, password = self.cookie.read_text("ascii").strip().partition(":")
        except (OSError, UnicodeDecodeError) as exc:
            raise Unavailable(
                f"node {self.url}: no cookie at {self.cookie}", hint="is the node up?"
            ) from exc
        if not colon:
            raise Unavailable(f"node {self.url}: {self.cookie} holds no cookie")
        return httpx.BasicAuth(user, password)

    def _json(self, method: str, status: int, raw: bytes) -> object:
        try:
            return json.loads(raw, parse_float=Decimal, parse_constant=_no_constant)
        # InvalidOperation: a number whose exponent is more than a Decimal can have.
        except (ValueError, InvalidOperation, RecursionError) as exc:
            raise DecodeError(
                f"node {self.url}: {method}: the answer (HTTP {status}) is not JSON"
            ) from exc

    def _result(self, method: str, reply: object, request_id: int) -> Any:
        if not isinstance(reply, dict) or reply.get("id") != request_id:
            raise DecodeError(f"node {self.url}: {method}: not an answer to this request")
        error = reply.get("error")
        if isinstance(error, dict):
            code = error.get("code")
            text = str(error.get("message", ""))[:500]
            raise NodeError(f"{method}: {text}", code=code if isinstance(code, int) else 0)
        if error is not None or "result" not in reply:
            raise DecodeError(f"node {self.url}: {method}: neither a result nor an error")
        return reply["result"]


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")
