"""The list of facts that an action shows: its grammar, its order, and what it may not leave out.

Sections 5 and 6 of the protocol. A fact is [number, arguments..]; the list is strictly rising by
canonical bytes, so shorter facts come first. What a port holds is always in it: an action cannot
look away from its own sats, state and tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn, TypeAlias

from grail import codec
from grail.charms.app import TOKEN, App, Data
from grail.charms.state import Kind
from grail.errors import SpellIncorrect

IN = 0
OUT = 1
OWN = TOKEN
ZKBTC = "zkbtc"


class Name(IntEnum):
    """The thirteen facts of section 6."""

    STATE = 1
    SATS = 2
    UNITS = 3
    PLAIN = 4
    SUPPLY = 5
    FRESH = 6
    ROWS = 7
    PAY = 8
    SIGNER = 9
    ARG = 10
    HEIGHT = 11
    SELF = 12
    NET = 13


@dataclass(frozen=True, slots=True)
class FieldRef:
    """The appref ["field", kind, j, field]: the token whose appfe that state field holds."""

    kind: int
    j: int
    field: int


AppRef: TypeAlias = str | FieldRef | App
"""Which token a fact counts: "t" (own), "zkbtc", a state field, or an app in full."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: its number in section 6 and its arguments, apprefs read."""

    number: Name
    args: tuple[int | AppRef, ...]

    def to_cbor(self) -> list[Data]:
        """The array [number, arguments..]."""
        return [int(self.number), *(_ref_to_cbor(arg) for arg in self.args)]

    @property
    def refs(self) -> tuple[AppRef, ...]:
        """The apprefs among the arguments of units, rows and pay."""
        if self.number not in _WITH_REFS:
            return ()
        return tuple(arg for arg in self.args if not isinstance(arg, int))


_WITH_REFS = frozenset({Name.UNITS, Name.ROWS, Name.PAY})


@dataclass(frozen=True, slots=True)
class Shape:
    """What an action declares beside its facts: the numbers that a fact's arguments refer to."""

    kinds: Mapping[int, Kind]
    ports_in: tuple[tuple[int, int], ...]
    ports_out: tuple[tuple[int, int], ...]
    plain: bool
    rows: int
    terms: int
    pays: int
    signers: int
    args: int
    changes: tuple[str, ...]

    def ports(self, side: int) -> tuple[tuple[int, int], ...]:
        """(kind, count) of the ports on this side."""
        return self.ports_in if side == IN else self.ports_out

    def count(self, side: int, kind: int) -> int:
        """How many ports of this kind there are on this side."""
        return dict(self.ports(side)).get(kind, 0)


def read_facts(value: Data, shape: Shape) -> tuple[Fact, ...]:
    """Read an action's list of facts. Raises `SpellIncorrect` with rule DescriptorInvalid."""
    if not isinstance(value, list) or not value:
        descriptor_invalid("facts: not an array with at least one fact")
    facts = tuple(_fact(item, shape) for item in value)
    encoded = [codec.encode(item) for item in value]
    for before, after in itertools.pairwise(encoded):
        if before >= after:
            descriptor_invalid("facts not strictly rising", got=after.hex())
    if sum(fact.number == Name.ROWS for fact in facts) > 1:
        descriptor_invalid("facts: two rows facts")
    pays = [fact.args[0] for fact in facts if fact.number == Name.PAY]
    if len(set(pays)) != len(pays):
        descriptor_invalid("facts: one pay twice")
    missing = automatic(shape, named(facts)) - set(facts)
    if missing:
        texts = sorted(str(fact.to_cbor()) for fact in missing)
        descriptor_invalid("automatic fact missing", got=", ".join(texts)[:200])
    return facts


def named(facts: Iterable[Fact]) -> frozenset[AppRef]:
    """Every appref that the action names: those of units, rows and pay, and its own token."""
    return frozenset(ref for fact in facts for ref in fact.refs) | {OWN}


def automatic(shape: Shape, refs: Iterable[AppRef]) -> set[Fact]:
    """The facts that cannot be left out (section 6)."""
    found: set[Fact] = set()
    refs = tuple(refs)
    for side in (IN, OUT):
        for kind, count in shape.ports(side):
            for j in range(count):
                found.add(Fact(Name.SATS, (side, kind, j)))
                fields = range(len(shape.kinds[kind].fields))
                found.update(Fact(Name.STATE, (side, kind, j, field)) for field in fields)
                found.update(Fact(Name.UNITS, (side, kind, j, ref)) for ref in refs)
        if TOKEN in shape.changes:
            found.add(Fact(Name.SUPPLY, (side, OWN)))
        if shape.plain:
            found.add(Fact(Name.PLAIN, (side,)))
    return found


def width(fact: Fact, shape: Shape) -> int:
    """How many field elements the fact expands to."""
    if fact.number == Name.ROWS:
        return 1 + shape.rows * (3 + 2 * len(fact.refs) + shape.terms)
    return 2 + len(fact.refs) if fact.number == Name.PAY else 1


def _fact(value: Data, shape: Shape) -> Fact:
    if not isinstance(value, list) or not value or type(value[0]) is not int:
        descriptor_invalid("fact: not [number, arguments..]", got=value)
    number, args = value[0], value[1:]
    match number, args:
        case Name.STATE, [side, kind, j, field]:
            _port(shape, side, kind, j)
            _below("field", field, len(shape.kinds[kind].fields))
        case Name.SATS, [side, kind, j]:
            _port(shape, side, kind, j)
        case Name.UNITS, [side, kind, j, ref]:
            _port(shape, side, kind, j)
            return Fact(Name.UNITS, (side, kind, j, _ref(ref, shape)))
        case Name.PLAIN, [side]:
            _below("side", side, 2)
        case Name.SUPPLY, [side, str() as tag] if tag == OWN:
            _below("side", side, 2)
        case ((Name.FRESH | Name.HEIGHT | Name.SELF | Name.NET), []):
            pass
        case Name.ROWS, refs:
            return Fact(Name.ROWS, _refs(refs, shape))
        case Name.PAY, [i, *refs]:
            _below("pay", i, shape.pays)
            return Fact(Name.PAY, (i, *_refs(refs, shape)))
        case Name.SIGNER, [i]:
            _below("signer", i, shape.signers)
        case Name.ARG, [i]:
            _below("arg", i, shape.args)
        case _:
            descriptor_invalid("fact: unknown name or arguments", got=value)
    return Fact(Name(number), tuple(args))


def _refs(values: Sequence[Data], shape: Shape) -> tuple[AppRef, ...]:
    refs = tuple(_ref(value, shape) for value in values)
    encoded = [codec.encode(value) for value in values]
    if any(a >= b for a, b in itertools.pairwise(encoded)):
        descriptor_invalid("fact: apprefs not strictly rising", got=values)
    return refs


def _ref(value: Data, shape: Shape) -> AppRef:
    ref: AppRef
    match value:
        case "t" | "zkbtc":
            ref = str(value)
        case ["field", int() as kind, j, field]:
            if kind not in shape.kinds:
                descriptor_invalid("appref: kind", got=value)
            _below("appref: j", j, max(shape.count(IN, kind), shape.count(OUT, kind)))
            fields = shape.kinds[kind].fields
            _below("appref: field", field, len(fields))
            if fields[field][1] != "id":
                descriptor_invalid("appref: field is no id", got=fields[field][0])
            ref = FieldRef(kind, j, field)
        case ["app", "t", bytes() as identity, bytes() as vk] if len(identity) == len(vk) == 32:
            ref = App(TOKEN, identity, vk)
        case _:
            descriptor_invalid("appref: unknown form", got=value)
    return ref


def _ref_to_cbor(arg: int | AppRef) -> Data:
    if isinstance(arg, FieldRef):
        return ["field", arg.kind, arg.j, arg.field]
    if isinstance(arg, App):
        return ["app", *arg.to_cbor()]
    return arg


def _port(shape: Shape, side: Data, kind: Data, j: Data) -> None:
    _below("side", side, 2)
    if type(kind) is not int or kind not in shape.kinds:
        descriptor_invalid("fact: kind", got=kind)
    _below("port", j, shape.count(side, kind))


def _below(name: str, value: Data, limit: int) -> None:
    if type(value) is not int or not 0 <= value < limit:
        descriptor_invalid(f"{name} out of range", got=value, expected=f"below {limit}")


def descriptor_invalid(
    message: str, *, got: object = "another form", expected: object = "the form of section 5"
) -> NoReturn:
    """Raise `SpellIncorrect` with rule DescriptorInvalid."""
    raise SpellIncorrect("DescriptorInvalid", message, got=str(got)[:200], expected=str(expected))
