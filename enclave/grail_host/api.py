"""The host's HTTP API: frames in CBOR for the enclave, a status in JSON, its own description.

Each path is one `Endpoint`; the routes and the OpenAPI description are both made from that list, so
they cannot differ. Whatever is sent here ends in an answer of bounded size within bounded time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from grail.errors import DecodeError, GrailError, InvalidInput, Refused, TooLarge, Unavailable
from grail.operators import frames
from grail.operators.frames import MAX_FRAME, Frame, Reply
from grail.operators.messages import Vote
from grail_host.auditor import Auditor
from grail_host.caretaker import Caretaker
from grail_host.conflicts import Conflicts
from grail_host.finisher import Finisher
from grail_host.holds import Holds
from grail_host.link import Link
from grail_host.prechecks import Prechecks
from grail_host.problem import problem
from grail_host.quota import Quota
from grail_host.turns import TurnAnswer, TurnAsked, TurnDone, Turns

CBOR = "application/cbor"
JSON = "application/json"

BODY_SECONDS = 20.0
"""For a whole body to arrive, however slowly it is sent."""

MAX_SMALL = 1_024
"""Bytes of a body that is the host's own business."""

S = TypeVar("S", bound=msgspec.Struct)

log = logging.getLogger("grail_host")

SUMMARIES = {
    frames.STATUS: "What the enclave says of itself.",
    frames.FIRST_ROSTER_SIGN: "Sign the first roster.",
    frames.FIRST_ROSTER_ACCEPT: "Accept the first roster, signed by all its members.",
    frames.RECORD: "Put the confirmed deploy on record.",
    frames.VOTE: "Vote for a transaction at the fast ballot.",
    frames.OPEN: "Open a round for a transaction.",
    frames.PROMISE: "Promise an opened ballot.",
    frames.BALLOT: "Vote in a ballot, on a certificate of promises.",
    frames.SIGN: "Sign a decided transaction.",
    frames.BODY: "The signing request behind a family.",
    frames.SPENT: "A spend in a block, and what is dead by it.",
    frames.GRANT: "Grant another operator's new instance an epoch.",
    frames.NEWEST: "The word of an operator's newest instance.",
    frames.LINK_ANSWER: "The first message of a link that another enclave begins.",
    frames.LINK_CARRY: "A sealed message of a link.",
    frames.ROSTER_VIEW: "The roster as the enclave sees it.",
}
"""The frames that are relayed. Headers are the host's own business."""

REQUESTS: dict[str, Callable[[Any], bytes]] = {
    frames.VOTE: frames.read_vote,
    frames.OPEN: lambda body: frames.read_open(body)[1],
    frames.PROMISE: lambda body: frames.read_promise(body)[1],
    frames.BALLOT: lambda body: frames.read_ballot(body)[1],
    frames.SIGN: lambda body: frames.read_sign(body)[1],
}
"""Where the signing request stands in each frame that has one."""

CHECKED = (frames.VOTE, frames.OPEN, frames.PROMISE)
"""Frames before which the host looks at its node: they can take a guarded output."""


class HostStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the host, its enclave and its node are; without secrets.

    `alarm` is the txid of what a quorum signed and a full check found incorrect: the enclave signs
    nothing any more.
    """

    enclave: str
    key: str | None = None
    network: str | None = None
    configuration: str | None = None
    height: int | None = None
    best: str | None = None
    rank: int | None = None
    epoch: int | None = None
    instance: int | None = None
    recovered: bool | None = None
    alarm: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """One path: how it is called, what it takes and gives, and the function behind it."""

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Request], Awaitable[Response]]
    takes: str | None = None
    body: type[msgspec.Struct] | None = None
    gives: str = JSON
    result: type[msgspec.Struct] | None = None


@dataclass(frozen=True)
class Api:
    """The handlers, over the parts that do the work."""

    link: Link
    conflicts: Conflicts
    prechecks: Prechecks
    quota: Quota
    finisher: Finisher
    holds: Holds = field(default_factory=Holds)
    turns: Turns = field(default_factory=Turns)
    caretaker: Caretaker | None = None
    auditor: Auditor | None = None

    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every path that is served, the description's own apart."""
        status = Endpoint(
            "GET",
            "/v1/status",
            "getStatus",
            "How the host and its enclave are.",
            self.status,
            result=HostStatus,
        )
        relays = tuple(
            Endpoint(
                "POST",
                f"/v1/{kind}",
                "post" + "".join(part.title() for part in kind.replace("/", "_").split("_")),
                summary,
                self._relay(kind),
                takes=CBOR,
                gives=CBOR,
            )
            for kind, summary in SUMMARIES.items()
        )
        turn = Endpoint(
            "POST",
            "/v1/turn",
            "postTurn",
            "Queue up for a pool's newest output, or ask how many are ahead.",
            self.turn,
            takes=JSON,
            body=TurnAsked,
            result=TurnAnswer,
        )
        done = Endpoint(
            "POST",
            "/v1/turn/done",
            "postTurnDone",
            "End a turn, so that the next one begins.",
            self.turn_done,
            takes=JSON,
            body=TurnDone,
            result=TurnAnswer,
        )
        return (status, turn, done, *relays)

    async def turn(self, request: Request) -> Response:
        """A place in a queue; it binds nobody."""
        return await self._turned(request, TurnAsked, self.turns.take)

    async def turn_done(self, request: Request) -> Response:
        """The end of a turn."""

        async def done(told: TurnDone) -> TurnAnswer:
            return self.turns.done(told)

        return await self._turned(request, TurnDone, done)

    async def _turned(
        self, request: Request, kind: type[S], act: Callable[[S], Awaitable[TurnAnswer]]
    ) -> Response:
        try:
            answer = await act(await self._small(request, kind))
        except GrailError as exc:
            return answer_to(exc)
        except ClientDisconnect:
            return Response(status_code=400)
        return Response(msgspec.json.encode(answer), media_type=JSON)

    async def status(self, request: Request) -> Response:
        """Ask the enclave; a dead one is a status too."""
        try:
            self.quota.take(_requester(request), 0)
        except Refused as exc:
            return answer_to(exc)
        try:
            found = await self.link.status()
        except GrailError as exc:
            told = HostStatus(f"down: {exc}")
        else:
            told = HostStatus(
                "up",
                str(found.key),
                found.network.hex(),
                found.configuration.hex(),
                found.best.height,
                str(found.best.hash),
                found.index,
                found.epoch,
                None if found.instance is None else found.instance.epoch,
                None if found.instance is None else found.instance.recovered,
                None if found.alarm is None else str(found.alarm),
            )
        return Response(msgspec.json.encode(told), media_type=JSON)

    def _relay(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def relay(request: Request) -> Response:
            try:
                raw = await self._body(request)
                return Response(await self._relayed(kind, raw), media_type=CBOR)
            except GrailError as exc:
                return answer_to(exc)
            except TimeoutError:
                return problem(408, "BodySlow", f"the body took longer than {BODY_SECONDS:g} s")
            except ClientDisconnect:
                return Response(status_code=400)

        return relay

    async def _relayed(self, kind: str, raw: bytes) -> bytes:
        frame = Frame.parse(raw)
        if frame.kind != kind:
            raise DecodeError(f"frame: got kind {frame.kind!r}, expected {kind!r} on this path")
        if kind in CHECKED:
            await self._look_first(frame)
        if kind == frames.PROMISE:
            return await self._promised(frame)
        answered = await self.link.ask_raw(raw)
        reply = Reply.parse(answered)
        if kind == frames.SIGN and reply.refusal is None:
            self.finisher.decided(frame)
        self._care(frame, reply)
        await self._heed(frame, reply)
        return answered

    def _care(self, frame: Frame, reply: Reply) -> None:
        """Whoever asks for a vote and goes no further leaves the rest to the host."""
        if self.caretaker is None or reply.refusal is not None:
            return
        if frame.kind in (frames.VOTE, frames.BALLOT):
            vote = Vote.parse(reply.body)
            request = REQUESTS[frame.kind](frame.body)
            self.caretaker.voted(vote.family, vote.outpoints, request)
        elif frame.kind == frames.SIGN:
            self.caretaker.signed(frames.read_sign(frame.body)[0][0].family)

    async def _heed(self, frame: Frame, reply: Reply) -> None:
        """Look out for what the enclave voted for now, or holds against this request."""
        if self.auditor is not None and reply.refusal is None and frame.kind in REQUESTS:
            await self.auditor.note(REQUESTS[frame.kind](frame.body))
        try:
            if reply.standing is not None and reply.standing.body:
                await self.conflicts.watch(reply.standing.body, late=True)
            elif reply.refusal is None and frame.kind in REQUESTS:
                await self.conflicts.watch(REQUESTS[frame.kind](frame.body))
        except GrailError as exc:
            # The answer stands whatever the node says now; the next look tries again.
            log.warning("spends in blocks: %s", exc)

    async def _promised(self, frame: Frame) -> bytes:
        """Hand a promise on when its turn has come, and remember what the enclave promised."""
        try:
            opened, request, _ = frames.read_promise(frame.body)
        except InvalidInput:
            return await self.link.ask_raw(frame.raw)
        spent = self.prechecks.spent(request)
        await self.holds.wait(spent, opened.round)
        answered = await self.link.ask_raw(frame.raw)
        reply = Reply.parse(answered)
        if reply.refusal is None:
            self.holds.promised(spent, opened.round)
        await self._heed(frame, reply)
        return answered

    async def _look_first(self, frame: Frame) -> None:
        """What cannot be read is relayed as it is: the enclave refuses it, and signs that."""
        try:
            request = REQUESTS[frame.kind](frame.body)
        except InvalidInput:
            return
        await self.conflicts.look()
        await self.prechecks.check(request)

    async def _small(self, request: Request, kind: type[S]) -> S:
        """A short JSON body. Raises as `_body`, and `DecodeError` for one of another form."""
        try:
            raw = await self._body(request, JSON, MAX_SMALL)
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise DecodeError(f"body: {exc}") from exc
        except TimeoutError as exc:
            raise TooLarge(f"body: it took longer than {BODY_SECONDS:g} s") from exc

    async def _body(self, request: Request, wanted: str = CBOR, most: int = MAX_FRAME) -> bytes:
        """The whole body, counted while it comes. Raises `TooLarge`, `Refused`, `DecodeError`."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != wanted:
            raise Refused("ContentType", f"got {kind[:60]!r}, expected {wanted}")
        requester = _requester(request)
        announced = request.headers.get("content-length", "0")
        size = int(announced) if announced.isdecimal() and len(announced) < 12 else most + 1
        if size > most:
            raise TooLarge(f"body: {announced[:20]} bytes announced, at most {most}")
        self.quota.take(requester, size)
        pieces, got = [], 0
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                got += len(piece)
                if got > most:
                    raise TooLarge(f"body: more than {most} bytes")
                pieces.append(piece)
        if got > size:  # sent in chunks, without a length in front: counted now
            self.quota.take(requester, got - size)
        return b"".join(pieces)


def _requester(request: Request) -> str:
    """Whom a quota counts for."""
    return request.client.host if request.client else "unknown"


STATUSES: tuple[tuple[type[GrailError], int], ...] = (
    (TooLarge, 413),
    (InvalidInput, 400),
    (Unavailable, 503),
)
"""Which error of ours is which HTTP status; the first that fits. Refusals are named below."""

REFUSALS = {"QuotaExceeded": 429, "QueueFull": 429, "ContentType": 415}


def answer_to(error: GrailError) -> Response:
    """The problem that tells an error."""
    if isinstance(error, Refused):
        return problem(REFUSALS.get(error.rule, 409), error.rule, error.detail, error.hint)
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return problem(status, type(error).__name__, str(error), error.hint)
    log.error("unexpected %s: %s", type(error).__name__, error)
    return problem(500, type(error).__name__, "the host failed")
