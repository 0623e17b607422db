"""A pool as its users meet it: read from the output that holds it, and moved by four actions.

The state comes from the spent output itself, never from anybody's word (threat L8); the amounts
are those of `grail.apps.pool`'s plain rules, and the pool's circuit proves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from grail.apps import pool as rules
from grail.apps.compiler import CompiledApp, Private
from grail.apps.pool import DEFAULT_FEE, PoolState, Side, SwapQuote
from grail.charms.app import App, Contract, Data, identity_of
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft, Purse
from grail.errors import InvalidInput
from grail.exchange.token import fresh_input
from grail.wallet.coins import Coin, select_units


def asset_id(app: App) -> bytes:
    """A token as a pool's state names it: its appfe, 32 bytes."""
    return app.fe.to_bytes(32, "big")


@dataclass(frozen=True)
class PoolPort:
    """The unspent output that is the pool now, and what it says."""

    contract: Contract
    coin: Coin
    state: PoolState
    asset_a: App
    asset_b: App

    @classmethod
    def read(cls, contract: Contract, coin: Coin) -> PoolPort:
        """Read a pool from its output. Raises `InvalidInput` when it is none."""
        charm = coin.charms.get(contract.nft)
        if charm is None:
            raise InvalidInput(f"{coin.outpoint} is no pool of this contract")
        state = PoolState.from_charm(charm)
        held = {asset_id(app): app for app in coin.charms if app.tag == "t"}
        if state.asset_a not in held or state.asset_b not in held:
            raise InvalidInput(f"{coin.outpoint} does not hold the assets that its state names")
        return cls(contract, coin, state, held[state.asset_a], held[state.asset_b])

    def side(self, give: App) -> Side:
        """Which side a token is paid into. Raises `InvalidInput` when the pool does not hold it."""
        if give == self.asset_a:
            return Side.A
        if give == self.asset_b:
            return Side.B
        raise InvalidInput(f"the pool does not hold {give}")

    def other(self, give: App) -> App:
        """The token that is taken out when `give` is paid in. Raises `InvalidInput`."""
        return self.asset_b if self.side(give) is Side.A else self.asset_a

    def quote(self, give: App, amount: int) -> SwapQuote:
        """What paying in `amount` units of `give` takes out now. Raises `InvalidInput`."""
        return rules.quote_swap(self.state, amount, self.side(give))

    def charms(self, after: PoolState) -> Mapping[App, Data]:
        """The charms of the pool's output in another state of the same pool."""
        return charms_of(self.contract, after, self.asset_a, self.asset_b)


def charms_of(
    contract: Contract, state: PoolState, asset_a: App, asset_b: App
) -> Mapping[App, Data]:
    """The charms of a pool's output: the state itself and both reserves."""
    return {contract.nft: state.charm(), asset_a: state.a, asset_b: state.b}


def _spend_units(draft: Draft, purse: Purse, wanted: Mapping[App, int]) -> None:
    """Spend coins that hold the wanted units; a coin that holds two tokens serves both."""
    mine = {coin.outpoint for coin in purse.coins}
    for app, amount in wanted.items():
        taken = [spent.coin for spent in draft.spends if spent.coin.outpoint in mine]
        have = sum(coin.units(app) for coin in taken)
        if have < amount:
            free = [coin for coin in purse.coins if coin not in taken]
            draft.spend(*select_units(free, app, amount - have, purse.waiting))


def draft_create(
    context: Context,
    app: CompiledApp,
    purse: Purse,
    reserves: Sequence[tuple[App, int]],
    *,
    fee: int = DEFAULT_FEE,
) -> Assembled:
    """The transaction that opens a pool with two reserves; the shares go to the purse.

    Raises `InvalidInput`, `InsufficientFunds`.
    """
    (asset_a, a), (asset_b, b) = reserves
    quote = rules.quote_create(asset_id(asset_a), asset_id(asset_b), a, b, fee=fee)
    first = fresh_input(purse.coins)
    contract = Contract(identity_of(first.outpoint), app.vk)
    draft = Draft(context)
    draft.spend(first)
    _spend_units(draft, purse, {asset_a: a, asset_b: b})
    draft.pay_guard(contract, CARRIER, charms_of(contract, quote.after, asset_a, asset_b))
    draft.keep_rest(purse.keep_at, CARRIER, {contract.token: quote.shares})
    draft.act(Act(contract, app, rules.CREATE))
    draft.fund(purse)
    return draft.assemble()


@dataclass(frozen=True)
class Move:
    """One step of a pool: the action, the state after it, and what the mover must bring."""

    action: str
    after: PoolState
    wanted: Mapping[App, int]
    private: Private = field(default_factory=dict, repr=False)


def draft_move(
    context: Context, app: CompiledApp, pool: PoolPort, purse: Purse, move: Move
) -> Assembled:
    """The transaction that takes a pool from its state to the move's.

    What the mover brings and does not pay in, and what he takes out, goes to the purse. Raises
    `InvalidInput`, `InsufficientFunds`.
    """
    draft = Draft(context)
    draft.spend_guarded(pool.contract, pool.coin)
    _spend_units(draft, purse, move.wanted)
    draft.pay_guard(pool.contract, pool.coin.sats, pool.charms(move.after))
    shares = move.after.lp - pool.state.lp
    draft.keep_rest(purse.keep_at, CARRIER, {pool.contract.token: shares})
    draft.act(Act(pool.contract, app, move.action, move.private))
    draft.fund(purse)
    return draft.assemble()


def adding(pool: PoolPort, a: int, b: int) -> Move:
    """Pay in at most `a` and `b` for the most shares that they buy. Raises `InvalidInput`."""
    quote = rules.quote_add(pool.state, a, b)
    return Move(rules.ADD, quote.after, {pool.asset_a: quote.a, pool.asset_b: quote.b})


def removing(pool: PoolPort, shares: int) -> Move:
    """Burn shares for their part of both reserves. Raises `InvalidInput`."""
    quote = rules.quote_remove(pool.state, shares)
    return Move(rules.REMOVE, quote.after, {pool.contract.token: shares})


def swapping(pool: PoolPort, give: App, amount: int, *, out: int | None = None) -> Move:
    """Pay in `amount` units of `give` for the most of the other token, or for just `out`.

    For more than the most no proof can be made. Raises `InvalidInput`.
    """
    quote = pool.quote(give, amount)
    after = quote.after
    if out is not None:
        more = out - quote.taken
        after = (
            replace(after, b=after.b - more)
            if quote.side is Side.A
            else replace(after, a=after.a - more)
        )
    return Move(rules.SWAP, after, {give: amount}, quote.private)
