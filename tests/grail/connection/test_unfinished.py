"""Requests that too few operators signed: kept whole, private, found again by what was wanted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx, TxIn
from grail.connection.unfinished import Unfinished, UnfinishedFolder
from grail.connection.wallet import AsyncWallet
from grail.errors import DecodeError, NodeError, NotCanonical
from grail.operators.evidence import SigningRequest
from grail.types import OutPoint, Txid, TxOut

ALICE, BOB = b"\x51\x20" + b"\x01" * 32, b"\x51\x20" + b"\x02" * 32


def job(number: int = 0, who: bytes = ALICE, intent: bytes = b"swap") -> Unfinished:
    tx = Tx(2, (TxIn(OutPoint(Txid(bytes(32)), number)),), (TxOut(1_000, ALICE),))
    request = SigningRequest(Psbt.of(tx).serialize()).serialize()
    return Unfinished("swap", request, 300, 1_834, 150_000, (who,), intent, 37)


@pytest.fixture
def folder(tmp_path: Path) -> UnfinishedFolder:
    return UnfinishedFolder(tmp_path / "unfinished")


def test_bytes_are_read_again() -> None:
    assert Unfinished.parse(job().serialize()) == job()


def test_kept_and_dropped(folder: UnfinishedFolder, tmp_path: Path) -> None:
    txid = folder.keep(job())
    assert txid == job().psbt.tx.txid
    again = UnfinishedFolder(tmp_path / "unfinished")
    assert list(again) == [txid]
    assert again.get(txid) == job()
    assert (tmp_path / "unfinished").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "unfinished" / str(txid)).stat().st_mode & 0o777 == 0o600
    again.drop(txid)
    again.drop(txid)
    assert list(folder) == []


def test_found_by_account_and_intent(folder: UnfinishedFolder) -> None:
    first = folder.keep(job(0))
    second = folder.keep(job(1, intent=b"other"))
    folder.keep(job(2, who=BOB))
    assert set(folder.of(ALICE)) == {first, second}
    assert folder.of(ALICE, b"swap") == [first]
    assert folder.of(b"nobody") == []


def test_damaged_file_counts_as_none(folder: UnfinishedFolder, tmp_path: Path) -> None:
    txid = folder.keep(job())
    (tmp_path / "unfinished" / str(txid)).write_bytes(b"\x80")
    (tmp_path / "unfinished" / "notes.txt").write_text("mine")
    assert folder.get(txid) is None
    assert folder.of(ALICE) == []


@pytest.mark.parametrize("raw", [b"\x80", b"\x01", b"\x88" + b"\x60" * 8])
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        Unfinished.parse(raw)


def test_another_encoding_is_refused() -> None:
    raw = job().serialize()
    assert raw[:1] == b"\x88"
    with pytest.raises(NotCanonical):
        Unfinished.parse(b"\x98\x08" + raw[1:])


@pytest.mark.parametrize("gone", [True, False])
def test_one_that_fails_is_in_no_others_way(folder: UnfinishedFolder, gone: bool) -> None:
    """Whoever comes first: the others are asked for; what can complete no more is forgotten."""
    txids = sorted((folder.keep(job(number)) for number in range(3)), key=str)
    asked = []

    async def retry(txid: Txid) -> str:
        asked.append(txid)
        if txid == txids[0]:
            raise NodeError("bad-txns-inputs-missingorspent", code=-25)
        folder.drop(txid)
        return "receipt"

    wallet = object.__new__(AsyncWallet)
    wallet.account = SimpleNamespace(script=ALICE)  # type: ignore[assignment]
    wallet.session = SimpleNamespace(  # type: ignore[assignment]
        unfinished=folder, retry=retry, overtaken=lambda _: gone, forget=folder.drop
    )
    with pytest.raises(NodeError):
        anyio.run(wallet.retry)
    assert asked == txids
    assert list(folder) == ([] if gone else txids[:1])
