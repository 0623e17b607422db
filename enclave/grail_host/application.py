"""The ASGI application: endpoints, their description, and the guard in front of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from grail_host.api import JSON, Endpoint
from grail_host.guard import Guard
from grail_host.openapi import describe
from grail_host.problem import problem

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

DESCRIPTION = "/openapi.json"


def application(
    endpoints: Sequence[Endpoint],
    *,
    port: int,
    token: str,
    version: str,
    lifespan: Lifespan | None = None,
) -> Starlette:
    """Serve these endpoints and their description, to whoever the guard lets through."""

    async def description(_request: Request) -> Response:
        return Response(described, media_type=JSON)

    own = Endpoint("GET", DESCRIPTION, "getDescription", "This description.", description)
    every = (*endpoints, own)
    described = msgspec.json.encode(describe(every, version))
    return Starlette(
        routes=[Route(e.path, e.handler, methods=[e.method], name=e.name) for e in every],
        middleware=[Middleware(Guard, port=port, token=token)],
        exception_handlers={HTTPException: _http_problem, Exception: _crashed},
        lifespan=lifespan,
    )


async def _http_problem(_request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    return problem(status, {404: "NotFound", 405: "MethodNotAllowed"}.get(status, "Http"), str(exc))


async def _crashed(_request: Request, _exc: Exception) -> Response:
    """Nothing of the exception is shown: its text may hold anything."""
    return problem(500, "HostFailed", "the host failed; its log says more")
