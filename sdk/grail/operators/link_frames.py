"""The frames by which hosts carry links between enclaves: what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grail.errors import DecodeError
from grail.operators import frames
from grail.operators.attesting import MAX_IMAGES, PCR_BYTES, Image
from grail.operators.frames import Frame
from grail.operators.messages import MAX_OPERATORS, Fields
from grail.types import XOnlyKey

MAX_SEALED: Final = 65_535
"""Bytes of one message of a link."""
MAX_MESSAGES: Final = 64
"""Messages that go over at once."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Messages of one link, by the number that its enclave gave it."""

    number: int
    messages: tuple[bytes, ...]

    def fields(self) -> list[Any]:
        """[number, [bytes..]]."""
        return [self.number, list(self.messages)]

    @classmethod
    def from_fields(cls, value: Any) -> Sealed:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "sealed", 2)
        return cls(parts.uint("number", 63), read_messages(parts.optional("messages")))


@dataclass(frozen=True, slots=True)
class Tick:
    """What came of a tick: `alive` of `members` live, `links` are open, `out` goes out.

    `dialled` are the numbers of the open links that this end began; `busy`: a state of the roster
    is being decided just now, so the next tick had better come soon.
    """

    alive: int
    members: int
    links: int
    dialled: tuple[int, ...]
    out: tuple[Sealed, ...]
    busy: bool = False

    def fields(self) -> list[Any]:
        """[alive, members, links, busy, [number..], [sealed..]]."""
        out = [each.fields() for each in self.out]
        return [self.alive, self.members, self.links, self.busy, list(self.dialled), out]

    @classmethod
    def from_fields(cls, value: Any) -> Tick:
        """Read what `fields` wrote. Raises `DecodeError`."""
        parts = Fields(value, "tick", 6)
        alive, members = parts.uint("alive", 16), parts.uint("members", 16)
        links, busy = parts.uint("links", 16), parts.optional("busy")
        if type(busy) is not bool:
            raise DecodeError("tick: busy is neither true nor false")
        begun = parts.items("dialled", 2 * MAX_OPERATORS)
        numbers = Fields(begun, "tick: dialled")
        dialled = tuple(numbers.uint("number", 63) for _ in begun)
        items = parts.items("out", MAX_OPERATORS)
        return cls(alive, members, links, dialled, tuple(map(Sealed.from_fields, items)), busy)


def carry_frame(number: int, message: bytes) -> Frame:
    """Bring an enclave a message of a link."""
    return Frame(frames.LINK_CARRY, [number, message])


def read_carry(body: Any) -> tuple[int, bytes]:
    """Number and message of a carry frame. Raises `DecodeError`."""
    parts = Fields(body, "carry frame", 2)
    return parts.uint("number", 63), parts.blob("message", most=MAX_SEALED)


def read_answer(body: Any) -> bytes:
    """The first message of a link. Raises `DecodeError`."""
    return Fields([body], "answer frame").blob("message", most=MAX_SEALED)


def read_tick(body: Any) -> int:
    """How many exchanges a tick may begin. Raises `DecodeError`."""
    return Fields([body], "tick frame").uint("exchanges", 8)


def read_expect(body: Any) -> tuple[XOnlyKey, ...]:
    """The keys that an operator expects to join. Raises `DecodeError`."""
    items = Fields([body], "expect frame").items("keys", MAX_OPERATORS)
    keys = Fields(items, "expect frame: keys")
    return tuple(XOnlyKey(keys.blob("key", 32)) for _ in items)


def images_frame(images: Sequence[Image] | None) -> Frame:
    """Tell an enclave which builds its operator wants to be accepted; None: whichever are."""
    body = None if images is None else [list(image) for image in sorted(images)]
    return Frame(frames.ROSTER_IMAGES, body)


def read_images(body: Any) -> tuple[Image, ...] | None:
    """The builds that an operator wants, or None. Raises `DecodeError`."""
    if body is None:
        return None
    found = []
    for item in Fields([body], "images frame").items("images", MAX_IMAGES):
        parts = Fields(item, "image", 3)
        found.append(tuple(parts.blob("PCR", PCR_BYTES) for _ in range(3)))
    return tuple(found)


def read_leave(body: Any) -> bool:
    """Whether an operator asks to leave. Raises `DecodeError`."""
    if type(body) is not bool:
        raise DecodeError("leave frame: neither true nor false")
    return body


def read_messages(value: Any) -> tuple[bytes, ...]:
    """A list of messages. Raises `DecodeError`."""
    parts: Sequence[Any] = Fields([value], "messages").items("messages", MAX_MESSAGES)
    each = Fields(parts, "messages")
    return tuple(each.blob("message", most=MAX_SEALED) for _ in parts)
