"""Field values: constants compute at once, and Python's own operators never fool an author."""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from grail.errors import InvalidInput, Unsatisfied
from grail.zk.circuit import Circuit
from grail.zk.field import (
    MODULUS,
    Field,
    Provable,
    assert_product,
    inverse,
)
from grail.zk.gadgets.bits import Bool
from grail.zk.gadgets.integers import UInt
from grail.zk.location import centered

MISUSES: dict[str, Callable[[Any, Any], object]] = {
    "if": lambda x, _: 1 if x else 2,
    "not": lambda x, _: not x,
    "and": lambda x, y: x and y,
    "or": lambda x, y: x or y,
    "bool()": lambda x, _: bool(x),
    "any()": lambda x, y: any([x, y]),
    "==": lambda x, y: x == y,
    "== int": lambda x, _: x == 3,
    "int ==": lambda x, _: x == 3,
    "!=": lambda x, y: x != y,
    "in a list": lambda x, y: x in [y, 3],
    "in a set": lambda x, _: x in {1, 2},
    "list.index": lambda x, y: [y].index(x),
    "list.count": lambda x, y: [y].count(x),
    "hash()": lambda x, _: hash(x),
    "a dictionary key": lambda x, _: {x: 1},
    "a set": lambda x, _: {x},
    "an index": lambda x, _: [1, 2][x],
    "range()": lambda x, _: range(x),
    "bytes()": lambda x, _: bytes(x),
    "bin()": lambda x, _: bin(x),
    "int()": lambda x, _: int(x),
    "float()": lambda x, _: float(x),
    "round()": lambda x, _: round(x),
    "min()": lambda x, y: min(x, y),
    "max()": lambda x, y: max([x, y]),
    "sorted()": lambda x, y: sorted([x, y]),
    "a chained comparison": lambda x, y: x < y < x,
    "assert": lambda x, _: _assert(x),
    "iteration": lambda x, _: list(x),
    "len()": lambda x, _: len(x),
    "math.isqrt": lambda x, _: math.isqrt(x),
    "/": lambda x, y: x / y,
    "copy": lambda x, _: copy.copy(x),
    "pickle": lambda x, _: pickle.dumps(x),
    "match": lambda x, _: _match(x),
}

RAISES_TYPE_ERROR = {
    # these ask for an operator that the type lacks: Python's own refusal is as loud
    ("min()", Field),
    ("max()", Field),
    ("sorted()", Field),
    ("a chained comparison", Field),
    ("min()", Bool),
    ("max()", Bool),
    ("sorted()", Bool),
    ("a chained comparison", Bool),
    ("/", Bool),
}


def _assert(x: object) -> None:
    if not x:  # what `assert x` does; under -O the assert itself would be gone
        raise AssertionError


def _match(x: object) -> int:
    match x:
        case 3:
            return 1
        case _:
            return 2


def provables() -> list[tuple[Provable, Provable]]:
    circuit = Circuit()
    x, y = circuit.private("x"), circuit.private("y")
    return [
        (x, y),
        (Bool.checked(x), Bool.checked(y)),
        (UInt.checked(x, 8), UInt.checked(y, 8)),
    ]


@pytest.mark.parametrize("name", MISUSES)
def test_Z19_python_operators_on_provable_values_raise(name: str) -> None:
    for x, y in provables():
        expected = TypeError if (name, type(x)) in RAISES_TYPE_ERROR else InvalidInput
        with pytest.raises(expected) as caught:
            MISUSES[name](x, y)
        if expected is InvalidInput:
            assert caught.value.hint, f"{name} on {type(x).__name__} does not say what to write"


def test_Z19_holds_under_python_O() -> None:
    """Without assert statements the guards still stand."""
    code = (
        "from grail.zk.circuit import Circuit\n"
        "from grail.errors import InvalidInput\n"
        "x = Circuit().private('x')\n"
        "for use in (lambda: 1 if x else 2, lambda: x == 3, lambda: {x}, lambda: range(x)):\n"
        "    try:\n"
        "        use()\n"
        "    except InvalidInput:\n"
        "        print('raised')\n"
    )
    run = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["raised"] * 4


def test_constants_compute_at_once() -> None:
    x = Field.constant(7)
    assert ((x + 3) * 2 - 1).value == 19
    assert (5 - x).value == MODULUS - 2
    assert (-x).value == MODULUS - 7
    assert (x * x.inverse()).value == 1
    x.assert_equal(7)
    x.assert_nonzero()
    Field.constant(MODULUS).assert_zero()


@pytest.mark.parametrize(
    "state",
    [
        lambda x: x.assert_equal(8),
        lambda x: x.assert_zero(),
        lambda x: (x - 7).assert_nonzero(),
        lambda x: assert_product(x, x, 48, "no square"),
    ],
)
def test_a_false_statement_about_constants_names_this_line(state: Callable[[Field], None]) -> None:
    with pytest.raises(Unsatisfied) as caught:
        state(Field.constant(7))
    assert caught.value.file == __file__
    assert caught.value.line == state.__code__.co_firstlineno


def test_zero_has_no_inverse() -> None:
    with pytest.raises(InvalidInput):
        Field.constant(0).inverse()
    with pytest.raises(InvalidInput):
        inverse(MODULUS)


def test_values_of_two_circuits_do_not_mix() -> None:
    x, y = Circuit().private("x"), Circuit().private("y")
    with pytest.raises(InvalidInput, match="two circuits"):
        x + y
    with pytest.raises(InvalidInput, match="two circuits"):
        x * y


@pytest.mark.parametrize("other", [True, 1.5, "1", None, b"1"])
def test_only_field_values_and_integers_mix(other: Any) -> None:
    x = Circuit().private("x")
    with pytest.raises(InvalidInput, match="computes with Field and int"):
        x + other
    with pytest.raises(InvalidInput, match="computes with Field and int"):
        x * other


def test_a_wire_has_no_value_while_building() -> None:
    with pytest.raises(InvalidInput, match="no value yet"):
        _ = Circuit().private("x").value


def test_long_sums_become_one_wire() -> None:
    circuit = Circuit()
    wires = [circuit.private(f"x{i}") for i in range(300)]
    total = sum(wires, Field.constant(0))
    total.assert_equal(300 * 301 // 2)
    assert max(len(part) for constraint in circuit.constraints for part in constraint) <= 130
    circuit.solve(range(1, 301))
    with pytest.raises(Unsatisfied):
        circuit.solve(range(300))


def test_centered_reads_as_people_do() -> None:
    assert centered(MODULUS - 3) == -3
    assert centered(3) == 3
    circuit = Circuit()
    circuit.private("x").assert_equal(5)
    with pytest.raises(Unsatisfied, match="x = -1, right = 5") as caught:
        circuit.solve([MODULUS - 1])
    assert caught.value.values == {"x": MODULUS - 1, "right": 5}
