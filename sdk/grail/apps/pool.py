"""A constant-product pool of two tokens, after Uniswap v2, with its own token for shares.

The state (PROTOCOL section 8) records both reserves, all shares (`lp`: those outside, plus `minLP`
that nobody ever holds) and the fee in hundredths of a percent. In the circuits the reserves equal
the units that lie at the port, so a gift to the port cannot count, and every rounding favours the
pool (threats L1 to L5). The plain-integer twins below compute the most that a rule allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import isqrt

from grail.apps.view import Port
from grail.apps.zkapp import Kind, Transaction, ZkApp, action
from grail.charms.app import Data
from grail.errors import InvalidInput
from grail.zk.gadgets.integers import select_uint, square_root

CREATE, ADD, REMOVE, SWAP = "create", "add", "remove", "swap"

POOL = Kind(
    0,
    (
        ("assetA", "id"),
        ("assetB", "id"),
        ("a", "u64"),
        ("b", "u64"),
        ("lp", "u64"),
        ("fee", "u64"),
        ("minLP", "u64"),
    ),
)
"""The pool's state; the assets are the tokens' appfe."""

A, B = POOL.token("assetA"), POOL.token("assetB")

SCALE = 10_000
"""The fee counts ten-thousandths: 30 is 0.3 %. One scale for both sides of the rule (threat L2)."""

DEFAULT_FEE = 30

MAX_FEE = 1_000
"""10 %."""

MIN_LP = 1_000
"""Shares that stay in the pool for ever, so that one share never grows dear (threat L3)."""

MIN_PORT_SATS = 330
"""What an output at a taproot address must hold to be relayed."""

MAX_AMOUNT = (1 << 64) - 1


class Pool(ZkApp):
    """The pool's contract: its state under tag n, its shares under tag t."""

    POOL = POOL

    @action(0, gives={POOL: 1}, changes="nt", tokens=(A, B), fresh=True)
    def create(self, tx: Transaction) -> None:
        """Take the first reserves; shares are the root of their product."""
        pool = tx.port_out(POOL)
        tx.fresh.assert_true("a pool is created where its identity is, and nowhere else")
        tx.supply_in.assert_equal(0, "there are shares before there is a pool")
        _whole(pool)
        pool.sats.assert_at_least(MIN_PORT_SATS, "the pool's output is too small to relay")
        (pool.id("assetA") - pool.id("assetB")).assert_nonzero("a pool of one token with itself")
        fee, min_lp = pool.uint("fee"), pool.uint("minLP")
        fee.assert_at_least(1, "a pool without a fee")
        fee.assert_at_most(MAX_FEE, "the fee is above 10 %")
        min_lp.assert_at_least(MIN_LP, "fewer locked shares than keep a share cheap")
        a, b, lp = pool.uint("a"), pool.uint("b"), pool.uint("lp")
        lp.assert_equal(square_root(a * b), "the shares are not the root of the reserves' product")
        min_lp.assert_less(lp, "the first deposit leaves no share for its owner")
        (tx.supply_out + min_lp).assert_equal(lp, "the shares paid out are not all but the locked")

    @action(1, takes={POOL: 1}, gives={POOL: 1}, changes="nt", tokens=(A, B))
    def add(self, tx: Transaction) -> None:
        """Pay in both tokens; shares in proportion to the scarcer of them, rounded down."""
        old, new = _same_pool(tx)
        paid_a = new.uint("a") - old.uint("a")
        paid_b = new.uint("b") - old.uint("b")
        minted = new.uint("lp") - old.uint("lp")
        minted.assert_nonzero("no share for what is paid in")
        for paid, reserve in ((paid_a, old.uint("a")), (paid_b, old.uint("b"))):
            (minted * reserve).assert_at_most(
                paid * old.uint("lp"), "more shares than the deposit's part of the pool"
            )
        tx.supply_out.assert_equal(tx.supply_in + minted, "the shares made are not the state's")

    @action(2, takes={POOL: 1}, gives={POOL: 1}, changes="nt", tokens=(A, B))
    def remove(self, tx: Transaction) -> None:
        """Burn shares; take out their part of both reserves, rounded down."""
        old, new = _same_pool(tx)
        taken_a = old.uint("a") - new.uint("a")
        taken_b = old.uint("b") - new.uint("b")
        burned = old.uint("lp") - new.uint("lp")
        burned.assert_nonzero("nothing is burned")
        new.uint("minLP").assert_at_most(new.uint("lp"), "locked shares are burned")
        for taken, reserve in ((taken_a, old.uint("a")), (taken_b, old.uint("b"))):
            (taken * old.uint("lp")).assert_at_most(
                burned * reserve, "more is taken out than the shares' part of the pool"
            )
        tx.supply_in.assert_equal(tx.supply_out + burned, "the shares burned are not the state's")

    @action(3, takes={POOL: 1}, gives={POOL: 1}, changes="n", tokens=(A, B), supply=True)
    def swap(self, tx: Transaction) -> None:
        """Pay in one token, take out the other: the product never falls, the fee left aside.

        With x paid into reserve R, y taken from reserve Q, and f the fee in parts of 10,000:
        y <= Q x (1 - f) / (R + x (1 - f)), multiplied out, so that nothing is rounded.
        """
        old, new = _same_pool(tx)
        a_to_b = tx.private_bool("a_to_b")
        reserve_in = select_uint(a_to_b, old.uint("a"), old.uint("b"))
        reserve_out = select_uint(a_to_b, old.uint("b"), old.uint("a"))
        paid = select_uint(a_to_b, new.uint("a"), new.uint("b")) - reserve_in
        taken = reserve_out - select_uint(a_to_b, new.uint("b"), new.uint("a"))
        taken.assert_nonzero("nothing is taken out")
        after_fee = paid * (SCALE - old.uint("fee"))
        (taken * (reserve_in * SCALE + after_fee)).assert_at_most(
            reserve_out * after_fee, "more is taken out than the constant product allows"
        )
        new.uint("lp").assert_equal(old.uint("lp"), "a swap changes the shares")
        tx.supply_out.assert_equal(tx.supply_in, "a swap makes or burns shares")


def _same_pool(tx: Transaction) -> tuple[Port, Port]:
    """The port before and after, with all that no action changes."""
    old, new = tx.port_in(POOL), tx.port_out(POOL)
    for pool in (old, new):
        _whole(pool)
    new.sats.assert_equal(old.sats, "the pool's sats change")
    for asset in ("assetA", "assetB"):
        new.id(asset).assert_equal(old.id(asset), "the pool's tokens change")
    for rule in ("fee", "minLP"):
        new.uint(rule).assert_equal(old.uint(rule), "the pool's terms change")
    return old, new


def _whole(pool: Port) -> None:
    """The state's reserves are the units that lie there, and no shares lie there."""
    pool.uint("a").assert_equal(pool.units(A), "reserve a is not the units at the port")
    pool.uint("b").assert_equal(pool.units(B), "reserve b is not the units at the port")
    pool.units().assert_equal(0, "the pool holds its own shares")


# ---------------------------------------------------------------------- the rules in plain integers


class Side(Enum):
    """Which token is paid in."""

    A = "a"
    B = "b"


@dataclass(frozen=True, slots=True)
class PoolState:
    """The pool's state, field by field. Assets are appfe as 32 bytes."""

    asset_a: bytes
    asset_b: bytes
    a: int
    b: int
    lp: int
    fee: int = DEFAULT_FEE
    min_lp: int = MIN_LP

    @classmethod
    def from_charm(cls, charm: Data) -> PoolState:
        """Read the NFT's data. Raises: SpellIncorrect (StateInvalid)."""
        return cls(*POOL.read(charm).values())

    def charm(self) -> list[Data]:
        """The NFT's data. Raises: SpellIncorrect (StateInvalid) when a number is out of range."""
        return POOL.state(
            assetA=self.asset_a,
            assetB=self.asset_b,
            a=self.a,
            b=self.b,
            lp=self.lp,
            fee=self.fee,
            minLP=self.min_lp,
        )

    def reserves(self, side: Side) -> tuple[int, int]:
        """The reserve that `side` pays into, and the other one."""
        return (self.a, self.b) if side is Side.A else (self.b, self.a)


@dataclass(frozen=True, slots=True)
class SwapQuote:
    """What a swap gives. `fee` is in the token paid in, rounded up."""

    side: Side
    paid: int
    taken: int
    fee: int
    after: PoolState

    @property
    def private(self) -> dict[str, int]:
        """The private inputs of the action."""
        return {"a_to_b": int(self.side is Side.A)}


@dataclass(frozen=True, slots=True)
class ShareQuote:
    """Shares against tokens: what is paid into or taken out of each reserve."""

    a: int
    b: int
    shares: int
    after: PoolState


def quote_create(
    asset_a: bytes,
    asset_b: bytes,
    a: int,
    b: int,
    *,
    fee: int = DEFAULT_FEE,
    min_lp: int = MIN_LP,
) -> ShareQuote:
    """The shares that a pool's first reserves give. Raises: InvalidInput."""
    _amounts(a, b)
    if asset_a == asset_b:
        raise InvalidInput("pool: got one token twice, expected two")
    if not 1 <= fee <= MAX_FEE or not MIN_LP <= min_lp <= MAX_AMOUNT:
        raise InvalidInput(
            f"pool: got fee {fee} and minLP {min_lp}, "
            f"expected 1 to {MAX_FEE} ten-thousandths and at least {MIN_LP}"
        )
    lp = isqrt(a * b)
    if lp <= min_lp:
        raise InvalidInput(
            f"pool: the reserves give {lp} shares, expected more than the {min_lp} locked ones",
            hint="pay in more of both tokens",
        )
    return ShareQuote(a, b, lp - min_lp, PoolState(asset_a, asset_b, a, b, lp, fee, min_lp))


def quote_add(state: PoolState, a: int, b: int) -> ShareQuote:
    """The most shares for at most a and b, and the least of both that they cost.

    Raises: InvalidInput when not one share can be had, or a reserve would overflow.
    """
    _amounts(a, b)
    shares = min(a * state.lp // state.a, b * state.lp // state.b)
    if shares < 1:
        raise InvalidInput(f"pool: {a} and {b} give no share", hint="pay in more of both tokens")
    cost_a, cost_b = -(-shares * state.a // state.lp), -(-shares * state.b // state.lp)
    after = replace(state, a=state.a + cost_a, b=state.b + cost_b, lp=state.lp + shares)
    _amounts(after.a, after.b, after.lp)
    return ShareQuote(cost_a, cost_b, shares, after)


def quote_remove(state: PoolState, shares: int) -> ShareQuote:
    """The most of both tokens for so many shares.

    Raises: InvalidInput when there are not so many outside the pool, or they give nothing.
    """
    _amounts(shares)
    if shares > state.lp - state.min_lp:
        raise InvalidInput(f"pool: got {shares} shares, of {state.lp - state.min_lp} there are")
    a, b = shares * state.a // state.lp, shares * state.b // state.lp
    if a < 1 and b < 1:
        raise InvalidInput(f"pool: {shares} shares give nothing", hint="burn more shares")
    after = replace(state, a=state.a - a, b=state.b - b, lp=state.lp - shares)
    return ShareQuote(a, b, shares, after)


def quote_swap(state: PoolState, amount_in: int, side: Side) -> SwapQuote:
    """The most that may be taken out for `amount_in` paid into `side`.

    Raises: InvalidInput when that is nothing, or the reserve would overflow.
    """
    _amounts(amount_in)
    reserve_in, reserve_out = state.reserves(side)
    _amounts(reserve_in + amount_in)
    after_fee = amount_in * (SCALE - state.fee)
    taken = reserve_out * after_fee // (reserve_in * SCALE + after_fee)
    if taken < 1:
        raise InvalidInput(f"pool: {amount_in} buys nothing", hint="pay in more")
    a, b = (amount_in, -taken) if side is Side.A else (-taken, amount_in)
    after = replace(state, a=state.a + a, b=state.b + b)
    return SwapQuote(side, amount_in, taken, -(-amount_in * state.fee // SCALE), after)


def quote_swap_out(state: PoolState, amount_out: int, side: Side) -> SwapQuote:
    """The least to pay into `side` for at least `amount_out` of the other token.

    Raises: InvalidInput when the pool does not hold more than that, or it would overflow.
    """
    _amounts(amount_out)
    reserve_in, reserve_out = state.reserves(side)
    if amount_out >= reserve_out:
        raise InvalidInput(f"pool: got {amount_out}, expected less than the {reserve_out} there")
    # amount_out <= Q x' / (R s + x') with x' = x (s - fee): x' >= out R s / (Q - out)
    after_fee = -(-amount_out * reserve_in * SCALE // (reserve_out - amount_out))
    return quote_swap(state, -(-after_fee // (SCALE - state.fee)), side)


def _amounts(*amounts: int) -> None:
    for amount in amounts:
        if not 1 <= amount <= MAX_AMOUNT:
            raise InvalidInput(f"pool: got {amount}, expected 1 to {MAX_AMOUNT}")
