"""The host's parts: following the node, the line to the enclave, finishing, quota, settings."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from enclave_world import ROSTER, World, sign, vote
from kernel import verify_spend
from peers_in_memory import reach

from grail.bitcoin.spv import HeaderChain
from grail.bitcoin.tx import Tx
from grail.errors import InvalidInput, Refused, Unavailable
from grail.operators import frames
from grail.operators.frames import MAX_FRAME, Frame, Reply, lengthened
from grail.operators.messages import Vote
from grail.operators.transport import Host
from grail_host import follower
from grail_host.__main__ import main as host_main
from grail_host.link import Link
from grail_host.quota import MAX_REQUESTERS, Quota
from grail_host.settings import LOOPBACK, read_settings


def test_the_enclave_is_shown_new_blocks_once(host, world):
    async def main() -> None:
        async with host() as running:
            world.chain.mine_many(3)
            await running.follower.sync()
            assert running.enclave._headers.tip.height == world.chain.height
            calls = len(running.node.calls)
            await running.follower.sync()
            assert running.node.calls[calls:] == ["getbestblockhash"]

    asyncio.run(main())


def test_an_enclave_that_started_anew_is_shown_all_headers_again(host, world, monkeypatch):
    monkeypatch.setattr(follower, "PAUSE", 0.01)

    async def main() -> None:
        async with host() as running:
            following = asyncio.create_task(running.follower.run())
            try:
                running.enclave._headers = HeaderChain(
                    world.network.chain, world.configuration.pinned
                )
                async with asyncio.timeout(10):
                    while running.enclave._headers.tip.height != world.chain.height:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    asyncio.run(main())


def test_S12_after_a_reorganisation_the_heavier_branch_is_shown(host, world):
    async def main() -> None:
        kept = world.chain
        async with host() as running:
            try:
                world.chain = kept.fork(kept.height - 2)
                world.chain.mine_many(4)
                # The node still knows the blocks that it left: they are off its best chain.
                running.node.left = kept
                await running.follower.sync()
                tip = running.enclave._headers.tip
                assert tip.hash == world.chain.blocks[-1].header.hash
                assert tip.height == kept.height + 2
            finally:
                world.chain = kept

    asyncio.run(main())


def test_a_node_that_lacks_the_enclaves_block_is_waited_for(host, world):
    async def main() -> None:
        kept = world.chain
        async with host() as running:
            try:
                world.chain = kept.fork(kept.height - 2)
                world.chain.mine()
                with pytest.raises(Unavailable, match="does not know the enclave's block"):
                    await running.follower.sync()
            finally:
                world.chain = kept

    asyncio.run(main())


# The line to the enclave

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(path: Path, talk: Talk) -> AsyncIterator[None]:
    writers: list[asyncio.StreamWriter] = []

    async def talked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await talk(reader, writer)

    server = await asyncio.start_unix_server(talked, path)
    async with server:
        yield
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def one_frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "little"))


def test_A14_a_cut_reply_is_an_error_and_the_next_frame_is_served(tmp_path):
    """The enclave dies in the middle of a reply; what was read of it never answers another frame."""
    turns = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turns
        turns += 1
        whole = lengthened(await one_frame(reader))
        writer.write(whole[:-1] if turns == 1 else whole)
        await writer.drain()
        writer.close()

    async def main() -> None:
        link = Link(tmp_path / "s", seconds=2)
        async with listening(tmp_path / "s", talk):
            with pytest.raises(Unavailable, match="cut"):
                await link.ask_raw(b"one")
            assert await link.ask_raw(b"two") == b"two"
            # The line was closed by the other side: found out, and made again.
            assert await link.ask_raw(b"three") == b"three"
            await link.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("prefix", [b"\xff\xff\xff\xff", (MAX_FRAME + 1).to_bytes(4, "little")])
def test_A14_a_reply_that_announces_too_much_is_not_read(tmp_path, prefix):
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one_frame(reader)
        writer.write(prefix)
        await writer.drain()
        await reader.read()
        writer.close()

    async def main() -> None:
        link = Link(tmp_path / "s", seconds=2)
        async with listening(tmp_path / "s", talk):
            with pytest.raises(Unavailable, match="cannot be read"):
                await link.ask_raw(b"x")
            await link.aclose()

    asyncio.run(main())


def test_A14_a_late_reply_answers_no_other_frame(tmp_path):
    """The first question times out; its answer comes later, on a line that is closed by then."""
    first = True

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        with contextlib.suppress(EOFError, OSError):
            while True:
                frame = await one_frame(reader)
                late, first = first, False
                if late:
                    await asyncio.sleep(0.2)
                writer.write(lengthened(frame))
                await writer.drain()
        writer.close()

    async def main() -> None:
        link = Link(tmp_path / "s", seconds=0.1)
        async with listening(tmp_path / "s", talk):
            with pytest.raises(Unavailable, match="no answer in"):
                await link.ask_raw(b"slow")
            for word in (b"a", b"b", b"c"):
                assert await link.ask_raw(word) == word
            await asyncio.sleep(0.3)
            assert await link.ask_raw(b"d") == b"d"
            await link.aclose()

    asyncio.run(main())


# Finishing


async def finished(running: Any) -> None:
    """Until the finisher has nothing left to do."""
    async with asyncio.timeout(30):
        await asyncio.gather(*running.finisher._pending.values())


def test_S17_what_was_signed_and_then_kept_is_published_by_a_host(host, world: World):
    """The user has twelve signatures in his pocket; the operators do not wait for him."""
    built = world.peg_in(*world.paid())
    request, enclaves = world.request(built), world.enclaves()
    votes = [vote(enclave, request) for enclave in enclaves]
    for enclave in enclaves[:12]:
        assert sign(enclave, request, votes).refusal is None
    certificate = [Vote.parse(reply.unwrap()) for reply in votes[:12]]
    hosts = tuple(Host(f"http://peer/{i}", "") for i in range(16))[::-1]

    async def main() -> None:
        made = host(peers=hosts, connect=reach(enclaves))
        async with made as running, running.client() as client:
            frame = frames.sign_frame(certificate, request.serialize())
            answer = await client.post("/v1/sign", content=frame.raw)
            assert Reply.parse(answer.content).refusal is None
            await finished(running)
            raw = running.node.mempool[str(built.tx.txid)]
            verify_spend(Tx.parse(bytes.fromhex(raw)).serialize(), built.spent_outputs)
            assert running.node.calls.count("sendrawtransaction") == 1

    asyncio.run(main())


def test_S17_what_its_user_published_is_left_alone(host, world: World):
    built = world.peg_in(*world.paid())
    request, enclaves = world.request(built), world.enclaves()
    votes = [Vote.parse(vote(enclave, request).unwrap()) for enclave in enclaves]
    hosts = tuple(Host(f"http://peer/{i}", "") for i in range(16))

    async def main() -> None:
        made = host(peers=hosts, connect=reach(enclaves))
        async with made as running, running.client() as client:
            running.node.spent |= {txin.outpoint for txin in built.tx.inputs}
            frame = frames.sign_frame(votes, request.serialize())
            await client.post("/v1/sign", content=frame.raw)
            await finished(running)
            assert "sendrawtransaction" not in running.node.calls

    asyncio.run(main())


def test_a_refused_signature_is_not_finished(host, world: World):
    request = world.request(world.peg_in(*world.paid()))

    async def main() -> None:
        hosts = (Host("http://peer/0", ""),)
        made = host(peers=hosts, connect=reach([]))
        async with made as running, running.client() as client:
            frame = frames.sign_frame([], request.serialize())
            reply = Reply.parse((await client.post("/v1/sign", content=frame.raw)).content)
            assert reply.refusal is not None
            assert reply.refusal.rule == "NotDecided"
            assert not running.finisher._pending

    asyncio.run(main())


def test_the_status_names_the_roster(host):
    """What a finisher needs to count votes: all keys, and how many of them."""

    async def main() -> None:
        async with host() as running:
            reply = await running.link.ask(Frame(frames.STATUS))
            status = frames.Status.from_fields(reply.unwrap())
            assert (status.keys, status.quorum) == (ROSTER.keys, 12)

    asyncio.run(main())


# Quota


def test_S33_a_quota_refills_evenly_and_counts_each_requester_apart():
    now = [0.0]
    quota = Quota(60, 6_000, clock=lambda: now[0])
    for _ in range(60):
        quota.take("a", 10)
    with pytest.raises(Refused, match="QuotaExceeded") as caught:
        quota.take("a", 10)
    assert caught.value.hint == "wait 1 s"
    quota.take("b", 6_000)
    with pytest.raises(Refused):
        quota.take("b", 1)
    now[0] = 2.0
    quota.take("a", 10)
    quota.take("a", 10)
    with pytest.raises(Refused):
        quota.take("a", 10)
    now[0] = 10**6
    for _ in range(60):
        quota.take("a", 1)
    with pytest.raises(Refused):
        quota.take("a", 1)


def test_S33_a_quota_remembers_a_bounded_number():
    quota = Quota(2, 100, clock=lambda: 0.0)
    for number in range(MAX_REQUESTERS + 10):
        quota.take(str(number), 1)
    assert len(quota._left) == MAX_REQUESTERS


# Settings


def settings(folder: Path, **changes: object) -> Path:
    path = folder / "host.json"
    good = {
        "socket": "e.sock",
        "port": 18_000,
        "token": "t" * 32,
        "node": {"url": "http://127.0.0.1:1", "cookie": "c"},
        "configuration": str(folder / "configuration.json"),
    }
    path.write_text(json.dumps({k: v for k, v in (good | changes).items() if v is not None}))
    return path


def test_settings_are_read_and_show_no_token(tmp_path):
    peers_ = [{"url": "http://127.0.0.1:2", "token": "p" * 32}]
    found = read_settings(settings(tmp_path, peers=peers_))
    assert found.port == 18_000
    assert "ttt" not in repr(found)
    assert "ppp" not in repr(found.peers)


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "short"},
        {"token": None},
        {"port": 0},
        {"port": 70_000},
        {"port": "18000"},
        {"host": "0.0.0.0"},
        {"requests": 0},
        {"finish_after": 0},
        {"node": {"url": "x"}},
    ],
)
def test_D4_settings_that_say_more_or_less_are_refused(tmp_path, changes):
    """There is no name for the address to listen on: it is loopback."""
    with pytest.raises(InvalidInput, match="settings"):
        read_settings(settings(tmp_path, **changes))


def test_settings_that_are_not_there_or_no_json(tmp_path):
    with pytest.raises(InvalidInput):
        read_settings(tmp_path / "nothing")
    (tmp_path / "bad").write_bytes(b"{")
    with pytest.raises(InvalidInput):
        read_settings(tmp_path / "bad")


def test_a_start_that_cannot_be_says_why_in_one_line(tmp_path, capsys):
    assert host_main(["--config", str(settings(tmp_path))]) == 2
    said = capsys.readouterr().err
    assert said.startswith("grail_host: configuration")
    assert said.count("\n") == 1


def test_D4_it_listens_on_loopback_alone(tmp_path, world, monkeypatch):
    (tmp_path / "configuration.json").write_text(world.configuration.to_json())
    asked: dict[str, object] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _app, **given: asked.update(given))
    assert host_main(["--config", str(settings(tmp_path))]) == 0
    assert (asked["host"], asked["port"]) == ("127.0.0.1", 18_000)
    assert LOOPBACK == "127.0.0.1"
    assert asked["ws"] == "none"
