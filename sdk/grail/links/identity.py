"""Who is at the end of a link: a Schnorr key, proven, and a document that binds it to this link.

    nonce     = H("grail/link/nonce/1", role || transcript)
    signature over H("grail/link/identity/1", role || transcript || Schnorr key)
    identity  = canonical CBOR [Schnorr key, signature, document]

H is BIP 340's tagged hash; role is 1 for the end that began and 0 for the other; transcript is
Noise's handshake hash, which covers both ends' keys and the prologue. The document's nonce is that
one, its `public_key` the end's static key of Noise, and its `user_data` commits to the Schnorr key,
the configuration and the network (attestation/user_data.py). So an identity is good for one end of
one link: it can be neither relayed nor reflected nor kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from grail.attestation.attested import MEASURED, Attested
from grail.attestation.cose import Signed
from grail.attestation.document import Document
from grail.attestation.form import MAX_DOCUMENT
from grail.attestation.user_data import Claim
from grail.attestation.verifier import Policy, answered
from grail.codec import decode, encode
from grail.crypto import schnorr
from grail.crypto.schnorr import KeyPair, tagged_hash
from grail.errors import GrailError, LinkInvalid, SignatureInvalid
from grail.native import Ends
from grail.operators.messages import Fields
from grail.types import XOnlyKey

MAX_IDENTITY: Final = MAX_DOCUMENT + 128


class Attestor(Protocol):
    """The own security module."""

    def document(
        self, nonce: bytes | None, public_key: bytes | None, user_data: bytes | None
    ) -> bytes:
        """A document with these three fields. Raises `Unavailable`."""


@dataclass(frozen=True)
class Own:
    """What an enclave shows of itself: its keys, its module, and the settings that it runs by."""

    keys: KeyPair = field(repr=False)
    module: Attestor
    network: bytes
    configuration: bytes

    def image(self) -> tuple[bytes, ...]:
        """PCR0, 1 and 2 of what runs here, as the own module says. Raises `Unavailable`."""
        pcrs = Document.parse(Signed.parse(self.module.document(None, None, None)).payload).pcrs
        return tuple(pcrs.get(index, b"") for index in MEASURED)

    def identity(self, ends: Ends, *, initiator: bool) -> bytes:
        """For this end of this link. Raises `Unavailable` when the module does not answer."""
        claim = Claim(self.network, self.configuration, self.keys.public)
        document = self.module.document(
            _nonce(ends, initiator), ends.own, claim.user_data(ends.own)
        )
        signature = self.keys.sign(_digest(ends, initiator, self.keys.public))
        return encode([bytes(self.keys.public), signature, document])


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom the other end was shown to be."""

    key: XOnlyKey
    attested: Attested


def identified(raw: bytes, own: Own, ends: Ends, policy: Policy, *, initiator: bool) -> Peer:
    """Who the other end is; `initiator`: it began. Cheap checks first (threat A18).

    Raises `LinkInvalid`, or `AttestationInvalid` where the document does not hold.
    """
    key, signature, document = _read(raw)
    if key == own.keys.public:
        raise LinkInvalid(
            "SelfLink", "the other end has this enclave's own key", got=str(key), expected="another"
        )
    try:
        schnorr.verify(key, _digest(ends, initiator, key), signature)
    except SignatureInvalid as exc:
        raise LinkInvalid(
            "IdentityUnproven", f"no signature of {key} for this end of this link"
        ) from exc
    found = answered(document, _nonce(ends, initiator), policy)
    if found.public_key != ends.remote:
        raise LinkInvalid(
            "KeyUnattested",
            "the document names another key than the handshake had",
            got="none" if found.public_key is None else found.public_key[:32].hex(),
            expected=ends.remote.hex(),
        )
    Claim(own.network, own.configuration, key).check(found)
    return Peer(key, found)


def _read(raw: bytes) -> tuple[XOnlyKey, bytes, bytes]:
    try:
        parts = Fields(decode(raw, max_bytes=MAX_IDENTITY, max_depth=2), "identity", 3)
        key = XOnlyKey(parts.blob("key", 32))
        return key, parts.blob("signature", 64), parts.blob("document", most=MAX_DOCUMENT)
    except GrailError as exc:
        raise LinkInvalid("IdentityForm", str(exc)) from exc


def _nonce(ends: Ends, initiator: bool) -> bytes:
    return tagged_hash("grail/link/nonce/1", bytes([initiator]) + ends.transcript)


def _digest(ends: Ends, initiator: bool, key: XOnlyKey) -> bytes:
    return tagged_hash("grail/link/identity/1", bytes([initiator]) + ends.transcript + bytes(key))
