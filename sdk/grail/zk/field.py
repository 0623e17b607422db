"""The numbers that circuit code computes with: BN254's scalar field, symbolically.

A `Field` is a linear combination of a circuit's wires. Adding and scaling are free; a product of
two combinations costs one constraint and one wire. A combination without wires is a constant, and
every operation on constants is computed at once, so the same function runs inside a circuit and
outside of one.

Python's own `if`, `==`, `and`, `min` cannot see a value that exists only when proving: on provable
values they raise and say what to write instead (threat Z19).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from grail.errors import InvalidInput
from grail.native import R
from grail.zk.location import centered, refuse

if TYPE_CHECKING:
    from grail.zk.circuit import Circuit

MODULUS = R
"""r, the order of BN254's groups."""

ONE = 0
"""The wire that is always 1; its coefficient is a combination's constant."""

MAX_TERMS = 128
"""A sum of more wires than this becomes a wire of its own, so combinations cannot blow up."""

_MAX_NAME = 100


def inverse(value: int) -> int:
    """1 / value in the field. Raises: InvalidInput for zero."""
    if value % MODULUS == 0:
        raise InvalidInput("zero has no inverse")
    return pow(value, -1, MODULUS)


class Provable:
    """A value that exists when proving, not when the circuit is built (threat Z19)."""

    __slots__ = ()

    def _misused(self, what: str, instead: str) -> InvalidInput:
        return InvalidInput(
            f"{what} on a provable {type(self).__name__}: it has no value yet", hint=instead
        )

    def __bool__(self) -> bool:
        raise self._misused(
            "`if`, `while`, `assert`, `and`, `or`, `not`, `min` or a chained comparison",
            "use select(), &, |, ~, or one of the assert_... methods",
        )

    def __eq__(self, other: object) -> bool:
        raise self._misused("`==` or `in`", "use assert_equal() or equal()")

    def __ne__(self, other: object) -> bool:
        raise self._misused("`!=`", "use ~equal() or assert_nonzero()")

    def __hash__(self) -> int:
        raise self._misused("hash(), a set or a dictionary key", "key by a name of your own")

    def __index__(self) -> int:
        raise self._misused("range(), an index or a slice", "use select() over constant indexes")

    def __int__(self) -> int:
        raise self._misused("int()", "compute with the provable value itself")

    def __float__(self) -> float:
        raise self._misused("float()", "circuits have integers only")

    def __round__(self, digits: int | None = None) -> int:
        raise self._misused("round()", "use divide()")

    def __iter__(self) -> NoReturn:
        raise self._misused("iteration", "use to_bits() for its bits")

    def __len__(self) -> int:
        raise self._misused("len()", "lengths are fixed when the circuit is built")

    def __reduce__(self) -> NoReturn:
        raise self._misused("pickling or copying", "a provable value belongs to its circuit")


class Field(Provable):
    """A linear combination of wires: the value is the sum of coefficient times wire.

    `secret` marks what must not be shown when a constraint fails; it spreads to all that is
    computed from it (threat Z21).
    """

    __slots__ = ("circuit", "name", "register", "secret", "terms")

    def __init__(
        self,
        terms: Mapping[int, int],
        circuit: Circuit | None = None,
        *,
        name: str = "",
        secret: bool = False,
    ) -> None:
        self.terms = terms
        self.circuit = circuit
        self.name = name
        self.secret = secret
        self.register: int | None = None

    @classmethod
    def constant(cls, value: int) -> Field:
        """A constant; negative numbers count from r down."""
        reduced = value % MODULUS
        return cls({ONE: reduced} if reduced else {}, name=str(value))

    @property
    def is_constant(self) -> bool:
        """Whether no wire is in the combination."""
        return not self.terms or (len(self.terms) == 1 and ONE in self.terms)

    @property
    def value(self) -> int:
        """A constant's number. Raises: InvalidInput when it is not a constant."""
        if not self.is_constant:
            raise self._misused("reading .value", "only constants have a value while building")
        return self.terms.get(ONE, 0)

    def named(self, name: str) -> Field:
        """The same value under a name that error messages use."""
        copy = Field(self.terms, self.circuit, name=name, secret=self.secret)
        copy.register = self.register
        return copy

    def __repr__(self) -> str:
        return f"Field({self.name or f'{len(self.terms)} terms'})"

    # ------------------------------------------------------------------ linear, and so free

    def __add__(self, other: Field | int) -> Field:
        right = as_field(other)
        return self._sum(right, 1, "+")

    def __radd__(self, other: int) -> Field:
        return as_field(other) + self

    def __sub__(self, other: Field | int) -> Field:
        right = as_field(other)
        return self._sum(right, MODULUS - 1, "-")

    def __rsub__(self, other: int) -> Field:
        return as_field(other) - self

    def __neg__(self) -> Field:
        return self._scaled(MODULUS - 1)

    def _sum(self, right: Field, factor: int, sign: str) -> Field:
        terms = dict(self.terms)
        for wire, coefficient in right.terms.items():
            total = (terms.get(wire, 0) + factor * coefficient) % MODULUS
            if total:
                terms[wire] = total
            else:
                terms.pop(wire, None)
        circuit = circuit_of(self, right)
        name = _name(self.name, sign, right.name)
        result = Field(terms, circuit, name=name, secret=self.secret or right.secret)
        if circuit is not None and len(terms) > MAX_TERMS:
            return circuit.materialise(result)
        return result

    def _scaled(self, factor: int) -> Field:
        factor %= MODULUS
        terms = {w: c * factor % MODULUS for w, c in self.terms.items()} if factor else {}
        name = _name(str(centered(factor)), "*", self.name)
        return Field(terms, self.circuit, name=name, secret=self.secret)

    # ------------------------------------------------------------------ one constraint each

    def __mul__(self, other: Field | int) -> Field:
        right = as_field(other)
        if right.is_constant:
            return self._scaled(right.value)
        if self.is_constant:
            return right._scaled(self.value)
        circuit = circuit_of(self, right)
        assert circuit is not None  # only constants have none
        product = circuit.multiply(self, right)
        product.name = _name(self.name, "*", right.name)
        return product

    def __rmul__(self, other: int) -> Field:
        return self * other

    def __truediv__(self, other: Field | int) -> NoReturn:
        raise self._misused("`/`", "use divide() for whole numbers, or multiply by inverse()")

    __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __truediv__

    def inverse(self) -> Field:
        """1 / self, which also proves that self is not zero."""
        if self.is_constant:
            return Field.constant(inverse(self.value))
        circuit = circuit_of(self)
        assert circuit is not None
        with circuit.statement("zero has no inverse", value=self):
            return circuit.invert(self)

    def assert_equal(self, other: Field | int, message: str = "the two sides differ") -> None:
        """State that both are the same number modulo r."""
        right = as_field(other)
        enforce_zero(self - right, message, left=self, right=right)

    def assert_zero(self, message: str = "the value is not zero") -> None:
        """State that the value is 0."""
        enforce_zero(self, message, value=self)

    def assert_nonzero(self, message: str = "the value is zero") -> None:
        """State that the value is not 0."""
        if self.is_constant:
            if self.value == 0:
                refuse(message, {"value": 0})
            return
        circuit = circuit_of(self)
        assert circuit is not None
        with circuit.statement(message, value=self):
            circuit.invert(self)


def as_field(value: Any) -> Field:
    """A field value from a field value or an int. Raises: InvalidInput for anything else."""
    if isinstance(value, Field):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Field.constant(value)
    raise InvalidInput(
        f"a circuit computes with Field and int, got {type(value).__name__}",
        hint="take .field of a Bool or UInt",
    )


def circuit_of(*values: Field) -> Circuit | None:
    """The circuit of these values, or None for constants. Raises: InvalidInput for two circuits."""
    found: Circuit | None = None
    for value in values:
        if value.circuit is None or value.circuit is found:
            continue
        if found is not None:
            raise InvalidInput("values of two circuits in one expression")
        found = value.circuit
    return found


def enforce_zero(value: Field, message: str, /, **operands: Field) -> None:
    """State that a combination is zero. On constants it is checked at once.

    Raises: Unsatisfied when the value is a constant other than zero.
    """
    if value.is_constant:
        if value.value:
            refuse(message, {role: f.value for role, f in operands.items() if f.is_constant})
        return
    circuit = circuit_of(value)
    assert circuit is not None
    with circuit.statement(message, **operands):
        circuit.enforce(value, Field.constant(1), Field.constant(0))


def assert_product(left: Field, right: Field, product: Field | int, message: str) -> None:
    """State that left * right = product. One constraint.

    Raises: Unsatisfied when all are constants and it does not hold.
    """
    result = as_field(product)
    circuit = circuit_of(left, right, result)
    if circuit is None:
        enforce_zero(left * right - result, message, left=left, right=right, product=result)
        return
    with circuit.statement(message, left=left, right=right, product=result):
        circuit.enforce(left, right, result)


def _name(left: str, sign: str, right: str) -> str:
    if not left or not right:
        return ""
    name = f"({left} {sign} {right})"
    return name if len(name) <= _MAX_NAME else ""
