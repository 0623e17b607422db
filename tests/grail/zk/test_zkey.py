"""Proving keys of snarkjs: what they prove, what a bad witness gives, and bytes that lie.

The small key is the project's own (examples/multiplier); the larger ones are read from the vectors;
proofs from them are verified in tests/published.
"""

from __future__ import annotations

import json
import resource
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail import native
from grail.errors import (
    DecodeError,
    GrailError,
    InvalidInput,
    NotCanonical,
    ProofInvalid,
    TooLarge,
    TrailingBytes,
    Truncated,
)
from grail.native import R
from grail.zk import groth16, snarkjs
from grail.zk.r1cs import witness_file

CIRCOM = ("multiplier", "lessthan64", "poseidon_preimage", "merkle16")
HOME = Path(__file__).resolve().parents[3] / "examples" / "multiplier"
ZKEY = (HOME / "circuit.zkey").read_bytes()
WTNS = (HOME / "witness.wtns").read_bytes()
Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583


def sections() -> dict[int, tuple[int, int]]:
    """Of each section of the small key: where its body starts, and its size."""
    found, at = {}, 12
    while at < len(ZKEY):
        kind, size = struct.unpack_from("<IQ", ZKEY, at)
        found[kind] = (at + 12, size)
        at += 12 + size
    return found


SECTIONS = sections()


def changed(at: int, new: bytes) -> bytes:
    return ZKEY[:at] + new + ZKEY[at + len(new) :]


def in_section(kind: int, at: int, new: bytes) -> bytes:
    return changed(SECTIONS[kind][0] + at, new)


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


WIRES, PUBLICS, DOMAIN = 72, 76, 80
"""Where the header (section 2) has its counts: behind two moduli with their lengths."""
DELTA_G2 = 84 + 64 + 64 + 128 + 128 + 64
GAMMA_G2 = 84 + 64 + 64 + 128


# ---------------------------------------------------------------------------------- what it proves


@pytest.mark.parametrize("name", CIRCOM)
def test_no_wire_of_a_witness_may_change(vectors: Path, name: str) -> None:
    """Without the matrix C a broken row shows in the proof alone, which is not handed out."""
    folder = vectors / "circom" / name
    key = snarkjs.Zkey((folder / "circuit.zkey").read_bytes())
    wires = list(native.wtns_wires((folder / "witness.wtns").read_bytes()))
    for wire in sorted({1, len(wires) // 3, len(wires) // 2, len(wires) - 1}):
        forged = [*wires[:wire], (wires[wire] + 1) % R, *wires[wire + 1 :]]
        with pytest.raises(ProofInvalid, match="breaks a constraint") as raised:
            key.prove(witness_file(forged))
        # the same words for every wire: nothing of the witness is in them
        assert raised.value.args == ("the witness breaks a constraint, or the zkey is damaged",)


def test_Z21_two_proofs_of_one_zkey_differ() -> None:
    key = snarkjs.Zkey(ZKEY)
    proofs = [key.prove(WTNS).proof for _ in range(8)]
    for start, end in ((0, 32), (32, 96), (96, 128)):
        assert len({proof[start:end] for proof in proofs}) == 8


def test_a_witness_of_another_circuit() -> None:
    key = snarkjs.Zkey(ZKEY)
    for wires in ((1, 33, 3), (1, 33, 3, 11, 0), (1,)):
        with pytest.raises(InvalidInput, match="the circuit has 4"):
            key.prove(witness_file(wires))


def test_says_what_it_holds() -> None:
    key = snarkjs.Zkey(ZKEY)
    assert str(key) == "proving key over 4 wires (1 public), 4 rows, 4 terms"
    assert snarkjs.verification_key_json(key.vk) == snarkjs.verification_key_json(
        snarkjs.verification_key_from_json((HOME / "verification_key.json").read_text())
    )
    assert json.loads((HOME / "public.json").read_text()) == ["33"]


# ------------------------------------------------------------------------------------ lying bytes


@pytest.mark.parametrize("kind", range(1, 11))
@pytest.mark.parametrize("size", [1 << 32, (1 << 32) + 7, (1 << 63) + 1, (1 << 64) - 1])
def test_Z22_sections_of_a_zkey_that_lie(kind: int, size: int) -> None:
    with pytest.raises(Truncated):
        snarkjs.Zkey(changed(SECTIONS[kind][0] - 8, size.to_bytes(8, "little")))


LYING: dict[str, tuple[bytes, type[GrailError]]] = {
    "2^28 wires": (in_section(2, WIRES, u32(1 << 28)), TooLarge),
    "2^32 - 1 wires": (in_section(2, WIRES, u32((1 << 32) - 1)), TooLarge),
    "2^23 wires": (in_section(2, WIRES, u32(1 << 23)), Truncated),
    "2^28 rows": (in_section(2, DOMAIN, u32(1 << 28)), TooLarge),
    "2^31 rows": (in_section(2, DOMAIN, u32(1 << 31)), TooLarge),
    "2^23 rows": (in_section(2, DOMAIN, u32(1 << 23)), Truncated),
    "no rows": (in_section(2, DOMAIN, u32(0)), DecodeError),
    "rows of no power of two": (in_section(2, DOMAIN, u32(3)), DecodeError),
    "fewer rows": (in_section(2, DOMAIN, u32(2)), TrailingBytes),
    "no wires": (in_section(2, WIRES, u32(0)), DecodeError),
    "a wire less": (in_section(2, WIRES, u32(3)), TrailingBytes),
    "as many public wires as wires": (in_section(2, PUBLICS, u32(4)), DecodeError),
    "2^32 - 1 public wires": (in_section(2, PUBLICS, u32((1 << 32) - 1)), DecodeError),
    "two public wires": (in_section(2, PUBLICS, u32(2)), Truncated),
    "2^28 coefficients": (in_section(4, 0, u32(1 << 28)), Truncated),
    "2^32 - 1 coefficients": (in_section(4, 0, u32((1 << 32) - 1)), Truncated),
    "a coefficient less": (in_section(4, 0, u32(3)), TrailingBytes),
    "a third matrix": (in_section(4, 4, u32(2)), DecodeError),
    "a row that is none": (in_section(4, 8, u32(4)), DecodeError),
    "a wire that is none": (in_section(4, 12, u32(4)), DecodeError),
    "a coefficient of r": (in_section(4, 16, R.to_bytes(32, "little")), NotCanonical),
    "a coordinate of q": (in_section(5, 0, Q.to_bytes(32, "little")), NotCanonical),
    "another protocol": (in_section(1, 0, u32(2)), DecodeError),
    "another curve": (in_section(2, 4, bytes(32)), DecodeError),
    "another field": (in_section(2, 40, bytes(32)), DecodeError),
    "numbers of another length": (in_section(2, 0, u32(48)), DecodeError),
    "another version": (changed(4, u32(2)), DecodeError),
    "another file": (changed(0, b"r1cs"), DecodeError),
    "2^32 - 1 sections": (changed(8, u32((1 << 32) - 1)), Truncated),
    "no section of wires' bases": (changed(SECTIONS[5][0] - 12, u32(10)), DecodeError),
    "a section of kind 11": (changed(SECTIONS[10][0] - 12, u32(11)), DecodeError),
    "a byte after the end": (ZKEY + b"\x00", TrailingBytes),
    "delta that is gamma": (
        in_section(2, DELTA_G2, ZKEY[SECTIONS[2][0] + GAMMA_G2 :][:128]),
        DecodeError,
    ),
    "alpha that is the identity": (in_section(2, 84, bytes(64)), DecodeError),
    "a public input without a point": (in_section(3, 64, bytes(64)), DecodeError),
}


@pytest.mark.parametrize("case", LYING)
def test_Z22_zkeys_that_lie(case: str) -> None:
    raw, kind = LYING[case]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DecodeError) as raised:
        snarkjs.Zkey(raw)
    assert type(raised.value) is kind
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


@pytest.mark.parametrize("kind", [3, 5, 6, 7, 8, 9])
def test_Z11_points_off_their_curves(kind: int) -> None:
    start, size = SECTIONS[kind]
    step = 128 if kind == 7 else 64
    seen = 0
    for at in range(0, size, step):
        if not any(ZKEY[start + at : start + at + step]):
            continue
        raw = bytearray(ZKEY)
        raw[start + at] ^= 1
        with pytest.raises(DecodeError, match=r"curve|modulus"):
            snarkjs.Zkey(bytes(raw))
        seen += 1
    assert seen


def test_every_truncation_is_refused() -> None:
    for end in range(len(ZKEY)):
        with pytest.raises(DecodeError):
            snarkjs.Zkey(ZKEY[:end])


@given(st.data())
def test_Z25_noise_in_a_zkey(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(ZKEY)))
    removed = data.draw(st.integers(0, 40))
    raw = ZKEY[:place] + data.draw(st.binary(max_size=40)) + ZKEY[place + removed :]
    _refused_or_sound(lambda: raw)


@given(st.integers(0, len(ZKEY) * 8 - 1))
def test_Z25_any_flipped_bit_of_a_zkey(bit: int) -> None:
    raw = bytearray(ZKEY)
    raw[bit // 8] ^= 1 << bit % 8
    _refused_or_sound(lambda: bytes(raw))


def _refused_or_sound(make: Callable[[], bytes]) -> None:
    """What is handed out from a damaged key still verifies under that key."""
    try:
        key = snarkjs.Zkey(make())
        proof, publics = key.prove(WTNS)
    except GrailError:
        return
    groth16.verify(key.vk, publics, proof)
