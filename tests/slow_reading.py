"""The slow model's own reading: a transaction, its one spell and the spell's parts, from bytes.

Nothing of `grail` reads here: scripts, CBOR and the spell's layout are taken apart by plain code
that follows section 2 of the protocol, word by word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grail.charms.app import App, Contract

MAGIC = b"GRL1"


class No(Exception):
    """The first refusal."""


class Bad(Exception):
    """These bytes are not what was expected."""


# ---- a transaction


@dataclass(frozen=True)
class SlowTx:
    """What a txid covers; outpoints as their 36 bytes."""

    version: int
    inputs: tuple[tuple[bytes, int], ...]
    outputs: tuple[tuple[int, bytes], ...]
    locktime: int


def read_tx(raw: bytes) -> SlowTx:
    at = 4

    def take(n: int) -> bytes:
        nonlocal at
        piece = raw[at : at + n]
        assert len(piece) == n
        at += n
        return piece

    def count() -> int:
        first = take(1)[0]
        return (
            first
            if first < 253
            else int.from_bytes(take({253: 2, 254: 4, 255: 8}[first]), "little")
        )

    if raw[4:6] == b"\0\1":
        at = 6
    inputs = []
    for _ in range(count()):
        spent = take(36)
        take(count())
        inputs.append((spent, int.from_bytes(take(4), "little")))
    outputs = []
    for _ in range(count()):
        sats = int.from_bytes(take(8), "little")
        outputs.append((sats, take(count())))
    locktime = int.from_bytes(raw[-4:], "little")
    return SlowTx(int.from_bytes(raw[:4], "little"), tuple(inputs), tuple(outputs), locktime)


# ---- pushes


def pushes(script: bytes) -> list[tuple[bytes | None, bool]]:
    """Each step as (data, whether it is the shortest push); data None for what pushes nothing."""
    found: list[tuple[bytes | None, bool]] = []
    while script:
        op, script = script[0], script[1:]
        if op <= 75:
            size = op
        elif op in (76, 77, 78):
            width = {76: 1, 77: 2, 78: 4}[op]
            if len(script) < width:
                raise Bad("push")
            size, script = int.from_bytes(script[:width], "little"), script[width:]
        elif op == 79 or 81 <= op <= 96:
            found.append((b"\x81" if op == 79 else bytes([op - 80]), True))
            continue
        else:
            found.append((None, True))
            continue
        data, script = script[:size], script[size:]
        if len(data) < size:
            raise Bad("push")
        least = 0 if not data else 76 if len(data) > 75 else len(data)
        least = 77 if len(data) > 255 else least
        least = 78 if len(data) > 65_535 else least
        if len(data) == 1 and (1 <= data[0] <= 16 or data[0] == 0x81):
            least = -1
        found.append((data, op == least))
    return found


def says_spell(script: bytes) -> bool:
    if script[:1] != b"\x6a":
        return False
    for cut in range(2, min(len(script), 12) + 1):  # the first push alone, whatever comes after it
        try:
            first = pushes(script[1:cut])
        except Bad:
            continue
        return first[0][0] == b"spell"
    return False


# ---- CBOR


class Key(tuple):
    """An array that stands as a map's key."""

    __slots__ = ()


def cbor(raw: bytes) -> Any:
    """The value of canonical bytes. Raises `Bad`."""
    value, at = _item(raw, 0, 0)
    if at != len(raw):
        raise Bad("something follows")
    return value


def _head(raw: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(raw):
        raise Bad("end")
    major, info = raw[at] >> 5, raw[at] & 31
    at += 1
    if info < 24:
        return major, info, at
    if info > 27:
        raise Bad("indefinite or reserved")
    width = 1 << (info - 24)
    argument = int.from_bytes(raw[at : at + width], "big")
    if len(raw) < at + width:
        raise Bad("end")
    if major != 7 and argument < (24, 256, 65_536, 2**32)[info - 24]:
        raise Bad("a longer head than needed")
    return (major, argument, at + width) if major != 7 else (8, argument, at + width)


def _item(raw: bytes, at: int, depth: int) -> tuple[Any, int]:
    major, n, at = _head(raw, at)
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if major in (2, 3):
        piece = raw[at : at + n]
        if len(piece) < n:
            raise Bad("end")
        try:
            return (piece if major == 2 else piece.decode()), at + n
        except UnicodeDecodeError as exc:
            raise Bad("text") from exc
    if major in (4, 5) and depth >= 32:
        raise Bad("depth")
    if major == 4:
        items = []
        for _ in range(n):
            item, at = _item(raw, at, depth + 1)
            items.append(item)
        return items, at
    if major == 5:
        return _map(raw, at, n, depth)
    if major == 6:
        digits, end = _item(raw, at, depth)
        if n != 2 or not isinstance(digits, bytes) or not 8 < len(digits) <= 1_024 or not digits[0]:
            raise Bad("tag")
        return int.from_bytes(digits, "big"), end
    if major == 7 and n in (20, 21, 22):
        return {20: False, 21: True, 22: None}[n], at
    raise Bad("simple value or float")


def _map(raw: bytes, at: int, n: int, depth: int) -> tuple[dict[Any, Any], int]:
    found: dict[Any, Any] = {}
    last = b""
    for _ in range(n):
        begin = at
        key, at = _item(raw, at, depth + 1)
        if isinstance(key, list):
            if len(key) > 3 or not all(isinstance(part, (bytes, str)) for part in key):
                raise Bad("key")
            key = Key(key)
        elif not isinstance(key, (bytes, str)) and not (type(key) is int and 0 <= key < 2**53):
            raise Bad("key")
        if begin and last and raw[begin:at] <= last:
            raise Bad("order of keys")
        last = raw[begin:at]
        found[key], at = _item(raw, at, depth + 1)
    return found, at


# ---- whose format it is (Charms' reader is a lenient one)


def loose(raw: bytes, at: int) -> tuple[int, int | None, int]:
    """A head of any length: major type, argument (None: until a break), what follows; no tags."""
    while True:
        if at >= len(raw):
            raise Bad("end")
        major, info = raw[at] >> 5, raw[at] & 31
        at += 1
        width = {24: 1, 25: 2, 26: 4, 27: 8}.get(info, 0)
        if info > 23 and not width and (info != 31 or major in (0, 1, 6)):
            raise Bad("reserved")
        if at + width > len(raw):
            raise Bad("end")
        n = int.from_bytes(raw[at : at + width], "big") if width else info
        at += width
        if major != 6:
            return major, (None if info == 31 else n), at


def passed(raw: bytes, at: int, *, breaks: bool = False) -> tuple[int, bool]:
    """What follows one item, and whether it was a break, where one may stand."""
    major, n, at = loose(raw, at)
    if major == 7 and n is None:
        if not breaks:
            raise Bad("break")
        return at, True
    if major in (2, 3) and n is not None:
        return at + n, False
    if major in (4, 5) and n is not None:
        for _ in range(n * (major - 3)):
            at, _ = passed(raw, at)
    elif major in (2, 3, 4, 5):
        ended = False
        while not ended:
            at, ended = passed(raw, at, breaks=True)
    return at, False


def magic(raw: bytes) -> bytes | None:
    """The first four bytes of the proof in [spell, proof], None when there is no such pair."""
    try:
        major, n, at = loose(raw, 0)
        if major != 4 or n not in (2, None):
            return None
        major, n, at = loose(raw, passed(raw, at)[0])
        if major == 2 and n is not None:
            found = raw[at : at + min(4, n)]
            return found if len(found) == min(4, n) else None
        if major not in (2, 4):
            return None
        found, left = b"", n
        while len(found) < 4 and left != 0:
            kind, n, at = loose(raw, at)
            left = None if left is None else left - 1
            if n is None:
                break
            if major == 2 and kind == 2:
                if at + n > len(raw):
                    return None
                found, at = found + raw[at : at + n], at + n
            elif major == 4 and kind == 0 and n < 256:
                found += bytes([n])
            else:
                return None
        return found[:4]
    except (Bad, RecursionError):
        return None


# ---- the spell


@dataclass(frozen=True)
class SlowRow:
    input: int
    output: int
    owner_script: bytes
    terms: tuple[int, ...]
    n: int
    user_key: bytes


@dataclass(frozen=True)
class SlowX:
    args: tuple[int, ...] = ()
    rows: tuple[SlowRow, ...] = ()
    pays: tuple[int, ...] = ()
    signers: tuple[int, ...] = ()


@dataclass(frozen=True)
class SlowSpell:
    """S as bytes, and what it says; proofs as (contract, action, 128 bytes)."""

    raw: bytes
    apps: tuple[App, ...]
    outs: tuple[dict[App, Any], ...]
    x: dict[bytes, SlowX]
    proofs: tuple[tuple[bytes, int, bytes], ...]


def read_spell(tx: SlowTx) -> SlowSpell:
    """The transaction's spell. Raises `No` with step 6's refusal."""
    found = [i for i, (_, script) in enumerate(tx.outputs) if says_spell(script)]
    if len(found) > 1:
        raise No("TwoSpells")
    if not found:
        raise No("SpellInvalid")
    sats, script = tx.outputs[found[0]]
    try:
        steps = pushes(script[1:])
    except Bad:
        raise No("SpellInvalid") from None
    good = sats == 0 and len(steps) == 2 and all(shortest for _, shortest in steps)
    payload = steps[1][0] if good else None
    if payload is None or len(payload) > 65_536:
        raise No("SpellInvalid")
    try:
        return _spell(payload, found[0], len(tx.outputs))
    except (Bad, RecursionError):
        theirs = magic(payload)
        raise No("ForeignSpell" if theirs not in (None, MAGIC) else "SpellInvalid") from None


def _want(condition: object, what: str) -> None:
    if not condition:
        raise Bad(what)


def _unsigned(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _rising(values: list[Any]) -> bool:
    return all(_unsigned(v, 2**32 - 1) for v in values) and values == sorted(set(values))


def _spell(payload: bytes, at: int, outputs: int) -> SlowSpell:
    pair = cbor(payload)
    _want(isinstance(pair, list) and len(pair) == 2, "pair")
    body, proof = pair
    _want(isinstance(body, dict) and isinstance(proof, bytes), "pair")
    _want(set(body) == {"version", "tx", "app_public_inputs"}, "names")
    inner, public = body["tx"], body["app_public_inputs"]
    _want(type(body["version"]) is int and body["version"] == 15, "version")
    _want(isinstance(inner, dict) and set(inner) == {"outs"}, "tx")
    _want(isinstance(inner["outs"], list) and isinstance(public, dict), "outs")
    _want(len(inner["outs"]) <= min(outputs, at), "outs")
    apps = tuple(_app(key) for key in public)
    _want(few(apps), "too many apps")
    x: dict[bytes, SlowX] = {}
    told = set()
    for app, value in zip(apps, public.values(), strict=True):
        K = app.identity + app.vk
        if value is not None:
            _want(K not in told, "x of a second app")
            x[K] = _x(value)
        told.add(K)
    outs = []
    for entry in inner["outs"]:
        _want(isinstance(entry, dict), "out")
        _want(all(_unsigned(key, len(apps) - 1) for key in entry), "index")
        _want(all(_charm(apps[key], value) for key, value in entry.items()), "charm")
        outs.append({apps[key]: value for key, value in entry.items()})
    order = sorted({app.identity + app.vk for app in apps})
    _want(proof[:4] == MAGIC and len(proof) >= 5 and len(proof) == 5 + proof[4] * 130, "proof")
    pieces = [proof[5 + 130 * i : 135 + 130 * i] for i in range(proof[4])]
    indexes = [piece[0] for piece in pieces]
    _want(_rising(indexes) and all(i < len(order) for i in indexes), "proofs")
    proofs = tuple((order[piece[0]], piece[1], piece[2:]) for piece in pieces)
    S = payload[1 : _item(payload, 1, 0)[1]]
    return SlowSpell(S, apps, tuple(outs), x, proofs)


def few(apps: Any) -> bool:
    return len(apps) <= 64 and len({(app.identity, app.vk) for app in apps}) <= 32


def _app(key: Any) -> App:
    _want(isinstance(key, Key) and len(key) == 3, "app")
    tag, identity, vk = key
    _want(isinstance(tag, str) and isinstance(identity, bytes) and isinstance(vk, bytes), "app")
    _want(len(tag) == 1 and len(identity) == len(vk) == 32, "app")
    return App(tag, identity, vk)


def _charm(app: App, value: Any) -> bool:
    if app.tag == "t":
        return _unsigned(value, 2**64 - 1) and value > 0
    return _plain(value)


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return not any(isinstance(k, Key) for k in value) and all(map(_plain, value.values()))
    return True  # what the reader let through has a place in a charm


def _x(value: Any) -> SlowX:
    _want(isinstance(value, list) and len(value) == 4, "x")
    args, rows, pays, signers = value
    _want(all(isinstance(part, list) for part in value) and any(value), "x")
    _want(len(args) <= 8 and len(rows) <= 32 and len(pays) <= 8 and len(signers) <= 8, "x")
    _want(all(_unsigned(arg, 2**64 - 1) for arg in args), "args")
    _want(_rising(pays) and _rising(signers), "pays, signers")
    made = tuple(map(_row, rows))
    _want(_rising([row.input for row in made]) and _rising([row.output for row in made]), "rows")
    return SlowX(tuple(args), made, tuple(pays), tuple(signers))


def _row(value: Any) -> SlowRow:
    _want(isinstance(value, list) and len(value) == 6, "row")
    i, o, owner, terms, n, key = value
    _want(_unsigned(i, 2**32 - 1) and _unsigned(o, 2**32 - 1) and _unsigned(n, 65_535), "row")
    _want(isinstance(owner, bytes) and isinstance(terms, list) and isinstance(key, bytes), "row")
    _want(1 <= len(terms) <= 8 and all(_unsigned(term, 2**64 - 1) for term in terms), "terms")
    _want(n >= 144 and len(key) == 32, "row")
    return SlowRow(i, o, owner, tuple(terms), n, key)


def contract(K: bytes) -> Contract:
    return Contract(K[:32], K[32:])
