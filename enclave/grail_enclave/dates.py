"""The date in an enclave: its clock, and the own module that it asks (docs/time.md)."""

from __future__ import annotations

import math
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from grail.attestation.clock import Clock, Reading, Span
from grail.attestation.verifier import NONCE_BYTES, NONCE_SECONDS, Policy, answered
from grail.bitcoin.spv import HeaderChain
from grail.errors import AttestationInvalid, DecodeError, Unavailable
from grail.links.identity import Own
from grail.types import XOnlyKey

OWN_SECONDS: Final = 3_600.0
"""After so long the own module is asked again, as peers are by new links."""


def seconds() -> float:
    """Seconds that never fall, and that go on while the machine sleeps where the kernel has them.

    A clock that stands still meanwhile would take the old for fresh.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Dates:
    """What one enclave knows of the date: whoever asks gets it with a recent own reading."""

    def __init__(
        self, own: Own, policy: Callable[[], Policy], monotonic: Callable[[], float]
    ) -> None:
        self._own = own
        self._policy = policy
        self._monotonic = monotonic
        self._clock = Clock(own.keys.public, monotonic)
        self._next = -math.inf
        self._asked = -math.inf

    def renew(self) -> None:
        """Ask the own module, when its last reading is old. Without an answer nothing is learnt."""
        if self._monotonic() >= self._next:
            self._ask()

    def _ask(self) -> None:
        asked, nonce = self._monotonic(), secrets.token_bytes(NONCE_BYTES)
        self._asked, self._next = asked, asked + NONCE_SECONDS
        try:
            raw = self._own.module.document(nonce, None, None)
            found = answered(raw, nonce, self._policy())
        except (AttestationInvalid, DecodeError, Unavailable):
            return  # it says nothing that anybody would believe
        answer = self._monotonic()
        self._next = answer + OWN_SECONDS
        self._clock.note(self._own.keys.public, Reading(found.timestamp / 1_000, asked, answer))

    def take(self, key: XOnlyKey, reading: Reading) -> None:
        """Learn when the module of an admitted peer says it is.

        It counts even where it is refused: so a quorum corrects a clock that is off by itself, and
        fewer never move it. Raises `AttestationInvalid` TimeBehind or TimeAhead.
        """
        self.renew()
        self._clock.note(key, reading)
        try:
            self._clock.check(reading)
        except AttestationInvalid:
            if self._monotonic() - self._asked < NONCE_SECONDS:
                raise
            # Perhaps it is the own clock that stood still: the own module knows. Once a minute, so
            # that peers who are refused make it no work.
            self._ask()
            self._clock.note(key, reading)
            self._clock.check(reading)

    def follow(self, members: Sequence[XOnlyKey], quorum: int) -> None:
        """The members of a roster count; those that its quorum does without may lie."""
        self._clock.follow(members, len(members) - quorum)

    def follow_chain(self, headers: HeaderChain) -> None:
        """The chain is longer than it was."""
        median = headers.median_time
        if median is not None:
            self._clock.follow_chain(median)

    @property
    def latest(self) -> float:
        """The latest time that a header may have now: two hours from the latest present."""
        self.renew()
        return self._clock.latest

    @property
    def span(self) -> Span:
        """Where the present lies."""
        self.renew()
        return self._clock.span()
