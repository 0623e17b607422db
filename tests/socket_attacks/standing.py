"""Step 9: what lies where, who needs a proof, and what a spell lists."""

from __future__ import annotations

from dataclasses import replace

from enclave_world import ALICE, BOB, MALLORY, ROSTER

from grail.bitcoin.addresses import Roster
from grail.charms import guard_rules
from grail.charms.record import roster_state
from grail.charms.spell import Inputs, Row
from grail.crypto.schnorr import KeyPair
from grail.operators.evidence import SigningRequest
from grail_enclave import checks
from grail_enclave.checks import unknown_guard
from socket_attacks.hostile_apps import house
from socket_attacks.registry import Behind, Removal, attack, spell_rule
from socket_attacks.scene import Scene


def mallorys_row(index: int, output: int) -> Row:
    """A row whose owner is Mallory."""
    return Row(index, output, MALLORY.script, (3_000,), 1_008, MALLORY.internal_key)


@attack(
    "AppExtra",
    "C12",
    gains="Mallory: indexes and wallets show her swap as one that moved Alice's token",
    out=spell_rule(guard_rules.app_extra),
)
def a_token_listed_that_is_not_there(scene: Scene) -> SigningRequest:
    heist = scene.house_use()
    listed = (*heist.spell.apps, scene.token.token)
    return replace(heist, apps=tuple(sorted(listed))).request()


@attack(
    "GuardUndeclaredCharm",
    "G7",
    gains="Mallory: units she owes are 'paid' to the vault's address, where no action finds them",
    out=spell_rule(guard_rules.guard_undeclared_charm),
)
def units_parked_at_the_vaults_address(scene: Scene) -> SigningRequest:
    held = scene.tokens[0]
    return scene.settle(
        [held], [scene.vault_after(), (1_000, scene.guard(scene.zkbtc), held.charms)]
    ).request()


@attack(
    "UnknownGuard",
    "S9",
    gains="Mallory: a vote for what no owner signed keeps the pool's port busy for nothing",
    out=spell_rule(unknown_guard),
)
def an_input_that_nobody_signed(scene: Scene) -> SigningRequest:
    bobs = scene.give(BOB, 60_000)
    return scene.house_use(inputs=[scene.ports[0], bobs]).request()


@attack(
    "RowUnknown",
    "S20",
    "G3",
    gains="Mallory: a coin of hers counts as a deposit, so nobody asks how deep it lies",
    out=spell_rule(guard_rules.row_unknown),
)
def a_deposit_that_is_no_escrow(scene: Scene) -> SigningRequest:
    coin = scene.give(MALLORY, 500_000)
    minted = 497_000
    token = scene.zkbtc.token
    return scene.settle(
        [coin],
        [scene.vault_after(minted), (1_000, MALLORY.script, {token: minted})],
        x={scene.zkbtc: Inputs(rows=(mallorys_row(1, 1),))},
    ).request()


@attack(
    "OutputClaimedTwice",
    "G4",
    gains="Mallory: one payment to Alice answers her deposit and settles the house's debt to her",
    out=spell_rule(guard_rules.output_claimed_twice),
)
def one_payment_for_two_debts(scene: Scene) -> SigningRequest:
    deposit, coin = scene.paid()
    minted = 497_000
    heist = scene.settle(
        [coin, scene.ports[0]],
        [
            scene.vault_after(minted),
            (1_000, ALICE.script, {scene.zkbtc.token: minted}),
            scene.port_after(),
        ],
        x={scene.zkbtc: Inputs(rows=(deposit.row(1, 1),)), scene.house: Inputs(pays=(1,))},
    )
    heist.acts[scene.house] = (house(), "pay")
    return heist.request()


@attack(
    "ProofMissing",
    "G1",
    gains="Mallory: takes the reserve out of a port whose state she leaves as it was",
    out=spell_rule(guard_rules.proof_missing),
)
def a_reserve_taken_by_simple_transfer(scene: Scene) -> SigningRequest:
    stolen = {scene.zkbtc.token: 199_999}
    outs = [scene.port_after(count=0, units=1), (1_000, MALLORY.script, stolen)]
    return scene.house_use(outs=outs, acts={}).request()


@attack(
    "ProofExtra",
    "C22",
    gains="Mallory: history shows an action of the house that did nothing and nobody asked for",
    out=spell_rule(guard_rules.proof_extra),
)
def an_action_where_nothing_happens(scene: Scene) -> SigningRequest:
    heist = scene.settle(
        [scene.shares], [scene.vault_after(), (1_000, ALICE.script, scene.shares.charms)]
    )
    heist.acts[scene.house] = (house(), "claim")
    return heist.request()


@attack(
    "ActionUnknown",
    "C22",
    gains="Mallory: mints Alice's token by an action that has no key, so no proof is looked at",
    out=spell_rule(guard_rules.action_unknown),
)
def an_action_that_does_not_exist(scene: Scene) -> SigningRequest:
    outs = [scene.port_after(), (1_000, MALLORY.script, {scene.token.token: 10**9})]
    return scene.house_use(outs=outs, more_proofs=((scene.token, 200),)).request()


@attack(
    "AppMissing",
    "C9",
    gains="Mallory: burns Alice's shares in a spell that does not name them, unseen by wallets",
    out=spell_rule(guard_rules.app_missing),
)
def shares_burned_without_a_word(scene: Scene) -> SigningRequest:
    kept = {scene.zkbtc.token: scene.shares.charms[scene.zkbtc.token]}
    heist = scene.house_use(
        "share",
        inputs=[scene.ports[0], scene.shares, scene.give(MALLORY, 60_000)],
        outs=[scene.port_after(), (1_000, ALICE.script, kept)],
    )
    listed = tuple(app for app in heist.spell.apps if app != scene.house.token)
    return replace(heist, apps=listed).request()


@attack(
    "StateInvalid",
    "C3",
    "C17",
    gains="Mallory: a u64 of 2^64 and more, where every circuit after her counts on 64 bits",
    out=spell_rule(guard_rules.state_invalid),
)
def a_count_beyond_its_type(scene: Scene) -> SigningRequest:
    return scene.house_use(outs=[scene.port_after(count=(1 << 64) + 5)]).request()


class AnyRoster(checks.SpellCorrectRule):
    """The rules of a correct spell, and a spend of the Grail NFT is as good as any other."""

    def _check_nft(self, *_args: object) -> None:
        return


def any_roster(rules: tuple[checks.Rule, ...]) -> tuple[checks.Rule, ...]:
    """The policy on the Grail NFT taken out."""
    return tuple(
        AnyRoster(each.rules) if isinstance(each, checks.SpellCorrectRule) else each
        for each in rules
    )


def to_mallorys_roster(scene: Scene, at: Roster) -> SigningRequest:
    """The Grail NFT's state names Mallory's keys, and lies at the address of roster `at`."""
    mine = Roster.of(1, [KeyPair(bytes([9, i]) * 16).public for i in range(1, 17)], 12)
    nft = scene.zkbtc.nft
    port = scene.coin(scene.deploy, 0, {nft: roster_state(ROSTER)})
    guard = scene.context.guard(scene.zkbtc, mine if at.epoch else at).script_pubkey
    heist = scene.settle(
        [],
        [(port.sats, guard, {nft: roster_state(mine)})],
        acts={scene.zkbtc: (scene.app, "roster")},
    )
    return replace(heist, inputs=[port, heist.inputs[-1]]).request()


@attack(
    "RosterInvalid",
    "R13",
    "S8",
    gains="Mallory: sixteen keys of hers rule the vault after k blocks",
    out=Removal(any_roster),
)
def a_roster_of_mallorys_own(scene: Scene) -> SigningRequest:
    return to_mallorys_roster(scene, replace(ROSTER, epoch=1))


@attack(
    "RosterInvalid",
    "R3",
    gains="Mallory: the NFT names a roster and stays with the old one, so no roster rules for good",
    out=spell_rule(guard_rules.roster_invalid),
    behind=[
        Behind(
            "RosterInvalid",
            Removal(any_roster),
            "operators sign no spend of the NFT but one that names their own successor",
        )
    ],
)
def a_roster_that_does_not_hold_the_nft(scene: Scene) -> SigningRequest:
    return to_mallorys_roster(scene, ROSTER)
