"""Rules E4 and E5 of section 7: backed tokens against their sats, and whose epoch counts.

The turnstile needs no circuit: supply and vault change by the same plain integer in every correct
spell, so a broken proof system can still not mint (threat Z26).
"""

from __future__ import annotations

from collections.abc import Iterator

from grail.charms.app import units
from grail.charms.case import MOVE, Case
from grail.charms.classify import Classes
from grail.charms.descriptor import IN, OUT
from grail.charms.record import ROSTER_KIND
from grail.charms.rule import refuse, rule

CARRIER = 1_000
"""Most sats in the payout of a row without units: the output that carries what was minted."""

VAULT_OUTPUT = 100_000
"""Fewest sats in a vault output, unless the vault as a whole holds less."""

MAX_VAULT_OUTPUTS = 2
MAX_VAULT_INPUTS = 20


@rule("TurnstileBroken", "Z26", "C1", "S22")
def turnstile_broken(case: Case) -> None:
    """E4: S_out - S_in = V_out - V_in, over all inputs and outputs, in unbounded integers."""
    for classes in _backed(case):
        if case.standing(classes.contract) == MOVE:
            continue  # rule E6 holds each sat and unit in its place, by its own name
        minted = case.minted(classes.contract)
        gained = classes.plain_sats(OUT) - classes.plain_sats(IN)
        if minted != gained:
            refuse(
                "TurnstileBroken",
                f"{classes.contract}: supply and vault change differently",
                got=f"supply {minted:+}",
                expected=f"vault {gained:+}",
            )


@rule("MintUnseen", "C1", "Z26")
def mint_unseen(case: Case) -> None:
    """E4: supply changes only where the quorum signs an input of the contract."""
    for classes in _backed(case):
        if case.minted(classes.contract) and not classes.signed:
            refuse(
                "MintUnseen",
                f"{classes.contract}: supply changes",
                got="no guarded or escrow input of the contract",
                expected="at least one",
            )


@rule("RowShort", "G3", "S22")
def row_short(case: Case) -> None:
    """E4: each row of a backed contract gets what it put in, less at most its first term."""
    for classes in _backed(case):
        token = classes.contract.token
        for placed in classes.rows:
            if placed.escrow is None or placed.row.output >= len(case.outputs):
                continue
            before, after = placed.escrow.holds, case.outputs[placed.row.output]
            units_in, units_paid = units(before.charms, token), units(after.charms, token)
            fee, name = placed.row.terms[0], f"row of input {placed.row.input}"
            paid, least = after.sats + units_paid, before.sats + units_in - fee
            if paid < least:
                refuse("RowShort", name, got=paid, expected=f">= {least}")
            if units_in == 0 and after.sats > CARRIER:
                refuse("RowShort", f"{name}: carrier", got=after.sats, expected=f"<= {CARRIER}")
            if units_in > 0 and units_paid > 0:
                refuse("RowShort", f"{name}: units paid", got=units_paid, expected=0)


@rule("VaultShape", "S22", "S24")
def vault_shape(case: Case) -> None:
    """E4 and section 12: few and large vault outputs; the roster port's sats do not fall."""
    for classes in _backed(case):
        # A move gives back what it took, one output for one input.
        if case.standing(classes.contract) != MOVE:
            _caps(classes)
        if classes.contract == case.zkbtc:
            before, after = _roster_sats(classes, IN), _roster_sats(classes, OUT)
            if after < before:
                refuse(
                    "VaultShape", "sats of the roster's port", got=after, expected=f">= {before}"
                )


@rule("RetiredRoster", "S27", "R13", "R14")
def retired_roster(case: Case) -> None:
    """E5: outputs and supply changes count only in their epoch's time, the roster port's apart."""
    for classes in case.classes.values():
        contract = classes.contract
        moved = case.standing(contract) == MOVE  # rule E6 asks for more, by its own name
        for place in () if moved else classes.outputs:
            if contract == case.zkbtc and place.kind == ROSTER_KIND:
                continue
            _counts(case, place.epoch, f"output {place.index}", grace=case.confirmed)
        if case.minted(contract) and not moved:
            for place in classes.signed:
                # The old quorum serves deposits to its addresses until its grace ends.
                what = f"supply change with input {place.index}"
                _counts(case, place.epoch, what, grace=True)


def _backed(case: Case) -> Iterator[Classes]:
    for classes in case.classes.values():
        bundle = case.bundle(classes.contract)
        if bundle is not None and bundle.backed is not None:
            yield classes


def _caps(classes: Classes) -> None:
    outputs, inputs = classes.plain(OUT), classes.plain(IN)
    if len(outputs) > MAX_VAULT_OUTPUTS:
        got = len(outputs)
        refuse("VaultShape", "vault outputs", got=got, expected=f"<= {MAX_VAULT_OUTPUTS}")
    if len(inputs) > MAX_VAULT_INPUTS:
        got = len(inputs)
        refuse("VaultShape", "vault inputs", got=got, expected=f"<= {MAX_VAULT_INPUTS}")
    least = min(VAULT_OUTPUT, classes.plain_sats(OUT))
    for place in outputs:
        if place.holds.sats < least:
            got = place.holds.sats
            refuse("VaultShape", f"vault output {place.index}", got=got, expected=f">= {least}")


def _roster_sats(classes: Classes, side: int) -> int:
    return sum(place.holds.sats for place in classes.ports(side).get(ROSTER_KIND, ()))


def _counts(case: Case, epoch: int, what: str, *, grace: bool) -> None:
    reign = case.record.reign(epoch)
    if reign is None or not reign.counts(case.height, grace=grace):
        refuse(
            "RetiredRoster",
            f"{what} is under epoch {epoch}",
            got=f"height {case.height}",
            expected="no such reign" if reign is None else reign.span(grace=grace),
        )
