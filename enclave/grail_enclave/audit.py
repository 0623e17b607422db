"""Full checks apart from requests, and the alarm that a contradiction raises (section 11).

A quorum's signature ends a history: twelve enclaves checked all of it. Whoever shows the whole of
it has it checked again here, with nobody's word taken. If a transaction that a quorum signed turns
out incorrect, enclaves of that roster are broken or their keys are out, and this one signs no more.
"""

from __future__ import annotations

from grail.errors import Refused
from grail.operators.evidence import HistoryPart
from grail.types import Txid
from grail_enclave.anchors import Anchors
from grail_enclave.caches import RequestBundles
from grail_enclave.history import History


class Audit:
    """What full checks have found so far; `alarm` names the first contradiction."""

    def __init__(self) -> None:
        self.alarm: Txid | None = None

    def check(self, part: HistoryPart, anchors: Anchors) -> int:
        """Judge each transaction of the part that comes with an inclusion; answers how many.

        The verdicts enter the cache, where the next part and later requests find them. Raises
        `Refused` HistoryMissing, HistoryInvalid, NotConfirmed or PrevoutMismatch, with what was
        whole by then kept; a contradiction among that is told instead.
        """
        items = {}
        for item in part.evidence:
            if item.tx.txid in items:
                raise Refused(
                    "PrevoutMismatch", f"history: transaction {item.tx.txid} twice", got="twice"
                )
            items[item.tx.txid] = item
        bundles = RequestBundles(part.bundles, anchors.bundles)
        history = History(items, bundles, anchors, anchored=False)
        wanted = [txid for txid, item in items.items() if item.inclusion is not None]
        try:
            history.resolve(wanted)
        except Refused:
            if not history.contradicted:
                raise
        if self.alarm is None and history.contradicted:
            self.alarm = history.contradicted[0]
        return sum(txid in history.judged for txid in wanted)

    def require_none(self) -> None:
        """Raise `Refused` AnchorContradicted once there is an alarm: nothing is signed any more."""
        if self.alarm is not None:
            raise Refused(
                "AnchorContradicted",
                "a transaction that a quorum signed is incorrect by a full check",
                got=str(self.alarm),
                expected="a correct history",
            )
