"""Small builders for tests of the rounds: operators, proposals that are names, virtual time.

What is checked of a transaction before a vote is not about rounds: a proposal here is a name and
the outpoints that it spends, each a letter. The package `simulation` plays real transactions.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from grail.codec import decode, encode
from grail.crypto.schnorr import KeyPair
from grail.errors import InvalidInput
from grail.operators.certificates import Proposal
from grail.operators.messages import BestHeader, Family, Open, Promise, Scope, Vote
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


def voted(who: Sequence[Acceptor], of: Proposal) -> list[Vote]:
    """Fast votes, which must all be given."""
    answers = [acceptor.vote(of, TIP) for acceptor in who]
    assert all(isinstance(answer, Vote) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Vote)]


def opened(all_: Sequence[Acceptor], number: int, of: Proposal) -> Open:
    """The round, opened by the operator whose it is."""
    answer = all_[number % len(all_)].open(number, of, TIP)
    assert isinstance(answer, Open)
    return answer


def promised(who: Sequence[Acceptor], by: Open, of: Proposal) -> list[Promise]:
    """Promises, which must all be given."""
    answers = [acceptor.promise(by, of, TIP) for acceptor in who]
    assert all(isinstance(answer, Promise) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Promise)]


def balloted(who: Sequence[Acceptor], by: Sequence[Promise], of: Proposal) -> list[Vote]:
    """Votes in a ballot, which must all be given."""
    answers = [acceptor.ballot(by, of, TIP) for acceptor in who]
    assert all(isinstance(answer, Vote) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Vote)]


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
