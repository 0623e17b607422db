"""A swap that follows its pool: stated as an intent, rebuilt when somebody else was faster.

A pool's output can be spent once, so of two swaps at a time one finds it gone. Its owner said what
he wants (amount in, least out, until when), so the SDK takes the pool's new tip, makes the amounts
and the proof anew, and asks again, at most five times, each shown (protocol, section 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from grail.charms.app import App, Contract
from grail.connection.display import Cell
from grail.connection.receipt import Receipt
from grail.connection.session import Session, Step
from grail.draft.draft import Purse
from grail.errors import InvalidInput, NodeError, Refused
from grail.exchange.pool import PoolPort, draft_move, swapping
from grail.types import OutPoint
from grail.wallet.account import Account

REBASES = 5
"""How often a swap is rebuilt on a newer state of its pool."""

TIP_SECONDS = 10.0
"""How long the winner of a race may take to show up in the node's mempool."""


@dataclass(frozen=True)
class Intent:
    """What a swapper wants: to pay `amount` units of `give` for at least `least` of the other.

    `deadline` is the last height at which it may still be sent; None means any.
    """

    pool: Contract
    give: App
    amount: int
    least: int
    deadline: int | None = None


@dataclass(frozen=True)
class SwapReceipt(Receipt):
    """A published swap: what was paid in and taken out, and the quotes that were overtaken."""

    gave: int = 0
    got: int = 0
    overtaken: tuple[int, ...] = field(default=())

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            **super().as_dict(),
            "gave": self.gave,
            "got": self.got,
            "overtaken": list(self.overtaken),
        }

    def _rows(self) -> Sequence[Sequence[Cell]]:
        rows = [*super()._rows(), ("paid in", f"{self.gave:,}"), ("taken out", f"{self.got:,}")]
        return rows + [("overtaken quote", f"{quote:,}") for quote in self.overtaken]


def pool_port(session: Session, contract: Contract) -> PoolPort:
    """The pool's newest output, unconfirmed ones included. Raises `InvalidInput`."""
    guards = {
        session.context().guard(contract, roster).script_pubkey
        for roster in session.ledger.record.rosters
    }
    found = [c for c in session.ledger.holders(contract.nft) if c.output.script in guards]
    if len(found) != 1:
        raise InvalidInput(
            f"{len(found)} outputs hold the pool {contract}, expected one",
            hint="is it confirmed, and of this network?",
        )
    return PoolPort.read(contract, found[0])


async def swap(
    session: Session, account: Account, intent: Intent, step: Step = lambda _: None
) -> SwapReceipt:
    """Carry out an intent.

    Raises `Refused` StaleTip when the pool moved beyond what the intent allows (`got` is the quote
    now, `expected` the least), or was always taken by others.
    """
    overtaken: list[int] = []
    winner = ""
    while True:
        await session.refresh()
        pool = pool_port(session, intent.pool)
        quote = pool.quote(intent.give, intent.amount)
        _within(intent, quote.taken, overtaken, winner, session.ledger.height + 1)
        step("build")
        purse = Purse(session.usable(account.script), account.script, session.rate)
        move = swapping(pool, intent.give, intent.amount)
        built = draft_move(session.context(), session.apps.pool, pool, purse, move)
        try:
            receipt = await session.complete("swap", built, account, step=step)
        except (Refused, NodeError) as exc:
            winner = await _winner(session, pool.coin.outpoint, exc)
            overtaken.append(quote.taken)
            if len(overtaken) > REBASES:
                raise Refused(
                    "StaleTip",
                    f"the pool was taken by others {len(overtaken)} times, last by {winner}",
                    hint="try again, or place an order that waits",
                ) from exc
            continue
        found = {name: getattr(receipt, name) for name in Receipt.__dataclass_fields__}
        return SwapReceipt(**found, gave=intent.amount, got=quote.taken, overtaken=tuple(overtaken))


def _within(intent: Intent, taken: int, overtaken: list[int], winner: str, height: int) -> None:
    if intent.deadline is not None and height > intent.deadline:
        raise Refused(
            "StaleTip",
            "the swap's deadline has passed",
            got=f"height {height}",
            expected=f"at most {intent.deadline}",
        )
    if taken < intent.least:
        by = f"; {winner} was faster, the quote was {overtaken[-1]}" if overtaken else ""
        raise Refused(
            "StaleTip",
            f"{intent.amount} units buy {taken}, fewer than the {intent.least} wanted{by}",
            got=str(taken),
            expected=str(intent.least),
            hint="accept less, or wait",
        )


async def _winner(session: Session, tip: OutPoint, refusal: Refused | NodeError) -> str:
    """The txid that took the pool's output; raises the refusal again when nobody did."""
    named = refusal.got if isinstance(refusal, Refused) and refusal.rule == "OutpointTaken" else ""
    deadline = anyio.current_time() + (TIP_SECONDS if named else 0.0)
    while True:
        await session.refresh()
        if session.ledger.coin(tip) is None:
            spender = session.ledger.spender(tip)
            return named or (str(spender) if spender else "a confirmed transaction")
        if anyio.current_time() >= deadline:
            raise refusal
        await anyio.sleep(0.02)
