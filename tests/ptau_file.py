"""Powers of tau in tests: the published file's sections, and smaller files that are cut from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PUBLISHED = (
    Path(__file__).resolve().parents[2] / "shared" / "vectors" / "circom" / "pot12_final.ptau"
)
G1, G2 = 64, 128
HEADER = 4 + 32
"""Where the power stands in section 1."""


def sections(raw: bytes) -> dict[int, bytes]:
    """The sections of a file by their kind."""
    found, at = {}, 12
    while at < len(raw):
        kind = int.from_bytes(raw[at : at + 4], "little")
        size = int.from_bytes(raw[at + 4 : at + 12], "little")
        found[kind] = raw[at + 12 : at + 12 + size]
        at += 12 + size
    return found


def joined(parts: Mapping[int, bytes]) -> bytes:
    """A file of these sections."""
    out = b"ptau" + (1).to_bytes(4, "little") + len(parts).to_bytes(4, "little")
    for kind, body in parts.items():
        out += kind.to_bytes(4, "little") + len(body).to_bytes(8, "little") + body
    return out


def cut(raw: bytes, power: int, *, prepared: bool = True) -> bytes:
    """The same ceremony for fewer constraints, as `snarkjs powersoftau truncate` cuts it."""
    parts, size = sections(raw), 1 << power
    kept = {2: (2 * size - 1) * G1, 3: size * G2, 4: size * G1, 5: size * G1}
    later = {
        12: (4 * size - 1) * G1,
        13: (2 * size - 1) * G2,
        14: (2 * size - 1) * G1,
        15: (2 * size - 1) * G1,
    }
    made = {
        1: parts[1][:HEADER] + power.to_bytes(4, "little") + parts[1][HEADER + 4 :],
        **{kind: parts[kind][:length] for kind, length in kept.items()},
        6: parts[6],
        7: parts[7],
    }
    if prepared:
        made |= {kind: parts[kind][:length] for kind, length in later.items()}
    return joined(made)
