"""A small PSBT for the tests of both versions, and a writer of version 2 (BIP 370)."""

from __future__ import annotations

from grail.bitcoin import taproot
from grail.bitcoin.psbt import MAGIC, Psbt
from grail.bitcoin.tx import Tx, TxIn
from grail.codec import compact_size, cs
from grail.crypto.schnorr import KeyPair
from grail.types import OutPoint, Txid, TxOut

PAIRS = [KeyPair(bytes([i]) * 32) for i in range(1, 5)]


def previous(*outs: TxOut) -> Tx:
    return Tx(2, (TxIn(OutPoint(Txid(bytes(32)), 0)),), outs)


def funded(count: int = 2) -> Psbt:
    """A PSBT whose inputs all spend key-path outputs of ours, each with its previous transaction."""
    outputs = [taproot.output(pair.public) for pair in PAIRS[:count]]
    parents = [
        previous(TxOut(5, b"\x51"), TxOut(1000 + i, out.script_pubkey))
        for i, out in enumerate(outputs)
    ]
    tx = Tx(2, tuple(TxIn(parent.outpoint(1)) for parent in parents), (TxOut(900, b"\x6a"),))
    psbt = Psbt.of(tx)
    for index, parent in enumerate(parents):
        psbt = psbt.with_input(
            index,
            non_witness_utxo=parent,
            witness_utxo=parent.outputs[1],
            tap_internal_key=PAIRS[index].public,
        )
    return psbt


Fields = dict[bytes, bytes]


def le(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little")


def fields(psbt: Psbt) -> tuple[Fields, list[Fields], list[Fields]]:
    """The maps of version 2, written from a PSBT without our reader."""
    tx = psbt.tx
    whole = {
        b"\x02": le(tx.version),
        b"\x03": le(tx.locktime),
        b"\x04": compact_size(len(tx.inputs)),
        b"\x05": compact_size(len(tx.outputs)),
        b"\xfb": le(2),
    }
    inputs = []
    for spent, known in zip(tx.inputs, psbt.inputs, strict=True):
        own = {
            b"\x0e": bytes(spent.outpoint.txid),
            b"\x0f": le(spent.outpoint.vout),
            b"\x10": le(spent.sequence),
        }
        if known.non_witness_utxo is not None and known.witness_utxo is not None:
            out = known.witness_utxo
            own[b"\x00"] = known.non_witness_utxo.serialize()
            own[b"\x01"] = le(out.sats, 8) + cs(out.script)
        if known.tap_internal_key is not None:
            own[b"\x17"] = bytes(known.tap_internal_key)
        inputs.append(own)
    outputs = [{b"\x03": le(out.sats, 8), b"\x04": out.script} for out in tx.outputs]
    return whole, inputs, outputs


def write(whole: Fields, inputs: list[Fields], outputs: list[Fields]) -> bytes:
    maps = [whole, *inputs, *outputs]
    return MAGIC + b"".join(
        b"".join(cs(key) + cs(one[key]) for key in sorted(one)) + b"\x00" for one in maps
    )
