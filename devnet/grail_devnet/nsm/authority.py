"""The devnet's CA: root, regional, zonal and instance certificates of the shape that AWS's have.

Each devnet draws its own root (threat A17). Names say what it is; keys, extensions and path lengths
are those of real chains, so one verifier reads both. AWS renews the lower certificates after days;
here they live as long as a devnet may.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from grail.errors import InvalidInput
from grail.folders import write_private

ROOT_DAYS = 3_650
LOWER_DAYS = 365
LEAF_HOURS = 3
DOMAIN = "grail-devnet"

CA_USAGE = frozenset({"digital_signature", "key_cert_sign", "crl_sign"})
INSTANCE_USAGE = frozenset({"key_cert_sign"})
LEAF_USAGE = frozenset({"digital_signature", "content_commitment"})

_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True, slots=True)
class Holder:
    """A key and the certificate for it, with those above it, root first."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]

    def __repr__(self) -> str:
        return f"Holder({len(self.chain)} certificates, key=<secret>)"

    @property
    def certificate(self) -> x509.Certificate:
        """Its own certificate."""
        return self.chain[-1]

    @property
    def ders(self) -> list[bytes]:
        """The chain in DER, root first."""
        return [each.public_bytes(Encoding.DER) for each in self.chain]

    def to_dict(self) -> dict[str, Any]:
        """Texts for a private file; the key is among them."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = [each.public_bytes(Encoding.PEM).decode() for each in self.chain]
        return {"key": key.decode(), "chain": chain}

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Self:
        """Read it back. Raises `InvalidInput`."""
        try:
            key = load_pem_private_key(body["key"].encode(), None)
            chain = tuple(x509.load_pem_x509_certificate(pem.encode()) for pem in body["chain"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InvalidInput("authority: the file holds no key with its chain") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not chain:
            raise InvalidInput("authority: expected a P-384 key and its chain")
        return cls(key, chain)


def draw_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-384 key."""
    return ec.generate_private_key(ec.SECP384R1())


def subject(common_name: str) -> x509.Name:
    """A name in AWS's shape, that says whose it is."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Grail devnet"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "emulated, no isolation"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def usage(names: frozenset[str]) -> x509.KeyUsage:
    """Key usage with these bits."""
    return x509.KeyUsage(**{name: name in names for name in _USAGES})


def builder(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    validity: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    """A certificate without extensions."""
    first, last = validity
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(secrets.randbits(127) | 1)
        .not_valid_before(first.replace(microsecond=0))
        .not_valid_after(last.replace(microsecond=0))
    )


def draw_root(now: datetime) -> Holder:
    """A root of its own, valid from an hour before now."""
    key, name = draw_key(), subject(f"{DOMAIN}.nitro-enclaves")
    made = (
        builder(name, name, key.public_key(), _from(now, timedelta(days=ROOT_DAYS)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(usage(CA_USAGE), critical=True)
        .sign(key, SHA384())
    )
    return Holder(key, (made,))


def issue(above: Holder, common_name: str, path_length: int, now: datetime) -> Holder:
    """An authority below another one; AWS gives 2 to regions, 1 to zones, 0 to instances."""
    key = draw_key()
    made = builder(
        subject(common_name),
        above.certificate.subject,
        key.public_key(),
        _from(now, timedelta(days=LOWER_DAYS)),
    )
    for extension, critical in (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key()), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (usage(CA_USAGE if path_length else INSTANCE_USAGE), True),
    ):
        made = made.add_extension(extension, critical=critical)
    return Holder(key, (*above.chain, made.sign(above.key, SHA384())))


def issue_leaf(instance: Holder, module_id: str, now: datetime) -> Holder:
    """The certificate of a key that signs documents, for three hours."""
    key = draw_key()
    made = (
        builder(
            subject(f"{module_id}.{DOMAIN}"),
            instance.certificate.subject,
            key.public_key(),
            (now - timedelta(seconds=3), now + timedelta(hours=LEAF_HOURS)),
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(LEAF_USAGE), critical=False)
        .sign(instance.key, SHA384())
    )
    return Holder(key, (*instance.chain, made))


@dataclass(frozen=True, slots=True)
class Authority:
    """The devnet's root with one region and one zone below it; it issues instances."""

    zone: Holder

    @classmethod
    def draw(cls, now: datetime) -> Self:
        """A new CA. The keys of root and region are forgotten: nothing needs them again."""
        root = draw_root(now)
        region = issue(root, f"{secrets.token_hex(8)}.{DOMAIN}.nitro-enclaves", 2, now)
        zone = f"{secrets.token_hex(8)}.zonal.{DOMAIN}.nitro-enclaves"
        return cls(issue(region, zone, 1, now))

    @property
    def root_pem(self) -> bytes:
        """The root's certificate, which verifiers pin."""
        return self.zone.chain[0].public_bytes(Encoding.PEM)

    def instance(self, now: datetime) -> tuple[str, Holder]:
        """The id of a new instance, and its authority."""
        name = f"i-{secrets.token_hex(8)}0"
        return name, issue(self.zone, f"{name}.{DOMAIN}.nitro-enclaves", 0, now)

    def save(self, folder: Path) -> None:
        """Write `root.pem`, and the zone's key into `authority.json` (mode 0600)."""
        write_private(folder / "root.pem", self.root_pem)
        write_private(folder / "authority.json", json.dumps(self.zone.to_dict()).encode())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises `InvalidInput`."""
        try:
            body = json.loads((folder / "authority.json").read_text())
        except (OSError, ValueError) as exc:
            raise InvalidInput(f"authority: {type(exc).__name__} in {folder.name}") from exc
        return cls(Holder.from_dict(body))


def _from(now: datetime, span: timedelta) -> tuple[datetime, datetime]:
    return now - timedelta(hours=1), now + span
