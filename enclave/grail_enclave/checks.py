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

Steps 1 to 7 stand in `intake`, 4 (again) and 13 to 18 in `policy`, 8 to 12 here and in the rules of
a correct spell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grail.charms import case as spell_case
from grail.charms import rules as spell_rules
from grail.charms.classify import PORT
from grail.charms.consent import signer_consent
from grail.charms.record import NO_SUCCESSOR, Reign
from grail.charms.rule import refuse, rule
from grail.charms.rules import CheckedTx, QuorumInput
from grail.errors import GrailError, Refused, SpellIncorrect
from grail.operators.configuration import BEFORE_IT, UNKNOWN_GUARD
from grail_enclave.case import Case
from grail_enclave.established import Charmed, Shaped, Spelled, Spent
from grail_enclave.intake import (
    ConfirmedRule,
    HistoryRule,
    ParentRule,
    PrevoutRule,
    PsbtRule,
    ShapeRule,
    SpellRule,
    ViewRule,
)
from grail_enclave.policy import (
    DecidedRule,
    DepositRule,
    FeeRule,
    HeightRule,
    NamingRule,
    OutputRule,
    RecoveryRule,
    RivalRule,
)
from grail_enclave.quorums import deciding_epoch
from grail_enclave.rule import ALWAYS, Rule, Stage, refused

__all__ = [
    "RULES",
    "SPELL_RULES",
    "VOTING_STEP",
    "Rule",
    "SpellCorrectRule",
    "Stage",
    "Trace",
    "admit",
    "conclude",
    "rule_names",
]


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


def _at_signing(known: spell_rules.Rule) -> tuple[spell_rules.Rule, ...]:
    """The rule as signing asks it: a signer's witness is looked at, not only his script."""
    if known.name == BEFORE_IT:
        return (unknown_guard, known)
    return (signer_consent,) if known.name == signer_consent.name else (known,)


IN_TIME = frozenset({"RetiredRoster", "MoveNotEqual"})
"""Rules of a spell that hold later than they hold for what is new: rule E5's grace."""

SPELL_RULES = tuple(each for known in spell_rules.RULES for each in _at_signing(known))


@dataclass(frozen=True)
class SpellCorrectRule:
    """Steps 8 to 12: the rules of a correct spell, and what signing alone asks of witnesses."""

    rules: Sequence[spell_rules.Rule] = SPELL_RULES
    name: str = "SpellIncorrect"
    step: int = 8
    threats: tuple[str, ...] = ("S5", "S8", "S22", "S27", "G1", "G2", "G3", "G4", "G7")
    stages: frozenset[Stage] = ALWAYS

    def check(self, case: Case) -> CheckedTx:
        """The transaction with its facts, its charms, and which inputs the quorum signs."""
        case.late = False
        try:
            checked = self._correct(case)
        except SpellIncorrect as exc:
            if exc.rule not in IN_TIME or not case.forced:
                raise refused(exc) from exc
            checked = self._late(case)
        if not checked.quorum_inputs:
            raise Refused("UnknownGuard", "no input is the quorum's to sign", got="0 inputs")
        self._check_setups(case, checked)
        for spend in checked.quorum_inputs:
            if spend.contract == checked.record.zkbtc and spend.kind == PORT:
                self._check_nft(case, checked, spend)
        deciding_epoch(checked)
        return checked

    def _correct(self, case: Case, *, confirmed: bool = False) -> CheckedTx:
        return spell_rules.correct(
            case.got(Shaped).tx,
            case.got(Charmed).prevouts,
            case.got(Spent).bundles,
            case.anchors.record,
            case.anchors.next_height,
            case.anchors.configuration.network,
            confirmed=confirmed,
            rules=self.rules,
            spell=case.got(Spelled).spell,
        )

    def _late(self, case: Case) -> CheckedTx:
        """What was admitted while a roster ruled may still be finished within its grace.

        Else a roster change would leave outpoints decided for what nobody can sign any more.
        """
        try:
            checked = self._correct(case, confirmed=True)
        except SpellIncorrect as exc:
            raise refused(exc) from exc
        case.late = True
        return checked

    def _check_nft(self, case: Case, checked: CheckedTx, spend: QuorumInput) -> None:
        """The spends of the Grail NFT that these operators agreed on: a roster, or a successor.

        A proof shows that the next state is well formed, not that its keys are anybody's. On a
        roster operators agree one by one, each for his own enclave; a quorum of them makes it. A
        successor they agree on by running one configuration.
        """
        agreed, known = case.anchors.configuration.successor, case.anchors.record
        reigns = checked.record.reigns
        if len(reigns) > len(known.reigns):
            self._check_roster(case, reigns[-1])
            return
        named = reigns[-1].successor if len(reigns) == len(known.reigns) else NO_SUCCESSOR
        if agreed == NO_SUCCESSOR or named != agreed or known.reigns[-1].successor == agreed:
            raise Refused(
                "RosterInvalid",
                f"input {spend.index} is the Grail NFT, and this was not agreed on",
                got=f"successor {named.hex()}",
                expected="no spend" if agreed == NO_SUCCESSOR else f"successor {agreed.hex()}",
            )

    def _check_roster(self, case: Case, following: Reign) -> None:
        """A new roster is the very one that the own operator wants, and names no successor yet."""
        wanted = case.anchors.agreed
        if following.roster != wanted:
            raise Refused(
                "RosterInvalid",
                f"epoch {following.epoch}: its roster was not agreed on",
                got=f"{following.roster.quorum} of {len(following.roster.keys)} keys",
                expected="no roster" if wanted is None else f"the one agreed for {wanted.epoch}",
            )
        if following.successor != NO_SUCCESSOR:
            raise Refused(
                "RosterInvalid",
                f"epoch {following.epoch}: a successor is named with the roster",
                got=f"successor {following.successor.hex()}",
                expected="a spell of its own for the successor",
            )

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
    NamingRule(),
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
    case.forced = stage is not Stage.ADMIT
    for each in rules:
        if stage not in each.stages or case.has(each.name):
            continue
        begun = time.perf_counter_ns()
        verdict = "passed"
        try:
            case.establish(each.check(case))
            if each.step < VOTING_STEP and each.step != VIEW_STEP and not case.late:
                case.passed(each.name)
        except GrailError as exc:
            verdict = exc.rule if isinstance(exc, Refused) else type(exc).__name__
            raise
        finally:
            if trace is not None:
                trace(case.request.digest, each.name, verdict, time.perf_counter_ns() - begun)
