"""The circom and snarkjs world: keys, proofs, public inputs as JSON; `.r1cs`, `.wtns`, `.zkey`.

snarkjs writes points as affine coordinates with a third one (1, or [1, 0] in G2); an Fq2 element is
[c0, c1]. What is read here is as strict as what the chain accepts: coordinates below the curve's
modulus, public inputs below r, points in their groups and never the identity. `vk_alphabeta_12`
is not written: snarkjs' verifier computes the pairing itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grail import native
from grail.errors import DecodeError, NotCanonical, Truncated
from grail.zk.groth16 import Proved
from grail.zk.r1cs import Constraint, R1cs, Terms

MAX_JSON = 1 << 20
"""No key or proof of ours comes near it; bounds what the JSON reader allocates."""

_DIGITS = 78
"""Of the decimal form of a 256-bit number."""


# -------------------------------------------------------------------------------------- JSON


def verification_key_json(vk: bytes) -> str:
    """A verifying key as snarkjs' `verification_key.json`. Raises: DecodeError."""
    values = [str(value) for value in native.vk_points(vk)]
    ic = [_g1_json(values[at : at + 2]) for at in range(14, len(values), 2)]
    return _dump(
        {
            "protocol": "groth16",
            "curve": "bn128",
            "nPublic": len(ic) - 1,
            "vk_alpha_1": _g1_json(values[0:2]),
            "vk_beta_2": _g2_json(values[2:6]),
            "vk_gamma_2": _g2_json(values[6:10]),
            "vk_delta_2": _g2_json(values[10:14]),
            "IC": ic,
        }
    )


def verification_key_from_json(text: str | bytes) -> bytes:
    """Our 32 + 3 * 64 + 8 + 32 n bytes of a `verification_key.json`. Raises: DecodeError."""
    key = _groth16(text, "verification key")
    ic = _list(key, "IC")
    if key.get("nPublic") != len(ic) - 1:
        raise DecodeError(f"verification key: nPublic {key.get('nPublic')!r}, {len(ic)} IC points")
    coordinates = [*_g1(key.get("vk_alpha_1"), "vk_alpha_1")]
    for name in ("vk_beta_2", "vk_gamma_2", "vk_delta_2"):
        coordinates += _g2(key.get(name), name)
    for point in ic:
        coordinates += _g1(point, "IC")
    return native.vk_from_points(coordinates)


def proof_json(proof: bytes) -> str:
    """A proof as snarkjs' `proof.json`. Raises: ProofInvalid."""
    values = [str(value) for value in native.proof_points(proof)]
    return _dump(
        {
            "pi_a": _g1_json(values[0:2]),
            "pi_b": _g2_json(values[2:6]),
            "pi_c": _g1_json(values[6:8]),
            "protocol": "groth16",
            "curve": "bn128",
        }
    )


def proof_from_json(text: str | bytes) -> bytes:
    """Our 128 bytes of a `proof.json`.

    Raises: DecodeError; ProofInvalid when a point is not on its curve or is the identity.
    """
    proof = _groth16(text, "proof")
    return native.proof_from_points(
        [
            *_g1(proof.get("pi_a"), "pi_a"),
            *_g2(proof.get("pi_b"), "pi_b"),
            *_g1(proof.get("pi_c"), "pi_c"),
        ]
    )


def public_json(publics: Sequence[int]) -> str:
    """Public inputs as snarkjs' `public.json`. Raises: InvalidInput unless all are in [0, r)."""
    native.scalars(publics)
    return _dump([str(value) for value in publics])


def public_from_json(text: str | bytes) -> tuple[int, ...]:
    """The public inputs of a `public.json`; r and above are refused. Raises: DecodeError."""
    values = _load(text, "public inputs")
    if not isinstance(values, list):
        raise DecodeError("public inputs: expected a list")
    numbers = tuple(_number(value, "public input") for value in values)
    if any(number >= native.R for number in numbers):
        raise NotCanonical("public inputs: a value is r or more")
    return numbers


def _dump(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _load(text: str | bytes, what: str) -> Any:
    if len(text) > MAX_JSON:
        raise DecodeError(f"{what}: {len(text)} bytes of JSON, at most {MAX_JSON}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise DecodeError(f"{what}: not JSON") from exc


def _groth16(text: str | bytes, what: str) -> Mapping[str, Any]:
    value = _load(text, what)
    if not isinstance(value, dict):
        raise DecodeError(f"{what}: expected an object")
    kind = (value.get("protocol"), value.get("curve"))
    if kind != ("groth16", "bn128"):
        raise DecodeError(f"{what}: got {kind!r:.80}, expected groth16 over bn128")
    return value


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list) or not found:
        raise DecodeError(f"{name}: expected a list")
    return found


def _number(value: object, what: str) -> int:
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        raise DecodeError(f"{what}: expected a decimal string")
    if len(value) > _DIGITS or str(int(value)) != value:
        raise NotCanonical(f"{what}: not a canonical decimal number of 256 bits")
    return int(value)


def _g1(point: object, what: str) -> tuple[int, int]:
    if not isinstance(point, list) or len(point) != 3 or point[2] != "1":
        raise DecodeError(f"{what}: expected [x, y, 1]; the identity is no part of keys and proofs")
    return _number(point[0], what), _number(point[1], what)


def _g2(point: object, what: str) -> tuple[int, int, int, int]:
    if not isinstance(point, list) or len(point) != 3 or point[2] != ["1", "0"]:
        raise DecodeError(f"{what}: expected [[x0, x1], [y0, y1], [1, 0]]")
    parts: list[int] = []
    for part in point[:2]:
        if not isinstance(part, list) or len(part) != 2:
            raise DecodeError(f"{what}: expected [c0, c1]")
        parts += [_number(element, what) for element in part]
    return parts[0], parts[1], parts[2], parts[3]


def _g1_json(values: Sequence[str]) -> list[str]:
    return [*values, "1"]


def _g2_json(values: Sequence[str]) -> list[list[str]]:
    return [[values[0], values[1]], [values[2], values[3]], ["1", "0"]]


# --------------------------------------------------------------------------- .r1cs and .wtns


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an `.r1cs` file holds."""

    wires: int
    public_outputs: int
    public_inputs: int
    private_inputs: int
    constraints: int
    terms: int

    def __str__(self) -> str:
        return (
            f"{self.constraints} constraints over {self.wires} wires "
            f"({self.public_outputs} public outputs, {self.public_inputs} public inputs, "
            f"{self.private_inputs} private inputs), {self.terms} terms"
        )


def inspect_r1cs(raw: bytes) -> Inspection:
    """Check a whole `.r1cs` file and say what it holds. Raises: DecodeError."""
    info = native.r1cs_info(raw)
    system = read_r1cs(raw)
    return Inspection(
        wires=info.wires,
        public_outputs=info.public_outputs,
        public_inputs=info.public_inputs,
        private_inputs=info.private_inputs,
        constraints=info.constraints,
        terms=sum(len(part) for constraint in system.constraints for part in constraint),
    )


def read_r1cs(raw: bytes) -> R1cs:
    """A constraint system as Python sees it; outputs count as public inputs. Raises: DecodeError.

    Terms of one wire in one combination are added up, as a prover does.
    """
    info = native.r1cs_info(raw)  # refuses what does not hold together, so that reading is plain
    body = _section(raw, 2)
    at = 0
    constraints: list[Constraint] = []
    for _ in range(info.constraints):
        parts: list[Terms] = []
        for _ in range(3):
            terms, at = _combination(body, at)
            parts.append(terms)
        constraints.append((parts[0], parts[1], parts[2]))
    return R1cs(n_wires=info.wires, n_public=info.publics, constraints=tuple(constraints))


def read_wtns(raw: bytes) -> tuple[int, ...]:
    """The wires of a `.wtns` file: one, the public ones, the rest. Raises: DecodeError."""
    return native.wtns_wires(raw)


# ------------------------------------------------------------------------------------- .zkey


class Zkey:
    """A proving key of snarkjs (Groth16), loaded once for many proofs.

    Raises: DecodeError when the file does not hold together, when it is of another curve or
    protocol, or when nobody contributed to it, so that everybody can forge (threat Z7).
    """

    def __init__(self, raw: bytes) -> None:
        self._native = native.Zkey(raw)
        self.wires, self.publics, self.domain, self.terms = self._native.info()
        self.vk = self._native.vk()

    def __str__(self) -> str:
        return (
            f"proving key over {self.wires} wires ({self.publics} public), "
            f"{self.domain} rows, {self.terms} terms"
        )

    def prove(self, wtns: bytes) -> Proved:
        """Prove a witness, with fresh randomness: two proofs of one witness differ (Z21).

        A zkey has no matrix C, so which constraint a bad witness breaks is not known: the proof is
        verified before it is handed out. `native.r1cs_check` names it where the `.r1cs` is at hand.

        Raises: ProofInvalid when the witness breaks a constraint; DecodeError; InvalidInput when
        the witness has another number of wires.
        """
        return Proved(*self._native.prove(wtns))


def _combination(body: bytes, at: int) -> tuple[dict[int, int], int]:
    count = int.from_bytes(body[at : at + 4], "little")
    at += 4
    terms: dict[int, int] = {}
    for start in range(at, at + 36 * count, 36):
        wire = int.from_bytes(body[start : start + 4], "little")
        coefficient = int.from_bytes(body[start + 4 : start + 36], "little")
        terms[wire] = (terms.get(wire, 0) + coefficient) % native.R
    return terms, at + 36 * count


def _section(raw: bytes, kind: int) -> bytes:
    at = 12
    while at < len(raw):
        found = int.from_bytes(raw[at : at + 4], "little")
        size = int.from_bytes(raw[at + 4 : at + 12], "little")
        at += 12
        if found == kind:
            return raw[at : at + size]
        at += size
    raise Truncated(f"no section of kind {kind}")
