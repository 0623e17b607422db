"""A second opinion on every spend that tests build: libbitcoinkernel, Bitcoin Core's own engine.

Rules of today, taproot included. No node is needed; a verdict takes well under a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence

import pbk
from pbk.script import PrecomputedTransactionData

from grail.types import TxOut


class SpendInvalid(AssertionError):
    """Libbitcoinkernel refuses an input."""


def verify_spend(tx_raw: bytes, prevouts: Sequence[TxOut]) -> None:
    """Raise `SpendInvalid` unless every input's script and witness are valid by consensus rules."""
    tx = pbk.Transaction(tx_raw)
    if bytes(tx) != tx_raw:
        raise SpendInvalid("libbitcoinkernel writes this transaction in other bytes")
    if len(tx.inputs) != len(prevouts):
        raise SpendInvalid(f"{len(tx.inputs)} inputs, {len(prevouts)} prevouts")
    # Kept in a variable: the library frees what Python lets go of.
    spent = [pbk.TransactionOutput(pbk.ScriptPubkey(out.script), out.sats) for out in prevouts]
    precomputed = PrecomputedTransactionData(tx, spent)
    for index, out in enumerate(prevouts):
        script = pbk.ScriptPubkey(out.script)
        flags = pbk.ScriptVerificationFlags.ALL
        if not script.verify(out.sats, tx, precomputed, index, flags):
            raise SpendInvalid(f"input {index} of {tx.txid}: script or witness is invalid")
