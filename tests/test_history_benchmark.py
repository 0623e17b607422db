"""The benchmark of histories runs, and what it measures is what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from made_pool import MadePool

from grail.bitcoin.spv import HeaderChain
from grail.errors import Refused

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from history import measure


def test_both_ways_end_in_a_vote() -> None:
    """Every transaction with a spell is checked in full; by anchors two are looked at."""
    said: list[str] = []
    found = measure(20, said.append)
    assert found.swaps == 20
    assert found.checked == 20 + 9  # mint, issue, six gifts to traders, the pool's creation
    assert (found.full.frames, found.anchored.frames) == (2, 1)
    assert found.full.bytes > 2_000 * found.checked > found.anchored.bytes > 10_000
    assert found.full.cpu > found.anchored.cpu > 0
    assert "20 swaps" in str(found)
    assert "in full, a swap" in found.table()
    assert said


def test_a_history_that_is_not_on_the_chain_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part that an enclave refuses ends the measurement, with its rule."""
    MadePool.with_swaps(20)
    monkeypatch.setattr(HeaderChain, "height_of", lambda _self, _block: None)
    with pytest.raises(Refused, match="NotConfirmed"):
        measure(20)
