"""What crosses the wire between users, hosts and enclaves: frames, requests, signed messages."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from functools import cache
from typing import Any

from fuzz.target import Target
from grail.bitcoin.spv import Header
from grail.codec import decode, encode
from grail.errors import DecodeError, InvalidInput, Refused, SignatureInvalid
from grail.operators import frames, link_frames, messages, roster
from grail.operators.configuration import Configuration
from grail.operators.evidence import DeployRecord, HistoryPart, SigningRequest
from grail.operators.frames import KINDS, Frame, Reply, Signatures, Status
from grail.operators.grants import Grant, Hello, Page
from grail.operators.link_frames import Sealed, Tick
from grail.roster import gossip
from grail.roster.shown import RosterShown
from grail.roster.state import RosterState
from grail_enclave.enclave import Enclave
from grail_enclave.serve import Server


def _headers(body: Any) -> None:
    if type(body) is not list or any(type(raw) is not bytes for raw in body):
        raise DecodeError("headers: expected a list of headers")
    for raw in body:
        Header.parse(raw)


def _state(body: Any) -> None:
    """A state of the roster has one encoding."""
    if type(body) is not bytes:
        raise DecodeError("roster state: expected bytes")
    assert RosterState.parse(body).serialize() == body, "other bytes"


READERS: dict[str, Any] = {
    frames.HEADERS: _headers,
    frames.FIRST_ROSTER_SIGN: roster.read_roster,
    frames.FIRST_ROSTER_ACCEPT: roster.FirstRoster.from_fields,
    frames.NEXT_ROSTER_SIGN: roster.read_next_roster,
    frames.NEXT_ROSTER_AGREE: roster.NextRoster.from_fields,
    frames.RECORD: DeployRecord.from_value,
    frames.VOTE: frames.read_vote,
    frames.OPEN: frames.read_open,
    frames.PROMISE: frames.read_promise,
    frames.BALLOT: frames.read_ballot,
    frames.SIGN: frames.read_sign,
    frames.BODY: frames.read_body,
    frames.SPENT: frames.read_spent,
    frames.HISTORY: HistoryPart.from_value,
    frames.HELLO: frames.read_hello,
    frames.GRANT: frames.read_grant,
    frames.NEWEST: frames.read_newest,
    frames.RECOVER: frames.read_recover,
    frames.RESTORE: frames.read_sign,
    frames.LINK_ANSWER: link_frames.read_answer,
    frames.LINK_CARRY: link_frames.read_carry,
    frames.TICK: link_frames.read_tick,
    frames.ROSTER_SAY: _state,
    frames.ROSTER_EXPECT: link_frames.read_expect,
    frames.ROSTER_IMAGES: link_frames.read_images,
    frames.ROSTER_LEAVE: link_frames.read_leave,
}
"""Of every kind of frame that has a body."""


def frame(raw: bytes) -> None:
    """A frame and what stands in it, by its kind."""
    found = Frame.parse(raw)
    assert found.serialize() == raw, "other bytes"
    reader = READERS.get(found.kind)
    if reader is not None:
        reader(found.body)


_ANSWERS: tuple[Any, ...] = (Status, Signatures, messages.BestHeader, Sealed, Tick, RosterShown)


def reply(raw: bytes) -> None:
    """A reply, and the bodies that operators give."""
    found = Reply.parse(raw)
    assert found.serialize() == raw, "other bytes"
    body = found.unwrap()
    for kind in _ANSWERS:
        try:
            made = kind.from_fields(body)
        except InvalidInput:
            continue
        assert encode(made.fields()) == encode(body), f"{kind.__name__}: other fields"
    with contextlib.suppress(InvalidInput):
        link_frames.read_messages(body)


def request(raw: bytes) -> None:
    """A signing request has one encoding."""
    found = SigningRequest.parse(raw)
    assert found.serialize() == raw, "other bytes"
    for item in found.evidence:
        try:
            assert item.tx.serialize() == item.raw, "another transaction"
        except InvalidInput:
            continue


_SIGNED = (messages.Vote, messages.Open, messages.Promise, Hello, Grant, messages.Refusal)


def message(raw: bytes) -> None:
    """Every kind of signed message; a changed one does not verify."""
    from fuzz import seeds

    for kind in (*_SIGNED, Page):
        try:
            found = kind.parse(raw)
        except InvalidInput:
            continue
        assert found.serialize() == raw, f"{kind.__name__}: other bytes"
        if isinstance(found, messages.Message):
            try:
                found.verify(seeds.scope())
            except SignatureInvalid:
                continue
            assert _fields(found) in _signed(), f"{kind.__name__}: a signature for other fields"
    raise InvalidInput("read")


@cache
def _signed() -> frozenset[bytes]:
    """What the seeds' signatures are of."""
    found: set[bytes] = set()
    for raw in _messages():
        for kind in _SIGNED:
            with contextlib.suppress(InvalidInput):
                found.add(_fields(kind.parse(raw)))
    return frozenset(found)


def _fields(message: messages.Message) -> bytes:
    """What a message says, the same in each process: signatures inside it have random nonces."""
    if not isinstance(message, Grant):
        return message.digest()
    hellos = b"".join(hello.digest() for hello in message.seen)
    return replace(message, seen=()).digest() + hellos


def configuration(raw: bytes) -> None:
    """A configuration has one text."""
    text = raw.decode("utf-8", "replace")
    assert Configuration.from_json(text).to_json() == text, "another text"


@cache
def _enclave() -> Enclave:
    from fuzz import seeds

    return seeds.world().enclave()


def enclave(raw: bytes) -> None:
    """The enclave's one function: a refusal is signed, changes nothing, and is none of a fault."""
    _ask(_enclave(), raw)


def attested(raw: bytes) -> None:
    """The same of an enclave with links to others: whatever hosts carry between them."""
    from fuzz import seeds

    _ask(seeds.attested(), raw)


def _ask(asked: Enclave, raw: bytes) -> None:
    before = asked.state_hash()
    answer = asked.reply(raw)
    assert Reply.parse(answer.serialize()) == answer, "an answer that is not read"
    if answer.refusal is not None:
        said = answer.refusal
        assert said.rule != "InternalError", f"a fault inside: {said.message}"
        assert asked.state_hash() == before, "a refusal that changed something"
        raise Refused(said.rule, said.message)


@cache
def _gossips() -> Any:
    from fuzz import seeds

    return seeds.gossips()


def gossiped(raw: bytes) -> None:
    """What comes over a link: one encoding, and nobody's word is believed without a signature."""
    found = gossip.parse(raw)
    assert found.serialize() == raw, "other bytes"
    net = _gossips()
    knowing = net.members[0]
    state = knowing.view.agreed
    late = net.join(knowing.pair)
    net.members.pop()
    for member in (late, knowing):
        with contextlib.suppress(InvalidInput, SignatureInvalid, Refused):
            answer = member.gossip.take(raw)
            assert answer is None or len(answer) <= gossip.MAX_RAW, "too long for a link"
        assert member.view.agreed in (None, state), "a state that nobody agreed on"
        assert not member.view.guilty, "guilty without two words"
    assert knowing.view.agreed == state, "another state"


class _Line:
    """The writing half of a connection that takes everything."""

    def __init__(self) -> None:
        self.raw = bytearray()

    def write(self, raw: bytes) -> None:
        self.raw += raw

    async def drain(self) -> None:
        return


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def socket(raw: bytes) -> None:
    """All that a peer sends on one connection: each frame is answered, the rest is dropped."""
    seen: list[bytes] = []

    def answer(frame: bytes) -> bytes:
        seen.append(frame)
        return encode(["ok", len(frame)])

    async def served() -> None:
        reader, line = asyncio.StreamReader(limit=1 << 16), _Line()
        reader.feed_data(raw)
        reader.feed_eof()
        server = Server(None, answer)  # type: ignore[arg-type]
        try:
            while await server._one(reader, line):  # type: ignore[arg-type]
                pass
        except (OSError, EOFError, TimeoutError, InvalidInput):
            pass
        assert bytes(line.raw) == b"".join(
            frames.lengthened(encode(["ok", len(each)])) for each in seen
        ), "answers mixed"

    _loop().run_until_complete(served())
    whole = b"".join(frames.lengthened(each) for each in seen)
    assert raw.startswith(whole), "a frame that nobody sent"


def _frames() -> list[bytes]:
    from fuzz import seeds

    return [frame.raw for frame in seeds.frames()]


def _replies() -> list[bytes]:
    from fuzz import seeds

    return seeds.replies()


def _told() -> list[bytes]:
    from fuzz import seeds

    return seeds.gossip()


def _requests() -> list[bytes]:
    from fuzz import seeds

    return [seeds.request().serialize(), SigningRequest(b"").serialize()]


def _messages() -> list[bytes]:
    from fuzz import seeds

    return seeds.messages()


def _configurations() -> list[bytes]:
    from fuzz import seeds

    return [seeds.configuration().to_json().encode()]


def _lines() -> list[bytes]:
    raws = _frames()
    some = [frames.lengthened(raw) for raw in sorted(raws, key=len)[:6]]
    return [b"".join(some), *some, b"\xff\xff\xff\xff", b"\x00\x00\x00\x00" * 3]


def _bare() -> list[bytes]:
    return [*_frames(), *(encode([kind, None]) for kind in KINDS), encode(decode(encode([])))]


TARGETS = (
    Target("frame", frame, _frames, most=32_768),
    Target("reply", reply, _replies, refusals=(InvalidInput, Refused), most=8_192),
    Target("signing request", request, _requests, most=32_768),
    Target("signed message", message, _messages),
    Target("configuration", configuration, _configurations),
    Target("socket frame", socket, _lines, most=8_192),
    Target("enclave", enclave, _bare, refusals=(Refused,), most=32_768),
    Target("attested enclave", attested, _bare, refusals=(Refused,), most=32_768),
    Target("gossip", gossiped, _told),
)
