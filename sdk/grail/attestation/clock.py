"""What an enclave knows of the date, from what its host cannot set (threats A11 and R16).

There is no single time here, but a span that the present lies in. Three things make it:

- readings: a module's time in a document that answers an own nonce. It was told after the nonce was
  drawn and before the answer came, both by the own monotonic clock, so whoever holds it back only
  makes the span of that reading wider;
- the chain: the median time past of the best header is at most two hours ahead of the present;
- the monotonic clock, which says how much later it is since.

Of the readings of n members up to f may lie: the span goes from the (f+1)-th highest of their lower
ends to the (f+1)-th lowest of their upper ones, so an honest one stands on either side. That takes
2f+1 of them. Before, the own module is believed alone; without it nothing is known, and everything
is possible. docs/time.md derives how far a host can shift any of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from grail.errors import AttestationInvalid
from grail.types import XOnlyKey

MODULE_SECONDS: Final = 2.0
"""How far an honest module's clock may be off: a leap second that is smeared over a day makes one
of it, rounding and its own discipline the rest."""
DRIFT: Final = 0.001
"""How wrong the monotonic clock's pace may be. Linux steers it by at most 500 ppm (MAXFREQ in
include/linux/timex.h), and the crystal below it is off by 100 at most."""
CHAIN_AHEAD: Final = 7_200.0
"""Seconds that a block's time may be ahead of the present (consensus, MAX_FUTURE_BLOCK_TIME)."""
MAX_READINGS: Final = 1_024
"""Readings that are kept: of every member, and of those that may become some."""


@dataclass(frozen=True, slots=True)
class Span:
    """The present lies from `low` to `high`, in seconds since 1970; without bounds at first."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        return f"{_date(self.low)} to {_date(self.high)} UTC"


@dataclass(frozen=True, slots=True)
class Reading:
    """A module's `time`, in seconds since 1970, in the answer to a nonce.

    `asked` and `answered` are when the nonce was drawn and when the answer came, by the own
    monotonic clock.
    """

    time: float
    asked: float
    answered: float

    def span(self, now: float) -> Span:
        """Where the present lies, if the module is honest; `now` by the own monotonic clock."""
        return Span(
            self.time - MODULE_SECONDS + (now - self.answered) * (1 - DRIFT),
            self.time + MODULE_SECONDS + (now - self.asked) * (1 + DRIFT),
        )


class Clock:
    """The date, as one enclave knows it. `monotonic` gives seconds that never fall."""

    def __init__(self, own: XOnlyKey, monotonic: Callable[[], float]) -> None:
        self._own = own
        self._monotonic = monotonic
        self._readings: dict[XOnlyKey, Reading] = {}
        self._members: frozenset[XOnlyKey] = frozenset()
        self._liars = 0
        self._median = -math.inf

    def follow(self, members: Iterable[XOnlyKey], liars: int) -> None:
        """Whose readings count from now on, and how many of them may be false."""
        self._members, self._liars = frozenset(members), liars

    def note(self, key: XOnlyKey, reading: Reading) -> None:
        """Learn a reading of a verified document; it takes the place of the key's last one.

        Where the own module's last one cannot be true beside it, the monotonic clock stood still,
        or that module's was set: what was known before says nothing any more.
        """
        before = self._readings.get(key) if key == self._own else None
        if before is not None and not _meet(
            before.span(reading.answered), reading.span(reading.answered)
        ):
            self._readings.clear()
        full = len(self._readings) >= MAX_READINGS and key not in self._readings
        if full and key != self._own:
            strangers = self._readings.keys() - self._members - {self._own}
            if key not in self._members or not strangers:
                return
            del self._readings[min(strangers)]
        self._readings[key] = reading

    def follow_chain(self, median: int) -> None:
        """The median time past of the heaviest chain that is known."""
        self._median = float(median)

    def span(self) -> Span:
        """Where the present lies. Its ends cross where more than the supposed readings lie."""
        now = self._monotonic()
        told = self._told(now)
        # A chain that is ahead of what the documents allow says nothing of the present.
        below = self._median - CHAIN_AHEAD
        return Span(max(told.low, below), told.high) if below <= told.high else told

    def _told(self, now: float) -> Span:
        """What documents say: those of the members, or the own module's."""
        counted = [each.span(now) for key, each in self._readings.items() if key in self._members]
        if len(counted) > 2 * self._liars:
            return Span(
                sorted((each.low for each in counted), reverse=True)[self._liars],
                sorted(each.high for each in counted)[self._liars],
            )
        own = self._readings.get(self._own)
        return Span() if own is None else own.span(now)

    def check(self, reading: Reading) -> None:
        """Raise `AttestationInvalid` where a document's time cannot be one of the present.

        An honest module's reading always can: the present lies in its span and in the own one.
        """
        found, known = reading.span(self._monotonic()), self.span()
        if found.high < known.low:
            raise AttestationInvalid(
                "TimeBehind", "the document is older than its nonce", **_outside(reading, known)
            )
        if found.low > known.high:
            raise AttestationInvalid(
                "TimeAhead", "the document is from after the present", **_outside(reading, known)
            )

    @property
    def latest(self) -> float:
        """The latest time that a block's header may have now."""
        return self.span().high + CHAIN_AHEAD


def _meet(one: Span, two: Span) -> bool:
    return one.low <= two.high and two.low <= one.high


def _outside(reading: Reading, known: Span) -> dict[str, str]:
    return {
        "got": _date(reading.time),
        "expected": str(known),
        "hint": "by what a quorum of modules says; where this one's clock is wrong, start its "
        "enclave on another instance",
    }


def _date(seconds: float) -> str:
    if not 0 <= seconds < 253_402_300_800:  # a calendar names years up to 9999
        return "any time"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
