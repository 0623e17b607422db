"""A swap that follows its pool: stated as an intent, rebuilt when somebody else was faster.

A pool's output can be spent once, so of two swaps at a time one finds it gone. Its owner said what
he wants (amount in, least out, until when), so the SDK takes the pool's new tip, makes the amounts
and the proof anew, and asks again, at most five times, each shown (protocol, section 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from grail import codec
from grail.charms.app import App, Contract
from grail.connection.display import Cell
from grail.connection.receipt import Receipt
from grail.connection.session import Session, Step
from grail.errors import ChainFull, InvalidInput, NodeError, QuorumNotReached, Refused
from grail.exchange.pool import PoolPort, draft_move, swapping
from grail.types import OutPoint, Txid
from grail.wallet.account import Account

REBASES = 5
"""How often a swap is rebuilt on a newer state of its pool."""

LAST_SECONDS = 1.0
"""How long our node may take to hear of the swap before ours."""

BLOCK_PAUSE = 0.1
"""Seconds between two looks for a new block."""

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

    def serialize(self) -> bytes:
        """What makes two intents one: all but the least, which the quote of the moment sets."""
        return codec.encode(["swap", bytes(self.pool), str(self.give), self.amount, self.deadline])


@dataclass(frozen=True, repr=False)
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
    if contract.vk != session.apps.pool.vk:
        raise InvalidInput(
            f"{contract} is no constant-product pool",
            hint="name one: a pool's name here, or identity/vk as its creation printed it",
        )
    guards = {
        session.context().guard(contract, roster).script_pubkey
        for roster in session.ledger.record.rosters
    }
    found = [c for c in session.ledger.holders(contract.nft) if c.output.script in guards]
    if len(found) != 1:
        raise InvalidInput(
            f"{len(found)} outputs hold the pool {contract}, expected one",
            hint="was it created on this network?",
        )
    return PoolPort.read(contract, found[0])


async def swap(
    session: Session,
    account: Account,
    intent: Intent,
    step: Step = lambda _: None,
    *,
    patience: float = 0,
) -> SwapReceipt:
    """Carry out an intent. Stated again after it was cut short, it is not done twice.

    `patience` is how many seconds it may wait for a block when the pool takes no more unconfirmed
    uses. Raises `Refused` StaleTip when the pool moved beyond what the intent allows (`got` is the
    quote now, `expected` the least), or was always taken by others; `ChainFull`;
    `QuorumNotReached`.
    """
    return await _Swap(session, account, intent, step, patience).run()


@dataclass
class _Swap:
    """One intent being carried out: the quotes that were overtaken, and by whom last."""

    session: Session
    account: Account
    intent: Intent
    step: Step
    patience: float
    overtaken: list[int] = field(default_factory=list)
    winner: str = ""

    async def run(self) -> SwapReceipt:
        until = anyio.current_time() + self.patience
        while len(self.overtaken) <= REBASES:
            try:
                begun = await self._begun()  # what was signed and found no room is sent again, too
                if begun is not None:
                    return begun
                # One at a time, as far as users queue: the others' proofs would be for nothing.
                async with self.session.turn(self.intent.pool) as turn:
                    await self._catch_up(turn.last)
                    receipt = await self._attempt()
                    if receipt is not None:
                        turn.txid = str(receipt.txid)
                        return receipt
            except ChainFull:
                self.step("wait for a block")
                if not await self._new_block(until):
                    raise
        raise Refused(
            "StaleTip",
            f"the pool was taken by others {len(self.overtaken)} times, last by {self.winner}",
            hint="try again, or place an order that waits",
        )

    async def _catch_up(self, last: str) -> None:
        """Let our node hear of the transaction that came of the turn before, if it ever does."""
        deadline = anyio.current_time() + LAST_SECONDS
        while True:
            await self.session.refresh()
            if not last or self.session.ledger.seen(Txid.from_hex(last)):
                return
            if anyio.current_time() >= deadline:
                return
            await anyio.sleep(0.02)

    async def _attempt(self) -> SwapReceipt | None:
        """The swap on the pool as it is now; None when somebody else was faster."""
        self.step("build")
        pool = pool_port(self.session, self.intent.pool)
        quote = pool.quote(self.intent.give, self.intent.amount)
        self._within(quote.taken)
        try:
            return await self._on(pool, quote.taken)
        except QuorumNotReached:
            raise
        except (Refused, NodeError) as exc:
            self.winner = await self._winner(pool.coin.outpoint, exc)
            self.overtaken.append(quote.taken)
            intent = self.intent.serialize()
            for txid in self.session.unfinished.of(self.account.script, intent):
                if txid not in self.session.under_way:
                    self.session.forget(txid)
            return None

    async def _new_block(self, until: float) -> bool:
        """Wait for the next block; False when patience ends before."""
        height, tip = self.session.ledger.height, await self.session.node.getbestblockhash()
        while anyio.current_time() < until:
            await anyio.sleep(BLOCK_PAUSE)
            if await self.session.node.getbestblockhash() != tip:
                return True
            if self.session.ledger.height != height:
                return True
        return False

    async def _begun(self) -> SwapReceipt | None:
        """The same intent's transaction that was begun and not finished, asked for again."""
        intent = self.intent.serialize()
        begun = await self.session.begun(self.account.script, intent, self.step)
        return begun and self._receipt(begun[1], begun[0].taken)

    async def _on(self, pool: PoolPort, taken: int) -> SwapReceipt:
        session = self.session
        purse = session.purse(self.account.script)
        move = swapping(pool, self.intent.give, self.intent.amount, out=taken)
        built = draft_move(session.context(), session.apps.pool, pool, purse, move)
        receipt = await session.complete(
            "swap",
            built,
            self.account,
            step=self.step,
            intent=self.intent.serialize(),
            taken=taken,
        )
        return self._receipt(receipt, taken)

    def _receipt(self, receipt: Receipt, taken: int) -> SwapReceipt:
        found = {name: getattr(receipt, name) for name in Receipt.__dataclass_fields__}
        return SwapReceipt(
            **found, gave=self.intent.amount, got=taken, overtaken=tuple(self.overtaken)
        )

    def _within(self, taken: int) -> None:
        """Raise `Refused` StaleTip when the intent does not allow this quote, or it is too late."""
        intent, height = self.intent, self.session.ledger.height + 1
        if intent.deadline is not None and height > intent.deadline:
            raise Refused(
                "StaleTip",
                f"past its deadline: got height {height}, expected at most {intent.deadline}",
                got=f"height {height}",
                expected=f"at most {intent.deadline}",
                hint="state a later deadline, or none",
            )
        if taken < intent.least:
            by = ""
            if self.overtaken:
                by = f"; {self.winner} was faster, the quote was {self.overtaken[-1]}"
            raise Refused(
                "StaleTip",
                f"{intent.amount} units buy {taken}, fewer than the {intent.least} wanted{by}",
                got=str(taken),
                expected=str(intent.least),
                hint="accept less, or wait",
            )

    async def _winner(self, tip: OutPoint, refusal: Refused | NodeError) -> str:
        """The txid that took the pool's output; raises the refusal again when nobody did."""
        named = ""
        if isinstance(refusal, Refused) and refusal.rule == "OutpointTaken":
            named = refusal.got
        deadline = anyio.current_time() + (TIP_SECONDS if named else 0.0)
        while True:
            await self.session.refresh()
            if self.session.ledger.coin(tip) is None:
                spender = self.session.ledger.spender(tip)
                return named or (str(spender) if spender else "a confirmed transaction")
            if anyio.current_time() >= deadline:
                if named:
                    refusal.hint = (
                        f"{named} was decided and the node dropped it, or never took it: whoever "
                        "made it raises its fee, or it is sent again when blocks made room"
                    )
                raise refusal
            await anyio.sleep(0.02)
