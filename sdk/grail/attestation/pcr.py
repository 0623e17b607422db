"""The value of a register that was extended once, from zero, by the hash of what it stands for.

AWS's tools measure an image file like this (PCR0 to PCR2), and an enclave that extends a register
of its own by a hash comes to the same value.
"""

from __future__ import annotations

import hashlib
from typing import Final

from grail.attestation.document import PCR_BYTES

CONFIGURATION: Final = 16
"""The register of an operator's configuration file: the first that is not the platform's."""


def digest(data: bytes) -> bytes:
    """SHA-384, which extends a register."""
    return hashlib.sha384(data).digest()


def measured(data: bytes) -> bytes:
    """SHA384(0^48 || SHA384(data)), 48 bytes."""
    return digest(bytes(PCR_BYTES) + digest(data))
