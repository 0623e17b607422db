"""Certificates anew with what no builder writes: a curve by its parameters (SEC 1, C.2), odd serials."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

P = 2**384 - 2**128 - 2**96 + 2**32 - 1
B = int(
    "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    16,
)
N = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)
EC_KEY = bytes.fromhex("06072a8648ce3d0201")
PRIME_FIELD = bytes.fromhex("06072a8648ce3d0101")
ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")


def der(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def integer(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def parameters() -> bytes:
    """P-384 as ECParameters: field, coefficients, generator, order, cofactor."""
    one = ec.derive_private_key(1, ec.SECP384R1()).public_key()
    generator = one.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    coefficients = der(4, (P - 3).to_bytes(48, "big")) + der(4, B.to_bytes(48, "big"))
    return der(
        0x30,
        integer(1)
        + der(0x30, PRIME_FIELD + integer(P))
        + der(0x30, coefficients)
        + der(4, generator)
        + integer(N)
        + integer(1),
    )


def with_explicit_curve(certificate: x509.Certificate, signer: ec.EllipticCurvePrivateKey) -> bytes:
    """The DER of the same certificate with the same key, its curve written out, signed anew."""
    key = certificate.public_key()
    named = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    spelled = der(0x30, der(0x30, EC_KEY + parameters()) + der(3, b"\x00" + point))
    return _signed_anew(certificate, signer, named, spelled)


def with_serial(
    certificate: x509.Certificate, signer: ec.EllipticCurvePrivateKey, serial: bytes
) -> bytes:
    """The DER of the same certificate with these bytes as its serial number, signed anew."""
    return _signed_anew(certificate, signer, integer(certificate.serial_number), der(2, serial))


def _signed_anew(
    certificate: x509.Certificate, signer: ec.EllipticCurvePrivateKey, old: bytes, new: bytes
) -> bytes:
    tbs = certificate.tbs_certificate_bytes
    assert tbs.count(old) == 1
    assert tbs[:2] == b"\x30\x82"
    whole = der(0x30, tbs[4:].replace(old, new))
    signature = signer.sign(whole, ec.ECDSA(SHA384()))
    return der(0x30, whole + ECDSA_SHA384 + der(3, b"\x00" + signature))
