"""Plays one schedule to its end: the storm, then calm, then fresh requests for what was contested.

Virtual time makes hours of it take a fraction of a second. Whatever breaks an invariant comes out
as `Unsafe`; whoever waits for ever is a broken I11.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

import anyio
from simulator import simulated

from grail.errors import GrailError, QuorumNotReached, Refused
from grail.operators.asking import Operators
from grail.operators.certificates import check_decision
from grail.operators.client import gather_signatures
from grail.operators.frames import Frame, Reply, read_sign
from grail.operators.messages import Family, Scope, Standing
from grail.operators.recovery import recover
from grail.types import Txid
from simulation import schedule as kinds
from simulation.book import LETTERS, book
from simulation.carrier import PERIOD, Carrier, Life, lived
from simulation.client import DEAD, LIMITS, REFUSED, SIGNED, TAKEN, VANISHED, Client
from simulation.crew import crew, playing
from simulation.ground import Ground
from simulation.market import market
from simulation.monitor import Monitor
from simulation.network import Network
from simulation.remembered import remembered
from simulation.schedule import STORM, Event, Schedule
from simulation.station import Instance, Station, job_of
from simulation.town import configuration
from simulation.unsafe import Unsafe

BACK_OFF = 30.0
"""Virtual seconds after which a host asks again for an instance that was replaced."""

LIMIT = 7_200.0
"""Virtual seconds within which everybody must have an answer.

With four sick, twelve of twelve have to be reached in one round, through losses and after waits
that grow: the longest seen (seed 103452873029606) took 3,850.
"""
HOST = replace(LIMITS, tries=2)
"""How a host asks for grants: it asks again anyhow."""
CALM = 30.0
"""Virtual seconds after the storm before fresh requests come: recoveries end in it."""


@dataclass
class Outcome:
    """How a schedule ended: virtual seconds, users, and what was counted."""

    seconds: float
    clients: tuple[Client, ...]
    counts: Counter[str]


@dataclass
class Play:
    """One schedule on its stage."""

    schedule: Schedule
    ground: Ground = field(default_factory=Ground)
    monitor: Monitor = field(init=False)
    stations: list[Station] = field(init=False)
    clients: list[Client] = field(default_factory=list)
    recovering: set[int] = field(default_factory=set)
    life: Life | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        seed, sick = self.schedule.seed, self.schedule.sick
        self.monitor = Monitor(self.ground)
        if self.schedule.roster:
            self.life = Life(self.schedule, self.monitor)
            self.monitor.counts["rosters"] += 1
            self.monitor.counts[kinds.EQUIVOCATING] += list(sick.values()).count(kinds.EQUIVOCATING)
        self.stations = [
            Station(
                n,
                self.ground,
                self.monitor,
                Random(f"{seed}/station {n}"),
                sick.get(n, ""),
                self.life,
            )
            for n in range(crew().size)
        ]
        chosen = market().world.configuration if self.life is None else configuration()
        self.scope = Scope(
            market().world.network.id,
            market().world.deploy.outpoint(0),
            chosen.digest,
            crew().public,
            crew().quorum,
        )

    async def run(self) -> float:
        """The whole schedule; virtual seconds come back."""
        async with anyio.create_task_group() as hosts:
            hosts.start_soon(self._hosts)
            for carrier in self._carriers():
                hosts.start_soon(carrier.run)
            await self._acts()
            hosts.cancel_scope.cancel()
        return asyncio.get_running_loop().time()

    async def _acts(self) -> None:
        first = [self._client(n, ask) for n, ask in enumerate(self.schedule.asks)]
        await self._all([*(c.run for c in first), self._weather, self._in_step], "storm")
        self._stop_clones()
        await self._all([partial(self._left, txid) for txid in self._unfinished()], "calm")
        fresh = [self._client(100 + n, kinds.Ask(name)) for n, name in enumerate(self._fresh())]
        await self._all([c.run for c in fresh], "calm")
        for client in fresh:
            self._not_locked(client)
        for client in self.clients:
            self._judge(client)
        self._mine(Event(0, kinds.BLOCK))
        if self.life is not None:
            self.monitor.counts["clocks off"] += sum(map(self.life.is_off, self.stations))

    def _carriers(self) -> Iterator[Carrier]:
        """Who carries the links, for each instance that has some."""
        for station in self.stations if self.life is not None else ():
            assert self.life is not None
            yield Carrier(self.life, self.stations, station.operator, other=False)
            if station.other is not None:
                yield Carrier(self.life, self.stations, station.operator, other=True)

    async def _in_step(self) -> None:
        """All views are equal a while after the last fault, and hold all that was wished for."""
        clock, healed = asyncio.get_running_loop().time, self.schedule.healed
        if self.life is not None:
            await anyio.sleep(max(0.0, healed - clock()))
        while self.life is not None:
            rounds = (clock() - healed) / PERIOD
            if self.life.calm(self.stations, rounds):
                self.monitor.counts[f"in step after {rounds:.0f} rounds"] += 1
                break
            await anyio.sleep(PERIOD)

    async def _hosts(self) -> None:
        """Each host looks from time to time whether its newest instance may vote, and helps it.

        One that recovered may be replaced by what a killed one asked: its Hello was still on its way.
        They finish what their enclaves signed, too: where a raise was signed by a few and left,
        nobody can finish what it raised.
        """
        looked_after: set[Txid] = set()
        async with anyio.create_task_group() as group:
            while True:
                await anyio.sleep(BACK_OFF)
                for station in self.stations:
                    newest = station.newest
                    idle = newest.up and station.operator not in self.recovering
                    if idle and station.sick != kinds.DEAD and newest.replaced:
                        group.start_soon(self._recover, station, newest)
                for txid in set(self._unfinished()) - looked_after:
                    looked_after.add(txid)
                    group.start_soon(self._left, txid)

    def _stop_clones(self) -> None:
        """After the storm a quorum of hosts is well: each of those hands frames to one instance.

        A host that asks either of two by chance counts with the sick as long as it does.
        """
        cloned = [s for s in self.stations if not s.sick and sum(i.up for i in s.instances) > 1]
        for station in cloned[crew().most_sick - len(self.schedule.sick) :]:
            for instance in station.instances[:-1]:
                instance.up = False

    def _client(self, number: int, ask: kinds.Ask) -> Client:
        schedule, name = self.schedule, f"user {number}"
        client = Client(
            book()[ask.entry],
            self.scope,
            Network(self.stations, schedule, name),
            self.ground,
            self.monitor,
            Random(f"{schedule.seed}/{name}"),
            ask.start,
            ask.vanishes,
            ask.again,
        )
        self.clients.append(client)
        return client

    async def _all(self, runs: list[Callable[[], Awaitable[None]]], when: str) -> None:
        """Run these together, within the limit."""
        try:
            with anyio.fail_after(LIMIT):
                async with anyio.create_task_group() as group:
                    for run in runs:
                        group.start_soon(run)
        except TimeoutError as exc:
            waiting = [c.entry.name for c in self.clients if c.outcome == "running"]
            waiting += [f"operator {n}" for n in sorted(self.recovering)]
            raise Unsafe(f"I11: {', '.join(waiting)} still wait in the {when}") from exc

    def _unfinished(self) -> list[Txid]:
        """What somebody signed and nobody has finished; of a family the one that pays most."""
        best: dict[Family, Txid] = {}
        for txid in self.monitor.sign_frames:
            entry, other = self.monitor.entries[txid], best.get(self.monitor.entries[txid].family)
            if other is None or entry.built.fee > self.monitor.entries[other].built.fee:
                best[entry.family] = txid
        entries = self.monitor.entries
        taken = {i.outpoint for txid in self.monitor.finished for i in entries[txid].tx.inputs}
        return [
            txid
            for txid in best.values()
            # Of two that a reorganisation left signed, one complete is the other's end.
            if taken.isdisjoint(i.outpoint for i in entries[txid].tx.inputs)
        ]

    async def _left(self, txid: Txid) -> None:
        """Finish what was decided and left, as the hosts of those that signed it do (S17)."""
        votes, body = read_sign(self.monitor.sign_frames[txid].body)
        job = job_of(body)
        decision = check_decision(self.scope, votes, job.proposal)
        network, chance = Network(self.stations, self.schedule, f"finisher {txid}"), Random(0)
        while not self.monitor.dead(job.proposal, self.ground.chain.blocks[-1].header.hash):
            operators = Operators(self.scope, network, LIMITS, chance=chance)
            try:
                tx = job.finalised(await gather_signatures(operators, job, decision))
            except QuorumNotReached as exc:
                if exc.rule in {"InputSpent", "OutpointTaken"}:
                    return
                await operators.pause(4)
            else:
                self.monitor.complete(tx)
                self.ground.publish(tx)
                return

    # What goes wrong, and the chain.

    async def _weather(self) -> None:
        acts: dict[str, Callable[[Event], None]] = {
            kinds.PARTITION: self._partition,
            kinds.BLOCK: self._mine,
            kinds.CONFLICT: self._conflict,
            kinds.REORG: self._reorg,
            kinds.SAY: self._say,
            kinds.ECLIPSE: self._eclipse,
            kinds.HOLD: self._hold,
            kinds.STRANGER: self._stranger,
        }
        async with anyio.create_task_group() as group:
            for event in self.schedule.events:
                now = asyncio.get_running_loop().time()
                await anyio.sleep(max(0.0, event.at - now))
                self.monitor.counts[event.kind] += 1
                if event.kind in acts:
                    acts[event.kind](event)
                else:
                    group.start_soon(self._begin, event)
            now = asyncio.get_running_loop().time()
            await anyio.sleep(max(0.0, STORM + CALM - now))

    async def _begin(self, event: Event) -> None:
        """A new instance of an operator; the old one stops, or goes on beside it as a clone."""
        station = self.stations[event.operator]
        if event.kind == kinds.RESTART:
            for instance in station.instances:
                instance.up = False
        await anyio.sleep(event.seconds)
        await self._recover(station, station.start())

    async def _recover(self, station: Station, instance: Instance) -> None:
        """What a host does until its new instance may vote, or is replaced itself."""

        async def own(frame: Frame) -> Reply:
            return Reply.parse(station.ask(instance, frame))

        async def restored(told: Standing) -> None:
            station.restored(instance, told.body)

        name = f"host {station.operator}/{instance.number}"
        network, chance = Network(self.stations, self.schedule, name), Random(name)
        self.recovering.add(station.operator)
        while instance is station.newest and instance.up:
            operators = Operators(self.scope, network, HOST, chance=chance)
            try:
                await recover(own, operators, station.operator, restored)
            except GrailError as exc:
                rule = exc.rule if isinstance(exc, Refused | QuorumNotReached) else "Unavailable"
                self.monitor.counts[f"recovery: {rule}"] += 1
                if rule == "NotReplaced":
                    break  # it may vote already
                await anyio.sleep(2 + 2 * chance.random())
            else:
                self.monitor.counts["recovered"] += 1
                break
        self.recovering.discard(station.operator)

    def _partition(self, event: Event) -> None:
        until = asyncio.get_running_loop().time() + event.seconds
        for operator in event.operators:
            station = self.stations[operator]
            station.cut_until = max(station.cut_until, until)
            station.cut_with = frozenset(event.operators)

    def _say(self, _event: Event) -> None:
        assert self.life is not None
        self.life.wanted += 1

    def _eclipse(self, event: Event) -> None:
        station = self.stations[event.operator]
        station.chosen = frozenset(event.operators)
        station.eclipsed_until = asyncio.get_running_loop().time() + event.seconds

    def _hold(self, event: Event) -> None:
        until = asyncio.get_running_loop().time() + event.seconds
        self.stations[event.operator].held_until = until

    def _stranger(self, event: Event) -> None:
        assert self.life is not None
        self.life.stranger(self.stations[event.operator], event.which)

    def _mine(self, _event: Event) -> None:
        self.ground.mine()
        self._block()

    def _conflict(self, event: Event) -> None:
        entry = book()[event.entry]
        conflict = entry.conflict(event.which)
        if all(txin.outpoint in self.ground.unspent for txin in conflict.inputs):
            self.monitor.counts["dead spends"] += 1
        self.ground.mine(conflict)
        self._block()

    def _reorg(self, event: Event) -> None:
        self.ground.reorganise(event.depth, empty=event.empty)
        self._block()

    def _block(self) -> None:
        """A new tip: everybody's host looks at it, unless it is cut off."""
        self.monitor.block()
        now = asyncio.get_running_loop().time()
        for station in self.stations:
            if station.cut_until > now:
                continue
            for instance in station.instances:
                if instance.up and station.sick != kinds.DEAD:
                    station.look(instance)

    # After the storm.

    def _fresh(self) -> Iterator[str]:
        """For each contested outpoint an entry that nobody asked for."""
        asked = {name for client in self.clients for name in client.asked}
        hurt = {event.entry for event in self.schedule.events}
        used: set[str] = set()
        for letter in self.schedule.letters:
            free = [
                name
                for name, letters in LETTERS.items()
                if letter in letters and name not in asked | hurt | used and "+" not in name
            ]
            if free:
                used.add(free[0])
                yield min(free, key=lambda name: (len(LETTERS[name]), name))

    def _not_locked(self, client: Client) -> None:
        """A fresh request was served, or what took its outpoint is alive and complete."""
        if client.outcome != TAKEN:
            return
        winner = Txid.from_hex(client.winner)
        tip = self.ground.chain.blocks[-1].header.hash
        proposal = self.monitor.decided.get(self.monitor.entries[winner].family)
        if proposal is None or self.monitor.dead(proposal, tip):
            raise Unsafe(f"I11: {client.entry.name}: locked out by what can never confirm")
        complete = {self.monitor.entries[txid].family for txid in self.monitor.finished}
        if proposal.family not in complete:
            raise Unsafe(f"I11: {client.entry.name}: locked out by what nobody can finish")

    def _judge(self, client: Client) -> None:
        """Every answer is true."""
        name = client.entry.name
        if not client.entry.honest:
            if client.outcome not in {REFUSED, VANISHED}:
                raise Unsafe(f"I5: hostile {name} ended {client.outcome}")
            return
        finished = {self.monitor.entries[txid].name for txid in self.monitor.finished}
        if client.outcome == SIGNED and client.asked[-1] not in finished:
            raise Unsafe(f"I11: {name}: signed, and not finished")
        if client.outcome == DEAD:
            job = client.asked[-1]
            if not self._ever_dead(job):
                raise Unsafe(f"I11: {name}: called dead, and no block ever held a conflict")
        if client.outcome == TAKEN and not client.winner:
            raise Unsafe(f"I11: {name}: taken by nobody")

    def _ever_dead(self, name: str) -> bool:
        """Whether some tip held a conflict with the entry, or the entry itself."""
        entry = book()[name]
        while entry is not None:
            spends = {txin.outpoint for txin in entry.tx.inputs}
            if any(spends & {i.outpoint for i in tx.inputs} for tx in self.ground.ever.values()):
                return True
            entry = entry.parent  # type: ignore[assignment]
        return False


@contextmanager
def _plainly() -> Iterator[None]:
    """What a task group wraps comes out as the first thing that went wrong."""
    try:
        yield
    except BaseExceptionGroup as exc:
        raise _first(exc) from exc


def _first(exc: BaseException) -> BaseException:
    found: list[BaseException] = []
    queue = [exc]
    while queue:
        each = queue.pop(0)
        if isinstance(each, BaseExceptionGroup):
            queue += each.exceptions
        else:
            found.append(each)
    return next((each for each in found if isinstance(each, AssertionError)), found[0])


def play(schedule: Schedule) -> Outcome:
    """Play a schedule. Raises `Unsafe` when an invariant breaks."""
    with playing(schedule.operators), remembered(), _plainly():
        stage = Play(schedule)
        with lived(stage.life):
            seconds = simulated(stage.run)
    return Outcome(seconds, tuple(stage.clients), stage.monitor.counts)
