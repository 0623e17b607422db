"""Frames between host and enclave, and over HTTP: what is asked, and what comes back.

    frame = u32 little-endian length || canonical CBOR [kind, body]
    reply = ["ok", body] or ["refused", [refusal, standing or null]]

    kind                 body                                   ok body
    status               null                                   Status
    headers              [80-byte header..], oldest first       [hash, height, work] of the best
    first_roster/sign    [[key..], quorum, internal key]        64-byte signature
    first_roster/accept  FirstRoster                            null
    next_roster/sign     [epoch, [key..], quorum, internal key] 64-byte signature
    next_roster/agree    NextRoster                             null
    record               DeployRecord (evidence.py)             [epoch, roster id (36 bytes)]
    vote                 request                                Vote, ballot 0
    open                 [round, request]                       Open
    promise              [Open, request, [Promise..]]           Promise
    ballot               [[Promise..], request]                 Vote, ballot (r, F)
    sign                 [[Vote..], request]                    Signatures
    body                 family                                 Standing, or null when unknown
    spent                [raw tx, inclusion, [raw tx..]]        null
    history              HistoryPart (evidence.py)              [verdicts made, txid or null]
    hello                [epoch asked for, roster id]           Hello
    grant                [Hello, number of a page or null]      Grant, or that page of it
    newest               [operator, roster id]                  Hello of its newest, or null
    recover              [[Grant..], [page..]]                  [hash of a missing page..]
    restore              [[Vote..], request]                    null
    link/dial            null                                   [number, [bytes..]]
    link/answer          bytes                                  [number, [bytes..]]
    link/carry           [number, bytes]                        [bytes..]
    tick                 exchanges to begin                     Tick
    roster/say           a state of the roster                  null
    roster/expect        [key..]                                null
    roster/images        [[PCR0, PCR1, PCR2]..], or null        null
    roster/leave         whether                                null
    roster/view          null                                   RosterShown

`next_roster/sign` has an enclave vouch for a roster that is to follow and that it is in;
`next_roster/agree` tells an enclave which one its operator wants. Its own host alone asks for them.
`record` brings the deploy first and then each later spend of the Grail NFT, in order.
A roster's id is the outpoint at which the Grail NFT lay when its epoch began: there is one voting
state for each.

From `hello` to `restore` they are for a new instance of an operator (ROUNDS.md, rule 6). Only its
own host has a use for `hello`, `recover` and `restore`. `grant` is for the other operators; an
older instance of the same operator that is shown the Hello stops voting, and answers null. `newest`
gives that Hello to whoever sees that the older one does not know of it.

The last nine are for enclaves that attest to each other (link_frames.py). Hosts bring what comes
out of one to the other end of its link; `link/answer`, `link/carry` and `roster/view` are for the
other operators, the rest for the own host.

`spent` shows a transaction in a block (ROUNDS.md, rule 8); the list leads from an unconfirmed one
that it conflicts with to one that hangs on it, and is empty when the operator knows that one.
`history` has transactions checked in full, back to the mints; the txid names one that a quorum
signed and that is not correct, and from then on the enclave signs nothing.
`request` is the byte string of a signing request (PSBT, bundles, evidence), signed messages are
byte strings too; the length is capped before anything is allocated (threat A14).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from grail.bitcoin.spv import Inclusion
from grail.codec import MAX_BYTES, decode, encode
from grail.errors import DecodeError, Refused, TooLarge, Unavailable
from grail.operators.grants import MAX_PAGE, MAX_PAGES, Grant, Hello
from grail.operators.messages import (
    MAX_MESSAGE,
    MAX_OPERATORS,
    MAX_OUTPOINTS,
    BestHeader,
    Family,
    Fields,
    Open,
    Promise,
    Refusal,
    Scope,
    Standing,
    Vote,
    read_outpoint,
)
from grail.operators.spent import MAX_PATH
from grail.types import OutPoint, Txid, XOnlyKey

STATUS: Final = "status"
HEADERS: Final = "headers"
FIRST_ROSTER_SIGN: Final = "first_roster/sign"
FIRST_ROSTER_ACCEPT: Final = "first_roster/accept"
NEXT_ROSTER_SIGN: Final = "next_roster/sign"
NEXT_ROSTER_AGREE: Final = "next_roster/agree"
RECORD: Final = "record"
VOTE: Final = "vote"
OPEN: Final = "open"
PROMISE: Final = "promise"
BALLOT: Final = "ballot"
SIGN: Final = "sign"
BODY: Final = "body"
SPENT: Final = "spent"
HISTORY: Final = "history"
HELLO: Final = "hello"
GRANT: Final = "grant"
NEWEST: Final = "newest"
RECOVER: Final = "recover"
RESTORE: Final = "restore"
LINK_DIAL: Final = "link/dial"
LINK_ANSWER: Final = "link/answer"
LINK_CARRY: Final = "link/carry"
TICK: Final = "tick"
ROSTER_SAY: Final = "roster/say"
ROSTER_EXPECT: Final = "roster/expect"
ROSTER_IMAGES: Final = "roster/images"
ROSTER_LEAVE: Final = "roster/leave"
ROSTER_VIEW: Final = "roster/view"

KINDS: Final = (
    STATUS,
    HEADERS,
    FIRST_ROSTER_SIGN,
    FIRST_ROSTER_ACCEPT,
    NEXT_ROSTER_SIGN,
    NEXT_ROSTER_AGREE,
    RECORD,
    VOTE,
    OPEN,
    PROMISE,
    BALLOT,
    SIGN,
    BODY,
    SPENT,
    HISTORY,
    HELLO,
    GRANT,
    NEWEST,
    RECOVER,
    RESTORE,
    LINK_DIAL,
    LINK_ANSWER,
    LINK_CARRY,
    TICK,
    ROSTER_SAY,
    ROSTER_EXPECT,
    ROSTER_IMAGES,
    ROSTER_LEAVE,
    ROSTER_VIEW,
)
"""Every kind of frame there is; anything else is a `DecodeError`."""

MAX_FRAME = MAX_BYTES + 2 * MAX_OPERATORS * MAX_MESSAGE // 8
"""A signing request of the largest size with a certificate beside it."""


MAX_LACKING = 4_096
"""Families that a status names at once: as many as an instance remembers."""


@dataclass(frozen=True)
class Frame:
    """One question: a kind and its body (a CBOR value)."""

    kind: str
    body: Any = None

    @cached_property
    def raw(self) -> bytes:
        """The canonical bytes, without the length; made once for all operators that are asked."""
        return encode([self.kind, self.body])

    def serialize(self) -> bytes:
        """The canonical bytes, without the length."""
        return self.raw

    @classmethod
    def parse(cls, raw: bytes) -> Frame:
        """Read a frame without its length. Raises `DecodeError` and its kinds."""
        parts = Fields(decode(raw, max_bytes=MAX_FRAME), "frame", 2)
        kind = parts.text("kind", 40)
        if kind not in KINDS:
            raise DecodeError(f"frame: got kind {kind!r}, expected one of {', '.join(KINDS)}")
        return cls(kind, parts.optional("body"))

    @cached_property
    def subject(self) -> bytes:
        """SHA-256 of the bytes: what a refusal of this frame names."""
        return hashlib.sha256(self.raw).digest()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: the body of an ok, or a signed refusal with what stands in the way."""

    body: Any = None
    refusal: Refusal | None = None
    standing: Standing | None = None

    def serialize(self) -> bytes:
        """The canonical bytes, without the length."""
        if self.refusal is None:
            return encode(["ok", self.body])
        standing = None if self.standing is None else self.standing.fields()
        return encode(["refused", [self.refusal.serialize(), standing]])

    @classmethod
    def parse(cls, raw: bytes) -> Reply:
        """Read a reply without its length. Raises `DecodeError` and its kinds."""
        parts = Fields(decode(raw, max_bytes=MAX_FRAME), "reply", 2)
        verdict = parts.text("verdict", 40)
        body = parts.optional("body")
        if verdict == "ok":
            return cls(body)
        if verdict != "refused":
            raise DecodeError(f"reply: got {verdict!r}, expected ok or refused")
        inner = Fields(body, "refused", 2)
        refusal = Refusal.parse(inner.blob("refusal", most=MAX_MESSAGE))
        standing = inner.optional("standing")
        return cls(None, refusal, None if standing is None else Standing.from_fields(standing))

    def unwrap(self) -> Any:
        """The body of an ok. Raises `Refused` with the refusal's words, its signature unchecked."""
        if self.refusal is None:
            return self.body
        said = self.refusal
        raise Refused(
            said.rule,
            said.message,
            operator=said.operator.hex(),
            got=said.got,
            expected=said.expected,
        )

    def blob(self) -> bytes:
        """The body of an ok that is bytes. Raises as `unwrap`, and `DecodeError`."""
        body = self.unwrap()
        if not isinstance(body, bytes):
            raise DecodeError("reply: expected bytes")
        return body


def lengthened(raw: bytes) -> bytes:
    """The bytes with their length in front, as they cross the socket. Raises `TooLarge`."""
    if len(raw) > MAX_FRAME:
        raise TooLarge(f"frame: got {len(raw)} bytes, expected at most {MAX_FRAME}")
    return len(raw).to_bytes(4, "little") + raw


def announced(prefix: bytes, most: int = MAX_FRAME) -> int:
    """The length that four bytes announce. Raises `TooLarge`, before anything is allocated."""
    size = int.from_bytes(prefix, "little")
    if len(prefix) != 4 or size > most:
        raise TooLarge(f"frame: {size} bytes announced, expected at most {most}")
    return size


@dataclass(frozen=True, slots=True)
class Instance:
    """Which instance of its operator an enclave is (ROUNDS.md, rules 6 and 7).

    `epoch` is 0 before it was granted one, `floor` the highest that an instance of this operator is
    known to have had. While it has not `recovered` it may sign, not vote. `lacking` are families of
    which it was told, and whose body or decision it does not hold; the first of them.
    """

    epoch: int
    floor: int
    recovered: bool
    lacking: tuple[Family, ...] = ()

    def fields(self) -> list[Any]:
        """As it stands inside a status."""
        return [self.epoch, self.floor, self.recovered, list(self.lacking[:MAX_LACKING])]

    @classmethod
    def from_fields(cls, value: Any) -> Instance:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "instance", 4)
        epoch, floor = parts.uint("epoch", 32), parts.uint("floor", 32)
        recovered = parts.optional("recovered")
        if type(recovered) is not bool:
            raise DecodeError("instance: recovered is neither true nor false")
        items = parts.items("lacking", MAX_LACKING)
        names = Fields(items, "instance: lacking")
        lacking = tuple(Family(names.blob("family", 32)) for _ in items)
        return cls(epoch, floor, recovered, lacking)


MAX_EPOCHS = 1_024
"""Epochs that a status names; the newest of them."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One epoch of the record as an enclave has it: who signs, from which height, and own place.

    `roster` is the roster's id. `index` and `instance` are there where its key is a member's.
    """

    epoch: int
    roster: OutPoint
    keys: tuple[XOnlyKey, ...]
    quorum: int
    internal_key: XOnlyKey
    start: int
    index: int | None = None
    instance: Instance | None = None

    def fields(self) -> list[Any]:
        """As it stands inside a status."""
        return [
            self.epoch,
            self.roster.serialize(),
            [bytes(key) for key in self.keys],
            self.quorum,
            bytes(self.internal_key),
            self.start,
            self.index,
            None if self.instance is None else self.instance.fields(),
        ]

    @classmethod
    def from_fields(cls, value: Any) -> Seat:
        """Read what `fields` wrote. Raises `DecodeError` or `InvalidInput`."""
        parts = Fields(value, "seat", 8)
        epoch = parts.uint("epoch", 32)
        roster = read_outpoint(parts.blob("roster id", 36), "seat")
        items = parts.items("keys", MAX_OPERATORS)
        members = Fields(items, "seat: keys")
        keys = tuple(XOnlyKey(members.blob("key", 32)) for _ in items)
        quorum, internal = parts.uint("quorum", 16), XOnlyKey(parts.blob("internal key", 32))
        start, index = parts.uint("start", 32), parts.optional("index")
        instance = parts.optional("instance")
        if index is not None and (type(index) is not int or not 0 <= index < len(keys)):
            raise DecodeError("seat: index is neither a member's nor null")
        found = None if instance is None else Instance.from_fields(instance)
        return cls(epoch, roster, keys, quorum, internal, start, index, found)


@dataclass(frozen=True, slots=True)
class Status:
    """What an enclave says of itself to its host. Unsigned: for people and for start-up only.

    `alarm` names a transaction that a quorum signed and that a full check found incorrect.
    `index`, `keys` and `quorum` are of the newest roster, or of the first once it is accepted;
    `epoch` and `roster` (its id) and `instance` are there once the deploy is on record. `seats` has
    every epoch on record, and `port` is where the Grail NFT lies by that record.
    """

    key: XOnlyKey
    network: bytes
    configuration: bytes
    best: BestHeader
    index: int | None = None
    epoch: int | None = None
    roster: OutPoint | None = None
    keys: tuple[XOnlyKey, ...] = ()
    quorum: int = 0
    alarm: Txid | None = None
    instance: Instance | None = None
    seats: tuple[Seat, ...] = ()
    port: OutPoint | None = None

    @property
    def scope(self) -> Scope:
        """What its messages are good for. Raises `Unavailable` before a deploy is on record."""
        if self.roster is None:
            raise Unavailable("the enclave has no roster on record")
        return Scope(self.network, self.roster, self.configuration, self.keys, self.quorum)

    def scope_of(self, seat: Seat) -> Scope:
        """What messages of this epoch are good for. Raises `InvalidInput`."""
        return Scope(self.network, seat.roster, self.configuration, seat.keys, seat.quorum)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Those of all epochs on record, the oldest first. Raises as `scope`."""
        if not self.seats:
            raise Unavailable("the enclave has no roster on record")
        return tuple(map(self.scope_of, self.seats))

    def fields(self) -> list[Any]:
        """The body of the reply."""
        return [
            bytes(self.key),
            self.network,
            self.configuration,
            self.best.fields(),
            self.index,
            self.epoch,
            None if self.roster is None else self.roster.serialize(),
            [bytes(key) for key in self.keys],
            self.quorum,
            None if self.alarm is None else bytes(self.alarm),
            None if self.instance is None else self.instance.fields(),
            [seat.fields() for seat in self.seats[-MAX_EPOCHS:]],
            None if self.port is None else self.port.serialize(),
        ]

    @classmethod
    def from_fields(cls, value: Any) -> Status:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "status", 13)
        key = XOnlyKey(parts.blob("key", 32))
        network = parts.blob("network", 32)
        configuration = parts.blob("configuration", 32)
        best = BestHeader.from_fields(parts.optional("best header"))
        index, epoch = parts.optional("index"), parts.optional("epoch")
        roster = parts.optional("roster id")
        for name, number in (("index", index), ("epoch", epoch)):
            if number is not None and (type(number) is not int or number < 0):
                raise DecodeError(f"status: {name} is not a number or null")
        if roster is not None and (type(roster) is not bytes or len(roster) != 36):
            raise DecodeError("status: roster id is not an outpoint or null")
        items = parts.items("keys", MAX_OPERATORS)
        members = Fields(items, "status: keys")
        quorum, alarm = parts.uint("quorum", 16), parts.optional("alarm")
        if alarm is not None and (type(alarm) is not bytes or len(alarm) != 32):
            raise DecodeError("status: alarm is not a txid or null")
        instance = parts.optional("instance")
        seats = tuple(Seat.from_fields(each) for each in parts.items("seats", MAX_EPOCHS))
        port = parts.optional("port")
        return cls(
            key,
            network,
            configuration,
            best,
            index,
            epoch,
            None if roster is None else OutPoint.parse(roster),
            tuple(XOnlyKey(members.blob("key", 32)) for _ in items),
            quorum,
            None if alarm is None else Txid(alarm),
            None if instance is None else Instance.from_fields(instance),
            seats,
            None if port is None else read_outpoint(port, "status"),
        )


@dataclass(frozen=True, slots=True)
class Signatures:
    """One operator's signatures on one transaction: (input, 64 bytes), inputs rising.

    They need no envelope: each verifies by itself against the operator's key and the input's hash.
    """

    txid: Txid
    signatures: tuple[tuple[int, bytes], ...]

    def fields(self) -> list[Any]:
        """The body of the reply."""
        return [bytes(self.txid), [[index, signature] for index, signature in self.signatures]]

    @classmethod
    def from_fields(cls, value: Any) -> Signatures:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "signatures", 2)
        txid = Txid(parts.blob("txid", 32))
        pairs = []
        for item in parts.items("signatures", MAX_OUTPOINTS):
            pair = Fields(item, "signature", 2)
            pairs.append((pair.uint("input", 16), pair.blob("signature", 64)))
        if [index for index, _ in pairs] != sorted({index for index, _ in pairs}):
            raise DecodeError("signatures: inputs are not strictly rising")
        return cls(txid, tuple(pairs))


# The bodies of the signing frames, both ways. The host only relays them; the enclave reads them,
# the client writes them.


def vote_frame(request: bytes) -> Frame:
    """Ask for a vote at the fast ballot."""
    return Frame(VOTE, request)


def open_frame(number: int, request: bytes) -> Frame:
    """Ask operator `number mod n` to open that round."""
    return Frame(OPEN, [number, request])


def promise_frame(opened: Open, request: bytes, shown: Sequence[Promise] = ()) -> Frame:
    """Ask for a promise of an opened ballot; `shown` tells one that lags how far the others are."""
    evidence = [promise.serialize() for promise in shown]
    return Frame(PROMISE, [opened.serialize(), request, evidence])


def ballot_frame(promises: Sequence[Promise], request: bytes) -> Frame:
    """Ask for a vote in a ballot, with the promises that allow it."""
    return Frame(BALLOT, [[promise.serialize() for promise in promises], request])


def sign_frame(votes: Sequence[Vote], request: bytes) -> Frame:
    """Ask for signatures, with the votes that decided."""
    return Frame(SIGN, [[vote.serialize() for vote in votes], request])


def body_frame(family: Family) -> Frame:
    """Ask for the request behind a family, and its decision where there is one."""
    return Frame(BODY, family)


def spent_frame(raw: bytes, inclusion: Inclusion, path: Sequence[bytes] = ()) -> Frame:
    """Show a transaction in a block, and unconfirmed ones that cannot confirm beside it."""
    return Frame(SPENT, [raw, inclusion.to_value(), list(path)])


def hello_frame(epoch: int, roster: OutPoint) -> Frame:
    """Have the own enclave ask for an epoch as a member of that roster."""
    return Frame(HELLO, [epoch, roster.serialize()])


def grant_frame(hello: Hello, page: int | None = None) -> Frame:
    """Ask for a grant, or for a page of it."""
    return Frame(GRANT, [hello.serialize(), page])


def newest_frame(operator: int, roster: OutPoint) -> Frame:
    """Ask for the word of the newest known instance of an operator of that roster."""
    return Frame(NEWEST, [operator, roster.serialize()])


def recover_frame(grants: Sequence[Grant], pages: Sequence[bytes] = ()) -> Frame:
    """Bring the own enclave grants, and pages of them."""
    return Frame(RECOVER, [[grant.serialize() for grant in grants], list(pages)])


def restore_frame(votes: Sequence[Vote], request: bytes) -> Frame:
    """Bring the own enclave a body that it lacks, with the votes that decided, if they did."""
    return Frame(RESTORE, [[vote.serialize() for vote in votes], request])


def read_hello(body: Any) -> tuple[int, OutPoint]:
    """The epoch and the roster's id of a hello frame. Raises `DecodeError`."""
    parts = Fields(body, "hello frame", 2)
    return parts.uint("epoch", 32), read_outpoint(parts.blob("roster id", 36), "hello frame")


def read_grant(body: Any) -> tuple[Hello, int | None]:
    """Hello and page number of a grant frame. Raises `DecodeError`; nothing is verified yet."""
    parts = Fields(body, "grant frame", 2)
    hello = Hello.parse(parts.blob("hello", most=MAX_MESSAGE))
    number = parts.optional("page")
    return hello, None if number is None else Fields([number], "grant frame").uint("page", 16)


def read_newest(body: Any) -> tuple[int, OutPoint]:
    """The operator and the roster's id of a newest frame. Raises `DecodeError`."""
    parts = Fields(body, "newest frame", 2)
    return parts.uint("operator", 16), read_outpoint(parts.blob("roster id", 36), "newest frame")


def read_recover(body: Any) -> tuple[tuple[Grant, ...], tuple[bytes, ...]]:
    """Grants and pages of a recover frame. Raises `DecodeError`; nothing is verified yet."""
    parts = Fields(body, "recover frame", 2)
    items = parts.items("grants", MAX_OPERATORS)
    raws = Fields(items, "recover frame: grants")
    grants = tuple(Grant.parse(raws.blob("grant", most=MAX_MESSAGE)) for _ in items)
    items = parts.items("pages", MAX_PAGES)
    raws = Fields(items, "recover frame: pages")
    return grants, tuple(raws.blob("page", most=MAX_PAGE) for _ in items)


def read_spent(body: Any) -> tuple[bytes, Inclusion, tuple[bytes, ...]]:
    """Transaction, inclusion and path of a spent frame. Raises `DecodeError`; none is checked."""
    parts = Fields(body, "spent frame", 3)
    raw = parts.blob("transaction", most=MAX_BYTES)
    inclusion = Inclusion.from_value(parts.optional("inclusion"))
    items = parts.items("path", MAX_PATH)
    raws = Fields(items, "spent frame: path")
    return raw, inclusion, tuple(raws.blob("transaction", most=MAX_BYTES) for _ in items)


def read_vote(body: Any) -> bytes:
    """The request of a vote frame. Raises `DecodeError`."""
    return Fields([body], "vote frame").blob("request", most=MAX_BYTES)


def read_open(body: Any) -> tuple[int, bytes]:
    """Round and request of an open frame. Raises `DecodeError`."""
    parts = Fields(body, "open frame", 2)
    return parts.uint("round", 32), parts.blob("request", most=MAX_BYTES)


def read_promise(body: Any) -> tuple[Open, bytes, tuple[Promise, ...]]:
    """Open, request and evidence of a promise frame.

    Raises `DecodeError`; nothing is verified yet.
    """
    parts = Fields(body, "promise frame", 3)
    opened = Open.parse(parts.blob("open", most=MAX_MESSAGE))
    request = parts.blob("request", most=MAX_BYTES)
    return opened, request, _promises(parts.items("evidence", MAX_OPERATORS))


def read_ballot(body: Any) -> tuple[tuple[Promise, ...], bytes]:
    """Promises and request of a ballot frame. Raises `DecodeError`; nothing is verified yet."""
    parts = Fields(body, "ballot frame", 2)
    promises = _promises(parts.items("promises", MAX_OPERATORS))
    return promises, parts.blob("request", most=MAX_BYTES)


def _promises(items: list[Any]) -> tuple[Promise, ...]:
    raws = Fields(items, "promises")
    return tuple(Promise.parse(raws.blob("promise", most=MAX_MESSAGE)) for _ in items)


def read_sign(body: Any) -> tuple[tuple[Vote, ...], bytes]:
    """Votes and request of a sign or restore frame.

    Raises `DecodeError`; nothing is verified yet.
    """
    parts = Fields(body, "sign frame", 2)
    items = parts.items("votes", MAX_OPERATORS)
    raws = Fields(items, "sign frame: votes")
    votes = tuple(Vote.parse(raws.blob("vote", most=MAX_MESSAGE)) for _ in items)
    return votes, parts.blob("request", most=MAX_BYTES)


def read_body(body: Any) -> Family:
    """The family of a body frame. Raises `DecodeError`."""
    return Family(Fields([body], "body frame").blob("family", 32))
