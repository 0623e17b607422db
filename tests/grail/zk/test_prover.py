"""Setup and proving: circom's circuits and witnesses, ours by a program, and what is refused."""

from __future__ import annotations

import hashlib
import json
import resource
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_circuit import CIRCUIT, PUBLICS, R1CS, SEED, WITNESS, WTNS, keys, proved

from grail import native
from grail.errors import (
    DecodeError,
    GrailError,
    InvalidInput,
    ProofInvalid,
    TooLarge,
    Truncated,
    Unsatisfied,
)
from grail.native import R
from grail.zk import groth16
from grail.zk.r1cs import R1cs, witness_file

CIRCOM = ("multiplier", "lessthan64", "poseidon_preimage", "merkle16")

PROGRAM = (
    b"GWP1"
    + struct.pack("<II", 4, 1)
    + (1).to_bytes(32, "little")
    + struct.pack("<I", 1)
    + struct.pack("<BIII", 2, 2, 3, 0)
    + struct.pack("<I6I", 6, 4, 0, 1, 5, 2, 3)
)
"""Inputs x1, x2, left, right to the six wires of the sample circuit."""


@pytest.fixture(scope="module")
def prover() -> groth16.Prover:
    return groth16.Prover(R1CS, keys().pk, PROGRAM)


# ------------------------------------------------------------------------- circuits of circom


@pytest.mark.parametrize("name", CIRCOM)
def test_proves_what_circom_compiled(vectors: Path, name: str) -> None:
    folder = vectors / "circom" / name
    r1cs = (folder / "circuit.r1cs").read_bytes()
    wtns = (folder / "witness.wtns").read_bytes()
    public = tuple(int(value) for value in json.loads((folder / "public.json").read_text()))
    pk, vk = groth16.setup(r1cs, SEED)
    proof, publics = groth16.prove_witness(pk, r1cs, wtns)
    assert publics == public
    groth16.check_key(vk, len(public))
    groth16.verify(vk, publics, proof)
    for place in range(len(public)):
        changed = list(publics)
        changed[place] = (changed[place] + 1) % R
        with pytest.raises(ProofInvalid):
            groth16.verify(vk, changed, proof)


@pytest.mark.parametrize("name", CIRCOM)
def test_checks_witnesses_of_circom(vectors: Path, name: str) -> None:
    folder = vectors / "circom" / name
    r1cs = (folder / "circuit.r1cs").read_bytes()
    wtns = (folder / "witness.wtns").read_bytes()
    assert native.r1cs_check(r1cs, wtns) is None
    wires = list(native.wtns_wires(wtns))
    broken = 0
    for wire in {1, len(wires) // 2, len(wires) - 1}:
        forged = witness_file([*wires[:wire], (wires[wire] + 1) % R, *wires[wire + 1 :]])
        broken += native.r1cs_check(r1cs, forged) is not None
    assert broken == len({1, len(wires) // 2, len(wires) - 1})


# ------------------------------------------------------------------------------------ ours


def test_the_program_makes_the_witness(prover: groth16.Prover) -> None:
    assert prover.witness([5, 6, 3, 11]) == WTNS
    proof, publics = prover.prove([5, 6, 3, 11])
    assert publics == PUBLICS
    groth16.verify(keys().vk, publics, proof)


def test_Z21_two_proofs_of_one_witness_differ(prover: groth16.Prover) -> None:
    """r and s are fresh: A, B and C all change."""
    proofs = [prover.prove([5, 6, 3, 11]).proof for _ in range(8)]
    for start, end in ((0, 32), (32, 96), (96, 128)):
        assert len({proof[start:end] for proof in proofs}) == 8
    assert len({prover.prove_witness(WTNS).proof for _ in range(2)}) == 2


def test_Z21_errors_show_no_private_value(prover: groth16.Prover) -> None:
    secret = 0xDEADBEEF_12345678
    forged = witness_file([*WITNESS[:4], secret, 11])
    with pytest.raises(Unsatisfied) as unsatisfied:
        prover.prove_witness(forged)
    with pytest.raises(InvalidInput) as out_of_range:
        prover.prove([5, 6, R + secret, 11])
    for raised in (unsatisfied, out_of_range):
        text = repr(raised.value) + str(raised.value) + repr(vars(raised.value))
        assert str(secret) not in text
        assert str(R + secret) not in text
    assert str(secret) not in repr(prover)


def test_a_broken_constraint_is_named() -> None:
    square = R1cs(2, 0, tuple(({1: 1}, {0: 1}, {0: value}) for value in (3, 3, 4, 5)))
    pk, _ = groth16.setup(square.serialize(), SEED)
    with pytest.raises(Unsatisfied) as raised:
        groth16.prove_witness(pk, square.serialize(), witness_file([1, 3]))
    assert raised.value.values == {"constraint": 2}
    assert square.first_failure([1, 3]) == 2


@pytest.mark.parametrize("inputs", [[], [5, 6, 3], [5, 6, 3, 11, 0], [R, 6, 3, 11], [-1, 6, 3, 11]])
def test_inputs_must_be_the_programs(prover: groth16.Prover, inputs: list[int]) -> None:
    with pytest.raises(InvalidInput):
        prover.prove(inputs)


def test_a_program_for_another_circuit() -> None:
    shorter = PROGRAM[: -4 * 7] + struct.pack("<I5I", 5, 4, 0, 1, 5, 2)
    with pytest.raises(InvalidInput, match="5 wires"):
        groth16.Prover(R1CS, keys().pk, shorter)


def test_a_witness_for_another_circuit(prover: groth16.Prover) -> None:
    for wires in (WITNESS[:-1], (*WITNESS, 0), (1,)):
        with pytest.raises(InvalidInput, match="wires"):
            prover.prove_witness(witness_file(wires))


def test_a_key_of_another_circuit_of_the_same_size() -> None:
    """Its proofs would verify nowhere, so none is handed out."""
    other = R1cs(6, 3, (({4: 1}, {5: 2}, {3: 2}),)).serialize()
    with pytest.raises(InvalidInput, match="does not belong"):
        groth16.prove_witness(keys().pk, other, WTNS)


def test_a_key_of_another_size() -> None:
    larger = R1cs(7, 3, CIRCUIT.constraints).serialize()
    with pytest.raises(DecodeError, match="the circuit wants"):
        groth16.prove_witness(keys().pk, larger, witness_file((*WITNESS, 0)))


# ----------------------------------------------------------------------------------- binding


@pytest.mark.parametrize("constraints", [1, 2, 3, 4, 5, 12, 13])
def test_rows_that_bind_are_kept_at_every_size(constraints: int) -> None:
    """x_i * 0 = 0: each public input, used or not, has a point of its own in the key."""
    circuit = R1cs(6, 3, CIRCUIT.constraints * constraints).serialize()
    pk, vk = groth16.setup(circuit, SEED)
    points = native.vk_points(vk)[14:]
    assert len(set(zip(points[::2], points[1::2], strict=True))) == 4
    groth16.check_key(vk, 3)
    proof, publics = groth16.prove_witness(pk, circuit, WTNS)
    groth16.verify(vk, publics, proof)
    for place in range(3):
        changed = list(publics)
        changed[place] += 1
        with pytest.raises(ProofInvalid):
            groth16.verify(vk, changed, proof)


# ----------------------------------------------------------------------------------- setup


def test_the_setup_is_the_same_on_every_machine() -> None:
    """Digests made once; whoever gets others has another generator, curve or reduction."""
    pk, vk = keys()
    assert hashlib.sha256(vk).hexdigest()[:16] == "dfc182fc726ac4b5"
    assert hashlib.sha256(pk).hexdigest()[:16] == "4c21305f3deaaf84"


def test_one_seed_gives_unrelated_keys_for_two_circuits() -> None:
    other = groth16.setup(R1cs(6, 3, CIRCUIT.constraints * 2).serialize(), SEED)
    ours, theirs = native.vk_points(keys().vk), native.vk_points(other.vk)
    assert not set(ours) & set(theirs)


# ------------------------------------------------------------------------- lying and noisy bytes

R1CS_HEADER = 24
"""Where the header's body starts in our files: wires at + 36, then the other counts."""


@pytest.mark.parametrize("place", [36, 40, 44, 48, 60])
@pytest.mark.parametrize("claim", [1 << 20, 1 << 28, (1 << 32) - 1])
def test_Z22_lying_headers_of_r1cs(place: int, claim: int) -> None:
    at = R1CS_HEADER + place
    lying = R1CS[:at] + claim.to_bytes(4, "little") + R1CS[at + 4 :]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for use in (
        lambda: native.r1cs_info(lying),
        lambda: groth16.setup(lying, SEED),
        lambda: groth16.prove_witness(keys().pk, lying, WTNS),
    ):
        with pytest.raises(DecodeError):
            use()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


@pytest.mark.parametrize("claim", [7, 1 << 28, (1 << 32) - 1])
def test_Z22_lying_headers_of_wtns(claim: int) -> None:
    lying = WTNS[:60] + claim.to_bytes(4, "little") + WTNS[64:]
    with pytest.raises(Truncated):
        native.wtns_wires(lying)


def test_Z22_sections_that_lie() -> None:
    for size in (1 << 20, (1 << 64) - 1):
        lying = R1CS[:16] + size.to_bytes(8, "little") + R1CS[24:]
        with pytest.raises(Truncated):
            native.r1cs_info(lying)
    twice = R1CS[:8] + struct.pack("<I", 4) + R1CS[12:] + R1CS[12:88]
    with pytest.raises(DecodeError, match="two sections"):
        native.r1cs_info(twice)
    gates = R1CS[:8] + struct.pack("<I", 4) + R1CS[12:] + struct.pack("<IQ", 4, 0)
    with pytest.raises(DecodeError, match="section of kind 4"):
        native.r1cs_info(gates)


def test_Z22_more_constraints_than_the_limit() -> None:
    at = R1CS_HEADER + 60
    with pytest.raises(TooLarge):
        native.r1cs_info(R1CS[:at] + ((1 << 22) + 1).to_bytes(4, "little") + R1CS[at + 4 :])


@given(st.data())
def test_Z25_noise_in_a_circuit(data: st.DataObject) -> None:
    raw = _noisy(R1CS, data)
    try:
        pk, vk = groth16.setup(raw, SEED)
        proof, publics = groth16.prove_witness(pk, raw, WTNS)
    except GrailError:
        return
    groth16.verify(vk, publics, proof)


@given(st.data())
def test_Z25_noise_in_a_witness(data: st.DataObject) -> None:
    try:
        proof, publics = groth16.prove_witness(keys().pk, R1CS, _noisy(WTNS, data))
    except GrailError:
        return
    groth16.verify(keys().vk, publics, proof)


@given(st.data())
def test_Z25_noise_in_a_proving_key(data: st.DataObject) -> None:
    try:
        proof, publics = groth16.prove_witness(_noisy(keys().pk, data), R1CS, WTNS)
    except GrailError:
        return
    groth16.verify(keys().vk, publics, proof)


def _noisy(raw: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(raw)))
    removed = data.draw(st.integers(0, 40))
    return raw[:place] + data.draw(st.binary(max_size=40)) + raw[place + removed :]


def test_proofs_are_checked_before_they_leave() -> None:
    """A damaged key with every point still in its group is noticed, not sent to an operator."""
    pk, _ = keys()
    l_query = pk[-128:-64]
    assert len(l_query) == 64
    swapped = pk[:-128] + pk[-64:] + l_query
    with pytest.raises(InvalidInput, match="does not belong"):
        groth16.prove_witness(swapped, R1CS, WTNS)
    assert proved().publics == PUBLICS
