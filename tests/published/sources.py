"""All files of the folder of published vectors, and who runs them."""

from __future__ import annotations

from published import bitcoin, later, nitro, proofs, psbt, wycheproof
from published.ledger import Source

SOURCES = (
    Source("BIP 340", ("bip340/*",), bitcoin.bip340),
    Source("BIP 341", ("bip341/*",), bitcoin.bip341),
    Source("BIP 174", ("psbt/bip174*",), psbt.bip174),
    Source("BIP 370", ("psbt/bip370*",), psbt.bip370),
    Source("BIP 371", ("psbt/bip371*",), psbt.bip371),
    Source("Wycheproof", ("wycheproof/*",), wycheproof.cases),
    Source("HPKE", ("hpke/*",), later.hpke),
    Source("Poseidon", ("poseidon/poseidon*",), proofs.poseidon_hashes),
    Source("BabyJubJub, EdDSA", ("poseidon/babyjub*", "poseidon/eddsa*"), proofs.baby_jubjub),
    Source("circom", ("circom/*",), proofs.circom),
    Source("Nitro", ("nitro/*",), nitro.cases),
    Source("WebAuthn", ("webauthn/*",), later.webauthn),
    Source("FROST", ("frost/*", "bip445/*"), later.frost),
)

ELSEWHERE = {
    "charms/*": "real spells, counted by themselves",
    "protocol/*": "the protocol's own, by a second implementation: tests/grail/charms",
}
"""Files whose cases are counted in other tests."""
