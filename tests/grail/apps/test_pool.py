"""The pool: its circuits, its plain twins and a model in fractions say the same, to the unit."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import pytest
from circuits import DIGEST, compiled, holds, ordered, pool_port, pool_step
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from grail.apps.pool import (
    ADD,
    CREATE,
    MAX_AMOUNT,
    MIN_LP,
    REMOVE,
    SCALE,
    SWAP,
    Pool,
    PoolState,
    ShareQuote,
    Side,
    SwapQuote,
    quote_add,
    quote_create,
    quote_remove,
    quote_swap,
    quote_swap_out,
)
from grail.errors import InvalidInput, SpellIncorrect, Unsatisfied
from grail.zk.field import MODULUS

ASSET_A, ASSET_B = bytes([1] * 32), bytes([2] * 32)
STATE = PoolState(ASSET_A, ASSET_B, 150_000, 600_000_000, 9_486_832)
EXAMPLES = settings(max_examples=40, deadline=None)


def created(quote: ShareQuote) -> dict[str, int]:
    supply = {"fresh()": 1, "supply(in,t)": 0, "supply(out,t)": quote.shares}
    return {**supply, **pool_port("out", quote.after)}


amounts = st.one_of(
    st.integers(1, 1_000), st.integers(1, 1 << 40), st.sampled_from([1, 2, 3, 997, 10_000])
)


@st.composite
def pools(draw: st.DrawFn, least: int = 1) -> PoolState:
    a = draw(st.one_of(st.integers(least, 10_000), st.integers(least, 1 << 62)))
    b = draw(st.one_of(st.integers(least, 10_000), st.integers(least, 1 << 62)))
    lp = draw(st.one_of(st.integers(MIN_LP + 1, 20_000), st.integers(MIN_LP + 1, 1 << 62)))
    return PoolState(ASSET_A, ASSET_B, a, b, lp, draw(st.sampled_from([1, 30, 100, 1_000])))


sides = st.sampled_from(list(Side))


def quoted(quote: Callable[[], SwapQuote]) -> SwapQuote:
    try:
        return quote()
    except InvalidInput:
        assume(False)
        raise


# ------------------------------------------------------------------ the swap's rule


def test_a_swap_as_the_protocols_vectors_have_it() -> None:
    quote = quote_swap(STATE, 10_000, Side.A)
    assert (quote.taken, quote.fee) == (37_394_511, 30)
    assert (quote.after.a, quote.after.b) == (160_000, 562_605_489)


@EXAMPLES
@given(state=pools(), paid=amounts, side=sides)
def test_L2_the_most_that_a_swap_may_take(state: PoolState, paid: int, side: Side) -> None:
    """Circuit, plain twin and fractions agree on the last unit."""
    quote = quoted(lambda: quote_swap(state, paid, side))
    reserve_in, reserve_out = state.reserves(side)
    kept = Fraction(SCALE - state.fee, SCALE) * paid
    exact = reserve_out - Fraction(reserve_in * reserve_out) / (reserve_in + kept)
    assert quote.taken == exact.numerator // exact.denominator
    assert holds(Pool, SWAP, pool_step(state, quote.after), quote.private)
    more = taken(quote, 1)
    if min(more.a, more.b) >= 0:
        assert not holds(Pool, SWAP, pool_step(state, more), quote.private)
    if quote.taken > 1:
        assert holds(Pool, SWAP, pool_step(state, taken(quote, -1)), quote.private)


def taken(quote: SwapQuote, more: int) -> PoolState:
    a, b = (0, -more) if quote.side is Side.A else (-more, 0)
    return replace(quote.after, a=quote.after.a + a, b=quote.after.b + b)


@EXAMPLES
@given(state=pools(), out=amounts, side=sides)
def test_the_least_to_pay_for_an_amount(state: PoolState, out: int, side: Side) -> None:
    quote = quoted(lambda: quote_swap_out(state, out, side))
    assert quote.taken >= out
    if quote.paid > 1:
        with suppress(InvalidInput):  # it buys nothing at all
            assert quote_swap(state, quote.paid - 1, side).taken < out


@EXAMPLES
@given(state=pools(), paid=amounts, side=sides)
def test_L2_the_product_after_the_fee_never_falls(state: PoolState, paid: int, side: Side) -> None:
    quote = quoted(lambda: quote_swap(state, paid, side))
    after_in, after_out = quote.after.reserves(side)
    fee = Fraction(paid * state.fee, SCALE)
    assert (after_in - fee) * after_out >= state.a * state.b


@pytest.mark.parametrize("paid", [1, 2, 3, 10, 33, 34, 100, 333, 334, 999, 1_000])
@pytest.mark.parametrize("side", Side)
def test_L5_tiny_trades_pay_at_least_the_rate(paid: int, side: Side) -> None:
    """In pools of all shapes, what is taken is worth no more than what is paid less 0.3 %."""
    for a, b in ((10, 10), (10**6, 10**6), (10**3, 10**12), (10**12, 10**3), (5, 10**9)):
        state = replace(STATE, a=a, b=b)
        try:
            quote = quote_swap(state, paid, side)
        except InvalidInput:
            continue  # it buys nothing at all
        reserve_in, reserve_out = state.reserves(side)
        without_fee = Fraction(quote.taken * reserve_in, reserve_out - quote.taken)
        assert without_fee <= paid * Fraction(9_970, SCALE)
        assert quote.fee >= max(1, paid * Fraction(30, SCALE))
        assert not holds(Pool, SWAP, pool_step(state, taken(quote, 1)), quote.private)


def test_L1_rounding_never_earns() -> None:
    """A thousand random trades in pools of 1 to 10 units, and a trader who ends with no gain."""
    rng = random.Random(1)
    for _ in range(60):
        state = replace(STATE, a=rng.randint(1, 10), b=rng.randint(1, 10))
        mine = {Side.A: 0, Side.B: 0}
        start = state
        for _ in range(1_000):
            side = rng.choice(list(Side))
            try:
                quote = quote_swap(state, rng.randint(1, 12), side)
            except InvalidInput:
                continue
            mine[side] -= quote.paid
            mine[Side.B if side is Side.A else Side.A] += quote.taken
            assert quote.after.a * quote.after.b >= state.a * state.b
            state = quote.after
        # never more of one token without less of the other
        assert mine[Side.A] <= 0 or mine[Side.B] <= 0
        assert state.a * state.b >= start.a * start.b


@pytest.mark.parametrize("paid", [MAX_AMOUNT - 150_000, MAX_AMOUNT - 150_001, 1 << 63])
def test_L4_amounts_at_the_edge_of_64_bits_are_exact(paid: int) -> None:
    quote = quote_swap(STATE, paid, Side.A)
    assert holds(Pool, SWAP, pool_step(STATE, quote.after), quote.private)
    assert not holds(Pool, SWAP, pool_step(STATE, taken(quote, 1)), quote.private)
    with pytest.raises(InvalidInput):
        quote_swap(STATE, MAX_AMOUNT - 149_999, Side.A)


def test_L4_a_full_pool_trades_exactly() -> None:
    full = replace(STATE, a=MAX_AMOUNT - 5, b=MAX_AMOUNT, lp=MAX_AMOUNT)
    quote = quote_swap(full, 5, Side.A)
    assert holds(Pool, SWAP, pool_step(full, quote.after), quote.private)
    assert not holds(Pool, SWAP, pool_step(full, taken(quote, 1)), quote.private)


Forger = Callable[[dict[str, int]], Mapping[str, int]]

SWAP_FORGERIES: dict[str, Forger] = {
    "one unit too much": lambda f: {
        "state(out,0,0,b)": f["state(out,0,0,b)"] - 1,
        "units(out,0,0,field(0,0,assetB))": f["state(out,0,0,b)"] - 1,
    },
    "one unit too little paid": lambda f: {
        "state(out,0,0,a)": f["state(out,0,0,a)"] - 1,
        "units(out,0,0,field(0,0,assetA))": f["state(out,0,0,a)"] - 1,
    },
    "the state says more than lies there": lambda f: {
        "units(out,0,0,field(0,0,assetB))": f["state(out,0,0,b)"] - 1
    },
    "an undeclared gift is counted": lambda f: {
        "units(in,0,0,field(0,0,assetA))": f["state(in,0,0,a)"] + 5
    },
    "the pool's sats are taken": lambda _: {"sats(out,0,0)": 999},
    "a token is replaced": lambda _: {"state(out,0,0,assetB)": 7},
    "both tokens are exchanged": lambda f: {
        "state(out,0,0,assetA)": f["state(in,0,0,assetB)"],
        "state(out,0,0,assetB)": f["state(in,0,0,assetA)"],
    },
    "the fee is lowered": lambda _: {"state(out,0,0,fee)": 1},
    "the fee is lowered on both sides, and the trade made cheaper": lambda f: {
        "state(out,0,0,fee)": 0,
        "state(out,0,0,b)": f["state(out,0,0,b)"] - 1,
        "units(out,0,0,field(0,0,assetB))": f["state(out,0,0,b)"] - 1,
    },
    "the locked shares are lowered": lambda _: {"state(out,0,0,minLP)": 0},
    "shares appear in the state": lambda f: {"state(out,0,0,lp)": f["state(out,0,0,lp)"] + 1},
    "shares are minted": lambda _: {"supply(out,t)": 8},
    "shares are burned": lambda _: {"supply(out,t)": 6},
    "shares lie in the pool": lambda _: {"units(out,0,0,t)": 1},
    "a reserve beyond 64 bits": lambda f: {
        "state(out,0,0,a)": f["state(out,0,0,a)"] + (1 << 64),
        "units(out,0,0,field(0,0,assetA))": f["state(out,0,0,a)"] + (1 << 64),
    },
    "a reserve below zero": lambda _: {
        "state(out,0,0,b)": -1 % (1 << 254),
        "units(out,0,0,field(0,0,assetB))": -1 % (1 << 254),
    },
}


@pytest.mark.parametrize("case", SWAP_FORGERIES)
def test_a_swap_that_cheats_has_no_witness(case: str) -> None:
    quote = quote_swap(STATE, 10_000, Side.A)
    facts = pool_step(STATE, quote.after)
    assert holds(Pool, SWAP, facts, quote.private)
    forged = {name: value % MODULUS for name, value in SWAP_FORGERIES[case](facts).items()}
    for a_to_b in (0, 1):
        assert not holds(Pool, SWAP, {**facts, **forged}, {"a_to_b": a_to_b})


def test_a_swap_that_takes_nothing_or_both_is_refused() -> None:
    for a, b in ((0, 0), (5, 0), (0, -1), (5, 5), (-1, -1), (-1, 0)):
        after = replace(STATE, a=STATE.a + a, b=STATE.b + b)
        for a_to_b in (0, 1):
            assert not holds(Pool, SWAP, pool_step(STATE, after), {"a_to_b": a_to_b})


@pytest.mark.parametrize("side", [2, 3, 1 << 64])
def test_Z2_the_side_is_a_boolean(side: int) -> None:
    quote = quote_swap(STATE, 10_000, Side.A)
    assert not holds(Pool, SWAP, pool_step(STATE, quote.after), {"a_to_b": side})


# ------------------------------------------------------------------ shares


@EXAMPLES
@given(a=amounts, b=amounts, fee=st.sampled_from([1, 30, 1_000]))
def test_create_mints_the_root_less_the_locked(a: int, b: int, fee: int) -> None:
    if a * b <= (MIN_LP + 1) ** 2 - 1:
        with pytest.raises(InvalidInput, match="shares"):
            quote_create(ASSET_A, ASSET_B, a, b, fee=fee)
        return
    quote = quote_create(ASSET_A, ASSET_B, a, b, fee=fee)
    facts = created(quote)
    assert holds(Pool, CREATE, facts)
    for other in (quote.after.lp + 1, quote.after.lp - 1):
        wrong = {"state(out,0,0,lp)": other, "supply(out,t)": other - MIN_LP}
        assert not holds(Pool, CREATE, {**facts, **wrong})
    for shares in (quote.shares + 1, quote.shares - 1, quote.after.lp):
        assert not holds(Pool, CREATE, {**facts, "supply(out,t)": shares})


CREATE_FORGERIES: dict[str, Forger] = {
    "not fresh": lambda _: {"fresh()": 0},
    "shares before": lambda _: {"supply(in,t)": 1},
    "one token twice": lambda f: {"state(out,0,0,assetB)": f["state(out,0,0,assetA)"]},
    "no fee": lambda _: {"state(out,0,0,fee)": 0},
    "a fee above a tenth": lambda _: {"state(out,0,0,fee)": 1_001},
    "no locked shares": lambda f: {
        "state(out,0,0,minLP)": 0,
        "supply(out,t)": f["state(out,0,0,lp)"],
    },
    "999 locked shares": lambda f: {
        "state(out,0,0,minLP)": 999,
        "supply(out,t)": f["state(out,0,0,lp)"] - 999,
    },
    "all shares locked": lambda f: {
        "state(out,0,0,minLP)": f["state(out,0,0,lp)"],
        "supply(out,t)": 0,
    },
    "an empty reserve": lambda _: {
        "state(out,0,0,a)": 0,
        "units(out,0,0,field(0,0,assetA))": 0,
    },
    "reserves that are not there": lambda _: {"units(out,0,0,field(0,0,assetA))": 0},
    "shares in the pool": lambda _: {"units(out,0,0,t)": 1},
    "an output that does not relay": lambda _: {"sats(out,0,0)": 329},
}


@pytest.mark.parametrize("case", CREATE_FORGERIES)
def test_a_pool_made_wrongly_has_no_witness(case: str) -> None:
    facts = created(quote_create(ASSET_A, ASSET_B, 100_000, 400_000_000))
    assert holds(Pool, CREATE, facts)
    assert not holds(Pool, CREATE, {**facts, **CREATE_FORGERIES[case](facts)})


@EXAMPLES
@given(state=pools(), a=amounts, b=amounts)
def test_L1_adding_gives_no_share_too_many(state: PoolState, a: int, b: int) -> None:
    try:
        quote = quote_add(state, a, b)
    except InvalidInput:
        assume(False)
        raise
    assert 0 < quote.a <= a
    assert 0 < quote.b <= b
    # per share, the pool is never worth less of either token
    for paid, reserve in ((quote.a, state.a), (quote.b, state.b)):
        assert Fraction(reserve + paid, state.lp + quote.shares) >= Fraction(reserve, state.lp)
    assert holds(Pool, ADD, pool_step(state, quote.after, minted=quote.shares))
    more = replace(quote.after, lp=quote.after.lp + 1)
    ratio = min(Fraction(quote.a, state.a), Fraction(quote.b, state.b))
    fits = Fraction(quote.shares + 1, state.lp) <= ratio
    assert holds(Pool, ADD, pool_step(state, more, minted=quote.shares + 1)) == fits
    for less in (
        replace(quote.after, a=quote.after.a - 1),
        replace(quote.after, b=quote.after.b - 1),
    ):
        assert not holds(Pool, ADD, pool_step(state, less, minted=quote.shares))


@EXAMPLES
@given(state=pools(), shares=amounts)
def test_L1_removing_takes_no_unit_too_many(state: PoolState, shares: int) -> None:
    assume(shares <= state.lp - state.min_lp)
    assume(shares * max(state.a, state.b) >= state.lp)
    quote = quote_remove(state, shares)
    assert holds(Pool, REMOVE, pool_step(state, quote.after, burned=quote.shares))
    for more in (
        replace(quote.after, a=quote.after.a - 1),
        replace(quote.after, b=quote.after.b - 1),
    ):
        if more.a >= 0 and more.b >= 0:
            assert not holds(Pool, REMOVE, pool_step(state, more, burned=shares))
    fewer = replace(quote.after, lp=quote.after.lp + 1)
    part = Fraction(shares - 1, state.lp)
    fits = shares > 1 and quote.a <= part * state.a and quote.b <= part * state.b
    assert holds(Pool, REMOVE, pool_step(state, fewer, burned=shares - 1)) == fits


def test_L1_in_and_out_again_never_gains() -> None:
    rng = random.Random(2)
    rounds = 0
    for _ in range(300):
        big = rng.choice([20, 10**4, 10**9])
        state = replace(
            STATE, a=rng.randint(1, big), b=rng.randint(1, big), lp=1_000 + rng.randint(1, big)
        )
        with suppress(InvalidInput):  # no share, or nothing for it
            added = quote_add(state, rng.randint(1, big), rng.randint(1, big))
            removed = quote_remove(added.after, added.shares)
            rounds += 1
            assert removed.a <= added.a
            assert removed.b <= added.b
    assert rounds > 100


def test_L3_a_first_depositor_cannot_round_the_next_to_nothing() -> None:
    """The script of the attack: the smallest pool, a donation by swap and add, then a victim."""
    pool = quote_create(ASSET_A, ASSET_B, 1_001, 1_001).after
    attacker_shares = pool.lp - pool.min_lp
    assert attacker_shares == 1
    # units sent to the port without an action cannot count: the circuit compares them
    gift = pool_step(pool, pool) | {"units(in,0,0,field(0,0,assetA))": 10**9}
    assert not holds(Pool, SWAP, gift, {"a_to_b": 1})
    # paying in far too much of one token is the only donation there is
    grown = replace(pool, a=pool.a + 10**9, lp=pool.lp + 1, b=pool.b + 1)
    assert holds(Pool, ADD, pool_step(pool, grown, minted=1))
    victim = quote_add(grown, 10**6, 10**6)
    back = quote_remove(victim.after, victim.shares)
    assert victim.a - back.a <= 1
    assert victim.b - back.b <= 1
    # a deposit that would give no share is refused, by both
    with pytest.raises(InvalidInput, match="no share"):
        quote_add(grown, 1, 1)
    none = replace(grown, a=grown.a + 1, b=grown.b + 1)
    assert not holds(Pool, ADD, pool_step(grown, none))


SHARE_FORGERIES: dict[str, Forger] = {
    "an action that ignores the shares": lambda f: {"supply(out,t)": f["supply(out,t)"] + 1},
    "shares in the pool": lambda _: {"units(out,0,0,t)": 1},
    "the pool's sats": lambda _: {"sats(out,0,0)": 999},
    "another token": lambda _: {"state(out,0,0,assetA)": 5},
    "another fee": lambda _: {"state(out,0,0,fee)": 31},
    "fewer locked shares": lambda _: {"state(out,0,0,minLP)": 1},
    "reserves that are not there": lambda f: {
        "units(out,0,0,field(0,0,assetA))": f["state(out,0,0,a)"] - 1
    },
}


@pytest.mark.parametrize("case", SHARE_FORGERIES)
def test_shares_made_or_burned_wrongly_have_no_witness(case: str) -> None:
    added, removed = quote_add(STATE, 50_000, 200_000_000), quote_remove(STATE, 1_000_000)
    for action, facts in (
        (ADD, pool_step(STATE, added.after, minted=added.shares)),
        (REMOVE, pool_step(STATE, removed.after, burned=removed.shares)),
    ):
        assert holds(Pool, action, facts)
        assert not holds(Pool, action, {**facts, **SHARE_FORGERIES[case](facts)})


def test_locked_shares_are_never_burned() -> None:
    state = replace(STATE, lp=5_000)
    quote = quote_remove(state, 4_000)
    assert quote.after.lp == MIN_LP
    assert holds(Pool, REMOVE, pool_step(state, quote.after, burned=4_000))
    with pytest.raises(InvalidInput, match="4000 there are"):
        quote_remove(state, 4_001)
    below = replace(quote.after, lp=MIN_LP - 1)
    assert not holds(Pool, REMOVE, pool_step(state, below, burned=4_001))


def test_an_add_is_no_remove_and_a_remove_no_add() -> None:
    added = quote_add(STATE, 50_000, 200_000_000)
    assert not holds(Pool, REMOVE, pool_step(STATE, added.after, minted=added.shares))
    back = quote_remove(added.after, added.shares)
    assert not holds(Pool, ADD, pool_step(added.after, back.after, burned=back.shares))


# ------------------------------------------------------------------ the state, and the error


def test_the_charm_of_a_pool_is_its_state() -> None:
    charm = STATE.charm()
    assert charm == [0, ASSET_A, ASSET_B, 150_000, 600_000_000, 9_486_832, 30, 1_000]
    assert PoolState.from_charm(charm) == STATE
    for bad in ([1, *charm[1:]], charm[:-1], [*charm, 0], [0, b"", *charm[2:]], "no", None):
        with pytest.raises(SpellIncorrect, match="StateInvalid"):
            PoolState.from_charm(bad)


@pytest.mark.parametrize(
    "quote",
    [
        lambda: quote_swap(STATE, 0, Side.A),
        lambda: quote_swap(STATE, -1, Side.A),
        lambda: quote_swap(STATE, 1 << 64, Side.A),
        lambda: quote_swap_out(STATE, STATE.b, Side.A),
        lambda: quote_add(STATE, 0, 5),
        lambda: quote_remove(STATE, 0),
        lambda: quote_remove(replace(STATE, a=5, b=5), 1),
        lambda: quote_create(ASSET_A, ASSET_A, 10**6, 10**6),
        lambda: quote_create(ASSET_A, ASSET_B, 10**6, 10**6, fee=0),
        lambda: quote_create(ASSET_A, ASSET_B, 10**6, 10**6, min_lp=999),
        lambda: quote_create(ASSET_A, ASSET_B, 10**3, 10**3),
    ],
)
def test_quotes_that_cannot_be_are_refused(quote: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput):
        quote()


def test_a_greedy_swap_names_the_rule_and_the_line() -> None:
    quote = quote_swap(STATE, 10_000, Side.A)
    facts = ordered(Pool, SWAP, pool_step(STATE, taken(quote, 1)))
    with pytest.raises(
        Unsatisfied, match="more is taken out than the constant product allows"
    ) as c:
        compiled(Pool).prove(SWAP, DIGEST, facts, quote.private)
    lines, first = inspect.getsourcelines(Pool.swap)
    (expected,) = (i for i, line in enumerate(lines) if "reserve_in * SCALE + after_fee" in line)
    assert c.value.file.endswith("pool.py")
    assert c.value.line == first + expected
    left, right = c.value.values.values()
    assert left > right
