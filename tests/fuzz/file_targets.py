"""What is read from disk: a wallet, the file of a network, names, terms, what is kept to be sent."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from fuzz.target import Target
from grail import network_file
from grail.apps.compiler import _read_manifest
from grail.apps.zkapp import ZkApp
from grail.bitcoin.network import REGTEST
from grail.charms.app import App
from grail.connection.deposits import Terms
from grail.connection.labels import Labels
from grail.connection.outbox import Sent
from grail.connection.unfinished import Unfinished
from grail.errors import GrailError, InvalidInput, SpellIncorrect
from grail.wallet.account import Account
from grail_host.settings import read_settings

TOKEN = App("t", bytes(32), bytes(32))


@cache
def _folder() -> Path:
    """Private, and in memory where the system has such a place."""
    memory = Path("/dev/shm")
    made = tempfile.mkdtemp(prefix="grail-fuzz-", dir=memory if memory.is_dir() else None)
    return Path(made)


def _file(name: str, raw: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(raw)
    path.chmod(0o600)
    return path


def wallet(raw: bytes) -> None:
    """A wallet's file; what is refused is not repeated in the error."""
    try:
        Account.load(_file("alice", raw), REGTEST)
    except InvalidInput as exc:
        secret = raw[20:40].decode("latin-1")
        if len(secret) >= 16 and secret in str(exc):
            raise AssertionError("the file's content in an error") from exc
        raise


def files(raw: bytes) -> None:
    """The file of a network, names of tokens, terms of deposits, a host's settings."""
    readers: tuple[Callable[[], object], ...] = (
        lambda: network_file.load(_file(network_file.FILE, raw).parent),
        lambda: Labels(_file("labels.json", raw).parent, TOKEN),
        lambda: Terms(_file("deposits.json", raw)),
        lambda: read_settings(_file("settings.json", raw)),
    )
    for read in readers:
        try:
            read()
        except GrailError:
            continue


def kept(raw: bytes) -> None:
    """What was sent, what is unfinished, and what a compiler left: each has one encoding."""
    _read_manifest(raw, ZkApp, {})
    for kind in (Sent, Unfinished):
        try:
            found = kind.parse(raw)
        except InvalidInput:
            continue
        assert found.serialize() == raw, f"{kind.__name__}: other bytes"
        if isinstance(found, Unfinished):
            _ = found.psbt


def _wallets() -> list[bytes]:
    body = {"format": "grail-account/1", "chain": "regtest", "name": "alice", "secret": "07" * 32}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "alice"
        Account.create(path, REGTEST)
        form = json.loads(path.read_text())["format"]
    return [json.dumps({**body, "format": form}).encode()]


def _files() -> list[bytes]:
    network = {
        "format": network_file.FORMAT,
        "name": "default",
        "chain": "regtest",
        "node": {"url": "http://127.0.0.1:1", "cookie": "/c"},
        "configuration": "/x",
        "operators": [{"name": "a", "key": "07" * 32, "url": "http://127.0.0.1:2", "socket": "/s"}],
        "manager": {"pid": 7, "start_time": 9},
        "token": "t" * 32,
    }
    settings = {
        "socket": "/s",
        "port": 18_999,
        "token": "t" * 32,
        "node": {"url": "http://127.0.0.1:1", "cookie": "/c"},
        "configuration": "/x",
        "peers": [{"url": "http://127.0.0.1:3", "token": "t" * 32}],
    }
    made = (network, settings, {"gold": str(TOKEN)}, [[3_000, 1_008], [5, 6]])
    return [json.dumps(each).encode() for each in made]


def _kept() -> list[bytes]:
    from fuzz import seeds

    request, tx = seeds.request().serialize(), seeds.peg_in().tx
    return [
        Sent("peg-in", tx, 700, 120, request).serialize(),
        Sent("pay", tx, 700, 120).serialize(),
        Unfinished("peg-in", request, 700, 1, 2, (b"\x51",)).serialize(),
    ]


TARGETS = (
    Target("wallet file", wallet, _wallets, most=1_024),
    Target("other files", files, _files, most=2_048),
    Target("kept transaction", kept, _kept, refusals=(InvalidInput, SpellIncorrect), most=32_768),
)
