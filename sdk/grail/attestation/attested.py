"""From bytes to what an enclave is: the checks of a document that need nobody's policy.

The order is cheap first (threat A18): size, form, root, then one signature, then the chain's. Until
all of it holds nothing is returned and nothing is kept (threat A20).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from grail.attestation.chain import Chain, Root
from grail.attestation.cose import Signed
from grail.attestation.document import PCR_BYTES, Document
from grail.errors import AttestationInvalid

MEASURED: Final = (0, 1, 2)
"""PCRs that every document must have: image, kernel with boot ramdisk, application."""

ISOLATED = "AWS Nitro Enclaves"
EMULATED = "emulated, no isolation"


@dataclass(frozen=True, slots=True)
class Attested:
    """What a module under the pinned root said. That it is what somebody wants is another question.

    `timestamp` is in milliseconds since 1970, by the module's clock; `chain` holds the common names
    from the root down. `debug`: the enclave's console can be read, and its PCRs are zero.
    """

    module_id: str
    timestamp: int
    time: datetime
    pcrs: Mapping[int, bytes]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None
    chain: tuple[str, ...]
    root: Root
    debug: bool

    @property
    def kind(self) -> str:
        """Whether AWS's hardware vouches for it, or a devnet's stand-in."""
        return ISOLATED if self.root.is_aws else EMULATED

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; bytes in hexadecimal."""
        return {
            "holds": True,
            "kind": self.kind,
            "debug": self.debug,
            "module_id": self.module_id,
            "time": self.time.isoformat(timespec="milliseconds"),
            "timestamp_ms": self.timestamp,
            "root_sha256": self.root.sha256.hex(),
            "chain": list(self.chain),
            "pcrs": {str(index): pcr.hex() for index, pcr in sorted(self.pcrs.items())},
            **{
                name: None if value is None else value.hex()
                for name, value in (
                    ("public_key", self.public_key),
                    ("user_data", self.user_data),
                    ("nonce", self.nonce),
                )
            },
        }

    def __str__(self) -> str:
        mode = "debug mode: PCRs prove nothing, its console can be read" if self.debug else "no"
        zero = bytes(PCR_BYTES)
        lines = [
            "the document holds at its own time",
            f"kind        {self.kind}",
            f"debug       {mode}",
            f"module      {self.module_id}",
            f"time        {self.time:%Y-%m-%d %H:%M:%S} UTC",
            f"root        sha256 {self.root.sha256.hex()}",
            *(f"            {name}" for name in self.chain),
        ]
        for index, pcr in sorted(self.pcrs.items()):
            if index in MEASURED or pcr != zero:
                lines.append(f"{f'PCR{index}':11} {pcr.hex()}")
        for name in ("public_key", "user_data", "nonce"):
            value: bytes | None = getattr(self, name)
            lines.append(f"{name:11} {'none' if value is None else value.hex() or 'empty'}")
        return "\n".join(lines)


def attested(raw: bytes, root: Root, *, allow_debug: bool = False) -> Attested:
    """What a document says, when it holds at its own time under `root`.

    Not compared here: PCRs with a policy, the nonce, and what `user_data` commits to. `allow_debug`
    lets zero PCRs pass, to look at a document, never to trust one. Raises `AttestationInvalid`.
    """
    signed = Signed.parse(raw)
    document = Document.parse(signed.payload)
    chain = Chain.read(document.cabundle, document.certificate, root)
    signed.check(chain.leaf.key)
    names = chain.check(document.time)
    debug = _debug(document.pcrs)
    if debug and not allow_debug:
        raise AttestationInvalid(
            "DebugMode",
            "PCR0, PCR1 or PCR2 is zero: in debug mode the enclave's console can be read",
            got="zeros",
            expected="a measurement",
            hint="start the enclave without --debug-mode; --allow-debug shows the document",
        )
    return Attested(
        document.module_id,
        document.timestamp,
        document.time,
        document.pcrs,
        document.public_key,
        document.user_data,
        document.nonce,
        names,
        root,
        debug,
    )


def _debug(pcrs: Mapping[int, bytes]) -> bool:
    missing = [index for index in MEASURED if index not in pcrs]
    if missing:
        raise AttestationInvalid(
            "PcrMissing", f"PCR{missing[0]} is not in the document", expected="PCR0, PCR1 and PCR2"
        )
    return any(not any(pcrs[index]) for index in MEASURED)
