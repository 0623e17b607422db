"""Integers at their real widths: edges, wrap-around, forged quotients, the second bit pattern."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt

import pytest
from forging import every_edit_is_refused, first_failure, forged
from hypothesis import given, settings
from hypothesis import strategies as st

from grail.errors import InvalidInput, Unsatisfied
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS, Field
from grail.zk.gadgets.bits import from_bits, to_all_bits, to_bits
from grail.zk.gadgets.integers import UInt, divide, less, select_uint, square_root
from grail.zk.program import evaluate

WIDTHS = (8, 16, 32, 64, 128)


def ranged(bits: int) -> Circuit:
    circuit = Circuit()
    UInt.checked(circuit.private("x"), bits)
    return circuit


@pytest.mark.parametrize("bits", WIDTHS)
def test_Z2_range_checks_at_their_edges(bits: int) -> None:
    circuit = ranged(bits)
    for good in (0, 1, (1 << bits) - 1):
        circuit.solve([good])
    for bad in (1 << bits, (1 << bits) + 1, MODULUS - 1, MODULUS >> 1, (1 << 128) + 5 << 64):
        with pytest.raises(Unsatisfied, match=f"does not fit {bits} bits"):
            circuit.solve([bad])


@pytest.mark.parametrize("bits", [8, 64, 128])
def test_Z2_no_bits_spell_a_value_that_is_too_wide(bits: int) -> None:
    """A prover who keeps honest bits of a small value and claims a wide one, or bends one bit."""
    circuit = ranged(bits)
    good = evaluate(circuit.program(), [5])
    for claim in (1 << bits, MODULUS - 1, 5 + (1 << bits)):
        edited = [*good]
        edited[1] = claim
        assert first_failure(circuit, edited) is not None
        edited[2] = (claim - 4) % MODULUS  # the lowest bit makes the sum right
        assert first_failure(circuit, edited) is not None
    assert every_edit_is_refused(circuit, [5]) == []


@pytest.mark.parametrize("bits", WIDTHS)
def test_range_checks_cost_one_constraint_a_bit(bits: int) -> None:
    assert len(ranged(bits).constraints) == bits + 1


def test_Z3_the_bits_of_a_field_element_are_its_only_pattern() -> None:
    circuit = Circuit()
    x = circuit.private("x")
    bits = to_all_bits(x)
    from_bits(bits).assert_equal(x)
    for value in (0, 1, 5, MODULUS - 1, MODULUS >> 1, (1 << 253) - 1, 1 << 253):
        circuit.solve([value])
    wires = [next(iter(bit.field.terms)) for bit in bits]
    room = (1 << 254) - MODULUS  # so many values have a second pattern
    for value in (0, 1, 5, 1 << 127, room - 1):
        alias = value + MODULUS
        assert alias < 1 << 254
        changed = {wire: alias >> i & 1 for i, wire in enumerate(wires)}
        witness = forged(circuit, [value], changed)
        assert sum(witness[wire] << i for i, wire in enumerate(wires)) % MODULUS == value
        failed = first_failure(circuit, witness)
        # every bit is a boolean and their sum is the value: it is the comparison that refuses
        assert failed is not None
        assert failed >= 255
    assert circuit.free_signals([MODULUS - 1]) == ()
    assert circuit.free_signals([7]) == ()


def test_Z3_wide_decompositions_must_be_the_compared_ones() -> None:
    with pytest.raises(InvalidInput, match="expected 1 to 253"):
        to_bits(Circuit().private("x"), 254)


FORGED_DIVISIONS: Mapping[str, Callable[[int, int], tuple[int, int]]] = {
    "a quotient one too small, the remainder too large": lambda a, b: (a // b - 1, a % b + b),
    "a quotient one too large, the remainder negative": lambda a, b: (
        a // b + 1,
        (a % b - b) % MODULUS,
    ),
    "no quotient, all remainder": lambda a, _: (0, a),
    "another quotient, the same remainder": lambda a, b: (a // b + 1, a % b),
    "a quotient in the field": lambda a, b: (a * pow(b, -1, MODULUS) % MODULUS, 0),
    "a quotient in the field, remainder 1": lambda a, b: (
        (a - 1) * pow(b, -1, MODULUS) % MODULUS,
        1,
    ),
    "a quotient beyond its width": lambda a, b: (1 << 64, (a - (b << 64)) % MODULUS),
}


@pytest.mark.parametrize("case", FORGED_DIVISIONS)
def test_Z18_forged_quotients_are_refused(case: str) -> None:
    circuit = Circuit()
    a, b = circuit.private("a"), circuit.private("b")
    quotient, remainder = divide(UInt.checked(a, 64), UInt.checked(b, 64))
    wires = [next(iter(part.field.terms)) for part in (quotient, remainder)]
    for dividend, divisor in ((1000, 7), ((1 << 64) - 1, 3), (10, 10), (5, 1 << 63)):
        honest = circuit.solve([dividend, divisor])
        assert [honest[wire] for wire in wires] == list(divmod(dividend, divisor))
        wrong = FORGED_DIVISIONS[case](dividend, divisor)
        if wrong == divmod(dividend, divisor):
            continue
        witness = forged(circuit, [dividend, divisor], dict(zip(wires, wrong, strict=True)))
        assert first_failure(circuit, witness) is not None


def test_Z18_nothing_divides_by_zero() -> None:
    circuit = Circuit()
    a, b = circuit.private("a"), circuit.private("b")
    quotient, remainder = divide(UInt.checked(a, 64), UInt.checked(b, 64))
    wires = [next(iter(part.field.terms)) for part in (quotient, remainder)]
    with pytest.raises(Unsatisfied, match="divisor is zero"):
        circuit.solve([5, 0])
    for wrong in ((0, 5), (0, 0), (5, 0), (0, MODULUS - 1), (1, 5)):
        witness = forged(circuit, [5, 0], dict(zip(wires, wrong, strict=True)))
        assert first_failure(circuit, witness) is not None
    with pytest.raises(Unsatisfied, match="divisor is zero"):
        divide(UInt.checked(Circuit().private("x"), 8), 0)
    with pytest.raises(Unsatisfied, match="divisor is zero"):
        divide(7, 0)


def test_L4_products_are_exact_or_refused_while_building() -> None:
    """Values at 2^64 - 1 on each input; a bound that could reach the field's size never builds."""
    circuit = Circuit()
    x, y, z = (UInt.checked(circuit.private(n), 64) for n in "xyz")
    (x * y * z).field.assert_equal(((1 << 64) - 1) ** 3)
    circuit.solve([(1 << 64) - 1] * 3)
    with pytest.raises(InvalidInput, match="may need 256 bits"):
        x * y * z * x
    with pytest.raises(InvalidInput, match="product may need"):
        (x * y) * (y * z)
    with pytest.raises(InvalidInput, match="quotient times divisor"):
        divide(x * y, y * z)
    wide = UInt.checked(circuit.private("wide"), 252)
    with pytest.raises(InvalidInput, match="sum may need 253 bits"):
        wide + wide


@pytest.mark.parametrize(
    ("x", "y"), [((1 << 64) - 1, (1 << 64) - 1), ((1 << 64) - 1, 1), (1 << 32, 1 << 32), (0, 7)]
)
def test_L4_an_overflow_check_at_its_edges(x: int, y: int) -> None:
    circuit = Circuit()
    a, b = UInt.checked(circuit.private("a"), 64), UInt.checked(circuit.private("b"), 64)
    (a * b).assert_at_most((1 << 64) - 1, "the product overflows")
    if x * y < 1 << 64:
        circuit.solve([x, y])
    else:
        with pytest.raises(Unsatisfied, match="the product overflows"):
            circuit.solve([x, y])


VALUES = st.one_of(
    st.sampled_from([0, 1, 2, 255, 256, (1 << 63), (1 << 64) - 2, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 300),
)

BINARY: Mapping[str, tuple[Callable[[UInt, UInt], UInt], Callable[[int, int], int | None]]] = {
    "+": (lambda x, y: x + y, lambda x, y: x + y),
    "-": (lambda x, y: x - y, lambda x, y: x - y if x >= y else None),
    "*": (lambda x, y: x * y, lambda x, y: x * y),
    "//": (lambda x, y: x // y, lambda x, y: x // y if y else None),
    "%": (lambda x, y: x % y, lambda x, y: x % y if y else None),
    "<": (lambda x, y: UInt((x < y).field, 1), lambda x, y: int(x < y)),
    "<=": (lambda x, y: UInt((x <= y).field, 1), lambda x, y: int(x <= y)),
    ">": (lambda x, y: UInt((x > y).field, 1), lambda x, y: int(x > y)),
    ">=": (lambda x, y: UInt((x >= y).field, 1), lambda x, y: int(x >= y)),
    "select": (lambda x, y: select_uint(x < y, x, y), min),
    "root": (lambda x, y: square_root(x * y), lambda x, y: isqrt(x * y)),
    "constants": (
        lambda x, y: (7 - (x % 7)) * (y + 3) // 5,
        lambda x, y: (7 - x % 7) * (y + 3) // 5,
    ),
}


def build(name: str) -> Circuit:
    circuit = Circuit()
    x, y = (UInt.checked(circuit.private(n), 64) for n in "xy")
    result = BINARY[name][0](x, y).field
    out = circuit.allocate(circuit.register(result))
    out.assert_equal(result)
    return circuit


CIRCUITS = {name: build(name) for name in BINARY}


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=25, deadline=None)
@given(x=VALUES, y=VALUES)
def test_the_circuit_is_the_plain_expression(name: str, x: int, y: int) -> None:
    """One function on integers, one provable: results and refusals agree, on constants as well."""
    provable, plain = BINARY[name]
    expected = plain(x, y)
    circuit = CIRCUITS[name]
    witness = evaluate(circuit.program(), [x, y])
    failed = first_failure(circuit, witness)
    if expected is None:
        assert failed is not None
        with pytest.raises(Unsatisfied):
            provable(UInt.constant(x), UInt.constant(y))
        return
    assert failed is None
    # the last wire holds the result
    assert witness[-1] == expected
    assert provable(UInt.constant(x), UInt.constant(y)).field.value == expected


@pytest.mark.parametrize("name", BINARY)
def test_Z1_gadgets_of_64_bits_leave_no_signal_free(name: str) -> None:
    for x, y in ((1000, 7), (3, 1 << 40), (0, 5), ((1 << 64) - 1, (1 << 64) - 1)):
        if BINARY[name][1](x, y) is not None:
            assert CIRCUITS[name].free_signals([x, y]) == ()


@pytest.mark.parametrize("name", BINARY)
def test_every_edit_of_a_witness_is_refused(name: str) -> None:
    assert every_edit_is_refused(CIRCUITS[name], [1000, 7]) == []


CONSTRAINTS = {"+": 131, "-": 196, "*": 132, "<": 197, "//": 327, "root": 456}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraint_counts_are_known(name: str) -> None:
    """Two range checks of 65, the equation of the result, and what the operation itself costs."""
    assert len(CIRCUITS[name].constraints) == CONSTRAINTS[name]


def test_Z2_less_is_right_where_the_field_wraps() -> None:
    """a - b is huge when a < b; a value that was never checked cannot enter a comparison."""
    circuit = Circuit()
    x = circuit.private("x")
    less(UInt.awaiting(x, 64), 1 << 63).assert_true()
    circuit.solve([5])
    for wide in (MODULUS - 1, 1 << 64, 1 << 128):
        with pytest.raises(Unsatisfied):
            circuit.solve([wide])


@pytest.mark.parametrize("value", [-1, 1 << 252])
def test_constants_out_of_range_are_refused(value: int) -> None:
    with pytest.raises(InvalidInput):
        UInt.constant(value)
    with pytest.raises(InvalidInput):
        UInt.constant(3) + value


@pytest.mark.parametrize("other", [True, 1.5, "1", None, Field.constant(1)])
def test_integers_mix_with_integers_only(other: object) -> None:
    with pytest.raises(InvalidInput, match="UInt and int"):
        UInt.constant(1) + other  # type: ignore[operator]
