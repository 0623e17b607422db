"""Step 10, E1 to E3: what an action changes, takes and gives, and whom it must pay."""

from __future__ import annotations

from dataclasses import replace

from enclave_world import ALICE, BOB, MALLORY

from grail.bitcoin import addresses
from grail.charms import kept_rules
from grail.charms.spell import Inputs, Row
from grail.operators.evidence import SigningRequest
from grail.wallet.coins import Coin
from grail_enclave.checks import signer_consent
from socket_attacks.hostile_apps import house
from socket_attacks.registry import attack, spell_rule
from socket_attacks.scene import Heist, Scene


@attack(
    "NotKept",
    "C2",
    gains="Mallory: shares of the house out of an action that may change its state alone",
    out=spell_rule(kept_rules.not_kept),
)
def shares_made_by_the_wrong_action(scene: Scene) -> SigningRequest:
    shares = {scene.house.token: 10**9}
    return scene.house_use(outs=[scene.port_after(), (1_000, MALLORY.script, shares)]).request()


@attack(
    "PortCount",
    "G4",
    "G7",
    gains="Mallory: the reserve of a second port, of which no fact tells the circuit",
    out=spell_rule(kept_rules.port_count),
)
def a_second_port_beside_the_first(scene: Scene) -> SigningRequest:
    stolen = {scene.zkbtc.token: 200_000}
    return scene.house_use(
        inputs=[*scene.ports, scene.give(MALLORY, 60_000)],
        outs=[scene.port_after(), (1_000, MALLORY.script, stolen)],
    ).request()


@attack(
    "NftOutside",
    "C17",
    gains="Mallory: a counterfeit state of her own making, to be carried to the port later",
    out=spell_rule(kept_rules.nft_outside),
)
def a_counterfeit_state_in_a_wallet(scene: Scene) -> SigningRequest:
    counterfeit = {scene.house.nft: scene.state(10**9)}
    return scene.house_use(
        outs=[scene.port_after(), (1_000, MALLORY.script, counterfeit)]
    ).request()


@attack(
    "NotFresh",
    "C18",
    gains="Mallory: shares after the creation, by an action that no port stands guard over",
    out=spell_rule(kept_rules.not_fresh),
)
def shares_made_after_the_creation(scene: Scene) -> SigningRequest:
    heist = scene.settle([], [scene.vault_after(), (1_000, MALLORY.script, {scene.house.token: 9})])
    heist.acts[scene.house] = (house(), "grow")
    return heist.request()


@attack(
    "GuardUndeclaredCharm",
    "G7",
    gains="Mallory: a token of hers in the port, which every later user must carry along",
    out=spell_rule(kept_rules.port_token_unnamed),
)
def a_token_that_the_action_does_not_name(scene: Scene) -> SigningRequest:
    held = scene.tokens[0]
    port = scene.port_after(charms=dict(held.charms))
    return scene.house_use(
        inputs=[scene.ports[0], held, scene.give(MALLORY, 60_000)], outs=[port]
    ).request()


def served(scene: Scene, coin: Coin, row: Row, payee: bytes, **changes: object) -> Heist:
    """A deposit whose payout goes to somebody."""
    minted = 497_000
    outs = [scene.vault_after(minted), (1_000, payee, {scene.zkbtc.token: minted})]
    return scene.settle([coin], outs, x={scene.zkbtc: Inputs(rows=(row,))}, **changes)


@attack(
    "RowPayee",
    "G3",
    "S5",
    gains="Mallory: Alice's deposit is minted to Mallory",
    out=spell_rule(kept_rules.row_payee),
)
def a_deposit_minted_to_the_thief(scene: Scene) -> SigningRequest:
    deposit, coin = scene.paid()
    return served(scene, coin, deposit.row(1, 1), MALLORY.script).request()


@attack(
    "RowCharm",
    "G7",
    "C9",
    gains="Mallory: the token that lay in Alice's escrow beside her sats",
    out=spell_rule(kept_rules.row_charm),
)
def a_token_out_of_an_escrow(scene: Scene) -> SigningRequest:
    held, deposit = scene.tokens[1], scene.deposit()
    paying = Heist(
        scene,
        [held, scene.give(ALICE, 600_000)],
        [(500_000, deposit.script, held.charms)],
        fee=1_000,
    )
    escrow = scene.coin(paying.published(), 0, held.charms)
    minted = 497_000
    token = scene.zkbtc.token
    return scene.settle(
        [escrow],
        [
            scene.vault_after(minted),
            (1_000, ALICE.script, {token: minted}),
            (1_000, MALLORY.script, held.charms),
        ],
        x={scene.zkbtc: Inputs(rows=(deposit.row(1, 1),))},
    ).request()


@attack(
    "PayInvalid",
    "S5",
    gains="Mallory: the house's debt is 'paid' to its own port, out of what it holds anyway",
    out=spell_rule(kept_rules.pay_invalid),
)
def a_debt_paid_to_the_house_itself(scene: Scene) -> SigningRequest:
    return scene.house_use("pay", x={scene.house: Inputs(pays=(0,))}).request()


@attack(
    "SignerInvalid",
    "S9",
    "Z6",
    gains="Mallory: the row's owner finishes alone later, with a consent that no quorum saw",
    out=spell_rule(kept_rules.signer_invalid),
)
def a_consent_that_a_row_alone_vouches_for(scene: Scene) -> SigningRequest:
    row = Row(0, 0, MALLORY.script, (3_000,), 1_008, MALLORY.internal_key)
    eid = addresses.escrow_id(scene.network, bytes(scene.house), row.owner_script, row.terms)
    escrow = addresses.escrow(scene.context.roster, eid, row.n, row.user_key)
    coin = scene.give(escrow.script_pubkey, 500_000)
    scene.chain.mine_many(scene.network.k)
    return Heist(
        scene,
        [coin, scene.give(ALICE, 60_000)],
        [(499_000, MALLORY.script, {})],
        {scene.house: (house(), "promise")},
        {scene.house: Inputs(rows=(row,), signers=(1,))},
    ).request()


@attack(
    "SignerSighash",
    "Z6",
    "S5",
    gains="Mallory: Bob is on record as having agreed, with a signature that is not his",
    out=spell_rule(signer_consent),
)
def somebody_who_never_agreed(scene: Scene) -> SigningRequest:
    bobs = scene.give(BOB, 60_000)
    heist = scene.house_use(
        "agree", inputs=[scene.ports[0], bobs], x={scene.house: Inputs(signers=(1,))}
    )
    built = heist.assembled()
    psbt = built.psbt(scene.transactions).with_input(1, final_script_witness=(bytes(64),))
    return replace(heist.requested(built), psbt=psbt.serialize())
