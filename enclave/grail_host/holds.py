"""A pause between a promise and the next higher one, so that a round can end before it is outbid.

Rounds of rivals would otherwise overtake each other for ever. The pause doubles with the round, up
to a cap, and is shortened by chance. It is the host's clock and matters for liveness only.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Iterable

from grail.types import OutPoint

BASE = 0.05
"""Seconds after a promise of round 1, doubled for each round above: one round trip among hosts."""

CAP = 2.0
"""Seconds: below what a coordinator waits for one answer."""

REMEMBERED = 4_096
"""Outpoints; the one promised longest ago is forgotten first."""


class Holds:
    """When each outpoint was last promised, and in which round."""

    def __init__(self) -> None:
        self._promised: OrderedDict[OutPoint, tuple[int, float]] = OrderedDict()

    async def wait(self, outpoints: Iterable[OutPoint], number: int) -> None:
        """Return when a promise of round `number` may be asked for."""
        now = time.monotonic()
        pauses = [0.0]
        for outpoint in outpoints:
            earlier, when = self._promised.get(outpoint, (0, 0.0))
            if 0 < earlier < number:
                pauses.append(when + min(BASE * 2.0 ** min(earlier, 20), CAP) - now)
        longest = min(max(pauses), CAP)
        if longest > 0:
            await asyncio.sleep(longest * random.SystemRandom().uniform(0.5, 1))

    def promised(self, outpoints: Iterable[OutPoint], number: int) -> None:
        """Note that the enclave promised this round."""
        for outpoint in outpoints:
            earlier, _ = self._promised.pop(outpoint, (0, 0.0))
            self._promised[outpoint] = (max(earlier, number), time.monotonic())
            if len(self._promised) > REMEMBERED:
                self._promised.popitem(last=False)
