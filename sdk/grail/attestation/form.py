"""The CBOR of a document: `grail.codec`, with the keys of maps in any order, its errors by rule."""

from __future__ import annotations

from typing import Any, Final

from grail.codec import decode
from grail.errors import (
    AttestationInvalid,
    DecodeError,
    DuplicateKey,
    Indefinite,
    NotCanonical,
    TooDeep,
    TooLarge,
    TrailingBytes,
    Truncated,
)

MAX_DOCUMENT: Final = 0x3000
"""The module's largest answer; the documents seen so far have some 4,500 bytes."""

MAX_DEPTH: Final = 3
"""A message holds a map, a payload a map of maps."""

# The narrower class first: Indefinite is NotCanonical, and all are DecodeErrors.
_RULES: Final = (
    (TooLarge, "CborOversized"),
    (TooDeep, "CborNested"),
    (TrailingBytes, "CborTrailing"),
    (Truncated, "CborTruncated"),
    (DuplicateKey, "CborDuplicate"),
    (Indefinite, "CborIndefinite"),
    (NotCanonical, "CborForm"),
    (DecodeError, "CborMalformed"),
)


def value_of(raw: bytes, what: str) -> Any:
    """The value in its shortest form with definite lengths. Raises `AttestationInvalid`."""
    try:
        return decode(
            raw, max_bytes=MAX_DOCUMENT, max_depth=MAX_DEPTH, free_keys=True, any_order=True
        )
    except DecodeError as exc:
        rule = next(rule for kind, rule in _RULES if isinstance(exc, kind))
        raise AttestationInvalid(
            rule, f"{what}: {exc}", hint="pass on the module's answer as it is"
        ) from exc
