"""PSBTs of version 2 (BIP 370), read into the one form that the rest works on.

Only a reader, for what wallets hand over: operators take version 0 alone. Beside the fields of the
new version those of `grail.bitcoin.psbt` are taken and its rules hold (threat S28). Two things are
dropped, since they say nothing about the transaction: which changes other constructors may make to
it, and BIP 32 paths.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grail.bitcoin.psbt import MAGIC, Pair, Psbt, write_map
from grail.bitcoin.tx import Tx, TxIn
from grail.codec import MAX_BYTES, Reader
from grail.errors import DecodeError, NotCanonical, TooLarge
from grail.types import MAX_MONEY, OutPoint, Txid, TxOut

TIMES_FROM = 500_000_000
"""A lock time below it is a block's height, from it on a time (consensus)."""

FINAL = 0xFFFFFFFF
"""The sequence of an input that names none (BIP 370)."""

_TX_VERSION, _FALLBACK, _INPUTS, _OUTPUTS, _MODIFIABLE, _VERSION = 2, 3, 4, 5, 6, 0xFB
_TXID, _VOUT, _SEQUENCE, _TIME, _HEIGHT, _IN_PATH = 0x0E, 0x0F, 0x10, 0x11, 0x12, 0x06
_AMOUNT, _SCRIPT, _OUT_PATH = 3, 4, 2

_GLOBAL = {_TX_VERSION: 4, _FALLBACK: 4, _INPUTS: 0, _OUTPUTS: 0, _MODIFIABLE: 1, _VERSION: 4}
_INPUT = {_TXID: 32, _VOUT: 4, _SEQUENCE: 4, _TIME: 4, _HEIGHT: 4}
_OUTPUT = {_AMOUNT: 8, _SCRIPT: 0}
"""New fields without key data, with the bytes of their values; 0 where that varies."""

_KEPT_IN = {0x00, 0x01, 0x08, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18}
_KEPT_OUT = {0x05, 0x07}
"""Fields of version 0 that go over as they are; its reader checks them."""


@dataclass(frozen=True, slots=True)
class _Map:
    """What a map says: the new fields, and those that go over."""

    what: str
    new: Mapping[int, bytes]
    kept: tuple[Pair, ...]

    def required(self, field: int) -> bytes:
        if field not in self.new:
            raise DecodeError(f"PSBT: {self.what}: field {field:#04x} is missing")
        return self.new[field]

    def number(self, field: int) -> int:
        return int.from_bytes(self.required(field), "little")


def from_base64(text: str) -> Psbt:
    """Read the text form. Raises as `parse`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError(f"PSBT: not base64: {exc}") from exc
    return parse(raw)


def parse(raw: bytes) -> Psbt:
    """Read a PSBT of version 2.

    Raises `Truncated`, `TrailingBytes`, `TooLarge`, `NotCanonical`, or `DecodeError`: a field that
    is missing or outside the allow-list, or inputs whose lock times exclude each other.
    """
    if len(raw) > MAX_BYTES:
        raise TooLarge(f"PSBT: got {len(raw)} bytes, expected at most {MAX_BYTES}")
    reader = Reader(raw, "PSBT")
    if reader.take(len(MAGIC)) != MAGIC:
        raise DecodeError("PSBT: the first five bytes are not psbt, ff")
    whole = _read(reader, "global", _GLOBAL, set(), 0)
    if whole.number(_VERSION) != 2:
        raise DecodeError(f"PSBT: version {whole.number(_VERSION)}, expected 2")
    # a map without its required fields ends the reading, so that empty ones cannot pile up
    inputs, spent = [], []
    for index in range(_count(whole, _INPUTS)):
        inputs.append(_read(reader, f"input {index}", _INPUT, _KEPT_IN, _IN_PATH))
        spent.append(_spent(inputs[-1]))
    outputs, created = [], []
    for index in range(_count(whole, _OUTPUTS)):
        outputs.append(_read(reader, f"output {index}", _OUTPUT, _KEPT_OUT, _OUT_PATH))
        created.append(_created(outputs[-1]))
    reader.end()
    if not inputs or not outputs:
        raise DecodeError("PSBT: expected at least one input and one output")
    tx = Tx(whole.number(_TX_VERSION), tuple(spent), tuple(created), _locktime(whole, inputs))
    maps = b"".join(write_map(known.kept) for known in (*inputs, *outputs))
    return Psbt.parse(MAGIC + write_map([(0x00, b"", tx.serialize_unsigned())]) + maps)


def _read(reader: Reader, what: str, sizes: Mapping[int, int], kept: set[int], path: int) -> _Map:
    """One map up to its separator; keys must rise, so none can be there twice."""
    new: dict[int, bytes] = {}
    over: list[Pair] = []
    last = b""
    while size := reader.compact_size():
        key, value = reader.take(size), reader.take(reader.compact_size())
        if key <= last:
            kind = DecodeError if key == last else NotCanonical
            raise kind(f"PSBT: {what}: {'a key is there twice' if key == last else 'keys fall'}")
        last, field, data = key, key[0], key[1:]
        if field in sizes:
            if data or len(value) != (sizes[field] or len(value)):
                raise DecodeError(f"PSBT: {what}: field {field:#04x} has another length")
            new[field] = value
        elif field in kept:
            over.append((field, data, value))
        elif field != path or not path:
            raise DecodeError(f"PSBT: {what}: field {field:#04x} is not allowed")
    return _Map(what, new, tuple(over))


def _count(whole: _Map, field: int) -> int:
    reader = Reader(whole.required(field), f"PSBT: global field {field:#04x}")
    count = reader.compact_size()
    reader.end()
    return count


def _spent(known: _Map) -> TxIn:
    outpoint = OutPoint(Txid(known.required(_TXID)), known.number(_VOUT))
    return TxIn(outpoint, b"", known.number(_SEQUENCE) if _SEQUENCE in known.new else FINAL)


def _created(known: _Map) -> TxOut:
    sats = known.number(_AMOUNT)
    if sats > MAX_MONEY:
        raise DecodeError(f"PSBT: {known.what} holds {sats} sat, expected at most {MAX_MONEY}")
    return TxOut(sats, known.required(_SCRIPT))


def _locktime(whole: _Map, inputs: Iterable[_Map]) -> int:
    """The least lock time that all inputs take: a height where they can agree on one.

    Raises `DecodeError` when some want a height and others a time.
    """
    wanting = [known for known in inputs if {_TIME, _HEIGHT} & known.new.keys()]
    for known in wanting:
        if _TIME in known.new and known.number(_TIME) < TIMES_FROM:
            raise DecodeError(f"PSBT: {known.what}: a time below {TIMES_FROM}")
        if _HEIGHT in known.new and not 0 < known.number(_HEIGHT) < TIMES_FROM:
            raise DecodeError(f"PSBT: {known.what}: expected a height from 1 below {TIMES_FROM}")
    if not wanting:
        return whole.number(_FALLBACK) if _FALLBACK in whole.new else 0
    for kind in (_HEIGHT, _TIME):
        if all(kind in known.new for known in wanting):
            return max(known.number(kind) for known in wanting)
    raise DecodeError("PSBT: some inputs want a height as lock time, others a time")
