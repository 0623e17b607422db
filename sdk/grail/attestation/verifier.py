"""The verifier that enclaves hold: which measurements are accepted, and nonces that serve once.

One code for both worlds: the pinned root is all that tells AWS's hardware from a devnet.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from grail.attestation.attested import MEASURED, Attested, attested
from grail.attestation.chain import Root
from grail.attestation.document import MAX_PCRS, PCR_BYTES
from grail.attestation.user_data import Claim
from grail.errors import AttestationInvalid, InvalidInput

NONCE_BYTES: Final = 32
NONCE_SECONDS: Final = 60.0
"""How long a nonce may be answered; a module needs some milliseconds."""
MAX_NONCES: Final = 1_024
"""Open at once; the oldest gives way, so that asking for nonces costs no memory."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The PCRs of one accepted image: 48 bytes each, PCR0, 1 and 2 at least; all must match."""

    pcrs: Mapping[int, bytes]

    def __post_init__(self) -> None:
        for index in MEASURED:
            if index not in self.pcrs:
                raise InvalidInput(
                    f"measurement: PCR{index} is missing", hint="name PCR0, PCR1 and PCR2 at least"
                )
        for index, pcr in self.pcrs.items():
            if not 0 <= index < MAX_PCRS or len(pcr) != PCR_BYTES:
                raise InvalidInput(
                    f"measurement: PCR{index} has {len(pcr)} bytes, expected {PCR_BYTES}"
                )
            if index in MEASURED and not any(pcr):
                raise InvalidInput(
                    f"measurement: PCR{index} is zero, which is debug mode",
                    hint="measure the image that runs outside debug mode",
                )
        object.__setattr__(self, "pcrs", MappingProxyType(dict(self.pcrs)))

    def difference(self, pcrs: Mapping[int, bytes]) -> int | None:
        """The first PCR that is absent or another in a document, or None."""
        return next((i for i, pcr in sorted(self.pcrs.items()) if pcrs.get(i) != pcr), None)


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom a verifier believes: one root, and the images that may run. Neither can be left out."""

    root: Root
    measurements: tuple[Measurement, ...]

    def __post_init__(self) -> None:
        if not self.measurements:
            raise InvalidInput("policy: no measurement is accepted", hint="name at least one image")

    def check(self, pcrs: Mapping[int, bytes]) -> None:
        """Raise `AttestationInvalid` unless one accepted image has these PCRs."""
        differences = [each.difference(pcrs) for each in self.measurements]
        if None in differences:
            return
        index = differences[0] or 0
        got, expected = pcrs.get(index), self.measurements[0].pcrs[index]
        raise AttestationInvalid(
            "PcrUnaccepted",
            f"PCR{index} is that of no accepted image ({len(self.measurements)} accepted)",
            got="absent" if got is None else got.hex(),
            expected=expected.hex(),
            hint="another image runs there, or the policy is of another version",
        )


def answered(raw: bytes, nonce: bytes, policy: Policy) -> Attested:
    """What a document says, when it answers this nonce and its image is accepted.

    The caller knows that the nonce is fresh: it drew it, or it is a hash of what it drew. Raises
    `AttestationInvalid`.
    """
    found = attested(raw, policy.root)
    policy.check(found.pcrs)
    _answers(found, nonce)
    return found


class Verifier:
    """Checks others' documents, each against a nonce that was drawn here and serves once.

    `clock` gives seconds that never fall; a host's wall clock has no say (threat A11).
    """

    def __init__(self, policy: Policy, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._policy = policy
        self._clock = clock
        self._open: dict[bytes, float] = {}

    def nonce(self) -> bytes:
        """A fresh nonce of 32 bytes, good for one document within a minute."""
        while len(self._open) >= MAX_NONCES:
            del self._open[next(iter(self._open))]
        drawn = secrets.token_bytes(NONCE_BYTES)
        self._open[drawn] = self._clock()
        return drawn

    def check(self, raw: bytes, nonce: bytes) -> Attested:
        """What a document says, when it answers this nonce and its image is accepted.

        The nonce is used up, whatever comes out. Nothing is remembered of a document, so a mark
        never outlives a policy (threat A20). Which key it binds says `Claim.check`. Raises
        `AttestationInvalid`.
        """
        self._spend(nonce)
        return answered(raw, nonce, self._policy)

    def check_claim(self, raw: bytes, nonce: bytes, claim: Claim) -> Attested:
        """The same, and that the document commits to this claim. Raises `AttestationInvalid`."""
        found = self.check(raw, nonce)
        claim.check(found)
        return found

    def _spend(self, nonce: bytes) -> None:
        drawn = self._open.pop(nonce, None)
        if drawn is None:
            raise AttestationInvalid(
                "NonceReplayed",
                "this verifier did not draw the nonce, or it was used already",
                hint="ask for a nonce and have a new document made for it",
            )
        age = self._clock() - drawn
        if age > NONCE_SECONDS:
            raise AttestationInvalid(
                "NonceStale",
                "the nonce is too old",
                got=f"{age:.0f} s",
                expected=f"at most {NONCE_SECONDS:.0f} s",
                hint="ask for a nonce and have a new document made for it",
            )


def _answers(found: Attested, nonce: bytes) -> None:
    if found.nonce is None:
        raise AttestationInvalid(
            "NonceMissing", "the document answers no nonce", got="null", expected=nonce.hex()
        )
    if not secrets.compare_digest(found.nonce, nonce):
        raise AttestationInvalid(
            "NonceWrong",
            "the document answers another nonce",
            got=found.nonce[:32].hex(),
            expected=nonce.hex(),
            hint="it is an old one, or was made for another verifier",
        )
