"""Finding a running network: only from the owner's own state folder, only one that lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from grail.errors import DecodeError, InvalidInput, Unavailable
from grail.network_file import (
    FILE,
    NetworkFile,
    Operator,
    find,
    folder_of,
    load,
    running,
    start_time,
)
from grail.types import XOnlyKey


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def network(name: str, manager: tuple[int, int] | None = None) -> NetworkFile:
    folder = folder_of(name)
    folder.mkdir(mode=0o700, exist_ok=True)
    operator = Operator("operator-01", XOnlyKey(b"\x01" * 32), "http://127.0.0.1:1", folder / "s")
    started = start_time(os.getpid())
    assert started is not None
    file = NetworkFile(
        name,
        folder,
        "regtest",
        "http://127.0.0.1:2",
        folder / "c",
        folder / "f",
        (operator,),
        manager or (os.getpid(), started),
        "swordfish",
    )
    file.save()
    return file


def test_what_is_saved_is_loaded() -> None:
    saved = network("one")
    assert load(saved.folder) == saved
    assert (saved.folder / FILE).stat().st_mode & 0o777 == 0o600


def test_D6_the_token_is_not_in_the_repr() -> None:
    assert "swordfish" not in repr(network("one"))


def test_the_only_one_is_found_and_else_the_default() -> None:
    one = network("one")
    assert find() == one
    network("two")
    with pytest.raises(InvalidInput, match="several devnets are running: one, two"):
        find()
    default = network("default")
    assert find() == default
    assert find("two").name == "two"


def test_a_dead_one_is_not_found() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    started = start_time(ended.pid)
    ended.wait()
    dead = network("one", (ended.pid, started or 1))
    assert not dead.running
    with pytest.raises(Unavailable, match="no devnet is running") as caught:
        find()
    assert "grail devnet salvage --name one" in caught.value.hint
    with pytest.raises(Unavailable, match="'one' is not running") as caught:
        find("one")
    assert "grail devnet salvage --name one" in caught.value.hint


def test_D12_a_recycled_process_number_is_not_the_manager() -> None:
    # This test's own process has the number; but the manager began at another time.
    started = start_time(os.getpid())
    assert started is not None
    assert not replace(network("one"), manager=(os.getpid(), started - 1)).running


def test_none_at_all() -> None:
    with pytest.raises(Unavailable, match="no devnet is running") as caught:
        find()
    assert caught.value.hint == "start one: grail devnet up"
    with pytest.raises(Unavailable, match="'one' is not running") as caught:
        find("one")
    assert caught.value.hint == "start it: grail devnet up --name one"


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a" * 40, "-a", "a.b", "\n"])
def test_D11_names_cannot_leave_the_folder(name) -> None:
    with pytest.raises(InvalidInput, match="devnet name"):
        folder_of(name)


def test_D22_a_file_in_the_current_folder_is_not_taken(monkeypatch, tmp_path) -> None:
    planted = network("one")
    elsewhere = tmp_path / "project"
    elsewhere.mkdir()
    (elsewhere / FILE).write_bytes((planted.folder / FILE).read_bytes())
    (planted.folder / FILE).unlink()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(Unavailable):
        find()


def test_D8_a_folder_open_to_others_is_not_trusted() -> None:
    file = network("one")
    file.folder.chmod(0o755)
    with pytest.raises(InvalidInput, match="expected 0700"):
        load(file.folder)
    assert running() == []


def test_D8_a_link_in_place_of_the_file_is_not_followed(tmp_path) -> None:
    file = network("one")
    (file.folder / FILE).rename(tmp_path / "moved")
    (file.folder / FILE).symlink_to(tmp_path / "moved")
    with pytest.raises(InvalidInput):
        load(file.folder)


def edited(change) -> bytes:
    file = network("one")
    body = json.loads((file.folder / FILE).read_text())
    change(body)
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda: b"",
        lambda: b"{",
        lambda: b"[]",
        lambda: b"null",
        lambda: b"\xff",
        lambda: b" " * 2_000_000,
        lambda: edited(lambda body: body.pop("token")),
        lambda: edited(lambda body: body.update(format=2)),
        lambda: edited(lambda body: body["operators"][0].update(key="zz")),
        lambda: edited(lambda body: body.update(manager=5)),
    ],
)
def test_a_damaged_file_is_a_typed_error(damage) -> None:
    raw: bytes = damage()
    folder: Path = network("one").folder
    (folder / FILE).write_bytes(raw)
    with pytest.raises(DecodeError):
        load(folder)
    assert running() == []
