"""What a host shows its enclave of the Grail NFT: whatever spends it, in order, each k deep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from succession_world import Heirs

from grail.bitcoin.tx import Tx
from grail_host import herald
from grail_host.herald import Herald


@pytest.fixture(scope="module")
def world() -> Heirs:
    """The heir is named, k deep."""
    made = Heirs()
    made.name_heir()
    return made


def at_work(
    host, world: Heirs, test: Callable[[Herald, object], Awaitable[None]], **changes: object
) -> None:
    """A herald beside an enclave that was not shown the naming."""
    (enclave,) = super(Heirs, world).enclaves(1)

    async def main() -> None:
        async with host(enclave=enclave) as running:
            assert world.named is not None
            running.node.spent |= {world.network.grail_outpoint, world.deploy.outpoint(0)}
            configuration = replace(world.configuration, **changes)
            link, follower = running.link, running.follower
            await test(Herald(running.follower._node, link, follower, configuration), running)

    asyncio.run(main())


def named(running) -> bytes:
    """The successor in the enclave's record."""
    return running.enclave.anchors().record.reigns[0].successor


@pytest.mark.parametrize("batch", [100, 1])
def test_the_naming_is_found_and_shown(host, world, batch, monkeypatch):
    monkeypatch.setattr(herald, "BATCH", batch)

    async def test(found, running):
        assert not any(named(running))
        await found.look()
        assert named(running) == world.heir.gid(world.network)
        # Once shown it is let alone: the enclave says itself what it has on record.
        state, calls = running.enclave.state_hash(), len(running.node.calls)
        await found.look()
        assert "getblock" not in running.node.calls[calls:]
        assert running.enclave.state_hash() == state

    at_work(host, world, test)


def test_an_nft_that_lies_still_is_not_looked_for(host, world):
    async def test(found, running):
        running.node.spent.clear()
        await found.look()
        assert "getblock" not in running.node.calls
        assert not any(named(running))

    at_work(host, world, test)


def test_S12_a_naming_that_is_not_deep_or_undone_is_not_shown(host, world, monkeypatch):
    """It waits for k blocks; in another branch it is looked for anew."""
    whole = world.chain
    monkeypatch.setattr(world, "chain", whole)

    async def test(found, running):
        world.chain = whole.fork(whole.height - 1)
        await found.look()
        assert not any(named(running))
        assert len(found._found) == 2
        running.node.left = whole
        world.chain = whole.fork(world.named_at - 1)
        world.chain.mine_many(3)
        world.chain.mine(_named(world))
        world.chain.mine_many(world.network.k)
        await found.look()
        assert named(running) == world.heir.gid(world.network)

    at_work(host, world, test)


def _named(world: Heirs) -> Tx:
    assert world.named is not None
    return world.named
