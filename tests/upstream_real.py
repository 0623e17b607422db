"""The published transactions and keys, and bits flipped in them, for tests of several files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx
from grail.charms.upstream import item, keys, proof
from grail.charms.upstream.envelope import WORD
from grail.charms.upstream.parts import Part, parts
from grail.charms.upstream.proof import Enchanted, Keys
from grail.errors import InvalidInput, SpellIncorrect


def names(folder: Path) -> list[str]:
    """The transactions by their names, in order."""
    return sorted(listed(folder))


def raw(folder: Path, name: str) -> bytes:
    return bytes.fromhex((folder / "charms" / name).read_text().strip())


def known(folder: Path) -> Keys:
    return keys.read([folder / "charms" / "vk"])


def enchanted(whole: bytes) -> Enchanted:
    found = proof.read(Tx.parse(whole))
    assert found is not None
    return found


def listed(folder: Path) -> dict[str, Any]:
    """What the published list says of each, by its name."""
    found: dict[str, Any] = json.loads((folder / "charms" / "expected.json").read_text())
    return found


def negatives(folder: Path) -> list[bytes]:
    """The published transactions that are to be refused."""
    found = json.loads((folder / "charms" / "negative.json").read_text())
    return [bytes.fromhex(each["raw_tx"]) for each in found]


def assert_as_listed(found: Enchanted, entry: dict[str, Any]) -> None:
    """Everything that the list says of a transaction, and its public values to the byte."""
    spell = found.spell
    assert str(found.tx.txid) == entry["txid"]
    assert found.envelope.place.value == entry["spell_in"]
    assert found.envelope.index == entry.get("output_index", entry.get("input_index"))
    assert found.envelope.payload.hex() == entry["spell_cbor"]
    assert (spell.version, spell.mock) == (entry["version"], entry["mock"])
    assert [str(app) for app in spell.apps] == [app["string"] for app in entry["apps"]]
    assert [item.plain(x) for x in spell.public_inputs.values()] == [
        app["public_input"] for app in entry["apps"]
    ]
    outs = [{str(place): item.plain(x) for place, x in out.items()} for out in spell.outs]
    assert outs == entry["outs"]
    beamed = {
        to: bytes.fromhex(digest["bytes_as_int_array"])
        for to, digest in entry.get("beamed_outs", {}).items()
    }
    assert {str(to): raw for to, raw in (spell.beamed_outs or {}).items()} == beamed
    assert [str(ref) for ref in spell.refs or ()] == entry.get("refs", [])
    assert found.proof.hex() == entry["proof"]
    assert found.canonical
    values = proof.public_values(found)
    assert values.hex() == entry["proof_check"]["public_values_cbor"]
    assert proof.digest(values).hex() == entry["proof_check"]["committed_values_digest"]


def changed(found: Enchanted, payload: bytes) -> Tx:
    """The transaction with another payload in its OP_RETURN."""
    outputs = list(found.tx.outputs)
    place = found.envelope.index
    outputs[place] = replace(outputs[place], script=op_return(WORD, payload))
    return replace(found.tx, outputs=tuple(outputs))


def of_tx(tx: Tx, by: Keys) -> str:
    return verdict(tx.serialize(), by)


def verdict(whole: bytes, by: Keys) -> str:
    """What becomes of these bytes: "valid", "no transaction", "no spell" or the rule's name."""
    try:
        tx = Tx.parse(whole)
    except InvalidInput:
        return "no transaction"
    try:
        found = proof.read(tx)
        if found is None:
            return "no spell"
        proof.verify(found, by)
    except SpellIncorrect as exc:
        return exc.rule
    return "valid"


def flips(
    whole: bytes, by: Keys, bits: Callable[[int], Iterable[int]]
) -> Counter[tuple[Part, str]]:
    """Flip bits of every byte, one at a time: how often which part led to which verdict.

    A verdict that is not the one of the byte's part is an AssertionError that names the byte.
    """
    where = parts(enchanted(whole))
    assert len(where) == len(whole)
    seen: Counter[tuple[Part, str]] = Counter()
    for at, part in enumerate(where):
        for bit in bits(at):
            changed = bytearray(whole)
            changed[at] ^= 1 << bit
            said = verdict(bytes(changed), by)
            # An amount above all the money there is makes no transaction: that is no verdict.
            good = said != "valid" if part.held else said in {"valid", "no transaction"}
            assert good, f"byte {at} bit {bit}, {part}: {said}"
            seen[part, said] += 1
    return seen
