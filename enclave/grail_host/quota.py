"""How much one requester may ask for: requests and bytes by the minute, counted before any work."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from grail.errors import Refused

MAX_REQUESTERS = 4_096
"""Remembered at once; the one unseen for longest is forgotten first."""

MINUTE = 60.0


class Quota:
    """Two buckets a requester, both full at first, refilled evenly over a minute."""

    def __init__(
        self, requests: int, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._full = (float(requests), float(size))
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    def take(self, requester: str, size: int) -> None:
        """Count one request of `size` bytes. Raises `Refused` QuotaExceeded, and counts nothing."""
        now = self._clock()
        before, *left = self._left.pop(requester, (now, *self._full))
        filled = [
            min(full, had + full * (now - before) / MINUTE)
            for full, had in zip(self._full, left, strict=True)
        ]
        wanted = (1.0, float(size))
        short = [
            (want - had) / full * MINUTE
            for want, had, full in zip(wanted, filled, self._full, strict=True)
            if want > had
        ]
        if short:
            self._left[requester] = (now, filled[0], filled[1])
            raise Refused(
                "QuotaExceeded",
                "this requester asked for too much within a minute",
                hint=f"wait {max(short):.0f} s",
            )
        self._left[requester] = (now, filled[0] - wanted[0], filled[1] - wanted[1])
        if len(self._left) > MAX_REQUESTERS:
            self._left.popitem(last=False)
