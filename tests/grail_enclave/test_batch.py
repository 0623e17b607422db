"""Ancestors' proofs go through one batch: the verdicts are those of one by one, and no other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from enclave_world import ALICE, World, rule, vote, zkbtc_app
from tests.curve import add, negative

from grail import native
from grail.charms.app import App, Data
from grail.draft.assembled import Assembled
from grail.errors import Refused
from grail.operators.evidence import TxEvidence
from grail.types import Txid
from grail.zk import groth16
from grail.zk.groth16 import Statement
from grail_enclave import history
from grail_enclave.anchors import Anchors
from grail_enclave.batch import ProofBatch
from grail_enclave.caches import RequestBundles
from grail_enclave.enclave import Enclave
from grail_enclave.history import History

Told = list[tuple[dict[App, Data], ...]] | str


class OneByOne(ProofBatch):
    """No batch at all: every proof is checked where it is met."""

    def verify(self, vk: bytes, publics: Sequence[int], proof: bytes) -> None:
        groth16.verify(vk, publics, proof)


def proof_of(built: Assembled) -> bytes:
    assert built.spell is not None
    return built.spell.proofs[0].proof


def with_proof(built: Assembled, proof: bytes) -> Assembled:
    """The same transaction with another proof; its digest does not cover it."""
    assert built.spell is not None
    return built.with_proofs([replace(built.spell.proofs[0], proof=proof)])


def shifted(proof: bytes, point: tuple[int, int]) -> bytes:
    """The proof with a point added to C: false, unless another one takes it back."""
    coordinates = list(native.proof_points(proof))
    coordinates[6:8] = add((coordinates[6], coordinates[7]), point)
    return native.proof_from_points(coordinates)


@pytest.fixture(scope="module")
def made() -> World:
    """A world with two deposits that nobody has served."""
    world = World.begun()
    world.deposits = [world.paid(sats) for sats in (500_000, 600_000)]  # type: ignore[attr-defined]
    return world


def copy(world: World) -> World:
    other = World.begun()
    other.__dict__.update(world.__dict__)
    other.chain = world.chain.fork(world.chain.height)
    other.transactions = dict(world.transactions)
    return other


def peg_ins(world: World) -> list[Assembled]:
    return [world.peg_in(*deposit) for deposit in world.deposits]  # type: ignore[attr-defined]


def peg_out(world: World, mint: Assembled) -> Assembled:
    """The tokens of a mint burned again, in a block of its own."""
    minted = mint.tx.outputs[0].sats
    held = world.coin(mint.tx, 1, {world.zkbtc.token: minted})
    return world.peg_out(world.coin(mint.tx, 0), held, minted - 100_000)


def items(world: World) -> dict[Txid, TxEvidence]:
    """All that the world knows, without a word of the quorum."""
    known = world.known
    return {
        txid: TxEvidence(raw, known.inclusions.get(txid))
        for txid, raw in known.transactions.items()
    }


def looked(world: World, anchors: Anchors) -> History:
    raws = (zkbtc_app().bundle.serialize(),)
    bundles = RequestBundles(raws, anchors.bundles)
    return History(items(world), bundles, anchors, anchored=False)


def told(world: World, txids: Sequence[Txid], enclave: Enclave) -> Told:
    """The charms of all outputs of these transactions, asked for at once, or the refusal."""
    anchors = enclave.anchors()
    found = looked(world, anchors)
    try:
        found.resolve(txids)
    except Refused as exc:
        return str(exc)
    return [
        tuple(
            dict(found.charms(found.tx(txid).outpoint(n)))
            for n in range(len(found.tx(txid).outputs))
        )
        for txid in txids
    ]


def cached(enclave: Enclave, txids: Sequence[Txid]) -> list[object]:
    anchors = enclave.anchors()
    return [anchors.verdicts.get(txid, anchors.headers.height_of) for txid in txids]


def worlds(made: World) -> Iterator[tuple[tuple[bool, ...], World, list[Txid]]]:
    """Two mints and what burns their tokens, each with a good proof or a bad one: 16 chains."""
    for mask in itertools.product((True, False), repeat=4):
        world = copy(made)
        first, second = peg_ins(world)
        bad = (
            with_proof(first, proof_of(second)),  # true, of something else
            with_proof(second, bytes(128)),  # no proof at all
        )
        mints = [good if mask[n] else bad[n] for n, good in enumerate((first, second))]
        world.confirm(*(mint.tx for mint in mints))
        outs = [peg_out(world, mint) for mint in mints]
        wrong = (
            shifted(proof_of(outs[0]), (1, 2)),
            proof_of(outs[1])[:-1] + bytes([proof_of(outs[1])[-1] ^ 0x80]),  # C negated
        )
        outs = [good if mask[2 + n] else with_proof(good, wrong[n]) for n, good in enumerate(outs)]
        world.confirm(*(out.tx for out in outs))
        yield mask, world, [each.tx.txid for each in (*mints, *outs)]


def test_Z23_mixed_batches_give_the_verdicts_of_one_by_one(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen histories of good and bad proofs: charms, and what is cached, are equal."""
    for mask, world, txids in worlds(made):
        batched, plain = world.enclave(), world.enclave()
        found = told(world, txids, batched)
        with monkeypatch.context() as patch:
            patch.setattr(history, "ProofBatch", OneByOne)
            expected = told(world, txids, plain)
        assert found == expected, mask
        assert cached(batched, txids) == cached(plain, txids), mask
        assert not isinstance(found, str)
        held = [any(charms) for charms in found]
        # what burns the tokens of a mint that was none is none either
        assert held[:2] == [mask[0], mask[1]], mask
        assert held[2:] == [mask[0] and mask[2], mask[1] and mask[3]], mask


def test_Z23_cancelling_pair_among_ancestors(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """C + P in one mint and C - P in another: with equal weights the faults would cancel."""
    world = copy(made)
    first, second = peg_ins(world)
    one = with_proof(first, shifted(proof_of(first), (1, 2)))
    two = with_proof(second, shifted(proof_of(second), negative((1, 2))))
    world.confirm(one.tx, two.tx)
    batches: list[int] = []
    known = native.groth16_verify_batch

    def seen(statements: Sequence[Statement]) -> None:
        batches.append(len(statements))
        known(statements)

    monkeypatch.setattr(native, "groth16_verify_batch", seen)
    for _ in range(10):
        found = told(world, [one.tx.txid, two.tx.txid], world.enclave())
        assert not isinstance(found, str)
        assert [any(charms) for charms in found] == [False, False]
    assert set(batches) == {2}


def test_Z23_nobody_spends_what_a_cancelling_pair_minted(made: World) -> None:
    """At the socket: the request that would cash both in is refused."""
    world = copy(made)
    first, second = peg_ins(world)
    one = with_proof(first, shifted(proof_of(first), (1, 2)))
    two = with_proof(second, shifted(proof_of(second), negative((1, 2))))
    world.confirm(one.tx, two.tx)
    minted = [mint.tx.outputs[0].sats for mint in (one, two)]
    held = [
        world.coin(mint.tx, 1, {world.zkbtc.token: units})
        for mint, units in zip((one, two), minted, strict=True)
    ]
    greedy = world.peg_out(world.coin(one.tx, 0), held[0], minted[0] - 100_000)
    request = world.request(greedy, ALICE)
    evidence = [item for item in items(world).values() if item.tx.txid != greedy.tx.txid]
    full = replace(request, evidence=tuple(evidence))
    assert rule(vote(world.enclave(), full)) == "TurnstileBroken"


def test_G13_nothing_is_cached_before_its_batch_has_passed(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the batch is checked no verdict stands in the cache; cut short there, none ever does."""
    world = copy(made)
    mints = peg_ins(world)
    world.confirm(*(mint.tx for mint in mints))
    txids = [mint.tx.txid for mint in mints]
    enclave = world.enclave()
    before = len(enclave.anchors().verdicts)

    def cut(_statements: Sequence[Statement]) -> dict[int, Exception]:
        assert len(enclave.anchors().verdicts) == before
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(groth16, "failing", cut)
        with pytest.raises(KeyboardInterrupt):
            told(world, txids, enclave)
    assert len(enclave.anchors().verdicts) == before
    found = told(world, txids, enclave)
    assert not isinstance(found, str)
    assert all(any(charms) for charms in found)
    assert None not in cached(enclave, txids)


def test_G14_progress_is_kept_over_requests(made: World) -> None:
    """What was checked whole before something was missing needs no second check."""
    world = copy(made)
    mints = peg_ins(world)
    world.confirm(*(mint.tx for mint in mints))
    txids = [mint.tx.txid for mint in mints]
    enclave = world.enclave()
    anchors = enclave.anchors()
    left = {txid: item for txid, item in items(world).items() if txid != txids[1]}
    raws = (zkbtc_app().bundle.serialize(),)
    short = History(left, RequestBundles(raws, anchors.bundles), anchors, anchored=False)
    with pytest.raises(Refused, match="HistoryMissing"):
        short.resolve(txids)
    first, second = cached(enclave, txids)
    assert first is not None
    assert second is None


def test_Z23_what_is_signed_is_never_batched(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a batch that takes anything, the request's own proof is still checked."""
    world = copy(made)
    mint, other = peg_ins(world)
    monkeypatch.setattr(native, "groth16_verify_batch", lambda _statements: None)
    assert rule(vote(world.enclave(), world.request(with_proof(mint, proof_of(other))))) == (
        "ProofInvalid"
    )
    assert vote(world.enclave(), world.request(mint)).refusal is None
