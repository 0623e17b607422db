"""Canonical CBOR, compact sizes, and a reader that refuses short or trailing bytes.

CBOR is RFC 8949 with the deterministic encoding of its section 4.2.1: shortest forms, definite
lengths, map keys in the bytewise order of their encodings, no duplicates. What the project writes
is canonical; what it reads must be, or `NotCanonical` says so.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import cbor2

from grail.errors import (
    DecodeError,
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


def encode(value: Any) -> bytes:
    """The canonical bytes of None, bool, int, bytes, str, lists and maps of them.

    Integers from 2^64 on become bignums (tag 2), below -2^64 tag 3. Raises `InvalidInput`.
    """
    try:
        return cbor2.dumps(_ordered(value, 0))
    except (cbor2.CBOREncodeError, OverflowError) as exc:
        raise InvalidInput(f"CBOR: {exc}") from exc


def _ordered(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"CBOR: nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_ordered(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        keyed = [(_key(_ordered(key, depth + 1)), item) for key, item in value.items()]
        keyed.sort(key=lambda pair: cbor2.dumps(pair[0]))
        return {key: _ordered(item, depth + 1) for key, item in keyed}
    raise InvalidInput(f"CBOR: a {type(value).__name__} has no encoding here", hint="use None, bool, int, bytes, str, lists and maps")


def _key(value: Any) -> Any:
    """Lists as map keys become tuples: Python's maps want hashable keys."""
    return tuple(_key(item) for item in value) if isinstance(value, list) else value


def decode(raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """The value whose canonical bytes are `raw`; arrays become lists, as map keys tuples.

    Raises `Truncated`, `TrailingBytes`, `TooDeep`, `TooLarge`, `NotCanonical` or `DecodeError`.
    """
    if len(raw) > max_bytes:
        raise TooLarge(f"CBOR: got {len(raw)} bytes, expected at most {max_bytes}")
    stream = io.BytesIO(raw)
    decoder = cbor2.CBORDecoder(
        stream, max_depth=max_depth, allow_indefinite=False, allow_duplicate_keys=False
    )
    try:
        value = decoder.decode()
    except cbor2.CBORDecodeEOF as exc:
        raise Truncated(f"CBOR: the {len(raw)} bytes end inside a value") from exc
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError, OverflowError) as exc:
        kind = TooDeep if "depth" in str(exc) or "recurs" in str(exc) else DecodeError
        raise kind(f"CBOR: {exc}") from exc
    if stream.tell() != len(raw):
        raise TrailingBytes(f"CBOR: {len(raw) - stream.tell()} bytes after the value")
    try:
        again = encode(value)
    except InvalidInput as exc:
        raise DecodeError(str(exc)) from exc
    if again != raw:
        raise NotCanonical("CBOR: these are not the value's canonical bytes")
    return value


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
    """Reads fixed pieces from bytes; every short read is `Truncated`, `end` refuses what is left."""

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
