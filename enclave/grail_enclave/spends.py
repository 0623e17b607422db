"""Spends in blocks, as they come with a request or in a frame of their own (rounds, rule 8).

A spend counts by its proof under own headers alone, whoever shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from grail.bitcoin.spv import HeaderChain, Inclusion
from grail.bitcoin.tx import Tx
from grail.errors import GrailError, Refused
from grail.operators.spent import Spend, read_spend
from grail.types import OutPoint
from grail_enclave.case import Case
from grail_enclave.established import Spent


def evident_spends(
    network: bytes, case: Case, concerned: Collection[OutPoint]
) -> tuple[Spend, ...]:
    """The confirmed transactions of a request's evidence that spend an outpoint of concern."""
    history, found = case.got(Spent).history, []
    for item in case.request.evidence:
        if item.inclusion is None:
            continue
        if any(txin.outpoint in concerned for txin in item.tx.inputs):
            try:
                history.height(item.tx.txid)
            except Refused:
                continue  # no rule needed it, and it shows nothing
            found.append(read_spend(network, item.tx, item.inclusion.block))
    return tuple(found)


def shown_spend(
    network: bytes, headers: HeaderChain, raw: bytes, inclusion: Inclusion, path: Sequence[bytes]
) -> Spend:
    """The spend of a frame. Raises `Refused` NotConfirmed, `DecodeError` or `InvalidInput`."""
    tx = Tx.parse(raw)
    try:
        headers.confirmed(tx, inclusion)
    except GrailError as exc:
        raise Refused("NotConfirmed", f"transaction {tx.txid}: {exc}", got=str(tx.txid)) from exc
    return read_spend(network, tx, inclusion.block, [Tx.parse(each) for each in path])
