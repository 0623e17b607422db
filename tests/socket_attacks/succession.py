"""The successor (E7): who is named, when units may go over, and that as many arrive as left."""

from __future__ import annotations

import hashlib

from enclave_world import ROSTER
from succession_world import mended

from grail.charms import guard_rules, move_rules
from grail.charms.app import Contract
from grail.charms.record import roster_state
from grail.operators.evidence import SigningRequest
from grail.wallet.coins import Coin
from socket_attacks.heirs import counting_scene, named_scene, naming_of
from socket_attacks.registry import Behind, Removal, Target, attack, rule_out, spell_rule, voted
from socket_attacks.scene import Scene
from socket_attacks.standing import any_roster

MALLORYS = hashlib.sha256(b"mallory's contract").digest()
AGREED = hashlib.sha256(b"the operators' contract").digest()


def first_port(scene: Scene) -> Coin:
    """The Grail NFT as the deploy left it."""
    return scene.coin(scene.deploy, 0, {scene.zkbtc.nft: roster_state(ROSTER)})


@attack(
    "RosterInvalid",
    "Z26",
    "R13",
    gains="Mallory: in two weeks every unit goes over to a contract of hers, and the vault with it",
    out=Removal(any_roster),
)
def a_successor_that_nobody_agreed_on(scene: Scene) -> SigningRequest:
    return naming_of(scene, first_port(scene), MALLORYS, scene.chain.height + 5_000)


@attack(
    "RosterInvalid",
    "Z26",
    "R13",
    gains="Mallory: her contract in place of the one that the operators agreed on",
    out=Removal(any_roster),
)
def another_successor_than_was_agreed_on(scene: Scene) -> Target:
    request = naming_of(scene, first_port(scene), MALLORYS, scene.chain.height + 5_000)
    return voted(request, configuration={"successor": AGREED})


@attack(
    "RosterInvalid",
    "Z26",
    gains="an operator: names the agreed contract with no time for anyone to leave before",
    out=rule_out("RosterInvalid"),
)
def a_successor_from_tomorrow_on(scene: Scene) -> Target:
    request = naming_of(scene, first_port(scene), AGREED, scene.chain.height + 100)
    return voted(request, configuration={"successor": AGREED})


@attack(
    "RosterInvalid",
    "Z26",
    "R13",
    gains="Mallory: another successor in the last moment, when nobody looks any more",
    out=spell_rule(guard_rules.roster_invalid),
    behind=[
        Behind(
            "RosterInvalid",
            Removal(any_roster),
            "operators sign the one naming of their configuration, while none is on record",
        )
    ],
)
def a_successor_changed_once_it_is_named(scene: Scene) -> Target:
    assert scene
    heirs = named_scene()
    return voted(heirs.renaming(MALLORYS), scene=heirs)


@attack(
    "SuccessorUnequal",
    "Z26",
    "C1",
    gains="Mallory: one sat of the old vault that never arrives at the new one",
    out=spell_rule(move_rules.successor_unequal),
)
def one_sat_less_arrives_than_left(scene: Scene) -> Target:
    assert scene
    heirs = counting_scene()
    return voted(heirs.going_over(heirs.heir, heirs.heirs_coin, 100_000, 99_999), scene=heirs)


@attack(
    "ProofMissing",
    "Z26",
    gains="Mallory: the vault goes over before those who do not trust the heir have left",
    out=spell_rule(guard_rules.proof_missing),
)
def units_that_go_over_too_early(scene: Scene) -> Target:
    assert scene
    heirs = named_scene()
    return voted(heirs.going_over(heirs.heir, heirs.heirs_coin, 100_000, 100_000), scene=heirs)


@attack(
    "ProofMissing",
    "Z26",
    "C1",
    gains="Mallory: sats of the vault go over to a contract of hers that nobody named",
    out=spell_rule(guard_rules.proof_missing),
)
def units_that_go_over_to_somebody_else(scene: Scene) -> Target:
    assert scene
    heirs = counting_scene()
    mallorys = Contract(MALLORYS, mended().bundle.vk)
    hers = heirs.give(heirs.guard(mallorys), 200_000)
    return voted(heirs.going_over(mallorys, hers, 100_000, 100_000), scene=heirs)


@attack(
    "HeightStale",
    "Z26",
    "S12",
    gains="a miner: puts it in a block below the height, where it burns, and every enclave is alarmed",
    out=rule_out("HeightStale"),
)
def units_that_may_go_over_in_an_earlier_block(scene: Scene) -> Target:
    assert scene
    heirs = counting_scene()
    request = heirs.going_over(
        heirs.heir, heirs.heirs_coin, 100_000, 100_000, locktime=heirs.successor_from - 2
    )
    return voted(request, scene=heirs)
