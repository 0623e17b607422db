"""A small PSBT for the tests of both versions."""

from __future__ import annotations

from grail.bitcoin import taproot
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx, TxIn
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
