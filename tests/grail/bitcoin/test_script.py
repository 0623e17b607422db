"""grail.bitcoin.script: minimal forms, reading, output types, dust."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail.bitcoin import script
from grail.bitcoin.script import Instruction, Op, ScriptType
from grail.errors import InvalidInput, Truncated

KEY = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")

P2PKH = b"\x76\xa9\x14" + bytes(20) + b"\x88\xac"
P2SH = b"\xa9\x14" + bytes(20) + b"\x87"
P2WPKH = b"\x00\x14" + bytes(20)
P2WSH = b"\x00\x20" + bytes(32)
P2TR = b"\x51\x20" + KEY


@pytest.mark.parametrize(
    ("size", "prefix"),
    [(0, "00"), (1, "01"), (75, "4b"), (76, "4c4c"), (255, "4cff"), (256, "4d0001"),
     (65_535, "4dffff"), (65_536, "4e00000100")],
)  # fmt: skip
def test_push_prefixes(size, prefix):
    data = b"\x07" * size
    assert script.push(data) == bytes.fromhex(prefix) + data


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "00"), (1, "51"), (16, "60"), (17, "0111"), (127, "017f"), (128, "028000"),
     (144, "029000"), (255, "02ff00"), (256, "020001"), (32_767, "02ff7f"), (32_768, "03008000"),
     (65_535, "03ffff00"), (2**31 - 1, "04ffffff7f")],
)  # fmt: skip
def test_numbers_are_minimal(n, text):
    assert script.number(n).hex() == text


@pytest.mark.parametrize("n", [-1, 1 << 31])
def test_numbers_out_of_range(n):
    with pytest.raises(InvalidInput):
        script.number(n)


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_read_gives_back_what_was_pushed(pieces):
    first, *rest = script.read(script.op_return(*pieces))
    assert first == Instruction(Op.RETURN, None)
    assert [step.data for step in rest] == pieces
    assert all(step.minimal for step in rest)


@pytest.mark.parametrize("text", ["4c0107", "4d010007", "4e0100000007", "4d4c00" + "07" * 76])
def test_read_keeps_the_form_and_says_when_it_is_not_minimal(text):
    (step,) = script.read(bytes.fromhex(text))
    assert step.opcode == int(text[:2], 16)
    assert not step.minimal


@pytest.mark.parametrize(
    "text", ["01", "4b07", "4c", "4c01", "4d01", "4d0100", "4e010000", "4effffffff07"]
)
def test_a_push_past_the_end(text):
    with pytest.raises(Truncated):
        list(script.read(bytes.fromhex(text)))


def test_what_comes_before_a_bad_push_is_read():
    steps = script.read(b"\x6a\x02\x07")
    assert next(steps).opcode == Op.RETURN
    with pytest.raises(Truncated):
        next(steps)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_truncated(raw):
    try:
        steps = list(script.read(raw))
    except Truncated:
        return
    assert sum(1 for step in steps if step.data is None) <= len(raw)


TYPES = {
    P2PKH: ScriptType.P2PKH,
    P2SH: ScriptType.P2SH,
    P2WPKH: ScriptType.P2WPKH,
    P2WSH: ScriptType.P2WSH,
    P2TR: ScriptType.P2TR,
    b"\x6a": ScriptType.OP_RETURN,
    b"\x6a\x04data": ScriptType.OP_RETURN,
    b"": ScriptType.OTHER,
    b"\x51": ScriptType.OTHER,
    b"\x51\x02\x4e\x73": ScriptType.OTHER,
    b"\x52\x20" + KEY: ScriptType.OTHER,
    b"\x51\x21" + KEY + b"\x00": ScriptType.OTHER,
    b"\x00\x15" + bytes(21): ScriptType.OTHER,
    P2PKH + b"\x00": ScriptType.OTHER,
    P2PKH[:-1] + b"\xad": ScriptType.OTHER,
    P2SH[:-1] + b"\x88": ScriptType.OTHER,
    b"\x21\x02" + KEY + b"\xac": ScriptType.OTHER,
}


@pytest.mark.parametrize(("raw", "kind"), TYPES.items())
def test_classify(raw, kind):
    assert script.classify(raw) is kind


@pytest.mark.parametrize(
    ("raw", "sats"),
    [(P2PKH, 546), (P2SH, 540), (P2WPKH, 294), (P2WSH, 330), (P2TR, 330), (b"\x6a\x04data", 0),
     (b"\x51\x02\x4e\x73", 240)],
)  # fmt: skip
def test_dust_limits_are_bitcoin_cores(raw, sats):
    assert script.dust_limit(raw) == sats


def test_every_payable_type_has_a_dust_limit():
    assert {TYPES[raw] for raw in (P2PKH, P2SH, P2WPKH, P2WSH, P2TR)} == script.PAYABLE


def test_output_scripts():
    assert script.p2tr(KEY) == P2TR
    assert script.p2wpkh(bytes(20)) == P2WPKH
    for bad in (lambda: script.p2tr(KEY[:31]), lambda: script.p2wpkh(bytes(32))):
        with pytest.raises(InvalidInput):
            bad()
