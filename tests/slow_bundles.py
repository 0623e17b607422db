"""The slow model's own reading of bundles: the grammar of section 5, asked line by line.

A bundle is read from its bytes by the slow model's own CBOR; what comes out are plain values.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import slow_keys
from slow_reading import Bad, No, cbor

from grail.charms.app import App

ACTION = {"name", "ports_in", "ports_out", "plain", "rows", "terms", "pays", "signers", "args"}
ACTION |= {"changes", "facts", "vk"}
COUNTS = {"rows": 32, "terms": 8, "pays": 8, "signers": 8, "args": 8}


@dataclass(frozen=True)
class Field:
    """An appref that names the token whose appfe stands in a state's field."""

    kind: int
    j: int
    field: int


@dataclass(frozen=True)
class SlowKind:
    free: bool
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SlowAction:
    ports_in: tuple[tuple[int, int], ...]
    ports_out: tuple[tuple[int, int], ...]
    plain: bool
    rows: int
    terms: int
    pays: int
    signers: int
    args: int
    changes: tuple[str, ...]
    facts: tuple[tuple[int, tuple[Any, ...]], ...]
    vk: bytes

    @property
    def named(self) -> set[Any]:
        return {"t"} | {ref for n, args in self.facts for ref in args[REFS.get(n, 99) :]}


REFS = {3: 3, 7: 0, 8: 1}
"""From which argument on a fact holds apprefs."""


@dataclass(frozen=True)
class SlowBundle:
    vk: bytes
    kinds: dict[int, SlowKind]
    actions: dict[int, SlowAction]
    single_party: bool
    backed: bool

    @property
    def unsafe(self) -> bool:
        return any(slow_keys.unsafe(action.vk) for action in self.actions.values())


@lru_cache(maxsize=512)
def read(raw: bytes) -> SlowBundle:
    """The bundle of these bytes. Raises `No` DescriptorInvalid."""
    try:
        return _read(raw)
    except (Bad, RecursionError):
        raise No("DescriptorInvalid") from None


def _want(condition: object, what: str) -> None:
    if not condition:
        raise Bad(what)


def _read(raw: bytes) -> SlowBundle:
    _want(len(raw) <= 65_536, "size")
    value = cbor(raw)
    _want(isinstance(value, dict), "map")
    _want(set(value) - {"backed"} == {"v", "kinds", "actions", "setup"}, "names")
    _want(value["v"] is not True and value["v"] == 1, "v")
    _want("backed" not in value or value["backed"] == "t", "backed")
    _want(isinstance(value["kinds"], dict) and len(value["kinds"]) <= 16, "kinds")
    kinds = {_number(n, 255): _kind(entry) for n, entry in value["kinds"].items()}
    acts = value["actions"]
    _want(isinstance(acts, dict) and 1 <= len(acts) <= 64, "actions")
    actions = {_number(n, 255): _action(entry, kinds) for n, entry in acts.items()}
    _want(len({entry["name"] for entry in acts.values()}) == len(acts), "names of actions")
    setup = value["setup"]
    _want(isinstance(setup, dict), "setup")
    _want(set(setup) == {"ptau", "contributions", "single_party"}, "setup")
    _want(isinstance(setup["contributions"], list), "contributions")
    hashes = [setup["ptau"], *setup["contributions"]]
    _want(all(isinstance(h, bytes) and len(h) == 32 for h in hashes), "hashes")
    _want(isinstance(setup["single_party"], bool), "single_party")
    vk = hashlib.sha256(raw).digest()
    return SlowBundle(vk, kinds, actions, setup["single_party"], "backed" in value)


def _number(value: Any, most: int) -> int:
    _want(type(value) is int and 0 <= value <= most, "number")
    return int(value)


def _name(value: Any) -> None:
    _want(isinstance(value, str) and 1 <= len(value) <= 64 and value.isprintable(), "name")


def _kind(entry: Any) -> SlowKind:
    _want(isinstance(entry, list) and entry and isinstance(entry[0], bool), "kind")
    _want(len(entry) <= 33, "fields")
    for field in entry[1:]:
        _want(isinstance(field, list) and len(field) == 2, "field")
        _name(field[0])
        _want(field[1] in ("bool", "u64", "u128", "id", "blob"), "type")
    names = [field[0] for field in entry[1:]]
    _want(len(set(names)) == len(names), "two fields of one name")
    return SlowKind(entry[0], tuple((name, type_) for name, type_ in entry[1:]))


def _ports(value: Any, kinds: dict[int, SlowKind]) -> tuple[tuple[int, int], ...]:
    _want(isinstance(value, list), "ports")
    for entry in value:
        _want(isinstance(entry, list) and len(entry) == 2, "port")
        _want(type(entry[0]) is int and entry[0] in kinds and not kinds[entry[0]].free, "port kind")
        _want(type(entry[1]) is int and entry[1] >= 1, "port count")
    order = [entry[0] for entry in value]
    _want(order == sorted(set(order)) and sum(entry[1] for entry in value) <= 8, "ports")
    return tuple((kind, count) for kind, count in value)


def _action(value: Any, kinds: dict[int, SlowKind]) -> SlowAction:
    _want(isinstance(value, dict) and set(value) == ACTION, "action")
    _name(value["name"])
    _want(isinstance(value["plain"], bool) and isinstance(value["vk"], bytes), "plain, vk")
    counts = {name: _number(value[name], most) for name, most in COUNTS.items()}
    _want((counts["rows"] == 0) == (counts["terms"] == 0), "rows and terms")
    _want(value["changes"] in ([], ["n"], ["t"], ["n", "t"]), "changes")
    ports = [_ports(value[f"ports_{side}"], kinds) for side in ("in", "out")]
    given = value["facts"]
    _want(isinstance(given, list) and given, "facts")
    facts = tuple(_fact(fact, kinds, ports, counts) for fact in given)
    raws = [encoded(fact) for fact in given]
    _want(all(a < b for a, b in pairwise(raws)), "order of facts")
    numbers = [n for n, _ in facts]
    pays = [args[0] for n, args in facts if n == 8]
    _want(numbers.count(7) <= 1 and len(set(pays)) == len(pays), "rows or pay twice")
    action = SlowAction(
        ports[0],
        ports[1],
        value["plain"],
        **counts,
        changes=tuple(value["changes"]),
        facts=facts,
        vk=value["vk"],
    )
    _want(_needed(action, kinds) <= set(facts), "automatic")
    widths = {7: lambda args: 1 + action.rows * (3 + 2 * len(args) + action.terms)}
    widths[8] = lambda args: 1 + len(args)
    _want(sum(widths.get(n, lambda _: 1)(args) for n, args in facts) <= 512, "width")
    return action


def _needed(action: SlowAction, kinds: dict[int, SlowKind]) -> set[tuple[int, tuple[Any, ...]]]:
    """The facts that cannot be left out."""
    found: set[tuple[int, tuple[Any, ...]]] = set()
    for side, ports in enumerate((action.ports_in, action.ports_out)):
        for kind, count in ports:
            for j in range(count):
                found.add((2, (side, kind, j)))
                found |= {(1, (side, kind, j, i)) for i in range(len(kinds[kind].fields))}
                found |= {(3, (side, kind, j, ref)) for ref in action.named}
        if "t" in action.changes:
            found.add((5, (side, "t")))
        if action.plain:
            found.add((4, (side,)))
    return found


def _fact(
    value: Any,
    kinds: dict[int, SlowKind],
    ports: list[tuple[tuple[int, int], ...]],
    counts: dict[str, int],
) -> tuple[int, tuple[Any, ...]]:
    _want(isinstance(value, list) and value and type(value[0]) is int, "fact")
    n, args = value[0], value[1:]
    sizes = {1: 4, 2: 3, 3: 4, 4: 1, 5: 2, 6: 0, 9: 1, 10: 1, 11: 0, 12: 0, 13: 0}
    _want(n in (7, 8) or (n in sizes and len(args) == sizes[n]), "number")
    if n in (1, 2, 3):
        side, kind, j = args[:3]
        _want(_number(side, 1) >= 0 and type(kind) is int and kind in kinds, "side, kind")
        _want(_number(j, 255) < dict(ports[side]).get(kind, 0), "port")
        if n == 1:
            _want(_number(args[3], 255) < len(kinds[kind].fields), "field")
    if n in (4, 5):
        _number(args[0], 1)
    if n == 5:
        _want(args[1] == "t", "supply")
    if n in (8, 9, 10):
        _want(args, "index")
        _want(_number(args[0], 255) < counts[{8: "pays", 9: "signers", 10: "args"}[n]], "index")
    if n not in REFS:
        return n, tuple(args)
    refs = args[REFS[n] :]
    raws = [encoded(ref) for ref in refs]
    _want(all(a < b for a, b in pairwise(raws)), "order of apprefs")
    return n, (*args[: REFS[n]], *(_ref(ref, kinds, ports) for ref in refs))


def _ref(value: Any, kinds: dict[int, SlowKind], ports: list[tuple[tuple[int, int], ...]]) -> Any:
    if value in ("t", "zkbtc"):
        return value
    _want(isinstance(value, list) and len(value) == 4, "appref")
    if value[0] == "app":
        _want(value[1] == "t", "appref")
        _want(all(isinstance(part, bytes) and len(part) == 32 for part in value[2:]), "appref")
        return App("t", value[2], value[3])
    word, kind, j, field = value
    _want(word == "field" and type(kind) is int and kind in kinds, "appref")
    most = max(dict(side).get(kind, 0) for side in ports)
    _want(_number(j, 255) < most, "appref port")
    _want(_number(field, 255) < len(kinds[kind].fields), "appref field")
    _want(kinds[kind].fields[field][1] == "id", "appref type")
    return Field(kind, j, field)


# ---- canonical CBOR, written by hand


def _head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * width:
            return bytes([major << 5 | info]) + n.to_bytes(width, "big")
    raise Bad("too large")


def encoded(value: Any) -> bytes:
    """The canonical bytes of a value; tuples stand for arrays that are keys."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, float):  # no spell may hold one, and a test may write one
        import struct

        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        if value >= 1 << 64:
            raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
            return b"\xc2" + _head(2, len(raw)) + raw
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        pairs = sorted((encoded(key), encoded(item)) for key, item in value.items())
        return _head(5, len(pairs)) + b"".join(key + item for key, item in pairs)
    return _head(4, len(value)) + b"".join(map(encoded, value))
