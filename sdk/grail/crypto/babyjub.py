"""BabyJubJub (EIP-2494): the curve that circuits compute on, and EdDSA over it as circomlib has it.

a * x^2 + y^2 = 1 + d * x^2 * y^2 over BN254's scalar field. A signature signs one field element,
usually a Poseidon hash. Keys, nonces and packed forms are those of iden3's circomlibjs, so an
oracle may sign with either. `grail.zk.gadgets.eddsa` checks the same signatures in a circuit.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Self

from grail import native
from grail.errors import DecodeError, InvalidInput, NotCanonical, ProofInvalid, SignatureInvalid

A, D = 168_700, 168_696
"""The curve's coefficients."""

ORDER = 2736030358979909402780800718157159386076813972158567259200215660948447373041
"""The prime order of the subgroup that `BASE` generates; the curve has 8 times as many points."""

_SECRET = 32


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve, of any order. Raises: InvalidInput when it is off the curve."""

    x: int
    y: int

    def __post_init__(self) -> None:
        try:
            native.babyjub_pack((self.x, self.y))
        except DecodeError as exc:
            raise InvalidInput(str(exc)) from None

    def __add__(self, other: Point) -> Point:
        return Point(*native.babyjub_add((self.x, self.y), (other.x, other.y)))

    def times(self, number: int) -> Point:
        """The point added to itself so many times. Raises: InvalidInput outside [0, 2^256)."""
        return Point(*native.babyjub_times((self.x, self.y), number))

    def pack(self) -> bytes:
        """32 bytes: y, least significant byte first, and the sign of x in the top bit."""
        return native.babyjub_pack((self.x, self.y))

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        """The point that 32 bytes stand for. Raises: DecodeError, NotCanonical."""
        return cls(*native.babyjub_unpack(raw))


BASE = Point(
    5299619240641551281634865583518297030282874472190772894086521144482721001553,
    16950150798460657717958625567821834550301663161624707787222815936182638968203,
)
"""circomlib's Base8."""


@dataclass(frozen=True, slots=True)
class Signature:
    """R8, a point, and S, a number below `ORDER`: S * BASE = R8 + h * 8 * key."""

    r8: Point
    s: int

    def pack(self) -> bytes:
        """64 bytes: R8 packed, and S, least significant byte first. Raises: InvalidInput."""
        if not 0 <= self.s < ORDER:
            raise InvalidInput("EdDSA signature: S is not below the order")
        return self.r8.pack() + self.s.to_bytes(32, "little")

    @classmethod
    def unpack(cls, raw: bytes) -> Self:
        """The inverse of `pack`. Raises: DecodeError, NotCanonical."""
        if len(raw) != 64:
            raise DecodeError(f"EdDSA signature: got {len(raw)} bytes, expected 64")
        s = int.from_bytes(raw[32:], "little")
        if s >= ORDER:
            raise NotCanonical("EdDSA signature: S is not below the order")
        return cls(Point.unpack(raw[:32]), s)


class SigningKey:
    """A secret of 32 bytes and its public point. Neither text form shows the secret."""

    __slots__ = ("_secret", "public")

    def __init__(self, secret: bytes) -> None:
        self.public = Point(*native.eddsa_public_key(secret))
        self._secret = bytes(secret)

    @classmethod
    def generate(cls) -> Self:
        """A key from the operating system's random source."""
        return cls(secrets.token_bytes(_SECRET))

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.pack().hex()}, secret=<secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a secret key is never pickled")

    def sign(self, message: int) -> Signature:
        """Sign one field element; the same message gets the same signature.

        Raises: InvalidInput unless 0 <= message < r.
        """
        x, y, s = native.eddsa_sign(self._secret, message)
        return Signature(Point(x, y), s)


def verify(public: Point, message: int, signature: Signature) -> None:
    """Raise `SignatureInvalid` unless the signature is the key's, over that field element.

    A key of small order is refused too: it would hold for every message. Raises: InvalidInput
    unless 0 <= message < r.
    """
    r8 = (signature.r8.x, signature.r8.y)
    try:
        native.eddsa_verify((public.x, public.y), message, r8, signature.s)
    except ProofInvalid as exc:
        raise SignatureInvalid(str(exc)) from None
