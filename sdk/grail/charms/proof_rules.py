"""Steps 11 and 12 of section 9: the facts of each action, and its proof over digest and facts."""

from __future__ import annotations

from grail.charms.case import Case
from grail.charms.descriptor import Name
from grail.charms.rule import refuse, rule
from grail.errors import GrailError

SEQUENCE = 0xFFFFFFFD
"""The one sequence of every input: it lets nLockTime count and the transaction be replaced."""

LOCKTIME_THRESHOLD = 500_000_000
"""From here on nLockTime is a time, below it a height."""


@rule("HeightStale", "G12", "S26")
def height_stale(case: Case) -> None:
    """Section 6: an action that sees the height has one that the chain holds the transaction to."""
    if not any(fact.number == Name.HEIGHT for _, action in case.actions for fact in action.facts):
        return
    if not 0 < case.tx.locktime < LOCKTIME_THRESHOLD:
        expected = f"1 to {LOCKTIME_THRESHOLD - 1}"
        refuse("HeightStale", "nLockTime", got=case.tx.locktime, expected=expected)
    for index, entry in enumerate(case.tx.inputs):
        if entry.sequence != SEQUENCE:
            got = f"{entry.sequence:08x}"
            refuse("HeightStale", f"sequence of input {index}", got=got, expected="fffffffd")


@rule("ProofInvalid", "Z6", "Z13", "Z5", "Z10", "C21", "S5", "C14")
def proof_invalid(case: Case) -> None:
    """Every contract's proof verifies under its action's key for digest and facts."""
    for contract, statement in case.statements.items():
        proof = case.proofs[contract].proof
        try:
            case.verify(statement.action.vk, statement.public_inputs, proof)
        except GrailError as exc:
            refuse(
                "ProofInvalid",
                f"{statement.action.name} of {contract}: {exc}",
                got="a proof of something else",
                expected=f"digest {statement.digest.hex()}",
            )
