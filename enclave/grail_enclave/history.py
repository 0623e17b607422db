"""The request's transactions, each checked once: where it is confirmed, who signed it, its charms.

PROTOCOL sections 9 (steps 4 and 7), 11 and 12. A transaction's charms come from the cache; from its
own bytes when it holds no spell; from an anchor, a transaction that a quorum signed; or from a full
check of its spell, which needs those of its inputs first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grail.bitcoin.addresses import quorum_leaf
from grail.bitcoin.spv import is_coinbase
from grail.bitcoin.taproot import leaf_hash
from grail.bitcoin.tx import Tx, sighash
from grail.charms import spell
from grail.charms.app import App, Data
from grail.charms.descriptor import Bundle
from grail.charms.history import NO_CHARMS, Coin, Judge
from grail.charms.record import Record, Reign
from grail.charms.spell import Spell
from grail.crypto import schnorr
from grail.errors import GrailError, Incorrect, Refused, SpellIncorrect
from grail.operators.evidence import TxEvidence
from grail.types import OutPoint, Txid, TxOut
from grail_enclave.anchors import Anchors
from grail_enclave.caches import Charms


def check_anchor(tx: Tx, prevouts: Sequence[TxOut], record: Record) -> tuple[Reign, ...]:
    """The reigns whose quorums signed inputs of this transaction, at least one.

    The signature covers all inputs with amounts and scripts, all outputs, and the leaf, which only
    the members' own enclaves rebuild; so neither control block nor address needs another look. An
    input that only looks like the quorum's takes nothing from another that is. Raises `Incorrect`.
    """
    if len(prevouts) != len(tx.inputs):
        raise Incorrect(f"anchor: {len(prevouts)} prevouts for {len(tx.inputs)} inputs")
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


class History:
    """The transactions of one request, looked at through one enclave's own anchors."""

    def __init__(
        self,
        items: Mapping[Txid, TxEvidence],
        bundles: Mapping[bytes, Bundle],
        anchors: Anchors,
    ) -> None:
        self._items = items
        self._bundles = bundles
        self._anchors = anchors
        self._heights: dict[Txid, int | None] = {}
        self._reigns: dict[Txid, tuple[Reign, ...]] = {}
        self._charms: dict[Txid, Charms] = {}
        self._spells: dict[Txid, Spell] = {}

    def __contains__(self, txid: Txid) -> bool:
        return txid in self._items

    def tx(self, txid: Txid) -> Tx:
        """The transaction. Raises `Refused` HistoryMissing."""
        item = self._items.get(txid)
        if item is None:
            raise Refused(
                "HistoryMissing",
                f"transaction {txid} is not in the evidence",
                got="nothing",
                expected=str(txid),
            )
        return item.tx

    def height(self, txid: Txid) -> int | None:
        """Where it is confirmed, None when no proof came. Raises `Refused` NotConfirmed."""
        if txid not in self._heights:
            tx, inclusion = self.tx(txid), self._items[txid].inclusion
            try:
                self._heights[txid] = (
                    None if inclusion is None else self._anchors.headers.confirmed(tx, inclusion)
                )
            except GrailError as exc:
                raise Refused("NotConfirmed", f"transaction {txid}: {exc}", got=str(txid)) from exc
        return self._heights[txid]

    def reigns(self, txid: Txid) -> tuple[Reign, ...]:
        """The reigns of the quorums that signed the transaction. Raises `Incorrect`."""
        if txid not in self._reigns:
            prevouts = self._items[txid].prevouts
            if prevouts is None:
                raise Incorrect(f"transaction {txid}: what its inputs spend is not given")
            self._reigns[txid] = check_anchor(self.tx(txid), prevouts, self._anchors.record)
        return self._reigns[txid]

    def check_unconfirmed(self, parents: Sequence[Txid]) -> int:
        """How many unconfirmed ancestors there are. Raises `Refused` ParentUnsafe (section 12).

        Each was signed by the quorum that rules, and whatever else it spends is confirmed or such a
        transaction itself.
        """
        limit = self._anchors.configuration.max_unconfirmed
        queue = [txid for txid in parents if self.height(txid) is None]
        seen: set[Txid] = set()
        while queue:
            txid = queue.pop()
            if txid in seen:
                continue
            seen.add(txid)
            if len(seen) > limit:
                raise Refused(
                    "ParentUnsafe",
                    "the chain of unconfirmed transactions is too long",
                    got=f"more than {limit}",
                    expected=f"at most {limit}",
                )
            self._check_parent(txid)
            for txin in self.tx(txid).inputs:
                above = txin.outpoint.txid
                if above not in self._items:
                    raise _unsafe(txid, f"its parent {above} is not in the evidence")
                if self.height(above) is None:
                    queue.append(above)
        return len(seen)

    def _check_parent(self, txid: Txid) -> None:
        try:
            signed = [reign.epoch for reign in self.reigns(txid)]
        except Incorrect as exc:
            raise _unsafe(txid, str(exc)) from exc
        ruling = self._anchors.ruling()
        if ruling is None or ruling.epoch not in signed:
            epochs = ", ".join(map(str, signed))
            raise _unsafe(txid, f"epoch {epochs} signed it and does not rule")

    def charms(self, outpoint: OutPoint) -> Mapping[App, Data]:
        """The charms of an output. Raises `Refused` HistoryMissing or HistoryInvalid."""
        held = self._resolve(outpoint.txid)
        return held[outpoint.vout] if outpoint.vout < len(held) else NO_CHARMS

    def _resolve(self, wanted: Txid) -> Charms:
        """The verdict on a transaction; ancestors first, each once, without recursion."""
        stack = [wanted]
        while stack:
            txid = stack[-1]
            if txid in self._charms:
                stack.pop()
                continue
            found = self._directly(txid)
            if found is None:
                inputs = self.tx(txid).inputs
                below = [i.outpoint.txid for i in inputs if i.outpoint.txid not in self._charms]
                if below:
                    stack.extend(below)
                    continue
                found = self._fully(txid)
            self._keep(txid, found)
            stack.pop()
        return self._charms[wanted]

    def _directly(self, txid: Txid) -> Charms | None:
        """The verdict that needs nothing below the transaction; None asks for a full check."""
        cached = self._anchors.verdicts.get(txid, self._anchors.headers.height_of)
        if cached is not None:
            return cached
        tx = self.tx(txid)
        none: Charms = (NO_CHARMS,) * len(tx.outputs)
        if is_coinbase(tx):
            return none
        try:
            found = self._spells.get(txid) or spell.parse(tx)
        except SpellIncorrect:
            return none
        if found is None:
            return none
        self._spells[txid] = found
        most = self._anchors.configuration.max_ancestors
        if len(self._spells) > most:
            raise Refused(
                "HistoryInvalid",
                "too many ancestors since the last anchors",
                got=f"more than {most}",
                expected=f"at most {most}",
            )
        if self._items[txid].prevouts is None or not self._anchored(txid):
            return None
        spelled = tuple(found.outs)
        return (*spelled, *none[len(spelled) :])

    def _anchored(self, txid: Txid) -> bool:
        """Whether a quorum signed it within its reign. Raises `Refused` HistoryInvalid."""
        try:
            signed = self.reigns(txid)
        except Incorrect as exc:
            raise _invalid(txid, str(exc)) from exc
        height = self.height(txid)
        at = self._anchors.next_height if height is None else height
        return any(reign.rules(at) for reign in signed)

    def _fully(self, txid: Txid) -> Charms:
        """The verdict that the index gives as well, on the record as it was at that height."""
        tx, height = self.tx(txid), self.height(txid)
        if height is None:
            raise _invalid(txid, "it is neither confirmed nor signed by the ruling quorum")
        coins = []
        for txin in tx.inputs:
            made = self.tx(txin.outpoint.txid).outputs
            if txin.outpoint.vout >= len(made):
                raise _invalid(txid, f"its input {txin.outpoint} does not exist")
            out = made[txin.outpoint.vout]
            coins.append(Coin(out.sats, out.script, self.charms(txin.outpoint), None))
        network = self._anchors.configuration.network
        judged = Judge(network).judge(
            tx,
            coins,
            self._bundles,
            self._anchors.record.at(height, network),
            height,
            confirmed=True,
            spell=self._spells[txid],
        )
        known = tuple(charms for charms in judged.charms if charms is not None)
        if len(known) != len(judged.charms):
            raise _invalid(txid, str(judged.refusal))
        return known

    def _keep(self, txid: Txid, charms: Charms) -> None:
        self._charms[txid] = charms
        item = self._items.get(txid)
        if item is not None and item.inclusion is not None and self.height(txid) is not None:
            self._anchors.verdicts.put(txid, item.inclusion.block, charms, len(item.raw))


def _unsafe(txid: Txid, why: str) -> Refused:
    return Refused(
        "ParentUnsafe",
        f"unconfirmed parent {txid}: {why}",
        got=str(txid),
        expected="a parent that is confirmed, or signed by the ruling quorum",
    )


def _invalid(txid: Txid, why: str) -> Refused:
    return Refused("HistoryInvalid", f"ancestor {txid}: {why}", got=str(txid))
