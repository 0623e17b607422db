"""What a signing request carries, and how to put one together.

A request is data only: transactions, bundles, Merkle proofs. Every trust anchor (roster, headers,
keys, caps) is the enclave's own (threat S4). Wire form (canonical CBOR):

    SigningRequest = {"psbt": bytes, "bundles": [bytes..], "evidence": [item..]}
    item           = [raw tx, inclusion, prevouts]
    inclusion      = null | [block hash, index, [hash..], raw coinbase, [hash..]]
    prevouts       = null | [[sats, script]..]        one per input of that transaction

Evidence holds, each transaction once and in any order:

- the transaction that made each input of the PSBT, with its inclusion when it is confirmed;
- for one that carries a spell, either `prevouts` of its inputs, when it spends a guarded or escrow
  input by a quorum's signatures (an anchor: nothing below it is needed), or the transactions that
  made its own inputs, and so on down to anchors and to transactions without a spell;
- for an unconfirmed one, which must be an anchor, also the transactions that made its inputs, with
  inclusion, or unconfirmed anchors again.

Previous transactions may stand in the PSBT's `non_witness_utxo` instead of here when they need
neither inclusion nor prevouts; every input needs its full previous transaction in one of the two.

The record frame carries the confirmed deploy transaction in the same manner, and later each spend
of the Grail NFT, which names a roster or a successor:

    DeployRecord   = {"tx": raw, "inclusion": inclusion, "bundles": [bytes..], "evidence": [..]}

with evidence for its inputs as above, and so does the history frame, for full checks apart from any
request:

    HistoryPart    = {"bundles": [bytes..], "evidence": [..]}

`grail.operators.frames` has the other frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from grail import codec
from grail.bitcoin.addresses import Roster, quorum_leaf
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import Inclusion
from grail.bitcoin.tx import Tx
from grail.charms.record import Reign
from grail.errors import DecodeError, InvalidInput, TooLarge
from grail.types import MAX_MONEY, Txid, TxOut

MAX_EVIDENCE = 256
"""Transactions in one request: 64 ancestors and what each input of a wide one needs."""
MAX_BUNDLES = 16
"""Bundles in one request, 64 KiB each at most."""
MAX_REQUEST = 3_900_000
"""Bytes of a request: a frame's 4,000,000 less room for a certificate."""


@dataclass(frozen=True)
class TxEvidence:
    """A transaction, where it is confirmed (or not), and for an anchor what its inputs spent."""

    raw: bytes
    inclusion: Inclusion | None = None
    prevouts: tuple[TxOut, ...] | None = None

    @cached_property
    def tx(self) -> Tx:
        """The parsed transaction. Raises `DecodeError`."""
        return Tx.parse(self.raw)

    def to_value(self) -> list[object]:
        """The wire form, ready for CBOR."""
        prevouts = self.prevouts
        return [
            self.raw,
            None if self.inclusion is None else self.inclusion.to_value(),
            None if prevouts is None else [[int(out.sats), out.script] for out in prevouts],
        ]

    @classmethod
    def from_value(cls, value: object) -> TxEvidence:
        """Read the wire form. Raises `DecodeError`."""
        match value:
            case [bytes() as raw, inclusion, prevouts]:
                pass
            case _:
                raise DecodeError("evidence: expected [raw tx, inclusion, prevouts]")
        return cls(
            raw,
            None if inclusion is None else Inclusion.from_value(inclusion),
            None if prevouts is None else _prevouts(prevouts),
        )


def _prevouts(value: object) -> tuple[TxOut, ...]:
    if not isinstance(value, list):
        raise DecodeError("evidence: prevouts, expected a list")
    made = []
    for item in value:
        match item:
            case [int() as sats, bytes() as script] if not isinstance(sats, bool):
                if not 0 <= sats <= MAX_MONEY:
                    raise DecodeError(f"evidence: {sats} sats are out of range")
                made.append(TxOut(sats, script))
            case _:
                raise DecodeError("evidence: a prevout is [sats, script]")
    return tuple(made)


def _carried(
    value: Mapping[Any, object], what: str
) -> tuple[tuple[bytes, ...], tuple[TxEvidence, ...]]:
    """The bundles and the evidence of a request or record."""
    bundles, evidence = value["bundles"], value["evidence"]
    if not isinstance(bundles, list) or not all(isinstance(b, bytes) for b in bundles):
        raise DecodeError(f"{what}: bundles, expected a list of bytes")
    if not isinstance(evidence, list):
        raise DecodeError(f"{what}: evidence, expected a list")
    if len(bundles) > MAX_BUNDLES or len(evidence) > MAX_EVIDENCE:
        raise TooLarge(
            f"{what}: {len(bundles)} bundles, {len(evidence)} transactions, expected at "
            f"most {MAX_BUNDLES} and {MAX_EVIDENCE}"
        )
    return tuple(bundles), tuple(TxEvidence.from_value(item) for item in evidence)


@dataclass(frozen=True)
class SigningRequest:
    """What an operator is asked to vote for and to sign."""

    psbt: bytes
    bundles: tuple[bytes, ...] = ()
    evidence: tuple[TxEvidence, ...] = ()

    def to_value(self) -> dict[str, object]:
        """The wire form, ready for CBOR."""
        return {
            "psbt": self.psbt,
            "bundles": list(self.bundles),
            "evidence": [item.to_value() for item in self.evidence],
        }

    @classmethod
    def from_value(cls, value: object) -> SigningRequest:
        """Read the wire form; nothing is checked but its shape and size. Raises `DecodeError`."""
        if not isinstance(value, Mapping) or set(value) != {"psbt", "bundles", "evidence"}:
            raise DecodeError("request: expected a map of psbt, bundles, evidence")
        psbt = value["psbt"]
        if not isinstance(psbt, bytes):
            raise DecodeError("request: psbt, expected bytes")
        return cls(psbt, *_carried(value, "request"))

    def serialize(self) -> bytes:
        """The canonical bytes."""
        return codec.encode(self.to_value())

    @classmethod
    def parse(cls, raw: bytes) -> SigningRequest:
        """Read the canonical bytes. Raises `DecodeError`."""
        return cls.from_value(codec.decode(raw, max_bytes=MAX_REQUEST))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes: what a refusal answers."""
        return hashlib.sha256(self.serialize()).digest()


@dataclass(frozen=True)
class DeployRecord:
    """A confirmed transaction of the Grail NFT, the deploy or a later one, and what proves it."""

    raw: bytes
    inclusion: Inclusion
    bundles: tuple[bytes, ...]
    evidence: tuple[TxEvidence, ...] = ()

    def to_value(self) -> dict[str, object]:
        """The wire form, ready for CBOR: the body of the `record` frame."""
        return {
            "tx": self.raw,
            "inclusion": self.inclusion.to_value(),
            "bundles": list(self.bundles),
            "evidence": [item.to_value() for item in self.evidence],
        }

    @classmethod
    def from_value(cls, value: object) -> DeployRecord:
        """Read the wire form. Raises `DecodeError`."""
        if not isinstance(value, Mapping) or set(value) != {
            "tx",
            "inclusion",
            "bundles",
            "evidence",
        }:
            raise DecodeError("record: expected a map of tx, inclusion, bundles, evidence")
        raw = value["tx"]
        if not isinstance(raw, bytes):
            raise DecodeError("record: tx, expected bytes")
        bundles, evidence = _carried(value, "record")
        return cls(raw, Inclusion.from_value(value["inclusion"]), bundles, evidence)


@dataclass(frozen=True)
class HistoryPart:
    """A part of a history for full checks: those with an inclusion are to be judged.

    The others are there for what they pay and for their charms, which are known from an earlier
    part when they carry a spell.
    """

    bundles: tuple[bytes, ...]
    evidence: tuple[TxEvidence, ...]

    def to_value(self) -> dict[str, object]:
        """The wire form, ready for CBOR: the body of the `history` frame."""
        return {
            "bundles": list(self.bundles),
            "evidence": [item.to_value() for item in self.evidence],
        }

    @classmethod
    def from_value(cls, value: object) -> HistoryPart:
        """Read the wire form; nothing is checked but its shape and size. Raises `DecodeError`."""
        if not isinstance(value, Mapping) or set(value) != {"bundles", "evidence"}:
            raise DecodeError("history: expected a map of bundles, evidence")
        return cls(*_carried(value, "history"))


@dataclass(frozen=True)
class Known:
    """What a client has fetched: raw transactions, where they are confirmed, and the rosters.

    Where there were several rosters, `reigns` says when each ruled, `heights` where transactions
    are confirmed, and `height` is the next block's: a quorum's word counts within its reign alone.
    """

    transactions: Mapping[Txid, bytes]
    inclusions: Mapping[Txid, Inclusion]
    rosters: Sequence[Roster]
    reigns: Sequence[Reign] = ()
    heights: Mapping[Txid, int] = field(default_factory=dict)
    height: int = 0
    _parsed: dict[Txid, Tx] = field(default_factory=dict, repr=False, compare=False)

    def tx(self, txid: Txid) -> Tx | None:
        """The parsed transaction when it is known. Raises `DecodeError`."""
        if txid not in self._parsed:
            raw = self.transactions.get(txid)
            if raw is None:
                return None
            self._parsed[txid] = Tx.parse(raw)
        return self._parsed[txid]

    def quorums(self, txid: Txid) -> list[Roster]:
        """The rosters whose word on this transaction counts."""
        if not self.reigns:
            return list(self.rosters)
        at = self.heights.get(txid, self.height)
        return [reign.roster for reign in self.reigns if reign.rules(at)]


def is_anchor(tx: Tx, rosters: Collection[Roster]) -> bool:
    """Whether an input is spent by a quorum leaf of one of the rosters (signatures unchecked)."""
    leaves = {quorum_leaf(roster) for roster in rosters}
    return any(len(i.witness) > 2 and i.witness[-2] in leaves for i in tx.inputs)


def has_spell(tx: Tx) -> bool:
    """Whether an output could be a spell's: OP_RETURN, then a push of "spell" in any push form."""
    return any(out.script[:1] == b"\x6a" and b"spell" in out.script[1:11] for out in tx.outputs)


def missing(psbt: Psbt, known: Known) -> frozenset[Txid]:
    """The transactions to fetch next (raw, and inclusion when confirmed); empty when it is enough.

    Call again after each fetch: what one transaction needs is seen only when it is there.
    """
    return _walk(psbt, known)[1]


def assemble(psbt: Psbt, bundles: Collection[bytes], known: Known) -> SigningRequest:
    """The request for a PSBT, with exactly the evidence that it needs.

    Raises `InvalidInput` naming a transaction when `missing` is not empty.
    """
    needed, absent = _walk(psbt, known)
    if absent:
        raise InvalidInput(
            f"transaction {min(absent, key=str)} is missing from the evidence",
            hint="fetch what grail.operators.evidence.missing names, then assemble again",
        )
    evidence = tuple(
        TxEvidence(known.transactions[txid], known.inclusions.get(txid), prevouts)
        for txid, prevouts in needed.items()
    )
    return SigningRequest(psbt.serialize(), tuple(sorted(set(bundles))), evidence)


def assemble_record(tx: Tx, bundles: Collection[bytes], known: Known) -> DeployRecord:
    """The record frame's body for a confirmed spend of the Grail NFT, with what proves it.

    Raises `InvalidInput` naming a transaction when `missing` of it is not empty, or when no block
    is known that holds it.
    """
    inclusion = known.inclusions.get(tx.txid)
    if inclusion is None:
        raise InvalidInput(f"transaction {tx.txid} is in no block that is known")
    request = assemble(Psbt.of(tx), bundles, known)
    return DeployRecord(tx.serialize(), inclusion, request.bundles, request.evidence)


def _walk(psbt: Psbt, known: Known) -> tuple[dict[Txid, tuple[TxOut, ...] | None], frozenset[Txid]]:
    """What to send (with prevouts for anchors) and what is not there yet."""
    needed: dict[Txid, tuple[TxOut, ...] | None] = {}
    absent: set[Txid] = set()
    # A transaction is wanted for its history (charms of its outputs) or only for its existence.
    queue = [(txin.outpoint.txid, True) for txin in psbt.tx.inputs]
    seen: set[tuple[Txid, bool]] = set()
    while queue:
        txid, history = queue.pop()
        if (txid, history) in seen:
            continue
        seen.add((txid, history))
        tx = known.tx(txid)
        if tx is None:
            absent.add(txid)
            continue
        needed.setdefault(txid, None)
        anchor = is_anchor(tx, known.quorums(txid))
        confirmed = txid in known.inclusions
        if anchor and (history or not confirmed):
            prevouts, lacking = _spent(tx, known)
            absent |= lacking
            if not lacking:
                needed[txid] = prevouts
        below_history = history and not anchor and has_spell(tx)
        if below_history or not confirmed:
            queue += [(txin.outpoint.txid, below_history) for txin in tx.inputs]
    return needed, frozenset(absent)


def _spent(tx: Tx, known: Known) -> tuple[tuple[TxOut, ...], set[Txid]]:
    """The outputs that a transaction spends, and the transactions that are not there for it."""
    outputs, lacking = [], set()
    for txin in tx.inputs:
        parent = known.tx(txin.outpoint.txid)
        if parent is None:
            lacking.add(txin.outpoint.txid)
        else:
            outputs.append(parent.outputs[txin.outpoint.vout])
    return tuple(outputs), lacking
