"""Where upstream's reader takes more than this one: each case is refused here, and listed.

The list is in docs/charms.md. Each test changes a real transaction in a way that upstream's code
passes over (its proof still holds there), and sees the refusal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import upstream_mutations as mutations
import upstream_oracle as oracle
import upstream_real as real

from grail import native
from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx
from grail.charms.upstream import item, proof, versions
from grail.charms.upstream.envelope import WORD
from grail.charms.upstream.item import Pairs
from grail.charms.upstream.proof import Enchanted, Keys
from grail.types import MAX_MONEY, Txid, TxOut

PAGE = Path(__file__).resolve().parents[4] / "docs" / "charms.md"


@pytest.fixture(scope="module")
def found(vectors: Path) -> Enchanted:
    return real.enchanted(real.raw(vectors, "tx/v12_op_return_283559062cb6.hex"))


@pytest.fixture(scope="module")
def known(vectors: Path) -> Keys:
    return real.known(vectors)


def fields(tx: Pairs | None = None, **more: item.Item) -> Callable[[Enchanted], bytes]:
    """The payload with fields added to its spell, or another `tx` in it."""

    def made(found: Enchanted) -> bytes:
        own = dict(found.spell.committed().items)
        own |= {name: value for name, value in (("tx", tx), *more.items()) if value is not None}
        return item.write((Pairs(tuple(own.items())), tuple(found.proof)))

    return made


def in_tx(found: Enchanted, **more: item.Item) -> bytes:
    own = dict(dict(found.spell.committed().items)["tx"].items) | more
    return fields(Pairs(tuple(own.items())))(found)


def inputs(found: Enchanted) -> item.Item:
    return tuple(spent.outpoint.serialize() for spent in found.tx.inputs)


def one_key_twice(found: Enchanted) -> bytes:
    """The last one wins upstream; here an amount that a reader may show and one that counts."""
    outs = [Pairs(tuple(out.items())) for out in found.spell.outs]
    outs[0] = Pairs(((1, 5), *outs[0].items))
    return in_tx(found, outs=tuple(outs))


def null_as(byte: bytes) -> Callable[[Enchanted], bytes]:
    return lambda found: found.envelope.payload.replace(b"\xf6", byte, 1)


def text_in_pieces(found: Enchanted) -> bytes:
    return found.envelope.payload.replace(b"\x67version", b"\x7f\x67version\xff", 1)


def bytes_in_pieces(found: Enchanted) -> bytes:
    whole = fields(unknown=b"piece")(found)
    return whole.replace(b"\x45piece", b"\x5f\x43pie\x42ce\xff", 1)


def deep(levels: int) -> item.Item:
    nested: item.Item = None
    for _ in range(levels):
        nested = (nested,)
    return nested


def header(at: int, replaced: Callable[[bytes], bytes]) -> Callable[[Enchanted], bytes]:
    def made(found: Enchanted) -> bytes:
        proof = found.proof
        changed = proof[:at] + replaced(proof[at : at + 32]) + proof[at + 32 :]
        return item.write((found.spell.committed(), tuple(changed)))

    return made


def above_r(raw: bytes) -> bytes:
    return (int.from_bytes(raw, "big") + native.R).to_bytes(32, "big")


PAYLOADS: dict[str, tuple[Callable[[Enchanted], bytes], str]] = {
    "trailing bytes": (lambda found: found.envelope.payload + b"\x00", "SpellInvalid"),
    "a third element": (
        lambda found: item.write((found.spell.committed(), tuple(found.proof), None)),
        "SpellInvalid",
    ),
    "more parts announced than there are": (
        lambda found: b"\x86" + found.envelope.payload[1:],
        "SpellInvalid",
    ),
    "more parts of an app announced than there are": (
        lambda found: found.envelope.payload.replace(b"\x83\x61", b"\x91\x61", 1),
        "SpellInvalid",
    ),
    "a mock": (fields(mock=True), "MockSpell"),
    "the transaction's coins": (lambda found: in_tx(found, coins=()), "SpellInvalid"),
    "its coins as null": (lambda found: in_tx(found, coins=None), "SpellInvalid"),
    "its inputs": (lambda found: in_tx(found, ins=inputs(found)), "SpellInvalid"),
    "its inputs as null": (lambda found: in_tx(found, ins=None), "SpellInvalid"),
    "one key twice": (one_key_twice, "SpellInvalid"),
    "undefined for null": (null_as(b"\xf7"), "SpellInvalid"),
    "text in pieces": (text_in_pieces, "SpellInvalid"),
    "byte strings in pieces": (bytes_in_pieces, "SpellInvalid"),
    "field names as bytes": (
        lambda found: found.envelope.payload.replace(b"\x67version", b"\x47version", 1),
        "SpellInvalid",
    ),
    "nested past 128": (fields(unknown=deep(200)), "SpellInvalid"),
    "more than 100,000 bytes": (fields(unknown=bytes(100_000)), "EnvelopeInvalid"),
    "a nonce above r": (header(68, above_r), "ProofHeader"),
    "version 0": (fields(version=0), "VersionUnknown"),
}


@pytest.mark.parametrize("case", PAYLOADS)
def test_payload_that_upstream_passes_over(case: str, found: Enchanted, known: Keys) -> None:
    make, rule = PAYLOADS[case]
    payload = make(found)
    assert payload != found.envelope.payload
    assert real.of_tx(real.changed(found, payload), known) == rule


def test_first_opcode_is_not_checked_upstream(found: Enchanted, known: Keys) -> None:
    outputs = list(found.tx.outputs)
    own = outputs[found.envelope.index]
    outputs[found.envelope.index] = TxOut(own.sats, b"\x61" + own.script[1:])
    assert real.of_tx(replace(found.tx, outputs=tuple(outputs)), known) == "no spell"


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        (op_return(WORD), "EnvelopeInvalid"),
        (op_return(WORD, b"\x80"), "SpellInvalid"),
        (op_return(WORD, b"\x80", b"\x80"), "EnvelopeInvalid"),
    ],
)
def test_a_witness_behind_a_bad_op_return(
    script: bytes, rule: str, vectors: Path, known: Keys
) -> None:
    """Upstream falls back to the witness, so one transaction could show two readers two spells."""
    old = real.enchanted(real.raw(vectors, "tx/v2_witness_55777ba206bf.hex")).tx
    assert real.of_tx(replace(old, outputs=(*old.outputs, TxOut(0, b"\x6a"))), known) == "valid"
    both = replace(old, outputs=(*old.outputs, TxOut(0, script)))
    assert real.of_tx(both, known) == rule


def test_two_op_returns(found: Enchanted, known: Keys, vectors: Path) -> None:
    twice = (*found.tx.outputs, found.tx.outputs[found.envelope.index])
    assert real.of_tx(replace(found.tx, outputs=twice), known) == "TwoSpells"
    old: Tx = real.enchanted(real.raw(vectors, "tx/v2_witness_55777ba206bf.hex")).tx
    says = TxOut(0, op_return(WORD, b"\x80"))
    assert real.of_tx(replace(old, outputs=(*old.outputs, says, says)), known) == "TwoSpells"


def test_an_app_that_is_not_listed(found: Enchanted, known: Keys) -> None:
    """Upstream asks this of new spells only; no proof of such a spell can exist."""
    payload = in_tx(found, outs=(Pairs(((2, 1),)),))
    assert real.of_tx(real.changed(found, payload), known) == "SpellInvalid"


def test_an_amount_above_all_money(found: Enchanted, known: Keys, vectors: Path) -> None:
    """In the change, of which no proof says anything."""
    whole = real.raw(vectors, "tx/v12_op_return_283559062cb6.hex")
    change = found.tx.outputs[-1]
    assert len(found.spell.outs) < len(found.tx.outputs)
    old = change.sats.to_bytes(8, "little") + bytes([len(change.script)]) + change.script
    for sats, said in ((MAX_MONEY, "valid"), (MAX_MONEY + 1, "no transaction")):
        assert whole.count(old) == 1
        changed = whole.replace(old, sats.to_bytes(8, "little") + old[8:])
        assert real.verdict(changed, known) == said


def test_an_input_one_past_the_last_output_is_left_to_the_proof(
    found: Enchanted, known: Keys
) -> None:
    """The reader has no earlier transaction to count outputs in: the proof is of what it names."""
    spent = found.tx.inputs[0]
    for vout in (spent.outpoint.vout + 1, 0xFFFFFFFE):
        moved = replace(spent, outpoint=replace(spent.outpoint, vout=vout))
        tx = replace(found.tx, inputs=(moved, *found.tx.inputs[1:]))
        again = real.enchanted(tx.serialize())
        assert moved.outpoint.serialize() in proof.public_values(again)
        assert real.of_tx(tx, known) == "ProofInvalid"


def test_references_are_left_to_the_proof(found: Enchanted, known: Keys) -> None:
    """Of a transaction that feeds an input, and of one that does not: none is looked up."""
    fed = found.tx.inputs[0].outpoint
    for ref in (replace(fed, vout=fed.vout + 1), replace(fed, txid=Txid(bytes(32)))):
        tx = real.changed(found, in_tx(found, refs=(ref.serialize(),)))
        again = real.enchanted(tx.serialize())
        assert again.spell.refs == (ref,)
        assert ref.serialize() in proof.public_values(again)
        assert real.of_tx(tx, known) == "ProofInvalid"


SAME = {
    "an array of unknown length": lambda whole: b"\x9f" + whole[1:] + b"\xff",
    "a tag": lambda whole: b"\xd9\xd9\xf7" + whole,
    "a longer head": lambda whole: b"\x98\x02" + whole[1:],
    "hashes as byte strings": lambda whole: re.sub(
        rb"\x98\x20\x00{32}", b"\x58\x20" + bytes(32), whole, count=1
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_another_form_of_the_same_is_taken_and_named(
    case: str, found: Enchanted, known: Keys
) -> None:
    """No difference: upstream takes it too. The bytes are no identity, so it is flagged."""
    payload = SAME[case](found.envelope.payload)
    assert payload != found.envelope.payload
    again = real.changed(found, payload)
    assert real.of_tx(again, known) == "valid"
    assert found.canonical
    assert not real.enchanted(again.serialize()).canonical


def test_an_app_without_its_length_is_refused_by_both(found: Enchanted, known: Keys) -> None:
    """Upstream's reader stops at the third part and trips over the end; found by the oracle."""
    app = found.spell.apps[-1]
    whole = item.write((app.tag, tuple(app.identity), tuple(app.vk)))
    assert found.envelope.payload.count(whole) == 1
    payload = found.envelope.payload.replace(whole, b"\x9f" + whole[1:] + b"\xff")
    assert real.of_tx(real.changed(found, payload), known) == "SpellInvalid"


def test_unknown_fields_are_passed_over(found: Enchanted, known: Keys) -> None:
    payload = fields(later="unknown")(found)
    assert real.of_tx(real.changed(found, payload), known) == "valid"


def said_of(raw: bytes, known: Keys) -> str | None:
    """Which difference the oracle would book, had upstream taken it."""
    return mutations.difference(oracle.ours(raw, known), raw)


BOOKED = {
    "trailing bytes": "trailing bytes",
    "a third element": "a third element",
    "more parts announced than there are": "more parts announced than there are",
    "more parts of an app announced than there are": "more parts announced than there are",
    "more than 100,000 bytes": "a payload of more than 100,000 bytes",
}


@pytest.mark.parametrize("case", BOOKED)
def test_the_oracle_excuses_what_the_transaction_shows(
    case: str, found: Enchanted, known: Keys
) -> None:
    """The same words of the transaction as it was are a reader that went wrong, and on no list."""
    raw = real.changed(found, PAYLOADS[case][0](found)).serialize()
    assert said_of(raw, known) == BOOKED[case]
    assert mutations.difference(oracle.ours(raw, known), found.tx.serialize()) is None


def test_the_oracle_excuses_no_spell_that_was_missed(
    found: Enchanted, known: Keys, vectors: Path
) -> None:
    """Neither in an OP_RETURN nor in a witness, nor where there is none at all."""
    for name in real.names(vectors):
        assert mutations.difference("no spell", real.raw(vectors, name)) is None
    outputs = list(found.tx.outputs)
    own = outputs.pop(found.envelope.index)
    odd = TxOut(own.sats, b"\x61" + own.script[1:])
    for carried, booked in (
        ((), None),
        ((odd,), "the first opcode"),
        ((odd, odd), None),  # upstream wants one, as we do
        ((TxOut(own.sats, b"\x61" + own.script),), None),
    ):
        raw = replace(found.tx, outputs=(*outputs, *carried)).serialize()
        assert oracle.ours(raw, known) == "no spell"
        assert said_of(raw, known) == booked


def test_the_oracle_excuses_amounts_that_are_there(found: Enchanted, known: Keys) -> None:
    raw, change = found.tx.serialize(), found.tx.outputs[-1]
    old = change.sats.to_bytes(8, "little") + bytes([len(change.script)]) + change.script
    above = raw.replace(old, (MAX_MONEY + 1).to_bytes(8, "little") + old[8:])
    assert said_of(above, known) == "an amount above 21 million BTC"
    assert mutations.difference(oracle.ours(above, known), raw) is None
    assert said_of(raw[:-1], known) is None


NO_DIFFERENCE = {
    "test_payload_that_upstream_passes_over",  # its cases stand by their names
    "test_another_form_of_the_same_is_taken_and_named",
    "test_an_app_without_its_length_is_refused_by_both",
    "test_unknown_fields_are_passed_over",
}


@pytest.mark.docs
def test_page_has_all_versions_and_differences() -> None:
    """And nothing else: each difference names its cases, each case stands at a difference."""
    page = PAGE.read_text()
    for row in versions.TABLE:
        assert f"| {row.number} |" in page
        assert row.program.hex()[:8] in page
    assert len({row.key.digest for row in versions.TABLE}) == 4
    assert "Four Groth16 keys" in page
    rows = [line.split(" | ") for line in page.split("Where upstream takes more")[1].splitlines()]
    named = [re.findall("`([^`]+)`", row[3]) for row in rows if len(row) == 4][1:]
    assert all(named)
    tests = {name for name in globals() if name.startswith("test_")} - NO_DIFFERENCE
    differences = {name for name in tests if not re.match("test_(page|the_oracle)_", name)}
    cases = sorted(case for row in named for case in row)
    assert cases == sorted({*PAYLOADS, *differences})
