"""snarkjs takes our keys, circuits and proofs, and we take its: both run here, none is recorded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import reference
from curve import Q
from sample_circuit import CIRCUIT, PUBLICS, R1CS, WITNESS, WTNS, keys, proved

from grail.errors import DecodeError, ProofInvalid
from grail.native import R
from grail.zk import groth16, snarkjs
from grail.zk.r1cs import R1cs, witness_file

pytestmark = pytest.mark.ext


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> reference.Snarkjs:
    try:
        return reference.Snarkjs(tmp_path_factory.mktemp("snarkjs"))
    except reference.Missing as exc:
        if "snarkjs" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"snarkjs is required: {exc}")
        pytest.skip(f"no snarkjs: {exc}")


@pytest.fixture(scope="module")
def made(node: reference.Snarkjs) -> dict[str, Any]:
    """snarkjs' own setup for our circuit: keys without and with a contribution."""
    circuit = node.path("circuit.r1cs", R1CS)
    ptau = reference.powers_of_tau(node, 8)
    return node.run("setup", circuit, ptau, "bare.zkey", "circuit.zkey")


def test_snarkjs_takes_our_proof_and_no_other(node: reference.Snarkjs) -> None:
    vk = snarkjs.verification_key_json(keys().vk)
    proof = snarkjs.proof_json(proved().proof)
    assert node.verify(vk, snarkjs.public_json(PUBLICS), proof)["holds"] is True
    for place in range(3):
        changed = [value + (i == place) for i, value in enumerate(PUBLICS)]
        assert node.verify(vk, snarkjs.public_json(changed), proof)["holds"] is False


def test_snarkjs_takes_our_witness_and_no_other(node: reference.Snarkjs) -> None:
    circuit = node.path("circuit.r1cs", R1CS)
    assert node.run("check", circuit, node.path("good.wtns", WTNS))["holds"] is True
    forged = witness_file([*WITNESS[:3], 34, *WITNESS[4:]])
    assert node.run("check", circuit, node.path("forged.wtns", forged))["holds"] is False


def test_snarkjs_proves_our_circuit_and_we_verify(
    node: reference.Snarkjs, made: dict[str, Any]
) -> None:
    theirs = node.run("prove", "circuit.zkey", node.path("witness.wtns", WTNS), 1)
    publics = snarkjs.public_from_json(json.dumps(theirs["publics"]))
    proof = snarkjs.proof_from_json(json.dumps(theirs["proof"]))
    vk = snarkjs.verification_key_from_json(json.dumps(made["contributed"]))
    assert publics == PUBLICS
    groth16.check_key(vk, 3)
    groth16.verify(vk, publics, proof)
    for place in range(3):
        changed = [(value + (i == place)) % R for i, value in enumerate(PUBLICS)]
        with pytest.raises(ProofInvalid):
            groth16.verify(vk, changed, proof)


def test_we_prove_our_circuit_with_snarkjs_key_and_snarkjs_verifies(
    node: reference.Snarkjs, made: dict[str, Any]
) -> None:
    """Its setup of our circuit, our proof from its `.zkey`: it takes that and nothing else."""
    key = snarkjs.Zkey(node.path("circuit.zkey").read_bytes())
    proof, publics = key.prove(WTNS)
    assert publics == PUBLICS
    theirs = json.dumps(made["contributed"])
    assert key.vk == snarkjs.verification_key_from_json(theirs)
    points = snarkjs.proof_json(proof)
    assert node.verify(theirs, snarkjs.public_json(publics), points)["holds"] is True
    for place in range(3):
        changed = [value + (i == place) for i, value in enumerate(PUBLICS)]
        assert node.verify(theirs, snarkjs.public_json(changed), points)["holds"] is False


def test_snarkjs_takes_our_proofs_of_circoms_circuits(
    node: reference.Snarkjs, vectors: Path
) -> None:
    for name in ("multiplier", "lessthan64", "poseidon_preimage", "merkle16"):
        folder = vectors / "circom" / name
        key = snarkjs.Zkey((folder / "circuit.zkey").read_bytes())
        proof, publics = key.prove((folder / "witness.wtns").read_bytes())
        texts = [(folder / f"{part}.json").read_text() for part in ("verification_key", "public")]
        assert json.loads(texts[1]) == [str(value) for value in publics]
        assert node.verify(*texts, snarkjs.proof_json(proof))["holds"] is True


def test_Z4_what_is_not_reduced(node: reference.Snarkjs, vectors: Path) -> None:
    """A coordinate plus q is the same point to snarkjs: one proof, several encodings. Not here."""
    folder = vectors / "circom" / "multiplier"
    key, public = ((folder / f"{name}.json").read_text() for name in ("verification_key", "public"))
    proof = json.loads((folder / "proof.json").read_text())
    alias = json.dumps([str(int(json.loads(public)[0]) + R)])
    assert node.verify(key, alias, json.dumps(proof))["holds"] is False
    with pytest.raises(DecodeError, match="r or more"):
        snarkjs.public_from_json(alias)
    for place in range(2):
        other = json.loads(json.dumps(proof))
        other["pi_a"][place] = str(int(proof["pi_a"][place]) + Q)
        assert node.verify(key, public, json.dumps(other))["holds"] is True
        with pytest.raises(ProofInvalid):
            snarkjs.proof_from_json(json.dumps(other))


def test_Z7_a_zkey_without_contribution(node: reference.Snarkjs, made: dict[str, Any]) -> None:
    assert made["bare"]
    with pytest.raises(DecodeError, match=r"anyone can forge|nobody contributed"):
        snarkjs.Zkey(node.path("bare.zkey").read_bytes())


def test_Z7_a_key_of_snarkjs_without_contribution(made: dict[str, Any]) -> None:
    vk = snarkjs.verification_key_from_json(json.dumps(made["bare"]))
    with pytest.raises(DecodeError, match="delta"):
        groth16.check_key(vk, 3)


def test_snarkjs_reads_larger_circuits_of_ours(node: reference.Snarkjs) -> None:
    rows = CIRCUIT.constraints * 100
    larger = R1cs(CIRCUIT.n_wires, CIRCUIT.n_public, rows).serialize()
    circuit = node.path("larger.r1cs", larger)
    assert node.run("check", circuit, node.path("good.wtns", WTNS))["holds"] is True
    pk, vk = groth16.setup(larger, bytes(32))
    proof, publics = groth16.prove_witness(pk, larger, WTNS)
    answer = node.verify(
        snarkjs.verification_key_json(vk), snarkjs.public_json(publics), snarkjs.proof_json(proof)
    )
    assert answer["holds"] is True


def test_published_vectors_verify_under_node(node: reference.Snarkjs, vectors: Path) -> None:
    """The driver itself: what it calls holding holds elsewhere too, and a false one does not."""
    folder = vectors / "circom" / "multiplier"
    texts = [(folder / f"{name}.json").read_text() for name in ("verification_key", "public")]
    proof = (folder / "proof.json").read_text()
    assert node.verify(*texts, proof)["holds"] is True
    assert node.verify(texts[0], '["34"]', proof)["holds"] is False
