"""How many operators a schedule has: sixteen as the network will, or few, which cost less.

Everything that is made once in a process (the market, the book, the town) is made once for each
crew. Which one is playing is known to the process: schedules are played one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from typing import ParamSpec, TypeVar

from enclave_world import KEYS, N

from grail.crypto.schnorr import KeyPair
from grail.types import XOnlyKey

P, T = ParamSpec("P"), TypeVar("T")

REACH = (1, 2, 5)
"""A host dials the operators that come so many places before its own."""


@dataclass(frozen=True)
class Crew:
    """The operators of a schedule by their number; three quarters of them are the quorum."""

    size: int = N

    @property
    def quorum(self) -> int:
        """Members that sign."""
        return self.size * 3 // 4

    @property
    def most_sick(self) -> int:
        """Operators that are dead, slow for ever, or lie: the others are a quorum."""
        return self.size - self.quorum

    @property
    def most_lost(self) -> int:
        """Memories lost and operators dead, together: enough others are left to grant an epoch."""
        return self.size - (2 * self.most_sick + 1)

    @cached_property
    def keys(self) -> tuple[KeyPair, ...]:
        """Their keys, by rank."""
        return tuple(KEYS[: self.size])

    @cached_property
    def public(self) -> tuple[XOnlyKey, ...]:
        """Their public keys, by rank."""
        return tuple(pair.public for pair in self.keys)

    @property
    def reach(self) -> tuple[int, ...]:
        """As `REACH`, and of each pair one dials."""
        return tuple(places for places in REACH if 2 * places < self.size)


_playing = Crew()


def crew() -> Crew:
    """The one that is playing."""
    return _playing


@contextmanager
def playing(size: int) -> Iterator[None]:
    """Within it, that many operators play."""
    global _playing
    before, _playing = _playing, Crew(size)
    try:
        yield
    finally:
        _playing = before


def per_crew(function: Callable[P, T]) -> Callable[P, T]:
    """As `functools.cache`, for each crew apart."""

    @cache
    def kept(_crew: Crew, *given: P.args, **named: P.kwargs) -> T:
        return function(*given, **named)

    @wraps(function)
    def called(*given: P.args, **named: P.kwargs) -> T:
        return kept(_playing, *given, **named)

    return called
