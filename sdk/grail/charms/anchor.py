"""Anchors: transactions that a quorum signed, so that nothing below them needs to be checked.

Section 11 of the protocol. Twelve enclaves checked the whole of such a transaction before they
signed; what it says then counts when it was confirmed while that quorum ruled.
"""

from __future__ import annotations

from collections.abc import Sequence

from grail.bitcoin.addresses import quorum_leaf
from grail.bitcoin.taproot import leaf_hash
from grail.bitcoin.tx import Tx, sighash
from grail.charms.record import Record, Reign
from grail.crypto import schnorr
from grail.errors import Incorrect
from grail.types import TxOut

MAX_INPUTS = 128
"""Inputs of one transaction that a quorum signs: 20 of the vault, rows and ports of contracts,
payers. Each that looks like the quorum's costs a hash over all of them."""


def check_anchor(tx: Tx, prevouts: Sequence[TxOut], record: Record) -> tuple[Reign, ...]:
    """The reigns whose quorums signed inputs of this transaction, at least one.

    The signature covers all inputs with amounts and scripts, all outputs, and the leaf, which only
    the members' own enclaves rebuild; so neither control block nor address needs another look. An
    input that only looks like the quorum's takes nothing from another that is. Raises `Incorrect`.
    """
    if len(prevouts) != len(tx.inputs):
        raise Incorrect(f"anchor: {len(prevouts)} prevouts for {len(tx.inputs)} inputs")
    if len(tx.inputs) > MAX_INPUTS:
        raise Incorrect(f"anchor: {len(tx.inputs)} inputs, a quorum signs at most {MAX_INPUTS}")
    leaves = {quorum_leaf(reign.roster): reign for reign in record.reigns}
    found: dict[int, Reign] = {}
    fault = Incorrect("anchor: no input is spent by the quorum leaf of a known roster")
    for index, txin in enumerate(tx.inputs):
        reign = leaves.get(txin.witness[-2]) if len(txin.witness) > 2 else None
        if reign is None or reign.epoch in found:
            continue
        try:
            _check_quorum(tx, prevouts, index, reign)
        except Incorrect as exc:
            fault = exc
        else:
            found[reign.epoch] = reign
    if not found:
        raise fault
    return tuple(found.values())


def _check_quorum(tx: Tx, prevouts: Sequence[TxOut], index: int, reign: Reign) -> None:
    roster = reign.roster
    *stack, leaf, _control = tx.inputs[index].witness
    if len(stack) != len(roster.keys):
        raise Incorrect(f"anchor: {len(stack)} signatures, expected {len(roster.keys)} places")
    digest = sighash(tx, prevouts, index, leaf_hash=leaf_hash(leaf))
    # The script takes the first key's signature from the top of the stack.
    signed = [(key, sig) for key, sig in zip(roster.keys, reversed(stack), strict=True) if sig]
    if len(signed) != roster.quorum:
        raise Incorrect(f"anchor: {len(signed)} signatures, expected {roster.quorum}")
    for key, signature in signed:
        schnorr.verify(key, digest, signature)
