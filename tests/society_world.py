"""Attested enclaves whose hosts carry their links in memory, with a clock that a test moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from enclave_world import KEYS, World
from forged_documents import MEASUREMENT, PCRS
from link_world import AUTHORITY

from grail.attestation import pcr
from grail.attestation.chain import Root
from grail.bitcoin.addresses import Roster
from grail.crypto.schnorr import NUMS, KeyPair
from grail.errors import Refused
from grail.operators import frames
from grail.operators.attesting import Attesting, Image
from grail.operators.configuration import Configuration
from grail.operators.frames import Frame, Reply
from grail.operators.link_frames import Sealed, Tick, carry_frame, images_frame
from grail.operators.roster import FirstRoster, roster_fields
from grail.roster.shown import RosterShown
from grail.roster.state import NOTHING, RosterState, Seat
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import Clock, EmulatedModule
from grail_devnet.nsm.module import now as wall_clock
from grail_enclave.enclave import Enclave
from grail_enclave.nsm import Module

IMAGE = tuple(MEASUREMENT.pcrs[index] for index in range(3))
NEXT_PCRS = {**PCRS, 0: bytes([0xFE]) * 48, 2: bytes([0xFD]) * 48}
NEXT = tuple(NEXT_PCRS[index] for index in range(3))
"""Another build."""


def attesting(**changes: Any) -> Attesting:
    return replace(Attesting(Root.from_pem(AUTHORITY.root_pem).sha256, (IMAGE,)), **changes)


def module(
    configuration: Configuration,
    pcrs: dict[int, bytes] = PCRS,
    authority: Authority = AUTHORITY,
    clock: Clock = wall_clock,
) -> Module:
    """A module that holds what was measured, the configuration's text included."""
    text = configuration.to_json().encode()
    measured = {**pcrs, pcr.CONFIGURATION: pcr.measured(text)}
    made = EmulatedModule.draw(authority, measured, clock=clock)
    made.locked.add(pcr.CONFIGURATION)
    return Module(made.answer)


@dataclass
class Station:
    """An enclave and what its host remembers: the links that it carries."""

    key: KeyPair
    enclave: Enclave
    links: dict[int, tuple[int, int]] = field(default_factory=dict)

    def ask(self, frame: Frame) -> Any:
        return Reply.parse(self.enclave.answer(frame.serialize())).unwrap()


@dataclass
class Towns:
    """Some attested operators. All modules tell the time `begun`, and the seconds since."""

    configuration: Configuration
    stations: list[Station]
    now: float = 0.0
    sent: int = 0
    begun: datetime = field(default_factory=wall_clock)

    @classmethod
    def of(cls, operators: int = 4, quorum: int = 3, **changes: Any) -> Towns:
        configuration = replace(
            World.begun().configuration,
            operators=operators,
            quorum=quorum,
            attesting=attesting(**changes),
        )
        made = cls(configuration, [])
        for _ in range(operators):
            made.add()
        return made

    def date(self) -> datetime:
        """The present."""
        return self.begun + timedelta(seconds=self.now)

    def add(self, key: KeyPair | None = None, own: Module | None = None) -> Station:
        pair = key or KeyPair.generate()
        enclave = Enclave(
            self.configuration,
            pair,
            module=own or module(self.configuration, clock=self.date),
            clock=lambda: self.now,
        )
        self.stations.append(Station(pair, enclave))
        return self.stations[-1]

    def dial(self, one: int, two: int) -> None:
        """What host `one` does to link its enclave with that of host `two`."""
        here, there = self.stations[one], self.stations[two]
        begun = Sealed.from_fields(here.ask(Frame(frames.LINK_DIAL)))
        answered = Sealed.from_fields(there.ask(Frame(frames.LINK_ANSWER, begun.messages[0])))
        here.links[two] = begun.number, answered.number
        self.pump(one, two, answered.messages)

    def pump(self, one: int, two: int, back: Iterable[bytes]) -> None:
        """Carry what came back to the own enclave, and what that says to the other, to the end."""
        here, there = self.stations[one], self.stations[two]
        number, other = here.links[two]
        back = list(back)
        while back:
            forth = [out for raw in back for out in here.ask(carry_frame(number, raw))]
            self.sent += sum(map(len, [*back, *forth]))
            back = [out for raw in forth for out in there.ask(carry_frame(other, raw))]

    def link_all(self) -> None:
        for one in range(len(self.stations)):
            for two in range(one):
                self.dial(one, two)

    def tick(self, at: int, talks: int = 16, cut: Iterable[int] = ()) -> Tick:
        """What host `at` does from time to time; it does not reach those of `cut`."""
        station, lost = self.stations[at], set(cut)
        made = Tick.from_fields(station.ask(Frame(frames.TICK, talks)))
        peers = {here: peer for peer, (here, _) in station.links.items()}
        for sealed in made.out:
            peer = peers.get(sealed.number)
            if peer is None:
                continue  # lost on the way some time ago
            if peer in lost or at in lost:
                station.links.pop(peer, None)
                continue
            self.sent += sum(map(len, sealed.messages))
            try:
                self._bring(at, peer, sealed)
            except Refused:
                station.links.pop(peer, None)  # as a host does
        return made

    def _bring(self, at: int, peer: int, sealed: Sealed) -> None:
        there, other = self.stations[peer], self.stations[at].links[peer][1]
        asked = (there.ask(carry_frame(other, raw)) for raw in sealed.messages)
        self.pump(at, peer, [out for each in asked for out in each])

    def ticks(self, times: int = 3, cut: Iterable[int] = ()) -> None:
        for _ in range(times):
            for at in range(len(self.stations)):
                self.tick(at, cut=cut)

    @property
    def roster(self) -> Roster:
        return self.roster_of(self.stations)

    def roster_of(self, stations: Iterable[Station]) -> Roster:
        keys = tuple(sorted(station.key.public for station in stations))
        return Roster(0, keys, self.configuration.quorum, NUMS)

    def agree(self) -> FirstRoster:
        """The first roster, signed and accepted by all."""
        body = roster_fields(self.roster)
        signed = {
            station.key.public: station.ask(Frame(frames.FIRST_ROSTER_SIGN, body))
            for station in self.stations
        }
        first = FirstRoster.gathered(self.roster, signed)
        for station in self.stations:
            station.ask(Frame(frames.FIRST_ROSTER_ACCEPT, first.fields()))
        return first

    def first_state(self, **changes: Any) -> RosterState:
        seats = tuple(
            Seat(key, f"owner-{at}", f"account-{at}", "abcd"[at % 4])
            for at, key in enumerate(self.roster.keys)
        )
        made = RosterState(
            0,
            NOTHING,
            0,
            seats,
            self.configuration.quorum,
            NUMS,
            self.configuration.attesting.images,
        )
        return replace(made, **changes)

    def say(self, state: RosterState) -> None:
        for station in self.stations:
            station.ask(Frame(frames.ROSTER_SAY, state.serialize()))

    def accept(self, images: Iterable[Image] | None, at: Iterable[int] | None = None) -> None:
        """Operators (all, if none is named) want these builds."""
        frame = images_frame(None if images is None else tuple(images))
        for place in range(len(self.stations)) if at is None else at:
            self.stations[place].ask(frame)

    def settled(self, *states: RosterState) -> None:
        """Every enclave has these states' rosters on record, as the chain would tell them."""
        for station in self.stations:
            station.enclave._society.settle([state.roster for state in states])

    def following(self, before: RosterState, seats: Iterable[Seat], **changes: Any) -> RosterState:
        """The state after `before` with these seats, in the epoch after its own."""
        network = self.configuration.network.id
        after = replace(
            before,
            number=before.number + 1,
            previous=before.digest(network),
            epoch=before.epoch + 1,
            seats=tuple(sorted(seats)),
        )
        return replace(after, **changes)

    def states(self, at: Iterable[int] | None = None) -> set[RosterState | None]:
        """The newest states that these enclaves agree on."""
        chosen = range(len(self.stations)) if at is None else at
        return {self.shown(place).state for place in chosen}

    def start(self) -> RosterState:
        """Linked, agreed on the first roster and its state, and heard by each other."""
        self.link_all()
        self.agree()
        state = self.first_state()
        self.say(state)
        self.ticks(4)
        return state

    def shown(self, at: int) -> RosterShown:
        return RosterShown.from_fields(self.stations[at].ask(Frame(frames.ROSTER_VIEW)))


def sixteen() -> tuple[World, Towns]:
    """A network of attested enclaves that have the deploy on record."""
    world = World.begun()
    world.configuration = replace(world.configuration, attesting=attesting())
    towns = Towns(world.configuration, [])
    for key in KEYS:
        towns.add(key)
    towns.start()
    for station in towns.stations:
        world.feed(station.enclave)
        station.ask(Frame(frames.RECORD, world.deploy_record().to_value()))
    return world, towns
