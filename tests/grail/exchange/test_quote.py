"""The pool's arithmetic: Uniswap v2's rule in integers, every rounding in the pool's favour."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from grail.charms.app import App
from grail.errors import InvalidInput
from grail.exchange.quote import BASIS, MIN_LP, PoolState, opened

A = App("t", bytes(32), bytes(32))
B = App("t", bytes(31) + b"\x01", bytes(32))
amounts = st.integers(1, 2**40)


def invariant(before: PoolState, give: App, amount: int, out: int) -> bool:
    """(x + in * (1 - fee)) * (y - out) >= x * y, over whole numbers."""
    x, y = before.reserves(give)
    return (x * BASIS + amount * (BASIS - before.fee)) * (y - out) >= x * y * BASIS


def test_agrees_with_the_published_story() -> None:
    # the pool, add and swap of the protocol's vectors
    pool = opened(A, 100_000, B, 400_000_000)
    assert pool.lp == 6_324_555
    pool = pool.added(50_000, 200_000_000)
    assert pool.lp == 9_486_832
    out = pool.quote(A, 10_000)
    assert out == 37_394_511
    after = pool.swapped(A, 10_000, out)
    assert (after.a, after.b) == (160_000, 562_605_489)


@given(amounts, amounts, amounts, st.integers(0, 1_000), st.booleans())
def test_quote_is_the_most_that_the_rule_gives(
    a: int, b: int, amount: int, fee: int, forward: bool
) -> None:
    pool = PoolState(A, B, a, b, 10**6, fee)
    give = A if forward else B
    try:
        out = pool.quote(give, amount)
    except InvalidInput:
        # not one unit can be given for it
        assert not invariant(pool, give, amount, 1)
        return
    assert invariant(pool, give, amount, out)
    assert not invariant(pool, give, amount, out + 1)


@given(amounts, amounts, st.integers(1, 2**40))
def test_L3_shares_are_never_worth_more_than_was_added(a: int, b: int, added: int) -> None:
    assume(a * b > (MIN_LP + 1) ** 2)
    pool = opened(A, a, B, b)
    other = pool.matching(A, added)
    try:
        shares = pool.shares_for(added, other)
    except InvalidInput:
        return
    after = pool.added(added, other)
    back_a, back_b = after.redeem(shares) if shares <= after.lp - MIN_LP else (0, 0)
    assert back_a <= added
    assert back_b <= other


def test_L3_first_depositor_cannot_round_the_next_to_zero() -> None:
    with pytest.raises(InvalidInput, match="expected more than 1000"):
        opened(A, 1, B, 1)
    pool = opened(A, 1_001, B, 1_001)
    with pytest.raises(InvalidInput, match="buys no share"):
        PoolState(A, B, 10**12, 10**12, pool.lp).shares_for(10**6, 10**6)


def test_locked_shares_cannot_be_redeemed() -> None:
    pool = opened(A, 10**6, B, 10**6)
    pool.redeem(pool.lp - MIN_LP)
    with pytest.raises(InvalidInput):
        pool.redeem(pool.lp - MIN_LP + 1)


def test_pool_of_one_asset_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two different"):
        opened(A, 10**6, A, 10**6)
