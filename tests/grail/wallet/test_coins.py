"""Coin selection: what is chosen covers what was asked, and never carries a charm by accident."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail.charms.app import App
from grail.errors import InsufficientFunds, WouldBurn
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.coins import (
    WAIT,
    Balance,
    Coin,
    plain,
    refuse_burn,
    select_sats,
    select_units,
)

ZKBTC = App("t", bytes(32), bytes(range(32)))
TOKEN = App("t", bytes(31) + b"\x01", bytes(range(32)))
NFT = App("n", bytes(31) + b"\x01", bytes(range(32)))
SCRIPT = b"\x51\x20" + bytes(32)


def coin(sats: int, charms: dict[App, object] | None = None, number: int = 0) -> Coin:
    txid = Txid(hashlib.sha256(number.to_bytes(8, "big")).digest())
    return Coin(OutPoint(txid, number), TxOut(sats, SCRIPT), charms or {}, height=1)


charms = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from([ZKBTC, TOKEN]), st.integers(1, 2**64 - 1), min_size=1, max_size=2
    ),
    st.just({NFT: [0, 5]}),
)
wallets = st.lists(st.tuples(st.integers(330, 10**9), charms), max_size=20).map(
    lambda pieces: [coin(sats, held, i) for i, (sats, held) in enumerate(pieces)]
)


@given(wallets, st.integers(0, 10**10), st.integers(0, 10_000))
def test_C8_selection_for_sats_takes_plain_coins_only(
    coins: list[Coin], need: int, per_input: int
) -> None:
    reachable = sum(c.sats - per_input for c in coins if not c.charms and c.sats > per_input)
    try:
        chosen = select_sats(coins, need, per_input)
    except InsufficientFunds:
        assert reachable < need
        return
    assert all(not c.charms for c in chosen)
    assert len(set(chosen_outpoints := [c.outpoint for c in chosen])) == len(chosen_outpoints)
    assert sum(c.sats - per_input for c in chosen) >= need
    refuse_burn(chosen, burn=False)


@given(wallets, st.sampled_from([ZKBTC, TOKEN]), st.integers(1, 2**65))
def test_selection_for_units_covers_what_was_asked(coins: list[Coin], app: App, need: int) -> None:
    have = sum(c.units(app) for c in coins)
    try:
        chosen = select_units(coins, app, need)
    except InsufficientFunds:
        assert have < need
        return
    assert sum(c.units(app) for c in chosen) >= need
    # no coin too many: without the last one it would not be enough
    assert sum(c.units(app) for c in chosen[:-1]) < need


@given(wallets)
def test_C8_spending_charms_without_a_spell_needs_a_word(coins: list[Coin]) -> None:
    if any(c.charms for c in coins):
        with pytest.raises(WouldBurn):
            refuse_burn(coins, burn=False)
    refuse_burn(coins, burn=True)
    refuse_burn(plain(coins), burn=False)


@given(wallets)
def test_balance_adds_up_to_the_sat(coins: list[Coin]) -> None:
    balance = Balance.of(coins)
    assert balance.sats + balance.carriers == sum(c.sats for c in coins)
    for app in (ZKBTC, TOKEN):
        assert balance.tokens.get(app, 0) == sum(c.units(app) for c in coins)


def test_unconfirmed_coins_are_taken_when_the_quorum_signed_them() -> None:
    base = coin(1_000)
    fresh = Coin(base.outpoint, base.output)
    signed = Coin(base.outpoint, base.output, signed_by_quorum=True)
    young = Coin(base.outpoint, base.output, height=5, mature_at=105)
    assert not fresh.spendable(10, unconfirmed=False)
    assert fresh.spendable(10, unconfirmed=True)
    assert signed.spendable(10, unconfirmed=False)
    assert not young.spendable(104, unconfirmed=True)
    assert young.spendable(105, unconfirmed=False)


def test_missing_units_that_only_wait_for_a_block_are_told_of() -> None:
    have, later = [coin(1_000, {ZKBTC: 5}, 1)], [coin(1_000, {ZKBTC: 7, TOKEN: 9}, 2)]
    with pytest.raises(InsufficientFunds) as caught:
        select_units(have, ZKBTC, 12, later)
    assert str(caught.value) == f"got 5 units of {ZKBTC}, expected 12; 7 more wait for a block"
    assert caught.value.hint == WAIT
    with pytest.raises(InsufficientFunds, match="7 more wait for a block") as caught:
        select_units(have, ZKBTC, 13, later)
    assert caught.value.hint == "get more of it first, or ask for less"
    with pytest.raises(InsufficientFunds) as caught:
        select_units(have, ZKBTC, 13)
    assert "wait" not in str(caught.value) + caught.value.hint


def test_missing_sats_that_only_wait_for_a_block_are_told_of() -> None:
    have = [coin(1_000, number=1)]
    later = [coin(2_000, number=2), coin(9_000, {TOKEN: 1}, 3), coin(50, number=4)]
    with pytest.raises(InsufficientFunds) as caught:
        select_sats(have, 2_800, 100, later)  # 900 and 1,900 are left after each input's fee
    assert str(caught.value).startswith("1900 more plain sats are needed")
    assert str(caught.value).endswith("; 1900 more wait for a block")
    assert caught.value.hint == WAIT
    with pytest.raises(InsufficientFunds) as caught:
        select_sats(have, 2_801, 100, later)
    assert caught.value.hint == "get more; on a devnet: ask the faucet"
