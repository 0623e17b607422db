"""Steps 13 to 18, and the depth of deposits: what is asked of a correct spell before signing."""

from __future__ import annotations

from grail.charms import rules as spell_rules
from grail.charms.case import SUCCESSOR
from grail.charms.classify import ROW
from grail.charms.descriptor import Name
from grail.charms.record import SUCCESSOR_DELAY, read_state
from grail.charms.rules import CheckedTx
from grail.errors import InvalidInput, Refused, SpellIncorrect
from grail.operators.certificates import Decision, check_decision
from grail_enclave.case import Case
from grail_enclave.established import (
    Announced,
    Deep,
    Fee,
    Free,
    Payable,
    Placed,
    Spelled,
    Timely,
    Unhurried,
)
from grail_enclave.rule import ALWAYS, FIRST, Stage, refused
from grail_enclave.sizes import MAX_STANDARD_WEIGHT, check_payable, signed_weight

LOCKTIME_THRESHOLD = 500_000_000
"""Below it nLockTime is a height (consensus)."""
HEIGHT_WINDOW = 3
"""How far below the tip nLockTime may lie when an action uses it (step 15)."""


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
        """The next block may hold the transaction; a height shown to an action is fresh.

        What goes over to a successor says by nLockTime that no block below the named height may
        hold it: after a reorganisation one could, and there the signed spell would be incorrect.
        """
        checked, tip = case.got(CheckedTx), case.anchors.tip.height
        locktime = checked.tx.locktime
        shown = any(
            fact.number == Name.HEIGHT
            for contract in checked.contracts
            if contract.action is not None
            for fact in contract.action.facts
        )
        least = tip - HEIGHT_WINDOW if shown else 0
        ruling = case.anchors.ruling()
        if ruling is not None and any(each.standing == SUCCESSOR for each in checked.contracts):
            least = max(least, ruling.successor_from - 1)
        if locktime >= LOCKTIME_THRESHOLD or not least <= locktime <= tip:
            raise Refused(
                self.name, "nLockTime", got=str(locktime), expected=f"{max(least, 0)} to {tip}"
            )
        return Timely()


class NamingRule:
    """Step 15, for the spell that names a successor: everybody has the whole delay to leave."""

    name, step, threats, stages = "RosterInvalid", 15, ("Z26", "R13"), FIRST

    def check(self, case: Case) -> Announced:
        """The height that the new state names is the whole delay above the next block's."""
        checked, known = case.got(CheckedTx), case.anchors.record.reigns
        least = case.anchors.next_height + SUCCESSOR_DELAY
        if checked.record.rosters != case.anchors.record.rosters or checked.record.reigns == known:
            return Announced()
        for charms in checked.charms:
            if checked.record.zkbtc.nft in charms:
                _, _, stated = read_state(charms[checked.record.zkbtc.nft])
                if stated < least:
                    raise Refused(
                        self.name,
                        "the height from which the successor counts",
                        got=str(stated),
                        expected=f"{least} or above",
                    )
        return Announced()


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
