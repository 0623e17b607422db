"""The part of a configuration that says whom an enclave believes to be one of its kind.

Without it (`None`) operators vouch for each other by signatures alone, as enclaves in one process
do. With it, nobody is talked to whose document does not hold under `root`, whose image is not
accepted, or who was started with another configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grail.errors import InvalidInput

PCR_BYTES: Final = 48

MAX_IMAGES: Final = 16
"""Builds that are accepted at once."""

Image = tuple[bytes, ...]
"""PCR0, 1 and 2 of one build."""


@dataclass(frozen=True, slots=True)
class Attesting:
    """`root` is the SHA-256 of the one certificate that is believed; `images` the first builds.

    Later builds are accepted by the roster's own states. `fresh_seconds`: how old signs of life of
    a quorum may be while an enclave signs. `reattest_seconds`: how long a document is good for; a
    link lives no longer, and the next one needs a new document. `silent_seconds`: without a sign of
    life for so long a seat is shown as silent. The rest caps seats, 0 for no cap: how many may
    come, or go, in one step, and how many one owner, account or zone may hold. Raises
    `InvalidInput`.
    """

    root: bytes
    images: tuple[Image, ...]
    fresh_seconds: int = 60
    reattest_seconds: int = 3_600
    silent_seconds: int = 600
    churn: int = 4
    per_owner: int = 4
    per_account: int = 4
    per_zone: int = 0

    def __post_init__(self) -> None:
        if len(self.root) != 32:
            raise InvalidInput(f"attestation: a root of {len(self.root)} bytes, expected SHA-256")
        if list(self.images) != sorted(set(self.images)) or not self.images:
            raise InvalidInput("attestation: images rise, and there is one at least")
        if len(self.images) > MAX_IMAGES:
            raise InvalidInput(f"attestation: at most {MAX_IMAGES} images")
        if min(self.fresh_seconds, self.reattest_seconds) < 1:
            raise InvalidInput("attestation: fresh_seconds and reattest_seconds are at least 1")
        if self.silent_seconds < self.fresh_seconds:
            raise InvalidInput(
                f"attestation: silent after {self.silent_seconds} s",
                hint=f"not before the {self.fresh_seconds} s for which a sign of life is fresh",
            )
        if min(self.churn, self.per_owner, self.per_account, self.per_zone) < 0:
            raise InvalidInput("attestation: caps of seats are 0 or more")
        for image in self.images:
            if [len(pcr) for pcr in image] != [PCR_BYTES] * 3 or not all(map(any, image)):
                raise InvalidInput(
                    f"attestation: an image is PCR0, 1 and 2, each {PCR_BYTES} bytes and not zero"
                )
