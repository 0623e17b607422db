"""BTC becomes zkBTC: the deposit moves into the vault, and the owner is minted the same number.

The fee comes out of the deposit, within the owner's own bound, so anyone can serve it and nobody
else's coin is needed: deposit = minted + carrier + fee, and the vault grows by what is minted.
"""

from __future__ import annotations

from grail.apps.compiler import CompiledApp
from grail.bridge.deposit import Deposit
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft
from grail.draft.fees import at_rate
from grail.errors import InvalidInput
from grail.wallet.coins import Coin

SETTLE = "settle"


def draft_peg_in(
    context: Context, app: CompiledApp, deposit: Deposit, coin: Coin, rate: int
) -> Assembled:
    """The transaction that serves a deposit, its fee at `rate` sat per virtual byte.

    Raises `InvalidInput` when the deposit does not pay for its own service.
    """

    def with_fee(fee: int) -> Assembled:
        minted = coin.sats - CARRIER - fee
        if minted <= 0 or fee > deposit.max_fee:
            raise InvalidInput(
                f"deposit of {coin.sats} sats with at most {deposit.max_fee} for the fee does not "
                f"pay the {fee} sats that its service takes",
                hint="deposit more, allow a higher fee, or recover it after its delay",
            )
        draft = Draft(context)
        draft.pay_guard(deposit.contract, minted)
        draft.pay(deposit.owner_script, CARRIER, {deposit.contract.token: minted})
        draft.spend_escrow(deposit.contract, coin, deposit.row(0, 1))
        draft.act(Act(deposit.contract, app, SETTLE))
        return draft.assemble()

    return at_rate(with_fee, rate)
