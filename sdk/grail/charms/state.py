"""The state of an NFT: the array [kind, field 0, ...], its types, and fields as field elements.

Head and section 5 of the protocol. Types: bool; u64 and u128 as integers; id, 32 bytes big-endian
below 2^253 (an `fe`); blob, bytes shown to circuits as a hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from grail.charms.app import Data, blob_fe
from grail.errors import SpellIncorrect

FIELD_TYPES = ("bool", "u64", "u128", "id", "blob")
_MOST = {"u64": (1 << 64) - 1, "u128": (1 << 128) - 1}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of state: whether it may lie at ordinary outputs, and its fields (name, type)."""

    free: bool
    fields: tuple[tuple[str, str], ...]


def kind_of(state: Data) -> int | None:
    """The kind's number that a state begins with, None when it has none."""
    if isinstance(state, list) and state and type(state[0]) is int:
        return state[0]
    return None


def check(kinds: Mapping[int, Kind], state: Data) -> int:
    """Refuse a state that is not of a declared kind with fields of its types; returns the kind.

    Raises `SpellIncorrect` with rule StateInvalid.
    """
    number = kind_of(state)
    kind = kinds.get(number) if number is not None else None
    if number is None or kind is None:
        raise SpellIncorrect(
            "StateInvalid", "no declared kind", got=str(number), expected=str(sorted(kinds))
        )
    if len(state) != 1 + len(kind.fields):
        raise SpellIncorrect(
            "StateInvalid",
            f"kind {number}: fields",
            got=str(len(state) - 1),
            expected=str(len(kind.fields)),
        )
    for (name, type_), value in zip(kind.fields, state[1:], strict=True):
        if not _fits(type_, value):
            raise SpellIncorrect(
                "StateInvalid", f"kind {number}: field {name}", got=str(value)[:80], expected=type_
            )
    return number


def element(type_: str, value: Data) -> int:
    """A field of a checked state as a field element."""
    if type_ == "blob":
        return blob_fe(value)
    if type_ == "id":
        return int.from_bytes(value, "big")
    return int(value)


def _fits(type_: str, value: Data) -> bool:
    if type_ == "bool":
        return isinstance(value, bool)
    if type_ == "blob":
        return isinstance(value, bytes)
    if type_ == "id":
        # Below 2^253, so that no two ids are one field element.
        return isinstance(value, bytes) and len(value) == 32 and value[0] < 0x20
    return type(value) is int and 0 <= value <= _MOST[type_]
