"""Index and enclaves give one verdict on a confirmed transaction, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from enclave_world import ALICE, BOB, World, prove

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.token import Token
from grail.bitcoin.tx import Tx, TxIn
from grail.charms.app import App, Contract, Data, identity_of
from grail.charms.descriptor import Bundle
from grail.charms.history import Judged
from grail.charms.index import CharmIndex
from grail.charms.record import Record
from grail.charms.spell import Spell
from grail.draft.assembled import Act, Context
from grail.draft.draft import CARRIER, Draft, Payment
from grail.operators.evidence import TxEvidence
from grail.types import TxOut
from grail_enclave.caches import RequestBundles
from grail_enclave.history import History


@cache
def token_app() -> CompiledApp:
    return compile_app(Token)


def bundles(world: World) -> dict[bytes, Bundle]:
    return {**world.context.bundles, token_app().vk: token_app().bundle}


def indexed(world: World, tx: Tx) -> Judged:
    """What an index says that read the whole chain."""
    index = CharmIndex(world.network, world.zkbtc, bundles(world))
    found: list[Judged] = []
    for number, block in enumerate(world.chain.blocks):
        verdicts = index.apply_block(world.chain.start + number, block.header.hash, block.txs)
        found += [verdict for verdict in verdicts if verdict.tx.txid == tx.txid]
    return found[0]


def at_enclave(world: World, tx: Tx) -> tuple[dict[App, Data], ...]:
    """What an enclave says by a full check of it and its parents, cached and not."""
    enclave = world.enclave()
    parents = [world.transactions[txin.outpoint.txid] for txin in tx.inputs]
    prove = {t.txid: b.prove(t.txid) for b in world.chain.blocks for t in b.txs}
    items = {
        each.txid: TxEvidence(each.serialize(), prove.get(each.txid)) for each in (*parents, tx)
    }
    anchors = enclave.anchors()
    raws = tuple(bundle.serialize() for bundle in bundles(world).values())
    told = []
    for _ in range(2):
        history = History(items, RequestBundles(raws, anchors.bundles), anchors)
        told.append(tuple(dict(history.charms(tx.outpoint(n))) for n in range(len(tx.outputs))))
    assert told[0] == told[1]
    return told[0]


def branch(world: World, height: int) -> World:
    """The world with its chain cut at a height."""
    other = World.begun()
    other.__dict__.update(world.__dict__)
    other.chain = world.chain.fork(height)
    other.transactions = dict(world.transactions)
    return other


def foreign(world: World) -> tuple[World, Tx]:
    """A spell of another format beside a plain coin."""
    coin = world.give(ALICE, 50_000)
    spell = Spell.build([{}])
    carrier = spell.op_return().replace(b"GRL1", b"GRL2")
    tx = Tx(2, (TxIn(coin.outpoint),), (TxOut(1_000, ALICE.script), TxOut(0, carrier)), 0)
    world.confirm(tx)
    return world, tx


def inflated(world: World) -> tuple[World, Tx]:
    """Units out of nothing."""
    coin = world.give(ALICE, 50_000)
    spell = Spell.build([{world.zkbtc.token: 5}])
    outputs = (TxOut(1_000, BOB.script), TxOut(0, spell.op_return()))
    tx = Tx(2, (TxIn(coin.outpoint),), outputs, 0)
    world.confirm(tx)
    return world, tx


def too_early(world: World) -> tuple[World, Tx]:
    """A correct peg-in that confirmed before its roster ruled: final as long as its block stands."""
    deposit, coin = world.paid()
    tx = world.peg_in(deposit, coin).tx
    early = branch(world, world.deployed_at)
    early.confirm(world.transactions[coin.outpoint.txid])
    early.confirm(tx)
    early.chain.mine_many(world.chain.height - early.chain.height + 2)
    return early, tx


def before_the_record(world: World) -> tuple[World, Tx]:
    """Sats at what would be the vault's address, by a spell from before there was a roster: nobody
    knew then that the address is guarded, so it counts as any other."""
    vault = world.context.guard(world.zkbtc).script_pubkey
    early = branch(world, world.deployed_at - 1)
    coin = early.give(ALICE, 50_000)
    known = Context(world.network, Record(world.zkbtc), early.chain.height + 1, bundles(world))
    token = Contract(identity_of(coin.outpoint), token_app().vk)
    draft = Draft(known)
    draft.spend(coin)
    draft.pay(ALICE.script, CARRIER, {token.token: 5})
    draft.pay(vault, 20_000)
    draft.act(Act(token, token_app(), "issue", args=(5,)))
    draft.change = Payment(ALICE.script, 20_000)
    tx = prove(draft.assemble()).tx
    early.confirm(tx)
    early.confirm(world.deploy)
    early.deployed_at = early.chain.height
    early.chain.mine_many(world.network.k)
    return early, tx


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (foreign, "ForeignSpell"),
        (inflated, "ProofMissing"),
        (too_early, "RetiredRoster"),
        (before_the_record, None),
    ],
)
def test_G13_index_and_enclave_agree(
    make: Callable[[World], tuple[World, Tx]], why: str | None
) -> None:
    world, tx = make(World.begun())
    judged = indexed(world, tx)
    assert (judged.refusal.rule if judged.refusal else None) == why
    assert judged.charms == at_enclave(world, tx)
    assert any(judged.charms) == (why is None)
