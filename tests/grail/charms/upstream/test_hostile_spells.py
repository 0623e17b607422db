"""Any bytes as a spell: a rule's name or an error of ours, soon, and nothing else."""

from __future__ import annotations

import io
import math
import time
import tracemalloc
from pathlib import Path

import cbor2
import pytest
import upstream_real as real
from hypothesis import given
from hypothesis import strategies as st

from grail.charms.upstream import item, proof
from grail.charms.upstream.item import Item, Pairs, Tagged
from grail.charms.upstream.proof import Keys
from grail.codec import Reader
from grail.errors import DecodeError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.text(max_size=40)
)
ITEMS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5).map(tuple)
        | st.lists(st.tuples(inner, inner), max_size=5).map(lambda pairs: Pairs(tuple(pairs)))
        | st.builds(Tagged, st.integers(4, 1 << 40), inner)
    ),
    max_leaves=20,
)


def read(raw: bytes) -> Item:
    reader = Reader(raw, "item")
    found = item.read(reader)
    reader.end()
    return found


def same(left: Item, right: Item) -> bool:
    """Equal, and of one type: True is not 1 here."""
    return repr(left) == repr(right)


@given(ITEMS)
def test_what_is_written_is_read_again(value: Item) -> None:
    assert same(read(item.write(value)), value)


JSON_LIKE = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5)
    ),
    max_leaves=20,
)


def as_item(value: object) -> Item:
    if isinstance(value, list):
        return tuple(map(as_item, value))
    if isinstance(value, dict):
        return Pairs(tuple((key, as_item(one)) for key, one in value.items()))
    return value  # type: ignore[return-value]  # a scalar


@given(JSON_LIKE)
def test_another_library_writes_and_reads_the_same(value: object) -> None:
    """In cbor2's shortest forms, but for the order of maps, which stays as it is here."""
    raw = item.write(as_item(value))
    assert cbor2.load(io.BytesIO(raw)) == value
    assert same(read(cbor2.dumps(value)), as_item(value))


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (0.0, "f90000"),
        (-0.0, "f98000"),
        (1.5, "f93e00"),
        (65504.0, "f97bff"),
        (100000.0, "fa47c35000"),
        (1.1, "fb3ff199999999999a"),
        (math.inf, "f97c00"),
        (-math.inf, "f9fc00"),
        (math.nan, "f97e00"),
        (23, "17"),
        (24, "1818"),
        (-1, "20"),
        (-(1 << 64), "3bffffffffffffffff"),
        (Tagged(2, b"\x01" + bytes(8)), "c249010000000000000000"),
    ],
)
def test_numbers_are_written_in_the_shortest_form(value: Item, raw: str) -> None:
    """The examples of RFC 8949, appendix A."""
    assert item.write(value).hex() == raw
    assert same(read(bytes.fromhex(raw)), value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [("c243000001", 1), ("c340", -1), ("c25100" + "01" * 16, Tagged(2, b"\x00" + b"\x01" * 16))],
)
def test_large_numbers_shrink_as_upstream_has_it(raw: str, value: Item) -> None:
    assert same(read(bytes.fromhex(raw)), value)


@given(st.binary(max_size=300))
def test_any_bytes_as_an_item(raw: bytes) -> None:
    try:
        found = read(raw)
    except DecodeError:
        return
    assert same(read(item.write(found)), found) or "nan" in repr(found)


BOMBS = {
    "an array of 2^60": b"\x9b\x10" + bytes(7),
    "a map of 2^63": b"\xbb\x80" + bytes(7),
    "bytes of 4 GiB": b"\x5a\xff\xff\xff\xff",
    "100,000 deep": b"\x81" * 99_999,
    "100,000 tags": b"\xc6" * 99_999,
    "100,000 open arrays": b"\x9f" * 99_999,
    "a wide array": b"\x9a\x00\x01\x86\x00" + b"\x01" * 99_840,
    "a map of one key": b"\xb9\xc3\x00" + b"\x00\x01" * 49_920,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_cost_little(bomb: str, vectors: Path) -> None:
    found = real.enchanted(real.raw(vectors, "tx/v12_op_return_283559062cb6.hex"))
    for payload in (BOMBS[bomb], b"\x82" + BOMBS[bomb][:-1] + b"\x00"):
        tx = real.changed(found, payload).serialize()
        tracemalloc.start()
        begun = time.process_time()
        assert real.verdict(tx, {}) == "SpellInvalid"
        assert time.process_time() - begun < 5
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
        tracemalloc.stop()


@pytest.fixture(scope="module")
def known(vectors: Path) -> Keys:
    return real.known(vectors)


@given(data=st.data())
def test_real_ones_with_pieces_changed(data: st.DataObject, vectors: Path, known: Keys) -> None:
    """Cuts, repeats and noise: a verdict by name, and never valid for another statement."""
    name = data.draw(st.sampled_from(real.names(vectors)))
    raw = real.raw(vectors, name)
    begin = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(begin, min(len(raw), begin + 40)))
    changed = raw[:begin] + data.draw(st.binary(max_size=40)) + raw[end:]
    if real.verdict(changed, known) == "valid":
        before, after = real.enchanted(raw), real.enchanted(changed)
        assert proof.public_values(before) == proof.public_values(after)
