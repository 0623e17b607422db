"""A host brings a newcomer's enclave the whole record, and the other operators to itself."""

from __future__ import annotations

import asyncio

import pytest
from enclave_world import KEYS, ask
from reigns_world import Rosters, fresh_key

from grail.operators import frames
from grail.operators.frames import Frame, Reply, Status
from grail.operators.transport import Host, MemoryTransport
from grail_host.herald import Herald
from grail_host.peers import Peers


@pytest.fixture(scope="module")
def world() -> Rosters:
    """Two rosters have followed the first one."""
    made = Rosters()
    made.change(made.replaced(1))
    made.change(made.replaced(2))
    return made


def at_work(host_of, world: Rosters, enclave, test, bundles=()) -> None:  # type: ignore[no-untyped-def]
    """A herald beside an enclave that knows headers alone."""

    async def main() -> None:
        async with host_of(world, enclave=enclave) as running:
            ports = [world.deploy.outpoint(0), *(tx.outpoint(0) for tx, _ in world.spells[:-1])]
            running.node.spent |= {world.network.grail_outpoint, *ports}
            herald = Herald(
                running.follower._node,
                running.link,
                running.follower,
                world.configuration,
                bundles,
            )
            await test(herald, running)

    asyncio.run(main())


def test_R12_a_newcomer_is_shown_every_spell_from_the_deploy_on(host_of, world: Rosters) -> None:
    """In one look, each checked by the enclave itself; zkBTC's bundle comes from the settings."""
    enclave = world.newcomer(fresh_key(7), told=False)

    async def test(herald, running):
        await herald.look()
        told = Status.from_fields(ask(enclave, frames.STATUS).unwrap())
        assert told.epoch == 2
        assert told.port == world.nft_outpoint()
        assert enclave.anchors().record == world.record
        calls = len(running.node.calls)
        await herald.look()
        assert "getblock" not in running.node.calls[calls:]

    at_work(host_of, world, enclave, test, [world.app.bundle.serialize()])


def test_a_member_of_the_first_roster_is_left_alone_before_its_deploy(host_of, world) -> None:
    """It has accepted a roster: the deploy that names it is brought by whoever sets up."""
    enclave = world.bare(3)
    ask(enclave, frames.FIRST_ROSTER_ACCEPT, world.first_roster.fields()).unwrap()

    async def test(herald, running):
        await herald.look()
        assert running.node.calls == []
        assert Status.from_fields(ask(enclave, frames.STATUS).unwrap()).port is None

    at_work(host_of, world, enclave, test)


def test_R14_hosts_of_operators_that_came_later_are_found(world: Rosters) -> None:
    """The settings name them by now; who is not named any more is asked for nothing."""
    enclaves = [world.lives[key.public] for key in (KEYS[1], fresh_key(1))]
    named = [Host("http://127.0.0.1:1", "a")]

    def connect(hosts):
        async def peer(at: int, raw: bytes) -> bytes:
            return enclaves[at].answer(raw)

        numbers = [int(host.url[-1]) - 1 for host in hosts]
        return Connected(MemoryTransport([lambda raw, at=at: peer(at, raw) for at in numbers]))

    peers = Peers(named, connect, renewed=lambda: named)

    async def main() -> None:
        keys = [KEYS[1].public, fresh_key(1).public]
        for count in (1, 2):
            async with peers.ranked(keys[:count]) as transport:
                for rank, key in enumerate(keys[:count]):
                    reply: Reply = await transport.ask(rank, Frame(frames.STATUS))
                    assert Status.from_fields(reply.unwrap()).key == key
            named.append(Host("http://127.0.0.1:2", "a"))

    asyncio.run(main())


class Connected:
    """A transport for as long as a context lasts."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport

    async def __aenter__(self) -> MemoryTransport:
        return self.transport

    async def __aexit__(self, *_exc: object) -> None:
        return None
