"""Small circuits for the tests of keys and proofs."""

from __future__ import annotations

from functools import cache

from grail.zk import groth16
from grail.zk.r1cs import R1cs, witness_file

SEED = bytes(range(32))

PUBLICS = (5, 6, 33)
"""Two that no constraint mentions, as the digest's halves, and a product."""

CIRCUIT = R1cs(n_wires=6, n_public=3, constraints=(({4: 1}, {5: 1}, {3: 1}),))
"""Wires: one, x1, x2, product (public); left, right. The one row is left * right = product."""

R1CS = CIRCUIT.serialize()

WITNESS = (1, *PUBLICS, 3, 11)

WTNS = witness_file(WITNESS)


@cache
def keys() -> groth16.KeyPair:
    return groth16.setup(R1CS, SEED)


@cache
def proved() -> groth16.Proved:
    return groth16.prove_witness(keys().pk, R1CS, WTNS)
