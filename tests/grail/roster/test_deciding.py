"""Rounds of wishes and words: one state for a number whatever comes when, and always one in the end.

Members are real ones as far as deciding goes: what each has heard, and `next_said`. Liars say what
they like to whom they like; what a seed says is lost, held back, or told late.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from roster_world import keys

from grail.roster.deciding import MOST_SECONDS, Say, carried, next_said, patience
from grail.roster.statement import WISH, WORD, Statement
from grail.types import XOnlyKey

STATES = tuple(bytes([each]) * 32 for each in range(1, 4))
SEEDS = 400


@dataclass
class Member:
    """What one has heard. `barred`: states that its rules let it not speak for."""

    key: XOnlyKey
    quorum: int
    wanted: bytes | None
    barred: frozenset[bytes] = frozenset()
    said: dict[Statement, None] = field(default_factory=dict)
    early: list[Statement] = field(default_factory=list)

    @property
    def opened(self) -> int:
        wishers: dict[int, set[XOnlyKey]] = {}
        for each in self.said:
            if each.step == WISH:
                wishers.setdefault(each.round, set()).add(each.key)
        at = 0
        while len(wishers.get(at, ())) >= self.quorum:
            at += 1
        return at

    def hear(self, said: Iterable[Statement]) -> None:
        self.early += [each for each in said if each not in self.said]
        while ready := [each for each in self.early if each.round <= self.opened]:
            self.said |= dict.fromkeys(ready)
            self.early = [each for each in self.early if each not in self.said]

    def speak(self, *, patient: bool = False) -> Statement | None:
        say = next_said(
            self.said,
            self.quorum,
            self.key,
            self.opened,
            wanted=None if self.wanted in self.barred else self.wanted,
            may=lambda state: state not in self.barred,
            patient=patient,
        )
        if say is None:
            return None
        made = Statement(self.key, 1, say.state, round=say.round, step=say.step)
        self.hear([made])
        return made

    @property
    def decided(self) -> set[bytes]:
        """The states for which a quorum gave its word in one round."""
        words = Counter((e.round, e.state) for e in self.said if e.step == WORD)
        return {state for (_, state), count in words.items() if count >= self.quorum}


def members(count: int, quorum: int, wanted: Iterable[bytes | None]) -> list[Member]:
    pairs = zip(keys(count), wanted, strict=True)
    return [Member(pair.public, quorum, state) for pair, state in pairs]


def settle(alive: list[Member], most: int = 200) -> set[bytes]:
    """Everybody hears everybody, and nobody waits: what is decided in the end."""
    for _ in range(most):
        everything = {each: None for member in alive for each in (*member.said, *member.early)}
        for member in alive:
            member.hear(everything)
        spoken = [member.speak() for member in alive]
        if all(member.decided for member in alive) or not any(spoken):
            break
    return set().union(*(member.decided for member in alive))


def lie(rng: random.Random, liar: Member) -> Statement:
    round_ = rng.randrange(liar.opened + 1)
    return Statement(liar.key, 1, rng.choice(STATES), round=round_, step=rng.randrange(2))


def schedule(seed: int) -> None:
    """Loss, delay, liars, and operators that change their minds; then one state, or a stalemate."""
    rng = random.Random(seed)
    count, quorum, liars = rng.choice([(4, 3, 1), (7, 5, 2), (10, 7, 3), (16, 12, 4)])
    made = members(count, quorum, [rng.choice(STATES) for _ in range(count)])
    lying = {member.key for member in rng.sample(made, rng.randrange(liars + 1))}
    honest = [member for member in made if member.key not in lying]
    for _ in range(rng.randrange(400)):
        who, other = rng.choice(made), rng.choice(honest)
        if who.key in lying:
            told = lie(rng, who)
            who.hear([told])
            other.hear([told])
            continue
        if rng.random() < 0.05:
            who.wanted = rng.choice(STATES)
        who.speak(patient=rng.random() < 0.2)
        heard = list(who.said)
        other.hear(rng.sample(heard, rng.randrange(len(heard) + 1)))
    # In the end operators want the same: what was settled on chain, or a change that all agreed on.
    final = rng.choice(STATES)
    for member in honest:
        member.wanted = final
    for member in honest:
        assert len(member.decided) <= 1, f"seed {seed}"
    decided = settle(honest)
    assert len(decided) == 1, f"seed {seed}: {len(decided)} states"
    for member in honest:
        mine = [each for each in member.said if each.key == member.key]
        assert len({each.ballot for each in mine}) == len(mine), f"seed {seed}: two in one ballot"


def test_R5_R9_one_state_whatever_comes_when() -> None:
    for seed in range(SEEDS):
        schedule(seed)


def test_a_state_that_all_wish_takes_one_round() -> None:
    made = members(16, 12, [STATES[0]] * 12 + [None] * 4)
    assert settle(made) == {STATES[0]}
    assert {each.round for each in made[0].said} == {0}


def test_R9_eleven_wishes_bind_nobody() -> None:
    made = members(16, 12, [STATES[0]] * 11 + [None] * 5)
    assert settle(made) == set()
    assert all(each.step == WISH for each in made[0].said)
    for member in made:
        member.wanted = STATES[1]
    made[0].wanted = STATES[0]  # one that does not know better yet
    assert settle(made) == {STATES[1]}


def test_half_and_half_may_think_again() -> None:
    """Eight want the one, eight the other: no word, and no round until somebody thinks again."""
    made = members(16, 12, [STATES[0]] * 8 + [STATES[1]] * 8)
    assert settle(made) == set()
    assert {each.round for each in made[0].said} == {0}
    for member in made[:5]:
        member.wanted = STATES[1]
    assert settle(made) == {STATES[1]}


def test_whoever_gave_its_word_is_bound_and_the_others_follow() -> None:
    """Four saw the quorum and gave their word; a crash took one of the twelve before it did."""
    made = members(16, 12, [STATES[0]] * 12 + [STATES[1]] * 4)
    for member in made:
        member.speak()
    wishes = [each for member in made for each in member.said]
    for member in made[:4]:
        member.hear(wishes)
        said = member.speak()
        assert said is not None
        assert (said.step, said.state) == (WORD, STATES[0])
        member.wanted = STATES[1]
        assert member.speak() is None or member.speak().state == STATES[0]
    for member in made[4:]:
        member.wanted = STATES[1]
    assert settle(made[:8] + made[9:]) == {STATES[0]}


def test_A16_who_may_not_speak_for_a_state_says_nothing_for_it() -> None:
    made = members(4, 3, [STATES[0]] * 4)
    made[3].barred = frozenset([STATES[0]])
    assert settle(made) == {STATES[0]}
    assert not [each for each in made[0].said if each.key == made[3].key]


def test_no_word_for_a_round_that_was_left() -> None:
    """It wished something else in a later round: a word for the earlier one would bind too late."""
    own, *others = (pair.public for pair in keys(4))
    said = [Statement(own, 1, STATES[1], round=0, step=WISH)]
    said += [Statement(key, 1, STATES[0], round=0, step=WISH) for key in others[:2]]
    told = {"wanted": STATES[1], "may": lambda _state: True}
    later = [*said, Statement(others[2], 1, STATES[1], round=1, step=WISH)]
    assert next_said(later, 3, own, 1, patient=True, **told) is None
    say = next_said(later, 3, own, 1, patient=False, **told)
    assert say == Say(1, WISH, STATES[1])
    later += [Statement(own, 1, STATES[1], round=1, step=WISH)]
    late = [*later, Statement(others[2], 1, STATES[0], round=0, step=WISH)]
    assert carried(late, 3) == (0, STATES[0])
    assert next_said(late, 3, own, 1, patient=False, **told) is None


def test_rounds_take_longer_each_time() -> None:
    times = [patience(each) for each in range(40)]
    assert times[:3] == [10.0, 20.0, 40.0]
    assert times == sorted(times)
    assert times[-1] == MOST_SECONDS


@pytest.mark.parametrize("step", [WISH, WORD])
def test_R5_a_ballot_is_a_key_a_round_and_a_step(step: int) -> None:
    (pair,) = keys(1)
    made = Statement(pair.public, 1, STATES[0], round=3, step=step)
    assert made.ballot == (pair.public, 3, step)
    again = Statement.from_fields([*made.fields()[:-1], bytes(64)])
    assert again == made
