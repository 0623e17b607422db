"""Signers of an action: their consent is seen before a signature, and decides nothing afterwards.

No txid and no quorum's signature covers a witness, so its owner may publish another one that is as
valid, and whoever brings evidence may write there what he likes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import (
    ALICE,
    BOB,
    QUORUM,
    World,
    prove,
    rule,
    sign,
    vote,
    zkbtc_app,
)

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkapp import Transaction, ZkApp, action
from grail.bitcoin.tx import Tx, sign_key_path, verify_input
from grail.charms import rules
from grail.charms.anchor import check_anchor
from grail.charms.app import Contract, identity_of
from grail.draft.assembled import Act, Assembled
from grail.draft.draft import CARRIER, Draft, Payment
from grail.errors import Incorrect, SpellIncorrect
from grail.operators.evidence import SigningRequest, TxEvidence, assemble

SINGLE = 3
"""A sighash type whose signature fits other transactions too."""


class Stamp(ZkApp):
    """Seven units for whoever signs."""

    @action(0, changes="t", fresh=True, signers=1)
    def issue(self, tx: Transaction) -> None:
        tx.fresh.assert_true("fresh")
        tx.supply_in.assert_equal(0, "x")
        tx.supply_out.assert_equal(7, "x")
        tx.free(tx.signer(0), "anybody")


class Stamped:
    """A world in which Alice holds zkBTC and pegs some out, stamping as she goes."""

    def __init__(self) -> None:
        self.app: CompiledApp = compile_app(Stamp)
        self.world = world = World.begun()
        self.peg_in, minted = world.served(900_000)
        world.confirm(self.peg_in)
        held = world.coin(self.peg_in, 1, {world.zkbtc.token: minted})
        coin = world.give(ALICE, 60_000)
        stamp = Contract(identity_of(coin.outpoint), self.app.vk)
        draft = Draft(replace(world.context, bundles=self.known_bundles))
        draft.spend(coin)
        draft.spend_guarded(world.zkbtc, world.coin(self.peg_in, 0))
        draft.spend(held)
        draft.pay_guard(world.zkbtc, minted - 100_000)
        draft.pay(BOB.script, CARRIER, {world.zkbtc.token: 300_000})
        draft.keep_rest(ALICE.script, CARRIER, {world.zkbtc.token: -100_000, stamp.token: 7})
        draft.pay(ALICE.script, 100_000)
        draft.act(Act(world.zkbtc, zkbtc_app(), "settle"))
        draft.act(Act(stamp, self.app, "issue", signers=(0,)))
        draft.change = Payment(ALICE.script, 50_000)
        self.built: Assembled = prove(draft.assemble())

    @property
    def known_bundles(self) -> dict[bytes, object]:
        bundle = self.app.bundle
        return {**self.world.context.bundles, bundle.vk: bundle}

    @property
    def bundles(self) -> list[bytes]:
        return [zkbtc_app().bundle.serialize(), self.app.bundle.serialize()]

    @property
    def request(self) -> SigningRequest:
        return assemble(self.world.psbt(self.built, ALICE), self.bundles, self.world.known)

    def published(self, sighash_type: int) -> Tx:
        """What the quorum signed, with another witness of its signer, valid by consensus."""
        enclaves, request = self.world.enclaves(QUORUM), self.request
        votes = [vote(enclave, request) for enclave in enclaves]
        signed = self.world.signed(
            self.built, [sign(enclave, request, votes) for enclave in enclaves], ALICE
        )
        spent = self.built.spent_outputs
        tx = sign_key_path(signed, spent, 0, ALICE._key, sighash_type=sighash_type)
        for index in range(len(tx.inputs)):
            verify_input(tx, spent, index)
        return tx

    def full(self, request: SigningRequest, tx: Tx) -> SigningRequest:
        """The request with this transaction's ancestors in place of the word of its quorum."""
        world = self.world
        known = world.known
        evidence = [
            replace(item, prevouts=None) if item.tx.txid == tx.txid else item
            for item in request.evidence
        ]
        have = {item.tx.txid for item in evidence}
        for txin in tx.inputs:
            parent = world.transactions[txin.outpoint.txid]
            if parent.txid in have:
                continue
            have.add(parent.txid)
            prevouts = None
            if parent.txid == self.peg_in.txid:
                prevouts = tuple(
                    world.transactions[above.outpoint.txid].outputs[above.outpoint.vout]
                    for above in parent.inputs
                )
            evidence.append(
                TxEvidence(parent.serialize(), known.inclusions.get(parent.txid), prevouts)
            )
        return replace(request, evidence=tuple(evidence))


@pytest.fixture(scope="module")
def stamped() -> Stamped:
    return Stamped()


def test_C5_another_witness_changes_no_verdict_and_no_cache(stamped: Stamped) -> None:
    """The signer publishes SINGLE where he had shown DEFAULT: correct by the index, by the quorum's
    word and by a full check, whatever witness the evidence holds; and the cache stays right."""
    world = stamped.world
    tx = stamped.published(SINGLE)
    world.confirm(tx)
    spent = rules.correct(
        tx,
        stamped.built.prevouts,
        stamped.known_bundles,  # type: ignore[arg-type]
        world.context.record,
        world.chain.height,
        world.network,
        confirmed=True,
    )
    bobs = world.coin(tx, 1, dict(spent.charms[1]))
    assert bobs.charms == {world.zkbtc.token: 300_000}
    out = world.peg_out(world.coin(tx, 0), bobs, 200_000, who=BOB)
    request = assemble(world.psbt(out, BOB), stamped.bundles, world.known)
    assert vote(world.enclave(), request).refusal is None
    full = stamped.full(request, tx)
    for witness in (tx.inputs[0].witness, (bytes(64),), (b"\x51", bytes(33)), (b"",)):
        raw = tx.with_witness(0, witness).serialize()
        changed = tuple(
            replace(item, raw=raw) if item.tx.txid == tx.txid else item for item in full.evidence
        )
        enclave = world.enclave()
        assert vote(enclave, replace(full, evidence=changed)).refusal is None
        kept = enclave._verdicts.get(tx.txid, lambda _block: 1)
        assert kept is not None
        assert tuple(map(dict, kept.charms)) == tuple(map(dict, spent.charms))
        assert vote(enclave, request).refusal is None


def test_G13_an_input_that_only_looks_signed_takes_no_anchor_away(stamped: Stamped) -> None:
    """A witness that ends in the quorum's leaf before the real one: the real one counts."""
    record, spent = stamped.world.context.record, stamped.built.spent_outputs
    tx = stamped.published(0)
    *_, leaf, control = tx.inputs[1].witness
    keys = record.reigns[0].roster.keys
    for stack in ([b""] * len(keys), [bytes(64)] * len(keys), [b"\x01"]):
        false = (*stack, leaf, control)
        assert check_anchor(tx.with_witness(0, false), spent, record) == record.reigns
        with pytest.raises(Incorrect):
            check_anchor(tx.with_witness(0, false).with_witness(1, false), spent, record)


@pytest.mark.parametrize("name", ["a signature of nothing", "SINGLE", "ALL of another"])
def test_Z6_enclaves_see_the_signers_consent(stamped: Stamped, name: str) -> None:
    """A witness of the right form that is no signature of this transaction: no vote, by name."""
    world, request = stamped.world, stamped.request
    psbt = world.psbt(stamped.built, ALICE)
    assert vote(world.enclave(), request).refusal is None
    other = replace(psbt.tx, locktime=psbt.tx.locktime + 1)
    spent = stamped.built.spent_outputs
    signed = {
        "a signature of nothing": psbt.tx.with_witness(0, (bytes(64),)),
        "SINGLE": sign_key_path(psbt.tx, spent, 0, ALICE._key, sighash_type=SINGLE),
        "ALL of another": sign_key_path(other, spent, 0, ALICE._key, sighash_type=1),
    }[name]
    changed = psbt.with_input(0, final_script_witness=signed.inputs[0].witness)
    reply = vote(world.enclave(), replace(request, psbt=changed.serialize()))
    assert rule(reply) == ("TxShape" if name == "SINGLE" else "SignerSighash")


def test_Z6_the_draft_is_refused_before_it_is_sent(
    stamped: Stamped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wallet that signs another way hears from its own SDK what the operators would say."""
    built, spent = stamped.built, stamped.built.spent_outputs

    def otherwise(self: Assembled, *_accounts: object) -> Tx:
        return sign_key_path(self.tx, spent, 0, ALICE._key, sighash_type=SINGLE)

    monkeypatch.setattr(Assembled, "signed_by", otherwise)
    with pytest.raises(SpellIncorrect, match="SignerSighash"):
        stamped.world.psbt(built, ALICE)


def test_Z6_signers_want_a_quorum_beside_them(stamped: Stamped) -> None:
    """The same action where no enclave looks: the draft fails, since no witness would ever count."""
    world = stamped.world
    coin = world.give(ALICE, 60_000)
    stamp = Contract(identity_of(coin.outpoint), stamped.app.vk)
    draft = Draft(replace(world.context, bundles=stamped.known_bundles))
    draft.spend(coin)
    draft.keep_rest(ALICE.script, CARRIER, {stamp.token: 7})
    draft.act(Act(stamp, stamped.app, "issue", signers=(0,)))
    draft.change = Payment(ALICE.script, 50_000)
    with pytest.raises(SpellIncorrect, match="SignerInvalid"):
        draft.assemble().prove()
