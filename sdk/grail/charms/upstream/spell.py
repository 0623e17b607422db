"""What a payload says: Charms' `[NormalizedSpell, proof]`, and the one form of the spell in it.

Read as upstream's reader does where only the form differs (lengths, tags, byte strings for lists of
integers, unknown fields); what could be read in two ways is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from grail.charms.app import App
from grail.charms.upstream import item
from grail.charms.upstream.item import Item, Pairs, Unsized, untagged
from grail.codec import Reader
from grail.errors import DecodeError, InvalidInput, SpellIncorrect
from grail.types import OutPoint

T = TypeVar("T")

U32 = 0xFFFFFFFF

MAX_NAME = 1_024
"""Characters of a field's name; unknown fields are passed over, as upstream does it."""

CONTRACT = 32
"""Bytes of an identity, of a vk, of a hash."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The version of an app that can be replaced, and the hash of its program."""

    version: int
    program: bytes


@dataclass(frozen=True, slots=True)
class Spell:
    """A spell of Charms. `outs` names apps by their place in `apps`; public inputs stay as found.

    `refs`, `beamed_outs` and `scrolls` are None where the spell leaves them out: that differs from
    empty, since a proof commits to it.
    """

    version: int
    refs: tuple[OutPoint, ...] | None
    outs: tuple[Mapping[int, Item], ...]
    beamed_outs: Mapping[int, bytes] | None
    scrolls: tuple[int, ...] | None
    public_inputs: Mapping[App, Item]
    bound: Mapping[bytes, Bound]
    mock: bool

    @property
    def apps(self) -> tuple[App, ...]:
        """The apps, in the order by which `outs` counts them."""
        return tuple(self.public_inputs)

    def committed(self, ins: Item = None, coins: Item = None) -> Item:
        """The spell as a proof commits to it: with the transaction's inputs, and its coins."""
        tx = {
            "ins": ins,
            "refs": None if self.refs is None else tuple(ref.serialize() for ref in self.refs),
            "outs": tuple(_by_key(out) for out in self.outs),
            "beamed_outs": None
            if self.beamed_outs is None
            else _by_key({to: tuple(digest) for to, digest in self.beamed_outs.items()}),
            "coins": coins,
            "scrolls": self.scrolls,
        }
        whole: dict[str, Item] = {
            "version": self.version,
            "tx": _fields(tx),
            "app_public_inputs": _map((app_item(a), x) for a, x in self.public_inputs.items()),
            "versioned_apps": _map(
                (tuple(vk), _fields({"version": b.version, "wasm_hash": tuple(b.program)}))
                for vk, b in sorted(self.bound.items(), key=lambda pair: pair[0])
            )
            if self.bound
            else None,
            "mock": True if self.mock else None,
        }
        return _fields(whole)


def app_item(app: App) -> Item:
    """An app as upstream writes it: hashes are arrays of integers."""
    return (app.tag, tuple(app.identity), tuple(app.vk))


def _map(pairs: Iterable[tuple[Item, Item]]) -> Pairs:
    return Pairs(tuple(pairs))


def _by_key(numbered: Mapping[int, Item]) -> Pairs:
    return _map((number, numbered[number]) for number in sorted(numbered))


def _fields(named: Mapping[str, Item]) -> Pairs:
    return Pairs(tuple((name, value) for name, value in named.items() if value is not None))


def parse(payload: bytes) -> tuple[Spell, bytes]:
    """The spell and its proof. Raises `SpellIncorrect` with rule SpellInvalid."""
    raw = Reader(payload, "spell")
    try:
        pair = item.read(raw)
        raw.end()
        match untagged(pair):
            case (spell, proof):
                return _spell(spell), _bytes(proof, "proof")
            case _:
                invalid("the payload is no pair of a spell and a proof")
    except (DecodeError, InvalidInput) as exc:
        raise SpellIncorrect("SpellInvalid", str(exc)) from exc


def invalid(message: str) -> NoReturn:
    """Raise `SpellIncorrect` with rule SpellInvalid."""
    raise SpellIncorrect("SpellInvalid", message)


def _spell(found: Item) -> Spell:
    fields = _struct(found, "spell")
    tx = _struct(_required(fields, "tx"), "tx")
    for name in ("ins", "coins"):
        if name in tx:
            invalid(f"the spell repeats the transaction's {name}")
    public_inputs = _public_inputs(_required(fields, "app_public_inputs"))
    outs = tuple(_by_number(out, "out") for out in _array(_required(tx, "outs"), "outs"))
    if any(place >= len(public_inputs) for out in outs for place in out):
        invalid("outs: an app that the spell does not list")
    beamed = _optional(tx, "beamed_outs", lambda of: _by_number(of, "beamed_outs"))
    scrolls = _optional(tx, "scrolls", lambda of: _array(of, "scrolls"))
    mock = untagged(fields.get("mock", False))
    if not isinstance(mock, bool):
        invalid("mock: expected true or false")
    return Spell(
        version=_uint(_required(fields, "version"), "version"),
        refs=_optional(tx, "refs", lambda of: tuple(map(_ref, _array(of, "refs")))),
        outs=outs,
        beamed_outs=None
        if beamed is None
        else {to: _bytes(digest, "beamed_outs", CONTRACT) for to, digest in beamed.items()},
        scrolls=None
        if scrolls is None
        else tuple(sorted({_uint(place, "scrolls") for place in scrolls})),
        public_inputs=public_inputs,
        bound=_bound(fields.get("versioned_apps", Pairs(()))),
        mock=mock,
    )


def _public_inputs(found: Item) -> dict[App, Item]:
    apps: dict[App, Item] = {}
    previous: tuple[str, bytes, bytes] | None = None
    for key, value in _pairs(found, "app_public_inputs"):
        named = untagged(key)
        if isinstance(named, Unsized):  # upstream's reader leaves its end behind
            invalid("app: an array without its length")
        match named:
            case (tag, identity, vk) if isinstance(tag := untagged(tag), str):
                app = App(tag, _bytes(identity, "app", CONTRACT), _bytes(vk, "app", CONTRACT))
            case _:
                invalid("app: expected tag, identity and vk")
        if previous is not None and app.to_cbor() <= previous:
            invalid("app_public_inputs: apps out of order")
        previous = app.to_cbor()
        apps[app] = value
    return apps


def _bound(found: Item) -> dict[bytes, Bound]:
    bound: dict[bytes, Bound] = {}
    for key, value in _pairs(found, "versioned_apps"):
        fields = _struct(value, "versioned app")
        vk = _bytes(key, "versioned_apps", CONTRACT)
        if vk in bound:
            invalid("versioned_apps: one key twice")
        bound[vk] = Bound(
            _uint(_required(fields, "version"), "version"),
            _bytes(_required(fields, "wasm_hash"), "wasm_hash", CONTRACT),
        )
    return bound


def _struct(found: Item, what: str) -> dict[str, Item]:
    fields: dict[str, Item] = {}
    for key, value in _pairs(found, what):
        name = untagged(key)
        if not isinstance(name, str) or len(name) > MAX_NAME:
            invalid(f"{what}: a field's name that is no short text")
        if name in fields:
            invalid(f"{what}: two fields {name[:40]}")
        fields[name] = value
    return fields


def _required(fields: Mapping[str, Item], name: str) -> Item:
    if name not in fields:
        invalid(f"no field {name}")
    return fields[name]


def _optional(fields: Mapping[str, Item], name: str, read: Callable[[Item], T]) -> T | None:
    found = fields.get(name)
    return None if found is None else read(found)


def _pairs(found: Item, what: str) -> tuple[tuple[Item, Item], ...]:
    value = untagged(found)
    if not isinstance(value, Pairs):
        invalid(f"{what}: expected a map")
    return value.items


def _array(found: Item, what: str) -> tuple[Item, ...]:
    value = untagged(found)
    if isinstance(value, bytes):
        return tuple(value)
    if not isinstance(value, tuple):
        invalid(f"{what}: expected an array")
    return value


def _by_number(found: Item, what: str) -> dict[int, Item]:
    numbered: dict[int, Item] = {}
    for key, value in _pairs(found, what):
        number = _uint(key, what)
        if number in numbered:
            invalid(f"{what}: one key twice")
        numbered[number] = value
    return numbered


def _uint(found: Item, what: str) -> int:
    value = untagged(found)
    if type(value) is not int or not 0 <= value <= U32:
        invalid(f"{what}: expected a number of 32 bits")
    return value


def _bytes(found: Item, what: str, size: int | None = None) -> bytes:
    """Bytes: upstream writes an array of integers, and reads a byte string too."""
    values = _array(found, what)
    numbers = [value for value in map(untagged, values) if type(value) is int and 0 <= value < 256]
    if len(numbers) != len(values) or size not in (None, len(numbers)):
        invalid(f"{what}: expected {'' if size is None else f'{size} '}bytes")
    return bytes(numbers)


def _ref(found: Item) -> OutPoint:
    value = untagged(found)
    if not isinstance(value, bytes) or len(value) != 36:
        invalid("refs: expected 36 bytes")
    return OutPoint.parse(value)
