"""Long campaigns: what `make test` samples, in numbers. Run by `make nightly`.

A failure names its seed; `SEED=7 make nightly` starts from a given one.
"""

from __future__ import annotations

import pytest
from simulation import FIRST, campaign, drawn

pytestmark = pytest.mark.nightly

SCHEDULES = 10_000
LIVING = 10_000
PART = 250


@pytest.mark.parametrize("part", range(0, SCHEDULES, PART))
def test_S16_K1_many_schedules_hold_every_invariant(part: int) -> None:
    """Real enclaves under faults and forks: tests/simulation says how."""
    campaign(FIRST + part, PART, print, draw=drawn)


@pytest.mark.parametrize("part", range(0, LIVING, PART))
def test_R8_R12_many_schedules_with_living_rosters_hold_every_invariant(part: int) -> None:
    """The same, and in each of them the enclaves keep their roster in step."""
    campaign(FIRST + SCHEDULES + part, PART, print)
