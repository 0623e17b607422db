"""Python code becomes constraints: the trace.

While an app's method runs, every operation on provable values is recorded twice: as rank-1
constraints, and as steps of the witness program that computes each wire from the inputs. Both
depend on the code alone, never on a value, a clock or a hash seed, so a circuit is the same on
every machine (threat Z20).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from grail.errors import InvalidInput, Unsatisfied
from grail.zk.field import MODULUS, ONE, Field
from grail.zk.location import app_line, unsatisfied
from grail.zk.program import Op, Program, evaluate
from grail.zk.r1cs import Constraint, R1cs, value_of
from grail.zk.soundness import free_signals

_ZERO: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True)
class Statement:
    """What one line of the app states; several constraints may serve it."""

    file: str
    line: int
    message: str
    operands: tuple[tuple[str, Field], ...]

    def failed(self, witness: Sequence[int]) -> Unsatisfied:
        """The error for a witness that breaks this statement."""
        values, hidden = {}, []
        for role, field in self.operands:
            label = role if field.is_constant else field.name or role
            if field.secret:
                hidden.append(label)
            else:
                values[label] = value_of(field.terms, witness)
        return unsatisfied(self.message, self.file, self.line, values, tuple(hidden))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A yes or no that the app asked for, which some later constraint must use."""

    wire: int
    first_use: int
    statement: Statement


class Circuit:
    """A circuit under construction. Public wires come first, in the order they are asked for."""

    def __init__(self) -> None:
        self.n_public = 0
        self.input_names: list[str] = []
        self.constraints: list[Constraint] = []
        self.statements: list[Statement] = []
        self.comparisons: list[Comparison] = []
        self.auxiliary: set[int] = set()
        self.given: set[int] = set()
        self._program = Program()
        self._registers: list[int | None] = [self._program.constant(1)]
        self._of_constraint: list[int] = []
        self._typing: set[int] = set()
        self._in_typing = False
        self._open: Statement | None = None

    # ------------------------------------------------------------------ wires

    def public(self, name: str) -> Field:
        """A public wire whose value is given as an input."""
        field = self.reserve_public(name)
        self._registers[-1] = self._input(name)
        self.given.add(self.n_public)
        return field

    def reserve_public(self, name: str) -> Field:
        """A public wire whose value the circuit computes; `bind` says from what."""
        if len(self._registers) != self.n_public + 1:
            raise InvalidInput("public wires come before all others")
        self.n_public += 1
        self._registers.append(None)
        return Field({self.n_public: 1}, self, name=name)

    def bind(self, wire: Field, value: Field) -> None:
        """Give a reserved wire its value, and state that it has no other."""
        (index,) = wire.terms
        assert self._registers[index] is None
        self._registers[index] = self.register(value)
        wire.register = self._registers[index]
        wire.assert_equal(value)

    def private(self, name: str, *, secret: bool = False) -> Field:
        """A wire whose value is given as an input and shown to nobody."""
        field = self.allocate(self._input(name), name=name, secret=secret)
        self.given.update(field.terms)
        return field

    def _input(self, name: str) -> int:
        if name in self.input_names:
            raise InvalidInput(f"two inputs are named {name!r}")
        self.input_names.append(name)
        return self._program.input()

    def allocate(self, register: int, *, name: str = "", secret: bool = False) -> Field:
        """A new wire with the value of a register. Nothing constrains it yet."""
        self._registers.append(register)
        field = Field({len(self._registers) - 1: 1}, self, name=name, secret=secret)
        field.register = register
        return field

    # ------------------------------------------------------------------ the witness program

    def register(self, field: Field) -> int:
        """The register that holds a combination's value, computed where it is first needed."""
        if field.register is None:
            field.register = self._combine(field.terms)
        return field.register

    def _combine(self, terms: Mapping[int, int]) -> int:
        program, total = self._program, None
        for wire, coefficient in terms.items():
            register = self._registers[wire]
            assert register is not None  # a reserved public wire is read after it is bound
            if wire == ONE:
                register = program.constant(coefficient)
            elif coefficient == MODULUS - 1 and total is not None:
                total = program.emit(Op.SUB, total, register)
                continue
            elif coefficient != 1:
                register = program.emit(Op.MUL, register, program.constant(coefficient))
            total = register if total is None else program.emit(Op.ADD, total, register)
        return program.constant(0) if total is None else total

    def compute(self, op: Op, a: Field, b: Field | int = 0, c: Field | None = None) -> int:
        """The register of an operation on values; constrains nothing."""
        second = b if isinstance(b, int) else self.register(b)
        third = 0 if c is None else self.register(c)
        return self._program.emit(op, self.register(a), second, third)

    def hint(self, op: Op, a: Field, b: Field | int = 0, *, name: str = "") -> Field:
        """A wire that the prover computes so, and that constraints must still pin down."""
        secret = a.secret or (isinstance(b, Field) and b.secret)
        return self.allocate(self.compute(op, a, b), name=name, secret=secret)

    # ------------------------------------------------------------------ constraints

    def statement(self, message: str, **operands: Field) -> _Stating:
        """While this is entered, constraints belong to the app's line that is running now.

        The outermost statement counts: what a gadget states inside serves the line that called it.
        """
        return _Stating(self, message, operands)

    def typing(self) -> _Typing:
        """While this is entered, constraints state the type of an input and no rule of the app."""
        return _Typing(self)

    def enforce(self, a: Field, b: Field, c: Field) -> None:
        """The constraint a * b = c."""
        if self._open is None:
            with self.statement("does not hold", a=a, b=b, c=c):
                self.enforce(a, b, c)
            return
        if not self.statements or self.statements[-1] is not self._open:
            self.statements.append(self._open)
        if self._in_typing:
            self._typing.add(len(self.constraints))
        self._of_constraint.append(len(self.statements) - 1)
        self.constraints.append((a.terms, b.terms, c.terms))

    def multiply(self, a: Field, b: Field) -> Field:
        """A new wire that holds the product."""
        product = self.hint(Op.MUL, a, b)
        with self.statement("is not the product", left=a, right=b):
            self.enforce(a, b, product)
        return product

    def invert(self, value: Field) -> Field:
        """A new wire that holds 1 / value; no witness satisfies it for 0."""
        result = self.hint(Op.DIV, Field.constant(1), value)
        self.enforce(value, result, Field.constant(1))
        return result

    def materialise(self, value: Field) -> Field:
        """A new wire that equals a combination, for one term in place of many."""
        wire = self.allocate(self.register(value), name=value.name, secret=value.secret)
        with self.statement("is not the sum", value=value):
            self.enforce(value, Field.constant(1), wire)
        return wire

    def compared(self, result: Field) -> None:
        """Note a yes or no that the app asked for, with all constraints that define it stated."""
        if self._open is not None:
            wire = next(w for w in result.terms if w != ONE)
            self.comparisons.append(Comparison(wire, len(self.constraints), self._open))

    # ------------------------------------------------------------------ the finished circuit

    @property
    def n_wires(self) -> int:
        """How many wires there are, the constant one included."""
        return len(self._registers)

    def r1cs(self) -> R1cs:
        """The constraints so far."""
        return R1cs(self.n_wires, self.n_public, tuple(self.constraints))

    def program(self) -> bytes:
        """The witness program's bytes (GWP1)."""
        registers = [register for register in self._registers if register is not None]
        if len(registers) != len(self._registers):
            raise InvalidInput("a reserved public wire was never bound")
        return self._program.serialize(registers)

    def explain(self, constraint: int, witness: Sequence[int]) -> Unsatisfied:
        """The error for a constraint that a witness breaks: file, line, what, and the values."""
        return self.statements[self._of_constraint[constraint]].failed(witness)

    def touched(self, given: Collection[int]) -> set[int]:
        """The wires on which some constraint bears.

        Constraints that only state an input's type do not count, nor do those that some wire
        outside `given`, used nowhere else, can satisfy whatever the other wires are: a product
        that nothing uses, or a private input that merely repeats a fact.
        """
        live = {i: c for i, c in enumerate(self.constraints) if i not in self._typing}
        uses: dict[int, set[int]] = {}
        for index, constraint in live.items():
            for wire in {wire for part in constraint for wire in part}:
                uses.setdefault(wire, set()).add(index)
        loose = [w for w, at in uses.items() if len(at) == 1 and w not in given and w != ONE]
        while loose:
            wire = loose.pop()
            if len(uses[wire]) != 1:
                continue
            (index,) = uses[wire]
            if not _always_solvable(live[index], wire):
                continue
            for other in {w for part in live.pop(index) for w in part}:
                uses[other].discard(index)
                if len(uses[other]) == 1 and other not in given and other != ONE:
                    loose.append(other)
        return {wire for wire, at in uses.items() if at}

    def unused_comparisons(self) -> list[Statement]:
        """The comparisons whose answer no later constraint uses: they state nothing."""
        last_use: dict[int, int] = {}
        for index, constraint in enumerate(self.constraints):
            for part in constraint:
                for wire in part:
                    last_use[wire] = index
        return [c.statement for c in self.comparisons if last_use[c.wire] < c.first_use]

    def free_signals(self, inputs: Sequence[int]) -> tuple[int, ...]:
        """Wires that the prover could change at these inputs and still satisfy every constraint.

        Auxiliary hints, which feed nothing, are left out. Raises: Unsatisfied, InvalidInput as
        `solve` does.
        """
        witness = self.solve(inputs)
        return free_signals(self.r1cs(), witness, self.given, self.auxiliary)

    def solve(self, inputs: Sequence[int]) -> list[int]:
        """Every wire's value for these inputs, constraints checked.

        Raises: Unsatisfied at the first constraint that fails; InvalidInput for wrong inputs.
        """
        witness = evaluate(self.program(), inputs)
        failed = self.r1cs().first_failure(witness)
        if failed is not None:
            raise self.explain(failed, witness)
        return witness


def _always_solvable(constraint: Constraint, wire: int) -> bool:
    """Whether the constraint has a solution for this wire, whatever the others are."""
    a, b, c = constraint
    if wire in c:
        return wire not in a and wire not in b
    factor, other = (a, b) if wire in a else (b, a)
    return wire in factor and wire not in other and set(other) == {ONE}


class _Stating:
    """Entered: constraints of this circuit serve one statement."""

    __slots__ = ("_circuit", "_message", "_operands", "_outer")

    def __init__(self, circuit: Circuit, message: str, operands: Mapping[str, Field]) -> None:
        self._circuit = circuit
        self._message = message
        self._operands = operands

    def __enter__(self) -> None:
        self._outer = self._circuit._open  # noqa: SLF001, the circuit's own part
        if self._outer is None:
            file, line = app_line()
            operands = tuple(self._operands.items())
            self._circuit._open = Statement(file, line, self._message, operands)  # noqa: SLF001

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._circuit._open = self._outer  # noqa: SLF001, the circuit's own part


class _Typing:
    """Entered: constraints of this circuit state types only."""

    __slots__ = ("_circuit", "_outer")

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit

    def __enter__(self) -> None:
        self._outer = self._circuit._in_typing  # noqa: SLF001, the circuit's own part
        self._circuit._in_typing = True  # noqa: SLF001

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._circuit._in_typing = self._outer  # noqa: SLF001, the circuit's own part
