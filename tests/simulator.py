"""Sixteen operators in memory, a network with faults, and time that is computed: all from one seed.

The acceptors and coordinators are the real ones; only what an enclave checks before it votes is
left out, since it is not about rounds: a request here is a name and the outpoints it spends. The
`Monitor` sees every vote, decision and signature, whoever made it, and fails on two that conflict.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import anyio

from grail.codec import decode, encode
from grail.crypto import schnorr
from grail.crypto.schnorr import KeyPair
from grail.errors import (
    GrailError,
    InvalidInput,
    QuorumNotReached,
    Refused,
    SignatureInvalid,
    Unavailable,
)
from grail.operators import frames
from grail.operators.asking import Limits, Operators
from grail.operators.certificates import Decision, Proposal
from grail.operators.coordinator import Coordinator
from grail.operators.frames import Frame, Reply, Signatures
from grail.operators.messages import BestHeader, Family, Refusal, Scope, Standing
from grail.operators.rounds import Acceptor
from grail.operators.spent import SpentLog
from grail.types import BlockHash, OutPoint, Txid

T = TypeVar("T")

NETWORK = hashlib.sha256(b"simulated network").digest()
CONFIGURATION = hashlib.sha256(b"simulated configuration").digest()
NFT = OutPoint(Txid(hashlib.sha256(b"nft").digest()), 0)
TIP = BestHeader(BlockHash(bytes(32)), 100, 200)


def outpoint(name: str) -> OutPoint:
    """A guarded outpoint with a readable name."""
    return OutPoint(Txid(hashlib.sha256(name.encode()).digest()), 0)


def request(name: str, outpoints: str) -> bytes:
    """The bytes of a simulated signing request; each letter of `outpoints` is one of them."""
    return encode([name, outpoints])


def read(body: bytes) -> Proposal:
    """What a simulated request asks for. Raises `InvalidInput`."""
    match decode(body):
        case [str() as name, str() as letters] if letters:
            pass
        case _:
            raise InvalidInput("no simulated request")
    return Proposal(
        Family(hashlib.sha256(b"family" + body).digest()),
        tuple(sorted(outpoint(letter) for letter in set(letters))),
        Txid(hashlib.sha256(b"txid" + name.encode()).digest()),
        body,
    )


def proposal(name: str, outpoints: str = "a") -> Proposal:
    """The proposal of a simulated request."""
    return read(request(name, outpoints))


_KEYS: list[KeyPair] = []


def keys(count: int) -> list[KeyPair]:
    """The operators' keys, sorted as a roster's are; the same in every run."""
    while len(_KEYS) < 32:
        _KEYS.append(KeyPair(hashlib.sha256(b"operator" + bytes([len(_KEYS)])).digest()))
    return sorted(_KEYS[:count], key=lambda pair: pair.public)


def scope(n: int = 16, q: int = 12) -> Scope:
    """A scope of n operators."""
    return Scope(NETWORK, NFT, CONFIGURATION, tuple(pair.public for pair in keys(n)), q)


VOID_DEPTH, DEPTH = 1, 6
"""Blocks after which a conflict kills, and after which a spend is settled."""

Depths = dict[BlockHash, int]
"""How deep each block is; one that is not there is not on the chain."""


def acceptors(n: int = 16, q: int = 12, depths: Depths | None = None) -> list[Acceptor]:
    """One acceptor for each operator, by rank."""
    blocks: Depths = {} if depths is None else depths

    def depth(block: BlockHash) -> int:
        return blocks.get(block, 0)

    return [Acceptor(scope(n, q), pair, SpentLog(depth, VOID_DEPTH, DEPTH)) for pair in keys(n)]


@dataclass
class Monitor:
    """Sees all that was decided and signed; two that conflict are a failure at once."""

    decided: dict[Family, Proposal] = field(default_factory=dict)
    signed: dict[Family, set[int]] = field(default_factory=dict)

    def decision(self, found: Decision, of: Proposal) -> None:
        """A decision was seen by anybody."""
        for other in self.decided.values():
            if other.family != of.family and set(other.outpoints) & set(of.outpoints):
                raise AssertionError(f"two decisions: {other.body!r} and {of.body!r}")
        self.decided[of.family] = of
        assert found.family == of.family

    def signature(self, operator: int, of: Proposal) -> None:
        """An operator signed."""
        for family, who in self.signed.items():
            other = self.decided[family]
            if operator in who and family != of.family and set(other.outpoints) & set(of.outpoints):
                raise AssertionError(f"operator {operator} signed two that conflict")
        self.signed.setdefault(of.family, set()).add(operator)


class Enclave:
    """An acceptor behind frames, as the enclave's process has it: bytes in, bytes out."""

    def __init__(self, acceptor: Acceptor, monitor: Monitor) -> None:
        self.acceptor = acceptor
        self._monitor = monitor

    async def __call__(self, raw: bytes) -> bytes:
        return self.answer(raw)

    def answer(self, raw: bytes) -> bytes:
        frame = Frame.parse(raw)
        try:
            said = self._rule(frame)
        except Refused as exc:
            return Reply(refusal=self._refusal(frame, exc.rule, exc.detail)).serialize()
        if isinstance(said, Standing):
            refusal = self._refusal(frame, said.rule, "something stands in the way")
            return Reply(None, refusal, said).serialize()
        return Reply(said).serialize()

    def _rule(self, frame: Frame) -> Any:
        acceptor = self.acceptor
        match frame.kind:
            case frames.VOTE:
                said: Any = acceptor.vote(read(frames.read_vote(frame.body)), TIP)
            case frames.OPEN:
                number, body = frames.read_open(frame.body)
                said = acceptor.open(number, read(body), TIP)
            case frames.PROMISE:
                opened, body, shown = frames.read_promise(frame.body)
                said = acceptor.promise(opened, read(body), TIP, shown)
            case frames.BALLOT:
                promises, body = frames.read_ballot(frame.body)
                said = acceptor.ballot(promises, read(body), TIP)
            case frames.SIGN:
                votes, body = frames.read_sign(frame.body)
                return self._sign(votes, read(body))
            case frames.BODY:
                found = acceptor.body(frames.read_body(frame.body))
                return None if found is None else found.fields()
            case _:
                raise Refused("FrameInvalid", frame.kind)
        return said if isinstance(said, Standing) else said.serialize()

    def _sign(self, votes: Sequence[Any], of: Proposal) -> Any:
        decision = self.acceptor.decide(votes, of)
        if isinstance(decision, Standing):
            return decision
        self._monitor.decision(decision, of)
        self._monitor.signature(self.acceptor.index, of)
        signature = self.acceptor.key.sign(of.family)
        return Signatures(of.txid, ((0, signature),)).fields()

    def _refusal(self, frame: Frame, rule: str, text: str) -> Refusal:
        acceptor = self.acceptor
        return Refusal(
            NETWORK, CONFIGURATION, acceptor.key.public, frame.subject, rule, text
        ).signed(acceptor.key)


@dataclass
class Weather:
    """What the network does, drawn from a seed: delays, losses, duplicates, who is dead or slow."""

    chance: Random
    n: int = 16
    loss: float = 0.0
    duplicates: float = 0.0
    delay: float = 0.05
    dead: frozenset[int] = frozenset()
    slow: frozenset[int] = frozenset()
    lying: frozenset[int] = frozenset()

    @classmethod
    def drawn(cls, chance: Random, n: int = 16, faulty: int = 4) -> Weather:
        """Some weather with at most `faulty` operators that are not well."""
        sick = chance.sample(range(n), chance.randint(0, faulty))
        kinds = [chance.choice(("dead", "slow", "lying")) for _ in sick]
        return cls(
            chance,
            n,
            loss=chance.choice((0.0, 0.0, 0.02, 0.1)),
            duplicates=chance.choice((0.0, 0.2)),
            delay=chance.choice((0.001, 0.05, 0.5)),
            **{
                kind: frozenset(i for i, each in zip(sick, kinds, strict=True) if each == kind)
                for kind in ("dead", "slow", "lying")
            },
        )


@dataclass
class Network:
    """The transport of the simulation: every hop takes time, and some never arrive."""

    enclaves: Sequence[Enclave]
    weather: Weather

    async def ask(self, operator: int, frame: Frame) -> Reply:
        weather, chance = self.weather, self.weather.chance
        if operator in weather.dead:
            raise Unavailable(f"operator {operator}: connection refused")
        await self._hop(operator)
        enclave = self.enclaves[operator]
        if chance.random() < weather.duplicates:  # the same frame again, some time later
            later = chance.expovariate(1 / (10 * weather.delay))
            asyncio.get_running_loop().call_later(later, enclave.answer, frame.raw)
        raw = enclave.answer(frame.raw)
        await self._hop(operator)
        if operator in weather.lying:
            at = chance.randrange(len(raw))
            raw = raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]
        return Reply.parse(raw)

    async def _hop(self, operator: int) -> None:
        weather, chance = self.weather, self.weather.chance
        if chance.random() < weather.loss:
            await anyio.sleep_forever()
        factor = 40.0 if operator in weather.slow else 1.0
        await anyio.sleep(chance.expovariate(1 / (factor * weather.delay)))


@dataclass
class Client:
    """A user's coordinator for one request: tries until it is signed or taken, or gives up early."""

    scope: Scope
    network: Network
    of: Proposal
    monitor: Monitor
    chance: Random
    start: float = 0.0
    vanishes: float | None = None
    outcome: str = "running"
    winner: str = ""

    async def run(self) -> None:
        """The whole life of this client."""
        await anyio.sleep(self.start)
        with anyio.move_on_after(self.vanishes) as life:
            while self.outcome == "running":
                await self._attempt()
        if life.cancelled_caught:
            self.outcome = "vanished"

    def _operators(self) -> Operators:
        limits = Limits(answer=5, opener=3, straggler=1, tries=3, base=0.2, cap=10)
        return Operators(self.scope, self.network, limits, chance=self.chance)

    async def _attempt(self) -> None:
        operators = self._operators()
        try:
            decision = await Coordinator(operators, read, self._passed_on).decide(self.of)
            self.monitor.decision(decision, self.of)
            await self._sign(operators, decision, self.of)
            self.outcome = "signed"
        except QuorumNotReached:
            await anyio.sleep(self.chance.random())
        except Refused as exc:
            if exc.rule != "OutpointTaken":
                raise
            self.outcome, self.winner = "taken", exc.got

    async def _passed_on(self, decision: Decision, other: Proposal) -> None:
        self.monitor.decision(decision, other)
        operators = self._operators()
        while True:  # as the operators' hosts do for what was decided and then left (S17)
            try:
                await self._sign(operators, decision, other)
            except GrailError:
                await operators.pause(5)
            else:
                return

    async def _sign(self, operators: Operators, decision: Decision, of: Proposal) -> None:
        signed: set[int] = set()

        def heard(operator: int, reply: Reply) -> bool:
            if reply.refusal is None:
                said = Signatures.from_fields(reply.body)
                if said.txid != of.txid or len(said.signatures) != 1:
                    raise SignatureInvalid("signatures of another transaction")
                schnorr.verify(self.scope.keys[operator], of.family, said.signatures[0][1])
                signed.add(operator)
            return len(signed) >= self.scope.quorum

        await operators.ask("signed", frames.sign_frame(decision.votes, of.body), heard)
        if len(signed) < self.scope.quorum:
            raise operators.report.failure("signed", len(signed), self.scope.quorum)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer: hours in milliseconds, always the same."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        selector = self._selector  # type: ignore[attr-defined]
        real = selector.select

        def select(timeout: float | None) -> Any:
            if timeout is None:
                raise AssertionError("the simulation waits for something that never comes")
            self._now += max(timeout, 0.0)
            return real(0)

        selector.select = select

    def time(self) -> float:
        """Seconds since the start of the simulation."""
        return self._now


def simulated(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@dataclass(frozen=True)
class Outcome:
    """How a schedule ended: virtual seconds, clients, and what the monitor saw."""

    seconds: float
    clients: tuple[Client, ...]
    monitor: Monitor


LIMIT = 3_600.0
"""Virtual seconds within which every client must have an answer."""

SETS = (
    ("a", "a"),
    ("a", "a", "a"),
    ("ab", "bc"),
    ("ab", "bc", "ca"),
    ("a", "ab", "b"),
    ("ab", "a"),
)
"""Which outpoints the rivals of a schedule spend."""


def play(seed: int, n: int = 16, q: int = 12) -> Outcome:
    """One schedule: drawn from the seed, played to its end, with the monitor watching."""
    chance = Random(seed)
    shared, monitor = scope(n, q), Monitor()
    enclaves = [Enclave(acceptor, monitor) for acceptor in acceptors(n, q)]
    network = Network(enclaves, Weather.drawn(chance, n, n - q))
    letters = chance.choice(SETS)
    clients = [
        Client(
            shared,
            network,
            proposal(f"T{number} of {seed}", spent),
            monitor,
            Random(chance.random()),
            start=chance.choice((0.0, chance.random() * network.weather.delay * 4)),
            # The first always stays; another may vanish at any moment of its work.
            vanishes=chance.random() * 10 if number and chance.random() < 0.3 else None,
        )
        for number, spent in enumerate(letters)
    ]

    async def everybody() -> float:
        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as group:
                for client in clients:
                    group.start_soon(client.run)
        return asyncio.get_running_loop().time()

    return Outcome(simulated(everybody), tuple(clients), monitor)
