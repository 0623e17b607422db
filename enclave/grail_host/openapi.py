"""The OpenAPI 3.1 description, made from the very endpoints that are served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from grail.operators.frames import MAX_FRAME
from grail_host.api import CBOR, JSON, MAX_SMALL, Endpoint
from grail_host.problem import Problem

TITLE = "Grail Pro operator host"

FAILURES = {
    "400": "The body is not what it should be.",
    "401": "The bearer token is missing or wrong.",
    "403": "Another site's page called.",
    "408": "The body came too slowly.",
    "409": "The host refuses: an input is spent, or its witness is not valid.",
    "413": "The body is too long.",
    "415": "The body is of another type.",
    "421": "The host is not served under this name.",
    "429": "The requester asked for too much, or too many wait.",
    "503": "The enclave or the node is down.",
}
"""What the host itself may answer besides success; 421 and 403 on every path."""

EVERYWHERE = ("403", "421")


def describe(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """The description of these endpoints."""
    named = [kind for each in endpoints for kind in (each.body, each.result) if kind is not None]
    types: list[type[msgspec.Struct]] = [Problem, *dict.fromkeys(named)]
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    failures = FAILURES if endpoint.takes else {code: FAILURES[code] for code in EVERYWHERE}
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "responses": {
            "200": {"description": "The answer.", "content": {endpoint.gives: _answer(endpoint)}},
            **{code: _problem(text) for code, text in failures.items()},
        },
    }
    if endpoint.takes:
        operation["security"] = [{"token": []}]
        operation["requestBody"] = {
            "required": True,
            "description": _size(endpoint),
            "content": {endpoint.takes: {"schema": _body(endpoint)}},
        }
    return operation


def _size(endpoint: Endpoint) -> str:
    if endpoint.body is not None:
        return f"At most {MAX_SMALL} bytes."
    return f"One frame, [kind, body], at most {MAX_FRAME} bytes."


def _body(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.body is not None:
        return {"$ref": f"#/components/schemas/{endpoint.body.__name__}"}
    return {"type": "string", "format": "binary"}


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.result is not None:
        return {"schema": {"$ref": f"#/components/schemas/{endpoint.result.__name__}"}}
    if endpoint.gives == CBOR:
        return {"schema": {"type": "string", "format": "binary"}}
    return {"schema": {"type": "object"}}


def _problem(text: str) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {JSON: {"schema": reference}}}
