"""A signer agrees to one transaction, all of it, with one key: what the quorum asks before it signs."""

from __future__ import annotations

import pytest

from grail.bitcoin import script
from grail.bitcoin.network import REGTEST
from grail.bitcoin.tx import Tx, TxIn, sign_key_path
from grail.charms.consent import check_consent
from grail.crypto.schnorr import KeyPair
from grail.errors import SpellIncorrect
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.account import Account

BOB = Account("bob", KeyPair(b"bob".rjust(32, b"\x01")), REGTEST)
SPENT = [TxOut(50_000, BOB.script), TxOut(10_000, script.p2wpkh(bytes(20)))]
BARE = Tx(
    2,
    tuple(TxIn(OutPoint(Txid(bytes([n] * 32)), 0)) for n in (1, 2)),
    (TxOut(40_000, BOB.script),),
)


def refused(tx: Tx, index: int = 0, spent: list[TxOut] = SPENT) -> None:
    with pytest.raises(SpellIncorrect) as caught:
        check_consent(tx, spent, index)
    assert caught.value.rule == "SignerSighash"
    assert caught.value.got
    assert caught.value.expected


def test_a_key_path_signature_for_all_is_consent() -> None:
    for kind in (0, 1):
        check_consent(sign_key_path(BARE, SPENT, 0, BOB._key, sighash_type=kind), SPENT, 0)


@pytest.mark.parametrize("kind", [2, 3, 0x81, 0x82, 0x83])
def test_Z6_other_sighash_types(kind: int) -> None:
    """Valid by consensus, but for another transaction as well."""
    refused(sign_key_path(BARE, SPENT, 0, BOB._key, sighash_type=kind))


def test_Z6_no_witness_is_no_consent() -> None:
    refused(BARE)


def test_Z6_a_signature_of_another_transaction() -> None:
    """Of the right form, but not for these bytes: twelve enclaves would vouch for nothing."""
    witness = BOB.sign(BARE, SPENT, 0).inputs[0].witness
    other = Tx(2, BARE.inputs, (TxOut(40_001, BOB.script),)).with_witness(0, witness)
    refused(other)
    refused(BARE.with_witness(0, (bytes(64),)))
    refused(BARE.with_witness(0, witness), spent=[TxOut(50_001, BOB.script), SPENT[1]])


def test_Z6_scripts_that_several_could_unlock() -> None:
    """By a script in the tree, by a script's hash, or with the right form for the wrong kind."""
    refused(BARE.with_witness(0, (b"\x51", b"\xc0" + bytes(32))))
    refused(BARE.with_witness(0, (b"\x30" * 70 + b"\x01", bytes(33))))
    refused(BARE.with_witness(1, (bytes(64),)), 1)
    refused(BARE.with_witness(1, (b"\x30" * 70 + b"\x81", bytes(33))), 1)
    refused(BARE.with_witness(1, (b"\x30" * 70 + b"\x01", bytes(33))), 1)
    hashed = [TxOut(50_000, b"\x00\x20" + bytes(32)), SPENT[1]]
    refused(BARE.with_witness(0, (bytes(64),)), spent=hashed)
