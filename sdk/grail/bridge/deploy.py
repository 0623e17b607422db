"""The first transaction of a network: the Grail NFT, which names the first roster.

It spends the grail outpoint in its input 0, which makes zkBTC's identity, and puts the NFT at the
guarded address of the roster that it names, with a proof of zkBTC's action `deploy`.
"""

from __future__ import annotations

from grail.apps.compiler import CompiledApp
from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import Network
from grail.charms.app import Contract, identity_of
from grail.charms.record import Record, Reign, roster_state
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import Draft, Purse
from grail.errors import InvalidInput
from grail.wallet.coins import Coin

NFT_SATS = 10_000
"""Sats under the Grail NFT; they may never fall (VaultShape)."""


def zkbtc_contract(network: Network, app: CompiledApp) -> Contract:
    """ZkBTC's contract on this network: identity of the grail outpoint, vk of the bundle."""
    return Contract(identity_of(network.grail_outpoint), app.bundle.vk)


def draft_deploy(
    network: Network,
    app: CompiledApp,
    roster: Roster,
    grail_coin: Coin,
    purse: Purse,
    *,
    height: int,
) -> Assembled:
    """The deploy transaction; `grail_coin` is at the grail outpoint, `purse` helps with the fee.

    `height` is the tip's and one. Raises `InvalidInput`.
    """
    if grail_coin.outpoint != network.grail_outpoint:
        raise InvalidInput(
            f"got coin {grail_coin.outpoint}, expected the grail outpoint {network.grail_outpoint}"
        )
    if roster.epoch != 0:
        raise InvalidInput(f"deploy names epoch {roster.epoch}, expected 0")
    contract = zkbtc_contract(network, app)
    # the record that judges `deploy` holds the epoch that it makes (section 14)
    record = Record(contract, (Reign(roster, height + network.k),))
    context = Context(network, record, height, {app.bundle.vk: app.bundle})
    draft = Draft(context)
    draft.spend(grail_coin)
    guard = context.guard(contract, roster)
    draft.pay(guard.script_pubkey, NFT_SATS, {contract.nft: roster_state(roster)})
    draft.act(Act(contract, app, "deploy"))
    draft.fund(purse)
    return draft.assemble()
