"""Powers of tau: the published ceremony is read, and whatever is not of one secret is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import ptau_file
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ptau_file import G1, G2, cut, joined, sections
from typer.testing import CliRunner

from grail import native
from grail.cli import build
from grail.errors import DecodeError, GrailError, NotCanonical, TooLarge, TrailingBytes, Truncated

pytestmark = pytest.mark.usefixtures("vectors")
RAW = ptau_file.PUBLISHED.read_bytes() if ptau_file.PUBLISHED.exists() else b""
SMALL = cut(RAW, 2) if RAW else b""
PARTS = sections(SMALL) if SMALL else {}
Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def edited(kind: int, at: int, raw: bytes) -> bytes:
    body = PARTS[kind]
    return joined({**PARTS, kind: body[:at] + raw + body[at + len(raw) :]})


def swapped(kind: int, size: int, left: int, right: int) -> bytes:
    """Two points of a section in each other's place."""
    points = [PARTS[kind][at : at + size] for at in range(0, len(PARTS[kind]), size)]
    points[left], points[right] = points[right], points[left]
    return joined({**PARTS, kind: b"".join(points)})


def test_the_published_ceremony() -> None:
    found = native.ptau_info(RAW)
    assert found == native.PtauInfo(power=12, ceremony_power=12, contributions=2, prepared=True)


@pytest.mark.parametrize("power", [1, 2, 5])
def test_ceremonies_cut_to_fewer_constraints(power: int) -> None:
    found = native.ptau_info(cut(RAW, power))
    assert found == native.PtauInfo(power, ceremony_power=12, contributions=2, prepared=True)
    assert not native.ptau_info(cut(RAW, power, prepared=False)).prepared


def test_the_command_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "small.ptau").write_bytes(SMALL)
    result = CliRunner().invoke(build(), ["zk", "show", str(tmp_path / "small.ptau"), "--json"])
    assert json.loads(result.output) == {
        "kind": "ptau",
        "constraints": 4,
        "power": 2,
        "ceremony_power": 12,
        "contributions": 2,
        "prepared": True,
        "sha256": hashlib.sha256(SMALL).hexdigest(),
    }


GENERATOR = PARTS.get(2, b"")[:G1]
MIXED = (
    {
        "powers of tau in G1 in another order": swapped(2, G1, 3, 4),
        "powers of tau in G2 in another order": swapped(3, G2, 2, 3),
        "powers times alpha in another order": swapped(4, G1, 0, 1),
        "powers times beta in another order": swapped(5, G1, 2, 3),
        "beta of another secret in G2": edited(6, 0, PARTS[3][G2 : 2 * G2]),
        "alpha that is the identity": edited(4, 0, bytes(4 * G1)),
        "no generator first": swapped(2, G1, 0, 1),
        "points for phase 2 in another order": swapped(12, G1, 8, 9),
        "the last block of phase 2 in another order": swapped(12, G1, 14, 13),
        "points of G2 for phase 2 in another order": swapped(13, G2, 3, 4),
        "points times alpha for phase 2 in another order": swapped(14, G1, 3, 5),
        "points times beta for phase 2 in another order": swapped(15, G1, 1, 2),
    }
    if PARTS
    else {}
)


@pytest.mark.parametrize("case", MIXED)
def test_Z11_powers_that_are_not_of_one_secret(case: str) -> None:
    with pytest.raises(DecodeError):
        native.ptau_info(MIXED[case])


def test_Z7_a_ceremony_without_contribution() -> None:
    """All points are generators: whoever uses it knows tau."""
    size = len(PARTS[2]) // G1
    same = {2: GENERATOR * size, 3: PARTS[3][:G2] * 4, 4: GENERATOR * 4, 5: GENERATOR * 4}
    parts = {kind: body for kind, body in PARTS.items() if kind < 12}
    with pytest.raises(DecodeError, match="nobody contributed"):
        native.ptau_info(joined({**parts, **same, 6: PARTS[3][:G2]}))


LYING: dict[str, tuple[bytes, type[GrailError]]] = (
    {
        "2^28 constraints": (edited(1, 36, u32(28) * 2), TooLarge),
        "2^(2^32 - 1) constraints": (edited(1, 36, u32((1 << 32) - 1)), TooLarge),
        "2^22 constraints": (edited(1, 36, u32(22) * 2), Truncated),
        "no constraint": (edited(1, 36, u32(0)), DecodeError),
        "more than the ceremony": (edited(1, 40, u32(1)), DecodeError),
        "another curve": (edited(1, 4, bytes(32)), DecodeError),
        "numbers of another length": (edited(1, 0, u32(48)), DecodeError),
        "a longer header": (joined({**PARTS, 1: PARTS[1] + b"\0"}), TrailingBytes),
        "a point more": (joined({**PARTS, 4: PARTS[4] + bytes(G1)}), TrailingBytes),
        "a point less": (joined({**PARTS, 13: PARTS[13][:-G2]}), Truncated),
        "2^32 - 1 contributions": (edited(7, 0, u32((1 << 32) - 1)), Truncated),
        "a coordinate of q": (edited(2, G1, Q.to_bytes(32, "little")), NotCanonical),
        "no powers times alpha": (
            joined({kind: body for kind, body in PARTS.items() if kind != 4}),
            DecodeError,
        ),
        "half of phase 2": (
            joined({kind: body for kind, body in PARTS.items() if kind != 15}),
            DecodeError,
        ),
        "a section of kind 16": (joined({**PARTS, 16: b""}), DecodeError),
        "a byte after the end": (SMALL + b"\0", TrailingBytes),
    }
    if PARTS
    else {}
)


@pytest.mark.parametrize("case", LYING)
def test_Z22_powers_of_tau_that_lie(case: str) -> None:
    raw, kind = LYING[case]
    with pytest.raises(DecodeError) as raised:
        native.ptau_info(raw)
    assert type(raised.value) is kind


@pytest.mark.parametrize(("kind", "size"), [(2, G1), (3, G2), (4, G1), (5, G1), (6, G2), (12, G1)])
def test_Z11_points_off_their_curves(kind: int, size: int) -> None:
    for at in range(0, len(PARTS[kind]), size):
        with pytest.raises(DecodeError):
            native.ptau_info(edited(kind, at, bytes([PARTS[kind][at] ^ 1])))


def test_every_truncation_is_refused() -> None:
    for end in range(len(SMALL)):
        with pytest.raises(DecodeError):
            native.ptau_info(SMALL[:end])


@given(st.data())
def test_Z25_any_flipped_bit_but_in_the_list_of_contributions(data: st.DataObject) -> None:
    """Who contributed is counted and not verified; everything else is bound."""
    bit = data.draw(st.integers(0, 8 * len(SMALL) - 1))
    raw = bytearray(SMALL)
    raw[bit // 8] ^= 1 << bit % 8
    listed = SMALL.index(PARTS[7][4:])
    ceremony = SMALL.index(PARTS[1]) + 40
    free = (*range(listed, listed + len(PARTS[7]) - 4), *range(ceremony, ceremony + 4))
    if bit // 8 in free:
        return
    with pytest.raises(DecodeError):
        native.ptau_info(bytes(raw))
