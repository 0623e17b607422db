"""A schedule: who asks for what and when, what goes wrong, what the chain does. Plain data.

It is drawn from a seed first and played afterwards, so that a failing one can be made smaller,
saved, read by people and played again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from random import Random
from typing import Any, Self

from simulation.book import HONEST, HOSTILE, LETTERS
from simulation.crew import Crew, N

STORM = 12.0
"""Virtual seconds in which faults happen; after it only the sick operators stay sick."""

CREWS = (*9 * [4], *10 * [8], N)
"""Operators of a schedule with a living roster: what they cost grows with the square."""
SEALED = 0.04
"""The part of those that run on real links and documents."""
WINDOW = 29.0
"""Seconds after which nobody believes any more that one who was cut off is alive."""

RESTART, CLONE, PARTITION, BLOCK, CONFLICT, REORG = (
    "restart",
    "clone",
    "partition",
    "block",
    "conflict",
    "reorg",
)
SAY, ECLIPSE, HOLD, STRANGER = ("say", "eclipse", "hold", "stranger")
DEAD, SLOW, CORRUPT, TWO_FACED, BOASTING, HIDING = (
    "dead",
    "slow",
    "corrupt",
    "two-faced",
    "boasting",
    "hiding",
)
EQUIVOCATING, RACING, DRAGGING = ("equivocating", "racing", "dragging")
"""What an operator may be all the time. A corrupt one's replies have a bit flipped; a two-faced one
votes for everybody at once and takes part in no ballot; a boasting one names epochs and headers that
are not; a hiding one's host never shows its enclave what a block spends. An equivocating one runs
two enclaves, has them wish for two states of one number and shows each to half of the others; a
racing one's clock goes five times too fast, a dragging one's five times too slow."""

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
    ("S1", "S2", "S3", "S4"),
    ("A1", "A2", "A3", "AB", "CA"),
    ("A1", "A2", "A3", "AB", "CA", "BC"),
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
    `seconds`, and reach each other alone. conflict: the owner of coin `which` of `entry` spends it elsewhere, in a block.
    reorg: `depth` blocks are replaced by one more, `empty` or not. say: all operators want another
    state of the roster. eclipse: the enclave of `operator` meets none but `operators` for `seconds`.
    hold: its host brings it what comes on links `seconds` later. stranger: one without a seat dials
    it, in the way `which`.
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
    """All that a play needs. `seed` feeds the delays and losses of single messages.

    `roster`: the enclaves attest to each other and keep their roster in step, over real links where
    it is `sealed`.
    """

    seed: int
    asks: tuple[Ask, ...]
    events: tuple[Event, ...] = ()
    sick: dict[int, str] = field(default_factory=dict)
    loss: float = 0.0
    duplicates: float = 0.0
    delay: float = 0.001
    roster: bool = False
    sealed: bool = False
    operators: int = N

    @property
    def crew(self) -> Crew:
        """Who plays."""
        return Crew(self.operators)

    @property
    def healed(self) -> float:
        """When the last fault of the storm is over."""
        return max((event.at + event.seconds for event in self.events), default=0.0)

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


def drawn(seed: int, operators: int = N) -> Schedule:
    """The schedule of a seed for so many operators, of rounds alone."""
    chance, crew = Random(seed), Crew(operators)
    asks = _asks(chance)
    sick = _sick(chance, crew)
    delay = chance.choice((0.001, 0.05, 0.4))
    events = [*_faults(chance, crew, sick), *_chain(chance, asks)]
    return Schedule(
        seed,
        asks,
        tuple(sorted(events, key=lambda event: event.at)),
        sick,
        loss=chance.choice((0.0, 0.0, 0.02, 0.08)),
        duplicates=chance.choice((0.0, 0.2)),
        delay=delay,
        operators=operators,
    )


def living(seed: int) -> Schedule:
    """The schedule of a seed with a roster: hearts beat, states follow, peers lie."""
    chance = Random(f"{seed}/roster")
    return alive(drawn(seed, chance.choice(CREWS)), chance)


def alive(schedule: Schedule, chance: Random) -> Schedule:
    """The schedule with a life of its roster, and with what may befall that."""
    sick, events = _liars(chance, schedule), list(schedule.events)
    operators = range(schedule.operators)
    lost = {event.operator for event in events}
    well = [operator for operator in operators if operator not in sick]
    says = range(chance.choice((1, 1, 2)))
    events += [Event(round(chance.random() * STORM, 3), SAY) for _ in says]
    asks = schedule.asks
    if chance.random() < 0.6:
        victim = chance.choice([operator for operator in well if operator not in lost])
        some = chance.choice((0, 0, 0, max(1, schedule.operators * 3 // 16)))
        chosen = tuple(sorted(chance.sample(operators, some)))
        at, lasts = chance.random() * 2, WINDOW + 2 + chance.random() * 12
        events.append(
            Event(round(at, 3), ECLIPSE, victim, operators=chosen, seconds=round(lasts, 3))
        )
        # Somebody asks while it is blind, and a seventh of those that he needs are not there.
        late = replace(asks[0], start=round(at + WINDOW + chance.random(), 3), vanishes=None)
        asks = (late, *asks[1:])
    if chance.random() < 0.4:
        at, lasts = chance.random() * STORM, 1 + chance.random() * 15
        held = chance.choice(well)
        events.append(Event(round(at, 3), HOLD, held, seconds=round(lasts, 3)))
    if chance.random() < 0.4:
        at, dialled = chance.random() * STORM, chance.choice(well)
        events.append(Event(round(at, 3), STRANGER, dialled, which=chance.randrange(2)))
    return replace(
        schedule,
        asks=asks,
        events=tuple(sorted(events, key=lambda event: event.at)),
        sick=sick,
        roster=True,
        sealed=chance.random() < SEALED,
    )


def _liars(chance: Random, schedule: Schedule) -> dict[int, str]:
    """The sick, some of them in a way that the roster suffers from."""
    crew = schedule.crew
    wrong = (EQUIVOCATING, EQUIVOCATING, RACING, DRAGGING)
    sick = {
        operator: chance.choice(wrong) if chance.random() < 0.5 else kind
        for operator, kind in schedule.sick.items()
    }
    lost = {event.operator for event in schedule.events if event.operator >= 0}
    free = [each for each in range(schedule.operators) if each not in lost | set(sick)]
    few = len(sick) < crew.most_sick and len(sick) + len(lost) < crew.most_lost
    if few and chance.random() < 0.4:
        sick[chance.choice(free)] = EQUIVOCATING
    return sick


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


def _sick(chance: Random, crew: Crew) -> dict[int, str]:
    count = min(crew.most_sick, chance.choice((0, 0, 1, 2, 3, 4)))
    kinds = (DEAD, DEAD, SLOW, CORRUPT, TWO_FACED, BOASTING, HIDING)
    return {operator: chance.choice(kinds) for operator in chance.sample(range(crew.size), count)}


def _faults(chance: Random, crew: Crew, sick: dict[int, str]) -> list[Event]:
    well = [operator for operator in range(crew.size) if operator not in sick]
    events = []
    if chance.random() < 0.6:
        most = crew.most_lost - len(sick)
        losing = chance.sample(well, min(most, chance.choice((1, 1, 2, 3, crew.most_lost))))
        for operator in losing:
            for _ in range(chance.choice((1, 1, 1, 2))):
                kind = chance.choice((RESTART, RESTART, CLONE))
                at, down = chance.random() * STORM, chance.choice((0.0, 0.1, 2.0))
                events.append(Event(round(at, 3), kind, operator, seconds=down))
    for _ in range(chance.choice((0, 0, 1, 2))):
        cut = tuple(sorted(chance.sample(range(crew.size), chance.randint(1, crew.size // 2))))
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
