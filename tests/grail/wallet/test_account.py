"""A user's key: kept for its owner, shown to nobody, good on one chain."""

from __future__ import annotations

import json
import pickle
import traceback
from pathlib import Path

import pytest

from grail.bitcoin import tx as txs
from grail.bitcoin.network import MAINNET, REGTEST
from grail.bitcoin.tx import Tx, TxIn
from grail.errors import InvalidInput
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.account import Account


def secret_of(path: Path) -> str:
    return str(json.loads(path.read_text())["secret"])


def test_created_key_is_loaded_again(tmp_path: Path) -> None:
    made = Account.create(tmp_path / "alice", REGTEST)
    loaded = Account.load(tmp_path / "alice", REGTEST)
    assert loaded.script == made.script
    assert loaded.address.startswith("bcrt1p")
    assert (tmp_path / "alice").stat().st_mode & 0o777 == 0o600


def test_D14_devnet_key_on_mainnet_is_refused(tmp_path: Path) -> None:
    Account.create(tmp_path / "alice", REGTEST)
    with pytest.raises(InvalidInput, match="made for 'regtest', expected 'main'"):
        Account.load(tmp_path / "alice", MAINNET)


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    Account.create(tmp_path / "alice", REGTEST)
    before = (tmp_path / "alice").read_bytes()
    with pytest.raises(InvalidInput, match="exists already"):
        Account.create(tmp_path / "alice", REGTEST)
    assert (tmp_path / "alice").read_bytes() == before


def test_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Account.create(tmp_path / "alice", REGTEST)
    (tmp_path / "alice").chmod(0o644)
    with pytest.raises(InvalidInput, match="mode 644, expected 600"):
        Account.load(tmp_path / "alice", REGTEST)


def test_link_is_not_followed(tmp_path: Path) -> None:
    Account.create(tmp_path / "alice", REGTEST)
    (tmp_path / "bob").symlink_to(tmp_path / "alice")
    with pytest.raises(InvalidInput):
        Account.load(tmp_path / "bob", REGTEST)


@pytest.mark.parametrize("name", ["", "../alice", "Alice", "a b", "x" * 33, ".hidden"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="wallet name"):
        Account.generate(name, REGTEST)


def test_D6_secret_is_in_no_text(tmp_path: Path) -> None:
    account = Account.create(tmp_path / "alice", REGTEST)
    secret = secret_of(tmp_path / "alice")
    assert secret not in repr(account) + str(account)
    with pytest.raises(TypeError):
        pickle.dumps(account)
    # a damaged file must not be quoted by the error or by what caused it
    (tmp_path / "alice").write_text(f'{{"secret": "{secret}", ')
    with pytest.raises(InvalidInput) as caught:
        Account.load(tmp_path / "alice", REGTEST)
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_signature_spends_by_consensus() -> None:
    account = Account.generate("alice", REGTEST)
    prevout = TxOut(50_000, account.script)
    spent = OutPoint(Txid(bytes(range(32))), 1)
    tx = Tx(2, (TxIn(spent),), (TxOut(49_000, account.script),))
    signed = account.sign(tx, [prevout], 0)
    txs.verify_input(signed, [prevout], 0)
    assert signed.txid == tx.txid


def test_another_accounts_input_is_not_signed() -> None:
    account, other = (Account.generate(name, REGTEST) for name in ("alice", "bob"))
    prevout = TxOut(50_000, other.script)
    tx = Tx(2, (TxIn(OutPoint(Txid(bytes(32)), 0)),), (TxOut(49_000, account.script),))
    with pytest.raises(InvalidInput):
        account.sign(tx, [prevout], 0)
