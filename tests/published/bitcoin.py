"""BIP 340 (Schnorr signatures) and BIP 341 (taproot)."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from kernel import verify_spend

from grail.bitcoin import addresses, taproot
from grail.bitcoin.taproot import TapScript
from grail.bitcoin.tx import Tx, sighash, sign_key_path, verify_input
from grail.crypto import schnorr
from grail.crypto.schnorr import KeyPair
from grail.errors import InvalidInput, SignatureInvalid
from grail.types import TxOut, XOnlyKey
from published.ledger import Case

DIGESTS_ONLY = "sign a message of another length than 32 bytes: only digests are signed here"


def bip340(folder: Path) -> Iterator[Case]:
    """Rows of the table: signatures that hold, those that do not, and some that we make again."""
    with (folder / "bip340" / "test-vectors.csv").open() as file:
        for row in csv.DictReader(file):
            name, message = f"row {row['index']}", bytes.fromhex(row["message"])
            if len(message) == 32:
                yield Case(name, partial(_bip340, row, message))
            else:
                yield Case(name, partial(_no_digest, row, message), DIGESTS_ONLY)


def _bip340(row: Mapping[str, str], message: bytes) -> None:
    key, signature = XOnlyKey.from_hex(row["public key"]), bytes.fromhex(row["signature"])
    if row["verification result"] == "TRUE":
        schnorr.verify(key, message, signature)
    else:
        with pytest.raises(SignatureInvalid):
            schnorr.verify(key, message, signature)
    if row["secret key"]:
        randomness = bytes.fromhex(row["aux_rand"])
        with mock.patch.object(schnorr.secrets, "token_bytes", return_value=randomness):
            pair = KeyPair(bytes.fromhex(row["secret key"]))
            assert pair.public == key
            assert pair.sign(message) == signature


def _no_digest(row: Mapping[str, str], message: bytes) -> None:
    with pytest.raises(InvalidInput, match="digest"):
        schnorr.verify(
            XOnlyKey.from_hex(row["public key"]), message, bytes.fromhex(row["signature"])
        )


def bip341(folder: Path) -> Iterator[Case]:
    """Outputs from keys and trees; signature hashes and witnesses of one spend of nine inputs."""
    published = json.loads((folder / "bip341" / "wallet-test-vectors.json").read_text())
    for number, case in enumerate(published["scriptPubKey"]):
        yield Case(f"scriptPubKey {number}", partial(_output, case))
    (spend,) = published["keyPathSpending"]
    for case in spend["inputSpending"]:
        yield Case(f"input {case['given']['txinIndex']}", partial(_input, spend, case))
    yield Case("the whole spend", partial(_whole, spend))


def _tree(node: Any) -> Any:
    if node is None:
        return None
    if isinstance(node, list):
        return _tree(node[0]), _tree(node[1])
    return TapScript(bytes.fromhex(node["script"]), str(node["id"]), node["leafVersion"])


def _leaves(node: Any) -> int:
    return 0 if node is None else sum(map(_leaves, node)) if isinstance(node, list) else 1


def _output(case: Mapping[str, Any]) -> None:
    given, middle, expected = case["given"], case["intermediary"], case["expected"]
    key = XOnlyKey.from_hex(given["internalPubkey"])
    output = taproot.output(key, _tree(given["scriptTree"]))
    assert output.merkle_root.hex() == (middle["merkleRoot"] or "")
    assert taproot.tweak(key, output.merkle_root).hex() == middle["tweak"]
    assert output.output_key.hex() == middle["tweakedPubkey"]
    assert output.script_pubkey.hex() == expected["scriptPubKey"]
    assert addresses.to_address(output.script_pubkey, "bc") == expected["bip350Address"]
    assert addresses.from_address(expected["bip350Address"], "bc") == output.script_pubkey
    assert output.internal_key == key
    assert len(output.leaves) == _leaves(given["scriptTree"])
    for index, leaf in enumerate(output.leaves):
        # The file numbers leaves in the order of the tree, as we do.
        assert leaf.name == str(index)
        assert leaf.leaf_hash.hex() == middle["leafHashes"][index]
        assert leaf.control_block.hex() == expected["scriptPathControlBlocks"][index]


def _unsigned(spend: Mapping[str, Any]) -> tuple[Tx, list[TxOut]]:
    utxos = spend["given"]["utxosSpent"]
    prevouts = [TxOut(utxo["amountSats"], bytes.fromhex(utxo["scriptPubKey"])) for utxo in utxos]
    return Tx.parse(bytes.fromhex(spend["given"]["rawUnsignedTx"])), prevouts


def _input(spend: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    tx, prevouts = _unsigned(spend)
    given, middle = case["given"], case["intermediary"]
    index, kind = given["txinIndex"], given["hashType"]
    assert sighash(tx, prevouts, index, kind).hex() == middle["sigHash"]
    key = KeyPair(bytes.fromhex(given["internalPrivkey"]))
    assert key.public.hex() == middle["internalPubkey"]
    root = bytes.fromhex(given["merkleRoot"] or "")
    assert taproot.tweak(key.public, root).hex() == middle["tweak"]
    with mock.patch.object(schnorr.secrets, "token_bytes", bytes):  # the file's is zeros
        signed = sign_key_path(tx, prevouts, index, key, merkle_root=root, sighash_type=kind)
    witness = [item.hex() for item in signed.inputs[index].witness]
    assert witness == case["expected"]["witness"]


def _whole(spend: Mapping[str, Any]) -> None:
    tx, prevouts = _unsigned(spend)
    final = Tx.parse(bytes.fromhex(spend["auxiliary"]["fullySignedTx"]))
    assert [spent.outpoint for spent in final.inputs] == [spent.outpoint for spent in tx.inputs]
    assert final.outputs == tx.outputs
    verify_spend(final.serialize(), prevouts)
    for index in range(len(final.inputs)):
        verify_input(final, prevouts, index)
    for case in spend["inputSpending"]:
        witness = [item.hex() for item in final.inputs[case["given"]["txinIndex"]].witness]
        assert witness == case["expected"]["witness"]
