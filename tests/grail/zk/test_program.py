"""The witness program: the evaluator in Rust agrees with the one in Python, operation by operation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grail.errors import InvalidInput
from grail.zk import groth16
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS, Field
from grail.zk.program import Op, evaluate
from grail.zk.r1cs import witness_file

NUMBERS = (Op.BIT, Op.SHR, Op.LOWBITS)
EDGES = [0, 1, 2, MODULUS - 1, MODULUS - 2, (1 << 64) - 1, 1 << 64, 1 << 128, (MODULUS + 1) // 2]
ELEMENTS = st.one_of(st.sampled_from(EDGES), st.integers(0, 300), st.integers(0, MODULUS - 1))


@pytest.fixture(scope="module")
def every_operation() -> tuple[Circuit, groth16.Prover]:
    circuit = Circuit()
    x, y, z = (circuit.private(name) for name in "xyz")
    for op in Op:
        if op in NUMBERS:
            for number in (0, 1, 7, 63, 64, 200, 253):
                circuit.hint(op, x, number)
        elif op is Op.SELECT:
            circuit.allocate(circuit.compute(op, x, y, z))
        else:
            circuit.hint(op, x, y)
            circuit.hint(op, y, z)
    circuit.hint(Op.ADD, 3 * x - y + 5, Field.constant(9))
    (x - x * 1).assert_zero()
    (x * y).assert_equal(circuit.hint(Op.MUL, x, y))
    r1cs = circuit.r1cs().serialize()
    keys = groth16.setup(r1cs, bytes(32))
    return circuit, groth16.Prover(r1cs, keys.pk, circuit.program())


@settings(max_examples=150, deadline=None)
@given(x=ELEMENTS, y=ELEMENTS, z=ELEMENTS)
def test_rust_and_python_agree(
    every_operation: tuple[Circuit, groth16.Prover], x: int, y: int, z: int
) -> None:
    circuit, prover = every_operation
    assert prover.witness([x, y, z]) == witness_file(evaluate(circuit.program(), [x, y, z]))


@settings(max_examples=60, deadline=None)
@given(x=ELEMENTS, y=ELEMENTS)
def test_operations_are_the_plain_ones(x: int, y: int) -> None:
    circuit = Circuit()
    a, b = circuit.private("a"), circuit.private("b")
    expected = {
        Op.ADD: (x + y) % MODULUS,
        Op.SUB: (x - y) % MODULUS,
        Op.MUL: x * y % MODULUS,
        Op.DIV: x * pow(y, -1, MODULUS) % MODULUS if y else 0,
        Op.IDIV: x // y if y else 0,
        Op.IMOD: x % y if y else 0,
        Op.LT: int(x < y),
        Op.EQ: int(x == y),
    }
    wires = {op: next(iter(circuit.hint(op, a, b).terms)) for op in expected}
    witness = evaluate(circuit.program(), [x, y])
    assert {op: witness[wire] for op, wire in wires.items()} == expected


@pytest.mark.parametrize("inputs", [[], [1], [1, 2, 3], [1, MODULUS], [-1, 0]])
def test_inputs_are_counted_and_canonical(inputs: list[int]) -> None:
    circuit = Circuit()
    circuit.private("a")
    circuit.private("b")
    with pytest.raises(InvalidInput, match="witness program"):
        evaluate(circuit.program(), inputs)
