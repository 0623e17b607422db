"""Bundles: a closed grammar, one encoding, caps, and facts that no action can leave out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import spellbook as book
from hypothesis import given
from hypothesis import strategies as st

from grail.charms import state
from grail.charms.descriptor import Bundle
from grail.charms.fact_list import FieldRef, Name
from grail.codec import decode, encode
from grail.errors import InvalidInput, SpellIncorrect

POOL: dict[str, Any] = decode(book.POOL_BUNDLE.serialize(), free_keys=True)
"""The pool's bundle as plain values: swap is action 1, batch 3, pay 4."""


def spoiled(change: Callable[[dict[str, Any]], None]) -> bytes:
    value = copy.deepcopy(POOL)
    change(value)
    return encode(value)


def invalid(raw: bytes) -> str:
    with pytest.raises(SpellIncorrect) as caught:
        Bundle.parse(raw)
    assert caught.value.rule == "DescriptorInvalid"
    assert caught.value.got
    assert caught.value.expected
    return str(caught.value)


def test_bundles_are_read_and_written() -> None:
    for bundle in book.BUNDLES.values():
        raw = bundle.serialize()
        again = Bundle.parse(raw)
        assert again == bundle
        assert again.vk == Bundle(again.kinds, again.actions, again.setup, again.backed).vk
    swap = book.POOL_BUNDLE.action("swap")
    assert swap.named == {"t", FieldRef(0, 0, 0), FieldRef(0, 0, 1)}
    with pytest.raises(InvalidInput):
        book.POOL_BUNDLE.action("nothing")


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(bundle: dict[str, Any]) -> None:
        at: Any = bundle
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(bundle: dict[str, Any]) -> None:
        at: Any = bundle
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return change


def fact(action: int, *facts: list[Any]) -> Callable[[dict[str, Any]], None]:
    """Add facts to an action, in their place."""

    def change(bundle: dict[str, Any]) -> None:
        found = bundle["actions"][action]["facts"]
        bundle["actions"][action]["facts"] = sorted([*found, *facts], key=encode)

    return change


def swapped(bundle: dict[str, Any]) -> None:
    facts = bundle["actions"][1]["facts"]
    facts[0], facts[1] = facts[1], facts[0]


SPOILED: dict[str, Callable[[dict[str, Any]], None]] = {
    "another version": put("v", value=2),
    "true for a version": put("v", value=True),
    "no version": drop("v"),
    "a further name": put("more", value=1),
    "backed is null": put("backed", value=None),
    "backed by n": put("backed", value="n"),
    "kinds is an array": put("kinds", value=[]),
    "seventeen kinds": put("kinds", value={i: [True] for i in range(17)}),
    "a kind above 255": put("kinds", 256, value=[True]),
    "a kind of a name": put("kinds", "0", value=[True]),
    "a kind without free": put("kinds", 1, value=[["text", "blob"]]),
    "a kind that is empty": put("kinds", 1, value=[]),
    "free as a number": put("kinds", 1, value=[1, ["text", "blob"]]),
    "a field of an unknown type": put("kinds", 1, value=[True, ["text", "u32"]]),
    "a field of three": put("kinds", 1, value=[True, ["text", "blob", 1]]),
    "a field without a name": put("kinds", 1, value=[True, ["", "blob"]]),
    "a field with a long name": put("kinds", 1, value=[True, ["x" * 65, "blob"]]),
    "a field with a line break": put("kinds", 1, value=[True, ["a\nb", "blob"]]),
    "two fields of one name": put("kinds", 1, value=[True, ["a", "u64"], ["a", "u64"]]),
    "33 fields": put("kinds", 1, value=[True, *([f"f{i}", "u64"] for i in range(33))]),
    "actions is an array": put("actions", value=[]),
    "no action": put("actions", value={}),
    "65 actions": lambda bundle: bundle["actions"].update(
        {i: {**bundle["actions"][6], "name": f"n{i}"} for i in range(10, 70)}
    ),
    "an action above 255": lambda bundle: bundle["actions"].update({256: bundle["actions"][1]}),
    "two actions of one name": put("actions", 1, "name", value="add"),
    "an action without plain": drop("actions", 1, "plain"),
    "an action with a further name": put("actions", 1, "gas", value=1),
    "an action that is no map": put("actions", 1, value=[]),
    "plain as a number": put("actions", 1, "plain", value=0),
    "33 rows": put("actions", 3, "rows", value=33),
    "rows without terms": put("actions", 3, "terms", value=0),
    "terms without rows": put("actions", 1, "terms", value=1),
    "nine terms": put("actions", 3, "terms", value=9),
    "nine pays": put("actions", 4, "pays", value=9),
    "nine signers": put("actions", 4, "signers", value=9),
    "nine args": put("actions", 4, "args", value=9),
    "true for a count": put("actions", 4, "args", value=True),
    "changes of another tag": put("actions", 1, "changes", value=["x"]),
    "changes out of order": put("actions", 2, "changes", value=["t", "n"]),
    "changes twice": put("actions", 1, "changes", value=["n", "n"]),
    "a key as text": put("actions", 1, "vk", value="key"),
    "ports as a number": put("actions", 1, "ports_in", value=0),
    "a port of an unknown kind": put("actions", 1, "ports_in", value=[[9, 1]]),
    "a port of a free kind": put("actions", 1, "ports_in", value=[[1, 1]]),
    "no port of a kind": put("actions", 1, "ports_in", value=[[0, 0]]),
    "nine ports": put("actions", 1, "ports_in", value=[[0, 9]]),
    "true for a port's kind": put("actions", 1, "ports_in", value=[[False, 1]]),
    "a kind of ports twice": put("actions", 1, "ports_in", value=[[0, 1], [0, 1]]),
    "a port of three": put("actions", 1, "ports_in", value=[[0, 1, 1]]),
    "setup without ptau": drop("setup", "ptau"),
    "setup with a further name": put("setup", "more", value=1),
    "a ptau that is no hash": put("setup", "ptau", value=b"short"),
    "a contribution that is no hash": put("setup", "contributions", value=[b""]),
    "single_party as a number": put("setup", "single_party", value=1),
    "no facts": put("actions", 6, "facts", value=[]),
    "facts is a map": put("actions", 6, "facts", value={}),
    "facts out of order": swapped,
    "a fact twice": put("actions", 6, "facts", value=[[12], [12]]),
    "an unknown fact": fact(1, [14]),
    "fact zero": fact(1, [0]),
    "true for a fact": fact(1, [True]),
    "a fact that is no array": put("actions", 6, "facts", value=[12]),
    "fresh with an argument": fact(1, [6, 0]),
    "a side of 2": fact(1, [2, 2, 0, 0]),
    "a port that is not there": fact(1, [2, 0, 0, 1]),
    "a kind that is not there": fact(1, [2, 0, 5, 0]),
    "a kind without a port": fact(1, [2, 0, 1, 0]),
    "true for an argument": fact(1, [2, True, 0, 0]),
    "a field out of range": fact(1, [1, 0, 0, 0, 4]),
    "supply of states": fact(1, [5, 0, "n"]),
    "an arg out of range": fact(4, [10, 1]),
    "a signer out of range": fact(4, [9, 1]),
    "a pay out of range": fact(4, [8, 1]),
    "one pay twice": fact(4, [8, 0]),
    "two rows facts": fact(3, [7, "t"]),
    "apprefs out of order": fact(4, [8, 0, "zkbtc", "t"]),
    "an appref twice": fact(4, [8, 0, "t", "t"]),
    "an unknown appref": fact(1, [3, 0, 0, 0, "x"]),
    "a field that is no id": fact(1, [3, 0, 0, 0, ["field", 0, 0, 2]]),
    "a field of an unknown kind": fact(1, [3, 0, 0, 0, ["field", 7, 0, 0]]),
    "a field of a port that is not there": fact(1, [3, 0, 0, 0, ["field", 0, 1, 0]]),
    "a field that is not there": fact(1, [3, 0, 0, 0, ["field", 0, 0, 9]]),
    "an app that is no token": fact(1, [3, 0, 0, 0, ["app", "n", bytes(32), bytes(32)]]),
    "an app with a short identity": fact(1, [3, 0, 0, 0, ["app", "t", bytes(31), bytes(32)]]),
    "513 facts": lambda bundle: (
        put("actions", 3, "rows", value=32)(bundle),
        put("actions", 3, "terms", value=8)(bundle),
        put("actions", 3, "facts", value=_wide(bundle))(bundle),
    )[0],
}


def _wide(bundle: dict[str, Any]) -> list[Any]:
    """A rows fact with three tokens: 1 + 32 * (3 + 6 + 8) elements beside the rest."""
    facts = [found for found in bundle["actions"][3]["facts"] if found[0] != 7]
    refs = [["app", "t", bytes([i]) * 32, bytes(32)] for i in range(3)]
    ports = [[3, side, 0, 0, ref] for side in (0, 1) for ref in refs]
    return sorted([*facts, *ports, [7, *refs]], key=encode)


@pytest.mark.parametrize("change", SPOILED.values(), ids=SPOILED)
def test_G6_descriptor_of_another_form(change: Callable[[dict[str, Any]], None]) -> None:
    invalid(spoiled(change))


def _missing() -> list[Any]:
    facts = POOL["actions"][1]["facts"]
    return [pytest.param(at, id=str(found)) for at, found in enumerate(facts)]


@pytest.mark.parametrize("at", _missing())
def test_G7_no_fact_of_a_port_can_be_left_out(at: int) -> None:
    """Every fact of a swap is automatic: its fields, its sats, and units of each named token."""
    assert "automatic" in invalid(spoiled(drop("actions", 1, "facts", at)))


def test_G7_a_token_named_anywhere_is_shown_at_every_port() -> None:
    assert "automatic" in invalid(spoiled(fact(1, [3, 0, 0, 0, "zkbtc"])))


def test_supply_and_plain_are_automatic() -> None:
    add = POOL["actions"][2]["facts"]
    for found in ([5, 0, "t"], [5, 1, "t"]):
        assert "automatic" in invalid(spoiled(drop("actions", 2, "facts", add.index(found))))
    assert "automatic" in invalid(spoiled(put("actions", 1, "plain", value=True)))


def test_further_facts_are_free() -> None:
    """What no rule asks for may be shown: supply in a swap, self, net."""
    bundle = Bundle.parse(spoiled(fact(1, [5, 0, "t"], [12], [13], [4, 0])))
    names = {found.number for found in bundle.action("swap").facts}
    assert {Name.SUPPLY, Name.SELF, Name.NET, Name.PLAIN} <= names


@pytest.mark.parametrize("change", [b"\x00", b""], ids=["trailing", "empty"])
def test_G6_one_encoding(change: bytes) -> None:
    raw = book.POOL_BUNDLE.serialize()
    invalid(raw + change if change else b"")
    invalid(b"\xbf" + raw[1:] + b"\xff")


def test_G6_caps_come_before_work() -> None:
    invalid(encode({"v": 1, "kinds": {}, "actions": {}, "setup": bytes(65_536)}))


@given(st.data())
def test_G6_any_bytes_end_in_a_refusal(data: st.DataObject) -> None:
    """A byte changed anywhere gives a bundle of another vk, or a refusal; never another error."""
    raw = bytearray(book.POOL_BUNDLE.serialize())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        bundle = Bundle.parse(bytes(raw))
    except SpellIncorrect:
        return
    assert bundle.serialize() == bytes(raw)
    assert bundle.vk != book.POOL_BUNDLE.vk


KIND = {
    0: state.Kind(False, (("b", "bool"), ("i", "u64"), ("j", "u128"), ("k", "id"), ("l", "blob")))
}
GOOD = [0, True, (1 << 64) - 1, (1 << 128) - 1, b"\x1f" + b"\xff" * 31, b"any"]


def test_states_of_each_type() -> None:
    assert state.check(KIND, GOOD) == 0
    types = [type_ for _, type_ in KIND[0].fields]
    found = [state.element(*pair) for pair in zip(types, GOOD[1:], strict=True)]
    assert found[:4] == [1, (1 << 64) - 1, (1 << 128) - 1, (1 << 253) - 1]
    assert found[4] < 1 << 253


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 1),
        (0, False),
        (0, "0"),
        (1, 1),
        (1, None),
        (2, 1 << 64),
        (2, -1),
        (2, True),
        (2, b"\x01"),
        (3, 1 << 128),
        (4, b"\x20" + bytes(31)),
        (4, bytes(31)),
        (4, 5),
        (5, "text"),
        (5, [1]),
    ],
)
def test_C3_fields_of_another_type(at: int, value: Any) -> None:
    with pytest.raises(SpellIncorrect, match="StateInvalid"):
        state.check(KIND, [*GOOD[:at], value, *GOOD[at + 1 :]])


@pytest.mark.parametrize("value", [[], None, 0, {0: 1}, "state", [0], [*GOOD, 1]], ids=repr)
def test_C3_states_of_another_form(value: Any) -> None:
    with pytest.raises(SpellIncorrect, match="StateInvalid"):
        state.check(KIND, value)
