"""Rules E6 and E7 of section 7: what follows a roster or a successor without a proof."""

from __future__ import annotations

from grail.charms.app import canonical
from grail.charms.case import MOVE, SUCCESSOR, Case
from grail.charms.classify import Classes, Place
from grail.charms.descriptor import IN, OUT
from grail.charms.rule import refuse, rule


@rule("MoveNotEqual", "G8", "R14")
def move_not_equal(case: Case) -> None:
    """E6: guarded outputs of older epochs go to the ruling roster one by one, unchanged."""
    for contract, classes in case.classes.items():
        if case.standing(contract) != MOVE:
            continue
        if case.changed[contract]:
            _unequal("the contract's apps", sorted(case.changed[contract]), "kept")
        if len(classes.inputs) != len(classes.outputs):
            _unequal("guarded outputs", len(classes.outputs), len(classes.inputs))
        for before, after in zip(classes.inputs, classes.outputs, strict=True):
            _same(before, after)
            _newer(case, before, after)


@rule("SuccessorUnequal", "Z26", "C1")
def successor_unequal(case: Case) -> None:
    """E7: units and sats leave the old contract by m, and m sats reach the successor's vault."""
    for contract, classes in case.classes.items():
        if case.standing(contract) != SUCCESSOR:
            continue
        successor = case.successor(contract)
        if successor is None:
            continue
        burned = -case.minted(contract)
        released = classes.plain_sats(IN) - classes.plain_sats(OUT)
        new: Classes = case.classes[successor]
        gained = new.plain_sats(OUT) - new.plain_sats(IN)
        extra = case.changed[contract] - {"t"}
        if burned <= 0 or not burned == released == gained or extra:
            refuse(
                "SuccessorUnequal",
                f"{contract} to {successor}",
                got=f"units -{burned}, vault -{released}, successor's vault +{gained}",
                expected="three equal amounts above zero, nothing else changed",
            )


def _same(before: Place, after: Place) -> None:
    name = f"output {after.index} for input {before.index}"
    if before.holds.sats != after.holds.sats:
        _unequal(f"{name}: sats", after.holds.sats, before.holds.sats)
    had, has = (
        {app: canonical(data) for app, data in place.holds.charms.items()}
        for place in (before, after)
    )
    if had != has:
        _unequal(f"{name}: charms", f"{len(has)} apps", f"the same {len(had)} with equal data")


def _newer(case: Case, before: Place, after: Place) -> None:
    reign = case.record.reign(after.epoch)
    counts = reign is not None and reign.counts(case.height, grace=case.confirmed)
    if not counts or after.epoch <= before.epoch:
        expected = "the ruling one" if case.ruling is None else case.ruling.epoch
        _unequal(f"output {after.index}: epoch", after.epoch, expected)


def _unequal(what: str, got: object, expected: object) -> None:
    refuse("MoveNotEqual", what, got=got, expected=expected)
