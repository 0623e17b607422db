"""Real transactions of Charms changed by chance, and which refusals are differences on the list.

Half of the changes are blind (bits, cuts, repeats); the others keep to the form: another CBOR of the
same, fields added or twice, outputs and inputs moved. So that many still pass a reader.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from grail import native
from grail.bitcoin import script
from grail.bitcoin.script import Op, op_return
from grail.bitcoin.tx import Tx
from grail.charms import foreign
from grail.charms.upstream import envelope, item, proof
from grail.charms.upstream.envelope import WORD, Place
from grail.charms.upstream.item import Item, Pairs
from grail.charms.upstream.proof import Enchanted
from grail.errors import InvalidInput, Truncated
from grail.types import MAX_MONEY, TxOut

LISTED: dict[str, str] = {
    "trailing bytes": r"SpellInvalid: spell: \d+ bytes after the end",
    "a third element": r"SpellInvalid: the payload is no pair",
    "more parts announced than there are": r"SpellInvalid: spell: \d+ bytes left",
    "the transaction's coins": r"SpellInvalid: the spell repeats",
    "one key twice": r"SpellInvalid: .*(one key twice|two fields)",
    "undefined for null": r"SpellInvalid: spell: simple value 23",
    "text in pieces": r"SpellInvalid: spell: additional information 31",
    "field names as bytes": r"SpellInvalid: .*a field's name",
    "nested past 128": r"SpellInvalid: spell: nested deeper",
    "an app that is not listed": r"SpellInvalid: outs: an app that the spell does not list",
    "a nonce above r": r"ProofHeader: nonce",
    "the first opcode": r"no spell",
    "a witness behind a bad OP_RETURN": r"behind OP_RETURN",
    "an amount above 21 million BTC": r"no transaction: .* sat, above all money",
    "a payload of more than 100,000 bytes": r"EnvelopeInvalid: payload too large",
}
"""Refusals of ours where upstream may accept: the row of docs/charms.md, and how ours says it."""


def difference(said: str, raw: bytes) -> str | None:
    """Which difference of the list a refusal is, None when it is on none.

    Words that our reader could say of any transaction, were it wrong, excuse nothing alone: the
    transaction must show the difference, looked at here by other code than that reader's.
    """
    return next(
        (
            name
            for name, form in LISTED.items()
            if re.search(form, said) and (name not in SHOWN or SHOWN[name](raw))
        ),
        None,
    )


def _odd_opcode(raw: bytes) -> bool:
    """One output alone has the word behind its first opcode, and that is not OP_RETURN."""
    firsts = [_first_before_word(output.script) for output in Tx.parse(raw).outputs]
    found = [first for first in firsts if first is not None]
    return len(found) == 1 and found[0] != Op.RETURN


def _first_before_word(script_pubkey: bytes) -> int | None:
    try:
        first, second = islice(script.read(script_pubkey), 2)
    except (Truncated, ValueError):
        return None
    return first.opcode if second.data == WORD else None


def _found_payload(raw: bytes) -> bytes:
    found = envelope.find(Tx.parse(raw))
    assert found is not None
    return found.payload


def _trailing(raw: bytes) -> bool:
    payload = _found_payload(raw)
    return foreign._skip(payload, 0) < len(payload)


def _third(raw: bytes) -> bool:
    """The pair announces more than two parts, or does not say how many."""
    major, length, _ = foreign._head(_found_payload(raw), 0)
    return major == foreign.ARRAY and (length is None or length > 2)


_LONGER = re.compile(rb"(?:[\x84-\x97\x9f]|\x98[\x04-\xff]|\x99..)\x61|\x98[\x21-\xff]", re.DOTALL)
"""An app that announces more than three parts before its tag of one letter, or a hash of more than
32; in an array of bytes each one from 24 on follows a 0x18, so its numbers are not taken for that."""


def _longer(raw: bytes) -> bool:
    return _third(raw) or _LONGER.search(_found_payload(raw)) is not None


def _large(raw: bytes) -> bool:
    tx = Tx.parse(raw)
    carried = [output.script for output in tx.outputs] + list(tx.inputs[-1].witness)
    return max(map(len, carried)) > envelope.MAX_PAYLOAD


def _above_all_money(raw: bytes) -> bool:
    """Our reader says which amount, and that stands in the bytes."""
    try:
        Tx.parse(raw)
    except InvalidInput as exc:
        amount = int((re.search(r"of (\d+) sat, above all money", str(exc)) or [0, 0])[1])
        return amount > MAX_MONEY and amount.to_bytes(8, "little") in raw
    return False


SHOWN: dict[str, Callable[[bytes], bool]] = {
    "trailing bytes": _trailing,
    "a third element": _third,
    "more parts announced than there are": _longer,
    "the first opcode": _odd_opcode,
    "an amount above 21 million BTC": _above_all_money,
    "a payload of more than 100,000 bytes": _large,
}
"""What the transaction shows where one of these differences is in it; the others say by their words
what is there. A witness behind a bad OP_RETURN is looked for by `upstream_oracle.ours`."""


def mutants(raws: Sequence[bytes], seed: int, count: int) -> list[bytes]:
    """Changed transactions, the same for one seed."""
    rng = random.Random(seed)
    found: list[bytes] = []
    while len(found) < count:
        raw = rng.choice(raws)
        change = rng.choice(BLIND) if rng.random() < 0.4 else rng.choice(FORMED)
        changed = change(rng, raw)
        if changed is not None and changed != raw:
            found.append(changed)
    return found


def _bit(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def _byte(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + rng.randbytes(1) + raw[at + 1 :]


def _cut(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + raw[at + rng.randrange(1, 9) :]


def _insert(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + rng.randbytes(rng.randrange(1, 5)) + raw[at:]


BLIND: tuple[Callable[[random.Random, bytes], bytes | None], ...] = (
    _bit,
    _bit,
    _byte,
    _cut,
    _insert,
)


def _read(raw: bytes) -> Enchanted:
    found = proof.read(Tx.parse(raw))
    assert found is not None
    return found


def _of_tx(rng: random.Random, raw: bytes) -> bytes:
    """A number of the transaction, an input or an output, changed by meaning."""
    tx = _read(raw).tx
    inputs, outputs = list(tx.inputs), list(tx.outputs)
    what = rng.randrange(9)
    at, to = rng.randrange(len(outputs)), rng.randrange(len(inputs))
    if what == 0:
        outputs[at] = TxOut(rng.randrange(10**9), outputs[at].script)
    elif what == 1:
        outputs[at] = TxOut(outputs[at].sats, b"\x00\x14" + rng.randbytes(20))
    elif what == 2:
        outputs.append(TxOut(rng.randrange(10**6), b"\x00\x14" + rng.randbytes(20)))
    elif what == 3 and len(outputs) > 1:
        del outputs[at]
    elif what == 4:
        rng.shuffle(outputs)
    elif what == 5:
        inputs[to] = replace(inputs[to], sequence=rng.randrange(1 << 32))
    elif what == 6 and len(inputs) > 1:
        rng.shuffle(inputs)
    elif what == 7:
        witness = tuple(rng.randbytes(rng.randrange(80)) for _ in range(rng.randrange(4)))
        inputs[to] = replace(inputs[to], witness=witness)
    else:
        return replace(tx, locktime=rng.randrange(1 << 32)).serialize()
    return replace(tx, inputs=tuple(inputs), outputs=tuple(outputs)).serialize()


def _script(rng: random.Random, raw: bytes) -> bytes | None:
    """The OP_RETURN written in another way, twice, or broken beside a witness."""
    found = _read(raw)
    outputs = list(found.tx.outputs)
    if found.envelope.place is Place.WITNESS:
        bad = rng.choice(
            [op_return(WORD), op_return(WORD, b"\x80"), op_return(WORD, b"\x80", b""), b"\x6a"]
        )
        outputs.insert(rng.randrange(len(outputs) + 1), TxOut(0, bad))
        return replace(found.tx, outputs=tuple(outputs)).serialize()
    at, payload = found.envelope.index, found.envelope.payload
    script = outputs[at].script
    outputs[at] = TxOut(
        rng.choice([0, 1, 546]),
        rng.choice(
            [
                bytes([rng.choice(b"\x00\x51\x61\x6a\xac")]) + script[1:],
                b"\x6a\x4c\x05" + WORD + script[7:],
                b"\x6a\x05" + WORD + b"\x4e" + len(payload).to_bytes(4, "little") + payload,
                script + b"\x00",
                script,
            ]
        ),
    )
    if rng.random() < 0.2:
        outputs.append(outputs[at])
    return replace(found.tx, outputs=tuple(outputs)).serialize()


def _payload(rng: random.Random, raw: bytes) -> bytes | None:
    """The payload's CBOR, another one of the same or with more in it."""
    found = _read(raw)
    if found.envelope.place is not Place.OP_RETURN:
        return None
    tree = item.read(item_reader(found.envelope.payload))
    if rng.random() < 0.5:
        tree = _edited(rng, tree)
    payload = _written(rng, tree, rng.choice([0.0, 0.02, 0.3]))
    if rng.random() < 0.1:
        payload += rng.randbytes(rng.randrange(1, 4))
    outputs = list(found.tx.outputs)
    outputs[found.envelope.index] = TxOut(0, op_return(WORD, payload))
    return replace(found.tx, outputs=tuple(outputs)).serialize()


FORMED: tuple[Callable[[random.Random, bytes], bytes | None], ...] = (
    _of_tx,
    _script,
    _payload,
    _payload,
)


def item_reader(payload: bytes) -> Any:
    from grail.codec import Reader

    return Reader(payload, "payload")


def _edited(rng: random.Random, tree: Item) -> Item:
    """One field of the spell or of its transaction added, doubled, dropped or replaced."""
    assert isinstance(tree, tuple)
    spell, raw = tree[0], tree[1]
    assert isinstance(spell, Pairs)
    assert isinstance(raw, tuple)
    if rng.random() < 0.15:
        return (spell, raw, rng.choice([None, 0, ()]))
    if rng.random() < 0.15 and len(raw) == 356:
        nonce = int.from_bytes(bytes(raw[68:100]), "big") + native.R
        return (spell, raw[:68] + tuple(nonce.to_bytes(32, "big")) + raw[100:])
    if rng.random() < 0.1:
        at = rng.randrange(len(raw))
        return (spell, (*raw[:at], rng.randrange(256), *raw[at + 1 :]))
    names = [key for key, _ in spell.items]
    inside = rng.random() < 0.5
    tx = spell.items[names.index("tx")][1]
    assert isinstance(tx, Pairs)
    changed = _fields(rng, tx if inside else spell)
    if not inside:
        return (changed, raw)
    own = tuple((key, changed if key == "tx" else value) for key, value in spell.items)
    return (Pairs(own), raw)


def _fields(rng: random.Random, found: Pairs) -> Pairs:
    pairs = list(found.items)
    at = rng.randrange(len(pairs))
    what = rng.randrange(6)
    if what == 0:
        name = rng.choice(["later", "mock", "coins", "ins", "refs", "scrolls", "versioned_apps"])
        values: list[Item] = [None, False, True, 0, (), Pairs(()), "x", b"x", 1.5]
        pairs.insert(at, (name, rng.choice(values)))
    elif what == 1:
        pairs.insert(at, pairs[at])
    elif what == 2:
        del pairs[at]
    elif what == 3:
        rng.shuffle(pairs)
    elif what == 4:
        pairs[at] = (pairs[at][0], rng.choice([None, 0, (), Pairs(()), 12, "x", 1 << 40]))
    else:
        key, value = pairs[at]
        if isinstance(value, Pairs) and value.items:
            doubled = (value.items[0], *value.items)
            pairs[at] = (key, Pairs(doubled))
    return Pairs(tuple(pairs))


def _written(rng: random.Random, tree: Item, rate: float) -> bytes:
    """Any of the forms in which the tree can be written."""

    def write(found: Item) -> bytes:
        odd = rng.random() < rate
        if odd and rng.random() < 0.3:
            return item.head(item.TAG, rng.choice([0, 24, 55799])) + form(found, odd=True)
        return form(found, odd=odd)

    def form(found: Item, *, odd: bool) -> bytes:
        if isinstance(found, Pairs):
            inner = [write(part) for pair in found.items for part in pair]
            if odd:
                return b"\xbf" + b"".join(inner) + b"\xff"
            return item.head(item.MAP, len(found.items)) + b"".join(inner)
        if isinstance(found, tuple):
            small = all(type(one) is int and 0 <= one < 256 for one in found)
            if odd and small and found:
                return item.write(bytes(found))
            inner = [write(one) for one in found]
            if odd:
                return b"\x9f" + b"".join(inner) + b"\xff"
            return item.head(item.ARRAY, len(found)) + b"".join(inner)
        if odd and found is None:
            return b"\xf7"
        if odd and type(found) is int and found >= 0:
            return b"\x1b" + found.to_bytes(8, "big")
        if odd and isinstance(found, str):
            raw = found.encode()
            return rng.choice(
                [
                    b"\x7f" + item.write(found) + b"\xff",
                    b"\x59" + len(raw).to_bytes(2, "big") + raw,
                    b"\x79" + len(raw).to_bytes(2, "big") + raw,
                ]
            )
        return item.write(found)

    return write(tree)
