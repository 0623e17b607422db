"""A user's wallet on a network: what it holds, and everything it can do.

`AsyncWallet` is for code that runs in an event loop of its own; `grail.connection.network` has the
same with plain calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from grail import codec
from grail.apps.pool import DEFAULT_FEE
from grail.bitcoin import addresses
from grail.bridge.deposit import DELAY, MAX_FEE, Deposit
from grail.bridge.peg_in import draft_peg_in
from grail.bridge.peg_out import draft_peg_out
from grail.bridge.recovery import recover
from grail.bridge.roster import MOVES
from grail.charms.app import App, Contract
from grail.connection.deposits import PendingDeposit, Terms
from grail.connection.display import Cell, Shown
from grail.connection.fee_raise import WHAT, By, raise_fee
from grail.connection.labels import Labels
from grail.connection.progress import showing
from grail.connection.receipt import Receipt, txid_of
from grail.connection.rosters import move_all
from grail.connection.session import Session
from grail.connection.swap import Intent, SwapReceipt, pool_port, swap
from grail.draft.assembled import Assembled
from grail.draft.draft import Draft, Purse
from grail.errors import InvalidInput, NodeError, Refused
from grail.exchange.pool import Move, PoolPort, adding, draft_create, draft_move, removing
from grail.exchange.token import draft_issue, draft_transfer
from grail.types import OutPoint, Txid
from grail.wallet.account import Account
from grail.wallet.coins import Balance, Coin

STEPS = 4
"""Build, prove, sign, publish."""

SLIPPAGE = 50
"""By how much a swap may come out below its first quote, in hundredths of a percent."""


class HasScript(Protocol):
    """Somebody who can be paid."""

    @property
    def script(self) -> bytes:
        """His scriptPubKey."""


Payee = str | HasScript
"""An address as text, or a wallet."""


@dataclass(frozen=True, repr=False)
class Holdings(Shown):
    """What a wallet holds, by name: plain sats, sats under charms, units of each token."""

    name: str
    balance: Balance
    labels: Mapping[App, str]

    @property
    def sats(self) -> int:
        """Plain sats: those that carry nothing."""
        return self.balance.sats

    def units(self, app: App) -> int:
        """Units of a token; 0 when there are none."""
        return self.balance.tokens.get(app, 0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "wallet": self.name,
            "sats": self.balance.sats,
            "carriers": self.balance.carriers,
            "unconfirmed": self.balance.unconfirmed,
            "tokens": {str(app): amount for app, amount in self.balance.tokens.items()},
            "nfts": {str(app): count for app, count in self.balance.nfts.items()},
            "names": {str(app): label for app, label in self.labels.items()},
        }

    def held(self) -> dict[str, int]:
        """Sats, sats under charms, and units by the token's name."""
        held = {**self.balance.tokens, **self.balance.nfts}
        return {
            "sats": self.balance.sats,
            "sats under charms": self.balance.carriers,
            **{self.labels[app]: amount for app, amount in held.items()},
        }

    def _title(self) -> str:
        return self.name

    def _head(self) -> Sequence[str]:
        return ("what", "amount")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        rows: list[Sequence[Cell]] = list(self.held().items())
        if self.balance.unconfirmed:
            rows.append(("sats in no block yet", self.balance.unconfirmed))
        return rows


@dataclass(frozen=True, repr=False)
class Issued(Receipt):
    """A new token: `token` is its app."""

    token: App = field(kw_only=True)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**super().as_dict(), "token": str(self.token)}

    def _rows(self) -> Sequence[Sequence[Cell]]:
        return [*super()._rows(), ("token", str(self.token))]


@dataclass(frozen=True, repr=False)
class Opened(Receipt):
    """A new pool: `pool` is its contract."""

    pool: Contract = field(kw_only=True)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**super().as_dict(), "pool": str(self.pool)}

    def _rows(self) -> Sequence[Sequence[Cell]]:
        return [*super()._rows(), ("pool", str(self.pool))]


class AsyncWallet:
    """One account on one network. Every method that asks or sends is a coroutine."""

    def __init__(self, session: Session, account: Account, labels: Labels, *, shown: bool) -> None:
        self.session = session
        self.account = account
        self.labels = labels
        self._shown = shown
        self._terms = Terms(session.file.folder / "wallets" / f"{account.name}.deposits")

    @property
    def script(self) -> bytes:
        """The scriptPubKey of its address."""
        return self.account.script

    def _to(self, payee: Payee) -> bytes:
        if isinstance(payee, str):
            return addresses.from_address(payee, self.session.network.chain.hrp)
        return payee.script

    async def _purse(self, *, unconfirmed: bool = False) -> Purse:
        """Its coins; unconfirmed ones for what needs no operator."""
        await self.session.refresh()
        return self.session.purse(self.script, unconfirmed=unconfirmed)

    async def _complete(self, what: str, built: Assembled, intent: bytes = b"") -> Receipt:
        with showing(what, STEPS, shown=self._shown) as step:
            step("build")
            return await self.session.complete(what, built, self.account, step=step, intent=intent)

    async def _begun(self, what: str, intent: bytes) -> Receipt | None:
        """The receipt of the same wish, cut short before and finished now, if there is one."""
        with showing(what, STEPS, shown=self._shown) as step:
            begun = await self.session.begun(self.script, intent, step)
            return begun and begun[1]

    # ---- holding

    async def coins(self) -> list[Coin]:
        """Its unspent outputs, unconfirmed ones too."""
        await self.session.refresh()
        return self.session.ledger.coins(self.script)

    async def balance(self) -> Holdings:
        """What it holds, unconfirmed coins counted."""
        balance = Balance.of(await self.coins())
        held = [*balance.tokens, *balance.nfts]
        return Holdings(self.account.name, balance, {app: self.labels.show(app) for app in held})

    async def retry(self) -> list[Receipt]:
        """Ask again for what was begun and not finished: the same transactions, not their like.

        One that fails is in no other's way: all are asked for, then its error comes out. Raises
        `QuorumNotReached` while too few are up, `Refused` or `NodeError` for one that can complete
        no more, which is forgotten.
        """
        session, done = self.session, list[Receipt]()
        failed: Refused | NodeError | None = None
        for txid in session.unfinished.of(self.script):
            job = session.unfinished.get(txid)
            try:
                done.append(await session.retry(txid))
            except (Refused, NodeError) as exc:
                failed = failed or exc
                if isinstance(exc, NodeError) and job and session.overtaken(job.psbt.tx):
                    session.forget(txid)
        if failed is not None:
            raise failed
        return done

    async def raise_fee(
        self, which: Receipt | Txid | str, rate: int, *, by: By | None = None
    ) -> Receipt:
        """Make a waiting transaction pay `rate` sat/vB: by a child of an output of this wallet's.

        Where it has none, by a replacement with less change; `by` takes one of the two. Raises
        `InvalidInput` where nothing can be raised, `InsufficientFunds`, `Superseded`.
        """
        with showing(WHAT, STEPS, shown=self._shown) as step:
            step("build")
            return await raise_fee(self.session, self.account, txid_of(which), rate, by)

    # ---- bitcoin

    async def pay(self, sats: int, to: Payee) -> Receipt:
        """Pay plain sats to somebody. Raises `InsufficientFunds`."""
        purse = await self._purse(unconfirmed=True)
        draft = Draft(self.session.context())
        draft.pay(self._to(to), sats)
        draft.fund(purse)
        return await self._complete("payment", draft.assemble())

    async def deposit(
        self, sats: int, *, max_fee: int = MAX_FEE, delay: int = DELAY
    ) -> PendingDeposit:
        """Pay sats to a deposit address of its own, from which they become zkBTC.

        Unserved, they can be taken back `delay` blocks after their confirmation.
        """
        purse = await self._purse(unconfirmed=True)
        context = self.session.context()
        deposit = Deposit.of(
            context, self.script, self.account.internal_key, max_fee=max_fee, delay=delay
        )
        self._terms.remember(deposit)
        draft = Draft(context)
        draft.pay(deposit.script, sats)
        draft.fund(purse)
        receipt = await self._complete("deposit", draft.assemble())
        await self.session.refresh()
        coin = self.session.ledger.coin(OutPoint(receipt.txid, 0))
        if coin is None:
            raise InvalidInput(f"the deposit {receipt.txid} was spent at once")
        return PendingDeposit(deposit, coin, self.session.ledger.height)

    async def deposits(self) -> list[PendingDeposit]:
        """Its deposits that wait on chain, served by nobody yet."""
        await self.session.refresh()
        context = self.session.context()
        return self._terms.pending(context, self.account, self.session.ledger)

    async def _current(self, pending: PendingDeposit) -> Coin:
        await self.session.refresh()
        coin = self.session.ledger.coin(pending.coin.outpoint)
        if coin is None:
            raise InvalidInput(f"deposit {pending.coin.outpoint} is spent already")
        return coin

    async def peg_in(self, pending: PendingDeposit) -> Receipt:
        """Have a deposit served: its sats go to the vault, the same number of zkBTC to its owner.

        Asked again after it was cut short, it finishes what was begun. Raises `InvalidInput`
        before the deposit is `k` blocks deep, `Refused` by the operators' word.
        """
        intent = codec.encode(["peg-in", pending.coin.outpoint.serialize()])
        if (begun := await self._begun("peg-in", intent)) is not None:
            return begun
        coin = await self._current(pending)
        session = self.session
        depth = session.ledger.confirmations(coin.outpoint.txid)
        if depth < session.network.k:
            raise InvalidInput(
                f"the deposit has {depth} confirmations, expected {session.network.k}",
                hint=f"wait for blocks; on a devnet: net.mine({session.network.k - depth}), or "
                f"`grail devnet mine {session.network.k - depth}`",
            )
        built = draft_peg_in(
            session.context(), session.apps.zkbtc, pending.deposit, coin, session.rate
        )
        return await self._complete("peg-in", built, intent)

    async def recover(self, pending: PendingDeposit) -> Receipt:
        """Take an unserved deposit back by its own key, after its delay.

        Raises `InvalidInput` before that.
        """
        coin = await self._current(pending)
        session = self.session
        built, signed = recover(
            session.context(),
            pending.deposit,
            coin,
            self.account,
            to=self.script,
            rate=session.rate,
        )
        return await session.published("recovery", built, signed)

    async def peg_out(self, units: int, to: Payee | None = None) -> Receipt:
        """Burn zkBTC; the vault pays the same number of sats, less the fee, to an address.

        Asked again after it was cut short, it finishes what was begun and burns nothing twice.
        Raises `InsufficientFunds`, `Refused`.
        """
        pay_to = self.script if to is None else self._to(to)
        intent = codec.encode(["peg-out", units, pay_to])
        if (begun := await self._begun("peg-out", intent)) is not None:
            return begun
        purse = await self._purse()
        session = self.session
        built = draft_peg_out(
            session.context(),
            session.apps.zkbtc,
            session.vault_for(units),
            purse,
            burn=units,
            pay_to=pay_to,
        )
        return await self._complete("peg-out", built, intent)

    async def move(self, most: int = MOVES) -> list[Receipt]:
        """Move what older rosters still guard to the one that rules, this wallet paying the fees.

        Anyone may: nothing changes but the address. At most `most` outputs go in one transaction,
        which takes a confirmed coin of the wallet's. Raises `InsufficientFunds`,
        `QuorumNotReached`; what was moved before stays moved.
        """
        return await move_all(self.session, self.account, most)

    # ---- tokens and pools

    async def transfer(self, app: App, units: int, to: Payee) -> Receipt:
        """Give units of a token to somebody: no proof, no operator. Raises `InsufficientFunds`."""
        purse = await self._purse(unconfirmed=True)
        built = draft_transfer(self.session.context(), purse, app, units, to=self._to(to))
        return await self._complete("transfer", built)

    async def issue(self, supply: int, name: str | None = None) -> Issued:
        """Issue a new token, all of it to this wallet; `name` is for this machine's eyes only."""
        purse = await self._purse(unconfirmed=True)
        session = self.session
        built = draft_issue(session.context(), session.apps.token, purse, supply, to=self.script)
        token = built.acts[0].contract.token
        if name is not None:
            self.labels.give(name, token)
        receipt = await self._complete("token issue", built)
        return Issued(**_fields(receipt), token=token)

    async def create_pool(
        self,
        asset_a: App,
        a: int,
        asset_b: App,
        b: int,
        *,
        fee: int = DEFAULT_FEE,
        name: str | None = None,
    ) -> Opened:
        """Open a pool with two reserves; `fee` is in hundredths of a percent.

        `name` is what the pool and its shares are called on this machine.
        """
        purse = await self._purse(unconfirmed=True)
        session = self.session
        reserves = [(asset_a, a), (asset_b, b)]
        built = draft_create(session.context(), session.apps.pool, purse, reserves, fee=fee)
        contract = built.acts[0].contract
        if name is not None:
            self.labels.give(name, contract.token)
        receipt = await self._complete("pool creation", built)
        return Opened(**_fields(receipt), pool=contract)

    async def _move(
        self, what: str, pool: Contract, plan: Callable[[PoolPort], Move], *amounts: int
    ) -> Receipt:
        intent = codec.encode([what, bytes(pool), *amounts])
        if (begun := await self._begun(what, intent)) is not None:
            return begun
        purse = await self._purse()
        session = self.session
        port = pool_port(session, pool)
        built = draft_move(session.context(), session.apps.pool, port, purse, plan(port))
        return await self._complete(what, built, intent)

    async def add(self, pool: Contract, a: int, b: int) -> Receipt:
        """Add at most `a` and `b` to a pool's reserves for the most shares that they buy."""
        return await self._move("liquidity added", pool, lambda port: adding(port, a, b), a, b)

    async def remove(self, pool: Contract, shares: int) -> Receipt:
        """Burn shares of a pool for their part of both reserves."""
        return await self._move(
            "liquidity removed", pool, lambda port: removing(port, shares), shares
        )

    async def swap(
        self,
        pool: Contract,
        give: App,
        amount: int,
        *,
        least: int | None = None,
        deadline: int | None = None,
        patience: float = 0,
    ) -> SwapReceipt:
        """Pay units of `give` into a pool for at least `least` units of its other token.

        Without `least`, half a percent below the quote of now. `patience` is how many seconds it
        may wait for a block when the pool takes no more unconfirmed uses (`ChainFull` else).
        Raises `Refused` StaleTip when the pool moves beyond `least`, or `deadline` (a height)
        passes.
        """
        await self.session.refresh()
        if least is None:
            quote = pool_port(self.session, pool).quote(give, amount)
            least = quote.taken * (10_000 - SLIPPAGE) // 10_000
        intent = Intent(pool, give, amount, least, deadline)
        with showing("swap", STEPS, shown=self._shown) as step:
            return await swap(self.session, self.account, intent, step, patience=patience)


def _fields(receipt: Receipt) -> dict[str, Any]:
    return {name: getattr(receipt, name) for name in Receipt.__dataclass_fields__}
