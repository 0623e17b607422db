"""Planted differences: the engine with one comparison of its source changed, in this process alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import model_campaign

from grail.charms import rules
from grail.charms.rule import Rule


@dataclass(frozen=True)
class Plant:
    """`old` stands once in the module `name` of grail.charms and becomes `new`.

    `within` transactions tell the changed engine from the slow model, whatever the first seed.
    """

    name: str
    old: str
    new: str
    within: int = 500

    def __str__(self) -> str:
        return f"{self.name}: {self.new.strip()}"


PLANTS = (
    Plant("vault_rules", "if minted != gained:", "if minted > gained:"),
    Plant("vault_rules", "if paid < least:", "if paid < least - 1:", 5_000),
    Plant(
        "vault_rules", "if place.holds.sats < least:", "if place.holds.sats < least - 1_000:", 5_000
    ),
    Plant("vault_rules", "after.sats > CARRIER", "after.sats > CARRIER + 1", 5_000),
    Plant("move_rules", "after.epoch <= before.epoch", "after.epoch < before.epoch", 2_000),
    Plant("move_rules", "burned == released == gained", "burned == released"),
    Plant("guard_rules", "*(row.output for row in x.rows), *x.pays", "*x.pays,", 5_000),
    Plant("guard_rules", "if place.role == UNDECLARED:", "if False:"),
    Plant("kept_rules", "if index in case.guarded_outputs:", "if False:"),
    Plant("kept_rules", "if action.ports_in or case.fresh(contract):", "if action.ports_in:"),
    Plant("proof_rules", "if not 0 < case.tx", "if not 0 <= case.tx"),
    Plant("facts", "before.sats, after.sats]", "after.sats, before.sats]"),
    Plant("record", "(last is None or height <= last)", "(last is None or height < last)", 5_000),
    Plant("spell", "not 0 <= key < len(apps)", "not 0 <= key <= len(apps)"),
    Plant("state", "0 <= value <= _MOST[type_]", "value <= _MOST[type_]", 5_000),
    Plant("app", "not 0 < data <= MAX_UNITS", "not 0 <= data <= MAX_UNITS", 5_000),
)


@contextmanager
def planted(plant: Plant) -> Iterator[tuple[Rule, ...]]:
    """The engine's rules with the difference in them.

    The module's changed source is executed beside the real one; its rules stand in for the real
    ones, and its other functions are put where the engine looks them up.
    """
    module = sys.modules[f"grail.charms.{plant.name}"]
    path = Path(str(module.__file__))
    source = path.read_text()
    assert source.count(plant.old) == 1, plant
    changed: dict[str, Any] = {"__name__": module.__name__}
    double = ModuleType(module.__name__)
    double.__dict__.update(changed)
    exec(compile(source.replace(plant.old, plant.new), str(path), "exec"), double.__dict__)
    undo: list[tuple[Any, str, Any]] = []
    try:
        _put(module, double, undo)
        own = {id(v): k for k, v in vars(module).items() if isinstance(v, Rule)}
        yield tuple(
            getattr(double, own[id(rule)]) if id(rule) in own else rule for rule in rules.RULES
        )
    finally:
        for holder, name, value in reversed(undo):
            setattr(holder, name, value)


def _put(module: ModuleType, double: ModuleType, undo: list[tuple[Any, str, Any]]) -> None:
    """Put the double's functions, and the methods of its classes, where the real ones are found."""
    for name, made in list(vars(double).items()):
        real = getattr(module, name, None)
        if getattr(made, "__module__", None) != module.__name__ or real is None:
            continue
        if isinstance(made, type):
            for method, body in vars(made).items():
                if callable(body) and not method.startswith("__"):
                    undo.append((real, method, vars(real)[method]))
                    setattr(real, method, body)
        elif callable(made) and not isinstance(made, Rule):
            for path, other in list(sys.modules.items()):
                if path.startswith("grail.charms") and vars(other).get(name) is real:
                    undo.append((other, name, real))
                    setattr(other, name, made)


def found_after(plant: Plant, first_seed: int, most: int) -> int:
    """How many transactions it takes to see the difference. Raises `AssertionError` if none does."""
    with planted(plant) as changed:
        for count in range(most):
            try:
                model_campaign.verdict(first_seed + count, changed)
            except (AssertionError, LookupError):
                return count + 1
    raise AssertionError(f"{plant}: not seen in {most} transactions from seed {first_seed}")
