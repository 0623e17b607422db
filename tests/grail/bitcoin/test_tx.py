"""grail.bitcoin.tx: bytes, ids, sizes, signature hashes; every spend also by libbitcoinkernel."""

from __future__ import annotations

import hashlib
import json

import coincurve
import pbk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel import SpendInvalid, verify_spend

from grail.bitcoin import script, taproot
from grail.bitcoin.taproot import TapScript
from grail.bitcoin.tx import (
    MAX_WEIGHT,
    SIGHASH_ALL,
    Tx,
    TxIn,
    sighash,
    sighash_p2wpkh,
    sign_key_path,
    verify_input,
)
from grail.crypto.schnorr import KeyPair
from grail.errors import (
    DecodeError,
    Incorrect,
    InvalidInput,
    NotCanonical,
    TooLarge,
    TrailingBytes,
    Truncated,
)
from grail.types import MAX_MONEY, OutPoint, Txid, TxOut

# The first payment ever, block 170: Satoshi to Hal Finney.
FIRST = bytes.fromhex(
    "0100000001c997a5e56e104102fa209c6a852dd90660a20b2d9c352423edce25857fcd3704000000004847304402"
    "204e45e16932b8af514961a1d3a1a25fdf3f4f7732e9d624c6c61548ab5fb8cd410220181522ec8eca07de4860a4"
    "acdd12909d831cc56cbbac4622082221a8768d1d0901ffffffff0200ca9a3b00000000434104ae1a62fe09c5f51b"
    "13905f07f06b99a2f7159b2225f374cd378d71302fa28414e7aab37397f554a7df5f142c21c1b7303b8a0626f1ba"
    "ded5c72a704f7e6cd84cac00286bee0000000043410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482e"
    "cad7b148a6909a5cb2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3ac00000000"
)
FIRST_PREVOUT = TxOut(
    5_000_000_000,
    bytes.fromhex(
        "410411db93e1dcdb8a016b49840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0eaddfb84ccf9744464f8"
        "2e160bfa9b8b64f9d4c03f999b8643f656b412a3ac"
    ),
)
KEY = KeyPair(b"\x07" * 32)


def plain(*, inputs=1, outputs=1):
    return Tx(
        2,
        tuple(TxIn(OutPoint(Txid(bytes([i]) * 32), i)) for i in range(inputs)),
        tuple(TxOut(1000 + i, script.p2tr(KEY.public)) for i in range(outputs)),
    )


def test_the_first_payment():
    tx = Tx.parse(FIRST)
    assert str(tx.txid) == "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16"
    assert tx.serialize() == tx.serialize_unsigned() == FIRST
    assert (tx.version, tx.locktime, tx.weight, tx.vsize) == (1, 0, 1100, 275)
    assert sum(out.sats for out in tx.outputs) == FIRST_PREVOUT.sats
    assert str(tx.outpoint(1)) == f"{tx.txid}:1"
    verify_spend(FIRST, [FIRST_PREVOUT])
    verify_input(tx, [FIRST_PREVOUT], 0)
    changed = Tx.parse(FIRST[:-1] + b"\x01")
    with pytest.raises(Incorrect):
        verify_input(changed, [FIRST_PREVOUT], 0)


txids = st.binary(min_size=32, max_size=32).map(Txid)
u32 = st.integers(0, 2**32 - 1)
tx_ins = st.builds(
    TxIn,
    st.builds(OutPoint, txids, u32),
    st.binary(max_size=40),
    u32,
    st.lists(st.binary(max_size=300), max_size=3).map(tuple),
)
tx_outs = st.builds(TxOut, st.integers(0, MAX_MONEY), st.binary(max_size=60))
transactions = st.builds(
    Tx,
    u32,
    st.lists(tx_ins, min_size=1, max_size=4).map(tuple),
    st.lists(tx_outs, min_size=1, max_size=4).map(tuple),
    u32,
)


@given(transactions)
def test_round_trip(tx):
    """What Python writes, rust-bitcoin reads; both agree on txid and weight."""
    again = Tx.parse(tx.serialize())
    assert again == tx
    assert hash(again) == hash(tx)
    assert again.serialize() == tx.serialize()
    assert again.serialize_unsigned() == tx.serialize_unsigned()
    assert (again.txid, again.weight) == (tx.txid, tx.weight)
    stripped = tx.without_witnesses()
    assert stripped.txid == tx.txid
    assert stripped.serialize() == tx.serialize_unsigned()
    digest = hashlib.sha256(hashlib.sha256(tx.serialize_unsigned()).digest()).digest()
    assert tx.txid == digest
    assert tx.vsize == -(-tx.weight // 4)


@given(transactions, st.data())
def test_every_cut_is_refused(tx, data):
    raw = tx.serialize()
    with pytest.raises(DecodeError):
        Tx.parse(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=120))
def test_hostile_bytes_are_refused_or_canonical(raw):
    try:
        tx = Tx.parse(raw)
    except DecodeError:
        return
    assert tx.serialize() == raw


@given(transactions, st.data())
def test_a_changed_byte_is_refused_or_another_transaction(tx, data):
    raw = bytearray(tx.serialize())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = Tx.parse(bytes(raw))
    except DecodeError:
        return
    assert other != tx
    assert other.serialize() == bytes(raw)


RAW = plain().serialize()
MALFORMED = {
    "nothing": (b"", Truncated),
    "half": (RAW[: len(RAW) // 2], Truncated),
    "a byte too many": (RAW + b"\x00", TrailingBytes),
    "a count in three bytes": (RAW[:4] + b"\xfd\x01\x00" + RAW[5:], NotCanonical),
    "a marker and no witness": (
        RAW[:4] + b"\x00\x01" + RAW[4:-4] + b"\x00" + RAW[-4:],
        NotCanonical,
    ),
    "an unknown marker": (RAW[:4] + b"\x00\x02" + RAW[4:], DecodeError),
    "no inputs": (b"\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00", DecodeError),
    "no outputs": (RAW[:46] + b"\x00" + RAW[-4:], DecodeError),
    "more than all money": (
        RAW[:47] + (MAX_MONEY + 1).to_bytes(8, "little") + RAW[55:],
        DecodeError,
    ),
    "an amount of 2^64 - 1": (RAW[:47] + b"\xff" * 8 + RAW[55:], DecodeError),
    "a script longer than memory": (RAW[:41] + b"\xff" * 9 + RAW[42:], Truncated),
    "more bytes than a block": (RAW + bytes(MAX_WEIGHT), TooLarge),
    "inputs without end": (RAW[:4] + b"\xfe\xff\xff\xff\xff" + RAW[5:], Truncated),
}


@pytest.mark.parametrize(("raw", "error"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_bytes(raw, error):
    with pytest.raises(DecodeError) as caught:
        Tx.parse(raw)
    assert type(caught.value) is error


def test_a_weight_above_a_block_is_refused():
    heavy = plain()
    heavy = Tx(2, heavy.inputs, (TxOut(0, bytes(1_000_000)),))
    assert heavy.weight > MAX_WEIGHT
    with pytest.raises(TooLarge):
        Tx.parse(heavy.serialize())


def test_a_witness_of_very_many_items_is_cheap_or_refused():
    """CVE-2022-44797 was a parser that refused what nodes take: 500,001 empty items are fine."""
    tx = plain().with_witness(0, [b""] * 500_001)
    assert len(Tx.parse(tx.serialize()).inputs[0].witness) == 500_001


OUT = (TxOut(1, b""),)
IN = (TxIn(OutPoint(Txid(bytes(32)), 0)),)
UNMAKEABLE = {
    "no inputs": (2, (), OUT, 0),
    "no outputs": (2, IN, (), 0),
    "a negative version": (-1, IN, OUT, 0),
    "a version of 33 bits": (1 << 32, IN, OUT, 0),
    "a lock time of 33 bits": (2, IN, OUT, 1 << 32),
    "a sequence of 33 bits": (2, (TxIn(IN[0].outpoint, sequence=1 << 32),), OUT, 0),
    "a negative amount": (2, IN, (TxOut(-1, b""),), 0),
    "more than all money": (2, IN, (TxOut(MAX_MONEY + 1, b""),), 0),
}


@pytest.mark.parametrize("parts", UNMAKEABLE.values(), ids=UNMAKEABLE)
def test_numbers_out_of_range(parts):
    with pytest.raises(InvalidInput):
        Tx(*parts)


@pytest.mark.parametrize("index", [-1, 1, 1 << 70])
def test_indexes_out_of_range(index):
    tx, prevouts = plain(), [TxOut(1000, script.p2tr(KEY.public))]
    for use in (
        lambda: tx.outpoint(index),
        lambda: tx.with_witness(index, [b""]),
        lambda: sighash(tx, prevouts, index),
        lambda: sighash_p2wpkh(tx, prevouts[0], index),
        lambda: verify_input(tx, prevouts, index),
        lambda: sign_key_path(tx, prevouts, index, KEY),
    ):
        with pytest.raises(InvalidInput):
            use()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_prevouts_must_be_as_many_as_inputs(count):
    tx, prevouts = plain(inputs=2), [TxOut(1000, script.p2tr(KEY.public))] * count
    for use in (
        lambda: sighash(tx, prevouts, 0),
        lambda: verify_input(tx, prevouts, 0),
    ):
        with pytest.raises(InvalidInput):
            use()


@pytest.mark.parametrize("sighash_type", [4, 0x80, 0x84, 0xFF])
def test_sighash_types_that_do_not_exist(sighash_type):
    with pytest.raises(InvalidInput, match="sighash type"):
        sighash(plain(), [TxOut(1, b"")], 0, sighash_type)


def test_sighash_single_without_an_output():
    tx = plain(inputs=2)
    with pytest.raises(InvalidInput, match="sighash"):
        sighash(tx, [TxOut(1, b"")] * 2, 1, 3)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_leaf_hash_is_32_bytes(size):
    with pytest.raises(InvalidInput, match="leaf hash"):
        sighash(plain(), [TxOut(1, b"")], 0, leaf_hash=bytes(size))


@pytest.fixture(scope="module")
def key_path(vectors):
    published = json.loads((vectors / "bip341" / "wallet-test-vectors.json").read_text())
    (case,) = published["keyPathSpending"]
    return case


def test_the_vectors_hashes_are_those_of_other_inputs_too(key_path):
    """A changed amount or script of ANY prevout changes the hash of every input (BIP 341)."""
    tx = Tx.parse(bytes.fromhex(key_path["given"]["rawUnsignedTx"]))
    prevouts = [
        TxOut(utxo["amountSats"], bytes.fromhex(utxo["scriptPubKey"]))
        for utxo in key_path["given"]["utxosSpent"]
    ]
    digests = {sighash(tx, prevouts, 0)}
    for index, prevout in enumerate(prevouts):
        for other in (TxOut(prevout.sats + 1, prevout.script), TxOut(prevout.sats, b"\x51")):
            digests.add(sighash(tx, [*prevouts[:index], other, *prevouts[index + 1 :]], 0))
    assert len(digests) == 1 + 2 * len(prevouts)


def test_key_path_with_and_without_a_tree():
    for tree, root in ((None, b""), (TapScript(b"\x51"), taproot.leaf_hash(b"\x51"))):
        output = taproot.output(KEY.public, tree)
        prevouts = [TxOut(5000, output.script_pubkey)] * 2
        tx = plain(inputs=2)
        for index in range(2):
            tx = sign_key_path(tx, prevouts, index, KEY, merkle_root=root)
        assert [len(spent.witness[0]) for spent in tx.inputs] == [64, 64]
        verify_spend(tx.serialize(), prevouts)
        with pytest.raises(SpendInvalid):
            verify_spend(tx.serialize(), [*prevouts[:1], TxOut(5001, output.script_pubkey)])
        with pytest.raises(InvalidInput, match="no taproot output of key"):
            sign_key_path(tx, prevouts, 0, KeyPair(b"\x08" * 32), merkle_root=root)
        with pytest.raises(InvalidInput, match="no taproot output of key"):
            sign_key_path(tx, prevouts, 0, KEY, merkle_root=b"\x09" * 32)


def test_sighash_all_has_its_byte():
    prevouts = [TxOut(5000, taproot.output(KEY.public).script_pubkey)]
    tx = sign_key_path(plain(), prevouts, 0, KEY, sighash_type=SIGHASH_ALL)
    (signature,) = tx.inputs[0].witness
    assert (len(signature), signature[-1]) == (65, SIGHASH_ALL)
    verify_spend(tx.serialize(), prevouts)


def test_p2wpkh():
    secret = coincurve.PrivateKey(b"\x07" * 32)
    public = secret.public_key.format()
    key_hash = hashlib.new("ripemd160", hashlib.sha256(public).digest()).digest()
    prevouts = [
        TxOut(5000, script.p2wpkh(key_hash)),
        TxOut(7, taproot.output(KEY.public).script_pubkey),
    ]
    tx = sign_key_path(plain(inputs=2), prevouts, 1, KEY)
    digest = sighash_p2wpkh(tx, prevouts[0], 0)
    signature = secret.sign(digest, hasher=None) + bytes([SIGHASH_ALL])
    tx = tx.with_witness(0, [signature, public])
    verify_spend(tx.serialize(), prevouts)
    verify_input(tx, prevouts, 0)
    for broken in (tx.with_witness(0, [signature[:-1] + b"\x02", public]), tx.with_witness(0, [])):
        with pytest.raises(Incorrect):
            verify_input(broken, prevouts, 0)
        with pytest.raises(SpendInvalid):
            verify_spend(broken.serialize(), prevouts)
    with pytest.raises(InvalidInput):
        sighash_p2wpkh(tx, prevouts[1], 1)
    with pytest.raises(InvalidInput, match="sighash type"):
        sighash_p2wpkh(tx, prevouts[0], 0, 0)


def test_verify_input_names_the_input_and_refuses_impossible_amounts():
    prevouts = [TxOut(5000, taproot.output(KEY.public).script_pubkey)] * 2
    tx = sign_key_path(plain(inputs=2), prevouts, 0, KEY)
    verify_input(tx, prevouts, 0)
    with pytest.raises(Incorrect, match="input 1"):
        verify_input(tx, prevouts, 1)
    for sats in (-1, 1 << 63, 1 << 64):
        with pytest.raises(InvalidInput):
            verify_input(tx, [TxOut(sats, b"\x51"), prevouts[1]], 1)


def test_an_annex_is_valid_by_consensus_but_not_signed_for():
    """The signature does not cover an annex here, so one that is added makes it invalid."""
    prevouts = [TxOut(5000, taproot.output(KEY.public).script_pubkey)]
    tx = sign_key_path(plain(), prevouts, 0, KEY)
    with_annex = tx.with_witness(0, [*tx.inputs[0].witness, b"\x50annex"])
    with pytest.raises(Incorrect):
        verify_input(with_annex, prevouts, 0)
    with pytest.raises(SpendInvalid):
        verify_spend(with_annex.serialize(), prevouts)


def kernel_reads(raw):
    """The txid that libbitcoinkernel gives these bytes, None when they are no transaction for it.

    It reads on where bytes are left, so what it writes again must be the same; and it leaves to
    later checks what `Tx` refuses at once: no inputs, no outputs, impossible amounts.
    """
    try:
        tx = pbk.Transaction(raw)
    except RuntimeError:
        return None
    amounts = [out.amount for out in tx.outputs]
    if bytes(tx) != raw or not len(tx.inputs) or not amounts:
        return None
    if not all(0 <= amount <= MAX_MONEY for amount in amounts):
        return None
    return bytes(tx.txid)


@given(transactions, st.data())
def test_S29_libbitcoinkernel_reads_the_same_transactions(tx, data):
    """Differential fuzz: whole transactions, and ones with bytes changed, cut out or put in."""
    raw = tx.serialize()
    assert kernel_reads(raw) == tx.txid
    at = data.draw(st.integers(0, len(raw) - 1))
    piece = data.draw(st.binary(max_size=4))
    changed = raw[:at] + piece + raw[at + data.draw(st.integers(0, 4)) :]
    try:
        ours = bytes(Tx.parse(changed).txid)
    except DecodeError:
        ours = None
    assert ours == kernel_reads(changed)
