"""What stands on the chain and beside it: CBOR, spells of ours and of Charms, bundles, states."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from fuzz.target import Target
from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx
from grail.charms import foreign
from grail.charms import spell as spells
from grail.charms.app import App, Contract
from grail.charms.descriptor import Bundle
from grail.charms.public_inputs import Inputs, read_inputs
from grail.charms.record import read_state, roster_state
from grail.charms.upstream import item
from grail.charms.upstream import proof as upstream
from grail.codec import Reader, decode, encode
from grail.errors import DecodeError, InvalidInput, SpellIncorrect
from grail.types import TxOut

_NO_SPELL = (InvalidInput, SpellIncorrect)


def cbor(raw: bytes) -> None:
    """A value has one encoding."""
    assert encode(decode(raw, free_keys=True)) == raw, "other bytes"
    try:
        assert encode(decode(raw)) == raw, "other bytes without free keys"
    except DecodeError as exc:
        # The only reason that is left is a key that is neither text nor bytes.
        if "key" not in str(exc) and "unhashable" not in str(exc):
            raise AssertionError("refused for its keys alone") from exc


@cache
def _carrier() -> Tx:
    from spellbook import swap

    return swap().tx()


@cache
def _place() -> int:
    return next(i for i, out in enumerate(_carrier().outputs) if out.script[:1] == b"\x6a")


def _with(payload: bytes) -> Tx:
    """A transaction of Charms' form around any payload."""
    tx, at = _carrier(), _place()
    carried = TxOut(0, op_return(b"spell", payload))
    return replace(tx, outputs=(*tx.outputs[:at], carried, *tx.outputs[at + 1 :]))


def spell(raw: bytes) -> None:
    """A payload is a spell in its one encoding, or is refused by name."""
    found = spells.parse(_with(raw))
    assert found is not None, "not looked at"
    assert found.op_return() == op_return(b"spell", raw), "other bytes"


def spell_transaction(raw: bytes) -> None:
    """Any transaction, by our reader and by that of Charms' own form."""
    tx = Tx.parse(raw)
    for read in (spells.parse, upstream.read):
        try:
            read(tx)
        except SpellIncorrect:
            continue


def charms_spell(raw: bytes) -> None:
    """A payload as Charms reads it: what is read is written so that it is read the same."""
    found = upstream.read(_with(raw))
    assert found is not None, "not looked at"
    if found.canonical:
        assert found.envelope.payload == raw, "another payload"
    try:
        upstream.public_values(found)
    except SpellIncorrect:
        return


def charms_cbor(raw: bytes) -> None:
    """The lenient reader ends within the bytes, and finds the proof's first bytes or none."""
    foreign.proof_prefix(raw, 4)
    reader = Reader(raw, "item")
    found = item.read(reader)
    again = Reader(item.write(found), "again")
    item.read(again)
    again.end()


def bundle(raw: bytes) -> None:
    """A bundle has one encoding."""
    found = Bundle.parse(raw)
    assert found.serialize() == raw, "other bytes"
    assert Bundle.parse(raw).vk == found.vk


def names_and_states(raw: bytes) -> None:
    """A contract, an app as text, a roster's state, public inputs."""
    text = raw.decode("utf-8", "replace")
    for read in (lambda: Contract.parse(raw), lambda: Contract.from_text(text)):
        try:
            made = read()
            assert Contract.from_text(str(made)) == made, "another contract"
        except InvalidInput:
            continue
    try:
        app = App.from_text(text)
        assert App.from_text(str(app)) == app, "another app"
    except InvalidInput:
        pass
    value = decode(raw, free_keys=True)
    try:
        roster, successor, height = read_state(value)
        assert roster_state(roster, successor, height) == value, "another state"
    except SpellIncorrect:
        pass
    assert read_inputs(value).to_cbor() == value, "other inputs"


def _payloads() -> list[bytes]:
    from fuzz import seeds

    return seeds.payloads()


def _bundles() -> list[bytes]:
    from fuzz import seeds

    return seeds.bundles()


def _spelled() -> list[bytes]:
    from fuzz import seeds

    return [tx.serialize() for tx in (*seeds.spelled(), *seeds.upstream())]


def _upstream() -> list[bytes]:
    from fuzz import seeds

    found = [enchanted.envelope.payload for tx in seeds.upstream() if (enchanted := _read(tx))]
    return [*found, *seeds.payloads()]


def _read(tx: Tx) -> upstream.Enchanted | None:
    try:
        return upstream.read(tx)
    except (SpellIncorrect, DecodeError):
        return None


def _values() -> list[bytes]:
    from spellbook import ROSTERS, TOKEN, ZKBTC, deposit_row

    return [
        bytes(TOKEN),
        str(TOKEN).encode(),
        str(ZKBTC.token).encode(),
        encode(roster_state(ROSTERS[0])),
        encode(Inputs((1, 2), (deposit_row(),), (1,), (0,)).to_cbor()),
        encode([[7], [], [], []]),
    ]


def _cbor() -> list[bytes]:
    return [
        *_payloads(),
        *_values()[3:],
        encode({"a": [None, True, -1, 1 << 70], "b": {"c": b""}}),
        encode([[[[[[[[]]]]]]]]),
    ]


TARGETS = (
    Target("CBOR", cbor, _cbor),
    Target("spell", spell, _payloads, refusals=_NO_SPELL),
    Target("spell's transaction", spell_transaction, _spelled, refusals=_NO_SPELL, most=8_192),
    Target("spell of Charms", charms_spell, _upstream, refusals=_NO_SPELL),
    Target("CBOR of Charms", charms_cbor, _upstream),
    Target("bundle", bundle, _bundles, refusals=_NO_SPELL, most=8_192),
    Target("names and states", names_and_states, _values, refusals=_NO_SPELL, most=2_048),
)
