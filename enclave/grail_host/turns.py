"""Whose turn it is to spend a pool's newest output: a queue that keeps rivals apart.

A pool's output is spent once, so of twenty users who ask at the same moment nineteen make their
proofs for nothing, and split the operators' votes. They may queue up here first. It is a hint and
nothing rests on it: votes and ballots alone say who spends an output, whoever does not queue is
served as well, and a turn that is not used passes on after a while.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from grail.errors import InvalidInput, Refused

LEASE = 30.0
"""Seconds that a turn lasts at most: a swap takes one, on a machine under load several."""

SILENCE = 6.0
"""Seconds after which a place, or the turn, is given up whose owner asks no more."""

HOLD = 1.0
"""Seconds that an answer waits for the turn to come."""

MAX_QUEUES = 1_024
"""At once; the one unused for longest goes first."""

MAX_PLACES = 256
"""In one queue."""


class TurnAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be spent (32 bytes in hex, a guard's id), and the ticket of an earlier answer.

    `stays` says that the ticket's turn is in use: no new place is wanted where it is over.
    """

    what: str
    ticket: str = ""
    stays: bool = False


class TurnDone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A turn is over; `txid` is the transaction that came of it, empty for none."""

    what: str
    ticket: str
    txid: str = ""


class TurnAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place in the queue: `ahead` is 0 when it is this ticket's turn.

    `last` is the txid of the newest transaction that came of a turn, by the word of who made it.
    The ticket is empty when the turn of one who stays is over.
    """

    ticket: str
    ahead: int
    last: str = ""


@dataclass
class _Place:
    ticket: str
    heard: float
    since: float | None = None
    """When it came to the head."""


@dataclass
class _Queue:
    places: list[_Place] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    last: str = ""


class Turns:
    """The queues of one host, in memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._queues: OrderedDict[str, _Queue] = OrderedDict()

    async def take(self, asked: TurnAsked) -> TurnAnswer:
        """A place, or the one of a ticket; waits a little for it to come to the head.

        Raises `InvalidInput`, and `Refused` QueueFull.
        """
        queue = self._queue(asked.what)
        self._tidy(queue)
        place = next((p for p in queue.places if p.ticket == asked.ticket), None)
        if place is None:
            if asked.stays:
                return TurnAnswer("", 0, queue.last)
            if len(queue.places) >= MAX_PLACES:
                raise Refused("QueueFull", f"{MAX_PLACES} wait already", hint="go without a turn")
            place = _Place(secrets.token_hex(8), self._clock())
            queue.places.append(place)
        until = self._clock() + HOLD
        while True:
            place.heard = now = self._clock()
            self._tidy(queue)
            ahead = queue.places.index(place) if place in queue.places else 0
            if ahead == 0 or now >= until:
                return TurnAnswer(place.ticket, ahead, queue.last)
            queue.moved.clear()
            try:
                async with asyncio.timeout(min(until - now, 0.25)):
                    await queue.moved.wait()
            except TimeoutError:
                continue

    def done(self, told: TurnDone) -> TurnAnswer:
        """A turn is over: the next one's begins. Raises `InvalidInput`."""
        queue = self._queue(told.what)
        head = queue.places[0].ticket if queue.places else ""
        if told.ticket == head and told.txid:
            queue.last = _hex(told.txid, "txid")
        queue.places = [p for p in queue.places if p.ticket != told.ticket]
        self._tidy(queue)
        queue.moved.set()
        return TurnAnswer(told.ticket, 0, queue.last)

    def _queue(self, what: str) -> _Queue:
        name = _hex(what, "what")
        queue = self._queues.setdefault(name, _Queue())
        self._queues.move_to_end(name)
        if len(self._queues) > MAX_QUEUES:
            self._queues.popitem(last=False)
        return queue

    def _tidy(self, queue: _Queue) -> None:
        """Let go of places whose owners went away, and of a turn that lasted too long."""
        now = self._clock()
        before = queue.places[:1]
        queue.places = [
            place
            for place in queue.places
            if now - place.heard <= SILENCE and (place.since is None or now - place.since <= LEASE)
        ]
        if queue.places and queue.places[0].since is None:
            queue.places[0].since = queue.places[0].heard = now
        if queue.places[:1] != before:
            queue.moved.set()


def _hex(text: str, what: str) -> str:
    """32 bytes in lower-case hex. Raises `InvalidInput`."""
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise InvalidInput(f"{what}: expected 64 characters of lower-case hex")
    return text
