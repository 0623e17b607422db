"""Verifying: keys and proofs that hold, and every way known to us in which they must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_circuit import PUBLICS, R1CS, SEED, WTNS, keys, proved
from tests.curve import Q, add, negative

from grail import _native, native
from grail.errors import DecodeError, InvalidInput, NotCanonical, ProofInvalid
from grail.native import R
from grail.zk import groth16

G2 = (
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
)

ALPHA, BETA, GAMMA, DELTA = (slice(0, 2), slice(2, 6), slice(6, 10), slice(10, 14))


# ------------------------------------------------------------------------ proofs made elsewhere


def test_simulated_proofs_of_the_protocol_vectors(vectors: Path) -> None:
    folder = vectors / "protocol"
    facts = json.loads((folder / "facts.json").read_text())
    spells = json.loads((folder / "spells.json").read_text())
    vks = {
        (bundle["K"], int(number)): bytes.fromhex(action["vk"])
        for bundle in facts["bundles"]
        for number, action in bundle["actions"].items()
    }
    f_of = {
        (expansion["spell"], expansion["K"]): int(expansion["F"])
        for expansion in facts["expansions"]
    }
    for vk in vks.values():
        groth16.check_key(vk, 3)
    statements = []
    for spell in spells["spells"]:
        for contract in spell["contracts"]:
            if "proof_simulated" not in contract:
                continue
            publics = (
                int(contract["public_input_0"]),
                int(contract["public_input_1"]),
                f_of[spell["name"], contract["K"]],
            )
            vk = vks[contract["K"], contract["action"]]
            proof = bytes.fromhex(contract["proof_simulated"])
            groth16.verify(vk, publics, proof)
            with pytest.raises(ProofInvalid):
                groth16.verify(vk, (*publics[:2], publics[2] + 1), proof)
            statements.append(groth16.Statement(vk, publics, proof))
    assert len(statements) == len(f_of) == 12
    groth16.verify_batch(statements)


# ---------------------------------------------------------------------------- public inputs


def test_a_proof_of_ours_holds() -> None:
    proof, publics = proved()
    assert publics == PUBLICS
    assert len(proof) == groth16.PROOF_SIZE
    assert len(keys().vk) == groth16.key_size(3)
    groth16.check_key(keys().vk, 3)
    groth16.verify(keys().vk, publics, proof)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("change", [1, -1, 1 << 200])
def test_every_public_input_is_bound(place: int, change: int) -> None:
    """Also those that no constraint mentions: the rows x_i * 0 = 0 hold them."""
    proof, publics = proved()
    changed = list(publics)
    changed[place] = (changed[place] + change) % R
    with pytest.raises(ProofInvalid):
        groth16.verify(keys().vk, changed, proof)


@pytest.mark.parametrize("place", range(3))
def test_Z4_public_inputs_are_never_reduced(place: int) -> None:
    proof, publics = proved()
    for alias in (publics[place] + R, publics[place] - R, -publics[place], 1 << 256):
        changed = [*publics[:place], alias, *publics[place + 1 :]]
        with pytest.raises(InvalidInput):
            groth16.verify(keys().vk, changed, proof)


@pytest.mark.parametrize("last", [b"", bytes(31), bytes(33), bytes(64)])
def test_Z4_elements_of_another_length_are_refused_at_the_seam(last: bytes) -> None:
    proof, publics = proved()
    raw = [value.to_bytes(32, "big") for value in publics]
    _native.groth16_verify(keys().vk, raw, proof)
    with pytest.raises(ValueError, match="expected 32"):
        _native.groth16_verify(keys().vk, [*raw[:2], last], proof)


@pytest.mark.parametrize("publics", [(), PUBLICS[:2], (*PUBLICS, 0), (*PUBLICS, 1)])
def test_Z12_too_few_or_too_many_public_inputs(publics: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="public inputs"):
        groth16.verify(keys().vk, publics, proved().proof)


def test_Z10_a_valid_proof_under_a_foreign_key() -> None:
    other = groth16.setup(R1CS, bytes(32))
    theirs = groth16.prove_witness(other.pk, R1CS, WTNS)
    groth16.verify(other.vk, theirs.publics, theirs.proof)
    for vk, proof in ((keys().vk, theirs.proof), (other.vk, proved().proof)):
        with pytest.raises(ProofInvalid):
            groth16.verify(vk, PUBLICS, proof)


def test_Z24_a_kept_key_answers_for_no_other() -> None:
    """The verifier keeps prepared keys; what it keeps is found by the key's whole bytes."""
    proof, publics = proved()
    groth16.verify(keys().vk, publics, proof)
    coordinates = list(native.vk_points(keys().vk))
    coordinates[14:16], coordinates[16:18] = coordinates[16:18], coordinates[14:16]
    swapped = native.vk_from_points(coordinates)
    for _ in range(2):
        with pytest.raises(ProofInvalid):
            groth16.verify(swapped, publics, proof)
        groth16.verify(keys().vk, publics, proof)


# ------------------------------------------------------------------------------------- batches


def test_a_batch_of_many_keys_holds() -> None:
    other = groth16.setup(R1CS, bytes(32))
    theirs = groth16.prove_witness(other.pk, R1CS, WTNS)
    ours = groth16.Statement(keys().vk, PUBLICS, proved().proof)
    groth16.verify_batch([ours, groth16.Statement(other.vk, theirs.publics, theirs.proof), ours])
    groth16.verify_batch([])


def test_a_batch_names_the_first_bad_proof() -> None:
    good = groth16.Statement(keys().vk, PUBLICS, proved().proof)
    bad = good._replace(publics=(5, 7, 33))
    with pytest.raises(ProofInvalid, match="proof 2"):
        groth16.verify_batch([good, good, bad, bad])


def test_Z4_a_batch_never_reduces_either() -> None:
    good = groth16.Statement(keys().vk, PUBLICS, proved().proof)
    with pytest.raises(InvalidInput):
        groth16.verify_batch([good, good._replace(publics=(5 + R, 6, 33))])


def test_Z23_a_pair_whose_faults_cancel() -> None:
    """C + P in one proof and C - P in the other: an unweighted sum would not see it."""
    first, second = (groth16.prove_witness(keys().pk, R1CS, WTNS).proof for _ in range(2))
    point = (1, 2)
    one, two = list(native.proof_points(first)), list(native.proof_points(second))
    total = add((one[6], one[7]), (two[6], two[7]))
    one[6:8] = add((one[6], one[7]), point)
    two[6:8] = add((two[6], two[7]), negative(point))
    assert add((one[6], one[7]), (two[6], two[7])) == total
    pair = [
        groth16.Statement(keys().vk, PUBLICS, native.proof_from_points(changed))
        for changed in (one, two)
    ]
    for _ in range(20):
        with pytest.raises(ProofInvalid):
            groth16.verify_batch(pair)


# ------------------------------------------------------------------------------ malformed bytes


@given(st.integers(0, groth16.PROOF_SIZE * 8 - 1))
def test_any_flipped_bit_of_a_proof(bit: int) -> None:
    raw = bytearray(proved().proof)
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProofInvalid):
        groth16.verify(keys().vk, PUBLICS, bytes(raw))


@given(st.binary(max_size=160))
def test_Z25_any_bytes_as_a_proof(raw: bytes) -> None:
    with pytest.raises(ProofInvalid):
        groth16.verify(keys().vk, PUBLICS, raw)


@given(st.integers(0, groth16.key_size(3) * 8 - 1))
def test_any_flipped_bit_of_a_key(bit: int) -> None:
    """Refused as bytes, or as a key under which the proof does not hold."""
    raw = bytearray(keys().vk)
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises((ProofInvalid, DecodeError)):
        groth16.verify(bytes(raw), PUBLICS, proved().proof)


@given(st.binary(max_size=500))
def test_Z25_any_bytes_as_a_key(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        groth16.check_key(raw, 3)


INFINITY_G1 = bytes(31) + b"\x40"
INFINITY_G2 = bytes(63) + b"\x40"
PARTS_OF_A_PROOF = {"A": (0, 32), "B": (32, 96), "C": (96, 128)}


@pytest.mark.parametrize("part", PARTS_OF_A_PROOF)
def test_Z11_points_of_a_proof(part: str) -> None:
    start, end = PARTS_OF_A_PROOF[part]
    infinity = bytes(end - start - 1) + b"\x40"
    faults = {
        "the identity": infinity,
        "the identity with a coordinate": b"\x01" + infinity[1:],
        "the modulus as x": (
            Q.to_bytes(32, "little") if part != "B" else bytes(32) + Q.to_bytes(32, "little")
        ),
        "both flags": b"\x01" + bytes(end - start - 2) + b"\xc0",
        "x = 0, which is on neither curve": bytes(end - start),
    }
    for fault, raw in faults.items():
        changed = proved().proof[:start] + raw + proved().proof[end:]
        assert len(changed) == 128, fault
        with pytest.raises(ProofInvalid):
            groth16.verify(keys().vk, PUBLICS, changed)


# ---------------------------------------------------------------------------------------- keys


def test_Z7_a_key_whose_delta_is_gamma() -> None:
    coordinates = list(native.vk_points(keys().vk))
    coordinates[DELTA] = coordinates[GAMMA]
    vk = native.vk_from_points(coordinates)
    with pytest.raises(DecodeError, match="gamma equals delta"):
        groth16.check_key(vk, 3)
    with pytest.raises(DecodeError, match="gamma equals delta"):
        groth16.verify(vk, PUBLICS, proved().proof)


def test_Z7_a_key_whose_delta_is_the_generator() -> None:
    coordinates = list(native.vk_points(keys().vk))
    coordinates[DELTA] = G2
    with pytest.raises(DecodeError, match="delta is the generator"):
        groth16.check_key(native.vk_from_points(coordinates), 3)


def test_a_key_with_gamma_at_the_generator_is_snarkjs_way() -> None:
    coordinates = list(native.vk_points(keys().vk))
    coordinates[GAMMA] = G2
    groth16.check_key(native.vk_from_points(coordinates), 3)


@pytest.mark.parametrize(("i", "j"), [(0, 1), (0, 3), (1, 2), (2, 3)])
def test_Z7_two_equal_points_of_ic(i: int, j: int) -> None:
    """Two public inputs with one point could be exchanged for one another."""
    coordinates = list(native.vk_points(keys().vk))
    coordinates[14 + 2 * i : 16 + 2 * i] = coordinates[14 + 2 * j : 16 + 2 * j]
    with pytest.raises(DecodeError, match="IC points are equal"):
        groth16.check_key(native.vk_from_points(coordinates), 3)


@pytest.mark.parametrize("start", [0, 32, 96, 160, 232, 264, 328])
def test_Z11_the_identity_anywhere_in_a_key(start: int) -> None:
    infinity = INFINITY_G2 if start in (32, 96, 160) else INFINITY_G1
    vk = keys().vk[:start] + infinity + keys().vk[start + len(infinity) :]
    with pytest.raises(DecodeError, match="identity"):
        groth16.check_key(vk, 3)


@pytest.mark.parametrize("n_public", [0, 2, 4])
def test_Z12_a_key_for_another_number_of_inputs(n_public: int) -> None:
    with pytest.raises(DecodeError, match="IC points"):
        groth16.check_key(keys().vk, n_public)


@pytest.mark.parametrize("count", [0, 3, 5, (1 << 64) - 1])
def test_Z22_a_lying_count_of_ic(count: int) -> None:
    vk = keys().vk[:224] + count.to_bytes(8, "little") + keys().vk[232:]
    with pytest.raises(DecodeError, match="IC points"):
        groth16.check_key(vk, 3)


def test_Z11_a_coordinate_that_is_not_reduced() -> None:
    coordinates = list(native.proof_points(proved().proof))
    coordinates[0] += Q
    with pytest.raises(ProofInvalid):
        native.proof_from_points(coordinates)
    of_key = list(native.vk_points(keys().vk))
    of_key[0] += Q
    with pytest.raises(NotCanonical):
        native.vk_from_points(of_key)


def test_the_setup_is_the_seeds() -> None:
    assert groth16.setup(R1CS, SEED) == keys()
    assert groth16.setup(R1CS, bytes(32)).vk != keys().vk
    for seed in (b"", SEED[:31], SEED + b"\0"):
        with pytest.raises(InvalidInput):
            groth16.setup(R1CS, seed)
