"""zkBTC becomes BTC: units are burned, and the vault releases the same number of sats.

Whoever burns pays: payout = burn less the fee (plus the carriers that his own coins held), and the
vault falls by exactly what is burned. A plain payout needs no row, so it is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from grail.apps.compiler import CompiledApp
from grail.bitcoin import script
from grail.bridge.peg_in import SETTLE
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft, Purse
from grail.draft.fees import at_rate
from grail.errors import InsufficientFunds, InvalidInput
from grail.wallet.coins import Coin, select_units

MAX_VAULT_INPUTS = 20
"""Vault coins in one transaction (section 12)."""

MANY_VAULT_COINS = 200
"""Above so many vault coins each peg-out takes two or more, so that they do not pile up."""


def select_vault(vault: Sequence[Coin], burn: int) -> list[Coin]:
    """Vault coins that hold at least `burn`, leaving nothing or more than dust.

    Confirmed coins first, then the largest: few inputs, and the fewest unconfirmed parents.
    Raises `InsufficientFunds`.
    """
    ordered = sorted(vault, key=lambda c: (c.height is None, -c.sats, c.outpoint))
    fewest = 2 if len(ordered) > MANY_VAULT_COINS else 1
    dust = script.dust_limit(ordered[0].output.script) if ordered else 0
    chosen: list[Coin] = []
    have = 0
    for coin in ordered[:MAX_VAULT_INPUTS]:
        chosen.append(coin)
        have += coin.sats
        left = have - burn
        if len(chosen) >= fewest and (left == 0 or left >= dust):
            return chosen
    raise InsufficientFunds(
        f"{have} sats in {len(chosen)} vault coins do not release {burn} and leave 0 or {dust}",
        hint="burn less, or wait for coins that are being spent",
    )


def draft_peg_out(
    context: Context,
    app: CompiledApp,
    vault: Sequence[Coin],
    purse: Purse,
    *,
    burn: int,
    pay_to: bytes,
) -> Assembled:
    """The transaction that burns `burn` units and pays the sats to `pay_to`.

    What the spent coins hold besides goes back to the purse. Raises `InvalidInput` when the payout
    would be dust, `InsufficientFunds`.
    """
    if burn <= 0:
        raise InvalidInput(f"burn of {burn} units, expected more than 0")
    token = context.zkbtc.token
    mine = select_units(purse.coins, token, burn, purse.waiting)
    taken = select_vault(vault, burn)
    left = sum(coin.sats for coin in taken) - burn

    def with_fee(fee: int) -> Assembled:
        draft = Draft(context)
        draft.spend_guarded(context.zkbtc, *taken)
        draft.spend(*mine)
        if left:
            draft.pay_guard(context.zkbtc, left)
        kept = draft.keep_rest(purse.keep_at, CARRIER, {token: -burn})
        carriers = sum(coin.sats for coin in mine) - (0 if kept is None else CARRIER)
        payout = burn + carriers - fee
        least = script.dust_limit(pay_to)
        if payout < least:
            raise InvalidInput(
                f"burning {burn} units pays {payout} sats, expected at least {least} after the fee",
                hint="burn more at once: a peg-out's fee is some 2,000 sats",
            )
        draft.pay(pay_to, payout)
        draft.act(Act(context.zkbtc, app, SETTLE))
        return draft.assemble()

    return at_rate(with_fee, purse.rate)
