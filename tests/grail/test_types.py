"""grail.types: bytes that know what they are."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail.errors import InvalidInput
from grail.types import BlockHash, OutPoint, Txid, TxOut, XOnlyKey

RAW = bytes(range(32))


@pytest.mark.parametrize("kind", [Txid, BlockHash, XOnlyKey])
@pytest.mark.parametrize("size", [0, 31, 33])
def test_the_length_is_exact(kind, size):
    with pytest.raises(InvalidInput, match=f"got {size} bytes, expected 32"):
        kind(bytes(size))


def test_txid_is_shown_reversed():
    assert str(Txid(RAW)) == RAW[::-1].hex()
    assert str(BlockHash(RAW)) == RAW[::-1].hex()
    assert repr(Txid(RAW)) == f"Txid({RAW[::-1].hex()})"
    assert Txid.from_hex(RAW[::-1].hex()) == RAW
    assert type(BlockHash.from_hex("00" * 32)) is BlockHash


def test_a_key_is_shown_as_it_is():
    assert str(XOnlyKey(RAW)) == RAW.hex()
    assert XOnlyKey.from_hex(RAW.hex()) == RAW
    assert XOnlyKey.from_hex(RAW.hex().upper()) == RAW


@pytest.mark.parametrize(
    "text", ["", "0", "zz" * 32, "00" * 31, "00" * 33, " " + "00" * 32, "0 " * 32, "\u0660" * 64]
)
def test_text_that_is_no_key(text):
    with pytest.raises(InvalidInput):
        XOnlyKey.from_hex(text)


@pytest.mark.parametrize("value", [Txid(RAW), OutPoint(Txid(RAW), 7), TxOut(5, b"\x51")])
def test_values_behave_as_values(value):
    assert pickle.loads(pickle.dumps(value)) == value
    assert hash(pickle.loads(pickle.dumps(value))) == hash(value)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1))
def test_outpoint_round_trips(txid, vout):
    outpoint = OutPoint(Txid(txid), vout)
    assert OutPoint.parse(outpoint.serialize()) == outpoint
    assert OutPoint.from_text(str(outpoint)) == outpoint
    assert len(outpoint.serialize()) == 36


@pytest.mark.parametrize("vout", [-1, 1 << 32])
def test_outpoint_index_out_of_range(vout):
    with pytest.raises(InvalidInput):
        OutPoint(Txid(RAW), vout)


@pytest.mark.parametrize("raw", [b"", bytes(35), bytes(37)])
def test_outpoint_of_a_wrong_length(raw):
    with pytest.raises(InvalidInput):
        OutPoint.parse(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00" * 32,
        "00" * 32 + ":",
        ":0",
        "00" * 31 + ":0",
        "00" * 32 + ":-1",
        "00" * 32 + ":00",
        "00" * 32 + ":01",
        "00" * 32 + ":1 ",
        "00" * 32 + ":0x1",
        "00" * 32 + ":4294967296",
        "00" * 32 + ":99999999999999999999",
        "00" * 32 + ":\u0661",
        "AB" * 32 + ":0",
        "00" * 32 + ":1\n",
    ],
)
def test_text_that_is_no_outpoint(text):
    with pytest.raises(InvalidInput):
        OutPoint.from_text(text)


def test_outpoints_sort_by_bytes():
    low, high = Txid(bytes(32)), Txid(b"\x01" + bytes(31))
    assert sorted([OutPoint(high, 0), OutPoint(low, 1), OutPoint(low, 0)]) == [
        OutPoint(low, 0),
        OutPoint(low, 1),
        OutPoint(high, 0),
    ]
