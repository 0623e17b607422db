"""A schedule: who asks for what and when, what goes wrong, what the chain does. Plain data.

It is drawn from a seed first and played afterwards, so that a failing one can be made smaller,
saved, read by people and played again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from random import Random
from typing import Any, Self

from simulation.book import HONEST, HOSTILE, LETTERS

N, QUORUM = 16, 12
MOST_SICK = N - QUORUM
"""Operators that are dead, slow for ever, or lie: the others are a quorum."""
MOST_LOST = 7
"""Memories lost and operators dead, together: nine others are left to grant an epoch."""
STORM = 12.0
"""Virtual seconds in which faults happen; after it only the sick operators stay sick."""

RESTART, CLONE, PARTITION, BLOCK, CONFLICT, REORG = (
    "restart",
    "clone",
    "partition",
    "block",
    "conflict",
    "reorg",
)
DEAD, SLOW, CORRUPT, TWO_FACED, BOASTING, HIDING = (
    "dead",
    "slow",
    "corrupt",
    "two-faced",
    "boasting",
    "hiding",
)
"""What an operator may be all the time. A corrupt one's replies have a bit flipped; a two-faced one
votes for everybody at once and takes part in no ballot; a boasting one names epochs and headers that
are not; a hiding one's host never shows its enclave what a block spends."""

SCENES = (
    ("A1", "A2"),
    ("A1", "A2", "A3"),
    ("A1", "A1+", "A2"),
    ("AB", "BC"),
    ("AB", "BC", "CA"),
    ("A1", "AB", "B1"),
    ("AB", "A1"),
    ("BC", "C1", "B1"),
    ("S1", "S2"),
    ("S1", "S2", "S3"),
    ("D1", "D2"),
    ("D1", "DE", "E1"),
    ("DE", "D2"),
    ("A1", "S1"),
)
"""Entries of the book that are asked for together."""


@dataclass(frozen=True)
class Ask:
    """A user asks for an entry of the book; `vanishes` seconds later he is gone for good.

    `again`: when another took his outpoint, he asks for the entry that is built on the winner.
    """

    entry: str
    start: float = 0.0
    vanishes: float | None = None
    again: bool = False


@dataclass(frozen=True)
class Event:
    """Something happens at a moment; which fields count depends on the kind.

    restart, clone: `operator`, after `seconds` down. partition: `operators` are cut off for
    `seconds`. conflict: the owner of coin `which` of `entry` spends it elsewhere, in a block.
    reorg: `depth` blocks are replaced by one more, `empty` or not.
    """

    at: float
    kind: str
    operator: int = -1
    operators: tuple[int, ...] = ()
    seconds: float = 0.0
    entry: str = ""
    which: int = 0
    depth: int = 0
    empty: bool = False


@dataclass(frozen=True)
class Schedule:
    """All that a play needs. `seed` feeds the delays and losses of single messages."""

    seed: int
    asks: tuple[Ask, ...]
    events: tuple[Event, ...] = ()
    sick: dict[int, str] = field(default_factory=dict)
    loss: float = 0.0
    duplicates: float = 0.0
    delay: float = 0.001

    @property
    def letters(self) -> str:
        """The contested outpoints."""
        return "".join(sorted({c for ask in self.asks for c in LETTERS.get(ask.entry, "")}))

    def to_json(self) -> str:
        """A small text for people and for `from_json`: what is as by default is left out."""
        value: dict[str, Any] = asdict(self)
        value["sick"] = {str(operator): kind for operator, kind in self.sick.items()}
        value["asks"] = [_said(ask) for ask in self.asks]
        value["events"] = [_said(event) for event in self.events]
        return json.dumps(value, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        value = json.loads(text)
        value["asks"] = tuple(Ask(**each) for each in value["asks"])
        value["events"] = tuple(
            Event(**{**each, "operators": tuple(each.get("operators", ()))})
            for each in value["events"]
        )
        value["sick"] = {int(operator): kind for operator, kind in value["sick"].items()}
        return cls(**value)

    def save(self, folder: Path, why: str) -> Path:
        """Write it to a file of that folder, named by its seed."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{why}-{self.seed}.json"
        path.write_text(self.to_json())
        return path


def _said(of: Ask | Event) -> dict[str, Any]:
    """The fields that are not as by default."""
    return {f.name: getattr(of, f.name) for f in fields(of) if getattr(of, f.name) != f.default}


def drawn(seed: int) -> Schedule:
    """The schedule of a seed."""
    chance = Random(seed)
    asks = _asks(chance)
    sick = _sick(chance)
    delay = chance.choice((0.001, 0.05, 0.4))
    events = [*_faults(chance, sick), *_chain(chance, asks)]
    return Schedule(
        seed,
        asks,
        tuple(sorted(events, key=lambda event: event.at)),
        sick,
        loss=chance.choice((0.0, 0.0, 0.02, 0.08)),
        duplicates=chance.choice((0.0, 0.2)),
        delay=delay,
    )


def _asks(chance: Random) -> tuple[Ask, ...]:
    names = list(chance.choice(SCENES))
    if chance.random() < 0.2:
        names.append(chance.choice(HONEST))
    asks = [
        Ask(
            name,
            start=round(chance.choice((0.0, chance.random() * 0.2, chance.random() * 5)), 3),
            # The first stays to the end; another may vanish at any moment of its work.
            vanishes=round(chance.random() * 4, 3) if number and chance.random() < 0.3 else None,
            again=chance.random() < 0.5,
        )
        for number, name in enumerate(names)
    ]
    if chance.random() < 0.3:
        asks.append(Ask(chance.choice(HOSTILE), start=round(chance.random() * 3, 3)))
    return tuple(asks)


def _sick(chance: Random) -> dict[int, str]:
    count = chance.choice((0, 0, 1, 2, 3, 4))
    kinds = (DEAD, DEAD, SLOW, CORRUPT, TWO_FACED, BOASTING, HIDING)
    return {operator: chance.choice(kinds) for operator in chance.sample(range(N), count)}


def _faults(chance: Random, sick: dict[int, str]) -> list[Event]:
    well = [operator for operator in range(N) if operator not in sick]
    events = []
    if chance.random() < 0.6:
        most = MOST_LOST - len(sick)
        losing = chance.sample(well, min(most, chance.choice((1, 1, 2, 3, MOST_LOST))))
        for operator in losing:
            for _ in range(chance.choice((1, 1, 1, 2))):
                kind = chance.choice((RESTART, RESTART, CLONE))
                at, down = chance.random() * STORM, chance.choice((0.0, 0.1, 2.0))
                events.append(Event(round(at, 3), kind, operator, seconds=down))
    for _ in range(chance.choice((0, 0, 1, 2))):
        cut = tuple(sorted(chance.sample(range(N), chance.randint(1, 8))))
        at, lasts = chance.random() * STORM, chance.random() * 5
        events.append(Event(round(at, 3), PARTITION, operators=cut, seconds=round(lasts, 3)))
    return events


def _chain(chance: Random, asks: tuple[Ask, ...]) -> list[Event]:
    events = [
        Event(round(chance.random() * STORM, 3), BLOCK) for _ in range(chance.choice((0, 1, 2, 4)))
    ]
    honest = [ask.entry for ask in asks if ask.entry in HONEST and ask.entry[0] not in "DE"]
    if honest and chance.random() < 0.4:
        for _ in range(chance.choice((1, 1, 2))):
            entry, at = chance.choice(honest), round(chance.random() * STORM, 3)
            events.append(Event(at, CONFLICT, entry=entry, which=chance.randrange(2)))
    if events and chance.random() < 0.4:
        after = min(event.at for event in events)
        for _ in range(chance.choice((1, 1, 2))):
            at = round(after + chance.random() * (STORM - after), 3)
            depth = chance.choice((1, 1, 2, 6))
            events.append(Event(at, REORG, depth=depth, empty=chance.random() < 0.5))
    return events
