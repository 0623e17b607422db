"""Charms of inputs: from anchors, from full checks, from the cache, never from the request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import ALICE, BOB, RATE, World, ask, rule, sign, vote, zkbtc_app

from grail.bitcoin.tx import Tx, TxIn
from grail.charms import history as spell_history
from grail.charms.anchor import check_anchor
from grail.charms.app import App
from grail.charms.envelope import MAGIC
from grail.charms.spell import Spell
from grail.draft.assembled import Assembled
from grail.draft.draft import CARRIER, Draft, Purse
from grail.errors import Incorrect, Refused
from grail.exchange.token import draft_transfer
from grail.operators import frames
from grail.operators.evidence import SigningRequest, TxEvidence
from grail.types import BlockHash, OutPoint, Txid, TxOut
from grail.wallet.coins import Coin
from grail_enclave.caches import Bounded, RequestBundles, Verdict, VerdictCache
from grail_enclave.enclave import Enclave
from grail_enclave.history import History


@pytest.fixture(scope="module")
def settled() -> World:
    """A world in which Alice pegged in and sent her tokens on, twice, in blocks of their own."""
    world = World.begun()
    tx, minted = world.served()
    world.confirm(tx)
    world.minted, world.vault_tx = minted, tx  # type: ignore[attr-defined]
    held = world.coin(tx, 1, {world.zkbtc.token: minted})
    world.steps = [held]  # type: ignore[attr-defined]
    for _ in range(2):
        sent = transfer(world, world.steps[-1])  # type: ignore[attr-defined]
        world.confirm(sent)
        world.steps.append(world.coin(sent, 0, {world.zkbtc.token: minted}))  # type: ignore[attr-defined]
    return world


def transfer(world: World, held: Coin) -> Tx:
    """Tokens moved to their owner again: a spell without a proof, signed by Alice alone."""
    purse = Purse([held, world.give(ALICE, 20_000)], ALICE.script, RATE)
    units = held.units(world.zkbtc.token)
    built = draft_transfer(world.context, purse, world.zkbtc.token, units, to=ALICE.script)
    return built.signed_by(ALICE)


def peg_out(world: World) -> Assembled:
    vault = world.coin(world.vault_tx, 0)  # type: ignore[attr-defined]
    return world.peg_out(vault, world.steps[-1], 100_000)  # type: ignore[attr-defined]


def request_of(world: World) -> SigningRequest:
    return world.request(peg_out(world), ALICE)


def without(request: SigningRequest, txid: Txid) -> SigningRequest:
    return replace(request, evidence=tuple(e for e in request.evidence if e.tx.txid != txid))


def test_transfers_are_checked_back_to_the_anchor(settled: World) -> None:
    """Two transfers and the peg-in that a quorum signed: complete, and nothing below it is sent."""
    request = request_of(settled)
    deposits = {txin.outpoint.txid for txin in settled.vault_tx.inputs}  # type: ignore[attr-defined]
    assert not deposits & {item.tx.txid for item in request.evidence}
    assert vote(settled.enclave(), request).refusal is None


def test_HistoryMissing_names_what_is_missing(settled: World) -> None:
    """Each ancestor left out is asked for by its txid."""
    request = request_of(settled)
    parents = {txin.outpoint.txid for txin in peg_out(settled).tx.inputs}
    left = [e.tx.txid for e in request.evidence if e.tx.txid not in parents]
    assert left
    for txid in left:
        reply = vote(settled.enclave(), without(request, txid))
        assert rule(reply) == "HistoryMissing"
        assert reply.refusal is not None
        assert reply.refusal.expected == str(txid)


def test_G13_only_whole_checks_enter_the_cache(settled: World) -> None:
    """What was checked once needs no evidence again; what was cut short does."""
    enclave = settled.enclave()
    request = request_of(settled)
    parents = {txin.outpoint.txid for txin in peg_out(settled).tx.inputs}
    left = [e.tx.txid for e in request.evidence if e.tx.txid not in parents]
    short = request
    for txid in left:
        short = without(short, txid)
    assert rule(vote(enclave, short)) == "HistoryMissing"
    assert rule(vote(enclave, short)) == "HistoryMissing"
    assert vote(enclave, request).refusal is None
    other = replace(short, psbt=settled.psbt(peg_out(settled), ALICE).serialize())
    assert vote(enclave, other).refusal is None


def test_G13_verdict_dies_with_its_block() -> None:
    cache = VerdictCache(MAGIC)
    here = BlockHash(bytes([1] * 32))
    verdict = Verdict(({},), whole=True)
    cache.put(Txid(bytes(32)), here, verdict, 10)
    assert cache.get(Txid(bytes(32)), lambda block: 5 if block == here else None) == verdict
    assert cache.get(Txid(bytes(32)), lambda _block: None) is None
    other = VerdictCache(b"GRL2")
    assert other.get(Txid(bytes(32)), lambda _block: 5) is None
    cache.clear()
    assert cache.get(Txid(bytes(32)), lambda _block: 5) is None


def test_G13_caches_are_bounded() -> None:
    """The least recently used goes; an entry larger than all is not kept; sizes add up."""
    cache: Bounded[int, str] = Bounded(100)
    for n in range(50):
        cache.put(n, "x", 10)
    assert len(cache) == 10
    assert cache.get(40) == "x"
    cache.put(99, "y", 10)
    assert cache.get(40) == "x"
    assert cache.get(41) is None
    cache.put(7, "huge", 101)
    assert cache.get(7) is None
    cache.put(40, "z", 100)
    assert len(cache) == 1
    assert cache.get(40) == "z"
    cache.clear()
    assert len(cache) == 0


def history(enclave: Enclave, request: SigningRequest) -> History:
    items = {item.tx.txid: item for item in request.evidence}
    anchors = enclave.anchors()
    return History(items, RequestBundles(request.bundles, anchors.bundles), anchors)


def test_charms_are_those_of_the_spell(settled: World) -> None:
    found = history(settled.enclave(), request_of(settled))
    tip = settled.steps[-1]  # type: ignore[attr-defined]
    assert dict(found.charms(tip.outpoint)) == {settled.zkbtc.token: settled.minted}  # type: ignore[attr-defined]
    assert dict(found.charms(replace(tip.outpoint, vout=2))) == {}
    assert dict(found.charms(replace(tip.outpoint, vout=77))) == {}


def test_C4_incorrect_ancestor_has_no_charms(settled: World) -> None:
    """A confirmed transfer that makes one unit more than it took: its tokens were burned."""
    world = settled
    held = world.steps[-1]  # type: ignore[attr-defined]
    draft = Draft(world.context)
    draft.spend(held)
    units = held.units(world.zkbtc.token)
    draft.pay(BOB.script, CARRIER, {world.zkbtc.token: units})
    honest = draft.assemble()
    assert honest.spell is not None
    greedy = replace(honest.spell, outs=({world.zkbtc.token: units + 1},))
    outputs = (honest.tx.outputs[0], TxOut(0, greedy.op_return()))
    forged = replace(honest.tx, outputs=outputs)
    branch = World.begun()
    branch.__dict__.update(world.__dict__)
    branch.chain = world.chain.fork(world.chain.height)
    branch.transactions = dict(world.transactions)
    branch.confirm(forged)
    enclave = branch.enclave()
    items: dict[Txid, TxEvidence] = {item.tx.txid: item for item in request_of(world).evidence}
    items[forged.txid] = TxEvidence(forged.serialize(), branch.chain.prove(forged.txid))
    anchors = enclave.anchors()
    found = History(items, RequestBundles((), anchors.bundles), anchors)
    assert dict(found.charms(forged.outpoint(0))) == {}


def test_anchor_that_is_none(settled: World) -> None:
    """Prevouts beside a transaction that no quorum signed are no anchor: refused, not believed."""
    request = request_of(settled)
    world = settled
    target = world.steps[-1].outpoint.txid  # type: ignore[attr-defined]
    evidence = tuple(
        replace(item, prevouts=(TxOut(1_000, ALICE.script), TxOut(20_000, ALICE.script)))
        if item.tx.txid == target
        else item
        for item in request.evidence
    )
    assert rule(vote(world.enclave(), replace(request, evidence=evidence))) == "HistoryInvalid"


def test_anchor_counts_only_in_its_reign(settled: World) -> None:
    """A quorum's transaction outside from..to is no anchor; what it says is then checked in full."""
    enclave = settled.enclave()
    anchors = enclave.anchors()
    request = request_of(settled)
    items = {item.tx.txid: item for item in request.evidence}
    vault: Tx = settled.vault_tx  # type: ignore[attr-defined]
    prevouts = items[vault.txid].prevouts
    assert prevouts is not None
    (reign,) = check_anchor(vault, prevouts, anchors.record)
    assert reign.epoch == 0
    late = replace(reign, start=10_000)
    record = replace(anchors.record, reigns=(late,))
    found = History(items, RequestBundles((), anchors.bundles), replace(anchors, record=record))
    with pytest.raises(Refused, match="HistoryMissing"):
        found.charms(vault.outpoint(1))


def test_anchor_of_another_roster(settled: World) -> None:
    enclave = settled.enclave()
    anchors = enclave.anchors()
    vault: Tx = settled.vault_tx  # type: ignore[attr-defined]
    items = {item.tx.txid: item for item in request_of(settled).evidence}
    prevouts = items[vault.txid].prevouts
    assert prevouts is not None
    with pytest.raises(Incorrect, match="no input"):
        check_anchor(vault, prevouts, replace(anchors.record, reigns=()))
    with pytest.raises(Incorrect, match="prevouts"):
        check_anchor(vault, prevouts * 2, anchors.record)


def diamond(depth: int, app: App) -> tuple[list[Tx], OutPoint]:
    """Each transaction spends both outputs of the one before: 2^depth paths, depth + 1 steps."""
    spell = Spell.build([{app: 1}, {app: 1}])
    outputs = (*[TxOut(1_000, ALICE.script)] * 2, TxOut(0, spell.op_return()))
    txs = [Tx(2, (TxIn(OutPoint(Txid(bytes([5] * 32)), 0)),), outputs, 0)]
    for _ in range(depth):
        parent = txs[-1]
        inputs = (TxIn(parent.outpoint(0)), TxIn(parent.outpoint(1)))
        txs.append(Tx(2, inputs, outputs, 0))
    return txs, txs[-1].outpoint(0)


def test_G14_diamond_is_checked_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth 30 with two paths a step: each ancestor is checked once, not 2^30 times."""
    app = App("t", bytes(32), bytes(32))
    txs, tip = diamond(30, app)
    world = World.begun()
    root = Tx(2, (TxIn(OutPoint(Txid(bytes([6] * 32)), 0)),), (TxOut(1_000, ALICE.script),), 0)
    txs[0] = replace(txs[0], inputs=(TxIn(root.outpoint(0)),))
    for index in range(1, len(txs)):
        parent = txs[index - 1]
        txs[index] = replace(
            txs[index], inputs=(TxIn(parent.outpoint(0)), TxIn(parent.outpoint(1)))
        )
    tip = txs[-1].outpoint(0)
    block = world.chain.mine(root, *txs)
    enclave = world.enclave()
    items = {tx.txid: TxEvidence(tx.serialize(), block.prove(tx.txid)) for tx in (root, *txs)}
    anchors = enclave.anchors()
    calls: list[Txid] = []
    correct = spell_history.correct

    def counted(tx: Tx, *args: object, **options: object) -> object:
        calls.append(tx.txid)
        return correct(tx, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(spell_history, "correct", counted)
    found = History(items, RequestBundles((), anchors.bundles), anchors)
    assert not found.charms(tip)  # units out of nothing: incorrect from the first on
    assert calls == [tx.txid for tx in txs]


def test_G14_too_many_ancestors() -> None:
    """More than 64 spells since the last anchors: refused."""
    app = App("t", bytes(32), bytes(32))
    txs, tip = diamond(70, app)
    world = World.begun()
    block = world.chain.mine(*txs)
    enclave = world.enclave()
    items = {tx.txid: TxEvidence(tx.serialize(), block.prove(tx.txid)) for tx in txs}
    anchors = enclave.anchors()
    found = History(items, RequestBundles((), anchors.bundles), anchors)
    with pytest.raises(Refused, match="too many ancestors"):
        found.charms(tip)


def test_bundles_are_parsed_when_used(settled: World) -> None:
    """A broken bundle beside a good request harms nothing; a vk that nobody has is absent."""
    anchors = settled.enclave().anchors()
    bundles = RequestBundles((b"broken", zkbtc_app().bundle.serialize()), anchors.bundles)
    assert bundles.get(bytes(32)) is None
    assert bundles[zkbtc_app().bundle.vk].vk == zkbtc_app().bundle.vk
    request = request_of(settled)
    assert vote(settled.enclave(), replace(request, bundles=(b"broken",))).refusal is None


def test_G13_no_verdict_is_made_without_a_record(settled: World) -> None:
    """While the deploy is reorganised away, nothing is judged and nothing is cached as burned."""
    world = World.begun()
    world.__dict__.update(settled.__dict__)
    request = request_of(settled)
    votes = settled.voted(request)
    enclave = settled.enclave()
    enclave._verdicts.clear()
    away = settled.chain.fork(settled.deployed_at - 1)
    away.mine_many(settled.chain.height - away.height + 1)
    headers = [header.serialize() for header in away.headers]
    ask(enclave, frames.HEADERS, headers).unwrap()
    assert rule(sign(enclave, request, votes)) == "ViewStale"
    assert rule(vote(enclave, request)) in {"ViewStale", "NotConfirmed"}
    back = settled.chain.fork(settled.chain.height)
    back.mine_many(3)
    ask(enclave, frames.HEADERS, [header.serialize() for header in back.headers]).unwrap()
    assert sign(enclave, request, votes).refusal is None
