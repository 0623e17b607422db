"""Partially signed transactions, version 0 (BIP 174, taproot fields of BIP 371), strict.

Only the fields below are taken (threat S28), in the one canonical order; what is parsed and
serialized again gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from grail.bitcoin.tx import Tx
from grail.types import TxOut, XOnlyKey


@dataclass(frozen=True, slots=True)
class TapScriptSig:
    """A signature of one key for one leaf (PSBT_IN_TAP_SCRIPT_SIG)."""

    key: XOnlyKey
    leaf_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class TapLeafScript:
    """A leaf that may be spent by, with its control block (PSBT_IN_TAP_LEAF_SCRIPT)."""

    control_block: bytes
    script: bytes
    version: int = 0xC0


@dataclass(frozen=True, slots=True)
class TapDerivation:
    """Where a wallet finds a key (PSBT_*_TAP_BIP32_DERIVATION); kept, never interpreted."""

    key: XOnlyKey
    origin: bytes


@dataclass(frozen=True, slots=True)
class PsbtInput:
    """What is known about one input."""

    non_witness_utxo: Tx | None = None
    witness_utxo: TxOut | None = None
    final_script_witness: tuple[bytes, ...] | None = None
    tap_key_sig: bytes | None = None
    tap_script_sigs: tuple[TapScriptSig, ...] = ()
    tap_leaf_scripts: tuple[TapLeafScript, ...] = ()
    tap_derivations: tuple[TapDerivation, ...] = ()
    tap_internal_key: XOnlyKey | None = None
    tap_merkle_root: bytes | None = None


@dataclass(frozen=True, slots=True)
class PsbtOutput:
    """What is known about one output."""

    tap_internal_key: XOnlyKey | None = None
    tap_tree: bytes | None = None
    tap_derivations: tuple[TapDerivation, ...] = ()


@dataclass(frozen=True, slots=True)
class Psbt:
    """A transaction without signatures, and what is known about each input and output."""

    tx: Tx
    inputs: tuple[PsbtInput, ...]
    outputs: tuple[PsbtOutput, ...]

    @classmethod
    def of(cls, tx: Tx) -> Psbt:
        """Of the same transaction without witnesses; nothing known yet."""
        raise NotImplementedError

    @classmethod
    def parse(cls, raw: bytes) -> Psbt:
        """Read the canonical bytes.

        Raises `Truncated`, `TrailingBytes`, `TooLarge`, `NotCanonical`, or `DecodeError` (a field
        outside the allow-list among them).
        """
        raise NotImplementedError

    @classmethod
    def from_base64(cls, text: str) -> Psbt:
        """Read the text form. Raises as `parse`."""
        raise NotImplementedError

    def serialize(self) -> bytes:
        """The canonical bytes: keys rising, each once."""
        raise NotImplementedError

    def to_base64(self) -> str:
        """The text form."""
        raise NotImplementedError

    def with_input(self, index: int, **changes: object) -> Psbt:
        """The same with some fields of one input replaced."""
        raise NotImplementedError

    def prevouts(self) -> tuple[TxOut, ...]:
        """What each input spends, taken from the full previous transaction, checked by its txid.

        Raises `Incorrect` when one is missing, has another txid or too few outputs, or disagrees
        with the input's `witness_utxo`.
        """
        raise NotImplementedError

    def extract(self) -> Tx:
        """The transaction with all final witnesses. Raises `InvalidInput` while one is missing."""
        raise NotImplementedError
