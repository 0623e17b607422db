"""Whole numbers in a circuit: range-checked at birth, exact ever after.

A field element wraps at r; an integer must not (threat Z2). A `UInt` carries a bound that holds for
its value by proof, never by hope: inputs are checked against their type, sums and products add and
multiply their bounds and are refused while the circuit is built when the bound would reach the
field's size (threat L4), differences prove that they are not below zero. So every UInt is the exact
integer that the Python expression says, or no witness satisfies the circuit.
"""

from __future__ import annotations

from math import isqrt

from grail.errors import InvalidInput
from grail.zk.circuit import Circuit
from grail.zk.field import Field, Provable, circuit_of
from grail.zk.gadgets.bits import Bool, as_bool, to_bits
from grail.zk.location import refuse
from grail.zk.program import Op

MAX_BITS = 252
"""Bounds stay below 2^252, so that neither a sum nor a shifted difference can reach r."""


class UInt(Provable):
    """A provable integer between 0 and `bound`.

    `UInt.checked` makes one and proves the bound. `UInt.awaiting` puts the proof off until the
    bound is first relied on; comparing for equality alone does not need it.
    """

    __slots__ = ("_awaits", "_raw", "bound")

    def __init__(self, field: Field, bound: int, *, awaits: int = 0) -> None:
        self._raw = field
        self._awaits = awaits
        self.bound = bound

    @classmethod
    def constant(cls, value: int) -> UInt:
        """A constant. Raises: InvalidInput when it is negative or wider than 252 bits."""
        if not 0 <= value < 1 << MAX_BITS:
            raise InvalidInput(f"integer: got {value}, expected 0 to 2^{MAX_BITS} - 1")
        return cls(Field.constant(value), value)

    @classmethod
    def checked(cls, field: Field, bits: int) -> UInt:
        """State that the value is below 2^bits. bits + 1 constraints."""
        if not 1 <= bits <= MAX_BITS:
            raise InvalidInput(f"integer: got {bits} bits, expected 1 to {MAX_BITS}")
        _below(field, bits, f"the value does not fit {bits} bits", value=field)
        return cls(field, field.value if field.is_constant else (1 << bits) - 1)

    @classmethod
    def awaiting(cls, field: Field, bits: int) -> UInt:
        """An integer whose range is proven where it is first computed or compared with."""
        return cls(field, (1 << bits) - 1, awaits=bits)

    @property
    def field(self) -> Field:
        """The value as a field element, its range proven."""
        if self._awaits:
            bits, self._awaits = self._awaits, 0
            circuit = circuit_of(self._raw)
            if circuit is None:
                _below(self._raw, bits, f"the value does not fit {bits} bits", value=self._raw)
            else:
                with circuit.typing():
                    _below(self._raw, bits, f"the value does not fit {bits} bits", value=self._raw)
        return self._raw

    @property
    def is_proven(self) -> bool:
        """Whether a constraint keeps the value within its bound by now."""
        return not self._awaits

    @property
    def unchecked(self) -> Field:
        """The value as a field element, whether or not its range is proven yet."""
        return self._raw

    @property
    def bits(self) -> int:
        """How many bits the bound has, at least 1."""
        return max(self.bound.bit_length(), 1)

    def named(self, name: str) -> UInt:
        """The same integer under a name that error messages use."""
        return UInt(self.field.named(name), self.bound)

    def __repr__(self) -> str:
        return f"UInt({self._raw.name}, {self.bits} bits)"

    # ------------------------------------------------------------------ arithmetic

    def __add__(self, other: UInt | int) -> UInt:
        right = as_uint(other)
        bound = self.bound + right.bound
        return UInt(self.field + right.field, _fits(bound, "sum"))

    def __radd__(self, other: int) -> UInt:
        return as_uint(other) + self

    def __mul__(self, other: UInt | int) -> UInt:
        right = as_uint(other)
        bound = self.bound * right.bound
        return UInt(self.field * right.field, _fits(bound, "product"))

    def __rmul__(self, other: int) -> UInt:
        return as_uint(other) * self

    def __sub__(self, other: UInt | int) -> UInt:
        right = as_uint(other)
        difference = self.field - right.field
        # both are below 2^252: a difference below zero is r less something small, and fits no bits
        _below(
            difference,
            self.bits,
            "the difference is below zero",
            left=self.field,
            right=right.field,
        )
        return UInt(difference, self.bound)

    def __rsub__(self, other: int) -> UInt:
        return as_uint(other) - self

    def __floordiv__(self, other: UInt | int) -> UInt:
        return divide(self, other)[0]

    def __rfloordiv__(self, other: int) -> UInt:
        return divide(other, self)[0]

    def __mod__(self, other: UInt | int) -> UInt:
        return divide(self, other)[1]

    def __rmod__(self, other: int) -> UInt:
        return divide(other, self)[1]

    def __divmod__(self, other: UInt | int) -> tuple[UInt, UInt]:
        return divide(self, other)

    def __truediv__(self, other: object) -> UInt:
        raise self._misused("`/`", "use //, % or divide() for whole numbers")

    __rtruediv__ = __truediv__

    # ------------------------------------------------------------------ comparison

    def __lt__(self, other: UInt | int) -> Bool:
        return less(self, other)

    def __gt__(self, other: UInt | int) -> Bool:
        return less(other, self)

    def __le__(self, other: UInt | int) -> Bool:
        return ~less(other, self)

    def __ge__(self, other: UInt | int) -> Bool:
        return ~less(self, other)

    def assert_equal(self, other: UInt | int, message: str = "the two sides differ") -> None:
        """State that both are the same number. One constraint.

        When one side's range is proven and the other's is not yet, equality proves that too,
        unless the proven bound is the wider one: then the narrower range is stated as well.
        """
        right = as_uint(other)
        if self.is_proven != right.is_proven:
            waiting, proven = (right, self) if self.is_proven else (self, right)
            if proven.bound <= waiting.bound:
                waiting._awaits = 0  # noqa: SLF001, the same class
            else:
                _ = waiting.field  # proves it
        self._raw.assert_equal(right.unchecked, message)

    def assert_at_most(self, other: UInt | int, message: str = "the first is greater") -> None:
        """State that self <= other. As many constraints as the other's bound has bits, and one.

        other - self lies in [0, other's bound] when it is not below zero, and just below r when it
        is, since both bounds are below 2^252: the two ranges do not meet.
        """
        right = as_uint(other)
        difference = right.field - self.field
        _below(difference, right.bits, message, left=self.field, right=right.field)

    def assert_at_least(self, other: UInt | int, message: str = "the first is smaller") -> None:
        """State that self >= other."""
        as_uint(other).assert_at_most(self, message)

    def assert_less(self, other: UInt | int, message: str = "the first is not smaller") -> None:
        """State that self < other."""
        right = as_uint(other)
        difference = right.field - self.field - 1
        _below(difference, right.bits, message, left=self.field, right=right.field)

    def assert_nonzero(self, message: str = "the value is zero") -> None:
        """State that the value is not 0."""
        self.field.assert_nonzero(message)


def as_uint(value: object) -> UInt:
    """A `UInt` from a UInt or an int. Raises: InvalidInput for anything else."""
    if isinstance(value, UInt):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return UInt.constant(value)
    raise InvalidInput(
        f"integers compute with UInt and int, got {type(value).__name__}",
        hint="make a UInt of a field element by UInt.checked(field, bits)",
    )


def less(left: UInt | int, right: UInt | int) -> Bool:
    """Whether left < right; both answers are proven.

    With n the wider number's bits, left - right + 2^n lies between 1 and 2^(n+1) - 1 by the bounds
    of both, and its bit n is 1 exactly when left >= right.
    """
    a, b = as_uint(left), as_uint(right)
    if a.field.is_constant and b.field.is_constant:
        return Bool.constant(a.field.value < b.field.value)
    bits = max(a.bits, b.bits)
    shifted = a.field - b.field + (1 << bits)
    circuit = _circuit(a.field, b.field)
    with circuit.statement("a comparison has one answer", left=a.field, right=b.field):
        answer = ~to_bits(shifted, bits + 1)[bits]
        circuit.compared(answer.field)
    if a.field.name and b.field.name:
        answer.field.name = f"({a.field.name} < {b.field.name})"
    return answer


def select_uint(condition: Bool, if_true: UInt | int, if_false: UInt | int) -> UInt:
    """One of two integers. One constraint; the bound is the larger one."""
    a, b = as_uint(if_true), as_uint(if_false)
    chosen = b.field + as_bool(condition).field * (a.field - b.field)
    return UInt(chosen, max(a.bound, b.bound))


def divide(left: UInt | int, right: UInt | int) -> tuple[UInt, UInt]:
    """Quotient and remainder, both proven: left = quotient * right + remainder < right.

    No witness satisfies a division by zero, since no remainder is below 0; none satisfies a second
    quotient, since quotient * right + remainder stays below r by its bound (threat Z18).

    Raises: InvalidInput when the bounds are too wide for one field element; Unsatisfied when both
    are constants and the divisor is 0.
    """
    a, b = as_uint(left), as_uint(right)
    message = "the divisor is zero, or the quotient is not the whole one"
    if b.field.is_constant and not b.field.value:
        refuse("the divisor is zero", {"divisor": 0})
    if a.field.is_constant and b.field.is_constant:
        quotient, remainder = divmod(a.field.value, b.field.value)
        return UInt.constant(quotient), UInt.constant(remainder)
    _fits((1 << a.bits) * (1 << b.bits), "quotient times divisor")
    circuit = _circuit(a.field, b.field)
    with circuit.statement(message, dividend=a.field, divisor=b.field):
        q = circuit.hint(Op.IDIV, a.field, b.field, name=_named(a, "//", b))
        r = circuit.hint(Op.IMOD, a.field, b.field, name=_named(a, "%", b))
        quotient_, remainder_ = UInt.checked(q, a.bits), UInt.checked(r, b.bits)
        circuit.enforce(q, b.field, a.field - r)
        remainder_.assert_less(b)
    return UInt(quotient_.field, a.bound), UInt(remainder_.field, b.bound)


def square_root(value: UInt | int) -> UInt:
    """The whole part of the square root: root^2 <= value < (root + 1)^2."""
    number = as_uint(value)
    if number.field.is_constant:
        return UInt.constant(isqrt(number.field.value))
    circuit = _circuit(number.field)
    bits = (number.bits + 1) // 2
    with circuit.statement("is not the whole part of the square root", value=number.field):
        root = UInt.checked(circuit.hint(Op.ISQRT, number.field), bits)
        square = root * root
        square.assert_at_most(number)
        number.assert_at_most(square + 2 * root)
    return root


def _below(value: Field, bits: int, message: str, /, **operands: Field) -> None:
    if value.is_constant:
        if value.value >> bits:
            refuse(message, {role: f.value for role, f in operands.items() if f.is_constant})
        return
    with _circuit(value).statement(message, **operands):
        to_bits(value, bits)


def _fits(bound: int, what: str) -> int:
    if bound >= 1 << MAX_BITS:
        raise InvalidInput(
            f"the {what} may need {bound.bit_length()} bits, more than the {MAX_BITS} that fit",
            hint="divide or range-check in between",
        )
    return bound


def _named(a: UInt, sign: str, b: UInt) -> str:
    left, right = a.field.name, b.field.name
    return f"({left} {sign} {right})" if left and right and len(left + right) < 50 else ""


def _circuit(*values: Field) -> Circuit:
    circuit = circuit_of(*values)
    assert circuit is not None  # only constants have none
    return circuit
