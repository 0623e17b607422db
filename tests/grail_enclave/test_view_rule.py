"""The roster that the members agreed on, and the one on chain: the chain's quorum has to live."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import KEYS, ROSTER
from society_world import sixteen

from grail.bitcoin.addresses import Roster
from grail.charms.record import Record, Reign
from grail.crypto.schnorr import KeyPair
from grail.errors import Refused
from grail_enclave.anchors import Anchors
from grail_enclave.case import Case
from grail_enclave.intake import ViewRule

NEWCOMERS = sorted((KeyPair(bytes([8, i]) * 16) for i in range(1, 6)), key=lambda k: k.public)
NEXT = Roster.of(1, sorted(pair.public for pair in [*KEYS[5:], *NEWCOMERS]), 12)
"""Five of sixteen are replaced: eleven are left that the members of now know."""


@pytest.fixture(scope="module")
def anchors() -> Anchors:
    """What an attested enclave knows while all sixteen live and agree."""
    _, towns = sixteen()
    towns.ticks(2)
    return towns.stations[0].enclave.anchors()


def viewed(anchors: Anchors) -> Roster:
    return ViewRule().check(Case(None, anchors)).reign.roster


def changed(anchors: Anchors) -> Anchors:
    """The chain has the next roster, and nobody has agreed on it yet."""
    (before,) = anchors.record.reigns
    start = anchors.next_height
    reigns = (replace(before, end=start - 1), Reign(NEXT, start))
    return replace(anchors, record=Record(anchors.record.zkbtc, reigns))


def test_R8_R12_hearts_of_those_who_rule_no_more_do_not_count(anchors: Anchors) -> None:
    """All sixteen live; of those who rule now eleven do, as far as this enclave knows."""
    assert viewed(anchors) == ROSTER
    with pytest.raises(Refused, match="cut off") as caught:
        viewed(changed(anchors))
    why = caught.value
    assert (why.rule, why.got, why.expected) == ("ViewStale", "11", "at least 12")
    one_more = {*anchors.alive, NEWCOMERS[0].public}
    follows = replace(changed(anchors), alive=one_more, told=NEXT)
    assert viewed(follows) == NEXT


def test_R12_nothing_is_signed_while_members_and_chain_name_two_rosters(anchors: Anchors) -> None:
    """The chain wins: what the members agreed on is believed where the chain says the same."""
    assert anchors.told == ROSTER
    other = Roster.of(0, [*ROSTER.keys[1:], NEWCOMERS[0].public], 12)
    for told in (other, NEXT):  # another one for the epoch; one that no block names
        with pytest.raises(Refused, match="not the one on chain") as caught:
            viewed(replace(anchors, told=told))
        assert caught.value.rule == "ViewStale"
    assert viewed(replace(anchors, told=None)) == ROSTER  # no state yet: hearts decide
