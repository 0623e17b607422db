"""Which vault coins a peg-out takes: enough, few, and never leaving dust behind."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail.bridge.peg_out import MANY_VAULT_COINS, MAX_VAULT_INPUTS, select_vault
from grail.errors import InsufficientFunds
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.coins import Coin

SCRIPT = b"\x51\x20" + bytes(32)
DUST = 330


def coins(amounts: list[int], height: int | None = 1) -> list[Coin]:
    return [
        Coin(
            OutPoint(Txid(hashlib.sha256(bytes([i % 256, i // 256])).digest()), i),
            TxOut(sats, SCRIPT),
            {},
            height,
        )
        for i, sats in enumerate(amounts)
    ]


@given(st.lists(st.integers(330, 10**8), max_size=30), st.integers(1, 10**9))
def test_what_is_left_is_nothing_or_more_than_dust(amounts: list[int], burn: int) -> None:
    try:
        chosen = select_vault(coins(amounts), burn)
    except InsufficientFunds:
        largest = sorted(amounts, reverse=True)[:MAX_VAULT_INPUTS]
        sums = [sum(largest[: i + 1]) - burn for i in range(len(largest))]
        assert not any(left == 0 or left >= DUST for left in sums)
        return
    left = sum(coin.sats for coin in chosen) - burn
    assert left == 0 or left >= DUST
    assert len(chosen) <= MAX_VAULT_INPUTS


def test_one_coin_is_enough_where_there_are_few() -> None:
    assert len(select_vault(coins([500_000, 400_000]), 100_000)) == 1


def test_many_vault_coins_are_taken_two_at_a_time() -> None:
    many = coins([200_000] * (MANY_VAULT_COINS + 1))
    assert len(select_vault(many, 100_000)) == 2


def test_confirmed_coins_come_first() -> None:
    fresh, old = coins([900_000], None)[0], coins([0, 300_000])[1]
    assert select_vault([fresh, old], 100_000) == [old]


def test_leftover_below_dust_takes_another_coin() -> None:
    assert len(select_vault(coins([100_200, 50_000]), 100_000)) == 2
    with pytest.raises(InsufficientFunds, match="leave 0 or 330"):
        select_vault(coins([100_200]), 100_000)


def test_vault_that_is_too_small_is_named() -> None:
    with pytest.raises(InsufficientFunds, match="0 sats in 0 vault coins"):
        select_vault([], 1)
