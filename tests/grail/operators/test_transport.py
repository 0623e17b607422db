"""The HTTP transport: where a frame goes, and what each kind of answer becomes."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import httpx
import pytest

from grail.errors import DecodeError, GrailError, Refused, TooLarge, Unavailable
from grail.operators import frames
from grail.operators.frames import MAX_FRAME, Frame, Reply
from grail.operators.report import LATE, REFUSED, SILENT, Report
from grail.operators.transport import Host, HttpTransport

TOKEN = "a secret of this test"
CBOR = {"content-type": "application/cbor"}


def ask(handler: Callable[[httpx.Request], httpx.Response], frame: Frame) -> Reply:
    async def main() -> Reply:
        hosts = [Host("http://127.0.0.1:1", TOKEN), Host("http://127.0.0.1:2", TOKEN)]
        async with HttpTransport(hosts, transport=httpx.MockTransport(handler)) as transport:
            assert TOKEN not in repr(transport) + repr(transport.hosts)
            return await transport.ask(1, frame)

    return asyncio.run(main())


def test_a_frame_is_posted_to_its_kind_with_the_token():
    def handler(request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("POST", "http://127.0.0.1:2/v1/vote")
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-type"] == "application/cbor"
        assert request.content == frames.vote_frame(b"r").raw
        return httpx.Response(200, content=Reply([1, 2]).serialize(), headers=CBOR)

    assert ask(handler, frames.vote_frame(b"r")) == Reply([1, 2])


def fail(exc: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def handler(_request: httpx.Request) -> httpx.Response:
        raise exc

    return handler


def give(status: int, **more: object) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(status, **more)  # type: ignore[arg-type]


PACKED = gzip.compress(bytes(16 * MAX_FRAME))
"""A small answer that would be sixteen times what a frame may hold."""
PROBLEM = {"error": "InputSpent", "message": "the node does not know it", "hint": ""}


@pytest.mark.parametrize(
    ("handler", "error", "said"),
    [
        (fail(httpx.ConnectError("refused")), Unavailable, "ConnectError refused"),
        (fail(httpx.ReadTimeout("slow")), Unavailable, "no answer in time"),
        (fail(httpx.RemoteProtocolError("cut")), Unavailable, "RemoteProtocolError"),
        (give(503, json=PROBLEM), Unavailable, "HTTP 503: InputSpent"),
        (give(401, json=PROBLEM), Unavailable, "HTTP 401"),
        (give(409, json=PROBLEM), Refused, "InputSpent: the node does not know it"),
        (give(409, content=b"<html>"), Unavailable, "HTTP 409"),
        (give(409, json=["InputSpent"]), Unavailable, "HTTP 409"),
        (give(500, content=b"\xff\xfe"), Unavailable, "HTTP 500"),
        (give(302, headers={"location": "http://evil.example"}), Unavailable, "HTTP 302"),
        (give(200, content=b"\x82", headers=CBOR), DecodeError, "end inside"),
        (give(200, content=b"<html>", headers={"content-type": "text/html"}), DecodeError, "CBOR"),
        (give(200, content=bytes(MAX_FRAME + 1), headers=CBOR), TooLarge, "longer"),
        (
            give(200, content=PACKED, headers={**CBOR, "content-encoding": "gzip"}),
            DecodeError,
            "packed",
        ),
    ],
)
def test_what_goes_wrong_is_a_typed_error(handler, error, said):
    with pytest.raises(error, match=said) as caught:
        ask(handler, Frame(frames.STATUS))
    assert isinstance(caught.value, GrailError)
    assert TOKEN not in str(caught.value)


def test_a_report_says_how_many_and_names_who():
    report = Report()
    for operator in range(11):
        report.add("voted", operator, "voted", "", 0.1)
    for operator in range(11, 15):
        report.add("voted", operator, SILENT, "connection refused", 0.1)
    report.add("voted", 15, LATE, "", 0.0)
    error = report.failure("voted", 11, 12)
    assert error.rule == "QuorumNotReached"
    assert "11 of 12 operators voted; no answer from operator 11, operator 12" in str(error)
    assert error.replies["operator 11"] == "silent: connection refused"
    assert error.replies["operator 0"] == "voted"
    assert len(error.replies) == 16


def test_a_report_takes_the_rule_of_most_refusals_when_they_made_it_impossible():
    report = Report()
    for operator in range(16):
        rule = "ProofInvalid" if operator < 14 else "FeeOutOfRange"
        report.add("voted", operator, REFUSED, f"{rule}: no", 0.1)
    assert report.failure("voted", 0, 12).rule == "ProofInvalid"
    few = Report()
    for operator in range(16):
        few.add("voted", operator, REFUSED if operator < 4 else SILENT, "ViewStale: no", 0.1)
    assert few.failure("voted", 0, 12).rule == "QuorumNotReached"
