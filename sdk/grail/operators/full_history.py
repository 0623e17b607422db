"""A whole history, cut into parts that an enclave takes one after the other.

What a request carries ends at anchors. For a check back to the mints an enclave is shown every
transaction with a spell, parents first; it keeps the verdicts, so each part needs of the parts
before it only the transactions that it spends from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from grail.bitcoin.spv import is_coinbase
from grail.errors import InvalidInput
from grail.operators.evidence import (
    MAX_EVIDENCE,
    MAX_REQUEST,
    HistoryPart,
    Known,
    TxEvidence,
    has_spell,
)
from grail.types import Txid

PART = 64
"""Transactions judged in one part: an enclave's cap (`Configuration.max_ancestors`)."""
_ROOM = MAX_REQUEST // 2
"""Bytes of transactions in a part: the rest is for branches, bundles and one large transaction."""


def ancestors(wanted: Iterable[Txid], known: Known) -> list[Txid]:
    """The transactions that may hold a spell, from these back to the mints, parents first.

    Raises `InvalidInput` naming a transaction that is not known.
    """

    def above(txid: Txid) -> list[Txid] | None:
        tx = known.tx(txid)
        if tx is None:
            raise InvalidInput(f"transaction {txid} is not known, and the history needs it")
        spelled = has_spell(tx) and not is_coinbase(tx)
        return [txin.outpoint.txid for txin in tx.inputs] if spelled else None

    return parents_first(wanted, above)


def parents_first(
    wanted: Iterable[Txid], above: Callable[[Txid], Iterable[Txid] | None]
) -> list[Txid]:
    """These and all that stand above them, each once and after its parents.

    `above` names a transaction's parents; None leaves it out, with what it spends from.
    """
    order: list[Txid] = []
    done: set[Txid] = set()
    stack = [(txid, False) for txid in wanted]
    while stack:
        txid, ready = stack.pop()
        if ready:
            order.append(txid)
        if txid in done:
            continue
        done.add(txid)
        parents = above(txid)
        if parents is not None:
            stack.append((txid, True))
            stack += [(parent, False) for parent in parents]
    return order


def parts(
    order: Iterable[Txid], known: Known, bundles: Collection[bytes], most: int = PART
) -> Iterator[HistoryPart]:
    """The parts that show these transactions, which stand parents first.

    Raises `InvalidInput` for one that is in no block, or whose parents are not known.
    """
    items: dict[Txid, TxEvidence] = {}
    judged = size = 0
    for txid in order:
        tx, inclusion = known.tx(txid), known.inclusions.get(txid)
        if tx is None or inclusion is None:
            raise InvalidInput(f"transaction {txid} is in no block that is known")
        above = {txin.outpoint.txid for txin in tx.inputs} - items.keys()
        full = len(items) + len(above) + 1 > MAX_EVIDENCE or size > _ROOM
        if items and (judged == most or full):
            yield HistoryPart(tuple(bundles), tuple(items.values()))
            items, judged, size = {}, 0, 0
        for parent in dict.fromkeys(txin.outpoint.txid for txin in tx.inputs):
            raw = known.transactions.get(parent)
            if raw is None:
                raise InvalidInput(f"transaction {parent} is not known, and the history needs it")
            if parent not in items:
                items[parent] = TxEvidence(raw)
                size += len(raw)
        items[txid] = TxEvidence(known.transactions[txid], inclusion)
        judged, size = judged + 1, size + len(items[txid].raw)
    if items:
        yield HistoryPart(tuple(bundles), tuple(items.values()))
