"""Partially signed transactions, version 0 (BIP 174, taproot fields of BIP 371), strict.

Only the fields below are taken (threat S28), in the one canonical order; what is parsed and
serialized again gives the same bytes. Left out on purpose: final scriptSigs, which would change the
txid after the digest was fixed; ECDSA's partial signatures and their scripts; sighash types, which
every kind of input implies here; trees of outputs; proprietary and unknown fields; version 2,
which `grail.bitcoin.psbt_v2` turns into this one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grail import native
from grail.bitcoin.tx import Tx
from grail.codec import Reader, compact_size, cs
from grail.errors import DecodeError, Incorrect, InvalidInput
from grail.types import TxOut, XOnlyKey

MAGIC = b"psbt\xff"

Pair = tuple[int, bytes, bytes]
"""Key type, key data, value."""


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

    @classmethod
    def read(cls, pairs: Iterable[Pair]) -> PsbtInput:
        """Of a checked map. Raises a kind of `DecodeError`."""
        one: dict[str, Any] = {}
        signatures: list[TapScriptSig] = []
        scripts: list[TapLeafScript] = []
        derivations: list[TapDerivation] = []
        for kind, data, value in pairs:
            match kind:
                case 0x00:
                    one["non_witness_utxo"] = Tx.parse(value)
                case 0x01:
                    one["witness_utxo"] = _read_output(value)
                case 0x08:
                    one["final_script_witness"] = _read_stack(value)
                case 0x13:
                    one["tap_key_sig"] = value
                case 0x14:
                    signatures.append(TapScriptSig(XOnlyKey(data[:32]), data[32:], value))
                case 0x15:
                    scripts.append(TapLeafScript(data, value[:-1], value[-1]))
                case 0x16:
                    derivations.append(TapDerivation(XOnlyKey(data), value))
                case 0x17:
                    one["tap_internal_key"] = XOnlyKey(value)
                case 0x18:
                    one["tap_merkle_root"] = value
                case _:
                    raise DecodeError(f"PSBT: input field {kind:#04x} is not allowed")
        return cls(
            tap_script_sigs=tuple(signatures),
            tap_leaf_scripts=tuple(scripts),
            tap_derivations=tuple(derivations),
            **one,
        )

    def write(self) -> bytes:
        """The bytes of the map, keys rising."""
        pairs: list[Pair] = []
        if self.non_witness_utxo is not None:
            pairs.append((0x00, b"", self.non_witness_utxo.serialize()))
        if self.witness_utxo is not None:
            sats, script = self.witness_utxo.sats, self.witness_utxo.script
            pairs.append((0x01, b"", sats.to_bytes(8, "little") + cs(script)))
        if self.final_script_witness is not None:
            stack = self.final_script_witness
            pairs.append((0x08, b"", compact_size(len(stack)) + b"".join(map(cs, stack))))
        if self.tap_key_sig is not None:
            pairs.append((0x13, b"", self.tap_key_sig))
        pairs += [(0x14, s.key + s.leaf_hash, s.signature) for s in self.tap_script_sigs]
        pairs += [
            (0x15, leaf.control_block, leaf.script + bytes([leaf.version]))
            for leaf in self.tap_leaf_scripts
        ]
        pairs += [(0x16, bytes(d.key), d.origin) for d in self.tap_derivations]
        if self.tap_internal_key is not None:
            pairs.append((0x17, b"", bytes(self.tap_internal_key)))
        if self.tap_merkle_root is not None:
            pairs.append((0x18, b"", self.tap_merkle_root))
        return write_map(pairs)


@dataclass(frozen=True, slots=True)
class PsbtOutput:
    """What is known about one output."""

    tap_internal_key: XOnlyKey | None = None
    tap_derivations: tuple[TapDerivation, ...] = ()

    @classmethod
    def read(cls, pairs: Iterable[Pair]) -> PsbtOutput:
        """Of a checked map. Raises `DecodeError`."""
        found = cls()
        for kind, data, value in pairs:
            match kind:
                case 0x05:
                    found = replace(found, tap_internal_key=XOnlyKey(value))
                case 0x07:
                    more = (*found.tap_derivations, TapDerivation(XOnlyKey(data), value))
                    found = replace(found, tap_derivations=more)
                case _:
                    raise DecodeError(f"PSBT: output field {kind:#04x} is not allowed")
        return found

    def write(self) -> bytes:
        """The bytes of the map, keys rising."""
        pairs: list[Pair] = []
        if self.tap_internal_key is not None:
            pairs.append((0x05, b"", bytes(self.tap_internal_key)))
        pairs += [(0x07, bytes(d.key), d.origin) for d in self.tap_derivations]
        return write_map(pairs)


def _read_output(raw: bytes) -> TxOut:
    reader = Reader(raw, "PSBT: witness UTXO")
    sats = reader.uint(8)
    script = reader.take(reader.compact_size())
    reader.end()
    return TxOut(sats, script)


def _read_stack(raw: bytes) -> tuple[bytes, ...]:
    reader = Reader(raw, "PSBT: final witness")
    stack = tuple(reader.take(reader.compact_size()) for _ in range(reader.compact_size()))
    reader.end()
    return stack


def write_map(pairs: Sequence[Pair]) -> bytes:
    """The bytes of a map, keys rising, with its separator."""
    keyed = sorted((bytes([kind]) + data, value) for kind, data, value in pairs)
    return b"".join(cs(key) + cs(value) for key, value in keyed) + b"\x00"


@dataclass(frozen=True, slots=True)
class Psbt:
    """A transaction without signatures, and what is known about each input and output."""

    tx: Tx
    inputs: tuple[PsbtInput, ...]
    outputs: tuple[PsbtOutput, ...]

    def __post_init__(self) -> None:
        if any(spent.script_sig or spent.witness for spent in self.tx.inputs):
            raise InvalidInput("PSBT: its transaction must have no scriptSig and no witness")
        got = (len(self.inputs), len(self.outputs))
        expected = (len(self.tx.inputs), len(self.tx.outputs))
        if got != expected:
            raise InvalidInput(f"PSBT: got {got} inputs and outputs, expected {expected}")

    @classmethod
    def of(cls, tx: Tx) -> Psbt:
        """Of the same transaction without witnesses; nothing known yet. Raises `InvalidInput`."""
        inputs = (PsbtInput(),) * len(tx.inputs)
        return cls(tx.without_witnesses(), inputs, (PsbtOutput(),) * len(tx.outputs))

    @classmethod
    def parse(cls, raw: bytes) -> Psbt:
        """Read the canonical bytes.

        Raises `Truncated`, `TrailingBytes`, `TooLarge`, `NotCanonical`, or `DecodeError` (a field
        outside the allow-list among them).
        """
        fields, inputs, outputs = native.psbt_read(raw)
        return cls(
            Tx.parse(fields[0][2]),
            tuple(map(PsbtInput.read, inputs)),
            tuple(map(PsbtOutput.read, outputs)),
        )

    @classmethod
    def from_base64(cls, text: str) -> Psbt:
        """Read the text form. Raises as `parse`."""
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise DecodeError(f"PSBT: not base64: {exc}") from exc
        return cls.parse(raw)

    def serialize(self) -> bytes:
        """The canonical bytes: keys rising."""
        fields = write_map([(0x00, b"", self.tx.serialize_unsigned())])
        inputs = b"".join(known.write() for known in self.inputs)
        return MAGIC + fields + inputs + b"".join(known.write() for known in self.outputs)

    def to_base64(self) -> str:
        """The text form."""
        return base64.b64encode(self.serialize()).decode()

    def with_input(self, index: int, **changes: Any) -> Psbt:
        """The same with some fields of one input replaced. Raises `InvalidInput`."""
        if not 0 <= index < len(self.inputs):
            raise InvalidInput(f"PSBT: no input {index}, it has {len(self.inputs)}")
        known = replace(self.inputs[index], **changes)
        return replace(self, inputs=(*self.inputs[:index], known, *self.inputs[index + 1 :]))

    def prevouts(self) -> tuple[TxOut, ...]:
        """What each input spends, taken from the full previous transaction, checked by its txid.

        Raises `Incorrect` when one is missing, has another txid or too few outputs, or disagrees
        with the input's `witness_utxo`.
        """
        return tuple(self._prevout(index) for index in range(len(self.inputs)))

    def _prevout(self, index: int) -> TxOut:
        known, outpoint = self.inputs[index], self.tx.inputs[index].outpoint
        previous = known.non_witness_utxo
        if previous is None:
            raise Incorrect(f"PSBT: input {index} lacks its previous transaction")
        if previous.txid != outpoint.txid:
            raise Incorrect(
                f"PSBT: input {index} spends {outpoint}, got transaction {previous.txid}"
            )
        if outpoint.vout >= len(previous.outputs):
            raise Incorrect(
                f"PSBT: input {index} spends {outpoint}, which has {len(previous.outputs)} outputs"
            )
        prevout = previous.outputs[outpoint.vout]
        if known.witness_utxo not in {None, prevout}:
            raise Incorrect(f"PSBT: input {index} has a witness UTXO that is not {outpoint}")
        return prevout

    def extract(self) -> Tx:
        """The transaction with all final witnesses. Raises `InvalidInput` while one is missing."""
        inputs = []
        for index, (spent, known) in enumerate(zip(self.tx.inputs, self.inputs, strict=True)):
            if known.final_script_witness is None:
                raise InvalidInput(f"PSBT: input {index} has no final witness")
            inputs.append(replace(spent, witness=known.final_script_witness))
        return replace(self.tx, inputs=tuple(inputs))
