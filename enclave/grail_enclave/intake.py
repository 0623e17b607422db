"""Steps 1 to 7: what the request carries, and what own headers and checks make of it."""

from __future__ import annotations

from dataclasses import replace

from grail.bitcoin.addresses import Roster, quorum_leaf
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import COINBASE_MATURITY, is_coinbase
from grail.bitcoin.tx import SEQUENCE, TxIn
from grail.charms import spell as spells
from grail.charms.anchor import MAX_INPUTS
from grail.charms.rules import Prevout
from grail.errors import DecodeError, InvalidInput, Refused, SpellIncorrect
from grail.operators.evidence import TxEvidence
from grail.types import Txid, TxOut
from grail_enclave.anchors import Anchors
from grail_enclave.caches import RequestBundles
from grail_enclave.case import Case
from grail_enclave.established import (
    Charmed,
    ParentsSafe,
    Parsed,
    Placed,
    Shaped,
    Spelled,
    Spent,
    Viewed,
)
from grail_enclave.history import History
from grail_enclave.rule import ALWAYS, FIRST, refused
from grail_enclave.sizes import MAX_STANDARD_WEIGHT

ANNEX = 0x50

QUORUM_ITEMS = 3
"""A quorum's witness has at least one signature, then the leaf and the control block."""


class PsbtRule:
    """Step 1: size and canonical form."""

    name, step, threats, stages = "PsbtInvalid", 1, ("S28", "S29", "S1"), ALWAYS

    def check(self, case: Case) -> Parsed:
        """The PSBT in its canonical form, with allowed fields only."""
        try:
            return Parsed(Psbt.parse(case.request.psbt))
        except InvalidInput as exc:
            raise Refused(self.name, str(exc), got=type(exc).__name__) from exc


class ShapeRule:
    """Step 2: the form of the transaction and of users' witnesses."""

    name, step, threats, stages = "TxShape", 2, ("S6", "S7", "S9", "S26"), ALWAYS

    def check(self, case: Case) -> Shaped:
        """Version, sequences, distinct inputs; users' witnesses of known form, signed for all.

        An older roster's witness may be there as well: who it is, is asked in step 9.
        """
        psbt = case.got(Parsed).psbt
        leaves = {quorum_leaf(roster) for roster in case.anchors.record.rosters}
        tx = psbt.tx
        if tx.version != 2:
            raise self._refused("version", tx.version, 2)
        if not 0 < len(tx.inputs) <= MAX_INPUTS:
            raise self._refused("inputs", len(tx.inputs), f"1 to {MAX_INPUTS}")
        if not tx.outputs or tx.weight > MAX_STANDARD_WEIGHT:
            raise self._refused("weight", tx.weight, f"at most {MAX_STANDARD_WEIGHT}")
        if len({txin.outpoint for txin in tx.inputs}) != len(tx.inputs):
            raise self._refused("inputs", "an outpoint twice", "distinct outpoints")
        inputs = []
        for index, (txin, known) in enumerate(zip(tx.inputs, psbt.inputs, strict=True)):
            if txin.sequence != SEQUENCE or txin.script_sig:
                raise self._refused(f"input {index}", f"{txin.sequence:08x}", f"{SEQUENCE:08x}")
            if known.tap_script_sigs or known.tap_key_sig:
                raise self._refused(f"input {index}", "a partial signature", "final witnesses")
            witness = known.final_script_witness or ()
            if len(witness) < QUORUM_ITEMS or witness[-2] not in leaves:
                self._check_witness(index, witness)
            inputs.append(replace(txin, witness=witness))
        return Shaped(replace(tx, inputs=tuple(inputs)))

    def _check_witness(self, index: int, witness: tuple[bytes, ...]) -> None:
        """P2TR by key path or P2WPKH, under DEFAULT or ALL: others could change after a vote."""
        if len(witness) >= 2 and witness[-1][:1] == bytes([ANNEX]):
            raise self._refused(f"input {index}", "an annex", "none")
        match [len(item) for item in witness]:
            case [] | [64]:
                return
            case [65] if witness[0][64] == 1:
                return
            case [size, 33] if 9 <= size <= 73 and witness[0][0] == 0x30 and witness[0][-1] == 1:
                return
        raise self._refused(
            f"input {index}",
            f"a witness of {len(witness)} items",
            "P2WPKH or P2TR by key path, signed DEFAULT or ALL",
        )

    def _refused(self, what: str, got: object, expected: object) -> Refused:
        return Refused(self.name, what, got=str(got), expected=str(expected))


class PrevoutRule:
    """Step 3: what is spent."""

    name, step, threats, stages = "PrevoutMismatch", 3, ("S2", "S15"), ALWAYS

    def check(self, case: Case) -> Spent:
        """Each input's output, from a full previous transaction with the outpoint's txid."""
        psbt = case.got(Parsed).psbt
        items: dict[Txid, TxEvidence] = {}
        for item in case.request.evidence:
            try:
                txid = item.tx.txid
            except DecodeError as exc:
                raise Refused(self.name, f"evidence: {exc}") from exc
            if txid in items:
                raise Refused(self.name, f"evidence: transaction {txid} twice", got=str(txid))
            items[txid] = item
        prevouts = []
        for index, (txin, known) in enumerate(zip(psbt.tx.inputs, psbt.inputs, strict=True)):
            full, wanted = known.non_witness_utxo, txin.outpoint.txid
            if full is not None:
                if full.txid != wanted:
                    raise self._refused(index, f"previous transaction {full.txid}", str(wanted))
                items.setdefault(wanted, TxEvidence(full.serialize()))
            prevouts.append(self._prevout(index, txin, items, known.witness_utxo))
        bundles = RequestBundles(case.request.bundles, case.anchors.bundles)
        parents = tuple(dict.fromkeys(txin.outpoint.txid for txin in psbt.tx.inputs))
        return Spent(tuple(prevouts), parents, History(items, bundles, case.anchors), bundles)

    def _prevout(
        self, index: int, txin: TxIn, items: dict[Txid, TxEvidence], claimed: TxOut | None
    ) -> TxOut:
        item = items.get(txin.outpoint.txid)
        if item is None:
            raise self._refused(index, "no previous transaction", str(txin.outpoint.txid))
        if txin.outpoint.vout >= len(item.tx.outputs):
            raise self._refused(index, str(txin.outpoint), "an output that exists")
        output = item.tx.outputs[txin.outpoint.vout]
        if claimed is not None and claimed != output:
            raise self._refused(
                index,
                f"{claimed.sats} sats at {claimed.script.hex()[:80]}",
                f"{output.sats} sats at {output.script.hex()[:80]}",
            )
        return output

    def _refused(self, index: int, got: str, expected: str) -> Refused:
        return Refused(self.name, f"input {index}", got=got, expected=expected)


class ConfirmedRule:
    """Step 4: where parents are confirmed."""

    name, step, threats, stages = "NotConfirmed", 4, ("S10", "S13", "S14", "S15"), ALWAYS

    def check(self, case: Case) -> Placed:
        """Every proof of inclusion holds under own headers; coinbases are mature."""
        spent, psbt = case.got(Spent), case.got(Parsed).psbt
        heights = []
        for txin in psbt.tx.inputs:
            txid = txin.outpoint.txid
            height = spent.history.height(txid)
            age = 0 if height is None else case.anchors.next_height - height
            if is_coinbase(spent.history.tx(txid)) and age < COINBASE_MATURITY:
                raise Refused(
                    self.name,
                    f"coinbase {txid} is not mature",
                    got=f"{age} blocks",
                    expected=f"{COINBASE_MATURITY} blocks",
                )
            heights.append(height)
        return Placed(tuple(heights))


class ParentRule:
    """Step 4: parents that are not confirmed yet."""

    name, step, threats, stages = "ParentUnsafe", 4, ("S21", "S23", "G11"), ALWAYS

    def check(self, case: Case) -> ParentsSafe:
        """Unconfirmed parents were signed by the ruling quorum, and hang on nothing else."""
        spent = case.got(Spent)
        return ParentsSafe(spent.history.check_unconfirmed(spent.parents))


class ViewRule:
    """Step 5: the own view of roster and chain."""

    name, step, threats, stages = "ViewStale", 5, ("S11", "R8"), FIRST

    def check(self, case: Case) -> Viewed:
        """A roster of the record rules now, a quorum of it lives, and none is far ahead."""
        anchors = case.anchors
        reign, policy = anchors.ruling(), anchors.configuration
        if reign is None:
            raise Refused(
                self.name,
                "no roster of the own record rules at the next height",
                got=f"next height {anchors.next_height}",
                expected="a height within a reign",
            )
        self._check_told(anchors)
        self._check_alive(anchors, reign.roster)
        # Up to n - q operators may lie; so the one after them, from the top, is no exaggeration.
        spare = len(reign.roster.keys) - reign.roster.quorum
        reported = sorted(
            (best.height for key, best in anchors.heard.items() if key in reign.roster.keys),
            reverse=True,
        )
        known = reported[spare] if len(reported) > spare else 0
        if known > anchors.tip.height + policy.network.staleness:
            raise Refused(
                self.name,
                "other operators report a longer chain",
                got=f"tip {anchors.tip.height}",
                expected=f"{known}, less at most {policy.network.staleness}",
            )
        return Viewed(reign)

    def _check_told(self, anchors: Anchors) -> None:
        """The members agreed on no roster that the chain does not have (threat R12)."""
        told, record = anchors.told, anchors.record.rosters
        if told is not None and (told.epoch >= len(record) or record[told.epoch] != told):
            raise Refused(
                self.name,
                "the members agreed on a roster that is not the one on chain",
                got=f"epoch {told.epoch}",
                expected=f"a roster of the record, which has {len(record)}",
                hint="the chain decides: this enclave signs again when both say the same",
            )

    def _check_alive(self, anchors: Anchors, ruling: Roster) -> None:
        """A quorum of those who rule lived just now: others' hearts do not count (threat R8)."""
        if anchors.alive is None:
            return
        alive = len(set(anchors.alive) & set(ruling.keys))
        if alive < ruling.quorum:
            raise Refused(
                self.name,
                "this enclave is cut off: too few members lived just now, as far as it knows",
                got=str(alive),
                expected=f"at least {ruling.quorum}",
                hint="it signs again once their heartbeats come in",
            )


class SpellRule:
    """Step 6: one spell."""

    name, step, threats, stages = "SpellInvalid", 6, ("C11",), ALWAYS

    def check(self, case: Case) -> Spelled:
        """The one spell of the transaction, in its canonical form."""
        try:
            found = spells.parse(case.got(Shaped).tx)
        except SpellIncorrect as exc:
            raise refused(exc) from exc
        if found is None:
            raise Refused(self.name, "the transaction holds no spell", expected="one spell")
        return Spelled(found)


class HistoryRule:
    """Step 7: where the charms of inputs come from."""

    name, step, threats, stages = "HistoryMissing", 7, ("G13", "G14"), ALWAYS

    def check(self, case: Case) -> Charmed:
        """The charms of every input, from own checks or a quorum's anchors."""
        spent, tx = case.got(Spent), case.got(Shaped).tx
        spent.history.resolve(spent.parents)
        return Charmed(
            tuple(
                Prevout(out.sats, out.script, spent.history.charms(txin.outpoint))
                for txin, out in zip(tx.inputs, spent.prevouts, strict=True)
            )
        )
