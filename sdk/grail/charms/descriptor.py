"""The bundle of an app: its kinds of state, its actions, their facts and keys, its setup.

Section 5 of the protocol. The SHA-256 of the canonical bytes is the app's vk, so a bundle is
identified by what it says. Every fault is `SpellIncorrect` with rule DescriptorInvalid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from grail import codec
from grail.charms.app import NFT, TOKEN, Data
from grail.charms.fact_list import (
    IN,
    OUT,
    AppRef,
    Fact,
    FieldRef,
    Name,
    Shape,
    descriptor_invalid,
    named,
    read_facts,
    width,
)
from grail.charms.public_inputs import MAX_ARGS, MAX_PAYS, MAX_ROWS, MAX_SIGNERS, MAX_TERMS
from grail.charms.state import FIELD_TYPES, Kind
from grail.errors import DecodeError, InvalidInput

__all__ = [
    "IN",
    "OUT",
    "Action",
    "AppRef",
    "Bundle",
    "Fact",
    "FieldRef",
    "Kind",
    "Name",
    "Setup",
]

MAX_BUNDLE = 65_536
MAX_KINDS = 16
MAX_FIELDS = 32
MAX_ACTIONS = 64
MAX_PORTS = 8
MAX_FACTS = 512
MAX_NAME = 64
ACTION_NAMES = frozenset(
    {
        "name",
        "ports_in",
        "ports_out",
        "plain",
        "rows",
        "terms",
        "pays",
        "signers",
        "args",
        "changes",
        "facts",
        "vk",
    }
)


@dataclass(frozen=True)
class Action:
    """What one action takes, gives and shows, and the key that its proofs verify under.

    `ports_in` and `ports_out` are (kind, count) pairs, rising by kind.
    """

    number: int
    name: str
    ports_in: tuple[tuple[int, int], ...]
    ports_out: tuple[tuple[int, int], ...]
    plain: bool
    rows: int
    terms: int
    pays: int
    signers: int
    args: int
    changes: tuple[str, ...]
    facts: tuple[Fact, ...]
    vk: bytes

    @cached_property
    def named(self) -> frozenset[AppRef]:
        """Every appref that the action names, its own token among them."""
        return named(self.facts)

    def shape(self, kinds: Mapping[int, Kind]) -> Shape:
        """The numbers that the facts refer to."""
        return Shape(
            kinds,
            self.ports_in,
            self.ports_out,
            self.plain,
            self.rows,
            self.terms,
            self.pays,
            self.signers,
            self.args,
            self.changes,
        )

    def ports(self, side: int) -> tuple[tuple[int, int], ...]:
        """(kind, count) of the ports on this side (`IN` or `OUT`)."""
        return self.ports_in if side == IN else self.ports_out

    def to_cbor(self) -> dict[str, Data]:
        """The map of the action's twelve names."""
        return {
            "name": self.name,
            "ports_in": [list(port) for port in self.ports_in],
            "ports_out": [list(port) for port in self.ports_out],
            "plain": self.plain,
            "rows": self.rows,
            "terms": self.terms,
            "pays": self.pays,
            "signers": self.signers,
            "args": self.args,
            "changes": list(self.changes),
            "facts": [fact.to_cbor() for fact in self.facts],
            "vk": self.vk,
        }


@dataclass(frozen=True, slots=True)
class Setup:
    """Where the keys come from: hash of the powers of tau, contributions, one party or more."""

    ptau: bytes
    contributions: tuple[bytes, ...]
    single_party: bool


@dataclass(frozen=True)
class Bundle:
    """A descriptor with its keys. `parse` is the only way in for bytes from others."""

    kinds: Mapping[int, Kind]
    actions: Mapping[int, Action]
    setup: Setup
    backed: str | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Bundle:
        """Read canonical bytes and check the whole grammar. Raises `SpellIncorrect`."""
        try:
            value = codec.decode(raw, max_bytes=MAX_BUNDLE, free_keys=True)
        except DecodeError as exc:
            descriptor_invalid(f"bundle: {exc}")
        names = {"v", "kinds", "actions", "setup"}
        if not isinstance(value, dict) or value.keys() - {"backed"} != names:
            descriptor_invalid("bundle: names", expected=sorted(names))
        if type(value["v"]) is not int or value["v"] != 1:
            descriptor_invalid("bundle: v", got=value["v"], expected=1)
        # Own token means tag t throughout, so no other tag can be backed.
        if "backed" in value and value["backed"] != TOKEN:
            descriptor_invalid("bundle: backed", got=value["backed"], expected=TOKEN)
        kinds = _kinds(value["kinds"])
        actions = _actions(value["actions"], kinds)
        bundle = cls(kinds, actions, _setup(value["setup"]), value.get("backed"))
        bundle.__dict__["vk"] = hashlib.sha256(raw).digest()
        return bundle

    def serialize(self) -> bytes:
        """The canonical bytes."""
        kinds = {
            number: [kind.free, *([name, type_] for name, type_ in kind.fields)]
            for number, kind in self.kinds.items()
        }
        value: dict[str, Data] = {
            "v": 1,
            "kinds": kinds,
            "actions": {number: action.to_cbor() for number, action in self.actions.items()},
            "setup": {
                "ptau": self.setup.ptau,
                "contributions": list(self.setup.contributions),
                "single_party": self.setup.single_party,
            },
        }
        if self.backed is not None:
            value["backed"] = self.backed
        return codec.encode(value)

    @cached_property
    def vk(self) -> bytes:
        """SHA-256 of the canonical bytes: the vk of the app's contract."""
        return hashlib.sha256(self.serialize()).digest()

    def action(self, name: str) -> Action:
        """The action of this name. Raises `InvalidInput`."""
        for action in self.actions.values():
            if action.name == name:
                return action
        names = sorted(action.name for action in self.actions.values())
        raise InvalidInput(f"action: got {name!r}, expected one of {names}")


def _kinds(value: Data) -> dict[int, Kind]:
    if not isinstance(value, dict) or len(value) > MAX_KINDS:
        descriptor_invalid("kinds: not a map of at most 16")
    kinds: dict[int, Kind] = {}
    for number, entry in value.items():
        _count("kind", number, 255)
        if not isinstance(entry, list) or not entry or not isinstance(entry[0], bool):
            descriptor_invalid("kind: not [free, [name, type]..]", got=number)
        if len(entry) - 1 > MAX_FIELDS:
            descriptor_invalid("kind: fields", got=len(entry) - 1, expected=MAX_FIELDS)
        kinds[number] = Kind(entry[0], tuple(_field(field) for field in entry[1:]))
        names = [name for name, _ in kinds[number].fields]
        if len(set(names)) != len(names):
            descriptor_invalid("kind: two fields of one name", got=names)
    return kinds


def _field(value: Data) -> tuple[str, str]:
    match value:
        case [str() as name, str() as type_] if type_ in FIELD_TYPES:
            _name(name)
        case _:
            descriptor_invalid("kind: not a field [name, type]", got=value, expected=FIELD_TYPES)
    return name, type_


def _actions(value: Data, kinds: Mapping[int, Kind]) -> dict[int, Action]:
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_ACTIONS:
        descriptor_invalid("actions: not a map of 1 to 64")
    actions: dict[int, Action] = {}
    for number, entry in value.items():
        _count("action", number, 255)
        actions[number] = _action(number, entry, kinds)
    names = [action.name for action in actions.values()]
    if len(set(names)) != len(names):
        descriptor_invalid("actions: two of one name", got=names)
    return actions


def _action(number: int, value: Data, kinds: Mapping[int, Kind]) -> Action:
    if not isinstance(value, dict) or value.keys() != ACTION_NAMES:
        descriptor_invalid("action names", got=number, expected=sorted(ACTION_NAMES))
    _name(value["name"])
    if not isinstance(value["plain"], bool):
        descriptor_invalid("action: plain is no bool", got=value["plain"])
    for name, most in (
        ("rows", MAX_ROWS),
        ("terms", MAX_TERMS),
        ("pays", MAX_PAYS),
        ("signers", MAX_SIGNERS),
        ("args", MAX_ARGS),
    ):
        _count(name, value[name], most)
    if (value["terms"] == 0) != (value["rows"] == 0):
        descriptor_invalid("action: terms is 0 exactly when rows is", got=value["terms"])
    if value["changes"] not in ([], [NFT], [TOKEN], [NFT, TOKEN]):
        descriptor_invalid("action: changes", got=value["changes"], expected="n, t, rising")
    if not isinstance(value["vk"], bytes):
        descriptor_invalid("action: vk is no byte string")
    shape = Shape(
        kinds,
        _ports(value["ports_in"], kinds),
        _ports(value["ports_out"], kinds),
        value["plain"],
        value["rows"],
        value["terms"],
        value["pays"],
        value["signers"],
        value["args"],
        tuple(value["changes"]),
    )
    facts = read_facts(value["facts"], shape)
    total = sum(width(fact, shape) for fact in facts)
    if total > MAX_FACTS:
        descriptor_invalid("facts after expansion", got=total, expected=f"at most {MAX_FACTS}")
    return Action(
        number,
        value["name"],
        shape.ports_in,
        shape.ports_out,
        shape.plain,
        shape.rows,
        shape.terms,
        shape.pays,
        shape.signers,
        shape.args,
        shape.changes,
        facts,
        value["vk"],
    )


def _ports(value: Data, kinds: Mapping[int, Kind]) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list):
        descriptor_invalid("ports: no array", got=value)
    ports: list[tuple[int, int]] = []
    for entry in value:
        match entry:
            case [int() as kind, int() as count] if kind in kinds and count >= 1:
                _count("kind", kind, 255)
                _count("ports", count, MAX_PORTS)
            case _:
                descriptor_invalid("ports: not [kind, count]", got=entry)
        if kinds[kind].free:
            descriptor_invalid("ports: a free kind never lies on a port", got=kind)
        if ports and ports[-1][0] >= kind:
            descriptor_invalid("ports: kinds not strictly rising", got=value)
        ports.append((kind, count))
    if sum(count for _, count in ports) > MAX_PORTS:
        descriptor_invalid("ports: too many", got=value, expected=f"at most {MAX_PORTS}")
    return tuple(ports)


def _setup(value: Data) -> Setup:
    match value:
        case {
            "ptau": bytes() as ptau,
            "contributions": list() as given,
            "single_party": bool() as one,
        } if len(value) == 3:
            pass
        case _:
            descriptor_invalid("setup: not {ptau, contributions, single_party}")
    if not all(isinstance(entry, bytes) and len(entry) == 32 for entry in (ptau, *given)):
        descriptor_invalid("setup: hashes are 32 bytes")
    return Setup(ptau, tuple(given), one)


def _name(value: Data) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable():
        descriptor_invalid(
            "name", got=repr(value), expected=f"1 to {MAX_NAME} printable characters"
        )


def _count(name: str, value: Data, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        descriptor_invalid(f"{name} out of range", got=value, expected=f"at most {most}")
