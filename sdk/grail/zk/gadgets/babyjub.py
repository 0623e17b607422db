"""Points of BabyJubJub in a circuit: on the curve, added, multiplied.

a is a square and d is none, so the addition law has no exceptions: for points on the curve no
denominator is ever zero (Bernstein and others, "Twisted Edwards Curves", section 6), and each
quotient has one value. So a `Point` must be on the curve by proof before anything is computed with
it: `Point.checked`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from grail.crypto import babyjub as reference
from grail.errors import InvalidInput
from grail.zk.field import Field, Provable, as_field, circuit_of, inverse
from grail.zk.gadgets.bits import Bool
from grail.zk.location import refuse
from grail.zk.program import Op

A, D = reference.A, reference.D
_WINDOW = 3
"""Bits of a factor of the base that one look-up takes: 10 constraints for each three."""


class Point(Provable):
    """A point of the curve. The constructor takes its caller's word that it is one."""

    __slots__ = ("x", "y")

    def __init__(self, x: Field, y: Field) -> None:
        self.x = x
        self.y = y

    @classmethod
    def checked(cls, x: Field | int, y: Field | int) -> Point:
        """State that the coordinates are on the curve. Three constraints."""
        point = cls(as_field(x), as_field(y))
        circuit = circuit_of(point.x, point.y)
        message = "the point is not on the curve"
        if circuit is None:
            try:
                reference.Point(point.x.value, point.y.value)
            except InvalidInput:
                refuse(message, {"x": point.x.value, "y": point.y.value})
            return point
        with circuit.statement(message, x=point.x, y=point.y):
            x2, y2 = point.x * point.x, point.y * point.y
            (D * x2 * y2).assert_equal(A * x2 + y2 - 1)
        return point

    @classmethod
    def constant(cls, point: reference.Point) -> Point:
        """A known point."""
        return cls(Field.constant(point.x), Field.constant(point.y))

    def __repr__(self) -> str:
        return f"Point({self.x.name}, {self.y.name})"

    def __add__(self, other: Point) -> Point:
        """The sum, whatever the two points are. Six constraints."""
        cross, other_cross = self.x * other.y, self.y * other.x
        product = (self.y - A * self.x) * (other.x + other.y)
        tau = D * (cross * other_cross)
        return Point(
            _quotient(cross + other_cross, 1 + tau),
            _quotient(product + A * cross - other_cross, 1 - tau),
        )

    def doubled(self) -> Point:
        """The point twice. Five constraints: a * x^2 + y^2 stands for 1 + d * x^2 * y^2."""
        xy, ax2, y2 = self.x * self.y, A * (self.x * self.x), self.y * self.y
        return Point(_quotient(2 * xy, ax2 + y2), _quotient(y2 - ax2, 2 - ax2 - y2))

    def times(self, bits: Sequence[Bool]) -> Point:
        """The point times the number that bits spell, lowest first. 11 constraints a bit.

        Two bits at a time choose nothing, the point, its double or its triple.
        """
        if not bits:
            return identity()
        double = self.doubled()
        triple = double + self
        padded = [*bits, *[Bool.constant(value=False)] * (len(bits) % 2)]
        total: Point | None = None
        for low, high in reversed(list(zip(padded[::2], padded[1::2], strict=True))):
            chosen = Point(
                _one_of_four(low, high, Field.constant(0), self.x, double.x, triple.x),
                _one_of_four(low, high, Field.constant(1), self.y, double.y, triple.y),
            )
            total = chosen if total is None else total.doubled().doubled() + chosen
        assert total is not None
        return total

    def assert_equal(self, other: Point, message: str = "the two points differ") -> None:
        """State that both are the same point. Two constraints."""
        self.x.assert_equal(other.x, message)
        self.y.assert_equal(other.y, message)


def identity() -> Point:
    """The point that changes nothing when it is added."""
    return Point(Field.constant(0), Field.constant(1))


def times_base(bits: Sequence[Bool]) -> Point:
    """Circomlib's Base8 times the number that bits spell, lowest first. Ten constraints for three.

    Each three bits choose one of eight known multiples, and the choices are added.
    """
    total: Point | None = None
    for number in range(0, len(bits), _WINDOW):
        window = list(bits[number : number + _WINDOW])
        chosen = _looked_up(window, _multiples(number, len(window)))
        total = chosen if total is None else total + chosen
    return identity() if total is None else total


@cache
def _multiples(shift: int, width: int) -> tuple[tuple[int, int], ...]:
    """0, 1, 2, ... times 2^shift times the base: 2^width of them."""
    step = reference.BASE.times((1 << shift) % reference.ORDER)
    points = [reference.Point(0, 1)]
    while len(points) < 1 << width:
        points.append(points[-1] + step)
    return tuple((point.x, point.y) for point in points)


def _looked_up(bits: Sequence[Bool], table: Sequence[tuple[int, int]]) -> Point:
    """The entry that bits name: a sum over products of bits, linear in the table."""
    products = [Field.constant(1)]
    for bit in bits:
        products += [product * bit.field for product in products]
    coordinates = []
    for axis in (0, 1):
        values = [entry[axis] for entry in table]
        total = Field.constant(0)
        for place, product in enumerate(products):
            total = total + product * _moebius(values, place)
        coordinates.append(total)
    return Point(*coordinates)


def _moebius(values: Sequence[int], place: int) -> int:
    """The coefficient of the product of the bits in `place`: inclusion and exclusion."""
    within = [i for i in range(len(values)) if i & place == i]
    return sum(-values[i] if (place ^ i).bit_count() % 2 else values[i] for i in within)


def _one_of_four(low: Bool, high: Bool, *values: Field) -> Field:
    zero, one, two, three = values
    lower = zero + low.field * (one - zero)
    upper = two + low.field * (three - two)
    return lower + high.field * (upper - lower)


def _quotient(above: Field, below: Field) -> Field:
    """Above / below, where below is not zero for points on the curve. One constraint."""
    if below.is_constant:
        return above * inverse(below.value)
    circuit = circuit_of(above, below)
    assert circuit is not None  # only constants have none
    result = circuit.hint(Op.DIV, above, below)
    with circuit.statement("is not the sum of the two points", above=above, below=below):
        circuit.enforce(below, result, above)
    return result
