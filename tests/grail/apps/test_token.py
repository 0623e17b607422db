"""A plain token: as many units as the spell says, once."""

from __future__ import annotations

import pytest
from circuits import holds

from grail.apps.token import ISSUE, Token
from grail.zk.field import MODULUS

GOOD = {"fresh()": 1, "arg(0)": 1_000_000, "supply(in,t)": 0, "supply(out,t)": 1_000_000}


@pytest.mark.parametrize("amount", [1, 2, 1_000_000, (1 << 64) - 1])
def test_any_supply_of_64_bits_can_be_issued(amount: int) -> None:
    assert holds(Token, ISSUE, GOOD | {"arg(0)": amount, "supply(out,t)": amount})


@pytest.mark.parametrize(
    "changed",
    [
        {"fresh()": 0},
        {"fresh()": 2},
        {"supply(in,t)": 1},
        {"supply(in,t)": 1, "supply(out,t)": 1_000_001},
        {"supply(out,t)": 1_000_001},
        {"supply(out,t)": 999_999},
        {"arg(0)": 0, "supply(out,t)": 0},
        {"arg(0)": 1 << 64, "supply(out,t)": 1 << 64},
        {"arg(0)": MODULUS - 1, "supply(out,t)": MODULUS - 1},
    ],
)
def test_nothing_else_can_be_issued(changed: dict[str, int]) -> None:
    assert not holds(Token, ISSUE, GOOD | changed)
