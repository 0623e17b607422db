"""How two views become one: what each lacks goes over, in four messages and bounded ones.

    A -> B   have    [open, [mark..] of the last numbers, beats]
    B -> A   differ  [open, [[number, [id..]]..], [heartbeat..], beats]
    A -> B   give    [[thing..], [[number, [id..]]..] wanted, [heartbeat..]]
    B -> A   rest    [[thing..]]

`beats` is the age of each member's newest heartbeat that is known, by rank. What is asked and what
is told fits one message of a link; the next exchange brings what did not fit, so a question is
never much smaller than its answer may be (threat R10). Nothing that comes in is believed: a view
takes what verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grail.bitcoin.addresses import MAX_MEMBERS
from grail.codec import decode, encode
from grail.errors import DecodeError
from grail.operators.messages import Fields
from grail.roster.heartbeat import Heartbeat
from grail.roster.pulse import Pulse
from grail.roster.view import ID, Thing, View

MAX_GOSSIP: Final = 60_000
"""Bytes of what one message brings: room for any one state. A link carries some more."""
MAX_RAW: Final = 65_518
WINDOW: Final = 64
"""Numbers that are compared at once, the newest ones."""
MAX_IDS: Final = 3 * MAX_MEMBERS
MAX_THINGS: Final = 1_024

Ids = list[tuple[int, list[bytes]]]


@dataclass(frozen=True, slots=True)
class Have:
    """What one side has: the next number, marks of the numbers up to it, newest heartbeats."""

    open: int
    marks: tuple[bytes, ...]
    beats: bytes

    def serialize(self) -> bytes:
        """["have", open, [mark..], beats]."""
        return encode(["have", self.open, list(self.marks), self.beats])


@dataclass(frozen=True, slots=True)
class Differ:
    """Where the other side differs: ids of what is here, and heartbeats that it lacks."""

    open: int
    ids: Ids
    heartbeats: tuple[Heartbeat, ...]
    beats: bytes

    def serialize(self) -> bytes:
        """["differ", open, [[number, [id..]]..], [heartbeat..], beats]."""
        return encode(
            ["differ", self.open, _written(self.ids), _fields(self.heartbeats), self.beats]
        )


@dataclass(frozen=True, slots=True)
class Give:
    """What the other side lacks, and ids of what is wanted from it."""

    things: tuple[Thing, ...]
    wanted: Ids
    heartbeats: tuple[Heartbeat, ...]

    def serialize(self) -> bytes:
        """["give", [thing..], [[number, [id..]]..], [heartbeat..]]."""
        return encode(
            ["give", _fields(self.things), _written(self.wanted), _fields(self.heartbeats)]
        )


@dataclass(frozen=True, slots=True)
class Rest:
    """What was wanted."""

    things: tuple[Thing, ...]

    def serialize(self) -> bytes:
        """["rest", [thing..]]."""
        return encode(["rest", _fields(self.things)])


def parse(raw: bytes) -> Have | Differ | Give | Rest:
    """One of the four messages. Raises `DecodeError` or `InvalidInput`; nothing is verified."""
    parts = Fields(decode(raw, max_bytes=MAX_RAW, max_depth=6), "gossip")
    kind = parts.text("kind", 8)
    made: Have | Differ | Give | Rest
    match kind:
        case "have":
            number, items = parts.uint("open", 64), parts.items("marks", WINDOW + 1)
            marks = Fields(items, "gossip: marks")
            made = Have(number, tuple(marks.blob("mark", ID) for _ in items), _beats(parts))
        case "differ":
            number, ids = parts.uint("open", 64), _ids(parts)
            made = Differ(number, ids, _heartbeats(parts), _beats(parts))
        case "give":
            made = Give(_things(parts), _ids(parts), _heartbeats(parts))
        case "rest":
            made = Rest(_things(parts))
        case _:
            raise DecodeError(f"gossip: got kind {kind!r}")
    parts.end()
    return made


class Gossip:
    """One side of exchanges, over a view and its pulse. Answers `None` when nothing is left to say.

    Whatever `take` raises is the other side's fault: its link has no business staying open.
    """

    def __init__(self, view: View, pulse: Pulse) -> None:
        self._view = view
        self._pulse = pulse

    def begin(self) -> bytes:
        """The first message."""
        view, first = self._view, _first(self._view.open)
        marks = tuple(view.mark(number) for number in range(first, view.open + 1))
        return Have(view.open, marks, self._pulse.ages()).serialize()

    def take(self, raw: bytes) -> bytes | None:
        """The answer to a message of the other side.

        Raises `DecodeError`, `InvalidInput`, `SignatureInvalid` or `Refused`.
        """
        match parse(raw):
            case Have() as have:
                return self._differ(have)
            case Differ() as differ:
                return self._give(differ)
            case Give() as give:
                self._learn(give.things, give.heartbeats)
                left = self._found(give.wanted)
                return Rest(tuple(left)).serialize() if left else None
            case Rest() as rest:
                self._learn(rest.things, ())
                return None

    def _differ(self, theirs: Have) -> bytes:
        view = self._view
        first = theirs.open + 1 - len(theirs.marks)
        if first < 0:
            raise DecodeError("gossip: more marks than numbers")
        # From the first number that differs to as far as the other side can follow at once.
        last = min(view.open, theirs.open + WINDOW)
        differing: Ids = []
        for number in range(max(first, 0), last + 1):
            place = number - first
            if place < len(theirs.marks) and theirs.marks[place] == view.mark(number):
                continue
            differing.append((number, [thing.id for thing in view.things(number)]))
        return Differ(
            view.open,
            _short(differing, MAX_GOSSIP),
            self._pulse.newer(theirs.beats, MAX_GOSSIP // 4),
            self._pulse.ages(),
        ).serialize()

    def _give(self, theirs: Differ) -> bytes | None:
        self._learn((), theirs.heartbeats)
        here = {number for number, _ in theirs.ids}
        lacking = [thing for number, ids in theirs.ids for thing in self._without(number, ids)]
        if theirs.open < self._view.open:  # what they do not name they do not have
            later = range(theirs.open, self._view.open + 1)
            lacking += [
                each for number in later if number not in here for each in self._view.things(number)
            ]
        given, left = _fitting(lacking, MAX_GOSSIP)
        unknown = [(number, self._unknown(number, ids)) for number, ids in theirs.ids]
        wanted = _short([(number, ids) for number, ids in unknown if ids], left)
        beats = self._pulse.newer(theirs.beats, left // 2)
        if not given and not wanted and not beats:
            return None
        return Give(tuple(given), wanted, beats).serialize()

    def _without(self, number: int, ids: Sequence[bytes]) -> list[Thing]:
        seen = set(ids)
        return [thing for thing in self._view.things(number) if thing.id not in seen]

    def _unknown(self, number: int, ids: Sequence[bytes]) -> list[bytes]:
        held = {thing.id for thing in self._view.things(number)}
        return [each for each in ids if each not in held]

    def _found(self, wanted: Ids) -> list[Thing]:
        named = [
            thing
            for number, ids in wanted
            for thing in self._view.things(number)
            if thing.id in set(ids)
        ]
        return _fitting(named, MAX_GOSSIP)[0]

    def _learn(self, things: Sequence[Thing], heartbeats: Sequence[Heartbeat]) -> None:
        for thing in things:
            self._view.take(thing)
        for heartbeat in heartbeats:
            self._pulse.take(heartbeat)


def _first(number: int) -> int:
    return max(0, number - WINDOW + 1)


def _size(thing: Thing) -> int:
    return len(encode(thing.fields())) + 4


def _fitting(things: Sequence[Thing], most: int) -> tuple[list[Thing], int]:
    """As many as go into so many bytes, in order, and the bytes that are left."""
    kept: list[Thing] = []
    for thing in things:
        if most < _size(thing):
            break
        most -= _size(thing)
        kept.append(thing)
    return kept, most


def _short(ids: Ids, most: int) -> Ids:
    """As many as go into half of so many bytes; the rest comes with the next exchange."""
    budget = most // 2 // ID
    kept: Ids = []
    for number, names in ids:
        if budget > 0:
            kept.append((number, names[:budget]))
        budget -= len(names) + 1
    return kept


def _written(ids: Ids) -> list[Any]:
    return [[number, b"".join(names)] for number, names in ids]


def _fields(items: Sequence[Thing] | Sequence[Heartbeat]) -> list[Any]:
    return [item.fields() for item in items]


def _ids(parts: Fields) -> Ids:
    found: Ids = []
    for item in parts.items("ids", WINDOW * 2):
        pair = Fields(item, "gossip: ids", 2)
        number, names = pair.uint("number", 64), pair.blob("ids", most=MAX_IDS * ID)
        if len(names) % ID:
            raise DecodeError(f"gossip: ids of {ID} bytes each")
        found.append((number, [names[at : at + ID] for at in range(0, len(names), ID)]))
    return found


def _things(parts: Fields) -> tuple[Thing, ...]:
    return tuple(Thing.from_fields(item) for item in parts.items("things", MAX_THINGS))


def _heartbeats(parts: Fields) -> tuple[Heartbeat, ...]:
    return tuple(Heartbeat.from_fields(item) for item in parts.items("heartbeats", MAX_MEMBERS))


def _beats(parts: Fields) -> bytes:
    return parts.blob("beats", most=MAX_MEMBERS * 8)
