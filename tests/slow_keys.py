"""Whether a verifying key is unsafe by its form, by plain arithmetic on BN254: the slow model's.

Section 12 of the protocol, "Binding in Groth16": points are canonical, on the curve, in the
subgroup, none is the identity; gamma is not delta, delta is not the generator, no two IC points are
equal, and there is one IC point more than there are public inputs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
R = 21888242871839275222246405745257275088548364400416034343698204186575808495617

Fq2: TypeAlias = tuple[int, int]
G2_X = (
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
)
G2_Y = (
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
)


class Unsafe(Exception):
    """Why the key is unsafe."""


@lru_cache(maxsize=1024)
def unsafe(vk: bytes) -> bool:
    """Whether nobody should trust proofs under this key of three public inputs."""
    try:
        _check(vk)
    except Unsafe:
        return True
    return False


def _want(condition: object, what: str) -> None:
    if not condition:
        raise Unsafe(what)


def _check(vk: bytes) -> None:
    _want(len(vk) == 360 and vk[224:232] == (4).to_bytes(8, "little"), "size")
    g1 = [vk[:32], *(vk[at : at + 32] for at in range(232, 360, 32))]
    beta, gamma, delta = (vk[at : at + 64] for at in (32, 96, 160))
    for raw in g1:
        _g1(raw)
    for raw in (beta, gamma, delta):
        g2(raw)
    _want(gamma != delta, "gamma equals delta")
    _want(g2(delta) != (G2_X, G2_Y), "delta is the generator")
    _want(len(set(g1[1:])) == 4, "two IC points are equal")


def _coordinate(raw: bytes) -> int:
    value = int.from_bytes(raw, "little")
    _want(value < P, "not canonical")
    return value


def _flags(raw: bytes) -> tuple[bytes, int]:
    """The bytes without their two top bits, and those bits: 2 says the larger y, 1 infinity."""
    return raw[:-1] + bytes([raw[-1] & 63]), raw[-1] >> 6


def _g1(raw: bytes) -> tuple[int, int]:
    body, flags = _flags(raw)
    _want(flags in (0, 2), "the identity")
    x = _coordinate(body)
    square = (x * x * x + 3) % P
    y = pow(square, (P + 1) // 4, P)
    _want(y * y % P == square, "not on the curve")
    _want(y or not flags, "not canonical")
    return x, y if (2 * y > P) == (flags == 2) else P - y


def _times(a: Fq2, b: Fq2) -> Fq2:
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def _inverse(a: Fq2) -> Fq2:
    n = pow(a[0] * a[0] + a[1] * a[1], -1, P)
    return a[0] * n % P, -a[1] * n % P


def _minus(a: Fq2, b: Fq2) -> Fq2:
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


def _root(a: Fq2) -> Fq2 | None:
    """A square root, by the norm: there is one when both halves are squares."""
    norm = pow(a[0] * a[0] + a[1] * a[1], (P + 1) // 4, P)
    for sign in (1, -1):
        half = (a[0] + sign * norm) * pow(2, -1, P) % P
        c0 = pow(half, (P + 1) // 4, P)
        c1 = a[1] * pow(2 * c0, -1, P) % P if c0 else pow(-a[0] % P, (P + 1) // 4, P)
        if _times((c0, c1), (c0, c1)) == (a[0] % P, a[1] % P):
            return c0, c1
    return None


def g2(raw: bytes) -> tuple[Fq2, Fq2]:
    """A point of G2. Raises `Unsafe`, saying in what way it is none."""
    body, flags = _flags(raw)
    _want(flags in (0, 2), "the identity")
    x = _coordinate(body[:32]), _coordinate(body[32:])
    b = _times((3, 0), _inverse((9, 1)))
    cube = _times(_times(x, x), x)
    y = _root(((cube[0] + b[0]) % P, (cube[1] + b[1]) % P))
    _want(y is not None, "not on the curve")
    assert y is not None
    other = (-y[0] % P, -y[1] % P)
    larger = max((y, other), key=lambda v: (v[1], v[0]))
    point = (x, larger if flags == 2 else min((y, other), key=lambda v: (v[1], v[0])))
    _want(_multiple(R, point) is None, "outside the subgroup")
    return point


Point: TypeAlias = tuple[Fq2, Fq2] | None


def _plus(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if a[1] != b[1] or a[1] == (0, 0):
            return None
        slope = _times(_times((3, 0), _times(a[0], a[0])), _inverse(_times((2, 0), a[1])))
    else:
        slope = _times(_minus(b[1], a[1]), _inverse(_minus(b[0], a[0])))
    x = _minus(_minus(_times(slope, slope), a[0]), b[0])
    return x, _minus(_times(slope, _minus(a[0], x)), a[1])


def _multiple(n: int, point: Point) -> Point:
    total: Point = None
    while n:
        if n & 1:
            total = _plus(total, point)
        point, n = _plus(point, point), n >> 1
    return total
