"""Constraint systems as files: what we write is read alike by the crate, and by circom's readers."""

from __future__ import annotations

import struct

import pytest

from grail import native
from grail.errors import InvalidInput
from grail.zk import snarkjs
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS
from grail.zk.gadgets.integers import UInt, divide
from grail.zk.program import evaluate
from grail.zk.r1cs import R1cs, witness_file


@pytest.fixture
def circuit() -> Circuit:
    circuit = Circuit()
    result = circuit.reserve_public("result")
    x, y = circuit.public("x"), circuit.private("y")
    quotient, remainder = divide(UInt.checked(x, 16), UInt.checked(y, 8))
    circuit.bind(result, quotient.field * 256 + remainder.field)
    return circuit


def test_the_crate_reads_what_we_write(circuit: Circuit) -> None:
    r1cs = circuit.r1cs()
    info = native.r1cs_info(r1cs.serialize())
    assert (info.wires, info.constraints, info.publics) == (
        r1cs.n_wires,
        len(r1cs.constraints),
        2,
    )
    assert snarkjs.read_r1cs(r1cs.serialize()) == r1cs


def test_both_checkers_name_the_same_constraint(circuit: Circuit) -> None:
    r1cs = circuit.r1cs()
    good = evaluate(circuit.program(), [1000, 7])
    assert r1cs.first_failure(good) is None
    assert native.r1cs_check(r1cs.serialize(), witness_file(good)) is None
    for wire in range(1, len(good)):
        bad = [*good]
        bad[wire] = (bad[wire] + 1) % MODULUS
        failure = r1cs.first_failure(bad)
        assert failure is not None
        assert native.r1cs_check(r1cs.serialize(), witness_file(bad)) == failure


def test_header_fields_stand_where_iden3_has_them(circuit: Circuit) -> None:
    raw = circuit.r1cs().serialize()
    assert raw[:4] == b"r1cs"
    assert struct.unpack_from("<II", raw, 4) == (1, 3)
    kind, size, field_size = struct.unpack_from("<IQI", raw, 12)
    assert (kind, size, field_size) == (1, 64, 32)
    assert int.from_bytes(raw[28:60], "little") == MODULUS


def test_a_circuit_of_circom_is_checked_alike(vectors: object) -> None:
    from pathlib import Path

    for folder in ("multiplier", "lessthan64", "poseidon_preimage"):
        base = Path(str(vectors)) / "circom" / folder
        system = snarkjs.read_r1cs((base / "circuit.r1cs").read_bytes())
        witness = snarkjs.read_wtns((base / "witness.wtns").read_bytes())
        assert system.first_failure(witness) is None
        assert snarkjs.read_wtns(witness_file(witness)) == tuple(witness)
        again = snarkjs.read_r1cs(system.serialize())
        assert again == system
        edited = [*witness]
        edited[1] = (edited[1] + 1) % MODULUS
        assert system.first_failure(edited) is not None


@pytest.mark.parametrize("witness", [[1, 2], [2, 2, 3], [1, 2, 3, 4]])
def test_a_witness_of_another_shape_is_refused(witness: list[int]) -> None:
    with pytest.raises(InvalidInput):
        R1cs(3, 1, (({1: 1}, {2: 1}, {0: 1}),)).first_failure(witness)


def test_Z4_a_witness_value_of_r_is_refused() -> None:
    for value in (MODULUS, -1):
        with pytest.raises(InvalidInput):
            witness_file([1, value])
