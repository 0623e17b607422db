"""Circuits, witnesses, keys and proofs, as files and as the JSON of snarkjs.

The crate's own decoders are fuzzed in the crate (`native.py`); here is what Python adds to them.
"""

from __future__ import annotations

import json

from fuzz.target import Target
from grail import native
from grail.errors import Incorrect, InvalidInput, ProofInvalid, Unsatisfied
from grail.zk import groth16, snarkjs

_NO_PROOF = (InvalidInput, Incorrect, Unsatisfied)


def r1cs(raw: bytes) -> None:
    """Both readers agree on a circuit, and the second one's file says the same."""
    found = snarkjs.inspect_r1cs(raw)
    system = snarkjs.read_r1cs(raw)
    assert len(system.constraints) == found.constraints, "other constraints"
    again = snarkjs.read_r1cs(system.serialize())
    assert (again.n_wires, again.n_public) == (system.n_wires, system.n_public), "another shape"
    assert again.constraints == system.constraints, "another circuit"


def wtns(raw: bytes) -> None:
    """The wires of a witness are numbers below r."""
    wires = snarkjs.read_wtns(raw)
    assert wires[0] == 1, "wire 0 is not one"
    assert all(0 <= wire < native.R for wire in wires), "no numbers of the field"


def zkey(raw: bytes) -> None:
    """A key of snarkjs has a verifying key of ours, which binds."""
    key = snarkjs.Zkey(raw)
    groth16.check_key(key.vk, key.publics)


def ptau(raw: bytes) -> None:
    """Powers of tau are those of one secret."""
    found = native.ptau_info(raw)
    assert 1 <= found.power <= found.ceremony_power, "no power"


def proofs(raw: bytes) -> None:
    """A proof and a key as bytes, and as snarkjs has them: there and back."""
    try:
        text = snarkjs.proof_json(raw)
        assert snarkjs.proof_from_json(text) == raw, "another proof"
    except (InvalidInput, ProofInvalid):
        pass
    assert snarkjs.verification_key_from_json(snarkjs.verification_key_json(raw)) == raw, "another"


def texts(raw: bytes) -> None:
    """The three JSON files of snarkjs."""
    for read in (snarkjs.public_from_json, snarkjs.proof_from_json):
        try:
            read(raw)
        except (InvalidInput, ProofInvalid):
            continue
    key = snarkjs.verification_key_from_json(raw)
    groth16.check_key(key, json.loads(raw)["nPublic"])


def verdicts(raw: bytes) -> None:
    """A proof's bytes, then inputs: no bytes make a false statement hold.

    Of the true one there are many proofs (with A and B negated, say), and each process makes its own.
    """
    from sample_circuit import PUBLICS, keys

    values = [int.from_bytes(raw[at : at + 32], "big") for at in range(128, len(raw), 32)]
    publics = tuple(values) or PUBLICS
    groth16.verify(keys().vk, publics, raw[:128])
    assert publics == PUBLICS, "a proof of nothing holds"


def _r1cs() -> list[bytes]:
    from fuzz import seeds

    return seeds.circuits("circuit.r1cs")


def _wtns() -> list[bytes]:
    from fuzz import seeds

    return seeds.circuits("witness.wtns")


def _zkeys() -> list[bytes]:
    from fuzz import seeds

    return seeds.circuits("circuit.zkey")


def _ptaus() -> list[bytes]:
    from fuzz import seeds

    return seeds.ptaus()


def _proofs() -> list[bytes]:
    from sample_circuit import keys

    from fuzz import seeds

    return [seeds.proof(), keys().vk]


def _texts() -> list[bytes]:
    from sample_circuit import PUBLICS, keys

    from fuzz import seeds

    made = (
        snarkjs.proof_json(seeds.proof()),
        snarkjs.verification_key_json(keys().vk),
        snarkjs.public_json(PUBLICS),
    )
    return [text.encode() for text in made]


def _verdicts() -> list[bytes]:
    from sample_circuit import PUBLICS

    from fuzz import seeds

    return [seeds.proof() + b"".join(value.to_bytes(32, "big") for value in PUBLICS)]


TARGETS = (
    Target(".r1cs", r1cs, _r1cs, most=8_192),
    Target(".wtns", wtns, _wtns, most=8_192),
    Target(".zkey", zkey, _zkeys, most=8_192, refusals=_NO_PROOF),
    Target(".ptau", ptau, _ptaus, most=8_192),
    Target("proof and key", proofs, _proofs, most=1_024, refusals=_NO_PROOF),
    Target("snarkjs JSON", texts, _texts, refusals=_NO_PROOF),
    Target("proof's verdict", verdicts, _verdicts, most=512, refusals=_NO_PROOF),
)
