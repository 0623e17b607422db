"""The host by its own OpenAPI description: what is generated from it gets what it describes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from enclave_world import World
from host_world import PORT, TOKEN, Running, running
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from grail.codec import encode
from grail.operators.frames import KINDS
from grail.portal import Portal
from grail_host.api import CBOR, SUMMARIES

pytestmark = pytest.mark.ext

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "25"))
"""Requests for each path and mode."""

CHECKS = {
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
}

PATHS = ("/openapi.json", *(f"/v1/{each}" for each in ("status", "turn", "turn/done", *SUMMARIES)))


class Served:
    """A host with a real enclave behind it, on a loop of its own."""

    def __init__(self, portal: Portal, host: Running) -> None:
        self._portal, self._host = portal, host

    def ask(self, method: str, path: str, content: bytes, headers: dict[str, str]) -> Any:
        """One request through the whole application."""

        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(self._host.app, raise_app_exceptions=False),
                base_url=f"http://127.0.0.1:{PORT}",
            ) as client:
                return await client.request(method, path, content=content, headers=headers)

        return self._portal.call(asked)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    stack = contextlib.AsyncExitStack()
    folder = tmp_path_factory.mktemp("host")

    async def start() -> Running:
        return await stack.enter_async_context(running(World.begun(), folder))

    with Portal() as portal:
        host = portal.call(start)
        try:
            yield Served(portal, host)
        finally:
            portal.call(stack.aclose)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), 1 << 70) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
FRAMES = st.one_of(st.binary(), st.builds(encode, st.tuples(st.sampled_from(KINDS), VALUES)))
"""Bodies in CBOR: bytes of any kind, and well-formed frames of every kind."""


def content(body: object) -> bytes:
    """The body as it is sent: bytes as they are, everything else as JSON."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return json.dumps(body, default=str).encode("utf-8", "surrogatepass")


def plain(headers: Any) -> dict[str, str]:
    """What HTTP can carry of generated headers."""
    return {k: str(v) for k, v in dict(headers or {}).items() if str(v).isascii()}


# Bodies in CBOR are any bytes to the description, so there are no wrong ones.
@pytest.mark.parametrize(
    ("path", "mode"),
    [(path, "positive") for path in PATHS] + [(path, "negative") for path in PATHS[2:4]],
)
def test_B12_every_answer_is_one_that_the_description_names(
    served: Served, path: str, mode: str
) -> None:
    """No status, type or body but those described; of 5xx only 503, whatever is generated."""
    schemathesis = pytest.importorskip("schemathesis", reason="the group `fuzz` is not installed")

    schemathesis.openapi.media_type(CBOR, FRAMES)
    own = {"Authorization": f"Bearer {TOKEN}"}
    description = served.ask("GET", "/openapi.json", b"", own).json()
    schema = schemathesis.openapi.from_dict(description)
    method = next(iter(description["paths"][path])).upper()
    wanted = [check for check in schemathesis.checks.CHECKS.get_all() if check.__name__ in CHECKS]
    assert len(wanted) == len(CHECKS)
    statuses: set[int] = set()

    @given(case=schema[path][method].as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def conforms(case: Any) -> None:
        body = b"" if method == "GET" else content(case.body)
        kind = {} if method == "GET" else {"Content-Type": case.media_type or "text/plain"}
        answer = served.ask(method, path, body, {**plain(case.headers), **own, **kind})
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=wanted)

    conforms()
    assert statuses, "nothing was asked"
    if path.startswith("/v1/turn") and mode == "positive":
        assert statuses & {200, 400}
