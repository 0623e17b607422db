"""snarkjs' JSON and iden3's files; proofs of snarkjs and what it must refuse: tests/published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_circuit import CIRCUIT, PUBLICS, R1CS, WITNESS, WTNS, keys, proved

from grail import native
from grail.errors import DecodeError, GrailError, InvalidInput, ProofInvalid
from grail.zk import snarkjs

CIRCOM = ("multiplier", "lessthan64", "poseidon_preimage", "merkle16")


def test_ours_survive_the_way_there_and_back() -> None:
    vk, proof = keys().vk, proved().proof
    assert snarkjs.verification_key_from_json(snarkjs.verification_key_json(vk)) == vk
    assert snarkjs.proof_from_json(snarkjs.proof_json(proof)) == proof
    assert snarkjs.public_from_json(snarkjs.public_json(PUBLICS)) == PUBLICS


def change(text: str, path: list[str | int], value: Any) -> str:
    whole = json.loads(text)
    at = whole
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return json.dumps(whole)


BAD_PROOFS: dict[str, tuple[list[str | int], Any]] = {
    "another protocol": (["protocol"], "plonk"),
    "another curve": (["curve"], "bls12381"),
    "a number in place of its text": (["pi_a", 0], 7),
    "a sign": (["pi_a", 0], "-7"),
    "a leading zero": (["pi_a", 0], "07"),
    "digits of another script": (["pi_a", 0], "\u0663"),
    "a number of 300 digits": (["pi_a", 0], "1" * 300),
    "no third coordinate": (["pi_a"], ["1", "2"]),
    "the identity in G2": (["pi_b", 2], ["0", "0"]),
    "no list": (["pi_b"], "1"),
    "half an element of Fq2": (["pi_b", 0], ["1"]),
    "nothing": (["pi_c"], None),
}


@pytest.mark.parametrize("case", BAD_PROOFS)
def test_malformed_proofs(case: str) -> None:
    path, value = BAD_PROOFS[case]
    with pytest.raises((DecodeError, ProofInvalid)):
        snarkjs.proof_from_json(change(snarkjs.proof_json(proved().proof), path, value))


def test_malformed_keys() -> None:
    text = snarkjs.verification_key_json(keys().vk)
    for path, value in (
        (["nPublic"], 4),
        (["nPublic"], "3"),
        (["IC"], []),
        (["IC", 0], ["0", "1", "0"]),
        (["vk_delta_2", 0, 0], "1"),
        (["vk_gamma_2"], None),
    ):
        with pytest.raises(DecodeError):
            snarkjs.verification_key_from_json(change(text, path, value))


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "7", '{"a": 1}', '["1", 2]', '["-1"]'])
def test_texts_that_are_something_else(text: str) -> None:
    for read in (
        snarkjs.public_from_json,
        snarkjs.proof_from_json,
        snarkjs.verification_key_from_json,
    ):
        with pytest.raises(DecodeError):
            read(text)


def test_Z22_texts_without_end() -> None:
    with pytest.raises(DecodeError, match="at most"):
        snarkjs.public_from_json("[" + '"1",' * (1 << 20) + '"1"]')


def test_Z4_public_inputs_below_r() -> None:
    assert snarkjs.public_from_json(f'["{native.R - 1}"]') == (native.R - 1,)
    with pytest.raises(DecodeError, match="r or more"):
        snarkjs.public_from_json(f'["{native.R}"]')
    with pytest.raises(InvalidInput):
        snarkjs.public_json([native.R])


# --------------------------------------------------------------------------- .r1cs and .wtns


def test_reads_our_own_files() -> None:
    assert snarkjs.read_r1cs(R1CS) == CIRCUIT
    assert snarkjs.read_wtns(WTNS) == WITNESS
    inspection = snarkjs.inspect_r1cs(R1CS)
    assert (inspection.constraints, inspection.wires, inspection.terms) == (1, 6, 3)
    assert "1 constraints over 6 wires" in str(inspection)


@pytest.mark.parametrize("name", CIRCOM)
def test_reads_circoms_files(vectors: Path, name: str) -> None:
    folder = vectors / "circom" / name
    raw = (folder / "circuit.r1cs").read_bytes()
    witness = snarkjs.read_wtns((folder / "witness.wtns").read_bytes())
    system = snarkjs.read_r1cs(raw)
    assert system.first_failure(witness) is None
    again = system.serialize()  # labels and the split of public wires are not kept
    assert snarkjs.read_r1cs(again) == system
    public = json.loads((folder / "public.json").read_text())
    assert witness[1 : 1 + system.n_public] == tuple(map(int, public))


@given(st.binary(max_size=400), st.integers(0, len(R1CS)), st.integers(0, 60))
def test_Z25_any_bytes_as_a_circuit(noise: bytes, place: int, removed: int) -> None:
    raw = R1CS[:place] + noise + R1CS[place + removed :]
    try:
        system = snarkjs.read_r1cs(raw)
    except GrailError:
        return
    assert snarkjs.read_r1cs(system.serialize()) == system
