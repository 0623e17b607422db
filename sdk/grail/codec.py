"""Canonical CBOR, compact sizes, and a reader that refuses short or trailing bytes.

CBOR is RFC 8949 with the deterministic encoding of its section 4.2.1: shortest forms, definite
lengths, map keys in the bytewise order of their encodings, no duplicates. What the project writes
is canonical; what it reads must be, or `NotCanonical` says so. The library reads and writes; what
is here narrows it: integers, bytes, text, arrays, maps, true, false, null and nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import cbor2

from grail.errors import (
    DecodeError,
    DuplicateKey,
    Indefinite,
    InvalidInput,
    NotCanonical,
    TooDeep,
    TooLarge,
    TrailingBytes,
    Truncated,
)

MAX_DEPTH = 32
"""Deeper than any object of the protocol (a spell nests 8), shallow enough for the stack."""

MAX_BYTES = 4_000_000
"""A block's weight: nothing larger can be on chain, and a signing request stays below it too."""

MAX_KEY = 1 << 53
"""Free keys that are numbers lie below it. Python's hash of a number is the number itself modulo
2^61 - 1, and not keyed: larger ones could be chosen so that all keys of a map collide."""

MAX_KEY_ITEMS = 3
"""Items of a free key that is an array: an app's tag, identity and vk. Empty strings all have one
hash, so many of them in an array would make keys that collide."""

MAX_INTEGER = 1_024
"""Bytes of an integer: far above u128, below what Python refuses to print."""

_BIGNUM = 2

_UNSIGNED, _STRINGS, _CONTAINERS, _MAP, _TAG = 0, (2, 3), (4, 5), 5, 6
"""CBOR's major types."""


def encode(value: Any, *, any_order: bool = False) -> bytes:
    """The canonical bytes of None, bool, int, bytes, str, lists and maps of them.

    Integers from 2^64 on become bignums (tag 2); none is below -2^64. With `any_order` the keys of
    maps stay in the order in which they stand, for formats of others. Raises `InvalidInput`.
    """
    try:
        return cbor2.dumps(_plain(value, 0, any_order))
    except (cbor2.CBOREncodeError, UnicodeEncodeError) as exc:
        raise InvalidInput(f"CBOR: {exc}") from exc


def _plain(value: Any, depth: int, any_order: bool = False) -> Any:
    """The value in types that the library writes in one way, with the keys of maps in order."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value < -(1 << 64) or value.bit_length() > 8 * MAX_INTEGER:
            raise InvalidInput(
                f"CBOR: an integer below -2^64 or of more than {MAX_INTEGER} bytes has no encoding"
            )
        return int(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, str):
        return str(value)
    if depth >= MAX_DEPTH:
        raise InvalidInput(f"CBOR: nested deeper than {MAX_DEPTH}")
    if isinstance(value, (list, tuple)):
        # Most items are bytes, and the call would take longer than the answer.
        return [
            item if type(item) is bytes else _plain(item, depth + 1, any_order) for item in value
        ]
    # A plain dict is told apart first: the question whether something is a Mapping is a slow one.
    if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101
        return _ordered(value, depth, any_order) if value else {}
    raise InvalidInput(
        f"CBOR: a {type(value).__name__} has no encoding here",
        hint="use None, bool, int, bytes, str, lists and maps",
    )


def _ordered(value: Mapping[Any, Any], depth: int, any_order: bool) -> dict[Any, Any]:
    keyed = [(_key(_plain(key, depth + 1)), item) for key, item in value.items()]
    if not any_order:
        keyed.sort(key=lambda pair: cbor2.dumps(pair[0]))
    made = {key: _plain(item, depth + 1, any_order) for key, item in keyed}
    if len(made) != len(value):
        raise InvalidInput("CBOR: a map has one key twice")
    return made


def _key(value: Any) -> Any:
    """Arrays as map keys are tuples: Python's maps want keys that do not change."""
    if isinstance(value, dict):
        raise InvalidInput("CBOR: a map inside a map's key")
    return tuple(_key(item) for item in value) if isinstance(value, list) else value


def decode(
    raw: bytes,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    free_keys: bool = False,
    any_order: bool = False,
) -> Any:
    """The value whose canonical bytes are `raw`; arrays become lists, as map keys tuples.

    Keys of maps are text and byte strings, of which Python's hash is keyed. With `free_keys` they
    may be small numbers and short arrays too (a spell's, a bundle's); all heads are then looked at
    before the first map is built. With `any_order` the keys of maps need not be in order, for
    formats of others.
    Raises `Truncated`, `TrailingBytes`, `TooDeep`, `TooLarge`, `NotCanonical` (`Indefinite` where a
    length is), `DuplicateKey` or `DecodeError`.
    """
    value = _loaded(raw, max_bytes, max_depth, free_keys=free_keys)
    try:
        again = encode(value, any_order=any_order)
    except InvalidInput as exc:
        raise DecodeError(str(exc)) from exc
    if again != raw:
        raise NotCanonical("CBOR: these are not the value's canonical bytes")
    return value


def decode_any_form(raw: bytes, *, max_bytes: int, max_depth: int) -> Any:
    """The value of `raw` in whatever form it was written: for a device whose firmware is not ours.

    Tags, floats, duplicate keys, and keys that are no text or bytes are refused all the same.
    Raises `DecodeError` and its kinds.
    """
    try:
        return _plain(_loaded(raw, max_bytes, max_depth, any_length=True), 0, any_order=True)
    except InvalidInput as exc:
        raise DecodeError(str(exc)) from exc


def _loaded(
    raw: bytes,
    max_bytes: int,
    max_depth: int,
    *,
    free_keys: bool = False,
    any_length: bool = False,
) -> Any:
    """What the library makes of all the bytes, its laxities switched off."""
    if len(raw) > max_bytes:
        raise TooLarge(f"CBOR: got {len(raw)} bytes, expected at most {max_bytes}")
    if free_keys:
        _check_keys(raw, min(max_depth, MAX_DEPTH))
    stream = io.BytesIO(raw)
    decoder = cbor2.CBORDecoder(
        stream,
        max_depth=min(max_depth, MAX_DEPTH),
        allow_indefinite=any_length,
        allow_duplicate_keys=False,
        strict_hashable_types=not free_keys,
        semantic_decoders=_TAGS,
        tag_hook=_refuse,
    )
    try:
        value = decoder.decode()
    except DecodeError:
        raise
    except cbor2.CBORDecodeEOF as exc:
        raise Truncated(f"CBOR: the {len(raw)} bytes end inside a value") from exc
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, MemoryError) as exc:
        raise _named(exc) from exc
    if stream.tell() != len(raw):
        raise TrailingBytes(f"CBOR: {len(raw) - stream.tell()} bytes after the value")
    return value


def _check_keys(raw: bytes, max_depth: int) -> None:
    """Refuse maps whose keys could be made to collide: one pass over the heads, nothing is built.

    A key is a number below 2^53, bytes, text, or an array of at most three of bytes and text.
    """
    at, size = 0, len(raw)
    # What is open: how many items are left, and whether they are a map's or parts of a key. A map
    # has keys and values by turns, so that a key is next when an even number is left.
    left, is_map, in_key = 1, False, False
    open_: list[tuple[int, bool, bool]] = []
    while True:
        while not left:
            if not open_:
                return
            left, is_map, in_key = open_.pop()
        key = in_key or (is_map and not left & 1)
        left -= 1
        if at >= size:
            raise Truncated(f"CBOR: the {size} bytes end inside a value")
        major, argument = raw[at] >> 5, raw[at] & 31
        at += 1
        if argument > 23:
            if argument > 27:
                indefinite = argument == 31 and major < _TAG
                refusal = Indefinite if indefinite else DecodeError
                raise refusal(f"CBOR: additional information {argument}")
            width = 1 << (argument - 24)
            argument = int.from_bytes(raw[at : at + width], "big")
            at += width
        if major in _STRINGS:
            at += argument
        elif major in _CONTAINERS:
            if key and (major == _MAP or in_key or argument > MAX_KEY_ITEMS):
                raise DecodeError(f"CBOR: a map's key that is no array of {MAX_KEY_ITEMS} strings")
            if len(open_) >= max_depth:
                raise TooDeep(f"CBOR: nested deeper than {max_depth}")
            open_.append((left, is_map, in_key))
            is_map, in_key = major == _MAP, key
            left = 2 * argument if is_map else argument
        elif key and (major != _UNSIGNED or in_key or argument >= MAX_KEY):
            raise DecodeError("CBOR: a map's key, expected a number below 2^53, bytes or text")
        elif major == _TAG:
            left += 1  # what it is a tag of comes in its place
        if at > size:
            raise Truncated(f"CBOR: the {size} bytes end inside a value")


def _named(exc: Exception) -> DecodeError:
    """Our error for one of the library's, by what it says."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, DecodeError):
            return cause
        cause = cause.__cause__ or cause.__context__
    text = str(exc)
    if "nesting depth" in text:
        return TooDeep(f"CBOR: {text}")
    if "indefinite" in text:
        return Indefinite(f"CBOR: {text}")
    if "Duplicate" in text:
        return DuplicateKey(f"CBOR: {text}")
    return DecodeError(f"CBOR: {text}")


def _refuse(*_tagged: object) -> NoReturn:
    raise DecodeError("CBOR: tags are refused, but for large numbers")


def _bignum(digits: object, _immutable: object) -> int:
    if not isinstance(digits, bytes):
        raise DecodeError("CBOR: a bignum that holds no bytes")
    if len(digits) > MAX_INTEGER:
        raise TooLarge(f"CBOR: an integer of {len(digits)} bytes, expected at most {MAX_INTEGER}")
    return int.from_bytes(digits, "big")


# The tags that the library would act on: dates, fractions, patterns, addresses, and above all
# shared references, by which 200 bytes can ask for half a minute of work. A test tries them all.
_ACTED_ON = (0, 1, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004)
_TAGS: dict[int, Callable[[Any, bool], Any]] = {
    **dict.fromkeys((*_ACTED_ON, 43000, 55799), _refuse),
    _BIGNUM: _bignum,
}


def compact_size(n: int) -> bytes:
    """Bitcoin's variable-length integer, in its shortest form."""
    if not 0 <= n < 1 << 64:
        raise InvalidInput(f"compact size: got {n}, expected 0 to 2^64 - 1")
    if n < 0xFD:
        return bytes([n])
    for prefix, size in ((0xFD, 2), (0xFE, 4)):
        if n < 1 << (8 * size):
            return bytes([prefix]) + n.to_bytes(size, "little")
    return b"\xff" + n.to_bytes(8, "little")


def cs(data: bytes) -> bytes:
    """The compact size of the length of `data`, then `data`."""
    return compact_size(len(data)) + data


class Reader:
    """Reads pieces of bytes; a short read is `Truncated`, `end` refuses what is left."""

    def __init__(self, raw: bytes, what: str) -> None:
        self._raw = raw
        self._at = 0
        self._what = what

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size < 0 or self._at + size > len(self._raw):
            left = len(self._raw) - self._at
            raise Truncated(f"{self._what}: {left} bytes left, expected {size}")
        piece = self._raw[self._at : self._at + size]
        self._at += size
        return piece

    def uint(self, size: int) -> int:
        """The next little-endian unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def compact_size(self) -> int:
        """The next compact size; a longer form than needed is `NotCanonical`."""
        first = self.uint(1)
        if first < 0xFD:
            return first
        size = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
        value = self.uint(size)
        if len(compact_size(value)) != 1 + size:
            raise NotCanonical(f"{self._what}: compact size {value} in {1 + size} bytes")
        return value

    def end(self) -> None:
        """Refuse bytes that are left."""
        if self._at != len(self._raw):
            raise TrailingBytes(f"{self._what}: {len(self._raw) - self._at} bytes after the end")
