"""Frames through a host to a real enclave: relayed, looked at before, bounded, described."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

import httpx
import pytest
from enclave_world import ALICE, World
from starlette.routing import Route

from grail.bitcoin.psbt import Psbt
from grail.operators import frames
from grail.operators.evidence import SigningRequest
from grail.operators.frames import MAX_FRAME, Frame, Reply, Status
from grail.operators.messages import Vote
from grail.types import Txid
from grail_host import api
from grail_host.api import SUMMARIES, HostStatus
from grail_host.problem import Problem
from grail_host.quota import Quota


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


async def post(client: httpx.AsyncClient, frame: Frame, **more: Any) -> httpx.Response:
    return await client.post(f"/v1/{frame.kind}", content=frame.raw, **more)


@pytest.fixture(scope="module")
def peg_in(world: World) -> bytes:
    """A request whose only input is the quorum's."""
    return world.request(world.peg_in(*world.paid())).serialize()


@pytest.fixture(scope="module")
def peg_out(world: World) -> SigningRequest:
    """A request with an input of a user's, which the host looks at."""
    tx, minted = world.served()
    world.confirm(tx)
    held = world.coin(tx, 1, {world.zkbtc.token: minted})
    return world.request(world.peg_out(world.coin(tx, 0), held, minted // 2), ALICE)


def test_a_vote_goes_through_and_comes_back(host, peg_in):
    async def main() -> None:
        async with host() as running, running.client() as client:
            answer = await post(client, frames.vote_frame(peg_in))
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/cbor"
            vote = Vote.parse(Reply.parse(answer.content).unwrap())
            assert vote.head.sender == 0
            again = await post(client, frames.vote_frame(peg_in))
            assert again.content == answer.content

    run(main())


def test_status_tells_of_host_and_enclave_and_needs_no_token(host, world):
    async def main() -> None:
        async with host() as running, running.client(Authorization="") as client:
            told = (await client.get("/v1/status")).json()
            assert (told["enclave"], told["height"]) == ("up", world.chain.height)
            assert set(told) == set(HostStatus.__struct_fields__)
        async with host() as running, running.client() as client:
            raw = (await post(client, Frame(frames.STATUS))).content
            assert Status.from_fields(Reply.parse(raw).unwrap()).index == 0

    run(main())


def test_an_alarm_is_heard_outside(host):
    """Who looks after an operator has to learn why it signs nothing any more."""
    txid = Txid(b"\x07" * 32)

    async def main() -> None:
        async with host() as running, running.client() as client:
            assert (await client.get("/v1/status")).json()["alarm"] is None
            running.enclave._audit.alarm = txid
            assert (await client.get("/v1/status")).json()["alarm"] == str(txid)

    run(main())


def test_what_cannot_be_read_is_refused_by_the_enclave_and_signed(host):
    """The host does not judge a request: the enclave's own word is what counts."""

    async def main() -> None:
        async with host() as running, running.client() as client:
            frame = frames.vote_frame(b"no request at all")
            reply = Reply.parse((await post(client, frame)).content)
            assert reply.refusal is not None
            key = running.enclave._key.public
            reply.refusal.verify(running.enclave.network_id, key, frame.subject)

    run(main())


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/v1/vote", b"", "Truncated"),
        ("/v1/vote", b"\xff", "DecodeError"),
        ("/v1/vote", b"\x82", "Truncated"),
        ("/v1/vote", Frame(frames.SIGN, b"").raw, "DecodeError"),
        ("/v1/vote", b"\x82\x64none\x00", "DecodeError"),
        ("/v1/vote", frames.vote_frame(b"x").raw + b"\x00", "TrailingBytes"),
        ("/v1/vote", b"\x81" * 200, "TooDeep"),
    ],
)
def test_a_malformed_body_is_a_typed_problem(host, path, body, error):
    async def main() -> None:
        async with host() as running, running.client() as client:
            answer = await client.post(path, content=body)
            assert (answer.status_code, answer.json()["error"]) == (400, error)
            assert set(answer.json()) == set(Problem.__struct_fields__)

    run(main())


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "application/x-www-form-urlencoded", ""]
)
def test_D2_a_form_or_simple_request_is_refused(host, kind):
    """What a page can send without a preflight carries one of these types."""

    async def main() -> None:
        async with host() as running, running.client(**{"Content-Type": kind}) as client:
            answer = await client.post("/v1/status", content=Frame(frames.STATUS).raw)
            assert (answer.status_code, answer.json()["error"]) == (415, "ContentType")

    run(main())


def test_headers_are_no_business_of_callers(host):
    async def main() -> None:
        async with host() as running, running.client() as client:
            assert (await post(client, Frame(frames.HEADERS, []))).status_code == 404

    run(main())


def test_S33_a_body_too_long_is_cut_off_before_it_is_held(host):
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1 << 20
            yield bytes(1 << 20)

    async def main() -> None:
        async with host() as running, running.client() as client:
            announced = await client.post(
                "/v1/vote", content=b"x", headers={"Content-Length": str(MAX_FRAME + 1)}
            )
            assert (announced.status_code, announced.json()["error"]) == (413, "TooLarge")
            chunked = await client.post("/v1/vote", content=endless())
            assert (chunked.status_code, chunked.json()["error"]) == (413, "TooLarge")

    run(main())
    assert read < MAX_FRAME + (4 << 20)


def test_a_body_that_comes_too_slowly_is_given_up(host, monkeypatch):
    monkeypatch.setattr(api, "BODY_SECONDS", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"\x82"
        await asyncio.sleep(5)

    async def main() -> None:
        async with host() as running, running.client() as client:
            answer = await client.post("/v1/vote", content=slow())
            assert (answer.status_code, answer.json()["error"]) == (408, "BodySlow")

    run(main())


def test_S33_a_requester_has_a_quota(host, peg_in):
    async def main() -> None:
        quota = Quota(3, 10**9, clock=lambda: 0.0)
        async with host(quota=quota) as running, running.client() as client:
            codes = [(await post(client, Frame(frames.STATUS))).status_code for _ in range(5)]
            assert codes == [200, 200, 200, 429, 429]
            assert (await client.get("/v1/status")).status_code == 429  # it reaches the enclave too
        quota = Quota(10**6, len(frames.vote_frame(peg_in).raw), clock=lambda: 0.0)
        async with host(quota=quota) as running, running.client() as client:
            assert (await post(client, frames.vote_frame(peg_in))).status_code == 200
            over = await post(client, frames.vote_frame(peg_in))
            assert (over.status_code, over.json()["error"]) == (429, "QuotaExceeded")
            assert over.json()["hint"] == "wait 60 s"

    run(main())


def test_an_enclave_that_is_down_is_said_so_and_found_again(host, peg_in):
    async def main() -> None:
        async with host() as running, running.client() as client:
            await post(client, frames.vote_frame(peg_in))
            running.link._path = running.socket.with_name("nobody.sock")
            await running.link.aclose()
            down = await post(client, frames.vote_frame(peg_in))
            assert (down.status_code, down.json()["error"]) == (503, "Unavailable")
            assert "enclave is down" in down.json()["message"]
            assert (await client.get("/v1/status")).json()["enclave"].startswith("down")
            running.link._path = running.socket
            assert (await post(client, frames.vote_frame(peg_in))).status_code == 200

    run(main())


def test_a_node_that_is_down_is_said_so(host, peg_in):
    async def main() -> None:
        async with host() as running, running.client() as client:
            running.node.down = True
            down = await post(client, frames.vote_frame(peg_in))
            assert (down.status_code, down.json()["error"]) == (503, "Unavailable")

    run(main())


def test_G11_a_users_spent_input_gets_no_vote(host, peg_out):
    """A vote for what can never confirm would hold a pool for nothing."""

    async def main() -> None:
        async with host() as running, running.client() as client:
            tx = Psbt.parse(peg_out.psbt).tx
            signed = [
                i for i, x in enumerate(Psbt.parse(peg_out.psbt).inputs) if x.final_script_witness
            ]
            running.node.spent.add(tx.inputs[signed[0]].outpoint)
            before = running.enclave.state_hash()
            frame = frames.vote_frame(peg_out.serialize())
            answer = await post(client, frame)
            assert (answer.status_code, answer.json()["error"]) == (409, "InputSpent")
            assert running.enclave.state_hash() == before
            # Nor when another family that waits is what spends it.
            other = replace(tx, outputs=tx.outputs[:-1])
            running.node.mempool[str(other.txid)] = other.serialize().hex()
            assert (await post(client, frame)).status_code == 409
            # Spent by this very transaction, which waits in the mempool: asked again, no refusal.
            running.node.mempool[str(tx.txid)] = ""
            assert (await post(client, frame)).status_code == 200

    run(main())


def opened(body: bytes) -> frames.Frame:
    return frames.open_frame(16, body)


def test_G11_a_users_invalid_witness_gets_no_vote(host, peg_out):
    async def main() -> None:
        async with host() as running, running.client() as client:
            psbt = Psbt.parse(peg_out.psbt)
            index = next(i for i, x in enumerate(psbt.inputs) if x.final_script_witness)
            witness = psbt.inputs[index].final_script_witness
            assert witness is not None
            wrong = (bytes([witness[0][0] ^ 1]) + witness[0][1:], *witness[1:])
            guarded = next(i for i, x in enumerate(psbt.inputs) if x.tap_leaf_scripts)
            bodies = [
                replace(peg_out, psbt=spoiled.serialize()).serialize()
                for spoiled in (
                    psbt.with_input(index, final_script_witness=wrong),
                    # Nobody but its user could finish it then, and it would hold the vault.
                    psbt.with_input(guarded, tap_leaf_scripts=()),
                )
            ]
            asked = [make(body) for body in bodies for make in (frames.vote_frame, opened)]
            for frame in asked:
                answer = await post(client, frame)
                assert (answer.status_code, answer.json()["error"]) == (409, "WitnessInvalid")
            good = await post(client, frames.vote_frame(peg_out.serialize()))
            assert good.status_code == 200

    run(main())


def test_the_description_is_that_of_the_routes(host):
    """Every route is described with its method, and nothing else is."""

    async def main() -> None:
        async with host() as running, running.client() as client:
            described = (await client.get("/openapi.json")).json()
            served = {
                (route.path, method.lower())
                for route in running.app.routes
                if isinstance(route, Route)
                for method in (route.methods or ()) - {"HEAD"}
            }
            told = {(path, method) for path, item in described["paths"].items() for method in item}
            assert told == served
            assert described["openapi"] == "3.1.0"
            assert {f"/v1/{kind}" for kind in SUMMARIES} <= described["paths"].keys()
            names = [
                operation["operationId"]
                for item in described["paths"].values()
                for operation in item.values()
            ]
            assert len(names) == len(set(names))

    run(main())


def test_the_description_refers_to_schemas_that_are_there_and_match_the_answers(host):
    async def main() -> None:
        async with host() as running, running.client() as client:
            described = (await client.get("/openapi.json")).json()
            schemas = described["components"]["schemas"]
            status = (await client.get("/v1/status")).json()
            assert set(schemas["HostStatus"]["properties"]) == set(status)
            assert set(schemas["Problem"]["properties"]) == set(Problem.__struct_fields__)
            assert set(references(described)) == {
                f"#/components/schemas/{name}" for name in schemas
            }
            for path, item in described["paths"].items():
                post_ = item.get("post")
                if post_:
                    assert post_["security"] == [{"token": []}], path

    run(main())


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        return [
            found
            for key, inner in value.items()
            for found in ([inner] if key == "$ref" else references(inner))
        ]
    return (
        [found for inner in value for found in references(inner)] if isinstance(value, list) else []
    )


def test_a_caller_that_leaves_is_no_error(host, peg_in):
    async def main() -> None:
        async with host() as running, running.client() as client:
            asking = asyncio.create_task(post(client, frames.vote_frame(peg_in)))
            await asyncio.sleep(0)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            assert (await post(client, frames.vote_frame(peg_in))).status_code == 200

    run(main())
