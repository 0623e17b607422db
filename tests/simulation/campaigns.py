"""Many schedules in a row; a failing one is made small, saved, and named with its seed."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from simulation.schedule import (
    CLONE,
    CONFLICT,
    ECLIPSE,
    EQUIVOCATING,
    HOLD,
    PARTITION,
    REORG,
    RESTART,
    SAY,
    STRANGER,
    Schedule,
    living,
)
from simulation.shrink import shrunk
from simulation.stage import Outcome, play
from simulation.unsafe import Unsafe

SAVED = Path(__file__).resolve().parent / "saved"
"""Schedules that failed once. Those that are committed are played by every `make test`."""

FIRST = int(os.environ.get("SEED", "0")) or secrets.randbelow(1 << 48)
"""The first seed of this process, unless a campaign is given one."""

TOLD = 100
"""Schedules between two words of progress."""


@dataclass
class Campaign:
    """What a campaign did, in figures."""

    first_seed: int
    schedules: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def events(self) -> dict[str, int]:
        """Events that happened, by kind."""
        return {
            kind: self.counts[kind]
            for kind in (RESTART, CLONE, PARTITION, "block", CONFLICT, REORG)
        }

    @property
    def restarts(self) -> int:
        """Instances that were started after their predecessor had stopped."""
        return self.counts[RESTART]

    @property
    def clones(self) -> int:
        """Instances that were started beside their predecessor."""
        return self.counts[CLONE]

    @property
    def recoveries(self) -> int:
        """New instances that were granted an epoch."""
        return self.counts["recovered"]

    @property
    def reorgs(self) -> int:
        """Reorganisations of the chain."""
        return self.counts[REORG]

    @property
    def dead_spends(self) -> int:
        """Conflicts that were mined while their input was unspent."""
        return self.counts["dead spends"]

    @property
    def rosters(self) -> int:
        """Schedules in which the roster lived."""
        return self.counts["rosters"]

    @property
    def befell(self) -> dict[str, int]:
        """What befell rosters, by kind; liars among their members count as one."""
        kinds = (SAY, ECLIPSE, HOLD, STRANGER, EQUIVOCATING, "clocks off", "builds accepted")
        return {kind: self.counts[kind] for kind in kinds}

    @property
    def signed(self) -> int:
        """Requests that ended with a finished transaction."""
        return self.outcomes["signed"]

    @property
    def virtual_hours(self) -> float:
        """Hours that passed on the stage."""
        return self.virtual_seconds / 3_600

    def add(self, outcome: Outcome) -> None:
        """Count one schedule."""
        self.schedules += 1
        self.virtual_seconds += outcome.seconds
        self.counts.update(outcome.counts)
        self.outcomes.update(client.outcome for client in outcome.clients)

    def merged(self, other: Campaign) -> Campaign:
        """Both together, under this one's first seed."""
        return Campaign(
            self.first_seed,
            self.schedules + other.schedules,
            self.virtual_seconds + other.virtual_seconds,
            max(self.seconds, other.seconds),
            self.counts + other.counts,
            self.outcomes + other.outcomes,
        )

    def __str__(self) -> str:
        return (
            f"{self.schedules} schedules from seed {self.first_seed}: {self.signed} requests signed,"
            f" {self.restarts} restarts, {self.clones} clones, {self.recoveries} recoveries,"
            f" {self.reorgs} reorgs, {self.dead_spends} dead spends,"
            f" {self.rosters} living rosters ({self.counts[SAY]} states,"
            f" {self.counts[EQUIVOCATING]} liars, {self.counts[ECLIPSE]} eclipses),"
            f" {self.virtual_hours:.1f} virtual hours"
        )


def why(schedule: Schedule) -> str:
    """The invariant that a schedule breaks (`I3`, or an exception's name); nothing when all hold."""
    try:
        play(schedule)
    except Unsafe as exc:
        return str(exc).partition(":")[0]
    except Exception as exc:  # noqa: BLE001 -- whatever else goes wrong is a failure too
        return type(exc).__name__
    return ""


def judged(schedule: Schedule, folder: Path = SAVED) -> Outcome:
    """Play a schedule; a failing one is shrunk and saved. Raises `AssertionError` naming the file."""
    try:
        return play(schedule)
    except Exception as exc:
        small = shrunk(schedule, why)
        reason = why(small)
        path = small.save(folder, reason)
        raise AssertionError(
            f"seed {schedule.seed}: {exc}\n{len(small.asks)} users and {len(small.events)} events "
            f"are enough, saved as {path}\n"
            f"play it again: simulation.replay({path.name!r})"
        ) from exc


def campaign(
    first_seed: int | None = None,
    count: int = 2_000,
    progress: Callable[[str], None] = lambda _: None,
    folder: Path = SAVED,
    draw: Callable[[int], Schedule] = living,
) -> Campaign:
    """Play the schedules of `count` seeds: with a `living` roster, or `drawn` without one.

    Raises `AssertionError` with seed and saved file.
    """
    begun = time.monotonic()
    found = Campaign(FIRST if first_seed is None else first_seed)
    for seed in range(found.first_seed, found.first_seed + count):
        found.add(judged(draw(seed), folder))
        found.seconds = time.monotonic() - begun
        if found.schedules % TOLD == 0:
            progress(str(found))
    return found


def replay(name: str | Path, folder: Path = SAVED) -> Outcome:
    """Play a saved schedule. Raises what it raises."""
    return play(Schedule.from_json((folder / name).read_text()))
