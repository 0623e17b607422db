"""The engine against the slow model in numbers, and each planted difference. Run by `make nightly`.

`SEED=7 make nightly` starts from a given seed; a failure names its own.
"""

from __future__ import annotations

import os
import secrets

import model_campaign
import model_plants
import pytest
from model_campaign import LEAST_CORRECT
from model_plants import PLANTS, Plant

pytestmark = pytest.mark.nightly

FIRST = int(os.environ.get("SEED", "0")) or secrets.randbelow(1 << 48)
TRANSACTIONS = 20_000


def test_G5_two_models_agree_on_many() -> None:
    """Every refusal of steps 6 to 12 is met, and a fair share is correct."""
    compared = model_campaign.compare(FIRST, TRANSACTIONS)
    assert compared.equal == compared.total == TRANSACTIONS
    assert compared.correct >= LEAST_CORRECT * TRANSACTIONS
    assert not compared.missing, compared.distribution()


@pytest.mark.parametrize("plant", PLANTS, ids=str)
def test_G5_each_planted_difference_is_found(plant: Plant) -> None:
    """One comparison of the engine is changed, and a transaction tells."""
    model_plants.found_after(plant, FIRST, plant.within * 10)
