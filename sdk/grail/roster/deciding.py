"""Which state follows, where more than one could: rounds of wishes, then words (decision 97).

A number is decided in rounds, over gossip and without a leader. In each round a member has one wish
and one word. It gives its word for a state when it is shown that a quorum wished it in that round;
a quorum of words in one round makes the state the roster's. A later round begins once a quorum has
wished something in the one before, and then:

    a member that gave its word wishes that state again, unless it is shown that a quorum wished
    another one in a later round;
    a member that gave none wishes what a quorum wished last, or else what its operator wants.

So members that wished different states may wish anew, and one that gave its word is bound to it
for as long as that state may have been made the roster's. Safety: where a quorum gave its word for
a state, its honest members wish it in every later round, so another one finds n - q + f wishes
there at most. That is no quorum while f < 2q - n, 8 of 16, and each of the f is proven a liar. Time
is asked for nothing but patience, which spares rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from grail.roster.statement import WISH, WORD, Statement
from grail.types import XOnlyKey

PATIENCE_SECONDS: Final = 10.0
"""How long a round may go on, once a quorum wished something in it, before another one begins."""
MOST_SECONDS: Final = 21_600.0
"""Rounds take twice as long each time, up to this: nobody who changes its mind tires the others."""


@dataclass(frozen=True, slots=True)
class Say:
    """What to sign next."""

    round: int
    step: int
    state: bytes


def patience(round_: int) -> float:
    """Seconds from when a round could be left to when it is."""
    return min(PATIENCE_SECONDS * 2.0 ** min(round_, 20), MOST_SECONDS)


def carried(said: Iterable[Statement], quorum: int) -> tuple[int, bytes] | None:
    """The last round in which a quorum wished one state, and that state."""
    wishers: dict[tuple[int, bytes], set[XOnlyKey]] = {}
    for each in said:
        if each.step == WISH:
            wishers.setdefault((each.round, each.state), set()).add(each.key)
    return max((at for at, keys in wishers.items() if len(keys) >= quorum), default=None)


def next_said(
    said: Iterable[Statement],
    quorum: int,
    own: XOnlyKey,
    opened: int,
    *,
    wanted: bytes | None,
    may: Callable[[bytes], bool],
    patient: bool,
) -> Say | None:
    """What a member says next on a number, or None while it has nothing to say.

    `said` is all that it knows of the number and `opened` the open round there; `wanted` is the
    state that its own operator wants; `may` tells whether the rules let it speak for a state;
    `patient` says to wait in the round before the open one.
    """
    known = list(said)
    mine = [each for each in known if each.key == own]
    wish = max((each for each in mine if each.step == WISH), key=_round, default=None)
    word = max((each for each in mine if each.step == WORD), key=_round, default=None)
    wished, given = (-1 if each is None else each.round for each in (wish, word))
    last = carried(known, quorum)
    # Never a word for a round before that of the last wish: it would bind too late.
    if last is not None and last[0] >= wished and last[0] > given and may(last[1]):
        return Say(last[0], WORD, last[1])
    if opened <= wished:
        return None
    state = wanted if word is None else word.state
    if last is not None and last[0] > given and may(last[1]):
        state = last[1]
    if state is None:
        return None
    if opened > 0:
        begun = any(each.round == opened and each.step == WISH for each in known)
        again = wish is not None and wished == opened - 1 and wish.state == state
        if patient or (again and not begun):
            return None
    return Say(opened, WISH, state)


def _round(said: Statement) -> int:
    return said.round
