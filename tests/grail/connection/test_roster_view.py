"""The roster as people see it: one table from what all operators say, and a picture of it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from roster_world import first_state, keys

from grail.connection.graph import NetworkGraph
from grail.connection.roster_view import ago, together
from grail.roster.shown import RosterShown, Sight

MEMBERS = keys(4)
STATE = first_state(MEMBERS)
NAMES = {pair.public: f"operator-{at + 1:02}" for at, pair in enumerate(MEMBERS)}


def said(view: bytes = bytes(32), *, deaf: bool = False) -> RosterShown:
    sights = tuple(
        Sight(pair.public, None if deaf else 1_000 * at, 90_000) for at, pair in enumerate(MEMBERS)
    )
    return RosterShown(3, STATE, view, (), sights)


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


def test_R5_whoever_is_expelled_is_heard_no_more() -> None:
    """Not even for the minute in which its last heartbeat is still a young one."""
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


def test_a_picture_of_who_hears_whom() -> None:
    shown = {pair.public: said() for pair in MEMBERS}
    shown[MEMBERS[2].public] = said(deaf=True)
    graph = NetworkGraph(together(STATE, shown, NAMES))
    assert ("operator-01", "operator-02") in graph.edges
    assert all("operator-03" not in edge for edge in graph.edges)
    assert "does not hear operator-01" in str(graph)
    drawn = ET.fromstring(graph._repr_svg_())
    circles = drawn.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 4


def test_ages_for_people() -> None:
    assert [ago(each) for each in (None, 0, 61, 125, 7_300, 200_000)] == [
        "never",
        "0 s ago",
        "61 s ago",
        "2 min ago",
        "2 h ago",
        "2 d ago",
    ]
