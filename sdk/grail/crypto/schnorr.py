"""BIP 340: tagged hashes, keys, signatures. libsecp256k1 does the work.

Messages are signed as `H(tag, network id || message)` with one tag per kind of message, so a
signature for one purpose, or of one network, never verifies for another.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import lru_cache

import coincurve

from grail.errors import InvalidInput, SignatureInvalid
from grail.types import XOnlyKey

NUMS = XOnlyKey.from_hex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""BIP 341's H without r*G: a point whose secret nobody knows. Internal key where no DKG has run."""


@lru_cache(maxsize=256)
def _tag(tag: str) -> bytes:
    digest = hashlib.sha256(tag.encode()).digest()
    return digest + digest


def tagged_hash(tag: str, message: bytes) -> bytes:
    """H(tag, m) of BIP 340: SHA-256(SHA-256(tag) || SHA-256(tag) || m)."""
    return hashlib.sha256(_tag(tag) + message).digest()


class KeyPair:
    """A secret key and its x-only public key. Neither text form shows the secret."""

    __slots__ = ("_secret", "public")

    def __init__(self, secret: bytes) -> None:
        refusal = InvalidInput("secret key: expected 32 bytes, not zero, below the order")
        # The library would pad a shorter secret with zeros.
        if len(secret) != 32:
            raise refusal
        try:
            self._secret = coincurve.PrivateKey(secret)
        except ValueError:
            raise refusal from None
        self.public = XOnlyKey(self._secret.public_key.format()[1:])

    @classmethod
    def generate(cls) -> KeyPair:
        """A key from the operating system's random source."""
        return cls(secrets.token_bytes(32))

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public}, secret=<secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a secret key is never pickled")

    def sign(self, digest: bytes) -> bytes:
        """A 64-byte signature over a 32-byte digest, with fresh auxiliary randomness.

        Raises `InvalidInput`.
        """
        _check_32("digest", digest)
        return self._secret.sign_schnorr(digest, secrets.token_bytes(32))

    def tweaked(self, tweak: bytes) -> KeyPair:
        """The key of the output key P + tweak*G (BIP 341, `taproot_tweak_seckey`).

        Raises `InvalidInput` when the tweak is not below the order (odds of 2^-128 for a hash).
        """
        _check_32("tweak", tweak)
        secret = int.from_bytes(self._secret.secret, "big")
        even = self._secret.public_key.format()[0] == 2
        lifted = coincurve.PrivateKey.from_int(
            secret if even else coincurve.utils.GROUP_ORDER_INT - secret
        )
        try:
            return KeyPair(lifted.add(tweak).secret)
        except ValueError:
            raise InvalidInput("tweak: not below the order, or the sum is zero") from None


def _check_32(what: str, value: bytes) -> None:
    if len(value) != 32:
        raise InvalidInput(f"{what}: got {len(value)} bytes, expected 32")


def verify(key: XOnlyKey, digest: bytes, signature: bytes) -> None:
    """Raise `SignatureInvalid` unless the signature verifies for key and digest (BIP 340).

    Raises `InvalidInput` for a key or digest that is not of 32 bytes: the library would read past
    the end of a shorter key.
    """
    _check_32("x-only key", key)
    _check_32("digest", digest)
    try:
        good = len(signature) == 64 and coincurve.PublicKeyXOnly(bytes(key)).verify(
            signature, digest
        )
    except ValueError as exc:
        raise SignatureInvalid(f"key {key.hex()} is not on the curve") from exc
    if not good:
        raise SignatureInvalid(f"signature does not verify for key {key.hex()}")
