"""The trace: wires, statements with their lines and values, constraints that state nothing."""

from __future__ import annotations

import pytest
from forging import every_edit_is_refused

from grail.errors import InvalidInput, Unsatisfied
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS, Field
from grail.zk.gadgets.bits import Bool, is_zero
from grail.zk.gadgets.integers import UInt, less
from grail.zk.program import Op


def test_public_wires_come_first_and_reserved_ones_are_bound() -> None:
    circuit = Circuit()
    x = circuit.public("x")
    result = circuit.reserve_public("result")
    y = circuit.private("y")
    circuit.bind(result, x * y + 1)
    assert circuit.solve([3, 4])[:3] == [1, 3, 13]
    assert circuit.r1cs().n_public == 2
    with pytest.raises(InvalidInput, match="before all others"):
        circuit.public("late")


def test_a_reserved_wire_that_is_never_bound_is_refused() -> None:
    circuit = Circuit()
    circuit.reserve_public("result")
    with pytest.raises(InvalidInput, match="never bound"):
        circuit.program()


def test_two_inputs_of_one_name_are_refused() -> None:
    circuit = Circuit()
    circuit.private("x")
    with pytest.raises(InvalidInput, match="two inputs"):
        circuit.private("x")


def test_a_failed_constraint_names_line_and_values() -> None:
    circuit = Circuit()
    x, y = circuit.private("x"), circuit.private("y")
    (x * y).assert_equal(y + 4, "no such pair")
    circuit.solve([3, 2])
    with pytest.raises(Unsatisfied) as caught:
        circuit.solve([5, 2])
    error = caught.value
    assert (error.file, error.line) == (
        __file__,
        test_a_failed_constraint_names_line_and_values.__code__.co_firstlineno + 3,
    )
    assert error.values == {"(x * y)": 10, "(y + 4)": 6}
    assert str(error) == f"test_circuit.py:{error.line}: no such pair ((x * y) = 10, (y + 4) = 6)"


def test_Z21_errors_name_secret_values_and_never_show_them() -> None:
    circuit = Circuit()
    key, x = circuit.private("key", secret=True), circuit.private("x")
    (key * 3 + x).named("tag").assert_equal(x * x)
    with pytest.raises(Unsatisfied) as caught:
        circuit.solve([123456789, 4])
    assert caught.value.values == {"(x * x)": 16}
    assert "tag is private" in str(caught.value)
    assert str(123456789 * 3 + 4) not in str(caught.value)
    assert "123456789" not in repr(caught.value)


def test_the_outermost_statement_names_the_line() -> None:
    circuit = Circuit()
    x = circuit.private("x")
    with circuit.statement("the whole does not hold", x=x):
        UInt.checked(x, 4).assert_less(9)
    with pytest.raises(Unsatisfied, match="the whole does not hold"):
        circuit.solve([9])
    with pytest.raises(Unsatisfied, match="the whole does not hold"):
        circuit.solve([16])
    circuit.solve([8])


def test_Z5_a_wire_that_nothing_bears_on_is_seen() -> None:
    circuit = Circuit()
    used, squared, repeated, typed = (circuit.private(n) for n in ("a", "b", "c", "d"))
    private = circuit.private("private")
    used.assert_equal(7)
    squared * squared  # a product that nothing uses
    private.assert_equal(repeated)  # a private input that merely repeats it
    with circuit.typing():
        Bool.checked(typed)
    given = {wire for field in (used, squared, repeated, typed) for wire in field.terms}
    assert circuit.touched(given).intersection(given) == set(used.terms)


def test_Z5_a_statement_over_a_private_input_bears_when_it_can_fail() -> None:
    circuit = Circuit()
    fact, private = circuit.private("fact"), circuit.private("private")
    (private * private).assert_equal(fact)
    assert set(fact.terms) <= circuit.touched(set(fact.terms))


def test_Z19_a_comparison_that_nothing_uses_is_seen() -> None:
    circuit = Circuit()
    x, y = UInt.checked(circuit.private("x"), 8), UInt.checked(circuit.private("y"), 8)
    less(x, y)
    (y < x).assert_true()
    is_zero(x.field)
    lines = [statement.line for statement in circuit.unused_comparisons()]
    first = test_Z19_a_comparison_that_nothing_uses_is_seen.__code__.co_firstlineno
    assert lines == [first + 3, first + 5]


def test_Z1_a_hint_without_a_constraint_is_a_free_signal() -> None:
    circuit = Circuit()
    x = circuit.private("x")
    root = circuit.hint(Op.ISQRT, x)
    assert circuit.free_signals([9]) == tuple(root.terms)
    (root * root).assert_equal(x)
    assert circuit.free_signals([9]) == ()


def test_Z1_two_hints_under_one_equation_are_free() -> None:
    circuit = Circuit()
    x = circuit.private("x")
    low, high = circuit.hint(Op.LOWBITS, x, 4), circuit.hint(Op.SHR, x, 4)
    (low + 16 * high).assert_equal(x)
    assert circuit.free_signals([77]) == (*low.terms, *high.terms)


def test_every_edit_of_a_witness_is_refused() -> None:
    circuit = Circuit()
    x, y = circuit.private("x"), circuit.private("y")
    (x * y + x).assert_equal(15)
    assert every_edit_is_refused(circuit, [3, 4]) == []
    assert every_edit_is_refused(circuit, [3, 4], by=MODULUS - 1) == []


def test_a_constraint_without_wires_is_checked_at_once() -> None:
    with pytest.raises(Unsatisfied):
        Field.constant(3).assert_equal(4)
