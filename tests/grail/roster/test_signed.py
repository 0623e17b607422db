"""What a member signed is good for one network, one configuration and one kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from roster_world import BEST, GROUND, keys

from grail.errors import InvalidInput, SignatureInvalid
from grail.roster.heartbeat import Heartbeat
from grail.roster.signed import Signed
from grail.roster.statement import Statement

PAIR, OTHER = keys(2)
KINDS = [
    Statement(PAIR.public, 1, bytes(32)),
    Heartbeat(PAIR.public, 1, 1, 0, bytes(32), BEST, bytes(32)),
]


@pytest.mark.parametrize("said", KINDS, ids=["statement", "heartbeat"])
def test_R6_a_signature_is_good_on_its_own_ground_alone(
    said: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = said.signed(PAIR, GROUND)
    made.verify(GROUND)
    for elsewhere in (
        replace(GROUND, network=bytes([9]) * 32),
        replace(GROUND, configuration=bytes([9]) * 32),
    ):
        with pytest.raises(SignatureInvalid):
            made.verify(elsewhere)
    monkeypatch.setattr(type(said), "TAG", "grail/roster/another/1")
    with pytest.raises(SignatureInvalid):
        made.verify(GROUND)


@pytest.mark.parametrize("said", KINDS, ids=["statement", "heartbeat"])
def test_nobody_signs_for_another(said: Signed) -> None:
    with pytest.raises(InvalidInput, match="not of"):
        said.signed(OTHER, GROUND)
