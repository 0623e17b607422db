"""What an operator wants to follow in the roster, and how patient its enclave is with the others.

An operator tells his own enclave, by its host, which seats follow and which images are accepted. A
wish stands until it is fulfilled or overtaken, whatever else is decided before it: each time the
next state is made anew from the one that was agreed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from grail.errors import InvalidInput
from grail.operators.attesting import Image
from grail.roster.deciding import patience
from grail.roster.state import RosterState
from grail.roster.succession import following

BUSY_SECONDS: Final = 5.0
"""Since something new was heard of the next number: then there is no more haste."""


@dataclass(frozen=True, slots=True)
class Will:
    """`following` has the seats that are to follow, `images` the builds; None: as they are."""

    following: RosterState | None = None
    images: tuple[Image, ...] | None = None

    def after(self, agreed: RosterState) -> Will:
        """What of it is left once `agreed` was agreed on."""
        state, images = self.following, self.images
        if state is not None and _done(state, agreed):
            state = None
        return Will(state, None if images == agreed.images else images)

    def next(self, agreed: RosterState, network: bytes) -> RosterState | None:
        """The next state that it wants: what the chain settled first, since spends wait for it."""
        state = self.following
        try:
            if state is not None:
                return following(
                    agreed,
                    network,
                    epoch=state.epoch,
                    seats=state.seats,
                    quorum=state.quorum,
                    internal_key=state.internal_key,
                )
            return None if self.images is None else following(agreed, network, images=self.images)
        except InvalidInput:
            return None  # it does not fit what was decided meanwhile


def _done(state: RosterState, agreed: RosterState) -> bool:
    """Whether its seats are agreed on, or another roster came since."""
    if state.epoch == agreed.epoch:
        return state.seats == agreed.seats or state.keys != agreed.keys
    return state.epoch < agreed.epoch


@dataclass
class Pace:
    """Since when the open round of the next number goes on, and whether anything moves there.

    By the own clock, which never falls; it delays words, and decides nothing.
    """

    clock: Callable[[], float]
    _at: tuple[int, int] = (-1, -1)
    _since: float = 0.0
    _mark: tuple[int, bytes] | None = None
    _stirred: float = field(default=float("-inf"))

    def follow(self, number: int, mark: bytes, round_: int) -> None:
        """Take note of what is known of the next number."""
        now = self.clock()
        if self._at != (number, round_):
            self._at, self._since = (number, round_), now
        if self._mark != (number, mark):
            begun = self._mark is not None and self._mark[0] == number
            self._mark = number, mark
            if begun:  # what is first known of a number is that nothing is known of it
                self._stirred = now

    @property
    def patient(self) -> bool:
        """Whether the round before the open one is to be waited for."""
        return self.clock() - self._since < patience(max(self._at[1] - 1, 0))

    @property
    def busy(self) -> bool:
        """Whether a state is being decided just now."""
        return self.clock() - self._stirred < BUSY_SECONDS
