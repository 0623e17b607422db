"""The wire between coordinators and operators: every hop takes time, and some never arrive.

Each pair of asker and operator draws from a stream of its own, so that leaving one out of a
schedule changes little for the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import anyio

from grail.errors import Unavailable
from grail.operators.frames import Frame, Reply
from simulation.schedule import CORRUPT, SLOW, Schedule
from simulation.station import Station

SLOWNESS = 40.0
"""How many times as long a slow operator takes for a hop."""


class Network:
    """The transport of one asker."""

    def __init__(self, stations: Sequence[Station], schedule: Schedule, asker: str) -> None:
        self._stations = stations
        self._schedule = schedule
        self._streams = [Random(f"{schedule.seed}/{asker}/{n}") for n in range(len(stations))]

    async def ask(self, operator: int, frame: Frame) -> Reply:
        """The reply, if frame and reply arrive; `Unavailable` when nobody is there."""
        station, chance = self._stations[operator], self._streams[operator]
        schedule = self._schedule
        await self._hop(station, chance)
        if chance.random() < schedule.duplicates:  # the same frame again, some time later
            later = chance.expovariate(1 / (10 * schedule.delay))
            asyncio.get_running_loop().call_later(later, station.again, frame)
        raw = station.answer(frame)
        if raw is None:
            raise Unavailable(f"operator {operator}: connection refused")
        await self._hop(station, chance)
        if station.sick == CORRUPT:
            at = chance.randrange(len(raw))
            raw = raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]
        return Reply.parse(raw)

    async def _hop(self, station: Station, chance: Random) -> None:
        lost, slow = chance.random() < self._schedule.loss, station.sick == SLOW
        # A loop's clock, not the machine's.
        cut = station.cut_until > asyncio.get_running_loop().time()
        if lost or cut:
            await anyio.sleep_forever()
        factor = SLOWNESS if slow else 1.0
        await anyio.sleep(chance.expovariate(1 / (factor * self._schedule.delay)))
