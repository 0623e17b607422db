"""All links of one enclave, in bounded room. Its host brings bytes and takes bytes, by number.

Of each peer there are at most two links, one that either end began: were there one, both ends
dialling at once could each close the one that the other keeps. A newer one takes the place of an
older one begun by the same end, since a peer that was started anew knows nothing of the older.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from grail.attestation.attested import MEASURED
from grail.errors import GrailError, LinkInvalid
from grail.links.identity import Own
from grail.links.link import Link, Terms
from grail.operators.attesting import Image
from grail.types import XOnlyKey

MAX_HALF_OPEN: Final = 64
"""Handshakes at once; the oldest gives way, so that beginning them costs no memory."""
HANDSHAKE_SECONDS: Final = 10.0
"""From the first message of a handshake to the last."""
ANSWER_SECONDS: Final = 10.0
"""From a question on a link to its answer; hosts wait no longer either, and then dial anew."""
MAX_OUTBOX: Final = 1 << 20
"""Bytes that wait for a peer's host to take them; a reader slower than that loses its link."""
NUMBER_BITS: Final = 63
"""Numbers are drawn: whoever does not carry a link cannot spoil it by guessing."""


@dataclass
class _Line:
    link: Link
    begun: float
    initiator: bool
    outbox: list[bytes] = field(default_factory=list)
    waiting: int = 0
    asked: float | None = None

    def put(self, *messages: bytes) -> None:
        self.outbox += messages
        self.waiting += sum(map(len, messages))


@dataclass(frozen=True, slots=True)
class Reach:
    """How a peer is reached: seconds since its newest document here, and the image in that.

    `answers`: on no link to it an answer is overdue. Who is cut off has open links for up to an
    hour, since nobody can tell him that they are over.
    """

    age: float
    image: Image
    answers: bool


class Switchboard:
    """Numbers links, and forgets those that are over. `own` and `terms` are those of `Link`."""

    def __init__(self, own: Own, terms: Terms) -> None:
        self._own = own
        self._terms = terms
        self._lines: dict[int, _Line] = {}
        self._open: dict[tuple[XOnlyKey, bool], int] = {}

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def peers(self) -> frozenset[XOnlyKey]:
        """Whom there is an open link to."""
        return frozenset(key for key, _ in self._open)

    def has(self, number: int) -> bool:
        """Whether there still is such a link."""
        return number in self._lines

    def reaches(self) -> dict[XOnlyKey, Reach]:
        """Each peer that there is an open link to."""
        found: dict[XOnlyKey, Reach] = {}
        now = self._terms.clock()
        for (key, _), number in self._open.items():
            line = self._lines[number]
            answers = line.asked is None or now - line.asked <= ANSWER_SECONDS
            pcrs = line.link.peer.attested.pcrs
            image = tuple(pcrs.get(index, b"") for index in MEASURED)
            made, known = Reach(line.link.age, image, answers), found.get(key)
            newest = made if known is None or made.age < known.age else known
            both = answers and (known is None or known.answers)
            found[key] = replace(newest, answers=both)
        return found

    def dial(self) -> int:
        """Begin a link: its number. What to send stands in its outbox."""
        number = self._added(initiator=True)
        line = self._lines[number]
        line.put(line.link.start())
        return number

    def answer(self, first: bytes) -> int:
        """Take the first message of a link that another began: its number.

        Raises what `Link.shake` does; then there is no link.
        """
        number = self._added(initiator=False)
        self.carry(number, first)
        return number

    def carry(self, number: int, message: bytes) -> bytes | None:
        """Take a message that came on a link: what the peer says by it, or None for a handshake.

        Raises `LinkInvalid`, `AttestationInvalid` or what `admit` raises; the link is gone then.
        """
        line = self._line(number)
        try:
            if line.link.is_open:
                said = line.link.receive(message)
                if said is None:
                    self.hang_up(number)
                line.asked = None
                return said
            line.put(*line.link.shake(message))
        except GrailError:
            self.hang_up(number)
            raise
        if line.link.is_open:
            self._opened(number, line)
        return None

    def number_to(self, key: XOnlyKey) -> int:
        """The open link to a peer that is preferred: the own one. Raises `LinkInvalid`."""
        for initiator in (True, False):
            number = self._open.get((key, initiator))
            if number is not None:
                return number
        raise LinkInvalid("NotOpen", f"there is no link to {key}", hint="dial it first")

    def dialled(self) -> tuple[int, ...]:
        """The open links that this end began."""
        return tuple(number for (_, initiator), number in self._open.items() if initiator)

    def post(self, number: int, message: bytes, *, asks: bool = False) -> None:
        """Put a message into the outbox of an open link; `asks`: the other end has to answer it.

        Raises `TooLarge`, `LinkInvalid` where there is no such link or its outbox is full, and what
        `Link.send` raises; the link is gone then, but for a message that is too large.
        """
        line = self._line(number)
        if line.waiting + len(message) > MAX_OUTBOX:
            self.hang_up(number)
            raise LinkInvalid(
                "SlowReader",
                "the other end does not take what is sent",
                expected=f"{MAX_OUTBOX} bytes",
            )
        if asks and line.asked is None:
            line.asked = self._terms.clock()
        try:
            line.put(line.link.send(message))
        except GrailError:
            if not line.link.is_open:
                self.hang_up(number)
            raise

    def fetch(self, number: int) -> list[bytes]:
        """What the host is to bring to the other end, in order. Raises `LinkInvalid`."""
        line = self._line(number)
        taken, line.outbox, line.waiting = line.outbox, [], 0
        return taken

    def hang_up(self, number: int) -> None:
        """Forget a link, if it is there; its other end finds out when it says something."""
        self._lines.pop(number, None)
        for place in [place for place, held in self._open.items() if held == number]:
            del self._open[place]

    def sweep(self) -> list[tuple[int, str]]:
        """End what is not to go on: number and reason of each link that went."""
        gone = list(self._over())
        for number, _ in gone:
            self.hang_up(number)
        return gone

    def _over(self) -> Iterator[tuple[int, str]]:
        now = self._terms.clock()
        for number, line in self._lines.items():
            if not line.link.is_open:
                if now - line.begun > HANDSHAKE_SECONDS:
                    yield number, "HalfOpen: the handshake did not end in time"
                continue
            try:
                line.link.check()
            except GrailError as exc:
                yield number, str(exc)

    def _added(self, *, initiator: bool) -> int:
        half = [n for n, line in self._lines.items() if not line.link.is_open]
        for number in half[: max(0, len(half) - MAX_HALF_OPEN + 1)]:
            self.hang_up(number)
        number = secrets.randbits(NUMBER_BITS)
        link = Link(self._own, self._terms, initiator=initiator)
        self._lines[number] = _Line(link, self._terms.clock(), initiator)
        return number

    def _opened(self, number: int, line: _Line) -> None:
        place = line.link.peer.key, line.initiator
        older = self._open.get(place)
        if older is not None:
            self.hang_up(older)
        self._open[place] = number

    def _line(self, number: int) -> _Line:
        line = self._lines.get(number)
        if line is None:
            raise LinkInvalid("NotOpen", f"there is no link {number}")
        return line
