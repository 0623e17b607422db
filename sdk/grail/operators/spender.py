"""From signatures to a witness, whichever way the quorum spends.

The one seam between who signed and what goes on chain: today the quorum leaf of a guarded or escrow
output, with twelve signatures; later one signature by the key path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from grail.bitcoin.addresses import Roster, quorum_witness
from grail.charms.rules import QuorumInput
from grail.types import XOnlyKey


class Spender(Protocol):
    """Makes the witness of an input that the quorum signs."""

    def witness(
        self, spend: QuorumInput, signatures: Mapping[XOnlyKey, bytes]
    ) -> tuple[bytes, ...]:
        """The witness. Raises `InvalidInput` when the signatures are not enough."""

    def sized(self, spend: QuorumInput) -> tuple[bytes, ...]:
        """A witness as large as the one to come: what a fee rate is reckoned with."""


@dataclass(frozen=True, slots=True)
class ScriptPath:
    """Spends by the quorum leaf of the roster's epoch (BIP 342)."""

    roster: Roster

    def witness(
        self, spend: QuorumInput, signatures: Mapping[XOnlyKey, bytes]
    ) -> tuple[bytes, ...]:
        """The first `quorum` signatures in key order, leaf and control block."""
        return quorum_witness(self.roster, spend.leaf, signatures)

    def sized(self, spend: QuorumInput) -> tuple[bytes, ...]:
        """The same with zeros: a signature under SIGHASH_DEFAULT has always 64 bytes."""
        zeros = dict.fromkeys(self.roster.keys[: self.roster.quorum], bytes(64))
        return quorum_witness(self.roster, spend.leaf, zeros)
