"""State folders: what another local user could plant is refused."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator

import pytest

from grail.bitcoin.network import REGTEST
from grail.errors import InvalidInput, Unavailable
from grail.folders import (
    cache_root,
    check_private,
    create_private,
    private_folder,
    state_root,
    write_private,
)
from grail.wallet.account import Account


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_roots_follow_the_xdg_specification(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert state_root() == tmp_path / ".local/state/grail-pro"
    assert cache_root() == tmp_path / ".cache/grail-pro"
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert str(state_root()) == "/somewhere/grail-pro"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # the specification has these ignored
    assert state_root() == tmp_path / ".local/state/grail-pro"


def test_D8_a_folder_is_made_closed_whatever_the_umask(tmp_path) -> None:
    before = os.umask(0)
    try:
        folder = private_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert private_folder(folder) == folder


@pytest.mark.parametrize("bad", [0o750, 0o705, 0o777])
def test_D8_a_folder_open_to_others_is_refused(tmp_path, bad) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(bad)
    with pytest.raises(InvalidInput, match="expected 0700") as caught:
        private_folder(tmp_path / "a")
    assert caught.value.hint.startswith("chmod 700")


def test_D8_a_link_in_place_of_a_folder_is_refused(tmp_path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InvalidInput, match="a link or a file"):
        private_folder(tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="a link or a file"):
        check_private(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_D8_another_users_folder_is_refused(tmp_path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    os.chown(tmp_path / "a", 12345, 12345)
    with pytest.raises(InvalidInput, match="belongs to user 12345"):
        private_folder(tmp_path / "a")


def test_a_missing_folder_is_a_typed_error(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        check_private(tmp_path / "nothing")


def test_a_private_file_is_whole_and_closed(tmp_path) -> None:
    before = os.umask(0)
    try:
        write_private(tmp_path / "key", b"first")
        write_private(tmp_path / "key", b"second")
    finally:
        os.umask(before)
    assert (tmp_path / "key").read_bytes() == b"second"
    assert mode(tmp_path / "key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_D8_a_link_where_a_file_is_written_is_replaced_not_followed(tmp_path) -> None:
    (tmp_path / "other").write_text("precious")
    (tmp_path / "key").symlink_to(tmp_path / "other")
    write_private(tmp_path / "key", b"new")
    assert (tmp_path / "other").read_text() == "precious"
    assert not (tmp_path / "key").is_symlink()


@contextlib.contextmanager
def room(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: what a full disk does, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_D18_a_disk_without_room_leaves_the_old_file_whole(tmp_path) -> None:
    write_private(tmp_path / "key", b"first")
    with room(100), pytest.raises(Unavailable, match="cannot be written") as caught:
        write_private(tmp_path / "key", bytes(1_000))
    assert "make room" in caught.value.hint
    assert (tmp_path / "key").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    write_private(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"second"


def test_D18_a_key_that_is_not_written_whole_is_not_there(tmp_path) -> None:
    with room(20), pytest.raises(Unavailable, match="cannot be written"):
        Account.create(tmp_path / "alice", REGTEST)
    assert list(tmp_path.iterdir()) == []
    made = Account.create(tmp_path / "alice", REGTEST)
    assert Account.load(tmp_path / "alice", REGTEST).script == made.script


KILLED = """
import os, signal, sys
from pathlib import Path
from grail.bitcoin.network import REGTEST
from grail.folders import write_private
from grail.wallet.account import Account

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
if path.suffix == ".json":
    os.link = die
    Account.create(path, REGTEST)
else:
    Path.replace = die
    write_private(path, b"new")
"""


def test_a_key_and_its_name_are_on_the_disk_itself(tmp_path, monkeypatch) -> None:
    """Coins may be paid to it a moment later, and a loss of power must not take it."""
    synced = []

    def sync(handle: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))

    monkeypatch.setattr(os, "fsync", sync)
    create_private(tmp_path / "key", b"secret")
    assert synced == [False, True]


def test_kill_9_while_writing_leaves_the_old_file_whole_and_its_half_is_swept(tmp_path) -> None:
    folder = private_folder(tmp_path / "state")
    kept, key = folder / "kept", folder / "alice.json"
    write_private(kept, b"old")
    for path in (kept, key):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL
    assert kept.read_bytes() == b"old"
    halves = [path.name for path in folder.iterdir() if path != kept]
    assert len(halves) == 2
    # a writer that lives is left alone, and so is what nobody of ours wrote
    (folder / f".other.{os.getpid()}.0123abcd").touch()
    (folder / ".hidden").touch()
    private_folder(folder)
    left = {path.name for path in folder.iterdir()}
    assert left == {"kept", f".other.{os.getpid()}.0123abcd", ".hidden"}
    Account.create(key, REGTEST)  # half a key stands in nobody's way
    assert Account.load(key, REGTEST).name == "alice"
