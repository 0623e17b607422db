"""Addition in BN254's G1, for proofs that are false in a known way."""

from __future__ import annotations

Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The modulus of BN254's coordinates."""

Point = tuple[int, int]


def add(p: Point, q: Point) -> Point:
    """Affine addition, of points with different x or of one with itself."""
    if p == q:
        slope = 3 * p[0] ** 2 * pow(2 * p[1], -1, Q) % Q
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, Q) % Q
    x = (slope**2 - p[0] - q[0]) % Q
    return x, (slope * (p[0] - x) - p[1]) % Q


def negative(p: Point) -> Point:
    """The point that takes it back."""
    return p[0], Q - p[1]
