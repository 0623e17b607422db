"""grail.bitcoin.psbt_v2: the same PSBT by both versions, and bytes that lie (BIP 370 itself is in
tests/published)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel import verify_spend
from sample_psbt import PAIRS, fields, funded, le, write

from grail.bitcoin import psbt_v2
from grail.bitcoin.psbt import MAGIC, Psbt
from grail.bitcoin.tx import sign_key_path
from grail.codec import cs
from grail.errors import DecodeError, NotCanonical, TooLarge, TrailingBytes, Truncated


def test_both_versions_say_the_same() -> None:
    psbt = funded()
    assert psbt_v2.parse(write(*fields(psbt))) == psbt


def test_what_was_read_is_signed_and_valid() -> None:
    psbt = psbt_v2.parse(write(*fields(funded())))
    prevouts = psbt.prevouts()
    for index, pair in enumerate(PAIRS[:2]):
        signed = sign_key_path(psbt.tx, prevouts, index, pair)
        psbt = psbt.with_input(index, final_script_witness=signed.inputs[index].witness)
    verify_spend(psbt.extract().serialize(), prevouts)


def test_hints_are_dropped() -> None:
    whole, inputs, outputs = fields(funded())
    whole[b"\x06"] = b"\x07"
    inputs[0][b"\x06" + b"\x02" * 33] = bytes(8)
    outputs[0][b"\x02" + b"\x02" * 33] = bytes(8)
    assert psbt_v2.parse(write(whole, inputs, outputs)) == funded()


def test_an_input_without_a_sequence_is_final() -> None:
    whole, inputs, outputs = fields(funded())
    del inputs[0][b"\x10"]
    read = psbt_v2.parse(write(whole, inputs, outputs))
    assert [spent.sequence for spent in read.tx.inputs] == [0xFFFFFFFF, 0xFFFFFFFD]


def edited(place: str, key: bytes, value: bytes | None) -> bytes:
    whole, inputs, outputs = fields(funded())
    at = {"global": whole, "input": inputs[1], "output": outputs[0]}[place]
    if value is None:
        del at[key]
    else:
        at[key] = value
    return write(whole, inputs, outputs)


GOOD = write(*fields(funded()))
HOSTILE = {
    # a sentence: (bytes, error, words of it)
    "no version": (edited("global", b"\xfb", None), DecodeError, "0xfb is missing"),
    "version 3": (edited("global", b"\xfb", le(3)), DecodeError, "version 3"),
    "no count of inputs": (edited("global", b"\x04", None), DecodeError, "0x04 is missing"),
    "2^64 - 1 inputs": (edited("global", b"\x04", b"\xff" * 9), DecodeError, "input 2: field 0x03"),
    "2^32 outputs": (edited("global", b"\x05", b"\xff" + le(1 << 32, 8)), Truncated, "left"),
    "an input less": (edited("global", b"\x04", b"\x01"), DecodeError, "not allowed"),
    "no inputs": (write({**fields(funded())[0], b"\x04": b"\x00", b"\x05": b"\x00"}, [], []), DecodeError, "at least one"),
    "a count and a byte": (edited("global", b"\x04", b"\x02\x00"), TrailingBytes, "after the end"),
    "a count that is too wide": (edited("global", b"\x04", b"\xfd\x02\x00"), NotCanonical, "compact size"),
    "an unsigned transaction": (edited("global", b"\x00", b""), DecodeError, "0x00 is not allowed"),
    "an unknown field": (edited("global", b"\x07", b""), DecodeError, "0x07 is not allowed"),
    "a proprietary field": (edited("input", b"\xfc\x01", b""), DecodeError, "0xfc is not allowed"),
    "a partial signature": (edited("input", b"\x02" + bytes(33), b""), DecodeError, "0x02 is not allowed"),
    "a sighash type": (edited("input", b"\x03", le(1)), DecodeError, "0x03 is not allowed"),
    "a final scriptSig": (edited("input", b"\x07", b"\x51"), DecodeError, "0x07 is not allowed"),
    "a tree of an output": (edited("output", b"\x06", b"\x00"), DecodeError, "0x06 is not allowed"),
    "key data where there is none": (edited("input", b"\x10\x00", le(1)), DecodeError, "another length"),
    "a sequence of five bytes": (edited("input", b"\x10", bytes(5)), DecodeError, "another length"),
    "a txid of 31 bytes": (edited("input", b"\x0e", bytes(31)), DecodeError, "another length"),
    "more sats than there are": (edited("output", b"\x03", b"\xff" * 8), DecodeError, "at most"),
    "a negative amount": (edited("output", b"\x03", le((1 << 64) - 5, 8)), DecodeError, "at most"),
    "a previous transaction that is none": (edited("input", b"\x00", b"\x00"), Truncated, "too early"),
    "a key of another length": (edited("input", b"\x17", bytes(33)), DecodeError, "."),
    "a byte after the end": (GOOD + b"\x00", TrailingBytes, "after the end"),
    "keys that fall": (MAGIC + cs(b"\x04") + cs(b"\x01") + cs(b"\x02") + cs(le(2)), NotCanonical, "fall"),
    "a key twice": (MAGIC + (cs(b"\x02") + cs(le(2))) * 2, DecodeError, "twice"),
    "version 0": (funded().serialize(), DecodeError, "0x00 is not allowed"),
    "another magic": (b"psbt\x00" + GOOD[5:], DecodeError, "psbt, ff"),
    "bytes without end": (GOOD + bytes(4_000_000), TooLarge, "at most"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_S28_hostile_psbts_of_version_2(case: str) -> None:
    raw, error, text = HOSTILE[case]
    with pytest.raises(DecodeError, match=text) as caught:
        psbt_v2.parse(raw)
    assert type(caught.value) is error


def test_operators_take_version_0_alone() -> None:
    with pytest.raises(DecodeError, match="0x02 is not allowed"):
        Psbt.parse(GOOD)


def test_S28_empty_maps_do_not_pile_up() -> None:
    """2^64 - 1 inputs, and 3,900,000 maps without a field: the first one ends it."""
    whole = fields(funded())[0] | {b"\x04": b"\xff" * 9}
    raw = write(whole, [], []) + bytes(3_900_000)
    begun = time.process_time()
    with pytest.raises(DecodeError, match="input 0: field 0x0e is missing"):
        psbt_v2.parse(raw)
    assert time.process_time() - begun < 0.2


@pytest.mark.parametrize("text", ["", "=", "cHNidP8", "\u0663"])
def test_texts_that_are_no_psbt(text: str) -> None:
    with pytest.raises(DecodeError):
        psbt_v2.from_base64(text)


@given(st.data())
def test_S28_noise_in_version_2(data: st.DataObject) -> None:
    """Refused, or a PSBT that the strict reader of version 0 takes and writes alike."""
    place = data.draw(st.integers(0, len(GOOD)))
    noise, removed = data.draw(st.binary(max_size=20)), data.draw(st.integers(0, 20))
    try:
        psbt = psbt_v2.parse(GOOD[:place] + noise + GOOD[place + removed :])
    except DecodeError:
        return
    assert Psbt.parse(psbt.serialize()) == psbt
