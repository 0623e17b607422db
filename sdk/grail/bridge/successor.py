"""A successor: zkBTC names a mended contract, and later units go over to it (rule E7).

Naming spends the Grail NFT, whose roster stays; the operators sign it when it names the contract
that their configuration holds. From the height named on, at least 2,016 blocks later, anyone moves
his own units without a proof of the old contract: they are burned, the old vault falls by as much,
the successor's vault rises by it, and the successor mints as many by an action of its own.
"""

from __future__ import annotations

from grail.apps.compiler import CompiledApp
from grail.bridge.peg_in import SETTLE
from grail.bridge.peg_out import select_vault
from grail.charms.app import Contract
from grail.charms.record import NO_SUCCESSOR, SUCCESSOR_DELAY, read_state, roster_state
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft, Purse
from grail.errors import InvalidInput
from grail.wallet.coins import Coin, select_units

ROSTER = "roster"


def draft_naming(
    context: Context,
    app: CompiledApp,
    nft: Coin,
    successor: Contract,
    purse: Purse,
    *,
    counts_from: int | None = None,
) -> Assembled:
    """The transaction by which the Grail NFT names `successor`, which counts from a height on.

    `nft` is the Grail NFT's coin with its charms. Without `counts_from` it is the soonest that the
    operators take, with room for a day until it confirms. Raises `InvalidInput` when a successor is
    named already or the height is too near.
    """
    soonest = context.height + SUCCESSOR_DELAY
    height = soonest + 144 if counts_from is None else counts_from
    if height < soonest:
        raise InvalidInput(f"successor counts from {height}, expected {soonest} or above")
    roster, named, _ = read_state(nft.charms[context.zkbtc.nft])
    if named != NO_SUCCESSOR:
        raise InvalidInput(f"the Grail NFT names a successor already: {named.hex()}")
    state = roster_state(roster, successor.gid(context.network), height)
    draft = Draft(context)
    draft.spend_guarded(context.zkbtc, nft)
    guard = context.guard(context.zkbtc, roster)
    draft.pay(guard.script_pubkey, nft.sats, {context.zkbtc.nft: state})
    draft.act(Act(context.zkbtc, app, ROSTER))
    draft.fund(purse)
    return draft.assemble()


def draft_succession(
    context: Context,
    app: CompiledApp,
    successor: Contract,
    vaults: tuple[list[Coin], Coin],
    purse: Purse,
    *,
    units: int,
) -> Assembled:
    """The transaction that moves `units` of the purse's zkBTC over to the successor.

    `app` is the successor's. `vaults` are the old vault's coins to choose from, and one of the
    successor's: a mint wants an input that its quorum signs. Raises `InvalidInput`,
    `InsufficientFunds`.
    """
    reign = context.record.ruling(context.height)
    if reign is None or reign.successor != successor.gid(context.network):
        raise InvalidInput("the record names no such successor")
    if context.height < reign.successor_from:
        raise InvalidInput(
            f"units may go over from height {reign.successor_from}, now {context.height}"
        )
    if units <= 0:
        raise InvalidInput(f"got {units} units, expected more than 0")
    old, new = vaults
    taken = select_vault(old, units)
    token = context.zkbtc.token
    mine = select_units(purse.coins, token, units, purse.waiting)
    draft = Draft(context)
    # No block below that height may hold it, whatever a reorganisation does to the chain.
    draft.locktime = reign.successor_from - 1
    draft.spend_guarded(context.zkbtc, *taken)
    draft.spend_guarded(successor, new)
    draft.spend(*mine)
    if left := sum(coin.sats for coin in taken) - units:
        draft.pay_guard(context.zkbtc, left)
    draft.pay_guard(successor, new.sats + units)
    draft.keep_rest(purse.keep_at, CARRIER, {token: -units, successor.token: units})
    draft.leave(context.zkbtc)
    draft.act(Act(successor, app, SETTLE))
    draft.fund(purse)
    return draft.assemble()
