"""A host whose enclave was started again, and one whose enclave's votes nobody went on with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from enclave_world import KEYS, World, ask, hello_body, vote
from kernel import verify_spend
from peers_in_memory import reach

from grail.bitcoin.tx import Tx
from grail.errors import QuorumNotReached
from grail.operators import frames
from grail.operators.frames import Frame, Instance, Reply, Status
from grail.operators.messages import Standing
from grail.operators.transport import Host
from grail_enclave.enclave import Enclave
from grail_host import waiting
from grail_host.peers import Peers
from grail_host.recovery import Recovery

HOSTS = tuple(Host(f"http://peer/{i}", "") for i in range(16))[::-1]


def handed_over(world: World) -> Enclave:
    enclave = Enclave(world.configuration, KEYS[0], handed_over=True)
    world.feed(enclave)
    ask(enclave, frames.FIRST_ROSTER_ACCEPT, world.first_roster.fields()).unwrap()
    ask(enclave, frames.RECORD, world.deploy_record().to_value()).unwrap()
    return enclave


async def instance(running: Any) -> Instance:
    status = Status.from_fields((await running.link.ask(Frame(frames.STATUS))).unwrap())
    assert status.instance is not None
    return status.instance


def test_P1_a_host_brings_its_restarted_enclave_back(host, world: World):
    """With everything that it had voted for, which the host then looks after again."""
    built = world.peg_in(*world.paid())
    request, others = world.request(built), world.enclaves()
    for enclave in others[1:12]:
        vote(enclave, request).unwrap()
    new = handed_over(world)
    told: list[Standing] = []
    done = asyncio.Event()

    async def restored(standing: Standing) -> None:
        told.append(standing)
        done.set()

    async def main() -> None:
        async with host(enclave=new) as running:
            assert await instance(running) == Instance(0, 1, recovered=False)
            peers = Peers(HOSTS, reach([new, *others[1:]]))
            recovery = Recovery(running.link, peers, restored, pause=0.01)
            task = asyncio.create_task(recovery.run())
            async with asyncio.timeout(20):
                await done.wait()
            task.cancel()
            assert await instance(running) == Instance(2, 2, recovered=True)
            async with running.client() as client:
                said = (await client.get("/v1/status")).json()
                assert (said["instance"], said["recovered"]) == (2, True)

    asyncio.run(main())
    assert [standing.body for standing in told] == [request.serialize()]


def test_P1_a_host_without_enough_others_says_so_and_tries_again(host, world: World):
    others, dead = world.enclaves(), list(range(9, 16))
    new = handed_over(world)

    async def restored(_standing: Standing) -> None:
        return None

    async def main() -> None:
        async with host(enclave=new) as running:
            peers = Peers(HOSTS, reach([new, *others[1:]], dead))
            recovery = Recovery(running.link, peers, restored, pause=0.01)
            with pytest.raises(QuorumNotReached, match="8 of 9 operators granted"):
                await recovery.look()
            dead.clear()
            await recovery.look()
            assert (await instance(running)).recovered

    asyncio.run(main())


def test_K1_a_replaced_enclave_waits_before_it_asks_again(host, world: World):
    """Two replicas would otherwise replace each other for ever."""
    others = world.enclaves()
    old, new = others[0], handed_over(world)

    async def restored(_standing: Standing) -> None:
        return None

    async def main() -> None:
        async with host(enclave=new) as running:
            peers = Peers(HOSTS, reach(others))  # the old one still answers for the operator
            await Recovery(running.link, peers, restored).look()
        replaced = Status.from_fields(ask(old, frames.STATUS).unwrap()).instance
        assert replaced == Instance(1, 2, recovered=False)
        async with host(enclave=old) as running:
            peers = Peers(HOSTS, reach([old, *others[1:]]))
            patient = Recovery(running.link, peers, restored, back_off=3_600)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await patient.look()
            assert not (await instance(running)).recovered
            await Recovery(running.link, peers, restored, back_off=0.01).look()
            assert await instance(running) == Instance(3, 3, recovered=True)

    asyncio.run(main())


def test_S16_a_host_relays_another_operators_hello(host, world: World):
    async def main() -> None:
        async with host() as running, running.client() as client:
            other = Enclave(world.configuration, KEYS[5], handed_over=True)
            world.feed(other)
            ask(other, frames.FIRST_ROSTER_ACCEPT, world.first_roster.fields()).unwrap()
            ask(other, frames.RECORD, world.deploy_record().to_value()).unwrap()
            hello = ask(other, frames.HELLO, hello_body(other, 2)).unwrap()
            frame = Frame(frames.GRANT, [hello, None])
            answer = await client.post("/v1/grant", content=frame.raw)
            assert Reply.parse(answer.content).refusal is None
            # What only an enclave's own host has a use for is not served to others.
            for kind, body in (("hello", 2), ("recover", [[], []]), ("restore", [[], b""])):
                answer = await client.post(f"/v1/{kind}", content=Frame(kind, body).raw)
                assert answer.status_code == 404

    asyncio.run(main())


def test_S17_what_was_only_voted_for_is_finished_by_a_host(host, world: World):
    """A user asks for votes and dies; eleven enclaves and this one hold the outpoint."""
    built = world.peg_in(*world.paid())
    request, enclaves = world.request(built), world.enclaves()
    for enclave in enclaves[1:12]:
        vote(enclave, request).unwrap()

    async def main() -> None:
        made = host(enclave=enclaves[0], peers=HOSTS, connect=reach(enclaves))
        async with made as running, running.client() as client:
            frame = frames.vote_frame(request.serialize())
            answer = await client.post("/v1/vote", content=frame.raw)
            assert Reply.parse(answer.content).refusal is None
            async with asyncio.timeout(30):
                await asyncio.gather(*running.caretaker._pending.values())
            raw = running.node.mempool[str(built.tx.txid)]
            verify_spend(Tx.parse(bytes.fromhex(raw)).serialize(), built.spent_outputs)

    asyncio.run(main())


def test_S17_what_was_signed_or_spent_needs_no_care(host, world: World, monkeypatch):
    built = world.peg_in(*world.paid())
    request, enclaves = world.request(built), world.enclaves()
    votes = [vote(enclave, request).unwrap() for enclave in enclaves]

    async def main() -> None:
        async with (
            host(peers=HOSTS, connect=reach(enclaves)) as running,
            running.client() as client,
        ):
            running.node.spent |= {txin.outpoint for txin in built.tx.inputs}
            running.caretaker.voted(*_named(votes[0]), request.serialize())
            async with asyncio.timeout(30):
                await asyncio.gather(*running.caretaker._pending.values())
            assert "sendrawtransaction" not in running.node.calls
            monkeypatch.setattr(running.caretaker, "_patience", 60.0)
            running.caretaker.voted(*_named(votes[0]), request.serialize())
            assert len(running.caretaker._pending) == 1
            frame = Frame(frames.SIGN, [votes, request.serialize()])
            answer = await client.post("/v1/sign", content=frame.raw)
            assert Reply.parse(answer.content).refusal is None
            await asyncio.sleep(0)
            assert not running.caretaker._pending

    asyncio.run(main())


def _named(raw: bytes) -> tuple[Any, Any]:
    found = frames.Vote.parse(raw)
    return found.family, found.outpoints


def test_S33_a_caretaker_waits_for_a_bounded_number(host, world: World, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_PENDING", 2)

    async def main() -> None:
        async with host(peers=HOSTS, connect=reach(world.enclaves())) as running:
            monkeypatch.setattr(running.caretaker, "_patience", 60.0)
            for number in range(4):
                running.caretaker.voted(bytes([number]) * 32, (), b"")
            assert len(running.caretaker._pending) == 2

    asyncio.run(main())
