"""A look into payloads that others wrote: how the proof begins, without judging the spell.

Charms' own reader takes CBOR leniently (tags, indefinite lengths, arrays of integers for bytes);
so does this one. It builds no values: one pass over the bytes, whatever they claim, so that hostile
ones cost no more than their length (threat C20).
"""

from __future__ import annotations

from grail.codec import Reader
from grail.errors import DecodeError, Truncated

BYTES, ARRAY, MAP, TAG, SIMPLE = 2, 4, 5, 6, 7
INDEFINITE = 31
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}


def proof_prefix(raw: bytes, size: int) -> bytes | None:
    """The first bytes of the proof in `[spell, proof]`, None when the payload is no such pair."""
    reader = Reader(raw, "payload")
    try:
        major, length = _head(reader)
        if major != ARRAY or length not in (2, None):
            return None
        _skip(reader)
        return _prefix(reader, size)
    except (Truncated, DecodeError):
        return None


def _head(reader: Reader) -> tuple[int, int | None]:
    """The next item's major type and argument (None: indefinite), tags skipped."""
    while True:
        first = reader.uint(1)
        major, info = first >> 5, first & 31
        if info < 24:
            argument: int | None = info
        elif info in _WIDTHS:
            argument = int.from_bytes(reader.take(_WIDTHS[info]), "big")
        elif info == INDEFINITE and major not in (0, 1, TAG):
            argument = None
        else:
            raise DecodeError("payload: reserved length")
        if major != TAG:
            return major, argument


def _skip(reader: Reader) -> None:
    """Pass over one item. Open containers are counted, not nested: depth costs no stack."""
    open_: list[int | None] = [1]
    while open_:
        left = open_[-1]
        if left == 0:
            open_.pop()
            continue
        major, argument = _head(reader)
        if major == SIMPLE and argument is None:  # the end of an indefinite container
            if left is not None:
                raise DecodeError("payload: a break outside")
            open_.pop()
            continue
        if left is not None:
            open_[-1] = left - 1
        if major in (BYTES, BYTES + 1) and argument is not None:
            reader.take(argument)
        elif major in (BYTES, BYTES + 1):
            open_.append(None)
        elif major in (ARRAY, MAP):
            open_.append(None if argument is None else argument * (1 + (major == MAP)))


def _prefix(reader: Reader, size: int) -> bytes | None:
    """The first `size` bytes of a byte string, or of an array of small integers."""
    major, length = _head(reader)
    if major == BYTES and length is not None:
        return reader.take(min(size, length))
    if major not in (BYTES, ARRAY):
        return None
    found = bytearray()
    while len(found) < size and (length is None or len(found) < length):
        item, argument = _head(reader)
        if argument is None:  # the end
            break
        if major == BYTES and item == BYTES:
            found += reader.take(argument)
        elif major == ARRAY and item == 0 and argument < 256:
            found.append(argument)
        else:
            return None
    return bytes(found[:size])
