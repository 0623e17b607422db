"""Steps 10 (E4), 11 and 12: the vault's books, the height, the proofs."""

from __future__ import annotations

from enclave_world import ALICE, MALLORY

from grail.charms import proof_rules, vault_rules
from grail.charms.spell import Inputs
from grail.operators.evidence import SigningRequest
from socket_attacks.registry import Behind, attack, rule_out, spell_rule
from socket_attacks.scene import Scene


@attack(
    "TurnstileBroken",
    "Z26",
    "C1",
    gains="Mallory: 1,000,000 units that no sat stands for, by a circuit that says yes",
    out=spell_rule(vault_rules.turnstile_broken),
)
def units_out_of_nothing(scene: Scene) -> SigningRequest:
    minted = {scene.zkbtc.token: 1_000_000}
    return scene.settle([], [scene.vault_after(), (1_000, MALLORY.script, minted)]).request()


@attack(
    "MintUnseen",
    "C1",
    "Z26",
    gains="Mallory: a mint in which no quorum of zkBTC's has any part to refuse",
    out=spell_rule(vault_rules.mint_unseen),
)
def a_mint_without_an_input_of_the_vault(scene: Scene) -> SigningRequest:
    minted = {scene.zkbtc.token: 200_000}
    heist = scene.house_use(
        inputs=[scene.ports[0], scene.give(MALLORY, 300_000)],
        outs=[
            scene.port_after(),
            (200_000, scene.guard(scene.zkbtc), {}),
            (1_000, MALLORY.script, minted),
        ],
    )
    heist.acts[scene.zkbtc] = (scene.app, "settle")
    return heist.request()


@attack(
    "RowShort",
    "G3",
    "S22",
    gains="Mallory: Alice's deposit, but for one unit that Alice gets",
    out=spell_rule(vault_rules.row_short),
)
def a_deposit_of_which_the_owner_gets_little(scene: Scene) -> SigningRequest:
    deposit, coin = scene.paid()
    token, minted = scene.zkbtc.token, 497_000
    return scene.settle(
        [coin],
        [
            scene.vault_after(minted),
            (1_000, ALICE.script, {token: 1}),
            (1_000, MALLORY.script, {token: minted - 1}),
        ],
        x={scene.zkbtc: Inputs(rows=(deposit.row(1, 1),))},
    ).request()


@attack(
    "VaultShape",
    "S22",
    "S24",
    gains="Mallory: a vault in splinters, which later peg-outs pay for dearly",
    out=spell_rule(vault_rules.vault_shape),
)
def a_vault_in_splinters(scene: Scene) -> SigningRequest:
    guard, size = scene.guard(scene.zkbtc), 1_000
    splinters = [(size, guard, {})] * 20
    rest = (scene.vaults[0].sats - 20 * size, guard, {})
    return scene.settle([], [rest, *splinters]).request()


@attack(
    "HeightStale",
    "G12",
    "S26",
    gains="Mallory: an option of the house is exercised at a height long past",
    out=rule_out("HeightStale"),
)
def an_old_height_shown_to_a_circuit(scene: Scene) -> SigningRequest:
    scene.chain.mine_many(10)
    return scene.house_use("clock", locktime=scene.chain.height - 10).request()


@attack(
    "HeightStale",
    "G12",
    gains="Mallory: the circuit is shown height 0, to which the chain holds nobody",
    out=spell_rule(proof_rules.height_stale),
    behind=[
        Behind(
            "HeightStale",
            rule_out("HeightStale"),
            "a height of 0 is also no recent one; ancestors are asked the first rule alone",
        )
    ],
)
def no_height_shown_to_a_circuit(scene: Scene) -> SigningRequest:
    return scene.house_use("clock", locktime=0).request()


@attack(
    "ProofInvalid",
    "C14",
    "S5",
    "Z10",
    gains="Mallory: the proof of an honest use serves for one that empties the port",
    out=spell_rule(proof_rules.proof_invalid),
)
def a_proof_of_something_else(scene: Scene) -> SigningRequest:
    payer = scene.give(MALLORY, 60_000)
    honest = scene.house_use(inputs=[scene.ports[0], payer]).assembled()
    assert honest.spell is not None
    theft = scene.house_use(
        inputs=[scene.ports[0], payer],
        outs=[scene.port_after(units=1), (1_000, MALLORY.script, {scene.zkbtc.token: 199_999})],
    )
    built = theft.assembled().with_proofs(honest.spell.proofs)
    return theft.requested(built)
