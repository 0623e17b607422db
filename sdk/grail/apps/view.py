"""The transaction as an action's method sees it: every fact a provable value with a name.

The verifier derives the same numbers from the transaction itself (PROTOCOL section 6), so a prover
cannot choose them. Beside the facts there are private inputs, which the prover does choose: state
all that must hold of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grail.apps.declaration import ActionSpec, Kind
from grail.charms.app import App
from grail.charms.fact_list import IN, OUT, OWN, AppRef, Fact, FieldRef, Name
from grail.errors import InvalidInput
from grail.zk.circuit import Circuit
from grail.zk.field import Field
from grail.zk.gadgets.bits import Bool
from grail.zk.gadgets.integers import UInt
from grail.zk.location import app_line

AMOUNT_BITS = 64
"""Sats and units: a charm's amount is below 2^64, and so is every sum that an app may rely on."""


@dataclass(frozen=True)
class Port:
    """A guarded input or output with its state, its sats and its tokens."""

    _of: Transaction
    side: int
    kind: Kind
    j: int

    @property
    def sats(self) -> UInt:
        """The sats that the port's output holds."""
        return self._of.amount(Fact(Name.SATS, (self.side, self.kind.number, self.j)))

    def units(self, token: AppRef = OWN) -> UInt:
        """The units of a token there, 0 when absent. The token must be named by the action."""
        return self._of.amount(Fact(Name.UNITS, (self.side, self.kind.number, self.j, token)))

    def uint(self, name: str) -> UInt:
        """A state field of type u64 or u128."""
        fact = self._state(name, "u64", "u128")
        return self._of.amount(fact, int(self.kind.type_of(name)[1:]))

    def bool(self, name: str) -> Bool:
        """A state field of type bool."""
        return self._of.typed_bool(self._of.fact(self._state(name, "bool")))

    def id(self, name: str) -> Field:
        """A state field of type id."""
        return self._of.fact(self._state(name, "id"))

    def blob(self, name: str) -> Field:
        """A state field of type blob, as the field element that stands for its bytes."""
        return self._of.fact(self._state(name, "blob"))

    def _state(self, name: str, *types: str) -> Fact:
        if self.kind.type_of(name) not in types:
            raise InvalidInput(f"field {name!r} is a {self.kind.type_of(name)}, not {types[0]}")
        index = self.kind.index(name)
        return Fact(Name.STATE, (self.side, self.kind.number, self.j, index))


@dataclass(frozen=True)
class Row:
    """An escrow that the action settles. Absent rows are all zeros."""

    present: Bool
    sats_in: UInt
    sats_paid: UInt
    units_in: tuple[UInt, ...]
    units_paid: tuple[UInt, ...]
    terms: tuple[UInt, ...]


@dataclass(frozen=True)
class Payment:
    """An ordinary output that the spell names: to which script, how many sats and units."""

    script: Field
    sats: UInt
    units: tuple[UInt, ...]


class Transaction:
    """The facts of one action, and its private inputs."""

    def __init__(self, circuit: Circuit, spec: ActionSpec) -> None:
        self._circuit = circuit
        self._spec = spec
        self._facts: dict[Fact, tuple[Field, ...]] = {}
        self._amounts: dict[Fact, UInt] = {}
        self._bools: dict[str, Bool] = {}
        self._payments: dict[int, Payment] = {}
        self._rows: tuple[Row, ...] = ()
        self._row_count: UInt | None = None
        self.free_facts: dict[str, str] = {}
        self.private_inputs: list[tuple[str, Field]] = []
        for fact in spec.facts:
            labels = fact_labels(spec, fact)
            self._facts[fact] = tuple(circuit.private(label) for label in labels)

    # ------------------------------------------------------------------ facts

    def fact(self, fact: Fact) -> Field:
        """A fact of one element. Raises: InvalidInput when the action does not read it."""
        return self._elements(fact)[0]

    def _elements(self, fact: Fact) -> tuple[Field, ...]:
        if fact not in self._facts:
            raise InvalidInput(f"action {self._spec.name} does not declare {fact_name(fact)}")
        return self._facts[fact]

    @property
    def elements(self) -> tuple[Field, ...]:
        """All facts' elements in the descriptor's order."""
        return tuple(element for fact in self._spec.facts for element in self._facts[fact])

    def amount(self, fact: Fact, bits: int = AMOUNT_BITS) -> UInt:
        """A fact of one element as an integer; its range is stated once, where it is needed."""
        if fact not in self._amounts:
            self._amounts[fact] = UInt.awaiting(self.fact(fact), bits)
        return self._amounts[fact]

    def typed_bool(self, field: Field) -> Bool:
        """A fact as a boolean, stated once."""
        if field.name not in self._bools:
            with self._circuit.typing():
                self._bools[field.name] = Bool.checked(field)
        return self._bools[field.name]

    def port_in(self, kind: Kind, j: int = 0) -> Port:
        """Port j of a kind, as the transaction takes it."""
        return Port(self, IN, kind, j)

    def port_out(self, kind: Kind, j: int = 0) -> Port:
        """Port j of a kind, as the transaction leaves it."""
        return Port(self, OUT, kind, j)

    @property
    def plain_in(self) -> UInt:
        """Sats of the guarded inputs that hold no charms."""
        return self.amount(Fact(Name.PLAIN, (IN,)))

    @property
    def plain_out(self) -> UInt:
        """Sats of the guarded outputs that hold no charms."""
        return self.amount(Fact(Name.PLAIN, (OUT,)))

    @property
    def supply_in(self) -> UInt:
        """Own tokens over all inputs."""
        return self.amount(Fact(Name.SUPPLY, (IN, OWN)))

    @property
    def supply_out(self) -> UInt:
        """Own tokens over all outputs."""
        return self.amount(Fact(Name.SUPPLY, (OUT, OWN)))

    @property
    def fresh(self) -> Bool:
        """Whether this transaction creates the contract: its identity hashes input 0."""
        return self.typed_bool(self.fact(Fact(Name.FRESH, ())))

    @property
    def height(self) -> UInt:
        """The transaction's lock time, a block height."""
        return self.amount(Fact(Name.HEIGHT, ()))

    @property
    def self_id(self) -> Field:
        """The contract itself, as a field element."""
        return self.fact(Fact(Name.SELF, ()))

    @property
    def net(self) -> Field:
        """The network, as a field element."""
        return self.fact(Fact(Name.NET, ()))

    def arg(self, i: int) -> UInt:
        """Argument i of the spell."""
        return self.amount(Fact(Name.ARG, (i,)))

    def signer(self, i: int) -> Field:
        """The script of an input whose owner signed this transaction."""
        return self.fact(Fact(Name.SIGNER, (i,)))

    def pay(self, i: int) -> Payment:
        """Payment i of the spell."""
        if i not in self._payments:
            found = [f for f in self._spec.facts if f.number == Name.PAY and f.args[0] == i]
            if not found:
                raise InvalidInput(f"action {self._spec.name} has no payment {i}")
            script, *amounts = self._elements(found[0])
            sats, *units = (UInt.awaiting(amount, AMOUNT_BITS) for amount in amounts)
            self._payments[i] = Payment(script, sats, tuple(units))
        return self._payments[i]

    @property
    def row_count(self) -> UInt:
        """How many rows are present."""
        if self._row_count is None:
            self._row_count = UInt.awaiting(self._elements(self._rows_fact())[0], 8)
        return self._row_count

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, present or not."""
        if not self._rows:
            elements = self._elements(self._rows_fact())[1:]
            width = len(elements) // self._spec.rows
            parts = [elements[i : i + width] for i in range(0, len(elements), width)]
            self._rows = tuple(map(self._row, parts))
        return self._rows

    def _rows_fact(self) -> Fact:
        fact = next((f for f in self._spec.facts if f.number == Name.ROWS), None)
        if fact is None:
            raise InvalidInput(f"action {self._spec.name} has no rows")
        return fact

    def _row(self, elements: Sequence[Field]) -> Row:
        present, *numbers = elements
        sats_in, sats_paid, *rest = (UInt.awaiting(number, AMOUNT_BITS) for number in numbers)
        n = len(rest) - self._spec.terms
        return Row(
            self.typed_bool(present),
            sats_in,
            sats_paid,
            tuple(rest[0:n:2]),
            tuple(rest[1:n:2]),
            tuple(rest[n:]),
        )

    # ------------------------------------------------------------------ private inputs

    def private_uint(self, name: str, bits: int = 64, *, secret: bool = False) -> UInt:
        """A number below 2^bits that the prover chooses."""
        field = self.private_field(name, secret=secret)
        with self._circuit.typing():
            return UInt.checked(field, bits)

    def private_bool(self, name: str, *, secret: bool = False) -> Bool:
        """A yes or no that the prover chooses."""
        return self.typed_bool(self.private_field(name, secret=secret))

    def private_field(self, name: str, *, secret: bool = False) -> Field:
        """A field element that the prover chooses. A secret one is never shown in an error."""
        field = self._circuit.private(name, secret=secret)
        self.private_inputs.append((name, field))
        return field

    def private_fields(self, name: str, count: int, *, secret: bool = False) -> tuple[Field, ...]:
        """So many field elements, given to `prove` as a list under one name."""
        return tuple(self.private_field(f"{name}[{i}]", secret=secret) for i in range(count))

    def private_bools(self, name: str, count: int, *, secret: bool = False) -> tuple[Bool, ...]:
        """So many booleans, given to `prove` as a list under one name."""
        fields = self.private_fields(name, count, secret=secret)
        return tuple(self.typed_bool(field) for field in fields)

    # ------------------------------------------------------------------ what is left open

    def free(self, value: Field | UInt | Bool, reason: str) -> None:
        """Say that no constraint needs to touch this fact, and why.

        The bundle's report lists it. The state of a port that the action gives, and a supply that
        it changes, cannot be left free.

        Raises: InvalidInput when the value is no fact, may not be free, or the reason is empty.
        """
        field = value.unchecked if isinstance(value, UInt) else value
        name = (field.field if isinstance(field, Bool) else field).name
        fact = next((f for f in self._spec.facts if name in fact_labels(self._spec, f)), None)
        file, line = app_line()
        if fact is None or not reason.strip():
            raise InvalidInput(f"{file}:{line}: free() takes a fact and a reason")
        if fact.number == Name.STATE and fact.args[0] == OUT:
            raise InvalidInput(f"{file}:{line}: {name} is the state that a port is left with")
        if fact.number == Name.SUPPLY and OWN in self._spec.changes:
            raise InvalidInput(f"{file}:{line}: {name} is a supply that the action changes")
        self.free_facts[name] = reason


# ---------------------------------------------------------------------- names

_SIDED = frozenset({Name.STATE, Name.SATS, Name.UNITS, Name.PLAIN, Name.SUPPLY})


def fact_name(fact: Fact) -> str:
    """A fact as people read it: `units(out,0,0,t)`."""
    arguments = [_argument(arg) for arg in fact.args]
    if fact.number in _SIDED:
        arguments[0] = "out" if fact.args[0] == OUT else "in"
    return f"{fact.number.name.lower()}({','.join(arguments)})"


def fact_labels(spec: ActionSpec, fact: Fact) -> tuple[str, ...]:
    """The names of a fact's elements, as many as it expands to."""
    if fact.number == Name.STATE:
        side, number, j, index = fact.args
        assert isinstance(number, int)
        assert isinstance(index, int)
        name = spec.kind(number).fields[index][0]
        return (f"state({'out' if side == OUT else 'in'},{number},{j},{name})",)
    if fact.number == Name.UNITS and isinstance(fact.args[3], FieldRef):
        side, number, j, ref = fact.args
        return (f"units({'out' if side == OUT else 'in'},{number},{j},{_field_name(spec, ref)})",)
    if fact.number == Name.PAY:
        i, *refs = fact.args
        units = (f"pay({i}).units({_ref_name(spec, ref)})" for ref in refs)
        return (f"pay({i}).script", f"pay({i}).sats", *units)
    if fact.number == Name.ROWS:
        labels = ["rows.count"]
        for i in range(spec.rows):
            labels += [f"row[{i}].present", f"row[{i}].sats_in", f"row[{i}].sats_paid"]
            for ref in fact.args:
                token = _ref_name(spec, ref)
                labels += [f"row[{i}].units_in({token})", f"row[{i}].units_paid({token})"]
            labels += [f"row[{i}].term[{k}]" for k in range(spec.terms)]
        return tuple(labels)
    return (fact_name(fact),)


def _ref_name(spec: ActionSpec, ref: int | AppRef) -> str:
    return _field_name(spec, ref) if isinstance(ref, FieldRef) else _argument(ref)


def _field_name(spec: ActionSpec, ref: int | AppRef) -> str:
    assert isinstance(ref, FieldRef)
    return f"field({ref.kind},{ref.j},{spec.kind(ref.kind).fields[ref.field][0]})"


def _argument(arg: int | AppRef) -> str:
    if isinstance(arg, FieldRef):
        return f"field({arg.kind},{arg.j},{arg.field})"
    if isinstance(arg, App):
        return f"app({arg.tag}/{arg.identity.hex()[:8]})"
    return str(arg)
