"""The request's transactions, each checked once: where it is confirmed, who signed it, its charms.

PROTOCOL sections 9 (steps 4 and 7), 11 and 12. A transaction's charms come from the cache; from its
own bytes when it holds no spell; from an anchor, a transaction that a quorum signed; or from a full
check of its spell, which needs those of its inputs first.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, KeysView, Mapping, Sequence
from dataclasses import replace

from grail.bitcoin.addresses import quorum_leaf
from grail.bitcoin.spv import is_coinbase
from grail.bitcoin.tx import Tx
from grail.charms import spell
from grail.charms.anchor import check_anchor
from grail.charms.app import App, Data
from grail.charms.classify import guard_scripts
from grail.charms.descriptor import Bundle
from grail.charms.history import NO_CHARMS, Coin, Judge, Judged
from grail.charms.record import NO_SUCCESSOR, Record, Reign
from grail.charms.spell import Spell
from grail.errors import GrailError, Incorrect, Refused, SpellIncorrect
from grail.operators.evidence import TxEvidence
from grail.types import OutPoint, Txid
from grail_enclave.anchors import Anchors
from grail_enclave.batch import ProofBatch
from grail_enclave.caches import Charms, Verdict

RECORD_LAG = 36
"""Blocks in which a host has to bring a roster spell that is k deep: six hours."""


class History:
    """The transactions of one request, looked at through one enclave's own anchors.

    `anchored` False asks for full checks back to the mints: no quorum's word is taken.
    `contradicted` are those that a quorum signed within its reign and that are not correct.
    """

    def __init__(
        self,
        items: Mapping[Txid, TxEvidence],
        bundles: Mapping[bytes, Bundle],
        anchors: Anchors,
        *,
        anchored: bool = True,
    ) -> None:
        self._anchored = anchored
        self._items = items
        self._bundles = bundles
        self._anchors = anchors
        self._heights: dict[Txid, int | None] = {}
        self._reigns: dict[Txid, tuple[Reign, ...]] = {}
        self._verdicts: dict[Txid, Verdict] = {}
        self._spells: dict[Txid, Spell] = {}
        self.contradicted: list[Txid] = []

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

    @property
    def judged(self) -> KeysView[Txid]:
        """The transactions that there is a verdict on."""
        return self._verdicts.keys()

    def charms(self, outpoint: OutPoint) -> Mapping[App, Data]:
        """The charms of an output. Raises `Refused` HistoryMissing or HistoryInvalid."""
        self.resolve([outpoint.txid])
        held = self._verdicts[outpoint.txid].charms
        return held[outpoint.vout] if outpoint.vout < len(held) else NO_CHARMS

    def resolve(self, wanted: Iterable[Txid]) -> None:
        """Come to a verdict on these transactions, with one batch for all proofs on the way.

        A verdict is kept only once the batch has passed (threat G13). When it fails, all is walked
        again with each proof's own verdict, so that the outcome is the one without a batch.
        Raises `Refused` as `charms`; what was checked whole before that is kept (threat G14).
        """
        asked, batch = list(wanted), ProofBatch()
        found: dict[Txid, Verdict] = {}
        refusal: Refused | None = None
        try:
            self._walk(asked, found, batch)
        except Refused as exc:
            refusal = exc
        try:
            batch.settle()
        except Incorrect:
            found, refusal = {}, None
            try:
                self._walk(asked, found, batch)
            except Refused as exc:
                refusal = exc
        for txid, verdict in found.items():
            self._keep(txid, verdict)
        if refusal is not None:
            raise refusal

    def _walk(self, wanted: Sequence[Txid], found: dict[Txid, Verdict], batch: ProofBatch) -> None:
        """Put the verdicts into `found`; ancestors first, each once, without recursion."""
        stack = [*reversed(wanted)]
        while stack:
            txid = stack[-1]
            if txid in self._verdicts or txid in found:
                stack.pop()
                continue
            verdict = self._directly(txid)
            if verdict is None:
                above = [txin.outpoint.txid for txin in self.tx(txid).inputs]
                below = [each for each in above if each not in self._verdicts and each not in found]
                if below:
                    stack.extend(below)
                    continue
                verdict = self._fully(txid, ChainMap(found, self._verdicts), batch)
            found[txid] = verdict
            stack.pop()

    def _directly(self, txid: Txid) -> Verdict | None:
        """The verdict that needs nothing below the transaction; None asks for a full check."""
        cached = self._anchors.verdicts.get(txid, self._anchors.headers.height_of)
        if cached is not None and (cached.whole or self._anchored):
            return cached
        tx = self.tx(txid)
        none: Charms = (NO_CHARMS,) * len(tx.outputs)
        if is_coinbase(tx):
            return Verdict(none, whole=True)
        try:
            found = self._spells.get(txid) or spell.parse(tx)
        except SpellIncorrect:
            return Verdict(none, whole=True)
        if found is None:
            return Verdict(none, whole=True)
        self._spells[txid] = found
        most = self._anchors.configuration.max_ancestors
        if len(self._spells) > most:
            raise Refused(
                "HistoryInvalid",
                "too many ancestors since the last anchors",
                got=f"more than {most}",
                expected=f"at most {most}",
            )
        if not self._anchored or self._items[txid].prevouts is None or not self._is_anchor(txid):
            return None
        return Verdict(_as_spelled(tx, found), whole=False)

    def _is_anchor(self, txid: Txid) -> bool:
        """Whether a quorum signed it within its reign. Raises `Refused` HistoryInvalid."""
        try:
            signed = self.reigns(txid)
        except Incorrect as exc:
            raise _invalid(txid, str(exc)) from exc
        height = self.height(txid)
        at = self._anchors.next_height if height is None else height
        return any(reign.rules(at) for reign in signed)

    def _fully(self, txid: Txid, above: Mapping[Txid, Verdict], batch: ProofBatch) -> Verdict:
        """The verdict that the index gives as well, on the record as it was at that height."""
        tx, height = self.tx(txid), self.height(txid)
        if height is None:
            raise _invalid(txid, "it is neither confirmed nor signed by the ruling quorum")
        coins = []
        for txin in tx.inputs:
            made, place = self.tx(txin.outpoint.txid).outputs, txin.outpoint.vout
            if place >= len(made):
                raise _invalid(txid, f"its input {txin.outpoint} does not exist")
            held = above[txin.outpoint.txid].charms[place]
            coins.append(Coin(made[place].sats, made[place].script, held, None))
        record = self._anchors.record.at(height, self._anchors.configuration.network)
        judged = self._judged(txid, coins, record, height, batch)
        if judged.refusal is not None and judged.refusal.rule == "ProofMissing":
            self._check_named(txid, coins, record, height, batch)
        if judged.refusal is not None and not self._anchored:
            self._check_followed(txid, record, height)
        known = tuple(charms for charms in judged.charms if charms is not None)
        if len(known) != len(judged.charms):
            raise _invalid(txid, str(judged.refusal))
        return Verdict(known, whole=all(above[i.outpoint.txid].whole for i in tx.inputs))

    def _judged(
        self, txid: Txid, coins: Sequence[Coin], record: Record, height: int, batch: ProofBatch
    ) -> Judged:
        return Judge(self._anchors.configuration.network, verify=batch.verify).judge(
            self.tx(txid),
            coins,
            self._bundles,
            record,
            height,
            confirmed=True,
            spell=self._spells[txid],
        )

    def _check_named(
        self, txid: Txid, coins: Sequence[Coin], record: Record, height: int, batch: ProofBatch
    ) -> None:
        """Raise `Refused` HistoryInvalid where a naming that was not shown may make it correct.

        Hosts bring the naming when they see it. Until then such a transaction is not known to be
        incorrect, and the quorum that signed it may well know more.
        """
        network = self._anchors.configuration.network
        vaults = guard_scripts(record.rosters, record.zkbtc.gid(network))
        if vaults.keys().isdisjoint(coin.script for coin in coins):
            return
        last = record.reigns[-1]
        if last.successor != NO_SUCCESSOR:
            return
        for contract in self._spells[txid].contracts:
            named = replace(last, successor=contract.gid(network))
            other = Record(record.zkbtc, (*record.reigns[:-1], named))
            if contract != record.zkbtc and self._judged(txid, coins, other, height, batch).checked:
                raise _invalid(txid, "it goes over to a successor that the own record lacks")

    def _check_followed(self, txid: Txid, record: Record, height: int) -> None:
        """Raise `Refused` HistoryInvalid where a roster that was not shown may make it correct.

        What the newest known roster signed, and of which nothing comes to an address of a known
        one, may have gone to the next: hosts bring its spell when they see it. One that is missing
        so long is none: then the transaction is what it looks like.
        """
        if not record.reigns or self._anchors.tip.height - height >= RECORD_LAG:
            return
        tx, found, newest = self.tx(txid), self._spells[txid], quorum_leaf(record.rosters[-1])
        if not any(len(i.witness) > 2 and i.witness[-2] == newest for i in tx.inputs):
            return
        network, contracts = self._anchors.configuration.network, found.contracts
        guards = {
            script
            for contract in {*contracts, record.zkbtc}
            for script in guard_scripts(record.rosters, contract.gid(network))
        }
        if guards.isdisjoint(output.script for output in tx.outputs):
            raise _invalid(txid, "it may have gone to a roster that the own record lacks")

    def _contradicts(self, txid: Txid, verdict: Verdict) -> bool:
        """Whether a full check says something else than a quorum that signed it in its reign.

        Asked of verdicts that the cache had, too: what a request taught it first, perhaps without
        the witness that tells who signed, hides nothing from whoever looks for it later.
        """
        item = self._items.get(txid)
        if self._anchored or item is None or not verdict.whole:
            return False
        found, height = self._spelled(txid), self.height(txid)
        if found is None or height is None:
            return False
        taken = self._anchors.verdicts.get(txid, self._anchors.headers.height_of)
        if taken is not None and taken.charms != verdict.charms:
            return True
        if verdict.charms == _as_spelled(item.tx, found):
            return False
        try:
            spent = [self.tx(i.outpoint.txid).outputs[i.outpoint.vout] for i in item.tx.inputs]
            signed = check_anchor(item.tx, spent, self._anchors.record)
        except (Incorrect, Refused, IndexError):
            return False
        return any(reign.rules(height) for reign in signed)

    def _spelled(self, txid: Txid) -> Spell | None:
        """The transaction's spell, None without one that can be read."""
        try:
            return self._spells.get(txid) or spell.parse(self.tx(txid))
        except SpellIncorrect:
            return None

    def _keep(self, txid: Txid, verdict: Verdict) -> None:
        if self._contradicts(txid, verdict):
            self.contradicted.append(txid)
        self._verdicts[txid] = verdict
        item = self._items.get(txid)
        if item is not None and item.inclusion is not None and self.height(txid) is not None:
            self._anchors.verdicts.put(txid, item.inclusion.block, verdict, len(item.raw))


def _as_spelled(tx: Tx, found: Spell) -> Charms:
    """What a spell says that the outputs hold, if it is correct."""
    return (*found.outs, *(NO_CHARMS,) * (len(tx.outputs) - len(found.outs)))


def _unsafe(txid: Txid, why: str) -> Refused:
    return Refused(
        "ParentUnsafe",
        f"unconfirmed parent {txid}: {why}",
        got=str(txid),
        expected="a parent that is confirmed, or signed by the ruling quorum",
    )


def _invalid(txid: Txid, why: str) -> Refused:
    return Refused("HistoryInvalid", f"ancestor {txid}: {why}", got=str(txid))
