"""Rows C4, C5 and C6: mock proofs, old versions, the fields in front of a proof."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import bls12_381
import pytest
import upstream_real as real

from grail import native
from grail.charms.upstream import item, keys, proof, versions
from grail.charms.upstream.proof import Enchanted, Keys
from grail.errors import DecodeError, ProofInvalid, SpellIncorrect, Unavailable


@pytest.fixture(scope="module")
def found(vectors: Path) -> Enchanted:
    return real.enchanted(real.raw(vectors, "tx/v12_op_return_283559062cb6.hex"))


@pytest.fixture(scope="module")
def known(vectors: Path) -> Keys:
    return real.known(vectors)


def judged(found: Enchanted, known: Keys, proof_: bytes, **more: item.Item) -> str:
    own = dict(found.spell.committed().items) | more
    payload = item.write((item.Pairs(tuple(own.items())), tuple(proof_)))
    return real.of_tx(real.changed(found, payload), known)


MOCK_PROOF = bytes.fromhex(
    "a0794288c7dbb6cc0c2eaafa15c73189704ceb8f0ae952edcaa8da229e64b416e4a5e81f78ce1d08f0c7d434ca59eb4f"
    "93981d4368422f655c35e26c3f6ce808cd7987228bd053eab6f33bbb3d9f70bdfae253631061b0cf18467be48bf84035"
    "19a74de58162899916ce2904386f457cab6fc45219be63f2f3a5b0e121700b924a95901ac4cef33021c52e10bacfd667"
    "94a2eb033ae3953bb98d5824288d38add6bcbd7e157fbe05dccbc41fb299d63734676e97aceadec553adfa04a73a8de0"
)
"""A mock proof of the real spell of version 12 with `mock: true` in it. Made here, with the proving
key that upstream publishes (src/bin/mock-groth16-pk.bin of CharmsDev/charms, circuit a * 1 = c)."""


def test_C4_a_valid_mock_proof_is_incorrect(found: Enchanted, known: Keys, vectors: Path) -> None:
    key = (vectors / "charms" / "vk" / "mock_groth16_vk.bin").read_bytes()
    mock = replace(found, spell=replace(found.spell, mock=True))
    # upstream's mocks name the mock key's digest as their program
    row, program = versions.version(12), hashlib.sha256(key).hexdigest().encode()
    values = proof.public_values(mock).replace(row.program.hex().encode(), program)
    number = int.from_bytes(hashlib.sha256(values).digest()[:31], "little")
    bls12_381.verify(key, [number], MOCK_PROOF)
    with pytest.raises(ProofInvalid):
        bls12_381.verify(key, [number + 1], MOCK_PROOF)

    assert judged(found, known, MOCK_PROOF, mock=True) == "MockSpell"
    assert judged(found, known, MOCK_PROOF) == "ProofHeader"
    # nor does it help to bring the key along, by its own name or by that of the version's key
    for name in (hashlib.sha256(key).digest(), row.key.digest):
        assert judged(found, {**known, name: key}, MOCK_PROOF, mock=True) == "MockSpell"


def test_C4_a_mock_spell_is_refused_whatever_its_proof(
    found: Enchanted, known: Keys, vectors: Path
) -> None:
    """192 bytes are the size of a mock proof; the mock key is no key of the table."""
    for raw in (found.proof, bytes(192), b""):
        assert judged(found, known, raw, mock=True) == "MockSpell"
    mock = (vectors / "charms" / "vk" / "mock_groth16_vk.bin").read_bytes()
    assert hashlib.sha256(mock).digest() not in known
    row = versions.version(12)
    with pytest.raises(Unavailable):
        proof.verify(found, {row.key.digest: mock})


def test_C4_a_mock_proof_under_another_flag(found: Enchanted, known: Keys) -> None:
    assert judged(found, known, bytes(192)) == "ProofHeader"
    assert judged(found, known, b"") == "ProofAbsent"


@pytest.mark.parametrize("row", versions.TABLE[:-1], ids=lambda row: f"v{row.number}")
def test_C5_a_retired_version_has_a_last_height(row: versions.Version) -> None:
    assert row.retired
    assert row.last_height is not None
    versions.check_age(row.number, row.last_height)
    with pytest.raises(SpellIncorrect, match="VersionRetired") as refused:
        versions.check_age(row.number, row.last_height + 1)
    assert refused.value.expected == f"at most {row.last_height}"


def test_C5_the_version_of_today_has_none() -> None:
    versions.check_age(versions.CURRENT, 10**9)
    heights = [row.last_height for row in versions.TABLE[:-1]]
    assert heights == sorted(heights, key=lambda height: height or 0)
    with pytest.raises(SpellIncorrect, match="VersionUnknown"):
        versions.check_age(versions.CURRENT + 1, 1)


def test_C5_every_row_is_told_from_every_other() -> None:
    assert len({row.program for row in versions.TABLE}) == len(versions.TABLE)
    assert [row.number for row in versions.TABLE] == list(range(1, versions.CURRENT + 1))


@pytest.mark.parametrize("number", range(1, 16))
def test_C5_a_proof_under_another_version(number: int, found: Enchanted, known: Keys) -> None:
    """The same proof in a spell that claims any other version, older ones with laxer keys too."""
    said = judged(found, known, found.proof, version=number)
    assert said == {12: "valid", 13: "ProofInvalid"}.get(number, "ProofHeader")


FIELDS = {
    "length, one less": lambda raw: raw[:-1],
    "length, one more": lambda raw: raw + b"\x00",
    "length of SP1 5": lambda raw: raw[:4] + raw[100:],
    "key": lambda raw: bytes.fromhex("4388a21c") + raw[4:],
    "exit code": lambda raw: raw[:35] + b"\x01" + raw[36:],
    "exit code, high": lambda raw: raw[:4] + b"\x01" + raw[5:],
    "vk root": lambda raw: raw[:67] + bytes([raw[67] ^ 1]) + raw[68:],
    "vk root of another": lambda raw: raw[:36] + versions.version(15).key.vk_root + raw[68:],
}


@pytest.mark.parametrize("case", FIELDS)
def test_C6_fields_in_front_of_the_points(case: str, found: Enchanted, known: Keys) -> None:
    assert judged(found, known, FIELDS[case](found.proof)) == "ProofHeader"


def test_C6_nonce_is_a_public_input(found: Enchanted, known: Keys) -> None:
    raw = found.proof
    changed = raw[:99] + bytes([raw[99] ^ 1]) + raw[100:]
    assert judged(found, known, changed) == "ProofInvalid"


Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The modulus of BN254's coordinates."""


@pytest.mark.parametrize("coordinate", range(8))
def test_C6_a_coordinate_that_is_not_reduced(
    coordinate: int, found: Enchanted, known: Keys
) -> None:
    at = 100 + 32 * coordinate
    value = int.from_bytes(found.proof[at : at + 32], "big") + Q
    changed = found.proof[:at] + value.to_bytes(32, "big") + found.proof[at + 32 :]
    assert judged(found, known, changed) == "ProofInvalid"
    negated = (2 * Q - value).to_bytes(32, "big")
    changed = found.proof[:at] + negated + found.proof[at + 32 :]
    assert judged(found, known, changed) == "ProofInvalid"


def test_C6_public_inputs_are_reduced_and_counted(found: Enchanted, known: Keys) -> None:
    row = versions.version(12)
    key, points = known[row.key.digest], found.proof[100:]
    inputs = [
        row.program,
        proof.digest(proof.public_values(found)),
        *(found.proof[at : at + 32] for at in (4, 36, 68)),
    ]
    native.gnark_verify(key, inputs, points)
    for place, value in enumerate(inputs):
        above = (int.from_bytes(value, "big") + native.R).to_bytes(32, "big")
        with pytest.raises(DecodeError, match="not below the modulus"):
            native.gnark_verify(key, [*inputs[:place], above, *inputs[place + 1 :]], points)
    with pytest.raises(ValueError, match="public inputs: got 4"):
        native.gnark_verify(key, inputs[:4], points)
    with pytest.raises(ProofInvalid):
        native.gnark_verify(key, [*inputs[:2], *inputs[3:], inputs[2]], points)


def test_keys_are_known_by_their_digest_only(
    vectors: Path, tmp_path: Path, found: Enchanted
) -> None:
    for path in (vectors / "charms" / "vk").glob("*.bin"):
        raw = bytearray(path.read_bytes())
        raw[10] ^= 1
        (tmp_path / path.name).write_bytes(raw)
    assert keys.read([tmp_path, tmp_path / "missing"]) == {}
    with pytest.raises(Unavailable, match=versions.version(12).key.digest.hex()):
        proof.verify(found, {})


@pytest.mark.parametrize("name", ["v1", "v4", "v12", "v14"])
def test_a_key_that_is_cut_or_flipped_never_verifies(
    name: str, vectors: Path, found: Enchanted
) -> None:
    """Hostile keys are errors of ours, whatever is in them."""
    raw = (vectors / "charms" / "vk" / f"{name}_groth16_vk.bin").read_bytes()
    inputs = [bytes(32)] * (5 if len(raw) == 492 else 2)
    points = found.proof[100:]
    with pytest.raises(ProofInvalid):
        native.gnark_verify(raw, inputs, points)
    for size in (*range(0, len(raw), 7), len(raw) - 1):
        with pytest.raises(ValueError, match=r"verifying key|public inputs"):
            native.gnark_verify(raw[:size], inputs, points)
    for at in range(0, len(raw), 13):
        flipped = raw[:at] + bytes([raw[at] ^ 0x40]) + raw[at + 1 :]
        with pytest.raises((ValueError, ProofInvalid)):
            native.gnark_verify(flipped, inputs, points)
