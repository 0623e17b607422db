"""Every gadget at a few bits, against plain Python, with every witness that exists.

The inputs are raw field elements, out of range and negative ones among them. Where plain Python has
an answer, it must be the only one that any prover can reach; where it has none, no witness may
exist. Then each constraint is taken out in turn, and the circuit must show a difference: none is
there for nothing, and the search does see holes.
"""

from __future__ import annotations

import itertools
import math

import pytest
from forging import Gadget, deviations

from grail.zk.field import MODULUS, Field
from grail.zk.gadgets.bits import Bool, equal, from_bits, is_zero, select, to_bits
from grail.zk.gadgets.integers import UInt, divide, less, select_uint, square_root

P = MODULUS
ODD = [P - 1, P - 2, P - 4, P - 8, (P + 1) // 2, 1 << 64, 1 << 128, pow(3, -1, P)]
BITS = [0, 1, 2, P - 1, (P + 1) // 2]


def pairs(a: int, b: int) -> list[tuple[int, ...]]:
    some = [(x, y) for x in ODD for y in (0, 1)] + [(1, x) for x in ODD]
    return [*some, *itertools.product(reversed(range(a)), reversed(range(b)))]


def u(field: Field, bits: int) -> UInt:
    return UInt.checked(field, bits)


def boolean(*values: int) -> bool:
    return all(v in (0, 1) for v in values)


def conjunction(x: Field, y: Field) -> list[Field]:
    a, b = Bool.checked(x), Bool.checked(y)
    return [(a & b).field]


def linear(x: Field, y: Field) -> list[Field]:
    a, b = u(x, 2), u(y, 1)
    return [(a * b + a).field]


def quotient(x: Field, y: Field) -> list[Field]:
    return [part.field for part in divide(u(x, 2), u(y, 2))]


def at_most(x: Field, y: Field) -> list[Field]:
    u(x, 2).assert_at_most(u(y, 1))
    return []


def below(x: Field, y: Field) -> list[Field]:
    u(x, 1).assert_less(u(y, 2))
    return []


def same(x: Field, y: Field) -> list[Field]:
    u(x, 2).assert_equal(UInt.awaiting(y, 2))
    return []


def implied(x: Field, y: Field) -> list[Field]:
    a, b = Bool.checked(x), Bool.checked(y)
    a.implies(b)
    return []


def nonzero(x: Field) -> list[Field]:
    x.assert_nonzero()
    return []


GADGETS = {
    "boolean": Gadget(
        lambda x: [Bool.checked(x).field],
        lambda x: (x,) if boolean(x) else None,
        [(v,) for v in BITS],
    ),
    "and": Gadget(
        conjunction,
        lambda x, y: (x & y,) if boolean(x, y) else None,
        list(itertools.product(BITS, BITS)),
    ),
    "or, xor, not": Gadget(
        lambda x, y: [(Bool(x) | Bool(y)).field, (Bool(x) ^ Bool(y)).field, (~Bool(x)).field],
        lambda x, y: (x | y, x ^ y, 1 - x),
        list(itertools.product((0, 1), (0, 1))),
    ),
    "implies": Gadget(
        implied,
        lambda x, y: () if boolean(x, y) and x <= y else None,
        [*itertools.product(BITS, (0, 1)), *itertools.product((0, 1), BITS)],
    ),
    "is zero": Gadget(
        lambda x: [is_zero(x).field], lambda x: (int(x == 0),), [(v,) for v in [*range(5), *ODD]]
    ),
    "equal": Gadget(
        lambda x, y: [equal(x, y).field],
        lambda x, y: (int(x == y),),
        [*pairs(3, 3), (P - 1, P - 1)],
    ),
    "not zero": Gadget(nonzero, lambda x: () if x else None, [(v,) for v in [0, 1, *ODD]]),
    "inverse": Gadget(
        lambda x: [x.inverse()],
        lambda x: (pow(x, -1, P),) if x else None,
        [(v,) for v in [0, 1, 2, *ODD]],
    ),
    "select": Gadget(
        lambda c, x, y: [select(Bool.checked(c), x, y)],
        lambda c, x, y: (x if c else y,) if boolean(c) else None,
        [(c, 5, P - 7) for c in BITS],
    ),
    "three bits": Gadget(
        lambda x: [bit.field for bit in to_bits(x, 3)],
        lambda x: tuple(x >> i & 1 for i in range(3)) if x < 8 else None,
        [(v,) for v in [*ODD, 9, 8, 7, 6, 1, 0]],
    ),
    "bits to a number": Gadget(
        lambda x: [from_bits(to_bits(x, 3)[1:])],
        lambda x: (x >> 1,) if x < 8 else None,
        [(v,) for v in [*ODD, 9, 8, 7, 6, 1, 0]],
    ),
    "sum and product": Gadget(
        linear,
        lambda x, y: (x * y + x,) if x < 4 and y < 2 else None,
        pairs(5, 3),
    ),
    "difference": Gadget(
        lambda x, y: [(u(x, 2) - u(y, 2)).field],
        lambda x, y: (x - y,) if x < 4 and y < 4 and x >= y else None,
        pairs(5, 5),
    ),
    "less": Gadget(
        lambda x, y: [less(u(x, 2), u(y, 2)).field],
        lambda x, y: (int(x < y),) if x < 4 and y < 4 else None,
        pairs(5, 5),
    ),
    "<=": Gadget(
        lambda x, y: [(u(x, 1) <= u(y, 2)).field],
        lambda x, y: (int(x <= y),) if x < 2 and y < 4 else None,
        pairs(3, 5),
    ),
    "at most": Gadget(
        at_most, lambda x, y: () if x < 4 and y < 2 and x <= y else None, pairs(5, 3)
    ),
    "less, stated": Gadget(
        below, lambda x, y: () if x < 2 and y < 4 and x < y else None, pairs(3, 5)
    ),
    "equal, stated": Gadget(same, lambda x, y: () if x == y < 4 else None, [*pairs(5, 5), (4, 4)]),
    "one of two integers": Gadget(
        lambda c, x: [select_uint(Bool.checked(c), u(x, 2), 3).field],
        lambda c, x: (x if c else 3,) if boolean(c) and x < 4 else None,
        [*itertools.product((0, 1), range(5)), (2, 1), (P - 1, 2)],
    ),
    "quotient and remainder": Gadget(
        quotient,
        lambda x, y: divmod(x, y) if x < 4 and 0 < y < 4 else None,
        [(P - 1, 1), (1, P - 1), (P - 4, 3), (3, P - 2), (4, 1), (1, 4), (5, 2)]
        + [(x, y) for x in range(4) for y in range(4)],
    ),
    "square root": Gadget(
        lambda x: [square_root(u(x, 3)).field],
        lambda x: (math.isqrt(x),) if x < 8 else None,
        [(v,) for v in [P - 1, *range(16, -1, -1)]],
    ),
}


IMPLIED = {"square root": {4, 5, 6}}
"""The root's own range: its square being at most the number leaves no other small root, but a bound
that is proven costs little and needs no such argument."""


@pytest.mark.parametrize("name", GADGETS)
def test_Z1_no_prover_reaches_another_answer(name: str) -> None:
    assert deviations(GADGETS[name]) == []


@pytest.mark.parametrize("name", GADGETS)
def test_Z1_each_constraint_is_missed_when_it_is_gone(name: str) -> None:
    gadget = GADGETS[name]
    count = len(gadget.circuit()[0].constraints)
    unmissed = {i for i in range(count) if not deviations(gadget, without=i)}
    assert count > 0
    assert unmissed == IMPLIED.get(name, set())
