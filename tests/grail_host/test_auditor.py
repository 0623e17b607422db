"""What lies below the anchors that an enclave took is shown to it in full, in small parts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from enclave_world import ALICE, KEYS, QUORUM, ROSTER, World, vote
from made_pool import TRADERS, MadePool

from grail.bitcoin.addresses import quorum_witness
from grail.bitcoin.tx import Tx, sighash
from grail.errors import NodeError, Refused
from grail.operators import frames
from grail.operators.evidence import HistoryPart, SigningRequest, assemble
from grail.operators.frames import Frame, Reply
from grail.operators.full_history import ancestors
from grail.types import Txid
from grail_enclave.enclave import Enclave
from grail_host import auditor

SWAPS = 20


@pytest.fixture(scope="module")
def kept() -> MadePool:
    return MadePool.with_swaps(SWAPS)


@pytest.fixture
def made(kept: MadePool) -> MadePool:
    return kept.on(kept.world.chain.fork(kept.world.chain.height))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait before what failed is tried again."""
    monkeypatch.setattr(auditor, "PAUSE", 0.0)


class Restartable:
    """An enclave behind a socket that another one can take the place of."""

    def __init__(self, enclave: Enclave) -> None:
        self.enclave = enclave

    def answer(self, raw: bytes) -> bytes:
        return self.enclave.answer(raw)


class Shown:
    """The parts that went to the enclave and were taken, each as the txids that it judged."""

    def __init__(self, host: Any) -> None:
        self.parts: list[list[Txid]] = []
        self.bundles: list[int] = []
        self._ask = host.link.ask
        host.link.ask = self.ask  # type: ignore[method-assign]

    async def ask(self, frame: Frame) -> Reply:
        reply = await self._ask(frame)
        if frame.kind == frames.HISTORY and reply.refusal is None:
            items = HistoryPart.from_value(frame.body).evidence
            self.parts.append([item.tx.txid for item in items if item.inclusion is not None])
        return reply

    def taken(self) -> list[Txid]:
        """What was judged since this was asked for last."""
        found, self.parts = self.parts, []
        return [txid for part in found for txid in part]


Hosted = Callable[..., AbstractAsyncContextManager[tuple[Any, Shown]]]


@pytest.fixture
def hosted(host_of: Any) -> Hosted:
    """A host of a world, and what its enclave is shown."""

    @asynccontextmanager
    async def start(world: World, **more: Any) -> AsyncIterator[tuple[Any, Shown]]:
        async with host_of(world, **more) as host:
            yield host, Shown(host)

    return start


def request_of(made: MadePool) -> SigningRequest:
    psbt = made.swap().psbt(made.world.transactions, *TRADERS)
    return assemble(psbt, made.bundles, made.known())


def history(made: MadePool, request: SigningRequest) -> list[Txid]:
    """All that has to be judged below the request's anchors."""
    anchors = [item.tx.txid for item in request.evidence if item.prevouts is not None]
    return ancestors(anchors, made.known())


async def asked(host: Any, request: SigningRequest) -> Reply:
    frame = frames.vote_frame(request.serialize())
    async with host.client() as client:
        answer = await client.post("/v1/vote", content=frame.raw)
    assert answer.status_code == 200, answer.content
    return Reply.parse(answer.content)


def test_G13_G14_anchors_are_checked_to_the_mints_once(made: MadePool, hosted: Hosted) -> None:
    request = request_of(made)

    async def main() -> None:
        async with hosted(made.world) as (host, shown):
            verdicts = host.enclave.anchors().verdicts
            assert (await asked(host, request)).refusal is None
            assert not shown.parts
            await host.auditor.look()
            assert max(map(len, shown.parts)) <= auditor.PART
            assert sorted(shown.taken()) == sorted(history(made, request))
            for swap in made.swaps:
                found = verdicts.get(swap.txid, lambda _block: 1)
                assert found is not None
                assert found.whole
            await host.auditor.look()
            assert not shown.parts
            made.trade(1)
            assert (await asked(host, request_of(made))).refusal is None
            await host.auditor.look()
            assert shown.taken() == [made.swaps[-1].txid]
            assert not host.auditor._queue

    asyncio.run(main())


def test_G13_an_enclave_that_was_restarted_is_shown_all_again(
    made: MadePool, hosted: Hosted
) -> None:
    line = Restartable(made.world.enclave())

    async def main() -> None:
        async with hosted(made.world, enclave=line) as (host, shown):
            await host.auditor.note(request_of(made).serialize())
            await host.auditor.look()
            shown.taken()
            made.trade(1)
            line.enclave = made.world.enclave()
            request = request_of(made)
            await host.auditor.note(request.serialize())
            await host.auditor.look()
            assert sorted(shown.taken()) == sorted(history(made, request))

    asyncio.run(main())


def betray(world: World) -> Tx:
    """A mint whose proof is false, though twelve members signed it; in a block."""
    mint = world.peg_in(*world.paid())
    assert mint.spell is not None
    built = mint.with_proofs([replace(mint.spell.proofs[0], proof=bytes(128))])
    tx = built.signed_by(ALICE)
    for spend in built.check_unproven().quorum_inputs:
        digest = sighash(tx, built.spent_outputs, spend.index, leaf_hash=spend.leaf.leaf_hash)
        signatures = {key.public: key.sign(digest) for key in KEYS[:QUORUM]}
        tx = tx.with_witness(spend.index, quorum_witness(ROSTER, spend.leaf, signatures))
    world.confirm(tx)
    return tx


def test_G13_a_contradiction_is_found_by_the_host_alone(
    hosted: Hosted, caplog: pytest.LogCaptureFixture
) -> None:
    """The enclave took the quorum's word and voted; one look of its host, and it stops."""
    world = World.begun()
    tx = betray(world)
    held = world.coin(tx, 1, {world.zkbtc.token: tx.outputs[0].sats})
    built = world.peg_out(world.coin(tx, 0), held, tx.outputs[0].sats - 100_000)
    request = world.request(built, ALICE)

    async def main() -> None:
        async with hosted(world) as (host, _):
            assert (await asked(host, request)).refusal is None
            await host.auditor.look()
            refusal = (await asked(host, request)).refusal
            assert refusal is not None
            assert (refusal.rule, refusal.got) == ("AnchorContradicted", str(tx.txid))
            again = replace(request, bundles=())
            await host.auditor.note(again.serialize())
            await host.auditor.look()

    asyncio.run(main())
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(said) == 1
    assert str(tx.txid) in said[0]


def test_S12_what_a_reorg_took_off_the_chain_is_checked_when_it_is_back(
    made: MadePool, hosted: Hosted
) -> None:
    whole = made.world.chain
    request, tip = request_of(made), made.swaps[-1]
    lost = whole.find(tip.txid)
    order = history(made, request)

    async def main() -> None:
        async with hosted(made.world) as (host, shown):
            await host.auditor.note(request.serialize())
            made.world.chain = whole.fork(whole.blocks.index(lost) - 1)
            host.node.mempool.update((str(t.txid), t.serialize().hex()) for t in lost.txs[1:])
            made.world.chain.mine_many(2)
            await host.auditor.look()
            assert tip.txid in host.auditor._queue
            calls = len(host.node.calls)
            await host.auditor.look()
            assert "getrawtransaction" not in host.node.calls[calls:]  # the tip is the same
            made.world.chain.mine(*lost.txs[1:])
            with pytest.raises(Refused, match="NotConfirmed"):
                await host.auditor.look()  # the enclave has not seen the other branch
            made.world.feed(host.enclave)
            await host.auditor.look()
            assert set(order) <= set(shown.taken())
            assert not host.auditor._queue

    asyncio.run(main())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_G14_a_missing_bundle_hinders_nobody_else_and_is_given_up(
    made: MadePool, hosted: Hosted, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool's bundle was in no request; the trader's own anchors are checked all the same."""
    request = request_of(made)
    pool = made.apps[made.pool.vk].bundle.serialize()
    less = replace(request, bundles=tuple(raw for raw in request.bundles if raw != pool))

    async def main() -> None:
        async with hosted(made.world) as (host, shown):
            assert len(host.auditor._queue) == 0
            await host.auditor.note(less.serialize())
            for _ in range(auditor.TRIES):
                assert made.swaps[-1].txid in host.auditor._queue
                with pytest.raises(Refused, match="HistoryInvalid"):
                    await host.auditor.look()
            assert shown.taken()  # what came before the pool
            assert not host.auditor._queue
            await host.auditor.look()
            assert vote(host.enclave, request).refusal is None
            await host.auditor.note(request.serialize())  # now somebody brings it
            await host.auditor.look()
            assert made.swaps[-1].txid in shown.taken()

    asyncio.run(main())
    said = warnings(caplog)
    assert len(said) == len(set(said)) > 0


def test_a_node_without_an_index_is_no_reason_to_ask_for_ever(
    made: MadePool, hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_asked: Any) -> Any:
        raise KeyError("use -txindex")

    async def main() -> None:
        async with hosted(made.world) as (host, _):
            await host.auditor.note(request_of(made).serialize())
            monkeypatch.setattr(host.node, "_getrawtransaction", unknown)
            said = set()
            for _ in range(auditor.TRIES):
                with pytest.raises(NodeError) as caught:
                    await host.auditor.look()
                said.add(str(caught.value))
            assert len(said) == 1  # so the log says it once
            assert not host.auditor._queue
            await host.auditor.look()

    asyncio.run(main())


def test_G14_a_walk_has_an_end_and_the_queue_a_size(
    made: MadePool,
    hosted: Hosted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(auditor, "MAX_WALK", 10)
    monkeypatch.setattr(auditor, "MAX_QUEUED", 1)
    monkeypatch.setattr(auditor, "MAX_KEPT_BUNDLES", 2)

    async def main() -> None:
        async with hosted(made.world) as (host, shown):
            await host.auditor.note(b"no request")
            await host.auditor.note(request_of(made).serialize())
            assert (len(host.auditor._queue), len(host.auditor._bundles)) == (1, 2)
            host.auditor._queue.clear()
            host.auditor._queue[made.swaps[-1].txid] = auditor._Queued()
            with pytest.raises(Exception, match="more than 10 transactions"):
                await host.auditor.look()
            assert not shown.parts
            assert not host.auditor._queue

    asyncio.run(main())
    assert len(warnings(caplog)) == 1
