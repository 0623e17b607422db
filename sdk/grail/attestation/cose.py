"""COSE_Sign1 as the Nitro module writes it (RFC 9052, section 4.2): untagged, ES384, nothing else.

The bytes that were received are what is verified; nothing is encoded anew. The one freedom that the
format leaves to a forger, an unsigned header, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from grail.attestation.form import value_of
from grail.codec import encode
from grail.errors import AttestationInvalid

PROTECTED: Final = bytes.fromhex("a1013822")
"""The one protected header: {1: -35}, the algorithm ES384."""

ORDER: Final = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffff"
    "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
"""n of P-384 (FIPS 186-5, SP 800-186)."""

SCALAR: Final = 48
"""Bytes of r, and of s."""

_TAGS = range(0xC0, 0xE0)
"""First bytes of a tagged value."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A message in the right form, whose signature nobody has looked at yet."""

    payload: bytes
    signature: bytes

    @classmethod
    def parse(cls, raw: bytes) -> Signed:
        """Take a message apart. Raises `AttestationInvalid` (rules `Cbor...` and `Cose...`)."""
        if raw and raw[0] in _TAGS:
            raise AttestationInvalid(
                "CoseTagged",
                "the message is tagged, expected the array alone",
                got=f"first byte {raw[0]:02x}",
                expected="84",
                hint="pass on the module's answer as it is",
            )
        message = value_of(raw, "message")
        if not isinstance(message, list) or len(message) != 4:
            raise AttestationInvalid("CoseShape", "expected an array of four", got=_kind(message))
        protected, unprotected, payload, signature = message
        if not isinstance(protected, bytes) or not isinstance(unprotected, dict):
            raise AttestationInvalid(
                "CoseShape", "expected headers of bytes and a map", got=_kind(protected)
            )
        if unprotected:
            raise AttestationInvalid(
                "CoseUnprotected",
                "an unsigned header says something, and nobody vouches for it",
                got=f"{len(unprotected)} entries",
                expected="none",
            )
        if protected != PROTECTED:
            raise AttestationInvalid(
                "CoseAlgorithm",
                "the protected header is not ES384 alone",
                got=protected[:16].hex(),
                expected=PROTECTED.hex(),
            )
        if not isinstance(payload, bytes) or not payload:
            raise AttestationInvalid(
                "CosePayload", "the payload is not in the message", got=_kind(payload)
            )
        if not isinstance(signature, bytes):
            raise AttestationInvalid("CoseSignature", "no bytes", got=_kind(signature))
        return cls(payload, signature)

    def check(self, key: ec.EllipticCurvePublicKey) -> None:
        """Raise `AttestationInvalid` unless `key` signed this message."""
        signed = encode(["Signature1", PROTECTED, b"", self.payload])
        try:
            key.verify(asn1(self.signature), signed, ec.ECDSA(SHA384()))
        except InvalidSignature as exc:
            raise AttestationInvalid(
                "SignatureWrong",
                "the certificate's key did not sign these bytes",
                hint="the document was changed on its way, or its certificate is another's",
            ) from exc


def asn1(signature: bytes) -> bytes:
    """The form that the library reads, of r and s with 48 bytes each, both from 1 to n - 1.

    Raises `AttestationInvalid` for any other form (threat A9).
    """
    if len(signature) != 2 * SCALAR:
        raise AttestationInvalid(
            "CoseSignature", "not r and s", got=f"{len(signature)} bytes", expected="96"
        )
    r, s = (int.from_bytes(half, "big") for half in (signature[:SCALAR], signature[SCALAR:]))
    for name, value in (("r", r), ("s", s)):
        if not 0 < value < ORDER:
            raise AttestationInvalid(
                "CoseSignature", f"{name} is not between 0 and the curve's order"
            )
    return encode_dss_signature(r, s)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
