"""Booleans at work: what only appears beyond single operations."""

from __future__ import annotations

import itertools

import pytest

from grail.errors import InvalidInput, Unsatisfied
from grail.zk.circuit import Circuit
from grail.zk.field import Field
from grail.zk.gadgets.bits import Bool, as_bool, equal, from_bits, is_zero, select, to_bits


@pytest.mark.parametrize(("x", "y"), list(itertools.product((False, True), repeat=2)))
def test_constants_compute_at_once(x: bool, y: bool) -> None:
    a, b = Bool.constant(x), Bool.constant(y)
    assert (a & b).field.value == (x and y)
    assert (a | b).field.value == (x or y)
    assert (a ^ b).field.value == (x != y)
    assert (~a).field.value == (not x)
    assert a.equal(b).field.value == (x == y)
    assert select(a, 5, 9).value == (5 if x else 9)
    if x <= y:
        a.implies(b)
    else:
        with pytest.raises(Unsatisfied):
            a.implies(b)


def test_statements_about_constants_fail_at_once() -> None:
    Bool.constant(True).assert_true()
    with pytest.raises(Unsatisfied):
        Bool.constant(False).assert_true()
    with pytest.raises(Unsatisfied):
        Bool.constant(True).assert_false()
    with pytest.raises(Unsatisfied):
        Bool.checked(Field.constant(2))
    with pytest.raises(Unsatisfied, match="does not fit 3 bits"):
        to_bits(Field.constant(8), 3)


def test_constants_and_wires_mix() -> None:
    circuit = Circuit()
    x = Bool.checked(circuit.private("x"))
    (x & True).assert_true()
    (x | Bool.constant(False)).assert_true()
    assert (x & False).field.value == 0
    assert is_zero(Field.constant(0)).field.value == 1
    assert equal(3, 3).field.value == 1
    circuit.solve([1])


@pytest.mark.parametrize("other", [1, 0, "yes", None, Field.constant(1)])
def test_only_booleans_are_booleans(other: object) -> None:
    with pytest.raises(InvalidInput, match="expected a Bool"):
        as_bool(other)


@pytest.mark.parametrize("value", [0, 1, 5, 200, 255])
def test_bits_and_back(value: int) -> None:
    bits = to_bits(Field.constant(value), 8)
    assert [bit.field.value for bit in bits] == [value >> i & 1 for i in range(8)]
    assert from_bits(bits).value == value


@pytest.mark.parametrize("n", [0, -1, 254])
def test_widths_that_cannot_be(n: int) -> None:
    with pytest.raises(InvalidInput):
        to_bits(Field.constant(0), n)


def test_constraint_counts_are_known() -> None:
    def count(build: object) -> int:
        circuit = Circuit()
        assert callable(build)
        build(circuit.private("x"), circuit.private("y"))
        return len(circuit.constraints)

    assert count(lambda x, _: Bool.checked(x)) == 1
    assert count(lambda x, _: is_zero(x)) == 2
    assert count(lambda x, y: equal(x, y)) == 2
    assert count(lambda x, y: select(Bool(x), y, 3)) == 1
    assert count(lambda x, y: Bool(x) & Bool(y)) == 1
    assert count(lambda x, y: Bool(x) | Bool(y)) == 1
    assert count(lambda x, _: ~Bool(x)) == 0
    assert count(lambda x, _: to_bits(x, 64)) == 65
