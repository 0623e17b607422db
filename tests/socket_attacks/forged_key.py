"""A verifying key whose maker knows every secret, and proofs without a circuit under it.

alpha and beta are the generators, gamma is minus delta: e(A, B) = e(alpha, beta) e(X, gamma)
e(C, delta) holds for A = alpha, B = beta, C = X, where X is the sum over the public inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from grail import native
from grail.charms.descriptor import Bundle
from socket_attacks.hostile_apps import bond

Q = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The field of the curve's coordinates."""

Point = tuple[int, int] | None

G1 = (1, 2)
G2 = (
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
)


def add(p: Point, q: Point) -> Point:
    """The sum of two points."""
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0] and (p[1] + q[1]) % Q == 0:
        return None
    slope = (
        3 * p[0] * p[0] * pow(2 * p[1], -1, Q)
        if p == q
        else (q[1] - p[1]) * pow(q[0] - p[0], -1, Q)
    )
    x = (slope * slope - p[0] - q[0]) % Q
    return x, (slope * (p[0] - x) - p[1]) % Q


def times(k: int, p: Point) -> Point:
    """K times a point."""
    total: Point = None
    while k:
        if k & 1:
            total = add(total, p)
        p, k = add(p, p), k >> 1
    return total


def flat(point: Point) -> tuple[int, int]:
    """The coordinates of a point that is not the identity."""
    assert point is not None
    return point


IC = tuple(flat(times(n, G1)) for n in (5, 7, 11, 13))


def key_with(delta: Sequence[int]) -> bytes:
    """The key with this delta, a point of G2, and minus it as gamma."""
    minus = (*delta[:2], *((Q - y) % Q for y in delta[2:]))
    return native.vk_from_points([*G1, *G2, *minus, *delta, *(c for point in IC for c in point)])


def some_delta() -> tuple[int, ...]:
    """A point of G2 that is not the generator: that of another key."""
    return tuple(native.vk_points(bond().bundle.actions[0].vk)[10:14])


def forged(publics: Sequence[int]) -> bytes:
    """A proof of anything."""
    x: Point = IC[0]
    for value, point in zip(publics, IC[1:], strict=True):
        x = add(x, times(value, point))
    return native.proof_from_points([*G1, *G2, *flat(x)])


@dataclass(frozen=True)
class Forgeable:
    """An app without circuits."""

    bundle: Bundle


def forgeable(*, safe_form: bool) -> Forgeable:
    """The bond with a key to forge for; in a safe form, only its maker knows that he can."""
    honest = bond().bundle
    vk = key_with(some_delta() if safe_form else G2)
    actions = {n: replace(action, vk=vk) for n, action in honest.actions.items()}
    return Forgeable(Bundle.parse(replace(honest, actions=actions).serialize()))
