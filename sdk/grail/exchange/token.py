"""Tokens of one's own: issuing them, and moving any token to somebody.

A transfer is Charms' simple transfer: amounts in equal amounts out, no proof, no operator. Only the
sender signs, and the node takes it like any other transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from grail.apps.compiler import CompiledApp
from grail.charms.app import App, Contract, identity_of
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft, Purse
from grail.errors import InsufficientFunds, InvalidInput
from grail.wallet.coins import Coin, plain, select_units

ISSUE = "issue"


def draft_transfer(
    context: Context, purse: Purse, app: App, amount: int, *, to: bytes
) -> Assembled:
    """The transaction that gives `amount` units of a token to the script `to`.

    What else the spent coins hold goes back to the purse, and the change too. Raises
    `InvalidInput`, `InsufficientFunds`.
    """
    if amount <= 0:
        raise InvalidInput(f"transfer of {amount} units, expected more than 0")
    draft = Draft(context)
    draft.spend(*select_units(purse.coins, app, amount, purse.waiting))
    draft.pay(to, CARRIER, {app: amount})
    draft.keep_rest(purse.keep_at, CARRIER)
    draft.fund(purse)
    return draft.assemble()


def fresh_input(coins: Sequence[Coin]) -> Coin:
    """The plain coin whose outpoint will name a new contract. Raises `InsufficientFunds`."""
    free = plain(coins)
    if not free:
        raise InsufficientFunds("no plain coin is there", hint="ask the faucet for sats")
    return free[0]


def draft_issue(
    context: Context, app: CompiledApp, purse: Purse, supply: int, *, to: bytes
) -> Assembled:
    """The transaction that issues a new token, all of it to `to`.

    The token's identity is the outpoint of input 0, so it can be issued only once. Raises
    `InvalidInput`, `InsufficientFunds`.
    """
    if not 0 < supply < 1 << 64:
        raise InvalidInput(f"supply of {supply} units, expected 1 to 2^64 - 1")
    first = fresh_input(purse.coins)
    contract = Contract(identity_of(first.outpoint), app.bundle.vk)
    draft = Draft(context)
    draft.spend(first)
    draft.pay(to, CARRIER, {contract.token: supply})
    draft.act(Act(contract, app, ISSUE, args=(supply,)))
    draft.fund(purse)
    return draft.assemble()
