"""CBOR as Charms reads and writes it: leniently in, in one form out.

Upstream's proofs commit to what its library would write, not to what stands on chain: integers and
lengths in their shortest form, definite lengths, maps in the order in which they were found, floats
in the shortest width that keeps the value. A value that is data of an app is kept as a tree, each
node an `Item`, so that order, repeated keys and tags survive.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from grail.codec import Reader
from grail.errors import DecodeError, TooDeep

MAX_DEPTH = 128
"""Upstream stops at 256; real spells nest some eight deep."""

UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
"""CBOR's major types."""

_INDEFINITE = 31
_BREAK = 0xFF
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_BIGNUMS = (2, 3)


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map: its keys and values in order, repeated ones too."""

    items: tuple[tuple[Item, Item], ...]


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value with a tag."""

    tag: int
    value: Item


class Unsized(tuple[Any, ...]):
    """An array that was written without its length; upstream takes it in some places only."""

    __slots__ = ()


Item = None | bool | int | float | bytes | str | tuple[Any, ...] | Pairs | Tagged
"""A CBOR value; an array is a tuple."""


def read(raw: Reader, depth: int = 0) -> Item:
    """The next item. Raises `Truncated`, `TooDeep` or `DecodeError`."""
    if depth > MAX_DEPTH:
        raise TooDeep(f"spell: nested deeper than {MAX_DEPTH}")
    item = _read(raw, raw.uint(1), depth)
    if item is _END:
        raise DecodeError("spell: an end where no list of unknown length is open")
    return item  # type: ignore[return-value]  # the end is no item


class _End:
    """What ends a list of unknown length."""


_END = _End()


def _read(raw: Reader, first: int, depth: int) -> Item | _End:
    if first == _BREAK:
        return _END
    major, info = first >> 5, first & 31
    if major == SIMPLE:
        return _simple(raw, info)
    length = _argument(raw, major, info)
    if length is None:
        found: list[Item] = []
        while (item := _next(raw, depth)) is not _END:
            found.append(item)  # type: ignore[arg-type]  # the end is no item
        if major == MAP and len(found) % 2:
            raise DecodeError("spell: a map ends behind a key")
        return _pairs(found) if major == MAP else Unsized(found)
    if major == UINT:
        return length
    if major in (BYTES, TEXT):
        whole = raw.take(length)
        return _text(whole) if major == TEXT else whole
    if major == NINT:
        return -1 - length
    if major == TAG:
        return _tagged(length, read(raw, depth + 1))
    # A length that lies costs nothing: the list grows by what is read.
    found = [read(raw, depth + 1) for _ in range(length << (major == MAP))]
    return _pairs(found) if major == MAP else tuple(found)


def _next(raw: Reader, depth: int) -> Item | _End:
    if depth >= MAX_DEPTH:
        raise TooDeep(f"spell: nested deeper than {MAX_DEPTH}")
    return _read(raw, raw.uint(1), depth + 1)


def _pairs(found: list[Item]) -> Pairs:
    return Pairs(tuple(zip(found[::2], found[1::2], strict=True)))


def _argument(raw: Reader, major: int, info: int) -> int | None:
    if info < 24:
        return info
    if info < 28:
        return int.from_bytes(raw.take(1 << (info - 24)), "big")
    if info == _INDEFINITE and major in (ARRAY, MAP):
        return None
    raise DecodeError(f"spell: additional information {info}")


def _simple(raw: Reader, info: int) -> Item:
    if info in (20, 21):
        return info == 21
    if info == 22:  # null; "undefined", which upstream takes for it, is refused
        return None
    if info in _FLOATS:
        found: float = struct.unpack(_FLOATS[info], raw.take(1 << (info - 24)))[0]
        return found
    raise DecodeError(f"spell: simple value {info}")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError("spell: a text that is not UTF-8") from exc


def _tagged(tag: int, value: Item) -> Item:
    """Large numbers become integers where 64 bits hold them, as upstream's library does it."""
    if tag in _BIGNUMS and isinstance(value, bytes):
        digits = value.lstrip(b"\x00") if len(value) <= 16 else value
        if len(digits) <= 8:
            number = int.from_bytes(digits, "big")
            return number if tag == _BIGNUMS[0] else -1 - number
        return Tagged(tag, digits)
    return Tagged(tag, value)


def untagged(item: Item) -> Item:
    """The value below its tags: upstream looks through them where it expects a certain type."""
    while isinstance(item, Tagged):
        item = item.value
    return item


def head(major: int, argument: int) -> bytes:
    """A type and its length, in the shortest form."""
    if argument < 24:
        return bytes([major << 5 | argument])
    width = next(width for width in (1, 2, 4, 8) if argument < 1 << (8 * width))
    return bytes([major << 5 | 23 + width.bit_length()]) + argument.to_bytes(width, "big")


def write(item: Item) -> bytes:
    """The one form of an item."""
    match item:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if item else b"\xf4"
        case int():
            return head(UINT, item) if item >= 0 else head(NINT, -1 - item)
        case float():
            return _float(item)
        case bytes():
            return head(BYTES, len(item)) + item
        case str():
            raw = item.encode()
            return head(TEXT, len(raw)) + raw
        case tuple():
            return head(ARRAY, len(item)) + b"".join(map(write, item))
        case Pairs(items):
            return head(MAP, len(items)) + b"".join(write(k) + write(v) for k, v in items)
        case Tagged(tag, value):
            return head(TAG, tag) + write(value)


def _float(value: float) -> bytes:
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for info, form in _FLOATS.items():
        try:
            raw = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, raw)[0] == value:
            return bytes([SIMPLE << 5 | info]) + raw
    raise AssertionError("a double holds every float")


def plain(item: Item) -> Any:
    """The item as JSON can hold it; byte strings as hexadecimal."""
    match item:
        case bytes():
            return item.hex()
        case Pairs(items):
            return {str(plain(key)): plain(value) for key, value in items}
        case Tagged(tag, value):
            return {f"tag {tag}": plain(value)}
        case tuple():
            return [plain(one) for one in item]
        case float() if not math.isfinite(item):
            return str(item)
        case _:
            return item
