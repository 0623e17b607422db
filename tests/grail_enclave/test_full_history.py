"""Histories checked in full, frame by frame, and what an enclave does when one contradicts a quorum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from enclave_world import (
    ALICE,
    KEYS,
    QUORUM,
    ROSTER,
    World,
    ask,
    rule,
    sign,
    vote,
    zkbtc_app,
)
from made_pool import TRADERS, MadePool

from grail import native
from grail.bitcoin.addresses import quorum_witness
from grail.bitcoin.tx import Tx, sighash
from grail.draft.assembled import Assembled
from grail.errors import InvalidInput
from grail.operators import frames
from grail.operators.evidence import HistoryPart, SigningRequest, TxEvidence, assemble
from grail.operators.frames import Reply, Status
from grail.operators.full_history import ancestors, parts
from grail.types import Txid
from grail.zk.groth16 import Statement
from grail_enclave.enclave import Enclave

SWAPS = 20


@pytest.fixture(scope="module")
def made() -> MadePool:
    return MadePool.with_swaps(SWAPS)


def request_of(made: MadePool) -> SigningRequest:
    """The next swap, with what a client sends: two anchors and nothing below them."""
    psbt = made.swap().psbt(made.world.transactions, *TRADERS)
    return assemble(psbt, made.bundles, made.known())


@pytest.fixture(scope="module")
def request_(made: MadePool) -> SigningRequest:
    return request_of(made)


def bare(request: SigningRequest) -> SigningRequest:
    """No prevouts, so no anchors: nobody's word is taken."""
    items = tuple(replace(item, prevouts=None) for item in request.evidence)
    return replace(request, evidence=items)


def cut(made: MadePool, request: SigningRequest, most: int) -> list[HistoryPart]:
    known = made.known()
    order = ancestors([item.tx.txid for item in request.evidence], known)
    return list(parts(order, known, made.bundles, most))


def teach(enclave: Enclave, part: HistoryPart) -> Reply:
    return ask(enclave, frames.HISTORY, part.to_value())


@pytest.mark.parametrize("most", [8, 64])
def test_G14_a_fresh_enclave_gets_through_a_history(
    made: MadePool, request_: SigningRequest, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part, each proof once and in batches; then it votes and takes nobody's word."""
    enclave = made.world.enclave()
    assert rule(vote(enclave, bare(request_))) == "HistoryMissing"
    batches: list[int] = []
    known = native.groth16_verify_batch

    def seen(statements: Sequence[Statement]) -> None:
        batches.append(len(statements))
        known(statements)

    monkeypatch.setattr(native, "groth16_verify_batch", seen)
    shown = cut(made, request_, most)
    for part in shown:
        judged, alarm = teach(enclave, part).unwrap()
        assert (judged, alarm) == (sum(i.inclusion is not None for i in part.evidence), None)
    # every swap, and the mint, the issue and the pool's creation
    assert sum(batches) == SWAPS + 3
    assert max(batches) <= most
    assert len(batches) <= len(shown)
    assert vote(enclave, bare(request_)).refusal is None


def test_G14_what_is_known_in_full_is_not_checked_again(
    made: MadePool, request_: SigningRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    enclave = made.world.enclave()
    shown = cut(made, request_, 64)
    for part in shown:
        teach(enclave, part).unwrap()

    def never(_statements: object) -> None:
        raise AssertionError("a proof was checked twice")

    monkeypatch.setattr(native, "groth16_verify_batch", never)
    for part in shown:
        teach(enclave, part).unwrap()


def test_G14_a_part_over_the_cap_is_refused(made: MadePool, request_: SigningRequest) -> None:
    """65 transactions with a spell in one frame: refused, and the next frame is served."""
    enclave = made.world.enclave()
    few = replace(made.world.configuration, max_unconfirmed=8, max_ancestors=8)
    small = Enclave(few, KEYS[0])
    made.world.feed(small)
    shown = cut(made, request_, 9)
    assert rule(teach(small, shown[0])) == "ViewStale"  # no record: nothing is judged
    refused = teach(with_cap(made.world, 8), shown[0])
    assert rule(refused) == "HistoryInvalid"
    assert "too many" in refused.refusal.message  # type: ignore[union-attr]
    assert teach(enclave, shown[0]).refusal is None


def with_cap(world: World, most: int) -> Enclave:
    """An enclave of a network whose configuration caps ancestors lower."""
    other = World.__new__(World)
    other.__dict__.update({k: v for k, v in world.__dict__.items() if k != "first_roster"})
    other.configuration = replace(world.configuration, max_unconfirmed=most, max_ancestors=most)
    return other.enclave()


def test_G14_parts_stand_in_order(made: MadePool, request_: SigningRequest) -> None:
    """A part whose parents were not judged yet is refused, and leaves nothing behind."""
    shown = cut(made, request_, 8)
    enclave = made.world.enclave()
    before, held = enclave.state_hash(), len(enclave.anchors().verdicts)
    assert rule(teach(enclave, shown[1])) == "HistoryMissing"
    assert (enclave.state_hash(), len(enclave.anchors().verdicts)) == (before, held)
    for part in shown[:2]:
        teach(enclave, part).unwrap()


def test_G13_a_quorums_word_is_no_full_check(made: MadePool, request_: SigningRequest) -> None:
    """What was taken by an anchor serves requests; a full check does not build on it."""
    enclave = made.world.enclave()
    assert vote(enclave, request_).refusal is None
    assert vote(enclave, bare(request_)).refusal is None  # by the verdicts in the cache
    last = cut(made, request_, 64)[-1]
    final = made.swaps[-1]
    alone = tuple(
        item if item.tx.txid == final.txid else replace(item, inclusion=None)
        for item in last.evidence
        if item.tx.txid in {final.txid, *(txin.outpoint.txid for txin in final.inputs)}
    )
    assert rule(teach(enclave, replace(last, evidence=alone))) == "HistoryMissing"


def test_history_of_what_is_not_known(made: MadePool) -> None:
    known = made.known()
    missing = made.swaps[3].txid
    less = replace(
        known, transactions={t: raw for t, raw in known.transactions.items() if t != missing}
    )
    with pytest.raises(InvalidInput, match=str(missing)):
        ancestors([made.swaps[-1].txid], less)
    with pytest.raises(InvalidInput, match=str(missing)):
        list(parts([made.swaps[4].txid], less, ()))
    with pytest.raises(InvalidInput, match="no block"):
        list(parts([made.swaps[4].txid], replace(known, inclusions={}), ()))


@pytest.mark.parametrize(
    "body", [None, 1, {}, {"bundles": []}, {"bundles": [], "evidence": [1]}, [[], []]]
)
def test_I12_frames_that_are_no_history(made: MadePool, body: object) -> None:
    assert rule(ask(made.world.enclave(), frames.HISTORY, body)) == "FrameInvalid"


# ---- a quorum that signed what is incorrect


def signed(built: Assembled) -> Tx:
    """With witnesses made from the members' keys, whatever enclaves would have said."""
    tx = built.signed_by(ALICE)
    for spend in built.check_unproven().quorum_inputs:
        digest = sighash(tx, built.spent_outputs, spend.index, leaf_hash=spend.leaf.leaf_hash)
        signatures = {key.public: key.sign(digest) for key in KEYS[:QUORUM]}
        tx = tx.with_witness(spend.index, quorum_witness(ROSTER, spend.leaf, signatures))
    return tx


@pytest.fixture
def betrayed() -> tuple[World, Assembled, Tx]:
    """A mint whose proof is false, though twelve members signed it; in a block."""
    world = World.begun()
    mint = world.peg_in(*world.paid())
    assert mint.spell is not None
    false = mint.with_proofs([replace(mint.spell.proofs[0], proof=bytes(128))])
    tx = signed(false)
    world.confirm(tx)
    return world, false, tx


def whole(world: World, tx: Tx, *, inclusion: bool = True) -> HistoryPart:
    """The transaction and its parents, for a full check."""
    items = [TxEvidence(world.transactions[txin.outpoint.txid].serialize()) for txin in tx.inputs]
    place = world.chain.prove(tx.txid) if inclusion else None
    return HistoryPart(
        (zkbtc_app().bundle.serialize(),), (*items, TxEvidence(tx.serialize(), place))
    )


def spending(world: World, tx: Tx) -> SigningRequest:
    """A peg-out of what the mint made; its evidence ends at the mint, an anchor."""
    units = tx.outputs[0].sats
    held = world.coin(tx, 1, {world.zkbtc.token: units})
    return world.request(world.peg_out(world.coin(tx, 0), held, units - 100_000), ALICE)


def status(enclave: Enclave) -> Status:
    return Status.from_fields(ask(enclave, frames.STATUS).unwrap())


def test_G13_a_contradiction_stops_signing(betrayed: tuple[World, Assembled, Tx]) -> None:
    """An enclave that took the anchor votes; shown the whole of it, it signs nothing any more."""
    world, _, tx = betrayed
    request = spending(world, tx)
    votes = world.voted(request)
    enclave = world.enclave()
    assert vote(enclave, request).refusal is None
    assert status(enclave).alarm is None
    before = enclave.state_hash()
    judged, alarm = teach(enclave, whole(world, tx)).unwrap()
    assert (judged, Txid(alarm)) == (1, tx.txid)
    assert status(enclave).alarm == tx.txid
    assert enclave.state_hash() != before
    honest = world.request(world.peg_in(*world.paid(700_000)))
    world.feed(enclave)
    for reply in (vote(enclave, request), vote(enclave, honest), sign(enclave, request, votes)):
        assert rule(reply) == "AnchorContradicted"
        assert reply.refusal is not None
        assert reply.refusal.got == str(tx.txid)


def test_G13_a_contradiction_is_seen_by_signatures_alone(
    betrayed: tuple[World, Assembled, Tx],
) -> None:
    """An enclave that never took the anchor's word sees from the witness who signed."""
    world, _, tx = betrayed
    enclave = world.enclave()
    teach(enclave, whole(world, tx)).unwrap()
    assert status(enclave).alarm == tx.txid


def test_G13_a_contradiction_is_seen_without_signatures(
    betrayed: tuple[World, Assembled, Tx],
) -> None:
    """The witness left out by whoever shows the history: what was taken before is not equal."""
    world, _, tx = betrayed
    enclave = world.enclave()
    vote(enclave, spending(world, tx)).unwrap()
    stripped = replace(tx, inputs=tuple(replace(txin, witness=()) for txin in tx.inputs))
    part = whole(world, stripped)
    teach(enclave, part).unwrap()
    assert status(enclave).alarm == tx.txid


def test_G13_a_request_hides_no_contradiction(betrayed: tuple[World, Assembled, Tx]) -> None:
    """A request brought the whole history first, the witness left out: a later look sees it."""
    world, _, tx = betrayed
    stripped = replace(tx, inputs=tuple(replace(txin, witness=()) for txin in tx.inputs))
    shown, request = whole(world, stripped).evidence, spending(world, tx)
    known = {item.tx.txid for item in shown}
    others = tuple(item for item in request.evidence if item.tx.txid not in known)
    enclave = world.enclave()
    assert vote(enclave, replace(request, evidence=(*others, *shown))).refusal is not None
    assert enclave.anchors().verdicts.get(tx.txid, lambda _block: 1) is not None
    assert status(enclave).alarm is None
    teach(enclave, whole(world, tx)).unwrap()
    assert status(enclave).alarm == tx.txid


@pytest.mark.parametrize("spoil", ["no witness", "a false signature"])
def test_G13_an_incorrect_transaction_of_others_is_no_contradiction(
    betrayed: tuple[World, Assembled, Tx], spoil: str
) -> None:
    """Nobody's quorum signed it: its charms are burned, and that is all."""
    world, _, tx = betrayed
    *stack, leaf, control = tx.inputs[0].witness
    first = next(index for index, item in enumerate(stack) if item)
    stack[first] = bytes(64)
    witness = () if spoil == "no witness" else (*stack, leaf, control)
    enclave = world.enclave()
    assert teach(enclave, whole(world, tx.with_witness(0, witness))).unwrap() == [1, None]
    assert status(enclave).alarm is None
    honest = world.request(world.peg_in(*world.paid(700_000)))
    world.feed(enclave)
    assert vote(enclave, honest).refusal is None


def test_G13_no_alarm_for_a_correct_history(made: MadePool, request_: SigningRequest) -> None:
    """Anchored first, all of it shown afterwards: equal, so it goes on signing."""
    enclave = made.world.enclave()
    vote(enclave, request_).unwrap()
    for part in cut(made, request_, 64):
        assert teach(enclave, part).unwrap()[1] is None
    assert status(enclave).alarm is None
    assert vote(enclave, request_).refusal is None
