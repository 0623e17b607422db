"""The roster as people see it: one table from what all operators say, and a picture of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from xml.etree import ElementTree as ET

import pytest
from roster_world import IMAGE, OTHER_IMAGE, first_state, keys

from grail.connection.graph import LOOKS, NetworkGraph
from grail.connection.roster_view import (
    Member,
    RosterView,
    Standing,
    ago,
    said_of,
    standing,
    together,
)
from grail.errors import DecodeError
from grail.roster.shown import RosterShown, Sight

MEMBERS = keys(4)
STATE = first_state(MEMBERS)
NAMES = {pair.public: f"operator-{at + 1:02}" for at, pair in enumerate(MEMBERS)}


def said(
    view: bytes = bytes(32), *, deaf: bool = False, at: int | None = None, cut: tuple[int, ...] = ()
) -> RosterShown:
    """What an operator says: of itself, where `at` is its place, and with no link to those cut."""
    sights = tuple(
        Sight(
            pair.public,
            None if deaf else 1_000 * place,
            None if place == at else 90_000,
            image=IMAGE[0],
            linked=not deaf and place not in {at, *cut},
        )
        for place, pair in enumerate(MEMBERS)
    )
    return RosterShown(3, STATE, view, (), sights)


def member(**changes: object) -> Member:
    seat = STATE.seats[0]
    return replace(Member("operator-01", seat, 1.0, 1.0, in_step=True, guilty=False), **changes)


def test_a_table_of_what_all_say() -> None:
    shown = {pair.public: said() for pair in MEMBERS[:3]}
    shown[MEMBERS[1].public] = said(bytes([1]) * 32, deaf=True)
    shown[MEMBERS[0].public] = replace(said(), guilty=(MEMBERS[3].public,))
    view = together(STATE, shown, NAMES)
    first, second, third, fourth = view.members
    assert (first.in_step, second.in_step, third.in_step, fourth.in_step) == (
        True,
        False,
        True,
        None,
    )
    assert [member.guilty for member in view.members] == [False, False, False, True]
    assert (third.alive, third.attested) == (2.0, 90.0)
    text = str(view)
    for word in ("operator-01", "in step", "behind", "expelled", "3 of 4 sign", "90 s ago", "0 s"):
        assert word in text
    assert "<table>" in view._repr_html_()
    shape = view.as_dict()
    assert shape["members"][3]["guilty"]
    assert shape["shares"]["zone"] == {"a": 1, "b": 1, "c": 1, "d": 1}


def test_each_members_measurement_is_shown() -> None:
    """As most that have a link to it saw it; without any, what its own module says."""
    shown = {pair.public: said(at=at) for at, pair in enumerate(MEMBERS[:3])}

    def as_seen(by: int, of: int, image: bytes | None) -> None:
        key = MEMBERS[of].public
        sights = (replace(s, image=image) if s.key == key else s for s in said(at=by).sights)
        shown[MEMBERS[by].public] = replace(said(at=by), sights=tuple(sights))

    as_seen(0, 1, OTHER_IMAGE[0])
    as_seen(2, 1, OTHER_IMAGE[0])  # its own module says another one, and nobody asks it
    view = together(STATE, shown, NAMES)
    assert [each.image for each in view.members] == [IMAGE[0], OTHER_IMAGE[0], *[IMAGE[0]] * 2]
    rows = [line for line in str(view).splitlines() if line.startswith("operator-")]
    assert [IMAGE[0].hex()[:12] in row for row in rows] == [True, False, True, True]
    assert OTHER_IMAGE[0].hex()[:12] in rows[1]
    assert [OTHER_IMAGE[0].hex()[:12] in part for part in view._repr_html_().split("<tr>")[2:]] == [
        False, True, False, False,
    ]  # fmt: skip
    found = [each["image"] for each in view.as_dict()["members"]]
    assert found == [each.image.hex() for each in view.members if each.image]

    alone = together(STATE, {MEMBERS[2].public: said(at=2)}, NAMES)
    assert alone.members[2].image == IMAGE[0]
    nobody = replace(said(), sights=tuple(replace(s, image=None) for s in said().sights))
    unknown = together(STATE, {MEMBERS[2].public: nobody}, NAMES)
    assert unknown.as_dict()["members"][2]["image"] is None
    assert str(unknown).count("unknown") == 4
    for each in (*shown.values(), nobody):
        assert RosterShown.from_fields(each.fields()) == each
    short = said().fields()
    short[4][0][6] = bytes(47)
    with pytest.raises(DecodeError, match="image"):
        RosterShown.from_fields(short)


def test_R2_the_largest_owner_account_and_zone_are_shown() -> None:
    seats = tuple(
        replace(
            seat,
            owner="firm" if at < 3 else "other",
            account="cloud" if at < 2 else f"c{at}",
            zone="here",
        )
        for at, seat in enumerate(STATE.seats)
    )
    view = together(replace(STATE, seats=seats), {MEMBERS[0].public: said()}, NAMES)
    assert view.largest == {"owner": 3, "account": 2, "zone": 4}
    assert view.as_dict()["largest"] == view.largest
    for text in (str(view), view._repr_html_()):
        assert "largest owner 3 of 4, account 2 of 4, zone 4 of 4" in text
        for word in ("firm", "cloud", "here", "account"):
            assert word in text
    assert view.as_dict()["members"][0]["account"] in {"cloud", "c2", "c3"}


def test_who_is_silent_and_who_asks_to_leave() -> None:
    """As most see it: one that hears nobody says that all are silent, and is alone with it."""
    gone, going = MEMBERS[3].public, MEMBERS[2].public
    sights = tuple(
        replace(
            sight,
            silent=sight.key == gone,
            height=1_204 if sight.key == gone else 1_250,
            leaving=sight.key == going,
        )
        for sight in said().sights
    )
    shown = {pair.public: replace(said(), sights=sights) for pair in MEMBERS[:3]}
    shown[MEMBERS[1].public] = replace(
        said(), sights=tuple(replace(sight, silent=True) for sight in said().sights)
    )
    view = together(STATE, shown, NAMES)
    assert [member.silent for member in view.members] == [False, False, False, True]
    assert "silent since block 1,204" in str(view)
    assert "in step, asks to leave" in str(view)
    assert view.as_dict()["members"][3]["silent"]
    for each in shown.values():
        assert RosterShown.from_fields(each.fields()) == each


def test_R5_whoever_is_expelled_has_no_line() -> None:
    """Not even to one that is yet to end the link: its own word says who is guilty."""
    culprit = MEMBERS[3].public
    shown = {pair.public: replace(said(), guilty=(culprit,)) for pair in MEMBERS}
    view = together(STATE, shown, NAMES)
    assert view.links["operator-01"] == ("operator-02", "operator-03")
    assert all("operator-04" not in edge for edge in NetworkGraph(view).edges)


def test_names_are_text_in_html_and_pictures() -> None:
    """Threat D5: an owner's name is whatever the ruling quorum let pass."""
    seats = tuple(replace(seat, owner="<script>", zone="<b>&") for seat in STATE.seats)
    view = together(replace(STATE, seats=seats), {MEMBERS[0].public: said()}, NAMES)
    assert "<script>" not in view._repr_html_()
    ET.fromstring(NetworkGraph(view)._repr_svg_())


SVG = "{http://www.w3.org/2000/svg}"


def test_a_picture_of_the_links() -> None:
    """A severed pair has no line, though each hears of the other's life by way of the rest."""
    shown = {pair.public: said(at=at) for at, pair in enumerate(MEMBERS)}
    graph = NetworkGraph(together(STATE, shown, NAMES))
    assert len(graph.edges) == 6
    assert "no link" not in str(graph)
    shown[MEMBERS[0].public] = said(at=0, cut=(2,))  # the other end was not told, as ever
    graph = NetworkGraph(together(STATE, shown, NAMES))
    assert all(each.alive is not None and each.alive < 60 for each in graph.roster.members)
    assert ("operator-01", "operator-03") not in graph.edges
    assert len(graph.edges) == 5
    lines = str(graph).splitlines()
    assert lines[0].endswith("in step, no link to operator-03")
    assert lines[2].endswith("in step, no link to operator-01")
    drawn = ET.fromstring(graph._repr_svg_())
    assert len(drawn.findall(f"{SVG}circle")) == 4
    assert len(drawn.findall(f"{SVG}line")) == 5
    assert graph.roster.as_dict()["members"][0]["links"] == ["operator-02", "operator-04"]


def test_who_does_not_answer_has_no_line() -> None:
    shown = {pair.public: said(at=at) for at, pair in enumerate(MEMBERS[:3])}
    graph = NetworkGraph(together(STATE, shown, NAMES))
    assert len(graph.edges) == 3
    assert str(graph).splitlines()[3].count("operator-0") == 4


STANDINGS = {
    "in step": member(),
    "in step, asks to leave": member(leaving=True),
    "behind": member(in_step=False),
    "behind, asks to leave": member(in_step=False, leaving=True),
    "no answer": member(in_step=None),
    "silent": member(in_step=None, silent=True),
    "silent since block 1,204": member(silent=True, height=1_204, leaving=True),
    "expelled: two words for one number": member(in_step=None, guilty=True, silent=True),
}


@pytest.mark.parametrize(("text", "one"), STANDINGS.items(), ids=STANDINGS)
def test_each_standing_has_a_colour_and_a_mark_of_its_own(text: str, one: Member) -> None:
    assert said_of(one) == text
    drawn = NetworkGraph(RosterView(STATE, (one,), {}))
    picture = ET.fromstring(drawn._repr_svg_())
    (circle,), (mark, _) = picture.findall(f"{SVG}circle"), picture.findall(f"{SVG}text")
    assert (circle.get("fill"), mark.text or "") == LOOKS[standing(one)]
    others = [look for each, look in LOOKS.items() if each is not standing(one)]
    assert circle.get("fill") not in [colour for colour, _ in others]
    assert (mark.text or "") not in [other for _, other in others]


def test_every_member_has_a_standing_and_every_standing_a_look() -> None:
    assert {standing(each) for each in STANDINGS.values()} == set(Standing) == set(LOOKS)
    flags = product((True, False, None), *[(True, False)] * 3, (None, 7))
    for in_step, guilty, silent, leaving, height in flags:
        one = member(in_step=in_step, guilty=guilty, silent=silent, leaving=leaving, height=height)
        assert said_of(one) in STANDINGS or said_of(one) == "silent since block 7"


def test_ages_for_people() -> None:
    assert [ago(each) for each in (None, 0, 61, 125, 7_300, 200_000)] == [
        "never",
        "0 s ago",
        "61 s ago",
        "2 min ago",
        "2 h ago",
        "2 d ago",
    ]
