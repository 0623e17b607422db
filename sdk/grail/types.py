"""Bytes that know what they are. A leaf: imports nothing of the project but its errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType, Self

from grail.errors import InvalidInput

Sats = NewType("Sats", int)
"""An amount in satoshi. Never a float, never BTC."""

MAX_MONEY = 21_000_000 * 100_000_000
"""More sats than can ever exist (Bitcoin Core's MAX_MONEY)."""


_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


class _Fixed(bytes):
    """Bytes of one exact length."""

    SIZE = 32
    NAME = "value"

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != cls.SIZE:
            raise InvalidInput(f"{cls.NAME}: got {len(raw)} bytes, expected {cls.SIZE}")
        return super().__new__(cls, raw)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __str__(self) -> str:
        return self.hex()

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read the text form. Raises `InvalidInput`."""
        return cls(_unhex(text, cls.NAME))


def _unhex(text: str, name: str) -> bytes:
    # `bytes.fromhex` alone would skip white space, so that one value had many texts.
    if len(text) % 2 or not set(text) <= _HEX_DIGITS:
        raise InvalidInput(f"{name}: {text[:80]!r} is not hexadecimal")
    return bytes.fromhex(text)


class Txid(_Fixed):
    """A transaction id in internal byte order; its text is reversed, as RPC shows it."""

    NAME = "txid"

    def __str__(self) -> str:
        return self[::-1].hex()

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Read the reversed text form. Raises `InvalidInput`."""
        return cls(_unhex(text, cls.NAME)[::-1])


class BlockHash(Txid):
    """A block hash in internal byte order; its text is reversed, as RPC shows it."""

    NAME = "block hash"


class XOnlyKey(_Fixed):
    """An x-only public key (BIP 340), 32 bytes. That it lies on the curve is the user's check."""

    NAME = "x-only key"


_OUTPOINT = re.compile(r"[0-9a-f]{64}:(0|[1-9][0-9]{0,9})")


@dataclass(frozen=True, order=True, slots=True)
class OutPoint:
    """Which output: the txid and the index of the output in that transaction."""

    txid: Txid
    vout: int

    def __post_init__(self) -> None:
        if not 0 <= self.vout < 1 << 32:
            raise InvalidInput(f"outpoint: index {self.vout}, expected 0 to 2^32 - 1")

    def __str__(self) -> str:
        return f"{self.txid}:{self.vout}"

    def serialize(self) -> bytes:
        """36 bytes: txid in internal order, index little-endian."""
        return bytes(self.txid) + self.vout.to_bytes(4, "little")

    @classmethod
    def parse(cls, raw: bytes) -> OutPoint:
        """Read the 36 bytes. Raises `InvalidInput`."""
        if len(raw) != 36:
            raise InvalidInput(f"outpoint: got {len(raw)} bytes, expected 36")
        return cls(Txid(raw[:32]), int.from_bytes(raw[32:], "little"))

    @classmethod
    def from_text(cls, text: str) -> OutPoint:
        """Read `txid:vout` as RPC shows it: lower case, no leading zeros. Raises `InvalidInput`."""
        if not _OUTPOINT.fullmatch(text):
            raise InvalidInput(f"outpoint: got {text[:80]!r}, expected txid:vout")
        txid, _, vout = text.partition(":")
        return cls(Txid.from_hex(txid), int(vout))


@dataclass(frozen=True, slots=True)
class TxOut:
    """An output: its amount in sats and its scriptPubKey."""

    sats: int
    script: bytes
