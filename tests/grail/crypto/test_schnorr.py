"""grail.crypto.schnorr at libsecp256k1's edges; BIP 340's vectors are in tests/published."""

from __future__ import annotations

import copy
import hashlib
import pickle

import pytest

from grail.crypto.schnorr import NUMS, KeyPair, tagged_hash, verify
from grail.errors import InvalidInput, SignatureInvalid
from grail.types import XOnlyKey

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_randomness_is_fresh():
    pair = KeyPair.generate()
    first, second = pair.sign(bytes(32)), pair.sign(bytes(32))
    assert first != second
    verify(pair.public, bytes(32), first)
    verify(pair.public, bytes(32), second)


def test_every_changed_bit_is_refused():
    pair, digest = KeyPair(b"\x07" * 32), bytes(range(32))
    signature = pair.sign(digest)
    for at in range(0, 512, 7):
        changed = bytearray(signature)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(SignatureInvalid):
            verify(pair.public, digest, bytes(changed))
    with pytest.raises(SignatureInvalid):
        verify(KeyPair(b"\x08" * 32).public, digest, signature)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_length(size):
    with pytest.raises(SignatureInvalid):
        verify(KeyPair(b"\x07" * 32).public, bytes(32), bytes(size))


@pytest.mark.parametrize(
    "secret", [b"", b"\x01", bytes(32), bytes(33), ORDER.to_bytes(32, "big"), b"\xff" * 32]
)
def test_bad_secrets(secret):
    with pytest.raises(InvalidInput) as caught:
        KeyPair(secret)
    assert secret.hex() not in str(caught.value) or not secret


@pytest.mark.parametrize("key", [b"", bytes(31), b"\x02" + bytes(32)])
def test_keys_of_another_length_never_reach_the_library(key):
    with pytest.raises(InvalidInput):
        verify(key, bytes(32), bytes(64))


def test_a_key_off_the_curve():
    with pytest.raises(SignatureInvalid, match="curve"):
        verify(XOnlyKey(b"\xff" * 32), bytes(32), bytes(64))


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_sign_takes_digests_only(digest):
    with pytest.raises(InvalidInput):
        KeyPair(b"\x07" * 32).sign(digest)


def test_the_secret_is_never_shown_or_copied():
    secret = bytes(range(1, 33))
    pair = KeyPair(secret)
    for text in (repr(pair), str(pair), f"{pair}"):
        assert secret.hex() not in text
        assert str(secret) not in text
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(pair)


def test_tagged_hash():
    tag = hashlib.sha256(b"BIP0340/challenge").digest()
    assert tagged_hash("BIP0340/challenge", b"m") == hashlib.sha256(tag + tag + b"m").digest()
    assert tagged_hash("a", b"bc") != tagged_hash("ab", b"c")


@pytest.mark.parametrize("secret", [b"\x01" * 32, b"\x03" * 32, b"\x05" * 32, b"\x09" * 32])
def test_tweaked_key_is_the_output_key(secret):
    """Both parities of the internal key occur among these."""
    from grail.bitcoin import taproot

    pair = KeyPair(secret)
    output = taproot.output(pair.public)
    assert pair.tweaked(taproot.tweak(pair.public)).public == output.output_key


@pytest.mark.parametrize("tweak", [b"", bytes(31), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_bad_tweaks(tweak):
    with pytest.raises(InvalidInput):
        KeyPair(b"\x07" * 32).tweaked(tweak)


def test_nums_is_a_point_without_known_secret():
    """BIP 341: the hash of the generator's uncompressed encoding, which is on the curve."""
    generator = bytes.fromhex(
        "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )
    assert hashlib.sha256(generator).digest() == NUMS
    with pytest.raises(SignatureInvalid, match="verify"):
        verify(NUMS, bytes(32), bytes(64))
