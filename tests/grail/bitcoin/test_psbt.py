"""grail.bitcoin.psbt: S28's hostile ones, round trips. BIP 174, 370 and 371 are in tests/published."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from btclib_wallet.psbt import Psbt as BtclibPsbt
from hypothesis import given
from hypothesis import strategies as st
from kernel import verify_spend
from sample_psbt import PAIRS, funded, previous

from grail.bitcoin import taproot
from grail.bitcoin.psbt import (
    MAGIC,
    Psbt,
    PsbtInput,
    PsbtOutput,
    TapDerivation,
    TapLeafScript,
    TapScriptSig,
)
from grail.bitcoin.taproot import TapScript
from grail.bitcoin.tx import Tx, TxIn, sign_key_path
from grail.codec import cs
from grail.errors import (
    DecodeError,
    Incorrect,
    InvalidInput,
    NotCanonical,
    TooLarge,
    TrailingBytes,
    Truncated,
)
from grail.types import OutPoint, Txid, TxOut


def not_allowed(where, field):
    return DecodeError, rf"{where}: field {field:#04x} is not allowed"


def test_create_sign_finalize_extract():
    psbt = funded()
    assert Psbt.parse(psbt.serialize()) == psbt
    prevouts = psbt.prevouts()
    assert [out.sats for out in prevouts] == [1000, 1001]
    with pytest.raises(InvalidInput, match="input 0 has no final witness"):
        psbt.extract()
    for index, pair in enumerate(PAIRS[:2]):
        signed = sign_key_path(psbt.tx, prevouts, index, pair)
        psbt = psbt.with_input(index, final_script_witness=signed.inputs[index].witness)
    psbt = Psbt.from_base64(psbt.to_base64())
    tx = psbt.extract()
    assert tx.txid == psbt.tx.txid
    verify_spend(tx.serialize(), prevouts)


def leaf_psbt():
    """Two signatures for one leaf, two leaves, derivations: keyed fields several times each."""
    tree = (TapScript(b"\x51", "a"), TapScript(b"\x52", "b"))
    output = taproot.output(PAIRS[0].public, tree)
    psbt = funded(1)
    keyed = sorted(
        (
            TapScriptSig(pair.public, output.leaf("a").leaf_hash, bytes(63) + b"\x01")
            for pair in PAIRS
        ),
        key=lambda one: one.key,
    )
    leaves = sorted(
        (TapLeafScript(leaf.control_block, leaf.script) for leaf in output.leaves),
        key=lambda one: one.control_block,
    )
    origin = b"\x00" + b"\x01\x02\x03\x04" + (86 | 1 << 31).to_bytes(4, "little")
    return replace(
        psbt.with_input(
            0,
            tap_script_sigs=tuple(keyed),
            tap_leaf_scripts=tuple(leaves),
            tap_derivations=(TapDerivation(PAIRS[1].public, origin),),
            tap_merkle_root=output.merkle_root,
            tap_key_sig=bytes(63) + b"\x01",
        ),
        outputs=(PsbtOutput(PAIRS[2].public, (TapDerivation(PAIRS[2].public, origin),)),),
    )


def test_keyed_fields_round_trip():
    psbt = leaf_psbt()
    assert Psbt.parse(psbt.serialize()) == psbt


def test_order_of_construction_does_not_matter():
    psbt = leaf_psbt()
    known = psbt.inputs[0]
    shuffled = psbt.with_input(
        0,
        tap_script_sigs=known.tap_script_sigs[::-1],
        tap_leaf_scripts=known.tap_leaf_scripts[::-1],
    )
    assert shuffled.serialize() == psbt.serialize()


@pytest.mark.parametrize("make", [funded, leaf_psbt])
def test_btclib_reads_the_same(make):
    psbt = make()
    other = BtclibPsbt.parse(psbt.serialize())
    assert other.tx.id.hex() == str(psbt.tx.txid)
    assert other.serialize() == psbt.serialize()


stacks = st.none() | st.lists(st.binary(max_size=300), max_size=3).map(tuple)
keys = st.sampled_from([pair.public for pair in PAIRS])
known_inputs = st.builds(
    PsbtInput,
    non_witness_utxo=st.none() | st.just(previous(TxOut(7, b"\x51"))),
    witness_utxo=st.none() | st.builds(TxOut, st.integers(0, 10**15), st.binary(max_size=40)),
    final_script_witness=stacks,
    tap_key_sig=st.none() | st.binary(min_size=64, max_size=64),
    tap_internal_key=st.none() | keys,
    tap_merkle_root=st.none() | st.binary(min_size=32, max_size=32),
)


@given(st.lists(known_inputs, min_size=1, max_size=3), st.data())
def test_round_trip(inputs, data):
    tx = Tx(
        2,
        tuple(TxIn(OutPoint(Txid(bytes([i]) * 32), i)) for i in range(len(inputs))),
        (TxOut(1, b"\x51"),) * data.draw(st.integers(1, 3)),
    )
    outputs = tuple(PsbtOutput(data.draw(st.none() | keys)) for _ in tx.outputs)
    psbt = Psbt(tx, tuple(inputs), outputs)
    raw = psbt.serialize()
    assert Psbt.parse(raw) == psbt
    assert Psbt.parse(raw).serialize() == raw
    with pytest.raises(DecodeError):
        Psbt.parse(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=200))
def test_hostile_bytes_are_refused(raw):
    for bytes_ in (raw, MAGIC + raw):
        with pytest.raises(DecodeError):
            Psbt.parse(bytes_)


@given(st.data())
def test_S28_a_changed_byte_is_refused_or_canonical(data):
    raw = bytearray(leaf_psbt().serialize())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = Psbt.parse(bytes(raw))
    except DecodeError:
        return
    assert other.serialize() == bytes(raw)


def pair(key, value):
    return cs(bytes.fromhex(key)) + cs(value)


UNSIGNED = funded(1).tx.serialize_unsigned()
UTXO = (1000).to_bytes(8, "little") + cs(b"\x51")
GLOBAL = pair("00", UNSIGNED) + b"\x00"
X = PAIRS[0].public.hex()
with_script_sig = Tx(
    2, (replace(funded(1).tx.inputs[0], script_sig=b"\x51"),), (TxOut(900, b"\x6a"),)
)

HOSTILE = {
    # a sentence: (global map, the rest, error, text)
    "trailing bytes": (GLOBAL, b"\x00\x00" + b"\x00", TrailingBytes, "1 bytes after the end"),
    "a map too few": (GLOBAL, b"\x00", Truncated, "0 bytes left"),
    "an unsigned transaction with a scriptSig": (
        pair("00", with_script_sig.serialize()) + b"\x00", b"\x00\x00", DecodeError, "script"),
    "an unsigned transaction with a witness": (
        pair("00", funded(1).tx.with_witness(0, [b"x"]).serialize()) + b"\x00", b"\x00\x00", DecodeError, "scriptSig or a witness"),
    "keys that fall": (GLOBAL, pair("08", b"\x00") + pair("01", UTXO) + b"\x00\x00", NotCanonical, "rise"),
    "a key twice": (GLOBAL, pair("01", UTXO) * 2 + b"\x00\x00", DecodeError, "twice"),
    "key data on a field that has none": (GLOBAL, pair("01ff", UTXO) + b"\x00\x00", DecodeError, "."),
    "an unknown field": (GLOBAL, pair("19", b"") + b"\x00\x00", *not_allowed("input 0", 0x19)),
    "a proprietary field": (GLOBAL, pair("fc01aa00", b"") + b"\x00\x00", *not_allowed("input 0", 0xFC)),
    "a global proprietary field": (
        pair("00", UNSIGNED) + pair("fc01aa00", b"") + b"\x00", b"\x00\x00", *not_allowed("global", 0xFC)),
    "a final scriptSig": (GLOBAL, pair("07", b"\x51") + b"\x00\x00", *not_allowed("input 0", 0x07)),
    "a field number that is too wide": (GLOBAL, pair("fd0100", UTXO) + b"\x00\x00", NotCanonical, "too wide"),
    "a field number of 64 bits": (GLOBAL, pair("ff" * 9, b"") + b"\x00\x00", DecodeError, "not allowed"),
    "a version field of version 2": (
        pair("00", UNSIGNED) + pair("fb", (2).to_bytes(4, "little")) + b"\x00", b"\x00\x00", *not_allowed("global", 0xFB)),
    "a length too wide": (GLOBAL, b"\x01\x08\xfd\x01\x00\x00" + b"\x00\x00", NotCanonical, "too wide"),
    "a length of 2^64 - 1": (GLOBAL, b"\x01\x08" + b"\xff" * 9 + b"\x00\x00", Truncated, "bytes left"),
    "a witness UTXO with a byte after it": (GLOBAL, pair("01", UTXO + b"\x00") + b"\x00\x00", DecodeError, "."),
    "a witness UTXO that is short": (GLOBAL, pair("01", UTXO[:-1]) + b"\x00\x00", Truncated, "too early"),
    "a witness whose count is too wide": (GLOBAL, pair("08", b"\xfd\x01\x00\x01x") + b"\x00\x00", NotCanonical, "non-minimal"),
    "a witness with a byte after it": (GLOBAL, pair("08", b"\x01\x01xx") + b"\x00\x00", DecodeError, "."),
    "a previous transaction with a byte after it": (
        GLOBAL, pair("00", previous(TxOut(1, b"")).serialize() + b"\x00") + b"\x00\x00", DecodeError, "."),
    "a signature with a needless sighash byte": (
        GLOBAL, pair("13", bytes(63) + b"\x01\x00") + b"\x00\x00", NotCanonical, "canonical"),
    "a signature of an unknown sighash type": (
        GLOBAL, pair("13", bytes(63) + b"\x01\x04") + b"\x00\x00", DecodeError, "."),
    "a key off the curve": (GLOBAL, pair("17", b"\xff" * 32) + b"\x00\x00", DecodeError, "xonly"),
    "a Merkle root that is short": (GLOBAL, pair("18", bytes(31)) + b"\x00\x00", DecodeError, "."),
    "a leaf without its version": (
        GLOBAL, pair("15c0" + X, b"") + b"\x00\x00", DecodeError, "."),
    "a leaf version that is not the control block's": (
        GLOBAL, pair("15c0" + X, b"\x51\xc2") + b"\x00\x00", DecodeError, "differ in version"),
    "a leaf signature keyed by 63 bytes": (
        GLOBAL, pair("14" + X + "00" * 31, bytes(64)) + b"\x00\x00", DecodeError, "."),
    "no maps at all": (b"", b"", Truncated, "0 bytes left"),
    "4 MB": (GLOBAL, bytes(4_000_000), TooLarge, "at most 4000000"),
}  # fmt: skip


@pytest.mark.parametrize(("head", "rest", "error", "text"), HOSTILE.values(), ids=HOSTILE)
def test_S28_hostile_psbts(head, rest, error, text):
    with pytest.raises(DecodeError, match=text) as caught:
        Psbt.parse(MAGIC + head + rest)
    assert type(caught.value) is error


def test_the_hostile_ones_differ_from_a_good_one():
    """The frame that the table edits is read without them."""
    raw = MAGIC + GLOBAL + pair("01", UTXO) + pair("08", b"\x01\x01x") + b"\x00\x00"
    psbt = Psbt.parse(raw)
    assert psbt.inputs[0].final_script_witness == (b"x",)
    assert psbt.inputs[0].witness_utxo == TxOut(1000, b"\x51")
    assert psbt.serialize() == raw


@pytest.mark.parametrize(
    "text", ["", "cHNid", "cHNidP8 ", "cHNi\ndP8=", "\u00e9", "%%%%", "cHNidP8BAA=="]
)
def test_text_that_is_no_psbt(text):
    with pytest.raises(DecodeError):
        Psbt.from_base64(text)


def test_prevouts_come_from_the_previous_transactions_alone():
    psbt = funded()
    known = psbt.inputs[0].non_witness_utxo
    other = previous(TxOut(5, b"\x51"), TxOut(9_999, b"\x51"))
    refused = {
        "lacks its previous transaction": psbt.with_input(0, non_witness_utxo=None),
        "got transaction": psbt.with_input(0, non_witness_utxo=other),
        "witness UTXO that is not": psbt.with_input(0, witness_utxo=TxOut(9_999, b"\x51")),
        "which has 1 outputs": psbt_of_missing_output(),
    }
    for text, bad in refused.items():
        with pytest.raises(Incorrect, match=re.escape(text)):
            Psbt.parse(bad.serialize()).prevouts()
    assert psbt.with_input(0, witness_utxo=None).prevouts() == psbt.prevouts()
    assert known is not None


def psbt_of_missing_output():
    parent = previous(TxOut(5, b"\x51"))
    tx = Tx(2, (TxIn(OutPoint(parent.txid, 1)),), (TxOut(1, b"\x51"),))
    return Psbt.of(tx).with_input(0, non_witness_utxo=parent)


def test_a_psbt_of_a_signed_transaction_drops_its_witnesses():
    tx = funded().tx
    psbt = Psbt.of(tx.with_witness(0, [b"signature"]))
    assert psbt.tx == tx
    with pytest.raises(InvalidInput, match="no scriptSig and no witness"):
        Psbt(tx.with_witness(0, [b"x"]), psbt.inputs, psbt.outputs)
    with pytest.raises(InvalidInput, match="no scriptSig and no witness"):
        Psbt.of(with_script_sig)
    with pytest.raises(InvalidInput, match="expected"):
        Psbt(tx, psbt.inputs[:1], psbt.outputs)
    for index in (-1, 2):
        with pytest.raises(InvalidInput, match="no input"):
            psbt.with_input(index, tap_merkle_root=bytes(32))


def test_an_empty_final_witness_is_not_a_missing_one():
    psbt = funded(1).with_input(0, final_script_witness=())
    assert Psbt.parse(psbt.serialize()).inputs[0].final_script_witness == ()
    assert psbt.extract().inputs[0].witness == ()
