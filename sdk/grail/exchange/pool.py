"""A pool as its users meet it: read from the output that holds it, and moved by four actions.

The state comes from the spent output itself, never from anybody's word (threat L8); the amounts
come from `grail.exchange.quote`, and the pool's circuit proves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grail.apps.compiler import CompiledApp
from grail.charms.app import App, Contract, Data, identity_of
from grail.draft.assembled import Act, Assembled, Context
from grail.draft.draft import CARRIER, Draft, Purse
from grail.errors import InvalidInput
from grail.exchange.quote import PoolState, opened
from grail.exchange.token import fresh_input
from grail.wallet.coins import Coin, select_units

KIND = 0
"""The pool's only kind of state."""


@dataclass(frozen=True)
class PoolPort:
    """The unspent output that is the pool now, and what it says."""

    contract: Contract
    coin: Coin
    state: PoolState

    @classmethod
    def read(cls, contract: Contract, coin: Coin) -> PoolPort:
        """Read a pool from its output. Raises `InvalidInput` when it is none."""
        match coin.charms.get(contract.nft):
            case [0, bytes() as id_a, bytes() as id_b, int() as a, int() as b, *rest]:
                pass
            case _:
                raise InvalidInput(f"{coin.outpoint} is no pool of this contract")
        held = {app.fe.to_bytes(32, "big"): app for app in coin.charms if app.tag == "t"}
        if id_a not in held or id_b not in held or len(rest) != 3:
            raise InvalidInput(f"{coin.outpoint} does not hold the assets that its state names")
        lp, fee, min_lp = rest
        return cls(contract, coin, PoolState(held[id_a], held[id_b], a, b, lp, fee, min_lp))


def charms_of(contract: Contract, state: PoolState) -> Mapping[App, Data]:
    """The charms of a pool's output in this state: the state itself and both reserves."""
    return {
        contract.nft: [
            KIND,
            state.asset_a.fe.to_bytes(32, "big"),
            state.asset_b.fe.to_bytes(32, "big"),
            state.a,
            state.b,
            state.lp,
            state.fee,
            state.min_lp,
        ],
        state.asset_a: state.a,
        state.asset_b: state.b,
    }


def _units(draft: Draft, coins: Sequence[Coin], wanted: Mapping[App, int]) -> None:
    """Spend coins that hold at least the wanted units; a coin that holds two tokens serves both."""
    for app, amount in wanted.items():
        have = sum(spent.coin.units(app) for spent in draft.spends if spent.coin in coins)
        if have < amount:
            taken = {spent.coin.outpoint for spent in draft.spends}
            free = [coin for coin in coins if coin.outpoint not in taken]
            draft.spend(*select_units(free, app, amount - have))


def draft_create(
    context: Context,
    app: CompiledApp,
    purse: Purse,
    reserves: Sequence[tuple[App, int]],
    *,
    fee: int,
) -> Assembled:
    """The transaction that opens a pool with two reserves; the shares go to the purse.

    Raises `InvalidInput`, `InsufficientFunds`.
    """
    (asset_a, a), (asset_b, b) = reserves
    state = opened(asset_a, a, asset_b, b, fee)
    first = fresh_input(purse.coins)
    contract = Contract(identity_of(first.outpoint), app.bundle.vk)
    draft = Draft(context)
    draft.spend(first)
    _units(draft, purse.coins, {asset_a: a, asset_b: b})
    draft.pay_guard(contract, CARRIER, charms_of(contract, state))
    draft.keep_rest(purse.keep_at, CARRIER, {contract.token: state.lp - state.min_lp})
    draft.act(Act(contract, app, "create"))
    draft.fund(purse)
    return draft.assemble()


def _moved(
    context: Context,
    act: Act,
    pool: PoolPort,
    after: PoolState,
    purse: Purse,
    *,
    wanted: Mapping[App, int],
) -> Assembled:
    draft = Draft(context)
    draft.spend_guarded(pool.contract, pool.coin)
    _units(draft, purse.coins, wanted)
    draft.pay_guard(pool.contract, pool.coin.sats, charms_of(pool.contract, after))
    draft.keep_rest(purse.keep_at, CARRIER, {pool.contract.token: after.lp - pool.state.lp})
    draft.act(act)
    draft.fund(purse)
    return draft.assemble()


def draft_add(
    context: Context,
    app: CompiledApp,
    pool: PoolPort,
    purse: Purse,
    *,
    a: int,
    b: int,
) -> Assembled:
    """The transaction that adds `a` and `b` to the reserves; the shares go to the purse.

    Raises `InvalidInput`, `InsufficientFunds`.
    """
    state = pool.state
    wanted = {state.asset_a: a, state.asset_b: b}
    act = Act(pool.contract, app, "add")
    return _moved(context, act, pool, state.added(a, b), purse, wanted=wanted)


def draft_remove(
    context: Context,
    app: CompiledApp,
    pool: PoolPort,
    purse: Purse,
    *,
    shares: int,
) -> Assembled:
    """The transaction that burns shares for their part of both reserves.

    Raises `InvalidInput`, `InsufficientFunds`.
    """
    after = pool.state.removed(shares)
    wanted = {pool.contract.token: shares}
    act = Act(pool.contract, app, "remove")
    return _moved(context, act, pool, after, purse, wanted=wanted)


def draft_swap(
    context: Context,
    app: CompiledApp,
    pool: PoolPort,
    purse: Purse,
    *,
    give: App,
    amount: int,
    out: int,
) -> Assembled:
    """The transaction that gives `amount` units of `give` for `out` units of the other asset.

    `out` is usually `pool.state.quote(give, amount)`; more than that no proof can be made for.
    Raises `InvalidInput`, `InsufficientFunds`.
    """
    after = pool.state.swapped(give, amount, out)
    act = Act(pool.contract, app, "swap")
    return _moved(context, act, pool, after, purse, wanted={give: amount})
