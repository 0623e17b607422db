"""What a member signs about its roster: its fields, the last of them a signature over the others.

    signature over H(TAG, NET || [configuration, field, field, ...])

The tag tells one kind from another, and the ground one network and configuration from another:
what was signed for one of them is good for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from grail.codec import encode
from grail.crypto import schnorr
from grail.crypto.schnorr import KeyPair, tagged_hash
from grail.errors import InvalidInput
from grail.types import XOnlyKey


@dataclass(frozen=True, slots=True)
class Ground:
    """The network and the configuration that everything of a roster is good for."""

    network: bytes
    configuration: bytes

    def __post_init__(self) -> None:
        if len(self.network) != 32 or len(self.configuration) != 32:
            raise InvalidInput("ground: network id and configuration digest have 32 bytes")


@dataclass(frozen=True, slots=True)
class Signed:
    """A message of the member with this key; kinds add their fields and their tag."""

    TAG: ClassVar[str]

    key: XOnlyKey
    signature: bytes = field(default=b"", repr=False, compare=False, kw_only=True)

    def fields(self) -> list[Any]:
        """What travels; the signature comes last."""
        raise NotImplementedError

    def digest(self, ground: Ground) -> bytes:
        """What is signed."""
        covered = encode([ground.configuration, *self.fields()[:-1]])
        return tagged_hash(self.TAG, ground.network + covered)

    def signed(self, keys: KeyPair, ground: Ground) -> Self:
        """With the signature of its key. Raises `InvalidInput` for another's."""
        if keys.public != self.key:
            raise InvalidInput(f"{self.TAG}: of {self.key}, not of {keys.public}")
        return replace(self, signature=keys.sign(self.digest(ground)))

    def verify(self, ground: Ground) -> None:
        """Raise `SignatureInvalid` unless its key signed it on this ground."""
        schnorr.verify(self.key, self.digest(ground), self.signature)
