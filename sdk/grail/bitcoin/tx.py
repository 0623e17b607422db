"""Transactions: bytes in and out, ids, sizes, signature hashes, key-path signing.

rust-bitcoin reads the bytes and computes the signature hashes (BIP 341, BIP 143); it refuses what
is not the one encoding of a transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from grail import native
from grail.bitcoin.script import p2tr
from grail.bitcoin.taproot import tweak
from grail.codec import compact_size, cs
from grail.crypto.schnorr import KeyPair
from grail.errors import InvalidInput
from grail.types import MAX_MONEY, OutPoint, Txid, TxOut

SEQUENCE = 0xFFFFFFFD
"""Every input's sequence here: replaceable (BIP 125), lock time active, no relative lock."""

MAX_WEIGHT = 4_000_000
"""A block's weight: no transaction above it can ever confirm."""

SIGHASH_DEFAULT = 0x00
"""Taproot's own: signs what `SIGHASH_ALL` does, in a signature of 64 bytes."""

SIGHASH_ALL = 0x01
"""Signs every input and every output."""


@dataclass(frozen=True, slots=True)
class TxIn:
    """An input: what it spends, and the script and witness that allow it."""

    outpoint: OutPoint
    script_sig: bytes = b""
    sequence: int = SEQUENCE
    witness: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Tx:
    """A transaction. Numbers out of range are refused when it is made: `InvalidInput`."""

    version: int
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    locktime: int = 0

    def __post_init__(self) -> None:
        if not self.inputs or not self.outputs:
            raise InvalidInput("transaction: expected at least one input and one output")
        numbers = [self.version, self.locktime]
        for spent in self.inputs:
            numbers += (spent.sequence, spent.outpoint.vout)
        if min(numbers) < 0 or max(numbers) > 0xFFFFFFFF:
            raise InvalidInput("transaction: a number of 32 bits is out of range")
        for index, created in enumerate(self.outputs):
            if not 0 <= created.sats <= MAX_MONEY:
                raise InvalidInput(
                    f"transaction: output {index} holds {created.sats} sat, "
                    f"expected 0 to {MAX_MONEY}"
                )

    @classmethod
    def parse(cls, raw: bytes) -> Tx:
        """Read a transaction; only its one encoding is taken (BIP 144).

        Raises `Truncated`, `TrailingBytes`, `TooLarge`, `NotCanonical` or `DecodeError`.
        """
        version, inputs, outputs, locktime, txid, weight = native.tx_parse(raw)
        tx = cls(
            version,
            tuple(
                TxIn(OutPoint(Txid(spent), vout), script_sig, sequence, tuple(witness))
                for spent, vout, script_sig, sequence, witness in inputs
            ),
            tuple(TxOut(sats, script) for sats, script in outputs),
            locktime,
        )
        # The crate has computed these already; `raw` was compared with its own encoding.
        tx.__dict__.update(txid=Txid(txid), weight=weight, _serialized=bytes(raw))
        return tx

    def serialize(self) -> bytes:
        """The bytes as they go on the wire, with witnesses where there are any (BIP 144)."""
        return self._serialized

    @cached_property
    def _serialized(self) -> bytes:
        if not any(spent.witness for spent in self.inputs):
            return self._unsigned
        stacks = [
            compact_size(len(spent.witness)) + b"".join(map(cs, spent.witness))
            for spent in self.inputs
        ]
        return b"".join(
            (self._unsigned[:4], b"\x00\x01", self._unsigned[4:-4], *stacks, self._unsigned[-4:])
        )

    def serialize_unsigned(self) -> bytes:
        """The bytes without any witness, which the txid hashes."""
        return self._unsigned

    @cached_property
    def _unsigned(self) -> bytes:
        parts = [self.version.to_bytes(4, "little"), compact_size(len(self.inputs))]
        for spent in self.inputs:
            parts += (
                spent.outpoint.serialize(),
                cs(spent.script_sig),
                spent.sequence.to_bytes(4, "little"),
            )
        parts.append(compact_size(len(self.outputs)))
        for created in self.outputs:
            parts += (created.sats.to_bytes(8, "little"), cs(created.script))
        parts.append(self.locktime.to_bytes(4, "little"))
        return b"".join(parts)

    @cached_property
    def txid(self) -> Txid:
        """The double SHA-256 of the bytes without witnesses."""
        return Txid(hashlib.sha256(hashlib.sha256(self._unsigned).digest()).digest())

    @cached_property
    def weight(self) -> int:
        """Weight units (BIP 141): every byte counts 1, those outside the witnesses 3 more."""
        return 3 * len(self._unsigned) + len(self._serialized)

    @property
    def vsize(self) -> int:
        """Virtual bytes: the weight by four, rounded up."""
        return (self.weight + 3) // 4

    def outpoint(self, index: int) -> OutPoint:
        """The outpoint of one of this transaction's outputs. Raises `InvalidInput`."""
        if not 0 <= index < len(self.outputs):
            raise InvalidInput(f"transaction: no output {index}, it has {len(self.outputs)}")
        return OutPoint(self.txid, index)

    def with_witness(self, index: int, witness: Sequence[bytes]) -> Tx:
        """The same transaction with another witness on one input. Raises `InvalidInput`."""
        if not 0 <= index < len(self.inputs):
            raise InvalidInput(f"transaction: no input {index}, it has {len(self.inputs)}")
        inputs = list(self.inputs)
        inputs[index] = replace(inputs[index], witness=tuple(witness))
        return replace(self, inputs=tuple(inputs))

    def without_witnesses(self) -> Tx:
        """The same transaction with no witness; `script_sig` stays."""
        return replace(self, inputs=tuple(replace(spent, witness=()) for spent in self.inputs))


def _pairs(prevouts: Sequence[TxOut]) -> list[tuple[int, bytes]]:
    return [(prevout.sats, prevout.script) for prevout in prevouts]


def sighash(
    tx: Tx,
    prevouts: Sequence[TxOut],
    index: int,
    sighash_type: int = SIGHASH_DEFAULT,
    leaf_hash: bytes | None = None,
) -> bytes:
    """What a taproot input's signature signs (BIP 341); with `leaf_hash` a leaf's (BIP 342).

    No annex, no code separator. Raises `InvalidInput`.
    """
    if leaf_hash is not None and len(leaf_hash) != 32:
        raise InvalidInput(f"leaf hash: got {len(leaf_hash)} bytes, expected 32")
    # Witnesses are no part of the hash; without them there is less to hand over.
    raw = tx.serialize_unsigned()
    return native.sighash_taproot(raw, _pairs(prevouts), index, sighash_type, leaf_hash)


def sighash_p2wpkh(tx: Tx, prevout: TxOut, index: int, sighash_type: int = SIGHASH_ALL) -> bytes:
    """What a P2WPKH input's ECDSA signature signs (BIP 143). Raises `InvalidInput`."""
    raw = tx.serialize_unsigned()
    return native.sighash_p2wpkh(raw, (prevout.sats, prevout.script), index, sighash_type)


def sign_key_path(
    tx: Tx,
    prevouts: Sequence[TxOut],
    index: int,
    key: KeyPair,
    *,
    merkle_root: bytes = b"",
    sighash_type: int = SIGHASH_DEFAULT,
) -> Tx:
    """The transaction with a key-path witness on one input; `key` is the internal key (BIP 341).

    Raises `InvalidInput` when the prevout is not the taproot output of that key and tree.
    """
    digest = sighash(tx, prevouts, index, sighash_type)
    output_key = key.tweaked(tweak(key.public, merkle_root))
    if prevouts[index].script != p2tr(output_key.public):
        raise InvalidInput(f"input {index}: spends no taproot output of key {key.public}")
    suffix = bytes([sighash_type]) if sighash_type else b""
    return tx.with_witness(index, (output_key.sign(digest) + suffix,))


def verify_input(tx: Tx, prevouts: Sequence[TxOut], index: int) -> None:
    """Raise `Incorrect` unless the input's script and witness are valid by consensus rules.

    Bitcoin Core's own interpreter decides (libbitcoinconsensus, taproot included).
    """
    native.verify_input(tx.serialize(), _pairs(prevouts), index)
