"""Steps 13 to 16: where sats may go, what it costs, and when it is too late."""

from __future__ import annotations

from dataclasses import replace

from enclave_world import MALLORY

from grail.operators.evidence import SigningRequest
from grail.types import TxOut
from socket_attacks.intake import of_a_deposit
from socket_attacks.registry import attack, rule_out
from socket_attacks.scene import FEE, Scene

UNSPENDABLE = b"\x51\x20" + b"\xff" * 32
"""Pays to a key that is on no curve."""


@attack(
    "OutputForbidden",
    "S27",
    gains="Mallory: sats at the vault's address that no book counts, to be claimed as a gift later",
    out=rule_out("OutputForbidden"),
)
def change_at_the_vaults_address(scene: Scene) -> SigningRequest:
    heist = scene.house_use()
    left = heist.inputs[1].sats - FEE
    return replace(heist, change=[TxOut(left, scene.guard(scene.zkbtc))]).request()


@attack(
    "OutputForbidden",
    "S24",
    "S25",
    gains="Mallory: a decided transaction that no node relays keeps the port busy",
    out=rule_out("OutputForbidden"),
)
def an_output_that_nobody_can_spend(scene: Scene) -> SigningRequest:
    heist = scene.house_use()
    left = heist.inputs[1].sats - FEE
    return replace(heist, change=[TxOut(left, UNSPENDABLE)]).request()


@attack(
    "FeeOutOfRange",
    "S22",
    "S26",
    gains="Mallory: a decided transaction that no miner takes keeps the port busy",
    out=rule_out("FeeOutOfRange"),
)
def a_fee_too_low_for_any_block(scene: Scene) -> SigningRequest:
    return scene.house_use(fee=10).request()


@attack(
    "FeeOutOfRange",
    "S22",
    gains="Mallory, a miner: Alice's sats as a fee a thousand times the market's",
    out=rule_out("FeeOutOfRange"),
)
def a_fee_that_eats_a_coin(scene: Scene) -> SigningRequest:
    coin = scene.give(MALLORY, 20_000_000)
    return scene.house_use(inputs=[scene.ports[0], coin], fee=15_000_000).request()


@attack(
    "RecoveryNear",
    "S19",
    "S20",
    gains="Mallory: takes her deposit back while the mint that spends it waits for a block",
    out=rule_out("RecoveryNear"),
)
def a_deposit_that_its_owner_can_take_back(scene: Scene) -> SigningRequest:
    return of_a_deposit(scene, blocks=144 - 36, delay=144).request()
