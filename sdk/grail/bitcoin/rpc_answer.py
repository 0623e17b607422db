"""Reading bitcoind's answers: each field with its type, or a `DecodeError` that names it.

Amounts are read as decimal text, so 20,999,999.97690000 BTC is exact and nothing is ever a float.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from grail.errors import DecodeError, InvalidInput
from grail.types import MAX_MONEY, BlockHash, Sats, Txid


def parse_sats(value: object) -> Sats:
    """An RPC amount in BTC, read as decimal text, in sats. Raises `DecodeError`."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise DecodeError(f"amount: got {type(value).__name__}, expected a decimal number")
    try:
        amount = Decimal(value)
    except InvalidOperation as exc:
        raise DecodeError(f"amount: {str(value)[:40]!r} is no decimal number") from exc
    exponent = amount.as_tuple().exponent
    # Eight places at most, and no more digits than MAX_MONEY has: scaling is then exact.
    if not isinstance(exponent, int) or not -8 <= exponent <= 0 or abs(amount) * 10**8 > MAX_MONEY:
        raise DecodeError(f"amount: {str(value)[:40]} BTC is not a whole number of sats in range")
    return Sats(int(amount.scaleb(8)))


def format_btc(sats: int) -> str:
    """Sats as the decimal text in BTC that RPC takes: 8 places, exact."""
    return f"{'-' if sats < 0 else ''}{abs(sats) // 10**8}.{abs(sats) % 10**8:08d}"


def read_uint(what: str, value: object) -> builtins.int:
    """A whole number from 0 up. Raises `DecodeError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DecodeError(f"{what}: got {str(value)[:40]!r}, expected a number")
    return value


def read_bytes(what: str, value: object) -> builtins.bytes:
    """Bytes from hexadecimal text. Raises `DecodeError`."""
    if not isinstance(value, str):
        raise DecodeError(f"{what}: got {type(value).__name__}, expected hexadecimal text")
    try:
        return bytes.fromhex(value)
    except ValueError as exc:
        raise DecodeError(f"{what}: got {value[:40]!r}, expected hexadecimal text") from exc


def _identifier(what: str, value: object, kind: Callable[[bytes], Any]) -> Any:
    try:
        return kind(read_bytes(what, value)[::-1])
    except DecodeError:
        raise
    except InvalidInput as exc:
        raise DecodeError(f"{what}: {exc}") from exc


def read_txid(what: str, value: object) -> Txid:
    """A txid from its text. Raises `DecodeError`."""
    txid: Txid = _identifier(what, value, Txid)
    return txid


def read_block_hash(what: str, value: object) -> BlockHash:
    """A block hash from its text. Raises `DecodeError`."""
    block: BlockHash = _identifier(what, value, BlockHash)
    return block


def read_block_hashes(what: str, value: object) -> list[BlockHash]:
    """A list of block hashes. Raises `DecodeError`."""
    if not isinstance(value, list):
        raise DecodeError(f"{what}: expected a list")
    return [read_block_hash(what, item) for item in value]


class Fields:
    """The fields of a JSON object, each read with its type; anything else is `DecodeError`."""

    def __init__(self, what: str, value: object) -> None:
        if not isinstance(value, dict):
            raise DecodeError(f"{what}: got {type(value).__name__}, expected an object")
        self._what = what
        self._value: dict[str, Any] = value

    def has(self, key: str) -> bool:
        """Whether the field is there."""
        return key in self._value

    def get(self, key: str) -> Any:
        """The field, of any type."""
        if key not in self._value:
            raise DecodeError(f"{self._what}: the field {key!r} is missing")
        return self._value[key]

    def _typed(self, key: str, kind: type) -> Any:
        value = self.get(key)
        if not isinstance(value, kind):
            name = type(value).__name__
            raise DecodeError(f"{self._what}: {key!r} is {name}, expected {kind.__name__}")
        return value

    def text(self, key: str) -> str:
        """A text."""
        return str(self._typed(key, str))

    def flag(self, key: str) -> bool:
        """A boolean."""
        return bool(self._typed(key, bool))

    def list(self, key: str) -> Sequence[Any]:
        """A list."""
        value: Sequence[Any] = self._typed(key, list)
        return value

    def map(self, key: str) -> dict[str, Any]:
        """An object."""
        value: dict[str, Any] = self._typed(key, dict)
        return value

    def int(self, key: str) -> builtins.int:
        """A whole number."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise DecodeError(f"{self._what}: {key!r} is no whole number")
        return value

    def uint(self, key: str) -> builtins.int:
        """A whole number from 0 up."""
        return read_uint(f"{self._what}: {key}", self.get(key))

    def bytes(self, key: str) -> builtins.bytes:
        """Hexadecimal text as bytes."""
        return read_bytes(f"{self._what}: {key}", self.get(key))

    def hex_uint(self, key: str) -> builtins.int:
        """Hexadecimal text as a number."""
        return int.from_bytes(self.bytes(key), "big")

    def txid(self, key: str) -> Txid:
        """A txid."""
        return read_txid(f"{self._what}: {key}", self.get(key))

    def block_hash(self, key: str) -> BlockHash:
        """A block hash."""
        return read_block_hash(f"{self._what}: {key}", self.get(key))

    def sats(self, key: str) -> Sats:
        """An amount in BTC, as sats."""
        return parse_sats(self.get(key))
