"""What a request must pass before this operator votes for it or signs it, in order; no I/O.

The rules are section 9 of the protocol; the first that fails answers. Each takes a `Case` (request,
the enclave's own anchors, the voting state handed in, what earlier rules established) and returns
the thing it has checked, or raises `Refused`. A later step asks for that thing by its type, so a
check that was left out, or that raised, cannot be counted as passed (threat S35).

     1 PsbtInvalid      size caps, canonical PSBT           8-12 SpellIncorrect   grail.charms.rules
     2 TxShape          version, sequences, witnesses          4 DepositDepth     k blocks, for rows
     3 PrevoutMismatch  full previous transactions            13 OutputForbidden  script types, dust
     4 NotConfirmed     Merkle proofs under own headers       14 FeeOutOfRange    on the true weight
     4 ParentUnsafe     unconfirmed parents                   15 HeightStale      nLockTime
     5 ViewStale        own view is fresh                     16 RecoveryNear     escrow's margin
     6 SpellInvalid     one spell, canonical                  17 OutpointTaken    the voting state
     7 HistoryMissing   charms of every input                 18 NotDecided       votes, own headers
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from grail.bitcoin.psbt import Psbt
from grail.bitcoin.spv import COINBASE_MATURITY, is_coinbase
from grail.bitcoin.tx import SEQUENCE, TxIn
from grail.charms import case as spell_case
from grail.charms import rules as spell_rules
from grail.charms import spell as spells
from grail.charms.classify import PORT, ROW
from grail.charms.descriptor import Name
from grail.charms.rule import refuse, rule
from grail.charms.rules import CheckedTx, Prevout
from grail.errors import DecodeError, GrailError, InvalidInput, Refused, SpellIncorrect
from grail.operators.certificates import Decision, check_decision
from grail.operators.configuration import BEFORE_IT, UNKNOWN_GUARD
from grail.operators.evidence import TxEvidence
from grail.types import Txid, TxOut
from grail_enclave.caches import RequestBundles
from grail_enclave.case import Case
from grail_enclave.established import (
    Charmed,
    Deep,
    Fee,
    Free,
    ParentsSafe,
    Parsed,
    Payable,
    Placed,
    Shaped,
    Spelled,
    Spent,
    Timely,
    Unhurried,
    Viewed,
)
from grail_enclave.history import History
from grail_enclave.sizes import MAX_STANDARD_WEIGHT, check_payable, signed_weight

LOCKTIME_THRESHOLD = 500_000_000
"""Below it nLockTime is a height (consensus)."""
HEIGHT_WINDOW = 3
"""How far below the tip nLockTime may lie when an action uses it (step 15)."""
MAX_INPUTS = 128
"""Inputs of one transaction: 20 of the vault, rows and ports of a few contracts, payers."""
ANNEX = 0x50


class Stage(Enum):
    """What is asked for. A forced vote repeats no check that depends on time (ROUNDS rule 3)."""

    ADMIT = "admit"
    """A first vote, an opening or a promise: everything."""
    FORCED = "forced"
    """A vote that promises allow."""
    SIGN = "sign"
    """Signatures after a decision."""


ALWAYS = frozenset(Stage)
FIRST = frozenset({Stage.ADMIT})


class Rule(Protocol):
    """One rule: the refusal's name, its step, the threats it answers, when it runs, the check."""

    @property
    def name(self) -> str:
        """The refusal's name in the protocol; it stands in the configuration digest."""

    @property
    def step(self) -> int:
        """The step of section 9."""

    @property
    def threats(self) -> tuple[str, ...]:
        """Ids of the threats that it answers."""

    @property
    def stages(self) -> frozenset[Stage]:
        """When it runs."""

    def check(self, case: Case) -> object:
        """What the rule establishes. Raises `Refused`."""


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
        """Version, sequences, distinct inputs; users' witnesses of known form, signed for all."""
        psbt = case.got(Parsed).psbt
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
        """A roster of the record rules now, and no honest operator is far ahead of own headers."""
        anchors = case.anchors
        reign, policy = anchors.ruling(), anchors.configuration
        if reign is None:
            raise Refused(
                self.name,
                "no roster of the own record rules at the next height",
                got=f"next height {anchors.next_height}",
                expected="a height within a reign",
            )
        # Up to n - q operators may lie; so the one after them, from the top, is no exaggeration.
        spare = len(reign.roster.keys) - reign.roster.quorum
        reported = sorted((best.height for best in anchors.heard.values()), reverse=True)
        known = reported[spare] if len(reported) > spare else 0
        if known > anchors.tip.height + policy.network.staleness:
            raise Refused(
                self.name,
                "other operators report a longer chain",
                got=f"tip {anchors.tip.height}",
                expected=f"{known}, less at most {policy.network.staleness}",
            )
        return Viewed(reign)


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
        return Charmed(
            tuple(
                Prevout(out.sats, out.script, spent.history.charms(txin.outpoint))
                for txin, out in zip(tx.inputs, spent.prevouts, strict=True)
            )
        )


@rule(UNKNOWN_GUARD, "S9", "G1", "G2")
def unknown_guard(case: spell_case.Case) -> None:
    """Step 9, for signing alone: who else spends here has signed; the rest is the quorum's."""
    signed = {place.index for classes in case.classes.values() for place in classes.signed}
    for index, txin in enumerate(case.tx.inputs):
        if index not in signed and not txin.witness:
            refuse(
                UNKNOWN_GUARD,
                f"input {index} has no witness and is at no address of the quorum",
                got=case.prevouts[index].script.hex(),
                expected="a port, a plain guarded output or an escrow row",
            )


SPELL_RULES = tuple(
    each
    for known in spell_rules.RULES
    for each in ((unknown_guard, known) if known.name == BEFORE_IT else (known,))
)


@dataclass(frozen=True)
class SpellCorrectRule:
    """Steps 8 to 12: the rules of a correct spell, those of ancestors and `unknown_guard`."""

    rules: Sequence[spell_rules.Rule] = SPELL_RULES
    name: str = "SpellIncorrect"
    step: int = 8
    threats: tuple[str, ...] = ("S5", "S8", "S22", "S27", "G1", "G2", "G3", "G4", "G7")
    stages: frozenset[Stage] = ALWAYS

    def check(self, case: Case) -> CheckedTx:
        """The transaction with its facts, its charms, and which inputs the quorum signs."""
        try:
            checked = spell_rules.correct(
                case.got(Shaped).tx,
                case.got(Charmed).prevouts,
                case.got(Spent).bundles,
                case.anchors.record,
                case.anchors.next_height,
                case.anchors.configuration.network,
                rules=self.rules,
            )
        except SpellIncorrect as exc:
            raise refused(exc) from exc
        if not checked.quorum_inputs:
            raise Refused("UnknownGuard", "no input is the quorum's to sign", got="0 inputs")
        self._check_setups(case, checked)
        for spend in checked.quorum_inputs:
            # A proof shows that the next state is well formed, not that its keys are anybody's:
            # until operators can agree on a roster among themselves, none of them signs a new one.
            if spend.contract == checked.record.zkbtc and spend.kind == PORT:
                raise Refused(
                    "RosterInvalid",
                    f"input {spend.index} is the Grail NFT, and no roster was agreed on",
                    got="a spend of the roster's port",
                    expected="none",
                )
            if checked.tx.inputs[spend.index].witness:
                raise Refused(
                    "TxShape",
                    f"input {spend.index} is the quorum's to sign",
                    got="a final witness",
                    expected="none",
                )
        return checked

    def _check_setups(self, case: Case, checked: CheckedTx) -> None:
        """The configuration may refuse keys of a single party on any chain."""
        if case.anchors.configuration.single_party:
            return
        for contract in checked.contracts:
            bundle = case.got(Spent).bundles.get(contract.contract.vk)
            if bundle is not None and bundle.setup.single_party:
                raise Refused(
                    "SingleParty",
                    f"the keys of {contract.contract}",
                    got="one party",
                    expected="several",
                )


class DepositRule:
    """Step 4 again, once classification has found the rows."""

    name, step, threats, stages = "DepositDepth", 4, ("S12", "S21"), ALWAYS

    def check(self, case: Case) -> Deep:
        """Rows of sats have k confirmations, rows with tokens one."""
        heights, checked = case.got(Placed).heights, case.got(CheckedTx)
        found = []
        for spend in checked.quorum_inputs:
            if spend.kind != ROW:
                continue
            height = heights[spend.index]
            depth = 0 if height is None else case.anchors.next_height - height
            least = (
                1 if checked.prevouts[spend.index].charms else case.anchors.configuration.network.k
            )
            if height is None or depth < least:
                raise Refused(
                    "NotConfirmed",
                    f"input {spend.index} is an escrow that is not deep enough",
                    got=f"{depth} confirmations",
                    expected=f"{least}",
                )
            found.append((spend.index, height))
        return Deep(tuple(found))


class OutputRule:
    """Step 13: where sats may go."""

    name, step, threats, stages = "OutputForbidden", 13, ("S24", "S25", "S26", "S27"), ALWAYS

    def check(self, case: Case) -> Payable:
        """Past the spell's outputs its OP_RETURN and one change; all relayed and spendable."""
        checked = case.got(CheckedTx)
        try:
            spell_rules.outputs_allowed(checked)
        except SpellIncorrect as exc:
            raise refused(exc) from exc
        for index, output in enumerate(checked.tx.outputs):
            if output.script[:1] == b"\x6a" and index >= checked.n_outs:
                continue
            try:
                check_payable(output)
            except InvalidInput as exc:
                raise Refused(self.name, f"output {index}", got=str(exc)) from exc
        return Payable()


class FeeRule:
    """Step 14: what the transaction pays."""

    name, step, threats, stages = "FeeOutOfRange", 14, ("S22", "S26"), ALWAYS

    def check(self, case: Case) -> Fee:
        """Fee rate within policy over the size that the signed transaction will have, and a cap."""
        checked, policy = case.got(CheckedTx), case.anchors.configuration
        weight = signed_weight(checked.tx, checked.quorum_inputs, case.anchors.record)
        if weight > MAX_STANDARD_WEIGHT:
            raise self._refused(f"weight {weight}", f"at most {MAX_STANDARD_WEIGHT}")
        vsize = (weight + 3) // 4
        fee = sum(prevout.sats for prevout in checked.prevouts) - sum(
            output.sats for output in checked.tx.outputs
        )
        if not policy.min_fee_rate * vsize <= fee <= policy.max_fee_rate * vsize:
            raise self._refused(
                f"{fee} sats for {vsize} vB",
                f"{policy.min_fee_rate * vsize} to {policy.max_fee_rate * vsize} sats",
            )
        if fee > policy.max_fee:
            raise self._refused(f"{fee} sats", f"at most {policy.max_fee} sats")
        return Fee(fee, weight)

    def _refused(self, got: str, expected: str) -> Refused:
        return Refused(self.name, "the fee is outside policy", got=got, expected=expected)


class HeightRule:
    """Step 15: when it can be mined."""

    name, step, threats, stages = "HeightStale", 15, ("S26", "G12"), FIRST

    def check(self, case: Case) -> Timely:
        """The next block may hold the transaction; a height shown to an action is fresh."""
        checked, tip = case.got(CheckedTx), case.anchors.tip.height
        locktime = checked.tx.locktime
        shown = any(
            fact.number == Name.HEIGHT
            for contract in checked.contracts
            if contract.action is not None
            for fact in contract.action.facts
        )
        least = tip - HEIGHT_WINDOW if shown else 0
        if locktime >= LOCKTIME_THRESHOLD or not least <= locktime <= tip:
            raise Refused(
                self.name, "nLockTime", got=str(locktime), expected=f"{max(least, 0)} to {tip}"
            )
        return Timely()


class RecoveryRule:
    """Step 16: the margin before an escrow's owner may recover."""

    name, step, threats, stages = "RecoveryNear", 16, ("S19", "S20"), FIRST

    def check(self, case: Case) -> Unhurried:
        """No escrow is served whose owner may take it back within the margin."""
        spell, margin = case.got(Spelled).spell, case.anchors.configuration.recovery_margin
        heights = dict(case.got(Deep).rows)
        rows = {row.input: row for inputs in spell.x.values() for row in inputs.rows}
        for index, height in heights.items():
            end = height + rows[index].n
            if case.anchors.tip.height + margin >= end:
                raise Refused(
                    self.name,
                    f"input {index} may be recovered by its owner soon",
                    got=f"tip {case.anchors.tip.height}",
                    expected=f"below {end - margin}",
                )
        return Unhurried()


class RivalRule:
    """Step 17: the voting state."""

    name, step, threats, stages = (
        "OutpointTaken",
        17,
        ("S16", "S18"),
        frozenset({Stage.ADMIT, Stage.FORCED}),
    )

    def check(self, case: Case) -> Free:
        """Nothing stands in the way by the voting state, which the acceptor reported."""
        standing = case.standing
        if standing is not None:
            raise Refused(
                standing.rule,
                "another transaction or ballot stands in the way",
                got=str(standing.txid) if standing.txid else f"round {standing.promised}",
            )
        return Free()


class DecidedRule:
    """Step 18: a decision of the quorum."""

    name, step, threats, stages = "NotDecided", 18, ("S11", "S16"), frozenset({Stage.SIGN})

    def check(self, case: Case) -> Decision:
        """A quorum decided for this very family, and own headers are not behind theirs."""
        if case.scope is None or case.proposal is None:
            raise Refused(self.name, "no roster is on record", expected="a roster")
        decision = check_decision(case.scope, case.votes, case.proposal)
        headers, lag = case.anchors.headers, case.anchors.configuration.header_lag
        reported = sorted((vote.head.best for vote in decision.votes), key=lambda best: best.work)
        # As in ViewStale: as many as may lie are passed over from the top.
        honest = reported[-1 - min(case.scope.n - case.scope.quorum, len(reported) - 1)]
        if honest.work > headers.tip.work + lag * headers.block_work:
            raise Refused(
                "ViewBehind",
                "the voters know a chain with more work",
                got=f"height {headers.tip.height}",
                expected=f"height {honest.height}, within {lag} blocks of work",
            )
        return decision


def refused(exc: SpellIncorrect) -> Refused:
    """The refusal that a broken rule of the spell becomes."""
    return Refused(exc.rule, exc.detail, got=exc.got, expected=exc.expected)


RULES: tuple[Rule, ...] = (
    PsbtRule(),
    ShapeRule(),
    PrevoutRule(),
    ConfirmedRule(),
    ParentRule(),
    ViewRule(),
    SpellRule(),
    HistoryRule(),
    SpellCorrectRule(),
    DepositRule(),
    OutputRule(),
    FeeRule(),
    HeightRule(),
    RecoveryRule(),
    RivalRule(),
    DecidedRule(),
)
"""The shipped rules in the order of section 9."""


def rule_names(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The names of all rules in order, those of a correct spell in their place."""
    names: list[str] = []
    for each in rules:
        inner = each.rules if isinstance(each, SpellCorrectRule) else (each,)
        names += [one.name for one in inner]
    return tuple(names)


VOTING_STEP = 17
"""From here on rules look at the voting state."""
VIEW_STEP = 5
"""This one looks at what others reported. All else is the same for one tip and record."""

Trace = Callable[[bytes, str, str, int], None]
"""Called as trace(request digest, rule, verdict, nanoseconds): no secrets, off by default."""


def admit(
    case: Case, stage: Stage, rules: Sequence[Rule] = RULES, trace: Trace | None = None
) -> CheckedTx:
    """Steps 1 to 16 as the stage asks for them. Raises `Refused` with the first that fails."""
    _run(case, stage, [each for each in rules if each.step < VOTING_STEP], trace)
    return case.got(CheckedTx)


def conclude(
    case: Case, stage: Stage, rules: Sequence[Rule] = RULES, trace: Trace | None = None
) -> None:
    """Steps 17 and 18, with the voting state in the case. Raises `Refused`."""
    _run(case, stage, [each for each in rules if each.step >= VOTING_STEP], trace)


def _run(case: Case, stage: Stage, rules: Sequence[Rule], trace: Trace | None) -> None:
    for each in rules:
        if stage not in each.stages or case.has(each.name):
            continue
        begun = time.perf_counter_ns()
        verdict = "passed"
        try:
            case.establish(each.check(case))
            if each.step < VOTING_STEP and each.step != VIEW_STEP:
                case.passed(each.name)
        except GrailError as exc:
            verdict = exc.rule if isinstance(exc, Refused) else type(exc).__name__
            raise
        finally:
            if trace is not None:
                trace(case.request.digest, each.name, verdict, time.perf_counter_ns() - begun)
