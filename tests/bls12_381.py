"""Groth16 over BLS12-381, to see that a mock proof is one: upstream makes mocks on this curve.

Nothing of the project uses it. Bytes are arkworks' compressed form, which is the IETF draft's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from grail.errors import ProofInvalid


@contextmanager
def _depth_kept() -> Iterator[None]:
    """The library lets the whole process nest a hundred times deeper: JSON could end it by a signal."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


with _depth_kept():
    from py_ecc.bls.point_compression import decompress_G1, decompress_G2
    from py_ecc.bls.typing import G1Compressed, G2Compressed
    from py_ecc.optimized_bls12_381 import FQ12, add, curve_order, multiply, neg, pairing

G1, G2 = 48, 96


def verify(vk: bytes, publics: Sequence[int], proof: bytes) -> None:
    """Raise `ProofInvalid` unless the proof holds for these public inputs."""
    if len(proof) != 2 * G1 + G2 or len(vk) != G1 + 3 * G2 + 8 + G1 * (1 + len(publics)):
        raise ProofInvalid("a proof or a key of another size")
    try:
        alpha, (beta, gamma, delta) = _g1(vk, 0), (_g2(vk, G1 + G2 * at) for at in range(3))
        statement, *ic = (_g1(vk, at) for at in range(G1 + 3 * G2 + 8, len(vk), G1))
        a, b, c = _g1(proof, 0), _g2(proof, G1), _g1(proof, G1 + G2)
    except (ValueError, AssertionError) as exc:
        raise ProofInvalid(f"no compressed point: {exc}") from exc
    for number, of in zip(publics, ic, strict=True):
        statement = add(statement, multiply(of, number % curve_order))
    pairs = ((neg(a), b), (alpha, beta), (statement, gamma), (c, delta))
    product = FQ12.one()
    for one, two in pairs:
        product *= pairing(two, one)
    if product != FQ12.one():
        raise ProofInvalid("the proof does not hold")


def _g1(raw: bytes, at: int) -> object:
    return decompress_G1(G1Compressed(int.from_bytes(raw[at : at + G1], "big")))


def _g2(raw: bytes, at: int) -> object:
    halves = (int.from_bytes(raw[place : place + G1], "big") for place in (at, at + G1))
    return decompress_G2(G2Compressed(tuple(halves)))
