"""What came of a request: the transaction, what it cost, how long it took, who signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grail.connection.display import Cell, Shown
from grail.types import Txid


@dataclass(frozen=True, repr=False)
class Receipt(Shown):
    """A published transaction.

    `absent` maps the operators that did not help to what was heard of them last. Seconds are wall
    time: `proving_seconds` for all proofs of the transaction, `signing_seconds` from the request
    to the operators' last signature.
    """

    what: str
    txid: Txid
    fee: int
    vsize: int
    constraints: int = 0
    proving_seconds: float = 0.0
    signing_seconds: float = 0.0
    signers: int = 0
    absent: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "what": self.what,
            "txid": str(self.txid),
            "fee": self.fee,
            "vsize": self.vsize,
            "constraints": self.constraints,
            "proving_ms": round(1000 * self.proving_seconds, 1),
            "signing_ms": round(1000 * self.signing_seconds, 1),
            "signers": self.signers,
            "absent": dict(self.absent),
        }

    def _title(self) -> str:
        return self.what

    def _head(self) -> Sequence[str]:
        return ("", "")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        rows: list[Sequence[Cell]] = [
            ("txid", str(self.txid)),
            ("fee, sats", f"{self.fee:,}"),
            ("size, vB", f"{self.vsize:,}"),
        ]
        if self.constraints:
            rows.append(("constraints", f"{self.constraints:,}"))
            rows.append(("proved in", f"{1000 * self.proving_seconds:.0f} ms"))
        if self.signers:
            rows.append(("signed by", f"{self.signers} operators"))
            rows.append(("signed in", f"{1000 * self.signing_seconds:.0f} ms"))
        # operators' names stand in the second column: a txid beside them would not fit 80 columns
        rows += [("no help", f"{name}: {said}") for name, said in self.absent.items()]
        return rows


def txid_of(which: Receipt | Txid | str) -> Txid:
    """The txid of a receipt, or as it was given. Raises `DecodeError`."""
    if isinstance(which, Receipt):
        return which.txid
    return which if isinstance(which, Txid) else Txid.from_hex(which)


class Receipts(list[Receipt], Shown):
    """A table of receipts, one line each."""

    def _title(self) -> str:
        return "transactions"

    def _head(self) -> Sequence[str]:
        return ("txid", "what", "fee", "vsize", "constraints", "proof ms", "signing ms")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        return [
            (
                str(r.txid),
                r.what,
                r.fee,
                r.vsize,
                r.constraints or None,
                round(1000 * r.proving_seconds) if r.constraints else None,
                round(1000 * r.signing_seconds) if r.signers else None,
            )
            for r in self
        ]

    __str__ = Shown.__str__
    __repr__ = Shown.__repr__
