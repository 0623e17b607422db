"""Long campaigns: what `make test` samples, in numbers. Run by `make nightly`.

A failure names its seed; `SEED=7 make nightly` starts from a given one.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "grail" / "operators"))

import test_simulator

pytestmark = pytest.mark.nightly

FIRST = int(os.environ.get("SEED", "0")) or secrets.randbelow(1 << 48)
SCHEDULES = 10_000
PART = 500


@pytest.mark.parametrize("part", range(0, SCHEDULES, PART))
def test_S16_many_schedules_of_rivals(part: int) -> None:
    """One of the rivals completes, and never two."""
    for seed in range(FIRST + part, FIRST + part + PART):
        test_simulator.judged(seed)
