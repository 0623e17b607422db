"""grail.codec: what is written is canonical, and nothing else is read."""

from __future__ import annotations

import gc
import time
from enum import IntEnum

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail import codec
from grail.errors import (
    DecodeError,
    DuplicateKey,
    Indefinite,
    InvalidInput,
    NotCanonical,
    TooDeep,
    TooLarge,
    TrailingBytes,
    Truncated,
)
from grail.types import Txid

# RFC 8949, appendix A: those of its examples whose values the protocol knows, in canonical form.
APPENDIX_A = {
    "00": 0,
    "01": 1,
    "0a": 10,
    "17": 23,
    "1818": 24,
    "1819": 25,
    "1864": 100,
    "1903e8": 1000,
    "1a000f4240": 1000000,
    "1b000000e8d4a51000": 1000000000000,
    "1bffffffffffffffff": 18446744073709551615,
    "c249010000000000000000": 18446744073709551616,
    "3bffffffffffffffff": -18446744073709551616,
    "20": -1,
    "29": -10,
    "3863": -100,
    "3903e7": -1000,
    "f4": False,
    "f5": True,
    "f6": None,
    "40": b"",
    "4401020304": b"\x01\x02\x03\x04",
    "60": "",
    "6161": "a",
    "6449455446": "IETF",
    "62225c": '"\\',
    "62c3bc": "\u00fc",
    "63e6b0b4": "\u6c34",
    "64f0908591": "\U00010151",
    "80": [],
    "83010203": [1, 2, 3],
    "8301820203820405": [1, [2, 3], [4, 5]],
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819": list(range(1, 26)),
    "a0": {},
    "a201020304": {1: 2, 3: 4},
    "a26161016162820203": {"a": 1, "b": [2, 3]},
    "826161a161626163": ["a", {"b": "c"}],
    "a56161614161626142616361436164614461656145": dict(zip("abcde", "ABCDE", strict=True)),
}


@pytest.mark.parametrize(("text", "value"), APPENDIX_A.items())
def test_rfc_8949_appendix_a(text, value):
    assert codec.encode(value) == bytes.fromhex(text)
    assert codec.decode(bytes.fromhex(text), free_keys=True) == value
    assert type(codec.decode(bytes.fromhex(text), free_keys=True)) is type(value)


REFUSED = {
    # a sentence: (bytes, error)
    "nothing": ("", Truncated),
    "a number without its bytes": ("19", Truncated),
    "bytes that end early": ("4401", Truncated),
    "a text that ends early": ("6361", Truncated),
    "an array that lacks an item": ("8201", Truncated),
    "a map that lacks a value": ("a101", Truncated),
    "bytes of a length that no memory holds": ("5bffffffffffffffff", Truncated),
    "an array of a length that no memory holds": ("9bffffffffffffffff", Truncated),
    "a byte after the value": ("0000", TrailingBytes),
    "10 in two bytes": ("180a", NotCanonical),
    "23 in two bytes": ("1817", NotCanonical),
    "255 in three bytes": ("1900ff", NotCanonical),
    "65535 in five bytes": ("1a0000ffff", NotCanonical),
    "2^32 - 1 in nine bytes": ("1b00000000ffffffff", NotCanonical),
    "a length in too many bytes": ("580161", NotCanonical),
    "keys that fall": ("a203010101", NotCanonical),
    "keys in RFC 7049's order, short before long": (
        "a2617a0118180 1".replace(" ", ""),
        NotCanonical,
    ),
    "bytes of no definite length": ("5f4101ff", Indefinite),
    "text of no definite length": ("7f6161ff", Indefinite),
    "an array of no definite length": ("9f01ff", Indefinite),
    "a map of no definite length": ("bf0101ff", Indefinite),
    "a bignum that fits 64 bits": ("c24801ffffffffffffff", NotCanonical),
    "a bignum with a leading zero": ("c24a00010000000000000000", NotCanonical),
    "an empty bignum": ("c240", NotCanonical),
    "a key twice": ("a201010102", DuplicateKey),
    "0 and false as keys, one in Python": ("a20001f401", DecodeError),
    "a number of 2^53 as a key": ("a11b002000000000000000", DecodeError),
    "a number below 0 as a key": ("a12000", DecodeError),
    "a large number as a key": ("a1c24901000000000000000000", DecodeError),
    "true as a key": ("a1f500", DecodeError),
    "four strings as a key": ("a1844040404000", DecodeError),
    "numbers inside a key": ("a18100 00".replace(" ", ""), DecodeError),
    "arrays inside a key": ("a1818000", DecodeError),
    "a half float": ("f93c00", DecodeError),
    "a float": ("fa47c35000", DecodeError),
    "a double": ("fb3ff199999999999a", DecodeError),
    "undefined": ("f7", DecodeError),
    "simple value 16": ("f0", DecodeError),
    "simple value 255": ("f8ff", DecodeError),
    "a break": ("ff", DecodeError),
    "additional information 28": ("1c", DecodeError),
    "a number of no definite length": ("1f", Indefinite),
    "a text that is not UTF-8": ("61ff", DecodeError),
    "a text with half a surrogate pair": ("63eda080", DecodeError),
    "a negative bignum": ("c349010000000000000000", DecodeError),
    "a bignum of text": ("c2696162636465666768 69".replace(" ", ""), DecodeError),
    "a date": ("c11a514b67b0", DecodeError),
    "a date as text": ("c074323031332d30332d32315432303a30343a30305a", DecodeError),
    "a regular expression": ("d8236161", DecodeError),
    "an UUID": ("d825500102030405060708090a0b0c0d0e0f10", DecodeError),
    "self-described CBOR": ("d9d9f700", DecodeError),
    "a shared value": ("d81c00", DecodeError),
    "a reference": ("d81d00", DecodeError),
    "a string table": ("d9010080", DecodeError),
    "a set": ("d9010280", DecodeError),
    "a map inside a key": ("a1a000", DecodeError),
    "33 arrays in each other": ("81" * 33 + "00", TooDeep),
    "100,000 arrays in each other": ("81" * 100_000, TooDeep),
    "a bignum of 1,025 bytes": ("c2590401" + "01" * 1025, TooLarge),
}


@pytest.mark.parametrize(("text", "error"), REFUSED.values(), ids=REFUSED)
def test_refuses(text, error):
    with pytest.raises(DecodeError) as caught:
        codec.decode(bytes.fromhex(text), free_keys=True)
    assert type(caught.value) is error


def test_limits_are_exact():
    deepest = codec.decode(bytes.fromhex("81" * 32 + "00"))
    assert codec.encode(deepest) == bytes.fromhex("81" * 32 + "00")
    with pytest.raises(InvalidInput, match="deeper"):
        codec.encode([deepest])
    assert codec.decode(bytes.fromhex("8100"), max_depth=1) == [0]
    with pytest.raises(TooDeep):
        codec.decode(bytes.fromhex("818100"), max_depth=1)
    assert codec.decode(bytes.fromhex("4401020304"), max_bytes=5)
    with pytest.raises(TooLarge):
        codec.decode(bytes.fromhex("4401020304"), max_bytes=4)
    largest = (1 << 8 * codec.MAX_INTEGER) - 1
    assert codec.decode(codec.encode(largest)) == largest


def test_nested_references_cost_nothing():
    """20 shared arrays, each of two references to the one before: 2^20 items when followed."""
    items = [b"\xd8\x1c\x81\x00"]
    for number in range(1, 20):
        reference = b"\xd8\x1d" + codec.encode(number - 1)
        items.append(b"\xd8\x1c\x82" + reference * 2)
    start = time.process_time()
    with pytest.raises(DecodeError):
        codec.decode(codec.encode([0] * 20)[:1] + b"".join(items))
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("tag", [*range(1100), 43000, 55799, (1 << 64) - 1])
def test_no_tag_but_a_large_number_is_taken(tag):
    head = bytes([0xDB]) + tag.to_bytes(8, "big") if tag > 23 else bytes([0xC0 | tag])
    for payload in (b"\x00", b"\x41a", b"\x61a", b"\x82\x01\x01"):
        with pytest.raises(DecodeError):
            codec.decode(head + payload)


PRIME = (1 << 61) - 1
COLLIDING = {
    "multiples of Python's prime": [n * PRIME for n in range(1, 6000)],
    "arrays of -1 and -2": [tuple(-1 - (n >> i & 1) for i in range(12)) for n in range(4096)],
    "arrays of empty strings": [
        tuple(b"" if n >> i & 1 else "" for i in range(12)) for n in range(4096)
    ],
    "numbers that differ far up": [n << 40 for n in range(1, 6000)],
    "numbers that differ a little further down": [n << 17 for n in range(1, 8000)],
}


@pytest.mark.parametrize("keys", COLLIDING.values(), ids=COLLIDING)
@pytest.mark.parametrize("free_keys", [True, False])
def test_C20_keys_that_collide_cost_nothing(keys, free_keys):
    """Python's hashes of numbers, and of arrays of them, are not keyed: with such keys a map of
    64 KB takes seconds. They are refused, or too small to collide."""
    pairs = sorted(codec.encode(key) for key in keys)
    raw = codec.encode([0] * len(keys))
    raw = bytes([raw[0] | 0x20]) + raw[1:3] + b"".join(key + b"\x00" for key in pairs)
    start = time.process_time()
    try:
        codec.decode(raw, free_keys=free_keys)
    except DecodeError:
        pass
    else:
        assert free_keys
        assert max(keys) < codec.MAX_KEY
    assert time.process_time() - start < 0.1


HEAVY = {
    "numbers": b"\x99" + (65_533).to_bytes(2, "big") + b"\x00" * 65_533,
    "maps": b"\x99" + (65_533).to_bytes(2, "big") + b"\xa0" * 65_533,
    "arrays in arrays": b"\x99" + (2_000).to_bytes(2, "big") + (b"\x81" * 30 + b"\x00") * 2_000,
}


@pytest.mark.parametrize("raw", HEAVY.values(), ids=HEAVY)
def test_C20_the_most_items_that_a_spell_has_room_for(raw):
    assert len(raw) <= 65_536
    spent = []
    gc.disable()  # what other tests of the process left on the heap is not the decoder's cost
    try:
        for _ in range(3):
            start = time.process_time()
            codec.decode(raw, free_keys=True)
            spent.append(time.process_time() - start)
    finally:
        gc.enable()
    assert min(spent) < 0.3


def test_keys_are_strings_unless_told_otherwise():
    for key in (0, ("t", bytes(32), bytes(32))):
        raw = codec.encode({key: None})
        assert codec.decode(raw, free_keys=True) == {key: None}
        with pytest.raises(DecodeError):
            codec.decode(raw)


UNWRITABLE = {
    "a float": 1.0,
    "a set": {1},
    "a bytearray": bytearray(b"a"),
    "an object": object(),
    "below -2^64": -(1 << 64) - 1,
    "an integer of 1,025 bytes": 1 << 8 * 1024,
    "a lone surrogate": "\ud800",
    "a float inside": [{"a": [1, 0.5]}],
    "a map as a key's part": {(): 0, (1, "a"): {}, "b": {(): {0.5: 1}}},
    "a list that holds itself": (itself := []),
}
itself.append(itself)


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE)
def test_encode_refuses(value):
    with pytest.raises(InvalidInput):
        codec.encode(value)


def test_encode_refuses_one_key_in_two_python_forms():
    class Key(bytes):
        def __hash__(self):
            return 7

        def __eq__(self, other):
            return self is other

    with pytest.raises(InvalidInput, match="twice"):
        codec.encode({Key(b"a"): 1, Key(b"a"): 2})


def test_subclasses_are_written_as_what_they_are():
    class Number(IntEnum):
        SEVEN = 7

    assert codec.encode(Number.SEVEN) == b"\x07"
    assert codec.encode(Txid(bytes(32))) == b"\x58\x20" + bytes(32)
    assert codec.encode((1, 2)) == codec.encode([1, 2])


strings = st.text(max_size=5) | st.binary(max_size=5)
keys = st.integers(0, 2**53 - 1) | strings | st.lists(strings, max_size=3).map(tuple)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**130) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_round_trip(value):
    assert codec.decode(codec.encode(value), free_keys=True) == value


@given(values)
def test_agrees_with_cbor2(value):
    """cbor2 reads what we write as the same value."""
    assert cbor2.loads(codec.encode(value)) == value


@given(st.binary(max_size=60))
def test_hostile_bytes_are_refused_or_canonical(raw):
    try:
        value = codec.decode(raw, free_keys=True)
    except DecodeError:
        return
    assert codec.encode(value) == raw


@given(values, st.data())
def test_every_cut_is_refused(value, data):
    raw = codec.encode(value)
    size = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(DecodeError):
        codec.decode(raw[:size], free_keys=True)


@given(values, st.data())
def test_a_changed_byte_never_gives_the_same_value(value, data):
    raw = bytearray(codec.encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = codec.decode(bytes(raw), free_keys=True)
    except DecodeError:
        return
    assert codec.encode(other) == bytes(raw)


SIZES = {0: "00", 0xFC: "fc", 0xFD: "fdfd00", 0xFFFF: "fdffff", 0x10000: "fe00000100",
         0xFFFFFFFF: "feffffffff", 1 << 32: "ff0000000001000000", (1 << 64) - 1: "ff" * 9}  # fmt: skip


@pytest.mark.parametrize(("n", "text"), SIZES.items())
def test_compact_size(n, text):
    assert codec.compact_size(n).hex() == text
    reader = codec.Reader(bytes.fromhex(text), "number")
    assert reader.compact_size() == n
    reader.end()


@pytest.mark.parametrize("n", [-1, 1 << 64])
def test_compact_size_out_of_range(n):
    with pytest.raises(InvalidInput):
        codec.compact_size(n)


@pytest.mark.parametrize("text", ["fdfc00", "fd0000", "feffff0000", "ffffffffff00000000"])
def test_a_wide_compact_size_is_not_canonical(text):
    with pytest.raises(NotCanonical):
        codec.Reader(bytes.fromhex(text), "number").compact_size()


def test_reader():
    reader = codec.Reader(b"\x01\x02\x03\x04", "thing")
    assert reader.take(1) == b"\x01"
    assert reader.uint(2) == 0x0302
    with pytest.raises(TrailingBytes, match="thing: 1 bytes"):
        reader.end()
    with pytest.raises(Truncated, match="thing: 1 bytes left, expected 2"):
        reader.take(2)
    with pytest.raises(Truncated):
        reader.take(-1)
    assert reader.take(1) == b"\x04"
    reader.end()
    with pytest.raises(Truncated):
        reader.compact_size()


def test_cs():
    assert codec.cs(b"") == b"\x00"
    assert codec.cs(bytes(253)) == b"\xfd\xfd\x00" + bytes(253)
