"""Every fuzzer for ten minutes; SECONDS_EACH is another time."""

from __future__ import annotations

import os

import pytest
from fuzz import campaign

pytestmark = pytest.mark.nightly

SECONDS = int(os.environ.get("SECONDS_EACH", "600"))


@pytest.mark.parametrize("name", campaign.NAMES)
def test_A14_Z22_ten_minutes_of_every_fuzzer(name: str) -> None:
    """No crash, no hang, no round trip that does not close, memory and time bounded."""
    (outcome,) = campaign.run([name], seconds=SECONDS)
    print(outcome)
    assert outcome.executions > 0
    assert not outcome.findings, "\n".join(outcome.findings)
