"""State folders: what another local user could plant is refused."""

from __future__ import annotations

import os
import stat

import pytest

from grail.errors import InvalidInput
from grail.folders import cache_root, check_private, private_folder, state_root, write_private


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
