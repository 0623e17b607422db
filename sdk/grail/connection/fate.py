"""What became of a transaction after it was published: in a block, waiting, dropped, or lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grail.connection.display import Cell, Shown
from grail.errors import Superseded
from grail.types import OutPoint, Txid

CONFIRMED = "confirmed"
WAITING = "waiting"
DROPPED = "dropped"
OVERTAKEN = "overtaken"
LOST = "lost"
REPLACED = "replaced"


@dataclass(frozen=True, repr=False)
class Fate(Shown):
    """Where a transaction is now.

    confirmed   in a block, `depth` blocks deep
    waiting     in the node's mempool
    dropped     nowhere, and nothing is in its way: it is sent again at each look (`why` it failed)
    overtaken   nowhere, and `by`, which no block holds yet, spends the same output
    lost        `by`, in a block, spends the same output: it can confirm only after a reorganisation
    replaced    `by` is the same with another fee, and `depth` blocks deep: it took place, or will
    """

    txid: Txid
    state: str
    depth: int = 0
    by: Txid | None = None
    outpoint: OutPoint | None = None
    why: str = ""

    def check(self) -> None:
        """Raise `Superseded` when it is lost."""
        if self.state == LOST:
            raise Superseded(
                f"transaction {self.txid} can no longer confirm: {self.outpoint} was spent by "
                f"{self.by}, which is in a block",
                winner=str(self.by),
                hint="nothing of it took place; ask for the same thing again",
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "txid": str(self.txid),
            "state": self.state,
            "depth": self.depth,
            "by": None if self.by is None else str(self.by),
            "outpoint": None if self.outpoint is None else str(self.outpoint),
            "why": self.why,
        }

    def _title(self) -> str:
        return "fate"

    def _head(self) -> tuple[str, str]:
        return ("", "")

    def _rows(self) -> list[tuple[Cell, Cell]]:
        rows: list[tuple[Cell, Cell]] = [("txid", str(self.txid)), ("state", self.state)]
        if self.depth:
            rows.append(("depth", f"{self.depth} blocks"))
        if self.by is not None:
            rows += [("by", str(self.by)), ("over", str(self.outpoint))]
        return rows + ([("why", self.why)] if self.why else [])
