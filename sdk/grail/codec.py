"""Canonical CBOR, compact sizes, and a reader that refuses short or trailing bytes.

CBOR is RFC 8949 with the deterministic encoding of its section 4.2.1: shortest forms, definite
lengths, map keys in the bytewise order of their encodings, no duplicates. What the project writes
is canonical; what it reads must be, or `NotCanonical` says so.

The reader is our own: a library's reader that knows shared references, string tables or dates does
what hostile bytes ask for before one can compare (195 bytes of nested references kept one busy for
half a minute). Here there are integers, bytes, text, arrays, maps, true, false, null and nothing
else, and every byte is looked at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

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

MAX_KEYS = 4_096
"""Keys in one map. Python's hashes of numbers are not keyed, so maps of more could be made slow."""

MAX_INTEGER = 1_024
"""Bytes of an integer: far above u128, below what Python refuses to print."""

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_BIGNUM = 2
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_WORDS = {20: False, 21: True, 22: None}


def encode(value: Any) -> bytes:
    """The canonical bytes of None, bool, int, bytes, str, lists and maps of them.

    Integers from 2^64 on become bignums (tag 2); none is below -2^64. Raises `InvalidInput`.
    """
    parts: list[bytes] = []
    _write(value, 0, parts)
    return b"".join(parts)


def _head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    for info, width in _WIDTHS.items():
        if n < 1 << (8 * width):
            return bytes([major << 5 | info]) + n.to_bytes(width, "big")
    raise InvalidInput(f"CBOR: a length or number of {n.bit_length()} bits")


def _write(value: Any, depth: int, parts: list[bytes]) -> None:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"CBOR: nested deeper than {MAX_DEPTH}")
    if value is None:
        parts.append(b"\xf6")
    elif isinstance(value, bool):
        parts.append(b"\xf5" if value else b"\xf4")
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, bytes):
        parts += (_head(_BYTES, len(value)), value)
    elif isinstance(value, str):
        try:
            text = value.encode()
        except UnicodeEncodeError as exc:
            raise InvalidInput("CBOR: a text is no Unicode") from exc
        parts += (_head(_TEXT, len(text)), text)
    elif isinstance(value, (list, tuple)):
        parts.append(_head(_ARRAY, len(value)))
        for item in value:
            _write(item, depth + 1, parts)
    elif isinstance(value, Mapping):
        _write_map(value, depth, parts)
    else:
        raise InvalidInput(
            f"CBOR: a {type(value).__name__} has no encoding here",
            hint="use None, bool, int, bytes, str, lists and maps",
        )


def _integer(n: int) -> bytes:
    if 0 <= n < 1 << 64:
        return _head(_UINT, n)
    if -(1 << 64) <= n < 0:
        return _head(_NEGATIVE, -1 - n)
    size = (n.bit_length() + 7) // 8
    if n < 0 or size > MAX_INTEGER:
        raise InvalidInput(
            f"CBOR: an integer below -2^64 or of more than {MAX_INTEGER} bytes has no encoding"
        )
    return _head(_TAG, _BIGNUM) + _head(_BYTES, size) + n.to_bytes(size, "big")


def _write_map(value: Mapping[Any, Any], depth: int, parts: list[bytes]) -> None:
    if len(value) > MAX_KEYS:
        raise InvalidInput(f"CBOR: a map of {len(value)} keys, expected at most {MAX_KEYS}")
    keyed = []
    for key, item in value.items():
        encoded: list[bytes] = []
        _write(key, depth + 1, encoded)
        keyed.append((b"".join(encoded), item))
    keyed.sort(key=lambda pair: pair[0])
    parts.append(_head(_MAP, len(keyed)))
    last = b""
    for encoded_key, item in keyed:
        # Python can tell apart keys that are one in CBOR, such as 1 and True's twin in a subclass.
        if encoded_key == last:
            raise InvalidInput("CBOR: a map has one key twice")
        last = encoded_key
        parts.append(encoded_key)
        _write(item, depth + 1, parts)


def decode(raw: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """The value whose canonical bytes are `raw`; arrays become lists, as map keys tuples.

    Raises `Truncated`, `TrailingBytes`, `TooDeep`, `TooLarge`, `NotCanonical` or `DecodeError`.
    """
    if len(raw) > max_bytes:
        raise TooLarge(f"CBOR: got {len(raw)} bytes, expected at most {max_bytes}")
    parser = _Parser(raw, min(max_depth, MAX_DEPTH))
    value = parser.value(0, as_key=False)
    if parser.at != len(raw):
        raise TrailingBytes(f"CBOR: {len(raw) - parser.at} bytes after the value")
    return value


class _Parser:
    """Reads values from one buffer, front to back."""

    def __init__(self, raw: bytes, max_depth: int) -> None:
        self.raw = raw
        self.at = 0
        self.max_depth = max_depth

    def short(self) -> NoReturn:
        raise Truncated(f"CBOR: the {len(self.raw)} bytes end inside a value")

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.raw):
            self.short()
        piece = self.raw[self.at : end]
        self.at = end
        return piece

    def head(self) -> tuple[int, int]:
        """Major type and argument; for simple values the argument is the value's number."""
        if self.at >= len(self.raw):
            self.short()
        first = self.raw[self.at]
        self.at += 1
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info
        if major == _SIMPLE:
            raise DecodeError(
                f"CBOR: byte {first:#04x}: floats and other simple values are refused"
            )
        if info not in _WIDTHS:
            kind = (
                NotCanonical
                if info == 31 and major in {_BYTES, _TEXT, _ARRAY, _MAP}
                else DecodeError
            )
            raise kind(f"CBOR: byte {first:#04x}: no definite length")
        width = _WIDTHS[info]
        n = int.from_bytes(self.take(width), "big")
        if n < 24 or (width > 1 and n < 1 << (4 * width)):
            raise NotCanonical(f"CBOR: the number {n} in {width} bytes")
        return major, n

    def value(self, depth: int, *, as_key: bool) -> Any:
        if depth > self.max_depth:
            raise TooDeep(f"CBOR: nested deeper than {self.max_depth}")
        major, n = self.head()
        if major == _UINT:
            return n
        if major == _BYTES:
            return self.take(n)
        if major == _ARRAY:
            # Each item takes a byte at least: no list is made for a length that cannot be.
            if n > len(self.raw) - self.at:
                self.short()
            items = [self.value(depth + 1, as_key=as_key) for _ in range(n)]
            return tuple(items) if as_key else items
        if major == _MAP:
            return self.mapping(n, depth, as_key=as_key)
        if major == _TEXT:
            try:
                return self.take(n).decode()
            except UnicodeDecodeError as exc:
                raise DecodeError("CBOR: a text is not UTF-8") from exc
        if major == _NEGATIVE:
            return -1 - n
        if major == _TAG:
            return self.bignum(n)
        if n not in _WORDS:
            raise DecodeError(f"CBOR: simple value {n} is refused")
        return _WORDS[n]

    def mapping(self, n: int, depth: int, *, as_key: bool) -> dict[Any, Any]:
        if as_key:
            raise DecodeError("CBOR: a map inside a map's key")
        if n > MAX_KEYS:
            raise TooLarge(f"CBOR: a map of {n} keys, expected at most {MAX_KEYS}")
        found: dict[Any, Any] = {}
        last = b""
        for _ in range(n):
            start = self.at
            key = self.value(depth + 1, as_key=True)
            encoded = self.raw[start : self.at]
            if encoded == last:
                raise DecodeError("CBOR: a map has one key twice")
            if encoded < last:
                raise NotCanonical("CBOR: the keys of a map do not rise")
            last = encoded
            found[key] = self.value(depth + 1, as_key=False)
        # `False` and 0 are one key in Python, two in CBOR.
        if len(found) != n:
            raise DecodeError("CBOR: a map's keys cannot be told apart")
        return found

    def bignum(self, tag: int) -> int:
        if tag != _BIGNUM:
            raise DecodeError(f"CBOR: tag {tag} is refused")
        major, size = self.head()
        if major != _BYTES:
            raise DecodeError("CBOR: a bignum that holds no bytes")
        if size > MAX_INTEGER:
            raise TooLarge(f"CBOR: an integer of {size} bytes, expected at most {MAX_INTEGER}")
        digits = self.take(size)
        if size <= 8 or digits[0] == 0:
            raise NotCanonical("CBOR: a bignum that is not in its shortest form")
        return int.from_bytes(digits, "big")


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
