"""Rank-1 constraint systems, and whether a witness satisfies one.

A constraint is three combinations of wires with <A, w> * <B, w> = <C, w>. Wires: 0 is the number 1,
then the public ones, then the rest. Files are iden3's `.r1cs` version 1 and `.wtns` version 2, so
that snarkjs proves the same circuit from the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grail.errors import InvalidInput
from grail.zk.field import MODULUS

Terms = Mapping[int, int]
"""Wire to coefficient; wire 0 is the constant."""

Constraint = tuple[Terms, Terms, Terms]

_PRIME = MODULUS.to_bytes(32, "little")


@dataclass(frozen=True, slots=True)
class R1cs:
    """A constraint system. Wires 1 to n_public are public."""

    n_wires: int
    n_public: int
    constraints: tuple[Constraint, ...]

    def first_failure(self, witness: Sequence[int]) -> int | None:
        """The index of the first constraint that the witness breaks, or None.

        Raises: InvalidInput when the witness has another number of wires, or wire 0 is not 1.
        """
        if len(witness) != self.n_wires or witness[0] != 1:
            raise InvalidInput(f"witness: got {len(witness)} wires, expected {self.n_wires}")
        for index, (a, b, c) in enumerate(self.constraints):
            product = value_of(a, witness) * value_of(b, witness)
            if (product - value_of(c, witness)) % MODULUS:
                return index
        return None

    def serialize(self) -> bytes:
        """The `.r1cs` file: header, constraints, and the map from wires to labels (the same)."""
        header = struct.pack("<I", 32) + _PRIME
        header += struct.pack(
            "<IIIIQI",
            self.n_wires,
            0,  # public outputs: ours are all inputs
            self.n_public,
            self.n_wires - 1 - self.n_public,
            self.n_wires,
            len(self.constraints),
        )
        body = b"".join(_terms(part) for constraint in self.constraints for part in constraint)
        labels = struct.pack(f"<{self.n_wires}Q", *range(self.n_wires))
        return _file(b"r1cs", 1, ((1, header), (2, body), (3, labels)))


def value_of(terms: Terms, witness: Sequence[int]) -> int:
    """A combination's value, in [0, r)."""
    return sum(coefficient * witness[wire] for wire, coefficient in terms.items()) % MODULUS


def witness_file(witness: Sequence[int]) -> bytes:
    """A witness as a `.wtns` file. Raises: InvalidInput when a value is not in [0, r)."""
    if not all(0 <= value < MODULUS for value in witness):
        raise InvalidInput("witness: a value is not in [0, r)")
    header = struct.pack("<I", 32) + _PRIME + struct.pack("<I", len(witness))
    body = b"".join(value.to_bytes(32, "little") for value in witness)
    return _file(b"wtns", 2, ((1, header), (2, body)))


def _terms(terms: Terms) -> bytes:
    parts = [struct.pack("<I", len(terms))]
    parts += [struct.pack("<I", w) + terms[w].to_bytes(32, "little") for w in sorted(terms)]
    return b"".join(parts)


def _file(magic: bytes, version: int, sections: Iterable[tuple[int, bytes]]) -> bytes:
    listed = list(sections)
    parts = [magic, struct.pack("<II", version, len(listed))]
    for kind, body in listed:
        parts.append(struct.pack("<IQ", kind, len(body)) + body)
    return b"".join(parts)
