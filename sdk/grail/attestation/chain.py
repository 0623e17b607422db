"""The certificates of a document: from the pinned root down to the key that signed it.

RFC 5280, section 6.1, for chains of one kind: P-384 keys, ECDSA with SHA-384, no policies, no name
constraints. All of it is checked at the document's own time. `cryptography`'s own path validation
does not fit: it is made for the web's profile and wants names and uses that Nitro's leaves lack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from grail.errors import AttestationInvalid, InvalidInput

AWS_ROOT: Final = bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
"""SHA-256 of the certificate "AWS Nitro Enclaves Root-G1", as AWS publishes it."""

Extension = TypeVar("Extension", bound=x509.ExtensionType)

_READ: Final = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
}


_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    Warning,
)
"""What the library raises for bytes that are no certificate, or an odd one.

Warnings are raised only where somebody made errors of them; `Link` looks at the serial number that
one of them is about, and a country of ten letters, which another is about, harms nobody.
"""


@dataclass(frozen=True, slots=True)
class Root:
    """The one certificate that a verifier believes, by the SHA-256 of its DER.

    Names prove nothing (threat A1): a look-alike has the same ones.
    """

    sha256: bytes

    def __post_init__(self) -> None:
        if len(self.sha256) != 32:
            raise InvalidInput(f"root: got {len(self.sha256)} bytes, expected a SHA-256")

    @property
    def is_aws(self) -> bool:
        """Whether it is AWS's. Any other is some devnet's, and isolates nothing."""
        return self.sha256 == AWS_ROOT

    @classmethod
    def from_pem(cls, text: bytes) -> Root:
        """The root of a PEM file with one certificate. Raises `InvalidInput`."""
        try:
            (found,) = x509.load_pem_x509_certificates(text)
        except ValueError as exc:
            raise InvalidInput(
                "root: not one certificate in PEM",
                hint="give the file that begins with -----BEGIN CERTIFICATE-----",
            ) from exc
        return cls(hashlib.sha256(found.public_bytes(Encoding.DER)).digest())


AWS = Root(AWS_ROOT)


class Link:
    """One certificate, read once. `name` is for people."""

    def __init__(self, der: bytes, place: str) -> None:
        try:
            self.certificate = x509.load_der_x509_certificate(der)
            self.extensions = self.certificate.extensions
            self.key = _key(self.certificate, place)
            self.subject = self.certificate.subject
            self.issuer = self.certificate.issuer
            serial = self.certificate.serial_number
        except _UNREADABLE as exc:
            raise AttestationInvalid(
                "CertificateForm", f"{place}: {type(exc).__name__}", expected="an X.509 certificate"
            ) from exc
        if serial <= 0:  # RFC 5280, section 4.1.2.2; the library only warns
            raise AttestationInvalid(
                "CertificateForm", f"{place}: its serial number", got=str(serial), expected="over 0"
            )
        self.place = place

    @property
    def name(self) -> str:
        """The common name, or the whole subject."""
        found = self.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(found[0].value) if found else self.subject.rfc4514_string()

    def check(self, *, signs: bool, below: int, time: datetime) -> None:
        """What a certificate must say of itself. `signs`: it is an authority's.

        `below` is how many authorities follow. Raises `AttestationInvalid`.
        """
        first, last = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        if not first <= time <= last:
            raise AttestationInvalid(
                "CertificateTime",
                f"{self.place} ({self.name}) is not valid when the document was made",
                got=f"{time:%Y-%m-%d %H:%M:%S}",
                expected=f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC",
            )
        for extension in self.extensions:
            if extension.critical and extension.oid not in _READ:
                raise AttestationInvalid(
                    "CertificateExtension",
                    f"{self.place}: critical, and not understood here",
                    got=extension.oid.dotted_string,
                )
        self._check_constraints(signs, below)
        self._check_usage(signs)

    def _check_constraints(self, signs: bool, below: int) -> None:
        found = self._extension(x509.BasicConstraints)
        is_authority = found is not None and found.ca
        if is_authority != signs or found is None:
            raise AttestationInvalid(
                "CertificateAuthority",
                f"{self.place} ({self.name}): may it sign certificates",
                got="no basic constraints" if found is None else f"CA {is_authority}",
                expected=f"CA {signs}",
            )
        if signs and found.path_length is not None and found.path_length < below:
            raise AttestationInvalid(
                "PathLength",
                f"{self.place} ({self.name}): authorities below it",
                got=str(below),
                expected=f"at most {found.path_length}",
            )

    def _check_usage(self, signs: bool) -> None:
        found = self._extension(x509.KeyUsage)
        if found is None:
            good = False
        elif signs:
            good = found.key_cert_sign
        else:
            good = found.digital_signature and not found.key_cert_sign
        if not good:
            raise AttestationInvalid(
                "KeyUsage",
                f"{self.place} ({self.name})",
                got="none stated" if found is None else "another",
                expected="signs certificates" if signs else "signs documents, no certificates",
            )

    def _extension(self, kind: type[Extension]) -> Extension | None:
        try:
            return self.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None

    def check_issued_by(self, issuer: Link) -> None:
        """Raise `AttestationInvalid` unless the other one's key signed this certificate."""
        if self.issuer != issuer.subject:
            raise AttestationInvalid(
                "ChainOrder",
                f"{self.place} was not issued by {issuer.place}",
                got=self.issuer.rfc4514_string()[:120],
                expected=issuer.subject.rfc4514_string()[:120],
                hint="the bundle goes from the root down, each issued by the one before it",
            )
        if self.subject == self.issuer:
            # RFC 5280 would not count it in path lengths; below the root nothing is self-issued.
            raise AttestationInvalid(
                "ChainOrder", f"{self.place} names itself as its issuer, below the root"
            )
        algorithm = self.certificate.signature_algorithm_oid
        if algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
            raise AttestationInvalid(
                "CertificateAlgorithm",
                f"{self.place}: how it is signed",
                got=algorithm.dotted_string,
                expected=SignatureAlgorithmOID.ECDSA_WITH_SHA384.dotted_string,
            )
        authority = self._extension(x509.AuthorityKeyIdentifier)
        subject = issuer._extension(x509.SubjectKeyIdentifier)
        if (
            authority is not None
            and authority.key_identifier is not None
            and subject is not None
            and authority.key_identifier != subject.digest
        ):
            raise AttestationInvalid(
                "ChainOrder",
                f"{self.place} names another key than that of {issuer.place}",
                got=authority.key_identifier.hex(),
                expected=subject.digest.hex(),
            )
        try:
            issuer.key.verify(
                self.certificate.signature,
                self.certificate.tbs_certificate_bytes,
                ec.ECDSA(SHA384()),
            )
        except InvalidSignature as exc:
            raise AttestationInvalid(
                "ChainSignature", f"{self.place} was not signed by {issuer.place}"
            ) from exc


def _key(certificate: x509.Certificate, place: str) -> ec.EllipticCurvePublicKey:
    """The certificate's key: a point of the named curve P-384, written uncompressed (threat A7)."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise AttestationInvalid(
            "CertificateKey", f"{place}: its key", got=type(key).__name__, expected="P-384"
        )
    # A key that spells the curve out by its parameters is not written like this one.
    named = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if named not in certificate.tbs_certificate_bytes:
        raise AttestationInvalid(
            "CertificateKey", f"{place}: its key", expected="the named curve P-384"
        )
    return key


@dataclass(frozen=True, slots=True)
class Chain:
    """Certificates from the pinned root down to the leaf, whose key signs documents."""

    ders: tuple[bytes, ...]
    leaf: Link

    @classmethod
    def read(cls, cabundle: Sequence[bytes], certificate: bytes, root: Root) -> Chain:
        """Look at the root and read the leaf. Raises `AttestationInvalid`."""
        found = hashlib.sha256(cabundle[0]).digest()
        if found != root.sha256:
            raise AttestationInvalid(
                "RootUnknown",
                "the bundle does not begin with the pinned root",
                got=found.hex(),
                expected=root.sha256.hex(),
                hint="give the root of the network that made the document; names prove nothing",
            )
        return cls((*cabundle, certificate), Link(certificate, "leaf"))

    def check(self, time: datetime) -> tuple[str, ...]:
        """The names from the root down, when the chain held at `time`; else `AttestationInvalid`.

        From the root on, which vouches for itself by being pinned, each key signed what is read
        next.
        """
        last = len(self.ders) - 1
        above: Link | None = None
        names = []
        for depth, der in enumerate(self.ders):
            place = "root" if above is None else f"certificate {depth}"
            link = self.leaf if depth == last else Link(der, place)
            if above is not None:
                link.check_issued_by(above)
            link.check(signs=depth < last, below=max(0, last - depth - 1), time=time)
            names.append(link.name)
            above = link
        return tuple(names)
