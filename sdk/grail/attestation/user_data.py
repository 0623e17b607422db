"""What `user_data` of an operator's document commits to: its keys, its settings, its network.

    user_data = H("grail/attestation/operator/1",
                  NET || configuration digest || Schnorr key || cs(public_key))

with H of BIP 340 and NET of PROTOCOL.md section 1: 32 bytes. `public_key` is the document's own
field of that name, empty where it is null: the key that others encrypt to or prove in a handshake.
The tag names the purpose, so that a document made for another one, such as a call of a key
service, is never an operator's (threats A5, A6 and A13).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from grail.attestation.attested import Attested
from grail.codec import cs
from grail.crypto.schnorr import tagged_hash
from grail.errors import AttestationInvalid, InvalidInput
from grail.types import XOnlyKey

OPERATOR: Final = "grail/attestation/operator/1"


@dataclass(frozen=True, slots=True)
class Claim:
    """What an operator says of itself: its Schnorr key, its configuration's digest, its network."""

    network: bytes
    configuration: bytes
    key: XOnlyKey

    def __post_init__(self) -> None:
        if len(self.network) != 32 or len(self.configuration) != 32:
            raise InvalidInput("claim: network id and configuration digest have 32 bytes")

    def user_data(self, public_key: bytes | None) -> bytes:
        """The 32 bytes that a document with this `public_key` must carry."""
        body = self.network + self.configuration + bytes(self.key) + cs(public_key or b"")
        return tagged_hash(OPERATOR, body)

    def check(self, attested: Attested) -> None:
        """Raise `AttestationInvalid` unless the document commits to all of this claim."""
        if attested.user_data is None:
            raise AttestationInvalid(
                "CommitmentMissing",
                "the document has no user_data, so it binds no key",
                got="null",
                expected="32 bytes",
            )
        expected = self.user_data(attested.public_key)
        if not secrets.compare_digest(attested.user_data, expected):
            raise AttestationInvalid(
                "CommitmentWrong",
                "user_data commits to another key, configuration or network",
                got=attested.user_data[:32].hex(),
                expected=expected.hex(),
                hint="the document is another operator's, or its configuration differs",
            )
