"""What a document says: the nine fields of its payload, in the two forms that AWS writes.

The payload is a map of definite length, or (seen since 2026) one whose outermost head is indefinite
and which a break ends. Nothing inside may be indefinite, and no third form is read. Sizes are those
of the module's own interface (aws-nitro-enclaves-nsm-api, docs/attestation_process.md, 3.2.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from grail.attestation.form import value_of
from grail.errors import AttestationInvalid

DIGEST: Final = "SHA384"
PCR_BYTES: Final = 48
MAX_PCRS: Final = 32
MAX_CERTIFICATE: Final = 1_024
MAX_BUNDLE: Final = 8
"""Certificates above the leaf's; AWS sends four."""
MAX_OPTIONAL: Final = 1_024
"""Bytes of `public_key`, `user_data` or `nonce`."""
MAX_MODULE_ID: Final = 128
MAX_TIMESTAMP: Final = 253_402_300_800_000
"""Milliseconds up to the year 10,000, which a calendar can still name."""

NEEDED: Final = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
OPTIONAL: Final = ("public_key", "user_data", "nonce")

_INDEFINITE_MAP, _BREAK = b"\xbf", b"\xff"


@dataclass(frozen=True, slots=True)
class Document:
    """A payload in the right form. Nothing of it is known to be true yet.

    `timestamp` is in milliseconds since 1970; `pcrs` maps an index to 48 bytes; the certificates
    are DER, `cabundle` with the root first; what is null or left out is None.
    """

    module_id: str
    timestamp: int
    pcrs: Mapping[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None

    @property
    def time(self) -> datetime:
        """When the module made it, by its own clock."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.timestamp)

    @classmethod
    def parse(cls, payload: bytes) -> Document:
        """Read a payload. Raises `AttestationInvalid` (rules `Cbor...`, `Field...`, `Pcr...`)."""
        fields = value_of(_definite(payload), "payload")
        if not isinstance(fields, dict):
            raise AttestationInvalid(
                "FieldType", "payload", got=type(fields).__name__, expected="a map"
            )
        for name in fields:
            if name not in (*NEEDED, *OPTIONAL):
                raise AttestationInvalid("FieldUnknown", f"the payload has {str(name)[:40]!r}")
        for name in NEEDED:
            if fields.get(name) is None:
                raise AttestationInvalid("FieldMissing", name, got="nothing")
        if fields["digest"] != DIGEST:
            raise AttestationInvalid(
                "FieldDigest", "digest", got=str(fields["digest"])[:40], expected=DIGEST
            )
        module_id, timestamp = fields["module_id"], fields["timestamp"]
        if not isinstance(module_id, str) or not 0 < len(module_id) <= MAX_MODULE_ID:
            raise AttestationInvalid("FieldType", "module_id", expected="a short text")
        if type(timestamp) is not int or not 0 < timestamp < MAX_TIMESTAMP:
            raise AttestationInvalid("FieldType", "timestamp", expected="milliseconds since 1970")
        bundle = fields["cabundle"]
        if not isinstance(bundle, list) or not 0 < len(bundle) <= MAX_BUNDLE:
            raise AttestationInvalid(
                "FieldType", "cabundle", expected=f"1 to {MAX_BUNDLE} certificates"
            )
        return cls(
            module_id,
            timestamp,
            _pcrs(fields["pcrs"]),
            _bytes("certificate", fields["certificate"], 1, MAX_CERTIFICATE),
            tuple(_bytes("cabundle", each, 1, MAX_CERTIFICATE) for each in bundle),
            *(_optional(name, fields.get(name)) for name in OPTIONAL),
        )


def _definite(payload: bytes) -> bytes:
    """The payload with a definite outermost map; any other head is left to the reader."""
    if payload[:1] != _INDEFINITE_MAP:
        return payload
    if payload[-1:] != _BREAK:
        raise AttestationInvalid("CborTruncated", "payload: no break at its end")
    # How many entries there are is not said. AWS writes all nine, null where it has none; a map of
    # fewer or more then ends too late or too early.
    whole = len(NEEDED) + len(OPTIONAL)
    return bytes([0xA0 + whole]) + payload[1:-1]


def _pcrs(value: Any) -> Mapping[int, bytes]:
    if not isinstance(value, dict) or not 0 < len(value) <= MAX_PCRS:
        raise AttestationInvalid("FieldType", "pcrs", expected=f"a map of 1 to {MAX_PCRS}")
    for index, pcr in value.items():
        if type(index) is not int or not 0 <= index < MAX_PCRS:
            raise AttestationInvalid("FieldType", "pcrs", expected=f"an index below {MAX_PCRS}")
        if not isinstance(pcr, bytes) or len(pcr) != PCR_BYTES:
            got = f"{len(pcr)} bytes" if isinstance(pcr, bytes) else type(pcr).__name__
            raise AttestationInvalid(
                "PcrSize", f"PCR{index}", got=got, expected=f"{PCR_BYTES} bytes"
            )
    return MappingProxyType(value)


def _optional(name: str, value: Any) -> bytes | None:
    return None if value is None else _bytes(name, value, 0, MAX_OPTIONAL)


def _bytes(name: str, value: Any, least: int, most: int) -> bytes:
    if not isinstance(value, bytes):
        raise AttestationInvalid("FieldType", name, got=type(value).__name__, expected="bytes")
    if not least <= len(value) <= most:
        raise AttestationInvalid(
            "FieldSize", name, got=f"{len(value)} bytes", expected=f"{least} to {most}"
        )
    return value
