"""What a new instance of an operator asks of the others, and what they tell it (ROUNDS.md, rule 6).

    Hello     this instance of operator i asks for an epoch
    Grant     operator j knows of no newer instance of i, will know of this one from now on, and
              says what it has promised and voted for

A Grant is small, whatever its sender remembers: that lies in pages, each named by its hash in the
Grant. A page is canonical CBOR `[[claim..], [[outpoint, round, family]..]]`; a claim is
`[family, txid, [outpoint..], vote's round or null, decided]`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from grail.codec import decode, encode
from grail.errors import DecodeError, InvalidInput, SignatureInvalid
from grail.operators.messages import (
    MAX_MESSAGE,
    MAX_OPERATORS,
    MAX_OUTPOINTS,
    Family,
    Fields,
    Head,
    Message,
    Scope,
    read_outpoint,
    read_outpoints,
)
from grail.types import OutPoint, Txid, XOnlyKey

MAX_EPOCH = (1 << 32) - 1
"""V has four bytes for each operator."""

MAX_PAGE = 256_000
"""Bytes of one page: some 3,000 promises, or 50 transactions of the largest size."""

MAX_PAGES = 128
"""Pages of one grant: twice what the caps of one memory can fill."""


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """An instance asks to be its operator's newest: `epoch` is what it asks for.

    `instance` is the key that was drawn when its process started, `nonce` is of this one question.
    V holds at its own place what it asks for; of the others it may know nothing yet.
    """

    KIND: ClassVar[str] = "hello"
    epoch: int
    instance: XOnlyKey
    nonce: bytes

    def _body(self) -> list[Any]:
        return [self.epoch, bytes(self.instance), self.nonce]

    @classmethod
    def _read(cls, head: Head, parts: Fields, signature: bytes) -> Hello:
        return cls(
            head,
            parts.uint("epoch", 32),
            XOnlyKey(parts.blob("instance key", 32)),
            parts.blob("nonce", 32),
            signature=signature,
        )

    def verify(self, scope: Scope) -> None:
        """Raise `SignatureInvalid` unless that operator's key signed it in this scope."""
        # Not super(): a dataclass with slots is another class than the one that is being written.
        Message.verify(self, scope)
        if self.head.v[self.head.sender] != self.epoch:
            raise SignatureInvalid("hello: V and the epoch asked for differ")

    def same(self, other: Hello) -> bool:
        """Whether both are one question, however often it was signed."""
        return (self.head.sender, self.epoch, self.instance, self.nonce) == (
            other.head.sender,
            other.epoch,
            other.instance,
            other.nonce,
        )


@dataclass(frozen=True, slots=True)
class Grant(Message):
    """An operator grants another's instance an epoch, and says what it remembers itself.

    The first four fields repeat the Hello. `pages` are the SHA-256 of the pages; `seen` holds for
    each operator whose place in V is above the first epoch that operator's own Hello: of an epoch,
    only the operator whose it is can be believed.
    """

    KIND: ClassVar[str] = "grant"
    operator: int
    epoch: int
    instance: XOnlyKey
    nonce: bytes
    pages: tuple[bytes, ...]
    seen: tuple[Hello, ...]

    def _body(self) -> list[Any]:
        return [
            self.operator,
            self.epoch,
            bytes(self.instance),
            self.nonce,
            list(self.pages),
            [hello.serialize() for hello in self.seen],
        ]

    @classmethod
    def _read(cls, head: Head, parts: Fields, signature: bytes) -> Grant:
        operator, epoch = parts.uint("operator", 8), parts.uint("epoch", 32)
        instance, nonce = XOnlyKey(parts.blob("instance key", 32)), parts.blob("nonce", 32)
        items = parts.items("pages", MAX_PAGES)
        hashes = Fields(items, "grant: pages")
        pages = tuple(hashes.blob("hash", 32) for _ in items)
        items = parts.items("hellos", MAX_OPERATORS)
        raws = Fields(items, "grant: hellos")
        seen = tuple(Hello.parse(raws.blob("hello", most=MAX_MESSAGE)) for _ in items)
        return cls(head, operator, epoch, instance, nonce, pages, seen, signature=signature)

    def verify(self, scope: Scope) -> None:
        """Raise `SignatureInvalid` unless a member signed it, and each epoch in V has its proof."""
        Message.verify(self, scope)
        proven: dict[int, int] = {}
        for hello in self.seen:
            hello.verify(scope)
            proven[hello.head.sender] = hello.epoch
        for operator, epoch in enumerate(self.head.v):
            if epoch != proven.get(operator, 1):
                raise SignatureInvalid(
                    f"grant: epoch {epoch} of operator {operator} is not shown by its own word"
                )

    def answers(self, hello: Hello) -> bool:
        """Whether this grants that question."""
        return (self.operator, self.epoch, self.instance, self.nonce) == (
            hello.head.sender,
            hello.epoch,
            hello.instance,
            hello.nonce,
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """What an operator says of one transaction: its vote's round, if it has one, and D(F) or not.

    A vote is for all outpoints at once, so they are here together.
    """

    family: Family
    txid: Txid
    outpoints: tuple[OutPoint, ...]
    round: int | None
    decided: bool

    def fields(self) -> list[Any]:
        """As it stands inside a page."""
        places = [outpoint.serialize() for outpoint in self.outpoints]
        return [self.family, bytes(self.txid), places, self.round, self.decided]

    @classmethod
    def from_fields(cls, value: Any) -> Claim:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "claim", 5)
        family, txid = Family(parts.blob("family", 32)), Txid(parts.blob("txid", 32))
        outpoints = read_outpoints(parts.items("outpoints", MAX_OUTPOINTS), "claim")
        number, decided = parts.optional("round"), parts.optional("decided")
        if number is not None:
            number = Fields([number], "claim").uint("round", 32)
        if type(decided) is not bool or (number is None and not decided):
            raise DecodeError("claim: expected a vote or a decision")
        return cls(family, txid, outpoints, number, decided)


@dataclass(frozen=True, slots=True)
class Promised:
    """The highest ballot that was promised at an outpoint."""

    outpoint: OutPoint
    round: int
    family: Family

    def fields(self) -> list[Any]:
        """As it stands inside a page."""
        return [self.outpoint.serialize(), self.round, self.family]

    @classmethod
    def from_fields(cls, value: Any) -> Promised:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "promised", 3)
        outpoint = read_outpoint(parts.blob("outpoint", 36), "promised")
        return cls(outpoint, parts.uint("round", 32), Family(parts.blob("family", 32)))


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what an operator remembers."""

    claims: tuple[Claim, ...]
    promises: tuple[Promised, ...]

    def serialize(self) -> bytes:
        """The canonical bytes."""
        claims = [claim.fields() for claim in self.claims]
        return encode([claims, [promise.fields() for promise in self.promises]])

    @classmethod
    def parse(cls, raw: bytes) -> Page:
        """Read a page. Raises `DecodeError` and its kinds."""
        parts = Fields(decode(raw, max_bytes=MAX_PAGE), "page", 2)
        claims = tuple(Claim.from_fields(item) for item in parts.items("claims", MAX_PAGE))
        items = parts.items("promises", MAX_PAGE)
        return cls(claims, tuple(Promised.from_fields(item) for item in items))


def page_hash(raw: bytes) -> bytes:
    """What a grant names a page by."""
    return hashlib.sha256(raw).digest()


def paged(claims: Sequence[Claim], promises: Sequence[Promised]) -> tuple[bytes, ...]:
    """These, in as many pages as it takes; none for an empty memory.

    Raises `InvalidInput` when that is more than a grant may name.
    """
    pages = tuple(Page(*page).serialize() for page in _split(claims, promises))
    if len(pages) > MAX_PAGES:
        raise InvalidInput(f"grant: {len(pages)} pages, expected at most {MAX_PAGES}")
    return pages


def _split(
    claims: Sequence[Claim], promises: Sequence[Promised]
) -> Iterator[tuple[tuple[Claim, ...], tuple[Promised, ...]]]:
    some_claims: list[Claim] = []
    some_promises: list[Promised] = []
    size = 0
    everything: tuple[Claim | Promised, ...] = (*claims, *promises)
    for each in everything:
        # What it takes in CBOR, rounded up.
        more = 96 + 40 * len(each.outpoints) if isinstance(each, Claim) else 84
        if size + more > MAX_PAGE - 16:
            yield tuple(some_claims), tuple(some_promises)
            some_claims, some_promises, size = [], [], 0
        if isinstance(each, Claim):
            some_claims.append(each)
        else:
            some_promises.append(each)
        size += more
    if size:
        yield tuple(some_claims), tuple(some_promises)
