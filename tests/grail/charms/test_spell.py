"""Reading and writing spells: one encoding, exact types, caps, and whose format a spell is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import spellbook as book
from hypothesis import given
from hypothesis import strategies as st
from spellbook import POOL, TOKEN, ZKBTC, label, outpoint, person

from grail.bitcoin import script
from grail.bitcoin.tx import Tx, TxIn
from grail.charms import foreign
from grail.charms import spell as spells
from grail.charms.app import App, Contract
from grail.charms.spell import ContractProof, Inputs, Row, Spell
from grail.codec import encode
from grail.errors import InvalidInput, SpellIncorrect
from grail.types import TxOut

PROOF = b"GRL1\x00"


def carrier(payload: bytes, *, outputs: int = 2, sats: int = 0) -> Tx:
    """A transaction with so many ordinary outputs, then a spell's output with this payload."""
    ordinary = [TxOut(1_000, person(str(i))) for i in range(outputs)]
    spell = TxOut(sats, script.op_return(b"spell", payload))
    return Tx(2, (TxIn(outpoint("in")),), (*ordinary, spell))


def body(**change: Any) -> dict[str, Any]:
    """A spell's map: one output with 5 units of a token."""
    return {
        "version": 15,
        "tx": {"outs": [{0: 5}]},
        "app_public_inputs": {TOKEN.token.to_cbor(): None},
        **change,
    }


def payload(proof: Any = PROOF, **change: Any) -> bytes:
    return encode([body(**change), proof])


def invalid(tx: Tx, rule: str = "SpellInvalid") -> None:
    with pytest.raises(SpellIncorrect) as caught:
        spells.parse(tx)
    assert caught.value.rule == rule, caught.value
    assert caught.value.got
    assert caught.value.expected


def test_the_plain_spell_is_read() -> None:
    spell = spells.parse(carrier(payload()))
    assert spell == Spell((TOKEN.token,), ({TOKEN.token: 5},))


def test_no_spell() -> None:
    tx = carrier(payload())
    assert spells.parse(replace(tx, outputs=tx.outputs[:2])) is None
    other = TxOut(0, script.op_return(b"spells", payload()))
    assert spells.parse(replace(tx, outputs=(other,))) is None
    assert spells.parse(replace(tx, outputs=(TxOut(0, b"\x6a"), TxOut(0, b"\x6a\x05spe")))) is None


@pytest.mark.parametrize(
    "amount",
    [0, -1, 1 << 64, True, False, None, "5", b"5", [5], {0: 5}],
    ids=repr,
)
def test_C3_amount_of_another_type(amount: Any) -> None:
    invalid(carrier(payload(tx={"outs": [{0: amount}]})))


@pytest.mark.parametrize("head", ["f94500", "fa40a00000", "fb4014000000000000", "f97e00"])
def test_C3_amount_as_a_float(head: str) -> None:
    """5.0 in three widths, and NaN."""
    good = payload()
    assert good.count(b"\xa1\x00\x05") == 1
    invalid(carrier(good.replace(b"\xa1\x00\x05", b"\xa1\x00" + bytes.fromhex(head))))


@pytest.mark.parametrize(
    "data", [1 << 64, (1 << 128) - 1, -(1 << 64), "é", b"", [], {}, None, True]
)
def test_data_that_a_state_may_hold(data: Any) -> None:
    tx = carrier(
        payload(tx={"outs": [{0: [0, data]}]}, app_public_inputs={POOL.nft.to_cbor(): None})
    )
    spell = spells.parse(tx)
    assert spell is not None
    assert spell.outs == ({POOL.nft: [0, data]},)


@pytest.mark.parametrize(
    "data", [{True: 1}, {None: 1}, {(1, 2): 1}, {-1: 1}, {1 << 53: 1}, {("a",): 1}], ids=repr
)
def test_C12_map_keys_are_numbers_or_strings(data: Any) -> None:
    apps = {POOL.nft.to_cbor(): None}
    invalid(carrier(payload(tx={"outs": [{0: data}]}, app_public_inputs=apps)))


@pytest.mark.parametrize(
    "item", ["c11a00000000", "c249010000000000000000", "c340", "f7", "f820", "d81c80"]
)
def test_C12_tags_and_simple_values(item: str) -> None:
    """A date, a number in a bignum's place (it is one), a negative bignum, undefined, a reference."""
    good = payload(tx={"outs": [{0: [0, "?"]}]}, app_public_inputs={POOL.nft.to_cbor(): None})
    raw = good.replace(encode("?"), bytes.fromhex(item))
    if item.startswith("c249"):
        assert spells.parse(carrier(raw)) is not None
    else:
        invalid(carrier(raw))


def test_C10_output_indexes() -> None:
    """outs may be as long as the outputs below the OP_RETURN, and no longer."""
    for n_outs in (0, 1, 2):
        assert spells.parse(carrier(payload(tx={"outs": [{}] * n_outs}, app_public_inputs={})))
    for n_outs in (3, 4, 100):
        invalid(carrier(payload(tx={"outs": [{}] * n_outs}, app_public_inputs={})))
    tx = carrier(payload())
    invalid(replace(tx, outputs=(tx.outputs[2], *tx.outputs[:2])))


@pytest.mark.parametrize("index", [1, 2, 1 << 64, -1, "0", True], ids=repr)
def test_C10_app_indexes(index: Any) -> None:
    invalid(carrier(payload(tx={"outs": [{index: 5}]})))


def test_C11_apps_unsorted_or_repeated() -> None:
    two = {POOL.token.to_cbor(): None, TOKEN.token.to_cbor(): None}
    good = payload(app_public_inputs=two)
    assert spells.parse(carrier(good)) is not None
    first, second = (encode(app) + encode(None) for app in sorted(two))
    assert first + second in good
    invalid(carrier(good.replace(first + second, second + first)))
    invalid(carrier(good.replace(first + second, first + first)))


@pytest.mark.parametrize(
    "spoil",
    {
        "trailing byte": lambda raw: raw + b"\x00",
        "cut short": lambda raw: raw[:-1],
        "indefinite array": lambda raw: b"\x9f" + raw[1:] + b"\xff",
        "longer head": lambda raw: b"\x98\x02" + raw[1:],
        "longer number": lambda raw: raw.replace(b"\xa1\x00\x05", b"\xa1\x00\x18\x05"),
        "duplicate key": lambda raw: raw.replace(b"\xa1\x00\x05", b"\xa2\x00\x05\x00\x05"),
        "indefinite map": lambda raw: raw.replace(b"\xa1\x00\x05", b"\xbf\x00\x05\xff"),
        "tagged": lambda raw: b"\xd9\xd9\xf7" + raw,
    }.items(),
    ids=lambda pair: pair[0],
)
def test_C12_another_encoding(spoil: tuple[str, Callable[[bytes], bytes]]) -> None:
    good = payload()
    raw = spoil[1](good)
    assert raw != good
    invalid(carrier(raw))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 14},
        {"version": "15"},
        {"version": True},
        {"mock": True},
        {"mock": False},
        {"versioned_apps": {}},
        {"tx": {"outs": [{0: 5}], "ins": []}},
        {"tx": {"outs": [{0: 5}], "refs": []}},
        {"tx": {"outs": [{0: 5}], "coins": []}},
        {"tx": {"outs": [{0: 5}], "beamed_outs": {}}},
        {"tx": {"outs": [{0: 5}], "scrolls": []}},
        {"tx": {"outs": {}}},
        {"tx": []},
        {"tx": {"outs": [[]]}},
        {"app_public_inputs": []},
        {"app_public_inputs": {"t": None}},
        {"app_public_inputs": {("t", label("id")): None}},
        {"app_public_inputs": {("tt", label("id"), label("vk")): None}},
        {"app_public_inputs": {("t", label("id"), b"short"): None}},
        {"app_public_inputs": {("t", label("id"), "vk"): None}},
    ],
    ids=repr,
)
def test_C15_C16_G15_parts_that_a_spell_of_ours_has_not(change: dict[str, Any]) -> None:
    """Beams, references, versions, mocks and all else that the layout allows and we do not."""
    invalid(carrier(payload(**change)))


def _x(value: Any) -> Tx:
    return carrier(payload(app_public_inputs={TOKEN.token.to_cbor(): value}))


ROW = [0, 0, person("bob"), [3_000], 1_008, bytes(book.key("bob"))]


def test_x_is_read() -> None:
    spell = spells.parse(_x([[1, (1 << 64) - 1], [ROW], [0, 1], [0]]))
    assert spell is not None
    row = Row(0, 0, person("bob"), (3_000,), 1_008, book.key("bob"))
    assert spell.x == {TOKEN: Inputs((1, (1 << 64) - 1), (row,), (0, 1), (0,))}
    assert spell.inputs(POOL) == Inputs()


def _row(**change: Any) -> list[Any]:
    names = ("input", "output", "owner", "terms", "n", "key")
    return [change.get(name, value) for name, value in zip(names, ROW, strict=True)]


@pytest.mark.parametrize(
    "value",
    [
        [[], [], [], []],
        [],
        [[1], [], []],
        [[1], [], [], [], []],
        {},
        0,
        [[-1], [], [], []],
        [[1 << 64], [], [], []],
        [[True], [], [], []],
        [[1] * 9, [], [], []],
        [[], [], [1, 0], []],
        [[], [], [0, 0], []],
        [[], [], list(range(9)), []],
        [[], [], ["0"], []],
        [[], [], [], [1, 1]],
        [[], [], [], list(range(9))],
        [[], [ROW, ROW], [], []],
        [[], [_row(input=1), _row(output=1)], [], []],
        [[], [_row(input=1, output=1), _row()], [], []],
        [[], [ROW[:-1]], [], []],
        [[], [_row(input=True)], [], []],
        [[], [_row(input=1 << 32)], [], []],
        [[], [_row(owner="text")], [], []],
        [[], [_row(terms=[])], [], []],
        [[], [_row(terms=[0] * 9)], [], []],
        [[], [_row(terms=[1 << 64])], [], []],
        [[], [_row(n=143)], [], []],
        [[], [_row(n=65_536)], [], []],
        [[], [_row(key=bytes(31))], [], []],
        [[], [_row(input=i, output=i) for i in range(33)], [], []],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_G4_x_of_another_form(value: Any) -> None:
    invalid(_x(value))


def test_x_belongs_to_the_first_app_of_a_contract() -> None:
    apps = {POOL.nft.to_cbor(): None, POOL.token.to_cbor(): [[1], [], [], []]}
    invalid(carrier(payload(tx={"outs": []}, app_public_inputs=apps)))


ONE = ContractProof(0, 1, bytes(range(128)))


def test_proofs_are_read() -> None:
    proof = b"GRL1\x01\x00\x01" + bytes(range(128))
    spell = spells.parse(carrier(payload(proof)))
    assert spell is not None
    assert spell.proofs == (ONE,)
    assert spell.proof_bytes() == proof


@pytest.mark.parametrize(
    "proof",
    [
        b"GRL1",
        b"GRL1\x01",
        b"GRL1\x00\x00",
        b"GRL1\x01\x00\x01" + bytes(127),
        b"GRL1\x01\x01\x01" + bytes(128),
        b"GRL1\x02" + (b"\x00\x01" + bytes(128)) * 2,
        list(PROOF),
    ],
    ids=repr,
)
def test_proofs_of_another_form(proof: Any) -> None:
    """Two proofs of one contract (ActionTwice in the design's words) are among them."""
    invalid(carrier(payload(proof)))


@pytest.mark.parametrize(
    "proof", [b"GRL2\x00", b"", b"\x43\x88\xa2\x1c" + bytes(352), [1, 2, 3, 4, 5]]
)
def test_C4_proof_of_another_format(proof: Any) -> None:
    invalid(carrier(payload(proof)), "ForeignSpell")


def test_C5_C6_spells_of_mainnet_are_foreign(vectors: Path) -> None:
    """Real transactions with upstream's proofs, whole or in the old witness envelope."""
    named = {
        path.name: Tx.parse(bytes.fromhex(path.read_text().strip()))
        for path in (vectors / "charms" / "tx").glob("*.hex")
    }
    assert len(named) >= 6
    for name, tx in named.items():
        if "op_return" in name:
            invalid(tx, "ForeignSpell")
        else:
            # Upstream reads a spell from the witness; the txid does not cover it, so we never do.
            assert spells.parse(tx) is None


def test_C13_two_spells_in_any_push_form() -> None:
    tx = carrier(payload())
    second = TxOut(0, b"\x6a\x4c\x05spell\x01\x00")
    invalid(replace(tx, outputs=(*tx.outputs, second)), "TwoSpells")
    invalid(replace(tx, outputs=(second, *tx.outputs)), "TwoSpells")


@pytest.mark.parametrize(
    "spelled",
    [
        b"\x6a\x05spell",
        b"\x6a\x05spell\x00\x00",
        b"\x6a\x05spell\x51",
        b"\x6a\x4c\x05spell" + script.push(payload()),
        b"\x6a\x05spell\x4e" + len(payload()).to_bytes(4, "little") + payload(),
        b"\x6a\x05spell\x4d\xff\xff" + payload(),
        script.op_return(b"spell", payload()) + b"\x00",
    ],
    ids=lambda raw: raw.hex()[:30],
)
def test_C12_another_envelope(spelled: bytes) -> None:
    tx = carrier(payload())
    invalid(replace(tx, outputs=(*tx.outputs[:2], TxOut(0, spelled))))


def test_the_carrier_holds_no_sats() -> None:
    invalid(carrier(payload(), sats=1))


HOSTILE = {
    "depth": b"\x81" * 60_000,
    "open maps": b"\xbf" * 60_000,
    "tags": b"\x82" + b"\xc1" * 60_000 + b"\x00",
    "a huge array": b"\x82\x9b\xff\xff\xff\xff\xff\xff\xff\xff" + b"\x00" * 60_000,
    "a huge string": b"\x82\x5b\xff\xff\xff\xff\xff\xff\xff\xff" + b"\x00" * 60_000,
    "many keys": encode([{i: i for i in range(4_000)}, PROOF]),
    "many outs": encode([body(tx={"outs": [{}] * 50_000}), PROOF]),
    "references": b"\x82" + b"\xd8\x1c\x82" * 20_000,
    "long text": encode([body(version="v" * 60_000), PROOF]),
    "too large": encode([body(version="v" * 70_000), PROOF]),
    "long proof": encode([body(), [255] * 30_000]),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_C20_bombs_cost_no_more_than_their_length(raw: bytes) -> None:
    tx = carrier(raw)
    start = time.process_time()
    with pytest.raises(SpellIncorrect):
        spells.parse(tx)
    assert time.process_time() - start < 2


@given(st.binary(max_size=200))
def test_C20_any_payload_ends_in_a_refusal_or_a_spell(raw: bytes) -> None:
    rule, spell = "", None
    try:
        spell = spells.parse(carrier(raw))
    except SpellIncorrect as refusal:
        rule = refusal.rule
    assert rule in ("SpellInvalid", "ForeignSpell") or spell is not None


@given(st.binary(max_size=100), st.integers(0, 1 << 16))
def test_C12_a_flipped_byte_is_another_spell_or_none(flip: bytes, at: int) -> None:
    """Whatever is read, writing it gives the same bytes: no spell has two encodings."""
    good = bytearray(payload())
    for offset, byte in enumerate(flip):
        good[(at + offset) % len(good)] ^= byte
    try:
        spell = spells.parse(carrier(bytes(good)))
    except SpellIncorrect:
        return
    assert spell is not None
    again = Spell(spell.apps, spell.outs, spell.x, spell.proofs)
    assert again.op_return() == script.op_return(b"spell", bytes(good))


@given(st.binary(max_size=300))
def test_the_lenient_look_never_fails(raw: bytes) -> None:
    found = foreign.proof_prefix(raw, 4)
    assert found is None or len(found) <= 4


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("82a041aa", "aa"),
        ("9fa044aabbccddff", "aabbccdd"),
        ("82c1a0d81885010203181904", "01020319"),
        ("82a085010203181904", "01020319"),
        ("82a09f0102ff", "0102"),
        ("82a05f41aa42bbccff", "aabbcc"),
        ("82bf0001ff80", ""),
        ("82a0", None),
        ("83a04100", None),
        ("a0", None),
        ("82ff00", None),
    ],
)
def test_the_lenient_look(raw: str, expected: str | None) -> None:
    found = foreign.proof_prefix(bytes.fromhex(raw), 4)
    assert found == (None if expected is None else bytes.fromhex(expected))


def test_build_lists_exactly_what_it_must() -> None:
    spell = Spell.build(
        [{TOKEN.token: 5}, {POOL.nft: [0]}], spent=[POOL.token], acting=[ZKBTC, POOL]
    )
    assert spell.apps == tuple(sorted([TOKEN.token, POOL.nft, POOL.token, ZKBTC.token]))
    assert spell.contracts == tuple(sorted({TOKEN, POOL, ZKBTC}))
    assert Spell.build([], x={TOKEN: Inputs()}).x == {}
    with pytest.raises(InvalidInput):
        Spell.build([{TOKEN.token: 0}])
    with pytest.raises(InvalidInput):
        Spell.build([], x={TOKEN: Inputs(args=(1,))})
    with pytest.raises(InvalidInput):
        spell.op_return([ContractProof(0, 0, b"short")])


def test_C21_every_part_is_in_the_digest() -> None:
    """Inputs, outputs below n_outs, lock time, apps, charms, x, contract, action, network."""
    draft = book.pay()
    spell, tx = draft.spell, draft.tx()
    base = spells.digest0(book.NETWORK, tx, spell)
    other_network = replace(book.NETWORK, grail_outpoint=outpoint("other"))
    changed_x = replace(spell, x={POOL: replace(spell.x[POOL], args=(8,))})
    changed_outs = replace(spell, outs=({}, *spell.outs[1:]))
    swapped = replace(tx, inputs=tx.inputs[::-1])
    paid = replace(tx, outputs=(replace(tx.outputs[0], sats=1_001), *tx.outputs[1:]))
    found = {
        base,
        spells.digest0(other_network, tx, spell),
        spells.digest0(book.NETWORK, tx, changed_x),
        spells.digest0(book.NETWORK, tx, changed_outs),
        spells.digest0(book.NETWORK, swapped, spell),
        spells.digest0(book.NETWORK, paid, spell),
        spells.digest0(book.NETWORK, replace(tx, locktime=9), spell),
        *(spells.digest(base, k, a) for k in (POOL, TOKEN) for a in (1, 2)),
    }
    assert len(found) == 11


def test_the_digest_leaves_room_for_fees() -> None:
    """Change, proofs and witnesses may differ under one digest, so a fee needs no new proof."""
    draft = book.pay()
    spell, tx = draft.spell, draft.tx()
    less = replace(tx, outputs=(*tx.outputs[:-1], replace(tx.outputs[-1], sats=1)))
    proven = replace(spell, proofs=(ONE,))
    assert spells.digest0(book.NETWORK, less, proven) == spells.digest0(book.NETWORK, tx, spell)


def test_apps_as_text() -> None:
    slash = App("/", label("id"), label("vk"))
    for app in (slash, TOKEN.token, App("é", label("id"), label("vk"))):
        assert App.from_text(str(app)) == app
        assert Contract.from_text(str(app.contract)) == app.contract
    for text in ("", "t", "t/00", "tt/" + str(TOKEN), "t/" + "zz" * 32 + "/" + "00" * 32):
        with pytest.raises(InvalidInput):
            App.from_text(text)
