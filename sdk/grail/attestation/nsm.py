"""What a security module is asked and answers, byte for byte as AWS's own library writes it.

Source: aws-nitro-enclaves-nsm-api, src/api/mod.rs. A request is a text when it has no fields, else
a map of its name to a map of its fields, in the order in which the library lists them; an answer is
the same, or {"Error": code}. The device and the devnet's module speak it alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from grail.codec import decode_any_form, encode
from grail.errors import DecodeError, InvalidInput, Unavailable

MAX_REQUEST: Final = 0x1000
MAX_ANSWER: Final = 0x3000
MAX_FIELD: Final = 1_024
"""Bytes of `user_data`, `nonce` or `public_key`."""

MAX_INDEX: Final = 31
MAX_DEPTH: Final = 4

ERRORS: Final = (
    "Success",
    "InvalidArgument",
    "InvalidIndex",
    "InvalidResponse",
    "ReadOnlyIndex",
    "InvalidOperation",
    "BufferTooSmall",
    "InputTooLarge",
    "InternalError",
)
"""The codes of `Error`."""

DESCRIBE: Final = "DescribeNSM"
RANDOM: Final = "GetRandom"


def request(name: str, fields: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a request. Raises `InvalidInput` when it is longer than the module takes."""
    raw = encode(name if fields is None else {name: dict(fields)}, any_order=True)
    if len(raw) > MAX_REQUEST:
        raise InvalidInput(f"{name}: a request of {len(raw)} bytes, expected at most {MAX_REQUEST}")
    return raw


def attestation(nonce: bytes | None, public_key: bytes | None, user_data: bytes | None) -> bytes:
    """Ask for a document. Raises `InvalidInput` for a field of more than 1,024 bytes."""
    fields = {"user_data": user_data, "nonce": nonce, "public_key": public_key}
    for name, value in fields.items():
        if value is not None and len(value) > MAX_FIELD:
            raise InvalidInput(f"{name}: got {len(value)} bytes, expected at most {MAX_FIELD}")
    return request("Attestation", fields)


def describe_pcr(index: int) -> bytes:
    """Ask for a PCR."""
    return request("DescribePCR", {"index": index})


def extend_pcr(index: int, data: bytes) -> bytes:
    """Ask for a PCR to become SHA-384 over its old value and the data."""
    return request("ExtendPCR", {"index": index, "data": data})


def lock_pcr(index: int) -> bytes:
    """Ask for a PCR to be fixed, and to stand in documents from then on."""
    return request("LockPCR", {"index": index})


def lock_pcrs(count: int) -> bytes:
    """The same for all PCRs below `count`."""
    return request("LockPCRs", {"range": count})


def answer(raw: bytes, name: str) -> Mapping[str, Any]:
    """The fields of the answer to a request of this name; none where it has none.

    Raises `Unavailable` with the module's error, or `DecodeError` for anything else.
    """
    value = decode_any_form(raw, max_bytes=MAX_ANSWER, max_depth=MAX_DEPTH)
    if value == name:
        return {}
    if isinstance(value, dict) and len(value) == 1:
        ((found, fields),) = value.items()
        if found == "Error" and isinstance(fields, str):
            raise Unavailable(
                f"security module: {name}: {fields if fields in ERRORS else 'an unknown error'}",
                hint="InvalidArgument and InputTooLarge are the request's fault",
            )
        if found == name and isinstance(fields, dict):
            return fields
    raise DecodeError(f"security module: the answer is none to {name}")


@dataclass(frozen=True, slots=True)
class Description:
    """What a module says of itself. `locked` are the indexes of PCRs that stand in documents."""

    module_id: str
    version: tuple[int, int, int]
    max_pcrs: int
    locked: tuple[int, ...]
    digest: str


_VERSION: Final = ("version_major", "version_minor", "version_patch")


def description(fields: Mapping[str, Any]) -> Description:
    """Read the answer to `DescribeNSM`. Raises `DecodeError`."""
    major, minor, patch = (number(fields, name) for name in _VERSION)
    locked = fields.get("locked_pcrs")
    if not isinstance(locked, list) or any(type(index) is not int for index in locked):
        raise DecodeError("security module: locked_pcrs is no list of numbers")
    return Description(
        text(fields, "module_id"),
        (major, minor, patch),
        number(fields, "max_pcrs"),
        tuple(locked),
        text(fields, "digest"),
    )


def number(fields: Mapping[str, Any], name: str) -> int:
    """A field that is a number. Raises `DecodeError`."""
    value = fields.get(name)
    if type(value) is not int:
        raise DecodeError(f"security module: {name} is no number")
    return value


def text(fields: Mapping[str, Any], name: str) -> str:
    """A field that is a text. Raises `DecodeError`."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise DecodeError(f"security module: {name} is no text")
    return value


def octets(fields: Mapping[str, Any], name: str) -> bytes:
    """A field that is bytes, and not empty. Raises `DecodeError`."""
    value = fields.get(name)
    if not isinstance(value, bytes) or not value:
        raise DecodeError(f"security module: {name} is no bytes")
    return value
