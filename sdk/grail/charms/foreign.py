"""A look into payloads that others wrote: how the proof begins, without judging the spell.

Charms' own reader takes CBOR leniently (tags, indefinite lengths, arrays of integers for bytes);
so does this one. It builds no values: one pass over the bytes, whatever they claim, so that hostile
ones cost no more than their length (threat C20).
"""

from __future__ import annotations

from grail.errors import DecodeError, Truncated

BYTES, ARRAY, MAP, TAG, SIMPLE = 2, 4, 5, 6, 7
INDEFINITE = 31
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}


def proof_prefix(raw: bytes, size: int) -> bytes | None:
    """The first bytes of the proof in `[spell, proof]`, None when the payload is no such pair."""
    try:
        major, length, at = _head(raw, 0)
        if major != ARRAY or length not in (2, None):
            return None
        return _prefix(raw, _skip(raw, at), size)
    except (Truncated, DecodeError):
        return None


def _head(raw: bytes, at: int) -> tuple[int, int | None, int]:
    """The next item's major type and argument (None: indefinite), tags skipped; what follows it."""
    while True:
        if at >= len(raw):
            raise Truncated("payload: it ends inside an item")
        first = raw[at]
        at += 1
        major, info = first >> 5, first & 31
        if info < 24:
            argument: int | None = info
        elif info in _WIDTHS:
            argument = int.from_bytes(raw[at : at + _WIDTHS[info]], "big")
            at += _WIDTHS[info]
            if at > len(raw):
                raise Truncated("payload: it ends inside a head")
        elif info == INDEFINITE and major not in (0, 1, TAG):
            argument = None
        else:
            raise DecodeError("payload: reserved length")
        if major != TAG:
            return major, argument, at


def _skip(raw: bytes, at: int) -> int:
    """Pass over one item. Open containers are counted, not nested: depth costs no stack."""
    open_: list[int | None] = []
    left: int | None = 1
    while True:
        while left == 0:
            if not open_:
                return at
            left = open_.pop()
        major, argument, at = _head(raw, at)
        if major == SIMPLE and argument is None:  # the end of an indefinite container
            if left is not None:
                raise DecodeError("payload: a break outside")
            left = open_.pop()
            continue
        if left is not None:
            left -= 1
        if major in (BYTES, BYTES + 1) and argument is not None:
            at += argument
        elif major in (BYTES, BYTES + 1):
            open_.append(left)
            left = None
        elif major in (ARRAY, MAP):
            open_.append(left)
            left = None if argument is None else argument * (1 + (major == MAP))


def _prefix(raw: bytes, at: int, size: int) -> bytes | None:
    """The first `size` bytes of a byte string, or of an array of small integers."""
    major, length, at = _head(raw, at)
    if major == BYTES and length is not None:
        found = raw[at : at + min(size, length)]
        if len(found) < min(size, length):
            raise Truncated("payload: it ends inside the proof")
        return found
    if major not in (BYTES, ARRAY):
        return None
    gathered = bytearray()
    taken = 0
    while len(gathered) < size and (length is None or taken < length):
        item, argument, at = _head(raw, at)
        taken += 1
        if argument is None:  # the end
            break
        if major == BYTES and item == BYTES:
            if at + argument > len(raw):
                raise Truncated("payload: it ends inside the proof")
            gathered += raw[at : at + min(argument, size)]
            at += argument
        elif major == ARRAY and item == 0 and argument < 256:
            gathered.append(argument)
        else:
            return None
    return bytes(gathered[:size])
