"""Steps 6 to 8: one spell of ours, where charms come from, and bundles that are what they say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from enclave_world import MALLORY

from grail.bitcoin.addresses import quorum_leaf
from grail.bitcoin.tx import Tx
from grail.charms import envelope, fact_list, proof_rules, spell_rules
from grail.charms import spell as spells
from grail.charms.app import Contract, identity_of
from grail.charms.rules import Prevout
from grail.charms.spell import ContractProof, Spell
from grail.operators.evidence import SigningRequest
from grail.types import TxOut
from grail.wallet.coins import Coin
from grail_enclave import checks
from grail_enclave.case import Case
from grail_enclave.established import Charmed, Shaped, Spelled, Spent
from grail_enclave.intake import HistoryRule, SpellRule
from socket_attacks.forged_key import Forgeable, forgeable, forged
from socket_attacks.hostile_apps import bond, incomplete_bond
from socket_attacks.registry import (
    Behind,
    Removal,
    Target,
    answering,
    attack,
    instead,
    patched,
    rule_out,
    spell_rule,
    voted,
)
from socket_attacks.scene import Heist, Scene

EXACT = Behind(
    "OutputForbidden",
    rule_out("OutputForbidden"),
    "past the spell's outputs the one OP_RETURN is byte for byte that of the spell judged",
)


def first_spell(tx: Tx) -> int | None:
    """The first output that carries a spell, whatever follows."""
    return next(iter(envelope.spell_outputs(tx)), None)


@attack(
    "TwoSpells",
    "C13",
    gains="Mallory: of two spells each reader takes another, and both are 'correct'",
    out=patched(envelope, "one_spell", first_spell),
    behind=[EXACT],
)
def two_spells_in_one_transaction(scene: Scene) -> SigningRequest:
    heist = scene.house_use()
    other = Spell.build([{scene.token.token: 10**9}])
    left = TxOut(heist.inputs[1].sats - 20_000, MALLORY.script)
    return replace(heist, change=[TxOut(0, other.op_return()), left]).request()


FOREIGN = b"GRL9"


@contextmanager
def foreign_magic() -> Iterator[None]:
    """Another format's magic in place of ours."""
    with mock.patch.object(spells, "MAGIC", FOREIGN), mock.patch.object(envelope, "MAGIC", FOREIGN):
        yield


class AnyMagic(SpellRule):
    """Reads a spell of another format as ours."""

    def check(self, case: Case) -> Spelled:
        with foreign_magic():
            found = spells.parse(case.got(Shaped).tx)
        assert found is not None
        return Spelled(found)


@attack(
    "ForeignSpell",
    "C4",
    "C6",
    gains="Mallory: a spell under rules to come, judged by rules that do not know them",
    out=instead("SpellInvalid", AnyMagic()),
    behind=[EXACT],
)
def a_spell_of_another_format(scene: Scene) -> SigningRequest:
    heist = scene.house_use()
    built = heist.assembled()
    assert built.spell is not None
    proofs = built.spell.proofs
    with foreign_magic():
        changed = replace(built.spell, proofs=())
        text = replace(changed, proofs=proofs).op_return()
    outputs = tuple(TxOut(0, text) if not out.sats else out for out in built.tx.outputs)
    return heist.requested(replace(built, tx=replace(built.tx, outputs=outputs)))


@attack(
    "SpellInvalid",
    "C3",
    "C15",
    gains="Mallory: 2^64 shares and some; who counts in 64 bits sees none of them",
    out=patched(spells, "check_data", answering()),
)
def more_units_than_a_u64(scene: Scene) -> SigningRequest:
    shares = {scene.house.token: (1 << 64) + 5}
    return scene.house_use(
        "share", outs=[scene.port_after(), (1_000, MALLORY.script, shares)]
    ).request()


# Step 7


class Believing(HistoryRule):
    """Takes a parent's spell at its word, when its history is not there or does not hold."""

    def check(self, case: Case) -> Charmed:
        spent, tx = case.got(Spent), case.got(Shaped).tx
        found = []
        for txin, out in zip(tx.inputs, spent.prevouts, strict=True):
            made = spells.parse(spent.history.tx(txin.outpoint.txid))
            outs = made.outs if made is not None else ()
            held = outs[txin.outpoint.vout] if txin.outpoint.vout < len(outs) else {}
            found.append(Prevout(out.sats, out.script, held))
        return Charmed(tuple(found))


def counterfeit(scene: Scene) -> tuple[Tx, Coin]:
    """A confirmed transaction whose spell says that a million units are Mallory's."""
    source = scene.give(MALLORY, 60_000)
    charms = {scene.zkbtc.token: 1_000_000}
    tx = Heist(scene, [source], [(1_000, MALLORY.script, charms)]).published()
    return tx, scene.coin(tx, 0, charms)


def cashed(scene: Scene, coin: Coin) -> Heist:
    """The vault pays 300,000 sats for units of this coin."""
    rest = {scene.zkbtc.token: 700_000}
    return scene.settle(
        [coin],
        [
            scene.vault_after(-300_000),
            (1_000, MALLORY.script, rest),
            (300_000, MALLORY.script, {}),
        ],
    )


@attack(
    "HistoryMissing",
    "G13",
    "G14",
    gains="Mallory: units of her own invention, their history left out, for sats of the vault",
    out=instead("HistoryMissing", Believing()),
)
def counterfeit_units_without_their_history(scene: Scene) -> SigningRequest:
    tx, coin = counterfeit(scene)
    request = cashed(scene, coin).request()
    above = tx.inputs[0].outpoint.txid
    kept = tuple(item for item in request.evidence if item.tx.txid != above)
    assert len(kept) < len(request.evidence)
    return replace(request, evidence=kept)


@attack(
    "HistoryInvalid",
    "G13",
    gains="Mallory: counterfeit units from a transaction that only looks like the quorum's",
    out=instead("HistoryMissing", Believing()),
)
def counterfeit_units_with_a_forged_anchor(scene: Scene) -> SigningRequest:
    source = scene.give(MALLORY, 60_000)
    charms = {scene.zkbtc.token: 1_000_000}
    built = Heist(scene, [source], [(1_000, MALLORY.script, charms)]).assembled()
    roster = scene.context.roster
    stack = [bytes(64)] * roster.quorum + [b""] * (len(roster.keys) - roster.quorum)
    tx = built.tx.with_witness(0, (*stack, quorum_leaf(roster), bytes(33)))
    scene.confirm(tx)
    request = cashed(scene, scene.coin(tx, 0, charms)).request()
    shown = tuple(
        replace(item, prevouts=(source.output,)) if item.tx.txid == tx.txid else item
        for item in request.evidence
    )
    assert any(item.prevouts == (source.output,) for item in shown)
    return replace(request, evidence=shown)


# Step 8


@attack(
    "BundleMismatch",
    "Z10",
    "C18",
    gains="Mallory: mints a token of Bob's; without its bundle no key is there to ask",
    out=spell_rule(spell_rules.bundle_mismatch),
)
def a_token_whose_bundle_is_kept_back(scene: Scene) -> SigningRequest:
    bobs = Contract(hashlib.sha256(b"bob's").digest(), bond().bundle.vk)
    outs = [scene.port_after(), (1_000, MALLORY.script, {bobs.token: 10**9})]
    return scene.house_use(outs=outs, more_proofs=((bobs, 0),)).request()


@attack(
    "DescriptorInvalid",
    "Z10",
    gains="Mallory: a 'fixed supply' that her app's circuit is never shown",
    out=patched(fact_list, "automatic", answering(set())),
)
def an_app_that_does_not_look_at_its_supply(scene: Scene) -> SigningRequest:
    coin = scene.give(MALLORY, 60_000)
    mine = Contract(identity_of(coin.outpoint), incomplete_bond().bundle.vk)
    heist = Heist(
        scene,
        [coin, scene.ports[0]],
        [scene.port_after(), (1_000, MALLORY.script, {mine.token: 10**9})],
        {scene.house: scene.house_use().acts[scene.house], mine: (incomplete_bond(), "issue")},
    )
    return heist.request(more=[incomplete_bond()])


def minted_by_forgery(scene: Scene, app: Forgeable) -> SigningRequest:
    """A billion bonds, with a proof that no circuit ever gave."""
    coin = scene.give(MALLORY, 60_000)
    mine = Contract(identity_of(coin.outpoint), app.bundle.vk)
    heist = Heist(
        scene,
        [coin, scene.ports[0]],
        [scene.port_after(), (1_000, MALLORY.script, {mine.token: 10**9})],
        {scene.house: scene.house_use().acts[scene.house]},
        more_proofs=((mine, 0),),
    )
    built = heist.assembled([app])
    assert built.spell is not None
    statement = heist.checked(built, [app]).contract(mine)
    at = built.spell.contracts.index(mine)
    proofs = [
        ContractProof(at, 0, forged(statement.public_inputs)) if entry.contract == at else entry
        for entry in built.spell.proofs
    ]
    return heist.requested(built.with_proofs(proofs), [app])


@attack(
    "KeyUnsafe",
    "Z7",
    "Z11",
    gains="anybody: forges every proof of the app, since nobody made its delta a secret",
    out=spell_rule(spell_rules.key_unsafe),
    behind=[
        Behind(
            "ProofInvalid",
            spell_rule(proof_rules.proof_invalid),
            "the verifier takes no unsafe key either, for those who call it alone",
        )
    ],
)
def a_key_that_anybody_can_forge_for(scene: Scene) -> SigningRequest:
    return minted_by_forgery(scene, forgeable(safe_form=False))


class AnySetup(checks.SpellCorrectRule):
    """The rules of a correct spell; keys of one party are as good as any."""

    def _check_setups(self, *_args: object) -> None:
        return


def any_setup(rules: tuple[checks.Rule, ...]) -> tuple[checks.Rule, ...]:
    """The policy on setups taken out."""
    return tuple(
        AnySetup(each.rules) if isinstance(each, checks.SpellCorrectRule) else each
        for each in rules
    )


@attack(
    "SingleParty",
    "Z8",
    gains="Mallory: made her app's keys alone, and mints with a proof that no circuit gave",
    out=Removal(any_setup),
)
def keys_of_a_single_party(scene: Scene) -> Target:
    request = minted_by_forgery(scene, forgeable(safe_form=True))
    return voted(request, configuration={"single_party": False})
