"""Groth16 over BN254: keys, proofs, and whether they hold (PROTOCOL sections 5 and 12).

Bytes are arkworks' canonical compressed form: a proof is A, B, C (32 + 64 + 32 bytes), a verifying
key alpha, beta, gamma, delta, a u64 count and the IC points. Public inputs are integers in [0, r);
a value of r or more is refused, never reduced (threat Z4). Constraint systems are iden3 `.r1cs`
bytes, witnesses `.wtns` bytes, and witness programs GWP1 bytes, so nothing here knows who wrote
them. A trusted setup from a seed is for development: whoever knows the seed can forge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from grail import native
from grail.errors import GrailError, InvalidInput, ProofInvalid

PROOF_SIZE = 128
"""A in G1, B in G2, C in G1, compressed."""

SEED_SIZE = 32
"""Bytes of a setup's seed."""


class Statement(NamedTuple):
    """A proof, and what it is said to prove."""

    vk: bytes
    publics: Sequence[int]
    proof: bytes


class KeyPair(NamedTuple):
    """What a setup makes: the proving key (large, uncompressed) and the verifying key."""

    pk: bytes
    vk: bytes


class Proved(NamedTuple):
    """A proof and the public inputs that it proves."""

    proof: bytes
    publics: tuple[int, ...]


def key_size(n_public: int) -> int:
    """Bytes of a verifying key for so many public inputs."""
    return 32 + 3 * 64 + 8 + 32 * (n_public + 1)


def check_key(vk: bytes, n_public: int) -> None:
    """Refuse a key that anyone, or its maker in a known way, could forge for.

    PROTOCOL section 12, "Binding in Groth16": every point on its curve, in the subgroup and not the
    identity, canonical bytes, one IC point more than public inputs, no two of them equal, gamma
    different from delta, delta not the generator (a phase 2 without contribution). Threats Z7, Z11.

    Raises: DecodeError.
    """
    native.vk_check(vk, n_public)


def verify(vk: bytes, publics: Sequence[int], proof: bytes) -> None:
    """Check one proof. The key must have passed `check_key` where it came from.

    Raises: ProofInvalid when the proof is malformed or does not hold; InvalidInput when the key is
    malformed, a public input is outside [0, r), or there are more or fewer than the key has.
    """
    native.groth16_verify(vk, publics, proof)


def verify_batch(statements: Sequence[Statement]) -> None:
    """Check many proofs, of any keys, at a fraction of the cost each.

    One equation over all of them, each weighted by 128 fresh random bits, so faults cannot cancel
    (threat Z23). When it fails, the proofs are checked one by one and the first bad one is named.

    Raises: ProofInvalid, InvalidInput as `verify`.
    """
    for index, fault in failing(statements).items():
        known = ProofInvalid if isinstance(fault, ProofInvalid) else InvalidInput
        raise known(f"proof {index} of the batch: {fault}") from fault


def failing(statements: Sequence[Statement]) -> dict[int, GrailError]:
    """Which of many proofs do not hold, by their place, and why; empty when all do.

    All of them in one batch first; only when that fails each by itself, and those verdicts count.
    """
    try:
        native.groth16_verify_batch(statements)
    except GrailError:
        return dict(_each(statements))
    return {}


def _each(statements: Sequence[Statement]) -> Iterator[tuple[int, GrailError]]:
    for index, statement in enumerate(statements):
        try:
            verify(*statement)
        except GrailError as fault:
            yield index, fault


def setup(r1cs: bytes, seed: bytes) -> KeyPair:
    """A development setup: the keys are a function of the circuit and the 32-byte seed alone.

    Raises: DecodeError when `r1cs` is malformed, InvalidInput when the seed is not 32 bytes.
    """
    if len(seed) != SEED_SIZE:
        raise InvalidInput(f"setup seed: got {len(seed)} bytes, expected {SEED_SIZE}")
    return KeyPair(*native.groth16_setup(r1cs, seed))


def prove_witness(pk: bytes, r1cs: bytes, wtns: bytes) -> Proved:
    """Prove any witness in iden3's format, such as circom's. For many proofs use `Prover`.

    Raises: Unsatisfied (`.values["constraint"]` is the index of the first constraint that fails),
    DecodeError.
    """
    return Proved(*native.prove_wtns(pk, r1cs, wtns))


class Prover:
    """A circuit with its proving key and witness program, loaded once for many proofs."""

    def __init__(self, r1cs: bytes, pk: bytes, program: bytes) -> None:
        self._native = native.Prover(r1cs, pk, program)

    def witness(self, inputs: Sequence[int]) -> bytes:
        """Evaluate the program: all wires as `.wtns` bytes. They hold the private inputs.

        Says nothing about the constraints: `prove` and `grail.zk.r1cs` check them.
        Raises: InvalidInput when an input is outside [0, r) or their number is not the program's.
        """
        return self._native.witness(inputs)

    def prove(self, inputs: Sequence[int]) -> Proved:
        """Evaluate and prove, with fresh randomness: two proofs of one witness differ (Z21).

        Raises: Unsatisfied (`.values["constraint"]` is the index of the first constraint that
        fails), InvalidInput.
        """
        return Proved(*self._native.prove(inputs))

    def prove_witness(self, wtns: bytes) -> Proved:
        """Prove a witness that was made elsewhere. Raises: Unsatisfied, DecodeError."""
        return Proved(*self._native.prove_wtns(wtns))
