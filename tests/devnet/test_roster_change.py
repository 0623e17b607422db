"""A roster follows another, with real processes and a real node."""

from __future__ import annotations

import pytest
from roster_story import Story, whole

from grail.errors import InvalidInput
from grail_devnet.devnet import Devnet

pytestmark = pytest.mark.devnet


def test_R14_S31_G8_one_operator_is_replaced_and_nothing_is_left_behind(network: Devnet) -> None:
    """Fifty vault outputs, three pools, five open deposits: sums and states equal, none stranded."""
    line = whole(network, outputs=50, pools=3, deposits=5)
    assert "difference 0 sat" in line


@pytest.mark.nightly
def test_R14_several_changes_in_a_row(network: Devnet) -> None:
    """Operators come and go; a roster larger than the first; old ones are ended in between."""
    story = Story.begun(network, outputs=3, pools=1, deposits=2)
    with story.net:
        with pytest.raises(InvalidInput, match="operator-77"):
            network.change_roster(remove=["operator-77"])
        changed = story.change("operator-01")
        assert (changed.joined, changed.left) == (("operator-06",), ("operator-01",))
        again = network.change_roster(remove=["operator-03"], add=2, quorum=5)
        assert (again.epoch, len(again.joined)) == (2, 2)
        assert again.after.old == 0
        network.retire("operator-01", "operator-03")
        # Of epoch 0's five operators three are left: its deposits are their owner's to recover.
        roster = story.net.portal.call(story.net.session.refresh).roster
        assert (len(roster.keys), roster.quorum) == (6, 5)
        story.swap(story.pools[0])
        story.alice.peg_out(100_000)
        story.net.mine()
        assert story.recover() == 2
        found = story.books()
        assert found.supply == found.vault
