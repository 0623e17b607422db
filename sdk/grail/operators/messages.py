"""Every message that operators sign, byte for byte (ROUNDS.md, MESSAGES).

    Vote      this instance votes for family F in a ballot, over all guarded outpoints of T at once
    Open      operator r mod n opens round r for one family
    Promise   this instance promises ballot (r, F), and reports its votes
    Refusal   an operator says no: rule, got, expected

All are canonical CBOR arrays. Each kind is signed under a tag of its own, over network, roster id,
configuration digest, sender, V, best header and its fields, so that a signature of one kind,
network or roster never verifies as another (threats R17, S32). `parse` gives a well-formed message,
`verify` raises unless its signature holds in a `Scope`; nothing here decides anything.
"""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NewType, Self

from grail.codec import decode, encode
from grail.crypto import schnorr
from grail.errors import DecodeError, InvalidInput, SignatureInvalid
from grail.types import BlockHash, OutPoint, Txid, XOnlyKey

Family = NewType("Family", bytes)
"""F(T), 32 bytes: what a vote is for. Transactions that differ in their change alone share it."""

FIRST_EPOCH = 1
"""The epoch of an instance that drew its operator's key itself: there was none before it. All later
ones are granted by other operators (ROUNDS.md, rule 6)."""

MAX_OPERATORS = 64
"""Far above the sixteen of a roster; bounds what a message may carry."""

MAX_OUTPOINTS = 128
"""Guarded inputs of one transaction: 20 of the vault, 32 rows, 8 ports a contract, and room."""

MAX_MESSAGE = 64 * 1024
"""Bytes of one signed message: a promise over MAX_OUTPOINTS takes 13 KB, a refusal's texts 4 KB."""

MAX_TEXT = 1024
"""Characters of one text of a refusal."""


class Fields:
    """Takes a decoded CBOR array apart, in order; each piece of a wrong type is a `DecodeError`."""

    def __init__(self, value: Any, what: str, count: int | None = None) -> None:
        if not isinstance(value, (list, tuple)):
            raise DecodeError(f"{what}: got {type(value).__name__}, expected an array")
        if count is not None and len(value) != count:
            raise DecodeError(f"{what}: got {len(value)} fields, expected {count}")
        self._items = list(value)
        self._what = what

    def _next(self, name: str, kind: type) -> Any:
        if not self._items:
            raise DecodeError(f"{self._what}: {name} is missing")
        value = self._items.pop(0)
        if type(value) is not kind:
            got = type(value).__name__
            raise DecodeError(f"{self._what}: {name} is {got}, expected {kind.__name__}")
        return value

    def uint(self, name: str, bits: int) -> int:
        """The next unsigned integer, below 2^bits."""
        value: int = self._next(name, int)
        if not 0 <= value < 1 << bits:
            raise DecodeError(f"{self._what}: {name} is outside 0 to 2^{bits} - 1")
        return value

    def blob(self, name: str, size: int | None = None, most: int | None = None) -> bytes:
        """The next byte string, of exactly `size` or at most `most` bytes."""
        value: bytes = self._next(name, bytes)
        if size is not None and len(value) != size:
            raise DecodeError(f"{self._what}: {name} has {len(value)} bytes, expected {size}")
        if most is not None and len(value) > most:
            raise DecodeError(f"{self._what}: {name} has {len(value)} bytes, at most {most}")
        return value

    def text(self, name: str, most: int = MAX_TEXT) -> str:
        """The next text."""
        value: str = self._next(name, str)
        if len(value) > most:
            raise DecodeError(f"{self._what}: {name} has {len(value)} characters, at most {most}")
        return value

    def items(self, name: str, most: int) -> list[Any]:
        """The next array, as its items."""
        value: list[Any] = self._next(name, list)
        if len(value) > most:
            raise DecodeError(f"{self._what}: {name} has {len(value)} items, at most {most}")
        return value

    def optional(self, name: str) -> Any:
        """The next value as it is; the caller looks at its type (null or something else)."""
        if not self._items:
            raise DecodeError(f"{self._what}: {name} is missing")
        return self._items.pop(0)

    def end(self) -> None:
        """Refuse fields that are left."""
        if self._items:
            raise DecodeError(f"{self._what}: {len(self._items)} fields too many")


def read_outpoints(items: Sequence[Any], what: str) -> tuple[OutPoint, ...]:
    """Outpoints that rise strictly, at least one. Raises `DecodeError`."""
    found = tuple(read_outpoint(item, what) for item in items)
    if not found or list(found) != sorted(set(found)):
        raise DecodeError(f"{what}: outpoints are not strictly rising, or none is there")
    return found


def read_outpoint(item: Any, what: str) -> OutPoint:
    """One outpoint. Raises `DecodeError`."""
    if type(item) is not bytes:
        raise DecodeError(f"{what}: an outpoint is {type(item).__name__}, expected bytes")
    try:
        return OutPoint.parse(item)
    except InvalidInput as exc:
        raise DecodeError(f"{what}: {exc}") from exc


@dataclass(frozen=True, slots=True)
class BestHeader:
    """The tip of the heaviest chain that a sender was shown; `work` is the chain's sum."""

    hash: BlockHash
    height: int
    work: int

    def fields(self) -> list[Any]:
        """As it stands inside a message."""
        return [bytes(self.hash), self.height, self.work]

    @classmethod
    def from_fields(cls, value: Any) -> BestHeader:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "best header", 3)
        return cls(
            BlockHash(parts.blob("hash", 32)), parts.uint("height", 32), parts.uint("work", 256)
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """What a message is good for: one network, roster and configuration, and who may sign.

    `roster` is the Grail NFT's outpoint, `keys` the operators' keys by rank. Raises `InvalidInput`
    when rounds of this size would not be safe: 3q > 2n is what the fast ballot needs, and what
    `recovery` others remember must tell one fast vote from every other.
    """

    network: bytes
    roster: OutPoint
    configuration: bytes
    keys: tuple[XOnlyKey, ...]
    quorum: int

    def __post_init__(self) -> None:
        if list(self.keys) != sorted(set(self.keys)) or not 0 < len(self.keys) <= MAX_OPERATORS:
            raise InvalidInput("scope: keys are not sorted and distinct, or too many")
        if not 2 * len(self.keys) < 3 * self.quorum <= 3 * len(self.keys):
            raise InvalidInput(f"scope: {self.quorum} of {len(self.keys)}, expected 3q > 2n")
        others, least = self.n - 1, self.recovery
        if not 2 * (self.quorum - 1 - others + least) > least:
            raise InvalidInput(f"scope: {least} grants, expected 2((q-1) - (n-1) + m) > m")
        if len(self.network) != 32 or len(self.configuration) != 32:
            raise InvalidInput("scope: network id and configuration digest have 32 bytes")

    @property
    def n(self) -> int:
        """How many operators there are."""
        return len(self.keys)

    @property
    def recovery(self) -> int:
        """m: of how many others a new instance needs grants, 9 at 12 of 16.

        The least with 2((q-1) - (n-1) + m) > m, so that two fast votes are never both adopted. A
        roster of one has nobody to ask.
        """
        return 2 * (self.n - self.quorum) + 1

    def index(self, key: XOnlyKey) -> int:
        """The rank of a member's key. Raises `InvalidInput` for a stranger's."""
        if key not in self.keys:
            raise InvalidInput(f"key {key} is not in the roster")
        return self.keys.index(key)


@dataclass(frozen=True, slots=True)
class Head:
    """The part that Vote, Open and Promise share.

    `v` holds the highest epoch that the sender has seen of each operator, its own at `v[sender]`;
    on the wire it is four little-endian bytes each.
    """

    network: bytes
    roster: OutPoint
    configuration: bytes
    sender: int
    v: tuple[int, ...]
    best: BestHeader

    def fields(self) -> list[Any]:
        """As it stands inside a message."""
        return [
            self.network,
            self.roster.serialize(),
            self.configuration,
            self.sender,
            b"".join(epoch.to_bytes(4, "little") for epoch in self.v),
            self.best.fields(),
        ]

    @classmethod
    def from_fields(cls, value: Any, what: str) -> Head:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, what, 6)
        network = parts.blob("network", 32)
        roster = read_outpoint(parts.blob("roster id", 36), what)
        configuration = parts.blob("configuration", 32)
        sender = parts.uint("sender", 8)
        epochs = parts.blob("V", most=4 * MAX_OPERATORS)
        if len(epochs) % 4:
            raise DecodeError(f"{what}: V has {len(epochs)} bytes, expected four an operator")
        return cls(
            network,
            roster,
            configuration,
            sender,
            tuple(epoch for (epoch,) in struct.iter_unpack("<I", epochs)),
            BestHeader.from_fields(parts.optional("best header")),
        )


@dataclass(frozen=True, slots=True)
class Message:
    """A signed message of a member of the roster."""

    KIND: ClassVar[str]
    head: Head
    signature: bytes = field(default=b"", kw_only=True, repr=False)

    @abstractmethod
    def _body(self) -> list[Any]:
        """The fields of this kind."""

    @classmethod
    @abstractmethod
    def _read(cls, head: Head, parts: Fields, signature: bytes) -> Self:
        """From the fields of this kind."""

    def digest(self) -> bytes:
        """What is signed: H("grail/<kind>/1", NET || [kind, head, fields])."""
        covered = encode([self.KIND, self.head.fields(), self._body()])
        return schnorr.tagged_hash(f"grail/{self.KIND}/1", self.head.network + covered)

    def signed(self, key: schnorr.KeyPair) -> Self:
        """This message with the sender's signature."""
        return replace(self, signature=key.sign(self.digest()))

    def serialize(self) -> bytes:
        """The canonical bytes: [kind, head, fields, signature]."""
        return encode([self.KIND, self.head.fields(), self._body(), self.signature])

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a message of this kind. Raises `DecodeError` and its kinds."""
        parts = Fields(decode(raw, max_bytes=MAX_MESSAGE), cls.KIND, 4)
        kind = parts.text("kind")
        if kind != cls.KIND:
            raise DecodeError(f"message: got kind {kind[:40]!r}, expected {cls.KIND!r}")
        head = Head.from_fields(parts.optional("head"), cls.KIND)
        body = Fields(parts.optional("fields"), cls.KIND)
        message = cls._read(head, body, parts.blob("signature", 64))
        body.end()
        return message

    def verify(self, scope: Scope) -> None:
        """Raise `SignatureInvalid` unless a member of this scope signed this message in it."""
        head = self.head
        for name, got, expected in (
            ("network", head.network, scope.network),
            ("roster id", head.roster, scope.roster),
            ("configuration", head.configuration, scope.configuration),
        ):
            if got != expected:
                raise SignatureInvalid(f"{self.KIND}: made for another {name}")
        if head.sender >= scope.n or len(head.v) != scope.n:
            raise SignatureInvalid(f"{self.KIND}: sender {head.sender} is not in the roster")
        if any(epoch < FIRST_EPOCH for epoch in head.v):
            raise SignatureInvalid(f"{self.KIND}: V names an epoch below the first")
        schnorr.verify(scope.keys[head.sender], self.digest(), self.signature)


@dataclass(frozen=True, slots=True)
class Vote(Message):
    """A vote for family `family` in round `round`, on all of `outpoints` (rising) at once.

    Round 0 is the fast ballot; from 1 on the ballot is (round, family).
    """

    KIND: ClassVar[str] = "vote"
    round: int
    family: Family
    outpoints: tuple[OutPoint, ...]

    def _body(self) -> list[Any]:
        return [self.round, self.family, [o.serialize() for o in self.outpoints]]

    @classmethod
    def _read(cls, head: Head, parts: Fields, signature: bytes) -> Self:
        return cls(
            head,
            parts.uint("round", 32),
            Family(parts.blob("family", 32)),
            read_outpoints(parts.items("outpoints", MAX_OUTPOINTS), cls.KIND),
            signature=signature,
        )


@dataclass(frozen=True, slots=True)
class Open(Message):
    """Operator `round mod n` opens round `round` (1 or more) for one family."""

    KIND: ClassVar[str] = "open"
    round: int
    family: Family

    def _body(self) -> list[Any]:
        return [self.round, self.family]

    @classmethod
    def _read(cls, head: Head, parts: Fields, signature: bytes) -> Self:
        return cls(
            head, parts.uint("round", 32), Family(parts.blob("family", 32)), signature=signature
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a promise says of one outpoint: the vote that stands there, if any."""

    outpoint: OutPoint
    round: int
    family: Family | None

    def fields(self) -> list[Any]:
        """[outpoint, null] or [outpoint, [round, family]]."""
        vote = None if self.family is None else [self.round, self.family]
        return [self.outpoint.serialize(), vote]

    @classmethod
    def from_fields(cls, value: Any) -> Report:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "report", 2)
        outpoint = read_outpoint(parts.blob("outpoint", 36), "report")
        vote = parts.optional("vote")
        if vote is None:
            return cls(outpoint, 0, None)
        voted = Fields(vote, "report", 2)
        return cls(outpoint, voted.uint("round", 32), Family(voted.blob("family", 32)))


@dataclass(frozen=True, slots=True)
class Promise(Message):
    """The promise of ballot (round, family), with a report for each guarded outpoint (rising)."""

    KIND: ClassVar[str] = "promise"
    round: int
    family: Family
    reports: tuple[Report, ...]

    @property
    def outpoints(self) -> tuple[OutPoint, ...]:
        """The guarded outpoints it covers."""
        return tuple(report.outpoint for report in self.reports)

    def _body(self) -> list[Any]:
        return [self.round, self.family, [report.fields() for report in self.reports]]

    @classmethod
    def _read(cls, head: Head, parts: Fields, signature: bytes) -> Self:
        number, family = parts.uint("round", 32), Family(parts.blob("family", 32))
        reports = tuple(Report.from_fields(item) for item in parts.items("reports", MAX_OUTPOINTS))
        read_outpoints([report.outpoint.serialize() for report in reports], cls.KIND)
        return cls(head, number, family, reports, signature=signature)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator says no to one request, and signs it. It needs no roster: one may not rule yet.

    `subject` is SHA-256 of the frame that is refused; `rule` is the refusal's name in PROTOCOL.md;
    `got` and `expected` are short texts for people, never secrets.
    """

    KIND: ClassVar[str] = "refusal"
    network: bytes
    configuration: bytes
    operator: XOnlyKey
    subject: bytes
    rule: str
    message: str
    got: str = ""
    expected: str = ""
    signature: bytes = field(default=b"", kw_only=True, repr=False)

    def _covered(self) -> list[Any]:
        texts = [text[:MAX_TEXT] for text in (self.rule, self.message, self.got, self.expected)]
        return [self.network, self.configuration, bytes(self.operator), self.subject, *texts]

    def digest(self) -> bytes:
        """What is signed: H("grail/refusal/1", NET || [kind, fields])."""
        covered = encode([self.KIND, self._covered()])
        return schnorr.tagged_hash("grail/refusal/1", self.network + covered)

    def signed(self, key: schnorr.KeyPair) -> Refusal:
        """This refusal with the operator's signature."""
        return replace(self, signature=key.sign(self.digest()))

    def serialize(self) -> bytes:
        """The canonical bytes: [kind, fields, signature]."""
        return encode([self.KIND, self._covered(), self.signature])

    @classmethod
    def parse(cls, raw: bytes) -> Refusal:
        """Read a refusal. Raises `DecodeError` and its kinds."""
        outer = Fields(decode(raw, max_bytes=MAX_MESSAGE), cls.KIND, 3)
        if outer.text("kind") != cls.KIND:
            raise DecodeError("message: not a refusal")
        parts = Fields(outer.optional("fields"), cls.KIND, 8)
        return cls(
            parts.blob("network", 32),
            parts.blob("configuration", 32),
            XOnlyKey(parts.blob("operator", 32)),
            parts.blob("subject", 32),
            *(parts.text(name) for name in ("rule", "message", "got", "expected")),
            signature=outer.blob("signature", 64),
        )

    def verify(self, network: bytes, operator: XOnlyKey, subject: bytes) -> None:
        """Raise `SignatureInvalid` unless that operator refused that very frame on this network."""
        if self.network != network or self.operator != operator or self.subject != subject:
            raise SignatureInvalid("refusal: of another network, operator or request")
        schnorr.verify(operator, self.digest(), self.signature)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands in the way of a vote or promise, with what is needed to finish it.

    `promised` is the highest round promised on the outpoints asked for. `family`, `outpoints`,
    `txid` and `body` (the signing request) are those of the transaction in the way, at ballot
    (`round`, `family`); `decision` holds the votes of D(family) when it is decided. When
    only a promise stands in the way, `family` is None. An empty `body` was dropped to save memory.
    """

    rule: str
    promised: int
    round: int = 0
    family: Family | None = None
    outpoints: tuple[OutPoint, ...] = ()
    txid: Txid | None = None
    decision: tuple[Vote, ...] = ()
    body: bytes = field(default=b"", repr=False)

    def fields(self) -> list[Any]:
        """As it stands inside a reply."""
        rival: list[Any] | None = None
        if self.family is not None and self.txid is not None:
            rival = [
                self.round,
                self.family,
                [o.serialize() for o in self.outpoints],
                bytes(self.txid),
                [vote.serialize() for vote in self.decision],
                self.body,
            ]
        return [self.rule, self.promised, rival]

    @classmethod
    def from_fields(cls, value: Any) -> Standing:
        """Read what `fields` wrote. Raises `DecodeError`. The votes are not verified yet."""
        outer = Fields(value, "standing", 3)
        rule, promised = outer.text("rule"), outer.uint("promised", 32)
        rival = outer.optional("rival")
        if rival is None:
            return cls(rule, promised)
        parts = Fields(rival, "standing", 6)
        number, family = parts.uint("round", 32), Family(parts.blob("family", 32))
        outpoints = read_outpoints(parts.items("outpoints", MAX_OUTPOINTS), "standing")
        txid = Txid(parts.blob("txid", 32))
        votes = Fields(items := parts.items("decision", MAX_OPERATORS), "standing: decision")
        decision = tuple(Vote.parse(votes.blob("vote", most=MAX_MESSAGE)) for _ in items)
        return cls(rule, promised, number, family, outpoints, txid, decision, parts.blob("body"))
