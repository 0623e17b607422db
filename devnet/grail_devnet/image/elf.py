"""The name by which others ask for a shared library: DT_SONAME of an ELF file of 64 bits."""

from __future__ import annotations

import struct
from itertools import takewhile
from typing import Final

from grail.errors import DecodeError

_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_STRTAB, _DT_SONAME = 0, 5, 14

_HEAD: Final = struct.Struct("<4sBB26xQ14xHH")
"""Magic, class, data; then e_phoff, e_phentsize, e_phnum (System V ABI, ELF header)."""

_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_ENTRY: Final = struct.Struct("<qQ")


def soname(raw: bytes) -> str | None:
    """The library's own name, or None where it has none. Raises `DecodeError`."""
    try:
        return _soname(raw)
    except (struct.error, ValueError) as exc:
        raise DecodeError(f"shared library: damaged: {exc}") from exc


def _soname(raw: bytes) -> str | None:
    magic, size, order, table, entry, count = _HEAD.unpack_from(raw)
    if (magic, size, order) != (b"\x7fELF", 2, 1):
        raise DecodeError("shared library: expected ELF of 64 bits, little-endian")
    segments = [_SEGMENT.unpack_from(raw, table + entry * index) for index in range(count)]
    dynamic = next((each for each in segments if each[0] == _PT_DYNAMIC), None)
    if dynamic is None:
        return None
    _, _, offset, _, _, length, _, _ = dynamic
    part = raw[offset : offset + length]
    if len(part) != length:
        raise DecodeError("shared library: it ends before its own end")
    values = dict(takewhile(lambda each: each[0] != _DT_NULL, _ENTRY.iter_unpack(part)))
    if _DT_SONAME not in values:
        return None
    address = values[_DT_STRTAB]
    for kind, _, start, virtual, _, filled, _, _ in segments:
        if kind == _PT_LOAD and virtual <= address < virtual + filled:
            begin = address - virtual + start + values[_DT_SONAME]
            return raw[begin : raw.index(b"\0", begin)].decode("ascii")
    raise DecodeError("shared library: its table of names lies in no segment")
