"""Booleans: values that are 0 or 1, and what can be decided about field elements.

`equal` and `is_zero` prove both answers: no witness makes them say yes for a no, or no for a yes.
"""

from __future__ import annotations

from grail.errors import InvalidInput
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS, Field, Provable, as_field, circuit_of
from grail.zk.location import refuse
from grail.zk.program import Op


class Bool(Provable):
    """A provable yes or no. `&`, `|`, `^` and `~` combine; `if` and `and` raise (threat Z19).

    The constructor takes the claim that `field` is 0 or 1 from its caller; `Bool.checked` proves
    it.
    """

    __slots__ = ("field",)

    def __init__(self, field: Field) -> None:
        self.field = field

    @classmethod
    def constant(cls, value: bool) -> Bool:
        """A constant yes or no."""
        return cls(Field.constant(int(value)))

    @classmethod
    def checked(cls, field: Field) -> Bool:
        """State that the value is 0 or 1. One constraint."""
        message = "a boolean is neither 0 nor 1"
        if field.is_constant:
            if field.value > 1:
                refuse(message, {"value": field.value})
            return cls(field)
        circuit = _circuit(field)
        with circuit.statement(message, value=field):
            circuit.enforce(field, field - 1, Field.constant(0))
        return cls(field)

    def __repr__(self) -> str:
        return f"Bool({self.field.name})"

    def __and__(self, other: Bool | bool) -> Bool:
        return Bool(self.field * as_bool(other).field)

    def __or__(self, other: Bool | bool) -> Bool:
        both = as_bool(other).field
        return Bool(self.field + both - self.field * both)

    def __xor__(self, other: Bool | bool) -> Bool:
        both = as_bool(other).field
        return Bool(self.field + both - 2 * (self.field * both))

    def __invert__(self) -> Bool:
        return Bool(1 - self.field)

    def equal(self, other: Bool | bool) -> Bool:
        """Whether both say the same."""
        return ~(self ^ as_bool(other))

    def assert_true(self, message: str = "the condition does not hold") -> None:
        """State that the answer is yes."""
        self.field.assert_equal(1, message)

    def assert_false(self, message: str = "the condition holds, and must not") -> None:
        """State that the answer is no."""
        self.field.assert_equal(0, message)

    def assert_equal(self, other: Bool | bool, message: str = "the two answers differ") -> None:
        """State that both say the same."""
        self.field.assert_equal(as_bool(other).field, message)

    def implies(self, other: Bool | bool, message: str = "the first without the second") -> None:
        """State that whenever this is yes, so is the other."""
        (self & ~as_bool(other)).assert_false(message)


def as_bool(value: object) -> Bool:
    """A `Bool` from a Bool or a Python bool. Raises: InvalidInput for anything else."""
    if isinstance(value, Bool):
        return value
    if isinstance(value, bool):
        return Bool.constant(value)
    raise InvalidInput(f"expected a Bool, got {type(value).__name__}")


def is_zero(value: Field) -> Bool:
    """Whether a field element is 0. Two constraints.

    With y the answer and v a hint: x * v = 1 - y and x * y = 0. If x is 0 the first makes y 1; if
    it is not, the second makes y 0, and v = 1/x exists. v is free when x is 0 and feeds nothing.
    """
    if value.is_constant:
        return Bool.constant(value.value == 0)
    circuit = _circuit(value)
    with circuit.statement("zero or not: no witness says otherwise", value=value):
        answer = circuit.hint(Op.EQ, value, Field.constant(0))
        hint = circuit.hint(Op.DIV, Field.constant(1), value)
        circuit.auxiliary.update(hint.terms)
        circuit.enforce(value, hint, 1 - answer)
        circuit.enforce(value, answer, Field.constant(0))
        circuit.compared(answer)
    return Bool(answer)


def equal(left: Field | int, right: Field | int) -> Bool:
    """Whether two field elements are the same number modulo r. Two constraints."""
    a, b = as_field(left), as_field(right)
    answer = is_zero(a - b)
    if a.name and b.name:
        answer.field.name = f"({a.name} is {b.name})"
    return answer


def select(condition: Bool, if_true: Field | int, if_false: Field | int) -> Field:
    """One of two field elements. One constraint; the condition is 0 or 1 by its type."""
    a, b = as_field(if_true), as_field(if_false)
    return b + as_bool(condition).field * (a - b)


def to_bits(value: Field, n: int) -> tuple[Bool, ...]:
    """The n lowest bits first, and the proof that there are no others. n + 1 constraints.

    n is at most 253, so that the sum of n bits cannot reach r: every value has one pattern.
    `to_all_bits` is for elements of the whole field.

    Raises: InvalidInput when n is not 1 to 253; Unsatisfied for a constant that does not fit.
    """
    if not 1 <= n <= 253:
        raise InvalidInput(f"bits: got {n}, expected 1 to 253", hint="use to_all_bits()")
    return _decomposed(value, n, f"the value does not fit {n} bits")


def to_all_bits(value: Field) -> tuple[Bool, ...]:
    """The 254 bits of a field element, lowest first, of its one pattern below r (threat Z3).

    254 bits can also spell value + r when value is small. So the bits, as an integer, are compared
    with r - 1 in two halves of 127 bits: high < top, or high = top and low <= bottom.
    """
    bits = _decomposed(value, 254, "the value is not its 254 bits")
    bottom, top = (MODULUS - 1) & ((1 << 127) - 1), (MODULUS - 1) >> 127
    low, high = from_bits(bits[:127]), from_bits(bits[127:])
    if value.is_constant:
        return bits
    with _circuit(value).statement("the bits spell the value plus r, not the value", value=value):
        to_bits(top - high, 127)
        at_top = is_zero(top - high)
        to_bits(at_top.field * (bottom - low), 127)
    return bits


def from_bits(bits: tuple[Bool, ...]) -> Field:
    """The number that bits spell, lowest first; modulo r when there are more than 253. Free."""
    terms: dict[int, int] = {}
    for position, bit in enumerate(bits):
        for wire, coefficient in bit.field.terms.items():
            terms[wire] = (terms.get(wire, 0) + (coefficient << position)) % MODULUS
    secret = any(bit.field.secret for bit in bits)
    fields = [bit.field for bit in bits]
    return Field({w: c for w, c in terms.items() if c}, circuit_of(*fields), secret=secret)


def _decomposed(value: Field, n: int, message: str) -> tuple[Bool, ...]:
    if value.is_constant:
        if value.value >> n:
            refuse(message, {"value": value.value})
        return tuple(Bool.constant(bool(value.value >> i & 1)) for i in range(n))
    circuit = _circuit(value)
    with circuit.statement(message, value=value):
        bits = tuple(Bool.checked(circuit.hint(Op.BIT, value, i)) for i in range(n))
        circuit.enforce(from_bits(bits), Field.constant(1), value)
    return bits


def _circuit(value: Field) -> Circuit:
    circuit = circuit_of(value)
    assert circuit is not None  # only constants have none
    return circuit
