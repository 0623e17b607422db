"""Taking back a deposit that nobody served: the user's key alone, after the deposit's delay."""

from __future__ import annotations

from grail.bitcoin import addresses
from grail.bitcoin.tx import Tx
from grail.bridge.deposit import Deposit
from grail.draft import sizes
from grail.draft.assembled import Assembled, Context, Spend
from grail.draft.draft import Draft
from grail.draft.fees import at_rate
from grail.errors import InvalidInput
from grail.wallet.account import Account
from grail.wallet.coins import Coin, refuse_burn


def recoverable_at(deposit: Deposit, coin: Coin) -> int | None:
    """The first height whose block may hold the recovery; None while the deposit is unconfirmed."""
    return None if coin.height is None else coin.height + deposit.delay


def recover(
    context: Context, deposit: Deposit, coin: Coin, account: Account, *, to: bytes, rate: int
) -> tuple[Assembled, Tx]:
    """The signed transaction that pays a deposit back to `to`, and its draft.

    Needs no operator and no proof. Raises `InvalidInput` before its height, for another's key, and
    for a coin that is not this deposit's.
    """
    if account.internal_key != deposit.user_key:
        raise InvalidInput(f"wallet {account.name!r} does not hold this deposit's recovery key")
    if coin.output.script != deposit.script:
        raise InvalidInput(f"{coin.outpoint} is not this deposit")
    refuse_burn([coin], burn=False)
    first = recoverable_at(deposit, coin)
    if first is None:
        raise InvalidInput(
            f"the deposit is not confirmed; it can be taken back {deposit.delay} blocks after that",
            hint="wait for a block; on a devnet: net.mine(), or `grail devnet mine`",
        )
    if context.height < first:
        raise InvalidInput(
            f"the deposit can be taken back from height {first}, now {context.height}",
            hint="the operators may serve it until 36 blocks before",
        )
    leaf = deposit.output.leaf(addresses.RECOVERY)
    spend = Spend(coin, sizes.recovery_witness(leaf), sequence=deposit.delay)

    def with_fee(fee: int) -> Assembled:
        draft = Draft(context)
        draft.spends.append(spend)
        draft.pay(to, coin.sats - fee)
        return draft.assemble()

    assembled = at_rate(with_fee, rate)
    signature = account.recovery_signature(assembled.tx, assembled.spent_outputs, 0, leaf.leaf_hash)
    signed = assembled.tx.with_witness(0, leaf.witness([signature]))
    return assembled, signed
