"""Wycheproof's cases against the two libraries that the design takes such things from.

Nothing here adds to what the libraries do: a case that needs more than one call does not apply.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import coincurve
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from grail.attestation import cose
from grail.errors import AttestationInvalid
from published.ledger import Case

Test = dict[str, Any]

ANOTHER_NONCE = "a nonce that the library does not take; ours are of 96 bits"
REFUSED = (InvalidSignature, InvalidTag, ValueError, AttestationInvalid)


def cases(folder: Path) -> Iterator[Case]:
    """All files, each with the check for its kind."""
    checks: dict[str, Callable[[Test, Test], None]] = {
        "aes_gcm_test": partial(_aead, AESGCM),
        "chacha20_poly1305_test": partial(_aead, ChaCha20Poly1305),
        "ecdsa_secp256k1_sha256_bitcoin_test": _libsecp256k1,
        "ecdsa_secp256r1_sha256_test": partial(_ecdsa, hashes.SHA256()),
        "ecdsa_secp384r1_sha384_test": partial(_ecdsa, hashes.SHA384()),
        "hkdf_sha256_test": _hkdf,
        "x25519_test": _x25519,
        "ecdsa_secp384r1_sha384_p1363_test": _cose,
    }
    for file, check in checks.items():
        whole = json.loads((folder / "wycheproof" / f"{file}.json").read_text())
        found = [(group, test) for group in whole["testGroups"] for test in group["tests"]]
        assert len(found) == whole["numberOfTests"]
        for group, test in found:
            name = f"{file} {test['tcId']}"
            if _odd_nonce(file, group, test):
                yield Case(name, partial(_refused, check, group, test), ANOTHER_NONCE)
            else:
                yield Case(name, partial(_agrees, check, group, test))


def _agrees(check: Callable[[Test, Test], None], group: Test, test: Test) -> None:
    """The check passes where the case is valid, and is refused where it is not."""
    if test["result"] == "valid":
        check(group, test)
    elif test["result"] == "invalid":
        _refused(check, group, test)
    else:
        # acceptable: the result of the file or a refusal, never another result
        with contextlib.suppress(*REFUSED):
            check(group, test)


def _refused(check: Callable[[Test, Test], None], group: Test, test: Test) -> None:
    try:
        check(group, test)
    except REFUSED:
        return
    raise AssertionError("taken, and must be refused")


def _cose(group: Test, test: Test) -> None:
    """Raw r and s, as a document's signature has them; the reader of documents takes them apart."""
    key = serialization.load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signature = cose.asn1(bytes.fromhex(test["sig"]))
    key.verify(signature, bytes.fromhex(test["msg"]), ec.ECDSA(hashes.SHA384()))


def _odd_nonce(file: str, group: Test, test: Test) -> bool:
    """Valid for AES-GCM, with a nonce outside what the library takes."""
    odd = file == "aes_gcm_test" and not 64 <= group["ivSize"] <= 1024
    return odd and test["result"] == "valid"


def _aead(cipher: type[AESGCM | ChaCha20Poly1305], _group: Test, test: Test) -> None:
    key, nonce, aad, message = (bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg"))
    sealed = bytes.fromhex(test["ct"] + test["tag"])
    box = cipher(key)
    assert box.decrypt(nonce, sealed, aad) == message
    assert box.encrypt(nonce, message, aad) == sealed


def _ecdsa(algorithm: hashes.HashAlgorithm, group: Test, test: Test) -> None:
    key = serialization.load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]), ec.ECDSA(algorithm))


def _libsecp256k1(group: Test, test: Test) -> None:
    """Strict DER and low s, as Bitcoin has them."""
    key = coincurve.PublicKey(bytes.fromhex(group["publicKey"]["uncompressed"]))
    if not key.verify(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])):
        raise InvalidSignature


def _hkdf(_group: Test, test: Test) -> None:
    salt, info, secret = (bytes.fromhex(test[name]) for name in ("salt", "info", "ikm"))
    made = HKDF(hashes.SHA256(), test["size"], salt, info).derive(secret)
    assert made.hex() == test["okm"]


def _x25519(_group: Test, test: Test) -> None:
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(test["private"]))
    public = X25519PublicKey.from_public_bytes(bytes.fromhex(test["public"]))
    assert private.exchange(public).hex() == test["shared"]
