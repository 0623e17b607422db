"""The refusals that everybody should see once: by bytes sent to an enclave, signed, with the rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import ALICE, MALLORY, RATE, World, prove, rule, sign, vote, zkbtc_app

from grail.apps.compiler import compile_app
from grail.apps.pool import Pool
from grail.apps.token import Token
from grail.bitcoin.tx import Tx
from grail.bridge.deposit import Deposit
from grail.charms.app import App
from grail.charms.spell import Spell
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft, Purse
from grail.exchange.pool import PoolPort, draft_create, draft_move, swapping
from grail.exchange.token import draft_issue
from grail.operators.evidence import SigningRequest, assemble
from grail.types import TxOut
from grail.wallet.coins import Coin
from grail_enclave.enclave import Enclave


def refusal(enclave: Enclave, request: SigningRequest) -> str:
    before = enclave.state_hash()
    name = rule(vote(enclave, request))
    assert enclave.state_hash() == before
    return name


def respelled(built: Assembled, spell: Spell, outputs: list[TxOut]) -> Assembled:
    """The same spends with another spell; the proofs are those of the honest one."""
    assert built.spell is not None
    carrier = built.spell.op_return()
    changed = tuple(
        TxOut(0, spell.op_return()) if output.script == carrier else output for output in outputs
    )
    return replace(built, tx=replace(built.tx, outputs=changed), spell=spell)


@pytest.fixture(scope="module")
def deposit(shared: World) -> tuple[Deposit, Coin]:
    return shared.paid()


@pytest.fixture(scope="module")
def peg_in(shared: World, deposit: tuple[Deposit, Coin]) -> Assembled:
    return shared.peg_in(*deposit)


def test_G3_mint_to_somebody_else(shared: World, peg_in: Assembled) -> None:
    """RowPayee: the payout's script is not the owner's in the deposit's commitment."""
    outputs = list(peg_in.tx.outputs)
    outputs[1] = TxOut(outputs[1].sats, MALLORY.script)
    stolen = replace(peg_in, tx=replace(peg_in.tx, outputs=tuple(outputs)))
    assert refusal(shared.enclave(), shared.request(stolen)) == "RowPayee"


def test_G3_row_that_names_the_thief(shared: World, peg_in: Assembled) -> None:
    """UnknownGuard: with another owner, key or delay the row rebuilds no escrow of this deposit."""
    assert peg_in.spell is not None
    (contract,) = peg_in.spell.x
    inputs = peg_in.spell.x[contract]
    (row,) = inputs.rows
    outputs = list(peg_in.tx.outputs)
    for changed in (
        replace(row, owner_script=MALLORY.script),
        replace(row, user_key=MALLORY.internal_key),
        replace(row, n=row.n + 1),
        replace(row, terms=(row.terms[0] + 1,)),
    ):
        spell = replace(peg_in.spell, x={contract: replace(inputs, rows=(changed,))})
        paid = list(outputs)
        paid[1] = TxOut(paid[1].sats, changed.owner_script)
        stolen = respelled(peg_in, spell, paid)
        assert refusal(shared.enclave(), shared.request(stolen)) == "UnknownGuard"


def test_S22_mint_larger_than_the_deposit(shared: World, peg_in: Assembled) -> None:
    """TurnstileBroken: one unit more than the vault gains."""
    assert peg_in.spell is not None
    token = shared.zkbtc.token
    vault, payout = peg_in.spell.outs
    more = {token: payout[token] + 1}
    spell = replace(peg_in.spell, outs=(vault, more))
    forged = respelled(peg_in, spell, list(peg_in.tx.outputs))
    assert refusal(shared.enclave(), shared.request(forged)) == "TurnstileBroken"


def test_C14_proof_replayed_on_another_transaction(shared: World, peg_in: Assembled) -> None:
    """ProofInvalid: a proof serves the one transaction that it was made for."""
    assert peg_in.spell is not None
    deposit, coin = shared.paid()
    other = shared.peg_in(deposit, coin)
    assert other.spell is not None
    replayed = other.with_proofs(peg_in.spell.proofs)
    assert refusal(shared.enclave(), shared.request(replayed)) == "ProofInvalid"
    assert vote(shared.enclave(), shared.request(other)).refusal is None


def test_S16_quorum_not_reached(shared: World, peg_in: Assembled) -> None:
    """NotDecided: eleven votes."""
    request = shared.request(peg_in)
    votes = shared.voted(request)
    assert rule(sign(shared.enclave(), request, votes[:11])) == "NotDecided"
    assert sign(shared.enclave(), request, votes).refusal is None


# A pool


class Market:
    """A token and a pool of zkBTC against it, made by users alone, all of it confirmed."""

    def __init__(self) -> None:
        self.world = world = World.begun()
        self.token_app, self.pool_app = compile_app(Token), compile_app(Pool)
        pegged, minted = world.served()
        world.confirm(pegged)
        self.bundles = [app.bundle for app in (zkbtc_app(), self.token_app, self.pool_app)]
        self.zkbtc = world.zkbtc.token
        self.coins: dict[object, Coin] = {}
        self.keep(pegged, {1: {self.zkbtc: minted}})
        issue = self.publish(
            draft_issue(self.context, self.token_app, self.purse(), 10**9, to=ALICE.script)
        )
        self.token = next(app for app in issue.apps if app != self.zkbtc)
        made = self.publish(
            draft_create(
                self.context,
                self.pool_app,
                self.purse(),
                [(self.zkbtc, 100_000), (self.token, 400_000_000)],
            )
        )
        contract = made.acts[0].contract
        port = next(c for c in self.coins.values() if contract.nft in c.charms)
        self.pool = PoolPort.read(contract, port)

    @property
    def context(self) -> Context:
        return replace(self.world.context, bundles={b.vk: b for b in self.bundles})

    def purse(self) -> Purse:
        self.world.give(ALICE, 100_000)
        fresh = self.world.give(ALICE, 200_000)
        held = [c for c in self.coins.values() if c.output.script == ALICE.script]
        return Purse([*held, fresh], ALICE.script, RATE)

    def keep(self, tx: Tx, charms: dict[int, dict[App, object]]) -> None:
        for vout, found in charms.items():
            coin = self.world.coin(tx, vout, found)
            self.coins[coin.outpoint] = coin

    def publish(self, built: Assembled) -> Published:
        """A transaction that users sign alone, in a block."""
        proven = prove(built)
        checked = proven.check()
        tx = proven.signed_by(ALICE)
        self.world.confirm(tx)
        for txin in tx.inputs:
            self.coins.pop(txin.outpoint, None)
        self.keep(tx, {n: dict(c) for n, c in enumerate(checked.charms) if c})
        return Published(tx, built.acts, tuple(a for c in checked.charms for a in c))

    def swap(self, amount: int = 10_000) -> Assembled:
        """A proven swap of zkBTC into the pool."""
        move = swapping(self.pool, self.zkbtc, amount)
        return prove(draft_move(self.context, self.pool_app, self.pool, self.purse(), move))

    def request(self, built: Assembled) -> SigningRequest:
        psbt = built.psbt(self.world.transactions, ALICE)
        return assemble(psbt, [b.serialize() for b in self.bundles], self.world.known)


class Published:
    """What became of a draft."""

    def __init__(self, tx: Tx, acts: tuple[Act, ...], apps: tuple[App, ...]) -> None:
        self.tx, self.acts, self.apps = tx, acts, apps


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def test_swap_is_voted_for_with_history_checked_in_full(market: Market) -> None:
    """Issue and pool creation have no quorum's signature: the enclave verifies their proofs."""
    built = market.swap()
    request = market.request(built)
    enclave = market.world.enclave()
    vote(enclave, request).unwrap()
    anchored = {item.tx.txid: item.prevouts is not None for item in request.evidence}
    created = next(c for c in market.coins.values() if market.pool.contract.nft in c.charms)
    assert anchored[created.outpoint.txid] is False
    assert True in anchored.values()  # the peg-in that the zkBTC came from


def test_C18_history_without_the_bundle_that_it_needs(market: Market) -> None:
    """An ancestor's bundle left out: refused, never read as "no charms"."""
    built = market.swap()
    psbt = built.psbt(market.world.transactions, ALICE)
    for left in (market.token_app, market.pool_app):
        kept = [b.serialize() for b in market.bundles if b.vk != left.bundle.vk]
        request = assemble(psbt, kept, market.world.known)
        assert refusal(market.world.enclave(), request) in {"HistoryInvalid", "BundleMismatch"}


def test_G1_pool_moved_out_without_a_proof(market: Market) -> None:
    """ProofMissing: the pool's tokens and state moved unchanged to a user, by simple transfer."""
    world = market.world
    draft = Draft(market.context)
    contract = market.pool.contract
    port = next(c for c in market.coins.values() if contract.nft in c.charms)
    draft.spend_guarded(contract, port)
    draft.pay(MALLORY.script, CARRIER, dict(port.charms))
    draft.fund(Purse([world.give(ALICE, 80_000)], ALICE.script, RATE))
    built = draft.assemble()
    assert refusal(world.enclave(), market.request(built)) == "ProofMissing"


def test_swap_that_takes_one_unit_too_much(market: Market) -> None:
    """ProofInvalid: there is no proof of it; the honest swap's does not fit."""
    honest = market.swap()
    assert honest.spell is not None
    token = market.token
    outs = [dict(charms) for charms in honest.spell.outs]
    port = next(i for i, charms in enumerate(outs) if market.pool.contract.nft in charms)
    mine = next(i for i, c in enumerate(outs) if i != port and token in c)
    outs[port][token] -= 1
    outs[mine][token] += 1
    spell = replace(honest.spell, outs=tuple(outs))
    greedy = respelled(honest, spell, list(honest.tx.outputs))
    assert refusal(market.world.enclave(), market.request(greedy)) == "ProofInvalid"
