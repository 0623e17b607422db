"""Poseidon in the circuit: the published values, and no other."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from forging import every_edit_is_refused, first_failure, forged

from grail.crypto import poseidon as reference
from grail.errors import InvalidInput, Unsatisfied
from grail.zk import snarkjs
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS, Field
from grail.zk.gadgets.poseidon import poseidon
from grail.zk.program import evaluate
from grail.zk.soundness import free_signals


def hasher(n: int) -> Circuit:
    circuit = Circuit()
    out = circuit.reserve_public("hash")
    circuit.bind(out, poseidon([circuit.private(f"x{i}") for i in range(n)]))
    return circuit


CIRCUITS = {n: hasher(n) for n in range(1, 17)}


def test_Z17_published_values(vectors: Path) -> None:
    """circomlibjs' hashes of 1 to 16 inputs; the vectors of all widths go through the circuit."""
    file = json.loads((vectors / "poseidon" / "poseidon_bn254.json").read_text())
    cases = file["cases"]
    widths = set()
    for case in cases[:80]:
        inputs = [int(x) for x in case["inputs"]]
        widths.add(len(inputs))
        witness = evaluate(CIRCUITS[len(inputs)].program(), inputs)
        assert witness[1] == int(case["hash"])
    assert widths >= {1, 2, 16}


@pytest.mark.parametrize("n", CIRCUITS)
def test_agrees_with_the_reference(n: int) -> None:
    rng = random.Random(n)
    for inputs in (
        [0] * n,
        [MODULUS - 1] * n,
        [rng.randrange(MODULUS) for _ in range(n)],
    ):
        assert CIRCUITS[n].solve(inputs)[1] == reference.poseidon(inputs)
        assert poseidon(inputs).value == reference.poseidon(inputs)


@pytest.mark.parametrize("n", CIRCUITS)
def test_constraint_counts_are_known(n: int) -> None:
    """Three a fifth power; the first S-box has a constant input; one binds the result."""
    full, partial, _, _ = reference.constants(n + 1)
    assert len(CIRCUITS[n].constraints) == 3 * (full * (n + 1) + partial) - 3 + 1


def test_combinations_stay_small() -> None:
    longest = max(len(part) for c in CIRCUITS[16].constraints for part in c)
    assert longest <= 17 + 68 + 1


def test_constant_inputs_save_constraints() -> None:
    circuit = Circuit()
    poseidon([circuit.private("x"), *[0] * 15])
    assert len(circuit.constraints) == 612 - 3 * 16
    assert circuit.solve([5])


def test_Z1_no_signal_is_free_and_each_constraint_is_missed() -> None:
    circuit = CIRCUITS[1]
    witness = circuit.solve([5])
    r1cs = circuit.r1cs()
    assert free_signals(r1cs, witness, circuit.given, circuit.auxiliary) == ()
    for index in [*range(12), *range(12, len(r1cs.constraints), 10), len(r1cs.constraints) - 1]:
        rest = tuple(c for i, c in enumerate(r1cs.constraints) if i != index)
        less = replace(r1cs, constraints=rest)
        assert free_signals(less, witness, circuit.given, circuit.auxiliary) != ()


def test_Z17_no_edit_and_no_other_hash_passes() -> None:
    circuit = CIRCUITS[2]
    assert every_edit_is_refused(circuit, [1, 2]) == []
    witness = circuit.solve([1, 2])
    for wrong in (0, witness[1] + 1, reference.poseidon([2, 1])):
        edited = [*witness]
        edited[1] = wrong
        assert first_failure(circuit, edited) is not None
    for wire in range(4, 20):
        assert (
            first_failure(circuit, forged(circuit, [1, 2], {wire: witness[wire] + 1})) is not None
        )


def test_Z17_order_and_number_of_inputs_count() -> None:
    assert poseidon([1, 2]).value != poseidon([2, 1]).value
    assert poseidon([1]).value != poseidon([1, 0]).value


def test_agrees_with_a_circuit_of_circom(vectors: Path) -> None:
    """circomlib's own circuit, its witness checked by our reader, hashes to the same number."""
    base = vectors / "circom" / "poseidon_preimage"
    witness = snarkjs.read_wtns((base / "witness.wtns").read_bytes())
    values = json.loads((base / "input.json").read_text())
    flat = [
        int(v) for value in values.values() for v in (value if isinstance(value, list) else [value])
    ]
    candidates = {reference.poseidon(flat[:n]) for n in range(1, len(flat) + 1)}
    candidates |= {reference.poseidon(flat[1:n]) for n in range(2, len(flat) + 1)}
    assert candidates.intersection(witness[1:3])


@pytest.mark.parametrize("n", [0, 17])
def test_other_widths_are_refused(n: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 16"):
        poseidon([1] * n)


def test_a_mismatch_names_the_line() -> None:
    circuit = Circuit()
    x, h = circuit.private("x"), circuit.private("h")
    poseidon([x]).assert_equal(h, "no preimage")
    line = test_a_mismatch_names_the_line.__code__.co_firstlineno + 3
    circuit.solve([7, reference.poseidon([7])])
    with pytest.raises(Unsatisfied, match="no preimage") as caught:
        circuit.solve([8, reference.poseidon([7])])
    assert caught.value.line == line
    assert Field.constant(1).is_constant
