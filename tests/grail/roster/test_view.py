"""Views of the roster: they only grow, and agree whatever the order."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from roster_world import (
    GROUND,
    OTHER_IMAGE,
    exchanged,
    first_state,
    following,
    keys,
    spare,
    wish,
    word,
)

from grail.errors import Refused, SignatureInvalid
from grail.roster.signed import Ground
from grail.roster.statement import Equivocation
from grail.roster.view import MAX_ROUNDS, Thing, View

MEMBERS = keys(16)
FIRST = first_state(MEMBERS)


def said(state, members=MEMBERS) -> list[Thing]:
    return [*(word(pair, state) for pair in members), Thing(state)]


def view(*groups: list[Thing]) -> View:
    made = View(GROUND, FIRST.roster)
    for thing in (thing for group in groups for thing in group):
        made.take(thing)
    return made


def test_the_first_state_wants_every_member() -> None:
    made = view([*said(FIRST, MEMBERS[:-1]), Thing(FIRST)])
    assert made.agreed is None
    assert made.take(word(MEMBERS[-1], FIRST))
    assert made.agreed == FIRST
    assert made.open == 1


def test_R9_a_minority_makes_no_state() -> None:
    """Eight against eight, eleven, and twelve of sixteen."""
    after = following(FIRST, images=(OTHER_IMAGE,))
    other = exchanged(FIRST, MEMBERS[:1], [spare(0)])
    halves = view(said(FIRST), said(after, MEMBERS[:8]), said(other, MEMBERS[8:]))
    assert halves.agreed == FIRST
    eleven = view(said(FIRST), said(after, MEMBERS[:11]))
    assert eleven.agreed == FIRST
    eleven.take(word(MEMBERS[11], after))
    assert eleven.agreed == after


def test_R9_words_of_two_rounds_do_not_add_up_and_wishes_are_none() -> None:
    after = following(FIRST, images=(OTHER_IMAGE,))
    made = view(said(FIRST), [wish(pair, after) for pair in MEMBERS])
    assert made.agreed == FIRST
    assert made.round(1) == 1
    made = view(said(FIRST), [wish(pair, after) for pair in MEMBERS], said(after, MEMBERS[:11]))
    made.take(word(MEMBERS[11], after, round_=1))
    assert made.agreed == FIRST
    assert made.guilty == frozenset()
    made.take(word(MEMBERS[11], after))
    assert made.agreed == after


def test_R10_rounds_that_no_quorum_opened_fill_no_view() -> None:
    """A liar speaks of all rounds there may ever be; it is heard once the round is there."""
    made = view(said(FIRST))
    after = following(FIRST, images=(OTHER_IMAGE,))
    for round_ in range(1, MAX_ROUNDS + 1):
        assert not made.take(wish(MEMBERS[0], after, round_))
        assert not made.take(word(MEMBERS[0], after, round_=round_))
    assert not made.things(1)
    for round_ in range(MAX_ROUNDS + 1):
        for pair in MEMBERS[:12]:
            made.take(wish(pair, after, round_))
    assert made.round(1) == MAX_ROUNDS - 1
    assert len(made.things(1)) == 12 * MAX_ROUNDS


def test_R7_any_order_any_repetition_one_view() -> None:
    """Three states, a liar, and things that came too early: what was left alone comes again."""
    second = following(FIRST, images=tuple(sorted([FIRST.images[0], OTHER_IMAGE])))
    third = exchanged(second, MEMBERS[2:4], [spare(1), spare(2)])
    lies = [word(MEMBERS[0], following(FIRST, images=(OTHER_IMAGE,)))]
    things = [*said(FIRST), *said(second), *lies, *said(third, MEMBERS[4:])]
    expected = view(things, things, things)
    assert expected.agreed == third
    assert expected.guilty == {MEMBERS[0].public}
    for seed in range(20):
        order = things * 2
        random.Random(seed).shuffle(order)
        made = view(*[order] * 4)
        assert made.digest() == expected.digest()
        assert made.guilty == expected.guilty


def test_R5_two_words_for_one_number_expel_whoever_signed_them() -> None:
    made = view(said(FIRST))
    liar = MEMBERS[3]
    for state in (following(FIRST, images=(OTHER_IMAGE,)), exchanged(FIRST, [liar], [spare(0)])):
        made.admit(liar.public)
        made.take(word(liar, state))
    with pytest.raises(Refused, match="expelled"):
        made.admit(liar.public)
    proof = made.proof(liar.public)
    assert proof is not None
    proof.check(GROUND)
    assert proof.culprit == liar.public
    for honest in MEMBERS[4:]:
        made.admit(honest.public)


def test_R5_an_old_word_expels_too() -> None:
    """The second state of a number that was agreed on long ago."""
    second = following(FIRST, images=(OTHER_IMAGE,))
    third = exchanged(second, MEMBERS[:1], [spare(0)])
    made = view(said(FIRST), said(second), said(third))
    assert made.take(word(MEMBERS[5], exchanged(FIRST, MEMBERS[:2], [spare(0), spare(1)])))
    assert made.guilty == {MEMBERS[5].public}
    assert made.agreed == third


def test_R6_nobody_can_be_framed() -> None:
    """The same word again, of another network, of another number, by another key: no proof."""
    after, other = following(FIRST, images=(OTHER_IMAGE,)), exchanged(FIRST, [], [spare(0)])
    honest, liar = MEMBERS[0], MEMBERS[1]
    made = view(said(FIRST), [word(honest, after)])
    assert not made.take(word(honest, after))  # signed once more: other bytes, the same word
    elsewhere = Ground(bytes([9]) * 32, GROUND.configuration)
    forged = word(honest, other, elsewhere).inside
    with pytest.raises(SignatureInvalid):
        made.take(Thing(forged))
    stolen = word(liar, other).inside
    with pytest.raises(SignatureInvalid):
        made.take(Thing(replace(stolen, key=honest.public)))
    assert made.guilty == frozenset()
    first, second = word(honest, after).inside, word(honest, FIRST).inside
    for pair in (
        (first, second),
        (first, first),
        (first, word(liar, other).inside),
        (first, replace(first, state=bytes(32))),
    ):
        with pytest.raises(SignatureInvalid):
            Equivocation(*pair).check(GROUND)


def test_R1_strangers_have_no_word() -> None:
    """Twelve perfect strangers, and members of a later state about an earlier one."""
    strangers = [spare(each) for each in range(12)]
    after = exchanged(FIRST, MEMBERS[:4], strangers[:4])
    made = view(said(FIRST))
    for stranger in strangers:
        with pytest.raises(SignatureInvalid, match="had no word"):
            made.take(word(stranger, after))
    with pytest.raises(Refused, match="no seat"):
        made.admit(strangers[0].public)


def test_R7_an_old_roster_does_not_come_back() -> None:
    """The whole log of a former epoch, shown to who knows better and to a fresh joiner."""
    second = exchanged(FIRST, MEMBERS[:2], [spare(0), spare(1)])
    old, new = [*said(FIRST)], [*said(FIRST), *said(second)]
    made = view(new, old, old)
    assert made.agreed == second
    with pytest.raises(Refused, match="no seat"):
        made.admit(MEMBERS[0].public)
    # members that left, with keys that leaked, state another second: a quorum did, so it stands
    rival = exchanged(FIRST, MEMBERS[2:4], [spare(2), spare(3)])
    for thing in said(rival):
        made.take(thing)
    assert made.agreed == second
    assert made.guilty == {pair.public for pair in MEMBERS}


def test_states_that_do_not_follow_are_refused() -> None:
    made = view(said(FIRST))
    for wrong in (
        following(first_state(keys(15)), images=(OTHER_IMAGE,)),
        type(FIRST)(1, FIRST.digest(GROUND.network), 1, *_rest(FIRST)),
        type(FIRST)(1, bytes([5]) * 32, 0, *_rest(FIRST)),
    ):
        made.take(word(MEMBERS[0], wrong))
        with pytest.raises(Refused, match="RosterInvalid"):
            made.take(Thing(wrong))


def _rest(state):
    return state.seats, state.quorum, state.internal_key, state.images


def test_R10_what_nobody_said_and_what_is_far_off_is_left_alone() -> None:
    made = view(said(FIRST))
    before = made.digest()
    second = following(FIRST, images=(OTHER_IMAGE,))
    third = exchanged(second, [], [spare(0)])
    assert not made.take(Thing(second))
    for thing in said(third):
        assert not made.take(thing)
    assert made.digest() == before


def test_R10_a_liar_that_signs_on_and_on_fills_no_view() -> None:
    made = view(said(FIRST))
    liar = MEMBERS[0]
    for each in range(200):
        made.take(word(liar, exchanged(FIRST, [], [spare(each)])))
    assert len(made.things(1)) == 2
    # a word that an honest member says too may count towards a quorum, and is kept
    shared = exchanged(FIRST, [], [spare(199)])
    made.take(word(MEMBERS[1], shared))
    made.take(word(liar, shared))
    assert len(made.things(1)) <= 4
    for pair in MEMBERS[2:12]:
        made.take(word(pair, shared))
    made.take(Thing(shared))
    assert made.agreed == shared
