"""What a host finds in blocks for its enclave: double spends, spends of parents, own confirmations."""

from __future__ import annotations

import asyncio

import pytest
from enclave_world import ALICE, World, acting, rule, two_coins, vote

from grail.bitcoin.tx import Tx, TxIn
from grail.operators import frames
from grail.operators.frames import Frame, Reply
from grail.types import OutPoint, TxOut
from grail_host import conflicts
from grail_host.conflicts import read_watched


@pytest.fixture
def world() -> World:
    return World.begun()


def spending(*outpoints: OutPoint) -> Tx:
    """A transaction that takes these elsewhere."""
    inputs = tuple(TxIn(outpoint, witness=(bytes(64),)) for outpoint in outpoints)
    return Tx(2, inputs, (TxOut(9_000, ALICE.script),), 0)


async def asked(client, frame: Frame) -> Reply:  # type: ignore[no-untyped-def]
    answer = await client.post(f"/v1/{frame.kind}", content=frame.raw)
    assert answer.status_code == 200, answer.content
    return Reply.parse(answer.content)


def families(enclave) -> int:  # type: ignore[no-untyped-def]
    return len(acting(enclave).memory.known)


def pegged(world: World):  # type: ignore[no-untyped-def]
    """A confirmed vault with its holder's zkBTC, and the coins."""
    tx, minted = world.served()
    world.confirm(tx)
    return tx, world.coin(tx, 0), world.coin(tx, 1, {world.zkbtc.token: minted})


def test_S23_a_double_spend_in_a_block_is_shown_before_the_next_request(host, world):
    """The user's own input goes elsewhere after the vote: one block later all is free."""
    _, vault, held = pegged(world)
    built = world.peg_out(vault, held, 60_000)
    request = world.request(built, ALICE).serialize()

    async def main() -> None:
        async with host() as running, running.client() as client:
            assert (await asked(client, frames.vote_frame(request))).refusal is None
            assert families(running.enclave) == 1
            world.confirm(spending(held.outpoint))
            running.node.spent.add(held.outpoint)
            await running.conflicts.look()
            assert families(running.enclave) == 0
            calls = len(running.node.calls)
            await running.conflicts.look()
            assert set(running.node.calls[calls:]) == {"getbestblockhash"}

    asyncio.run(main())


def test_G11_a_conflict_with_an_unconfirmed_parent_is_shown_with_the_path(host, world):
    """The transaction hangs on one that waits; somebody takes that one's input in a block."""
    parent, minted = world.served()  # signed, in no block yet
    held = world.coin(parent, 1, {world.zkbtc.token: minted})
    child = world.peg_out(world.coin(parent, 0), held, 60_000)
    request = world.request(child, ALICE)
    watched = read_watched(world.network, request.serialize())
    (above,) = (txin.outpoint for txin in parent.inputs)
    assert [Tx.parse(raw).txid for raw in watched.paths[above]] == [parent.txid, child.tx.txid]

    async def main() -> None:
        async with host() as running, running.client() as client:
            assert (await asked(client, frames.vote_frame(request.serialize()))).refusal is None
            world.confirm(spending(above))
            await running.conflicts.look()
            assert families(running.enclave) == 0
            assert rule(vote(running.enclave, request)) == "InputSpent"

    asyncio.run(main())


def test_a_parents_own_confirmation_kills_nothing(host, world):
    parent, minted = world.served()
    held = world.coin(parent, 1, {world.zkbtc.token: minted})
    request = world.request(world.peg_out(world.coin(parent, 0), held, 60_000), ALICE).serialize()

    async def main() -> None:
        async with host() as running, running.client() as client:
            assert (await asked(client, frames.vote_frame(request))).refusal is None
            world.confirm(parent)
            await running.conflicts.look()
            assert families(running.enclave) == 1

    asyncio.run(main())


def test_S33_an_own_spend_is_shown_and_settled_and_then_no_longer_watched(host, world):
    _, vault, held = pegged(world)
    built = world.peg_out(vault, held, 60_000)
    request = world.request(built, ALICE).serialize()

    async def main() -> None:
        async with host() as running, running.client() as client:
            assert (await asked(client, frames.vote_frame(request))).refusal is None
            world.confirm(built.tx)
            await running.conflicts.look()
            assert families(running.enclave) == 1
            world.chain.mine_many(world.network.k)
            await running.conflicts.look()
            assert families(running.enclave) == 0
            assert not running.conflicts._watched
            assert not running.conflicts._index

    asyncio.run(main())


def test_S12_the_other_branch_is_looked_through_too(host, world):
    """The conflict is in the block that replaces the one that was seen."""
    _, vault, held = pegged(world)
    request = world.request(world.peg_out(vault, held, 60_000), ALICE).serialize()

    async def main() -> None:
        kept = world.chain
        async with host() as running, running.client() as client:
            assert (await asked(client, frames.vote_frame(request))).refusal is None
            world.chain = kept.fork(kept.height)
            world.chain.mine()
            await running.conflicts.look()
            running.node.left = world.chain
            world.chain = kept.fork(kept.height)
            world.confirm(spending(held.outpoint))
            world.chain.mine_many(2)
            assert families(running.enclave) == 1
            await running.conflicts.look()
            assert families(running.enclave) == 0

    asyncio.run(main())


def test_S12_a_parent_that_was_undone_and_meets_a_conflict_takes_its_children_along(host, world):
    """It was in a block when the vote was given; the new branch holds another spend instead."""
    parent, minted = world.served()
    (above,) = (txin.outpoint for txin in parent.inputs)

    async def main() -> None:
        before = world.chain
        async with host() as running, running.client() as client:
            world.chain = before.fork(before.height)
            world.confirm(parent)
            held = world.coin(parent, 1, {world.zkbtc.token: minted})
            built = world.peg_out(world.coin(parent, 0), held, 60_000)
            request = world.request(built, ALICE).serialize()
            assert (await asked(client, frames.vote_frame(request))).refusal is None
            running.node.left = world.chain
            world.chain = before.fork(before.height)
            world.confirm(spending(above))
            world.chain.mine_many(2)
            assert families(running.enclave) == 1
            await running.conflicts.look()
            assert families(running.enclave) == 0

    asyncio.run(main())


def test_S12_a_parent_that_was_undone_and_came_back_kills_nothing(host, world):
    parent, minted = world.served()

    async def main() -> None:
        before = world.chain
        async with host() as running, running.client() as client:
            world.chain = before.fork(before.height)
            world.confirm(parent)
            held = world.coin(parent, 1, {world.zkbtc.token: minted})
            built = world.peg_out(world.coin(parent, 0), held, 60_000)
            request = world.request(built, ALICE).serialize()
            assert (await asked(client, frames.vote_frame(request))).refusal is None
            running.node.left = world.chain
            world.chain = before.fork(before.height)
            world.chain.mine_many(2)
            world.confirm(parent)
            await running.conflicts.look()
            assert families(running.enclave) == 1

    asyncio.run(main())


def test_S23_a_host_that_started_anew_learns_from_what_stands_in_the_way(host, world):
    """The conflict was mined while nobody looked: one request finds it, the next goes through."""
    built, vault, held, own = two_coins(world)
    dead = world.request(built, ALICE)
    lives = frames.vote_frame(world.request(world.peg_out(vault, held, 60_000), ALICE).serialize())

    async def main() -> None:
        async with host() as running, running.client() as client:
            assert vote(running.enclave, dead).refusal is None  # its host knows nothing of it
            reply = await asked(client, lives)
            assert reply.refusal is not None
            assert reply.refusal.rule == "RivalVoted"
            running.conflicts._unwatch(next(iter(running.conflicts._watched)))
            world.confirm(spending(own.outpoint))
            running.node.spent.add(own.outpoint)
            await running.conflicts.look()
            assert families(running.enclave) == 1
            assert (await asked(client, lives)).refusal is not None
            assert families(running.enclave) == 0
            calls = running.node.calls.count("getblock")
            await running.conflicts.watch(dead.serialize(), late=True)  # looks back once only
            assert running.node.calls.count("getblock") == calls
            assert (await asked(client, lives)).refusal is None

    asyncio.run(main())


def test_the_look_goes_on_by_itself(host, world, monkeypatch):
    monkeypatch.setattr(conflicts, "PAUSE", 0.01)
    _, vault, held = pegged(world)
    request = world.request(world.peg_out(vault, held, 60_000), ALICE).serialize()

    async def main() -> None:
        async with host() as running, running.client() as client:
            assert (await asked(client, frames.vote_frame(request))).refusal is None
            looking = asyncio.create_task(running.conflicts.run())
            try:
                running.node.down = True
                await asyncio.sleep(0.03)
                running.node.down = False
                world.confirm(spending(held.outpoint))
                async with asyncio.timeout(10):
                    while families(running.enclave):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)

    asyncio.run(main())


def test_the_number_watched_is_bounded(host, world, monkeypatch):
    monkeypatch.setattr(conflicts, "MAX_WATCHED", 1)
    _, vault, held = pegged(world)
    requests = [
        world.request(world.peg_out(vault, held, burn), ALICE).serialize()
        for burn in (50_000, 60_000)
    ]

    async def main() -> None:
        async with host() as running:
            for request in (*requests, b"no request"):
                await running.conflicts.watch(request)
            (watched,) = running.conflicts._watched.values()
            assert watched.family == read_watched(world.network, requests[1]).family
            assert set(running.conflicts._index) == set(watched.paths)

    asyncio.run(main())


# Before a request is passed on


def test_S23_a_spent_guarded_input_is_not_passed_on(host, world):
    """Spent in a block: no vote. Spent in the mempool only: the enclave says who took it."""
    tx, vault, held = pegged(world)
    request = world.request(world.peg_out(vault, held, 60_000), ALICE).serialize()

    async def main() -> None:
        async with host() as running, running.client() as client:
            running.node.spent.add(vault.outpoint)
            before = running.enclave.state_hash()
            for frame in (frames.vote_frame(request), frames.open_frame(16, request)):
                answer = await client.post(f"/v1/{frame.kind}", content=frame.raw)
                assert (answer.status_code, answer.json()["error"]) == (409, "InputSpent")
            assert running.enclave.state_hash() == before
            # An output of the mempool that is spent there: nothing is known of it but that.
            running.node.mempool[str(tx.txid)] = ""
            assert (await asked(client, frames.open_frame(16, request))).refusal is None
            running.node.mempool.clear()
            running.node.spent.clear()
            running.node.waiting.add(vault.outpoint)
            assert (await asked(client, frames.open_frame(16, request))).refusal is None

    asyncio.run(main())
