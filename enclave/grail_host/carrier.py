"""Carries links between its own enclave and the others': dials, brings bytes both ways, ticks.

A host cannot read or change what it carries, and whatever it does costs its own enclave liveness
alone. A link lives on both ends or on none: after any loss it is dialled anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from grail.errors import GrailError
from grail.operators import frames
from grail.operators.frames import Frame
from grail.operators.link_frames import Sealed, Tick, carry_frame, read_messages
from grail.operators.transport import Host, Transport
from grail_host.link import Link
from grail_host.looking import keep_looking
from grail_host.peers import Peers

PAUSE = 5.0
"""Seconds between two ticks of a network at rest."""
HURRY = 0.25
"""Seconds while members are not known to be alive, or a state of the roster is being decided."""
AGAIN = 0.5
"""Seconds after a look that failed: an enclave starts after its host."""
TALKS = 3
"""Exchanges that a tick begins."""
SHARE = 2.0
"""A pause is so many times what the tick took, up to `PAUSE`: a busy machine is asked for less."""
CARRY_SECONDS = 10.0
"""For one message there and its answer back."""

log = logging.getLogger("grail_host")


@dataclass(frozen=True, slots=True)
class Line:
    """A link by its numbers: in the own enclave, and in the other."""

    here: int
    there: int


class Carrier:
    """Links of one enclave that its host dialled, by the other host's URL.

    Of each pair the one with the later URL dials, so that a pair has one link.
    """

    def __init__(self, link: Link, peers: Peers, own: str) -> None:
        """`own` is this host's URL."""
        self._link = link
        self._peers = peers
        self._own = own
        self._hosts: tuple[Host, ...] = ()
        self._transport: Transport | None = None
        self._stack = AsyncExitStack()
        self._lines: dict[str, Line] = {}
        self._wait, self._alive = HURRY, 0

    async def run(self) -> None:
        """Dial and tick until cancelled."""
        try:
            await keep_looking("links", self.look, AGAIN, spread=0.2)
        finally:
            await self._stack.aclose()

    async def look(self) -> float:
        """Dial who is not linked, then one tick: seconds until the next. Raises `GrailError`."""
        begun = time.monotonic()
        transport = await self._connected()
        await asyncio.gather(*(self._dial(transport, place) for place in self._undialled()))
        made = Tick.from_fields((await self._link.ask(Frame(frames.TICK, TALKS))).unwrap())
        # What the own enclave has ended is dialled anew at the next look.
        self._lines = {u: line for u, line in self._lines.items() if line.here in made.dialled}
        places = {
            self._lines[host.url].here: place
            for place, host in enumerate(self._hosts)
            if host.url in self._lines
        }
        talks = [(places[out.number], out) for out in made.out if out.number in places]
        await asyncio.gather(*(self._bring(transport, place, out) for place, out in talks))
        return max(self._pause(made), min(PAUSE, SHARE * (time.monotonic() - begun)))

    async def _connected(self) -> Transport:
        """A transport to the hosts of now: operators come and go."""
        hosts = self._peers.renew()
        if self._transport is None or hosts != self._hosts:
            await self._stack.aclose()
            self._transport = await self._stack.enter_async_context(self._peers.connected())
            self._hosts = hosts
            self._wait = HURRY
        return self._transport

    def _pause(self, made: Tick) -> float:
        """Hurry while members come or go; for one that stays away nobody hurries for long."""
        if made.busy:
            self._wait = HURRY
        elif made.members and made.alive == made.members:
            self._wait = PAUSE
        elif made.alive != self._alive or not made.members:
            self._wait = HURRY
        else:
            self._wait = min(PAUSE, 1.5 * self._wait)
        self._alive = made.alive
        return self._wait

    def _undialled(self) -> list[int]:
        return [
            place
            for place, host in enumerate(self._hosts)
            if host.url < self._own and host.url not in self._lines
        ]

    async def _dial(self, transport: Transport, place: int) -> None:
        begun = Sealed.from_fields((await self._link.ask(Frame(frames.LINK_DIAL))).unwrap())
        with contextlib.suppress(GrailError, TimeoutError):
            frame = Frame(frames.LINK_ANSWER, begun.messages[0])
            answered = Sealed.from_fields(await self._asked(transport, place, frame))
            line = Line(begun.number, answered.number)
            await self._pump(transport, place, line, answered.messages)
            self._lines[self._hosts[place].url] = line

    async def _bring(self, transport: Transport, place: int, out: Sealed) -> None:
        url = self._hosts[place].url
        line = self._lines[url]
        try:
            back = await self._carried(transport, place, line, out.messages)
            await self._pump(transport, place, line, back)
        except (GrailError, TimeoutError) as exc:
            # The other end lost it, or what went over is lost: from there on nothing fits.
            log.info("link to %s: %s", url, exc)
            self._lines.pop(url, None)

    async def _pump(
        self, transport: Transport, place: int, line: Line, back: Sequence[bytes]
    ) -> None:
        while back:
            forth: list[bytes] = []
            for message in back:
                reply = await self._link.ask(carry_frame(line.here, message))
                forth += read_messages(reply.unwrap())
            back = await self._carried(transport, place, line, forth)

    async def _carried(
        self, transport: Transport, place: int, line: Line, messages: Sequence[bytes]
    ) -> list[bytes]:
        back: list[bytes] = []
        for message in messages:
            frame = carry_frame(line.there, message)
            back += read_messages(await self._asked(transport, place, frame))
        return back

    async def _asked(self, transport: Transport, place: int, frame: Frame) -> object:
        async with asyncio.timeout(CARRY_SECONDS):
            return (await transport.ask(place, frame)).unwrap()
