"""Hosts that carry links between the enclaves of a schedule, and all that goes wrong on the way.

As `grail_host.carrier`: of each pair one end dials, a tick begins some exchanges, and after any
loss a link is dialled anew. Frames go in and come out as bytes; time is the schedule's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import anyio

from grail.crypto.schnorr import KeyPair
from grail.errors import GrailError, Unavailable
from grail.operators import frames
from grail.operators.frames import Frame, Reply
from grail.operators.link_frames import Sealed, Tick, carry_frame, read_messages
from grail.roster.signed import Ground
from grail.roster.statement import Statement
from grail_enclave.enclave import Enclave
from grail_enclave.society import Society
from simulation.crew import crew
from simulation.elders import Elders, Sight
from simulation.quiet import links, papers_of
from simulation.schedule import CORRUPT, DEAD, DRAGGING, EQUIVOCATING, RACING, SLOW, Schedule
from simulation.town import FRESH, configuration, settled, wished
from simulation.unsafe import Unsafe

if TYPE_CHECKING:
    from simulation.monitor import Monitor
    from simulation.station import Instance, Station

PERIOD = 3.0
"""Seconds between two ticks of a host."""
TALKS = 1
"""Exchanges that a tick begins: both ends learn by each."""
CARRY = 3.0
"""Seconds for one exchange or handshake."""
HOP = 0.25
"""A message of a link is this part of a question's time under way, and is lost as seldom."""
PACE = {RACING: 5.0, DRAGGING: 0.2}
"""Seconds that a clock shows for each true one, where it is not one."""
OFF = frozenset({DEAD, SLOW, CORRUPT, EQUIVOCATING, RACING, DRAGGING})
"""Sick operators that the others need not be in step with."""


def now() -> float:
    """Seconds of the schedule."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Line:
    """A link: which instances it joins, and its number in each."""

    own: Instance
    here: int
    peer: Instance
    there: int


@dataclass
class Life:
    """The roster's part of one schedule: `wanted` is the number of the newest state wished for."""

    schedule: Schedule
    monitor: Monitor
    elders: Elders = field(init=False)
    wanted: int = 0
    broken: Unsafe | None = None

    def __post_init__(self) -> None:
        accepted = papers_of(configuration()).attested.pcrs
        self.elders = Elders(frozenset(crew().public), accepted)

    # Instances.

    def is_off(self, station: Station) -> bool:
        """Whether an operator's clock shows by now that it is none."""
        shown = society_of(station.newest)._pulse.clock() - 1_000.0 * station.operator
        return self.rate(station.operator) != 1.0 and abs(shown - now()) > FRESH

    def rate(self, operator: int) -> float:
        """Seconds that an operator's clock shows for each true one."""
        return PACE.get(self.schedule.sick.get(operator, ""), 1.0)

    def fitted(self, instance: Instance) -> Enclave:
        """An enclave with papers and a clock of its own, which was never right to begin with."""
        rate, began = self.rate(instance.operator), 1_000.0 * instance.operator
        started = _started()
        return Enclave(
            configuration(),
            crew().keys[instance.operator],
            trace=instance.trace,
            handed_over=instance.handed_over,
            module=papers_of(configuration()),
            clock=lambda: began + rate * (_started() - started),
        )

    def begin(self, instance: Instance) -> None:
        """The enclave knows the chain: what else does it, and what can it know of the others?"""
        society = society_of(instance)
        society._draw = Random(f"{self.schedule.seed}/{instance.name}")  # type: ignore[assignment]
        instance.sight = Sight(instance.name)
        if not instance.handed_over:
            settled(society, instance.operator, 1_000.0 * instance.operator)
            instance.sight.told(dict.fromkeys(crew().public, _started()))

    # Frames of links.

    def ask(self, instance: Instance, frame: Frame) -> Any:
        """What an instance says to a frame of links. Raises `Refused`."""
        reply: Reply = instance.enclave.reply(frame.raw)
        self.monitor.counts[frame.kind] += 1
        if reply.refusal is not None:
            rule = reply.refusal.rule
            self.monitor.counts[f"link refused {rule}"] += 1
            if rule == "InternalError":
                said = reply.refusal.message
                raise Unsafe(f"I12: {instance.name}: a fault in {frame.kind}: {said}")
        self.look(instance)
        return reply.unwrap()

    def look(self, instance: Instance) -> None:
        """The judge looks at what an instance holds."""
        if self.broken is not None:
            raise self.broken
        society = society_of(instance)
        view, who = society._view, instance.name
        if view is None:
            return
        self.elders.holds(instance.sight, view.open - 1, view.digest_of(view.open - 1))
        self.elders.blames(who, view.guilty)
        lines = society._board._lines
        self.elders.linked(
            who,
            {
                key: lines[number].link.peer.attested.pcrs
                for (key, _), number in society._board._open.items()
            },
        )

    def look_at_ages(self, instance: Instance) -> None:
        """As an enclave sees the others, in true seconds."""
        rate, pulse = self.rate(instance.operator), society_of(instance)._pulse
        ages = {key: pulse.age(key) for key in pulse.members if key != pulse.own}
        true = {key: age / rate for key, age in ages.items() if age is not None}
        self.elders.seen(instance.sight, true, now())

    def voted(self, instance: Instance) -> None:
        """An instance gave a vote at the fast ballot."""
        instance.sight.lives(crew().public[instance.operator], now())
        window = FRESH / self.rate(instance.operator)
        self.elders.votes(instance.sight, window, crew().quorum, now())
        self.monitor.counts["votes with a fresh view"] += 1

    # What befalls a schedule.

    def stranger(self, station: Station, which: int) -> None:
        """Somebody without a seat dials: of the right build, or of changed code."""
        pair, changed = KeyPair(bytes([9, which + 1]) * 16), bool(which % 2)
        paper = papers_of(configuration(), changed=changed)
        one = Enclave(configuration(), pair, module=paper, clock=now)
        instance = station.newest
        if not instance.up:
            return
        with suppress(GrailError):
            first = Sealed.from_fields(one.reply(Frame(frames.LINK_DIAL).raw).unwrap())
            said = Sealed.from_fields(
                self.ask(instance, Frame(frames.LINK_ANSWER, first.messages[0]))
            )
            back = list(said.messages)
            while back:
                forth = [
                    each
                    for raw in back
                    for each in one.reply(carry_frame(first.number, raw).raw).unwrap()
                ]
                back = [
                    each
                    for raw in forth
                    for each in self.ask(instance, carry_frame(said.number, raw))
                ]
        self.look(instance)

    def calm(self, stations: Sequence[Station], rounds: float) -> bool:
        """Whether those that are well hold one view, with all that was wished for in it."""
        well = [s for s in stations if s.sick not in OFF and s.newest.up]
        views = {s.newest.name: _view(s.newest) for s in well}
        if not self.elders.equal({who: view.digest() for who, view in views.items()}, rounds):
            return False
        view = next(iter(views.values()))
        self.monitor.counts["builds accepted"] = len(view.agreed.images) - 1
        unheard = {
            crew().public[liar.operator]
            for liar in stations
            if liar.sick == EQUIVOCATING and not _both_heard(liar, well)
        }
        return self.elders.complete(view.open - 1, self.wanted, view.guilty | unheard, rounds)


def _both_heard(liar: Station, well: Sequence[Station]) -> bool:
    """Whether each of a liar's instances links with somebody who is well, in either direction."""
    reached = {
        (liar.operator + reach * way) % crew().size for reach in crew().reach for way in (1, -1)
    }
    met = [liar.facing(each.operator) for each in well if each.operator in reached]
    return all(any(one is each for each in met) for one in (liar.newest, liar.other))


def society_of(instance: Instance) -> Society:
    """The part of an enclave that deals with the others."""
    found = instance.enclave._society
    assert found is not None
    return found


def _view(instance: Instance) -> Any:
    view = society_of(instance)._view
    assert view is not None
    return view


def _started() -> float:
    """The schedule's seconds; 0 while it is being set."""
    try:
        return now()
    except RuntimeError:
        return 0.0


@contextmanager
def lived(life: Life | None) -> Iterator[None]:
    """Within it the links are those of a schedule, and the judge hears every word that is given."""
    if life is None:
        yield
        return
    signed, schedule = Statement.signed, life.schedule

    def heard(word: Statement, keys: KeyPair, ground: Ground) -> Statement:
        at = (getattr(word, "round", 0), getattr(word, "step", 0))
        life.elders.spoke((word.key, word.number, *at), word.state)
        return signed(word, keys, ground)

    with (
        links(str(schedule.seed), sealed=schedule.sealed),
        patch.object(Statement, "signed", heard),
    ):
        yield


class Carrier:
    """A host's part for one instance after the other: the newest, or a liar's `other` one."""

    def __init__(
        self, life: Life, stations: Sequence[Station], operator: int, *, other: bool
    ) -> None:
        self._life = life
        self._stations = stations
        self._own = stations[operator]
        self._other = other
        self._lines: dict[int, Line] = {}
        self._chance = Random(f"{life.schedule.seed}/carrier {operator} {other}")

    async def run(self) -> None:
        """Dial and tick until cancelled."""
        await anyio.sleep(PERIOD * self._chance.random())
        while True:
            instance = self._own.other if self._other else self._own.newest
            if instance is not None and instance.up and self._own.sick != DEAD:
                await self._look(instance)
            await anyio.sleep(PERIOD)

    async def _look(self, instance: Instance) -> None:
        self._wish(instance)
        async with anyio.create_task_group() as group:
            for peer in self._undialled(instance):
                group.start_soon(self._dial, instance, peer)
        instance.sight.lives(crew().public[instance.operator], now())
        made = Tick.from_fields(self._life.ask(instance, Frame(frames.TICK, TALKS)))
        self._life.look_at_ages(instance)
        known = dict(instance.sight.lived)
        peers = {line.here: peer for peer, line in self._lines.items()}
        self._lines = {p: line for p, line in self._lines.items() if line.here in made.dialled}
        async with anyio.create_task_group() as group:
            for out in made.out:
                peer = peers.get(out.number)
                if peer is not None and peer in self._lines:
                    group.start_soon(self._bring, peer, out.messages, known)

    def _wish(self, instance: Instance) -> None:
        """Tell the enclave which state its operator wants next."""
        view = _view(instance)
        if view.agreed is None or not view.open <= self._life.wanted:
            return
        if view.open in instance.wished:
            return
        instance.wished.add(view.open)
        with suppress(GrailError):
            self._life.ask(instance, wished(view.agreed, rival=self._other))

    def _undialled(self, instance: Instance) -> list[int]:
        for peer, line in list(self._lines.items()):
            if line.own is not instance:
                del self._lines[peer]
        peers = [(self._own.operator - reach) % crew().size for reach in crew().reach]
        return [
            peer for peer in peers if peer not in self._lines and self._own.facing(peer) is instance
        ]

    async def _dial(self, instance: Instance, peer: int) -> None:
        other = self._stations[peer].facing(self._own.operator)
        if other is None or not other.up:
            return
        life = self._life
        with suppress(GrailError, TimeoutError), anyio.fail_after(CARRY):
            begun = Sealed.from_fields(life.ask(instance, Frame(frames.LINK_DIAL)))
            known = dict(instance.sight.lived)
            await self._hop(peer)
            frame = Frame(frames.LINK_ANSWER, begun.messages[0])
            answered = Sealed.from_fields(self._given(self._stations[peer], other, frame, known))
            known = dict(other.sight.lived)
            await self._hop(peer)
            line = Line(instance, begun.number, other, answered.number)
            await self._pump(peer, line, answered.messages, known)
            self._lines[peer] = line

    async def _bring(self, peer: int, messages: Sequence[bytes], known: dict[Any, float]) -> None:
        line = self._lines[peer]
        try:
            with anyio.fail_after(CARRY):
                back, known = await self._carried(peer, line, messages, known)
                await self._pump(peer, line, back, known)
        except (GrailError, TimeoutError):
            self._lines.pop(peer, None)  # from there on nothing fits

    async def _pump(
        self, peer: int, line: Line, back: Sequence[bytes], known: dict[Any, float]
    ) -> None:
        """Carry what came back to the own enclave, and what that says to the other, to the end."""
        while back:
            forth: list[bytes] = []
            for message in back:
                frame = carry_frame(line.here, self._spoilt(peer, message))
                forth += read_messages(self._given(self._own, line.own, frame, known))
            known = dict(line.own.sight.lived)
            back, known = await self._carried(peer, line, forth, known)

    async def _carried(
        self, peer: int, line: Line, messages: Sequence[bytes], known: dict[Any, float]
    ) -> tuple[list[bytes], dict[Any, float]]:
        if not messages:
            return [], known
        station = self._stations[peer]
        await self._hop(peer)
        if line.peer is not station.facing(self._own.operator) or not line.peer.up:
            raise Unavailable("that instance is gone")
        back: list[bytes] = []
        for message in messages:
            frame = carry_frame(line.there, self._spoilt(peer, message))
            back += read_messages(self._given(station, line.peer, frame, known))
            if self._chance.random() < HOP * self._life.schedule.duplicates / 10:
                self._given(station, line.peer, frame, known)  # it came twice
        after = dict(line.peer.sight.lived)
        if back:
            await self._hop(peer)
        return back, after

    def _given(
        self, station: Station, instance: Instance, frame: Frame, known: dict[Any, float]
    ) -> Any:
        """Hand a message to an enclave, unless its host keeps it: then later, to nobody's use."""
        if station.held_until > now():
            loop = asyncio.get_running_loop()
            loop.call_at(station.held_until, self._late, instance, frame, known)
            raise Unavailable("its host keeps it back")
        if frame.kind == frames.LINK_CARRY:
            instance.sight.told(known)
        return self._life.ask(instance, frame)

    def _late(self, instance: Instance, frame: Frame, known: dict[Any, float]) -> None:
        if instance.up:
            instance.sight.told(known)
            self._life.monitor.counts["kept back"] += 1
            try:
                with suppress(GrailError):
                    self._life.ask(instance, frame)
            except Unsafe as exc:
                self._life.broken = exc  # a timer has nobody to tell

    def _spoilt(self, peer: int, message: bytes) -> bytes:
        """What a corrupt host, at either end, makes of a message."""
        if CORRUPT not in {self._own.sick, self._stations[peer].sick}:
            return message
        at = self._chance.randrange(len(message))
        return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]

    async def _hop(self, peer: int) -> None:
        station, schedule, chance = self._stations[peer], self._life.schedule, self._chance
        lost = chance.random() < HOP * schedule.loss
        if lost or not self._own.meets(station, now()) or not station.meets(self._own, now()):
            raise Unavailable("it never arrives")
        slow = SLOW in {self._own.sick, station.sick}
        delay = HOP * schedule.delay * (40.0 if slow else 1.0)
        await anyio.sleep(chance.expovariate(1 / delay))
        if station.sick == DEAD:
            raise Unavailable("connection refused")
