"""An operator's machine: its instances, and what its host does for them.

Each instance is a real `Enclave` of its own, bytes in, bytes out. The host shows new headers and
the spends in new blocks before it passes a request on, as the real host does, each station as late
as the schedule says. A clone's host hands frames to either instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from enclave_world import acting
from made_chain import MadeChain

from grail.bitcoin.tx import Tx
from grail.errors import GrailError, InvalidInput
from grail.operators import frames
from grail.operators.certificates import Proposal
from grail.operators.frames import Frame, Reply, read_ballot, read_open, read_promise, read_sign
from grail.operators.messages import Family, Promise, Vote
from grail.operators.signing_job import SigningJob
from grail.operators.spent import family_of
from grail.types import BlockHash, Txid
from grail_enclave.enclave import Enclave
from grail_host.conflicts import Watched, read_watched
from simulation.crew import crew, per_crew
from simulation.ground import Ground
from simulation.market import market
from simulation.monitor import Monitor
from simulation.schedule import BOASTING, DEAD, EQUIVOCATING, HIDING, TWO_FACED

if TYPE_CHECKING:
    from simulation.carrier import Life
    from simulation.elders import Sight

SIGNING = (frames.VOTE, frames.OPEN, frames.PROMISE, frames.BALLOT, frames.SIGN)
"""Frames that carry a signing request."""
SPEAKING = (frames.VOTE, frames.BALLOT, frames.PROMISE)
"""Frames whose answers are messages with a head."""


@lru_cache(maxsize=512)
def job_of(body: bytes) -> SigningJob:
    """What a collector knows of a request. Raises as `SigningJob.read`."""
    return SigningJob.read(market().world.network, body)


def read(body: bytes) -> Proposal:
    """The proposal of a request. Raises `DecodeError`, `InvalidInput` or `SpellIncorrect`."""
    return job_of(body).proposal


@lru_cache(maxsize=512)
def watched_of(body: bytes) -> Watched:
    """What a host looks for in blocks on behalf of a request."""
    return read_watched(market().world.network, body)


@lru_cache(maxsize=4_096)
def _family(tx: Tx) -> Family:
    return family_of(market().world.network.id, tx)


def request_of(frame: Frame) -> bytes | None:
    """The signing request in a frame, if it carries one."""
    readers = {
        frames.VOTE: lambda body: body,
        frames.OPEN: lambda body: read_open(body)[1],
        frames.PROMISE: lambda body: read_promise(body)[1],
        frames.BALLOT: lambda body: read_ballot(body)[1],
        frames.SIGN: lambda body: read_sign(body)[1],
    }
    reader = readers.get(frame.kind)
    body = None if reader is None else reader(frame.body)
    return body if isinstance(body, bytes) else None


@per_crew
def _template() -> Enclave:
    return market().world.enclave()


@per_crew
def _record() -> object:
    return market().world.deploy_record().to_value()


@dataclass
class Instance:
    """One process of an operator's enclave; `passed` are the rules that it ran, by request.

    Where the schedule has a `life` of the roster, `sight` is what it can know of the others, and
    `wished` are the numbers of the states that its operator named to it.
    """

    operator: int
    number: int
    handed_over: bool = False
    life: Life | None = None
    up: bool = True
    shown: set[tuple[BlockHash, Txid, Family]] = field(default_factory=set)
    passed: dict[bytes, set[str]] = field(default_factory=dict)
    tip: BlockHash | None = None
    wished: set[int] = field(default_factory=set)
    sight: Sight = field(init=False)
    enclave: Enclave = field(init=False)
    state: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        self.enclave = begun(self)
        if self.life is not None:
            self.life.begin(self)
        self.state = self.enclave.state_hash()

    @property
    def name(self) -> str:
        """For people."""
        return f"operator {self.operator}, instance {self.number}"

    @property
    def replaced(self) -> bool:
        """Whether it had an epoch, and knows of a newer instance since."""
        acceptor = acting(self.enclave)
        return acceptor is not None and acceptor.epoch > 0 and not acceptor.recovered

    def trace(self, digest: bytes, rule: str, verdict: str, _nanoseconds: int) -> None:
        """The enclave's own log of checks."""
        if verdict == "passed":
            self.passed.setdefault(digest, set()).add(rule)


def begun(instance: Instance) -> Enclave:
    """A new process with the operator's key, which knows the market's chain and its roster.

    What all instances learn in the same way is copied from one that learned it by frames.
    """
    made, life = _template(), instance.life
    if life is not None:
        enclave = life.fitted(instance)
    else:
        enclave = Enclave(
            market().world.configuration,
            crew().keys[instance.operator],
            trace=instance.trace,
            handed_over=instance.handed_over,
        )
    enclave._headers._nodes.update(made._headers._nodes)
    enclave._headers._best[:] = made._headers._best
    enclave._members._accepted = made._members._accepted
    enclave._members._steps = made._members._steps
    reply = enclave.reply(Frame(frames.RECORD, _record()).raw)
    reply.unwrap()
    return enclave


@dataclass
class Station:
    """One operator's host and its instances; the newest one comes last.

    An equivocating one runs an `other` instance beside it, which the rounds never hear of. Until
    `eclipsed_until` its enclave meets none but the `chosen` peers; until `held_until` the host keeps
    back what comes on links; until `cut_until` it reaches those that are `cut_with` it alone.
    """

    operator: int
    ground: Ground
    monitor: Monitor
    chance: Random
    sick: str = ""
    life: Life | None = None
    other: Instance | None = None
    chosen: frozenset[int] = frozenset()
    eclipsed_until: float = 0.0
    held_until: float = 0.0
    instances: list[Instance] = field(default_factory=list)
    watched: dict[Family, bytes] = field(default_factory=dict)
    cut_until: float = 0.0
    cut_with: frozenset[int] = frozenset()
    tips: set[BlockHash] = field(default_factory=set)
    faces: dict[Txid, Instance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()
        if self.sick == EQUIVOCATING:
            self.other = Instance(self.operator, 1, life=self.life)

    def start(self) -> Instance:
        """A new instance with the same key and an empty memory."""
        number = len(self.instances)
        instance = Instance(self.operator, number, handed_over=number > 0, life=self.life)
        self.instances.append(instance)
        return instance

    @property
    def newest(self) -> Instance:
        """The instance that was started last."""
        return self.instances[-1]

    def facing(self, peer: int) -> Instance | None:
        """The instance that an operator's enclave is linked with; a liar shows each half another."""
        shown = self.other if self.other is not None and peer // 2 % 2 else self.newest
        return shown if shown.up else None

    def meets(self, peer: Station, now: float) -> bool:
        """Whether messages of links come through from a peer."""
        eclipsed = self.eclipsed_until > now and peer.operator not in self.chosen
        cut = self.cut_until > now, peer.cut_until > now
        together = all(cut) and peer.operator in self.cut_with and self.operator in peer.cut_with
        return not eclipsed and (together or not any(cut))

    def answer(self, frame: Frame) -> bytes | None:
        """The reply of an instance that is up; None when there is none."""
        up = [instance for instance in self.instances if instance.up]
        if self.sick == DEAD or not up:
            return None
        if self.sick == TWO_FACED:
            return self._two_faced(frame)
        instance = up[-1] if len(up) == 1 else self.chance.choice(up)
        return self.ask(instance, frame)

    def again(self, frame: Frame) -> None:
        """A frame that arrives for the second time; nobody hears the reply."""
        if self.sick != TWO_FACED:
            self.answer(frame)

    def ask(self, instance: Instance, frame: Frame) -> bytes:
        """Hand a frame to one instance, after what its host shows it; the monitor looks on."""
        body = self._request(frame)
        if body is not None:
            self.look(instance, body)
        raw = self._asked(instance, frame)
        if self.sick == BOASTING and frame.kind in SPEAKING:
            return self._boasted(frame, raw)
        return raw

    def _asked(self, instance: Instance, frame: Frame) -> bytes:
        before = instance.state
        raw = instance.enclave.answer(frame.raw)
        instance.state = instance.enclave.state_hash()
        self.monitor.replied(self, instance, frame, raw, unchanged=instance.state == before)
        return raw

    def restored(self, instance: Instance, body: bytes) -> None:
        """Look out for what an instance took back: a block may hold a conflict with it already."""
        self.watched[read(body).family] = body
        self.look(instance, body)

    def _request(self, frame: Frame) -> bytes | None:
        try:
            body = request_of(frame)
            if body is not None:
                self.watched[read(body).family] = body
        except (GrailError, InvalidInput):
            return None
        return body

    # What a host shows of the chain.

    def look(self, instance: Instance, body: bytes | None = None) -> None:
        """Show headers that are new to an instance, then spends that concern what was asked for."""
        chain = self.ground.chain
        tip = chain.blocks[-1].header.hash
        if tip == instance.tip and body is None:
            return
        if tip != instance.tip:
            above = chain.blocks[self.ground.base + 1 - chain.start :]
            if above:
                raws = [block.header.serialize() for block in above]
                self._asked(instance, Frame(frames.HEADERS, raws))
            instance.tip = tip
            self.tips.add(tip)
            bodies: Sequence[bytes] = list(self.watched.values())
        else:
            bodies = [body] if body is not None else []
        for each in bodies if self.sick != HIDING else ():
            self._show(instance, chain, watched_of(each))

    def _show(self, instance: Instance, chain: MadeChain, watched: Watched) -> None:
        """As `grail_host.conflicts` does for each block."""
        for block in chain.blocks[self.ground.base + 1 - chain.start :]:
            for tx in block.txs[1:]:
                name = (block.header.hash, tx.txid, watched.family)
                hits = [i.outpoint for i in tx.inputs if i.outpoint in watched.paths]
                if not hits or name in instance.shown:
                    continue
                path = watched.paths[hits[0]]
                own = _family(tx)
                if watched.family != own and Tx.parse(path[0]).txid == tx.txid:
                    continue  # an unconfirmed parent of it has confirmed
                instance.shown.add(name)
                shown = () if watched.family == own else path
                frame = frames.spent_frame(tx.serialize(), block.prove(tx.txid), shown)
                self._asked(instance, frame)

    # Operators that lie with valid signatures.

    def _two_faced(self, frame: Frame) -> bytes | None:
        """Votes for everybody: each transaction meets an instance that knows of no other."""
        body = self._request(frame)
        if body is None or frame.kind in (frames.OPEN, frames.PROMISE):
            return None
        txid = job_of(body).tx.txid
        if txid not in self.faces:
            face = self.faces[txid] = Instance(self.operator, len(self.faces), life=self.life)
            if self.life is not None:  # they all hear of the others what the first one hears
                face.enclave._society, face.sight = self.newest.enclave._society, self.newest.sight
        return self.ask(self.faces[txid], frame)

    def _boasted(self, frame: Frame, raw: bytes) -> bytes:
        """Say the same, and that others have newer instances and the chain is far longer."""
        reply = Reply.parse(raw)
        if reply.refusal is not None:
            return raw
        kind = Promise if frame.kind == frames.PROMISE else Vote
        message = kind.parse(reply.body)
        head = message.head
        victims = self.chance.sample(range(len(head.v)), crew().most_sick)
        v = tuple(e + 3 if i in victims else e for i, e in enumerate(head.v))
        best = replace(head.best, height=head.best.height + 50, work=head.best.work + 200)
        head = replace(head, v=v, best=best)
        return Reply(
            replace(message, head=head).signed(crew().keys[self.operator]).serialize()
        ).serialize()
