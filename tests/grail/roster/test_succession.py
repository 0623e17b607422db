"""What may follow a state of the roster, and what may not, whoever wants it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from roster_world import GROUND, IMAGE, OTHER_IMAGE, exchanged, first_state, following, keys, spare

from grail.errors import Refused
from grail.roster.state import MAX_IMAGES, RosterState
from grail.roster.succession import SeatPolicy, changed, check_follows

MEMBERS = keys(16)
FIRST = first_state(MEMBERS)
BOTH = tuple(sorted([IMAGE, OTHER_IMAGE]))


def follows(after: RosterState, before: RosterState = FIRST, **caps: int) -> None:
    check_follows(before, after, GROUND.network, SeatPolicy(**caps))


def refused(after: RosterState, before: RosterState = FIRST, **caps: int) -> str:
    with pytest.raises(Refused) as caught:
        follows(after, before, **caps)
    assert caught.value.rule == "RosterInvalid"
    return caught.value.detail


def test_R15_four_may_come_and_four_may_go_in_a_step() -> None:
    come = [spare(each) for each in range(5)]
    follows(exchanged(FIRST, MEMBERS[:4], come[:4]))
    assert "new seats" in refused(exchanged(FIRST, MEMBERS[:4], come))
    assert "leaving seats" in refused(exchanged(FIRST, MEMBERS[:5], come[:4]))
    follows(exchanged(FIRST, MEMBERS[:4], come), churn=5)
    follows(exchanged(FIRST, MEMBERS[:4], come), churn=0)


def test_R15_many_steps_change_everybody_and_no_step_more_than_four() -> None:
    """Forty states in a row; who was there at the beginning is gone after four of them."""
    state, inside = FIRST, list(MEMBERS)
    for step in range(40):
        come = [spare(100 + 4 * step + each) for each in range(4)]
        after = exchanged(state, inside[:4], come)
        follows(after, state)
        state, inside = after, [*inside[4:], *come]
    assert (state.number, state.epoch) == (40, 40)
    assert not {pair.public for pair in MEMBERS} & set(state.keys)


@pytest.mark.parametrize("what", ["owner", "account", "zone"])
def test_R2_no_state_follows_in_which_somebody_has_more_seats_than_his_cap(what: str) -> None:
    """Five seats of one owner, of one account, or in one zone: each has a cap of its own."""
    seats = tuple(
        replace(seat, owner=f"o{at}", account=f"a{at}", zone=f"z{at}")
        for at, seat in enumerate(FIRST.seats)
    )
    before = replace(FIRST, seats=seats)
    gathered = tuple(replace(seat, **{what: "one"}) for seat in seats[:5]) + seats[5:]
    after = following(before, seats=gathered)
    none = dict.fromkeys(("per_owner", "per_account", "per_zone"), 0)
    assert refused(after, before, **{**none, f"per_{what}": 4}) == f"seats of one {what}: one"
    follows(after, before, **{**none, f"per_{what}": 5})
    follows(after, before, **{**dict.fromkeys(none, 4), f"per_{what}": 0})


def test_R2_four_seats_of_an_owner_and_of_an_account_unless_settings_say_else() -> None:
    """Zones have no cap by themselves: a network may begin in one."""
    for what, capped in (("owner", True), ("account", True), ("zone", False)):
        seats = tuple(replace(seat, **{what: "one"}) for seat in FIRST.seats[:5])
        after = following(FIRST, seats=(*seats, *FIRST.seats[5:]))
        if capped:
            assert refused(after) == f"seats of one {what}: one"
        else:
            follows(after)


def test_A16_one_of_the_images_stays() -> None:
    follows(changed(FIRST, GROUND.network, BOTH))
    both = changed(FIRST, GROUND.network, BOTH)
    follows(changed(both, GROUND.network, (OTHER_IMAGE,)), both)
    assert "images that stay" in refused(changed(FIRST, GROUND.network, (OTHER_IMAGE,)))


def test_images_that_are_none() -> None:
    many = tuple((bytes([1, at]) * 24, *IMAGE[1:]) for at in range(MAX_IMAGES + 1))
    for images in ((), BOTH[::-1], many, ((bytes(48), *IMAGE[1:]),), (IMAGE[:2],)):
        with pytest.raises(Refused, match="RosterInvalid"):
            changed(FIRST, GROUND.network, images)
    assert changed(FIRST, GROUND.network, BOTH) == following(FIRST, images=BOTH)
