"""A small crowd at one pool; `make accept` plays the large one."""

from __future__ import annotations

import pytest
from crowd import play

pytestmark = pytest.mark.devnet


def test_L8_five_users_swap_at_once_through_a_reorg_and_every_sat_is_where_it_should_be() -> None:
    result = play(users=5, swaps=30)
    assert (result.completed, result.refused, result.stuck) == (30, 0, 0), result.told
    assert result.difference == 0
    assert result.reorged == 2
    assert result.longest_chain > 5
    assert result.rebased > 0
