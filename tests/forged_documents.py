"""Documents from a CA of the devnet's kind, each right but for what a test changes.

A `Forger` holds the keys of a whole chain, so that a forged part is signed all the way down: what
refuses it is the check that the test means, and no broken signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from grail.attestation.chain import Root
from grail.attestation.cose import PROTECTED
from grail.attestation.verifier import Measurement, Policy
from grail.codec import encode
from grail_devnet.nsm.authority import (
    CA_USAGE,
    INSTANCE_USAGE,
    LEAF_USAGE,
    draw_key,
    subject,
    usage,
)
from grail_devnet.nsm.module import sign

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LEVELS = ("root", "region", "zone", "instance", "leaf")
PATHS: Mapping[str, int | None] = {"root": None, "region": 2, "zone": 1, "instance": 0}

PCRS = {index: hashlib.sha384(bytes([index])).digest() for index in range(3)} | {
    index: bytes(48) for index in range(3, 16)
}
MEASUREMENT = Measurement({index: PCRS[index] for index in range(3)})


@dataclass
class Level:
    """What to change in one certificate; what is left alone is as AWS has it.

    `constraints` and `usage` None leave the extension out.
    """

    key: Any = None
    signer: ec.EllipticCurvePrivateKey | None = None
    issuer: x509.Name | None = None
    constraints: x509.BasicConstraints | str | None = "usual"
    usage: frozenset[str] | str | None = "usual"
    first: datetime = NOW - HOUR
    last: datetime = NOW + HOUR
    authority_id: bytes | None = None
    algorithm: HashAlgorithm = field(default_factory=SHA384)
    extra: x509.ExtensionType | None = None


@dataclass
class Chain:
    """Certificates root first, with the key of each."""

    keys: list[Any]
    certificates: list[x509.Certificate]

    @property
    def ders(self) -> list[bytes]:
        return [each.public_bytes(Encoding.DER) for each in self.certificates]


def chain(changes: Mapping[str, Level] | None = None, levels: tuple[str, ...] = LEVELS) -> Chain:
    """A chain of these levels; a name given twice, as `zone/2`, has the values of the first."""
    made = Chain([], [])
    for name in levels:
        level = (changes or {}).get(name, Level())
        key = level.key or draw_key()
        above = made.certificates[-1].subject if made.certificates else subject(f"{name} level")
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(f"{name} level"))
            .issuer_name(level.issuer or above)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(level.first)
            .not_valid_after(level.last)
        )
        for extension, critical in extensions(name, level, key, made):
            builder = builder.add_extension(extension, critical=critical)
        signer = level.signer or (made.keys[-1] if made.keys else key)
        made.certificates.append(builder.sign(signer, level.algorithm))
        made.keys.append(key)
    return made


def extensions(
    name: str, level: Level, key: Any, above: Chain
) -> list[tuple[x509.ExtensionType, bool]]:
    kind = name.partition("/")[0]
    found: list[tuple[x509.ExtensionType, bool]] = []
    constraints = level.constraints
    if constraints == "usual":
        constraints = x509.BasicConstraints(ca=kind != "leaf", path_length=PATHS.get(kind))
    if isinstance(constraints, x509.BasicConstraints):
        found.append((constraints, True))
    names = level.usage
    if names == "usual":
        names = {"leaf": LEAF_USAGE, "instance": INSTANCE_USAGE}.get(kind, CA_USAGE)
    if isinstance(names, frozenset):
        found.append((usage(names), kind != "leaf"))
    if kind != "leaf":
        found.append((x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
    if level.authority_id is not None:
        found.append((x509.AuthorityKeyIdentifier(level.authority_id, None, None), False))
    elif above.keys and kind != "leaf":
        found.append(
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(above.keys[-1].public_key()), False)
        )
    if level.extra is not None:
        found.append((level.extra, True))
    return found


def fields(ders: list[bytes], **changes: Any) -> dict[str, Any]:
    """The nine fields in AWS's order, with these changes; `...` takes a field out."""
    usual: dict[str, Any] = {
        "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
        "digest": "SHA384",
        "timestamp": int(NOW.timestamp() * 1000),
        "pcrs": PCRS,
        "certificate": ders[-1],
        "cabundle": ders[:-1],
        "public_key": None,
        "user_data": None,
        "nonce": bytes(range(32)),
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


Pieces = list[tuple[bytes, bytes]]


def pieces(values: Mapping[str, Any]) -> Pieces:
    """The encoded keys and values of a map."""
    return [(encode(key), encode(value, any_order=True)) for key, value in values.items()]


def joined(parts: Pieces, head: bytes | None = None, end: bytes = b"") -> bytes:
    """A map of pieces; `head` for another first byte than that of its length."""
    body = b"".join(key + value for key, value in parts)
    return (bytes([0xA0 + len(parts)]) if head is None else head) + body + end


@dataclass
class Forger:
    """One chain, its root as a verifier pins it, and documents that its leaf signs."""

    made: Chain = field(default_factory=chain)

    @property
    def root(self) -> Root:
        return Root(hashlib.sha256(self.made.ders[0]).digest())

    @property
    def policy(self) -> Policy:
        return Policy(self.root, (MEASUREMENT,))

    @property
    def ders(self) -> list[bytes]:
        return self.made.ders

    def signed(self, payload: bytes) -> bytes:
        """Any payload, signed as it should be."""
        return sign(payload, self.made.keys[-1])

    def document(self, **changes: Any) -> bytes:
        """A document with these fields changed."""
        return self.signed(encode(fields(self.ders, **changes), any_order=True))

    def pieced(self, change: Callable[[Pieces], bytes], **changes: Any) -> bytes:
        """A document whose payload is what `change` makes of the encoded fields."""
        return self.signed(change(pieces(fields(self.ders, **changes))))

    def message(self, **changes: Any) -> bytes:
        """A message with another header, payload or signature in the place of the right one."""
        payload = encode(fields(self.ders), any_order=True)
        parts = {
            "protected": PROTECTED,
            "unprotected": {},
            "payload": payload,
            "signature": self.signed(payload)[-96:],
            **changes,
        }
        return encode(list(parts.values()), any_order=True)
