"""Who may call at all, checked before a handler sees anything (threats D1, D2, D3).

A name that a website rebound to this machine is refused by its Host header, another website's
request by its Origin, and anything that changes state without the token. No CORS header is ever
sent, so no browser lets another site read an answer.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from grail_host.problem import problem

NAMES = ("127.0.0.1", "localhost")
"""What this host may be called; each with its own port, or without one."""

SAFE_METHODS = ("GET", "HEAD")

HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


class Guard:
    """ASGI middleware: Host, Origin, token, in this order."""

    def __init__(self, app: ASGIApp, *, port: int, token: str) -> None:
        self._app = app
        self._hosts = {name for each in NAMES for name in (each, f"{each}:{port}")}
        self._origins = {f"http://{each}:{port}" for each in NAMES}
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed; answer the rest."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There is no websocket here: refuse the handshake, whatever it asks for.
            await send({"type": "websocket.close", "code": 1008})
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        refusal = self._refusal(scope["method"], scope["headers"])
        if refusal is None:
            await self._app(scope, receive, sealed)
        else:
            await problem(*refusal)(scope, receive, sealed)

    def _refusal(
        self, method: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[int, str, str] | None:
        values: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            values.setdefault(name.lower(), []).append(value)
        hosts = [value.decode("latin-1").lower() for value in values.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 421, "HostForbidden", "this name is not served here"
        origins = [value.decode("latin-1").lower() for value in values.get(b"origin", [])]
        if any(origin not in self._origins for origin in origins):
            return 403, "OriginForbidden", "another site's pages may not call this host"
        if method not in SAFE_METHODS and not self._known(values.get(b"authorization", [])):
            return 401, "TokenMissing", "the bearer token is missing or wrong"
        return None

    def _known(self, authorization: list[bytes]) -> bool:
        if len(authorization) != 1:
            return False
        scheme, _, given = authorization[0].partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given, self._token)
