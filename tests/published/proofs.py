"""circom's circuits with proofs of snarkjs and what must be refused; Poseidon; BabyJubJub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from signed_circuit import signed_message

from grail import native
from grail.crypto import babyjub
from grail.crypto.poseidon import poseidon
from grail.errors import InvalidInput, ProofInvalid, SignatureInvalid
from grail.zk import groth16, snarkjs
from published.ledger import Case

CIRCUITS = ("multiplier", "lessthan64", "poseidon_preimage", "merkle16")
NO_GENERATOR = "inputs of circom's own witness generator, which is not run here"


def poseidon_hashes(folder: Path) -> Iterator[Case]:
    """Hashes of 1 to 16 elements by circomlib."""
    cases = json.loads((folder / "poseidon" / "poseidon_bn254.json").read_text())["cases"]
    for number, case in enumerate(cases):
        yield Case(f"hash {number}", partial(_poseidon, case))


def _poseidon(case: dict[str, Any]) -> None:
    assert poseidon([int(value) for value in case["inputs"]]) == int(case["hash"])


def baby_jubjub(folder: Path) -> Iterator[Case]:
    """Its arithmetic; signatures over it by circomlibjs, outside of a circuit and in one."""
    cases = json.loads((folder / "poseidon" / "babyjub_ops.json").read_text())["cases"]
    for number, case in enumerate(cases):
        yield Case(f"babyjub_ops {number}", partial(_arithmetic, case))
    cases = json.loads((folder / "poseidon" / "eddsa_babyjub_poseidon.json").read_text())["cases"]
    for number, case in enumerate(cases):
        yield Case(f"eddsa {number}", partial(_signature, case))


def _arithmetic(case: dict[str, Any]) -> None:
    left, right = (babyjub.BASE.times(int(case[name])) for name in ("a", "b"))
    expected = [babyjub.Point(*map(int, case[name])) for name in ("aB8", "bB8", "sum")]
    assert [left, right, left + right] == expected
    assert left.pack().hex() == case["packed_aB8"]
    assert babyjub.Point.unpack(left.pack()) == left


def _signature(case: dict[str, Any]) -> None:
    public, r8 = (babyjub.Point(*map(int, case[name])) for name in ("public_key", "R8"))
    message, signature = int(case["message"]), babyjub.Signature(r8, int(case["S"]))
    inputs = [public.x, public.y, message, r8.x, r8.y, signature.s]
    circuit = signed_message()
    if case["valid"]:
        key = babyjub.SigningKey(bytes.fromhex(case["private_key_hex"]))
        assert (key.public, key.sign(message)) == (public, signature)
        assert signature.pack().hex() == case["signature_packed_hex"]
        babyjub.verify(public, message, signature)
        broken = native.r1cs_check(circuit.r1cs, native.program_run(circuit.program, inputs))
        assert broken is None
        return
    with pytest.raises(SignatureInvalid):
        babyjub.verify(public, message, signature)
    witness = native.program_run(circuit.program, inputs)
    assert native.r1cs_check(circuit.r1cs, witness) is not None


def circom(folder: Path) -> Iterator[Case]:
    """Each circuit: its files, its proof, the ten that a verifier must refuse, a proof of ours."""
    for name in CIRCUITS:
        home = folder / "circom" / name
        for check in (_files, _proof_holds, _written_alike, _proven_again):
            yield Case(f"{name} {check.__name__.strip('_')}", partial(check, home))
        for negative in json.loads((home / "negative.json").read_text()):
            yield Case(f"{name} {negative['name']}", partial(_refused, home, negative))
        yield Case(f"{name} input.json", None, NO_GENERATOR)
    yield Case("pot12_final.ptau", partial(_ceremony, folder / "circom" / "pot12_final.ptau"))


def load(home: Path) -> tuple[bytes, tuple[int, ...], bytes]:
    """Verifying key, public inputs and proof, as snarkjs wrote them."""
    return (
        snarkjs.verification_key_from_json((home / "verification_key.json").read_bytes()),
        snarkjs.public_from_json((home / "public.json").read_bytes()),
        snarkjs.proof_from_json((home / "proof.json").read_bytes()),
    )


def _files(home: Path) -> None:
    """Circuit, witness, both keys and public inputs agree with each other."""
    circuit, wtns = (home / "circuit.r1cs").read_bytes(), (home / "witness.wtns").read_bytes()
    info, wires = native.r1cs_info(circuit), snarkjs.read_wtns(wtns)
    vk, publics, _ = load(home)
    assert native.r1cs_check(circuit, wtns) is None
    assert wires[1 : 1 + info.publics] == publics
    key = snarkjs.Zkey((home / "circuit.zkey").read_bytes())
    assert (key.vk, key.wires, key.publics) == (vk, info.wires, info.publics)


def _ceremony(path: Path) -> None:
    """Powers of one secret for 2^12 rows, to which two people contributed."""
    found = native.ptau_info(path.read_bytes())
    assert found == native.PtauInfo(power=12, ceremony_power=12, contributions=2, prepared=True)


def _proof_holds(home: Path) -> None:
    vk, publics, proof = load(home)
    groth16.check_key(vk, len(publics))
    groth16.verify(vk, publics, proof)


def _written_alike(home: Path) -> None:
    vk, publics, proof = load(home)
    theirs = json.loads((home / "verification_key.json").read_text())
    del theirs["vk_alphabeta_12"]
    assert json.loads(snarkjs.verification_key_json(vk)) == theirs
    assert json.loads(snarkjs.proof_json(proof)) == json.loads((home / "proof.json").read_text())
    assert json.loads(snarkjs.public_json(publics)) == json.loads(
        (home / "public.json").read_text()
    )


def _proven_again(home: Path) -> None:
    """A proof of ours by snarkjs' proving key holds under snarkjs' verifying key."""
    vk, publics, proof = load(home)
    key = snarkjs.Zkey((home / "circuit.zkey").read_bytes())
    proved = key.prove((home / "witness.wtns").read_bytes())
    assert proved.publics == publics
    assert proved.proof != proof
    groth16.verify(vk, publics, proved.proof)


def _refused(home: Path, negative: dict[str, Any]) -> None:
    vk, _, _ = load(home)
    with pytest.raises((ProofInvalid, InvalidInput)):
        groth16.verify(
            vk,
            snarkjs.public_from_json(json.dumps(negative["public"])),
            snarkjs.proof_from_json(json.dumps(negative["proof"])),
        )
