"""A new roster on chain, and what it guards moved to its addresses (rules E5 and E6, section 11).

The old quorum passes the Grail NFT to the next roster's address; that roster rules k blocks later.
From then on each guarded output of an older roster can be moved as it is, many in one transaction:
equal sats, charms and state, to the same contract's address of the ruling roster. Whoever asks for
a move pays its fee from coins of his own, never from what is guarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grail.apps.compiler import CompiledApp
from grail.bitcoin.addresses import Roster
from grail.charms.app import Contract
from grail.charms.record import read_state, roster_state
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import Draft, Purse
from grail.errors import InvalidInput
from grail.wallet.coins import Coin

ROSTER = "roster"

MOVES = 40
"""Guarded outputs in one move: each comes of another transaction with a spell, and a request leans
on 64 of these at most, the payer's own among them."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guarded output: of which contract, under which epoch."""

    contract: Contract
    epoch: int
    coin: Coin


def draft_roster(
    context: Context, app: CompiledApp, nft: Coin, roster: Roster, purse: Purse
) -> Assembled:
    """The transaction by which the Grail NFT names the next roster and goes to its address.

    `nft` is the Grail NFT's coin with its charms. A successor that was named is not named anew.
    Raises `InvalidInput` for a roster of another epoch than the next, `InsufficientFunds`.
    """
    before, _, _ = read_state(nft.charms[context.zkbtc.nft])
    if roster.epoch != before.epoch + 1:
        raise InvalidInput(f"roster of epoch {roster.epoch}, expected {before.epoch + 1}")
    draft = Draft(context)
    draft.spend_guarded(context.zkbtc, nft)
    guard = context.guard(context.zkbtc, roster)
    draft.pay(guard.script_pubkey, nft.sats, {context.zkbtc.nft: roster_state(roster)})
    draft.act(Act(context.zkbtc, app, ROSTER))
    draft.fund(purse)
    return draft.assemble()


def draft_move(context: Context, outputs: Sequence[Guarded], purse: Purse) -> Assembled:
    """The transaction that moves guarded outputs of older epochs to the roster that rules.

    Needs no proof; the fee is the purse's. Raises `InvalidInput` for none, too many, or one that
    the ruling roster guards already, `InsufficientFunds`.
    """
    if not 0 < len(outputs) <= MOVES:
        raise InvalidInput(f"{len(outputs)} outputs to move, expected 1 to {MOVES}")
    draft = Draft(context)
    for each in outputs:
        if each.epoch >= context.roster.epoch:
            raise InvalidInput(f"{each.coin.outpoint} is under epoch {each.epoch} already")
        draft.spend_guarded(each.contract, each.coin)
        draft.pay_guard(each.contract, each.coin.sats, each.coin.charms)
    draft.fund(purse)
    return draft.assemble()


def batches(outputs: Iterable[Guarded], most: int = MOVES) -> list[list[Guarded]]:
    """What to move together: one epoch at a time, so that one quorum signs each transaction."""
    found: list[list[Guarded]] = []
    for each in sorted(outputs, key=lambda one: (one.epoch, one.contract, one.coin.outpoint)):
        if not found or found[-1][0].epoch != each.epoch or len(found[-1]) == most:
            found.append([])
        found[-1].append(each)
    return found
