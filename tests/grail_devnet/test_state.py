"""A devnet's folder: one owner at a time, and nothing left of a dead one."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from grail.errors import InvalidInput
from grail_devnet.state import Claim, StateFolder


def test_D8_everything_in_it_is_closed_to_others(tmp_path) -> None:
    claim = Claim.take(tmp_path / "net")
    paths = [claim.folder.path, *claim.folder.path.rglob("*")]
    modes = {str(path): stat.S_IMODE(path.stat().st_mode) for path in paths}
    claim.release()
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes


def test_a_second_owner_is_refused_and_the_first_goes_on(tmp_path) -> None:
    claim = Claim.take(tmp_path / "net")
    with pytest.raises(InvalidInput, match="running already") as caught:
        Claim.take(tmp_path / "net")
    assert "grail devnet down" in caught.value.hint
    assert claim.folder.path.is_dir()
    claim.release()
    assert not (tmp_path / "net").exists()
    claim.release()
    Claim.take(tmp_path / "net").release()


def test_the_folder_of_a_dead_owner_is_emptied(tmp_path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from grail_devnet.state import Claim;"
        "claim = Claim.take(Path(sys.argv[1])); os._exit(9)"
    )
    path = tmp_path / "net"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == 9
    (path / "wallets" / "alice.json").write_text("of a chain that is gone")
    assert StateFolder(path).manager() is None
    claim = Claim.take(path)
    assert claim.stale
    assert not list((path / "wallets").iterdir())
    manager = StateFolder(path).manager()
    assert manager is not None
    assert (manager.pid, manager.daemon) == (os.getpid(), False)
    claim.release()


def test_what_a_link_points_to_is_kept(tmp_path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    path = tmp_path / "net"
    path.mkdir(mode=0o700)
    (path / "link").symlink_to(tmp_path / "precious")
    Claim.take(path).release()
    assert (tmp_path / "precious" / "file").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "start_time": 1}'])
def test_a_damaged_manager_file_is_no_manager(tmp_path, text) -> None:
    (tmp_path / "manager.json").write_text(text)
    assert StateFolder(tmp_path).manager() is None


def test_a_path_too_long_for_a_socket_is_said_before_anything_starts(tmp_path) -> None:
    with pytest.raises(InvalidInput, match="too long a path"):
        Claim.take(tmp_path / ("a" * 80))


def test_D8_a_folder_of_another_mode_is_refused(tmp_path) -> None:
    path: Path = tmp_path / "net"
    path.mkdir()
    path.chmod(0o755)
    with pytest.raises(InvalidInput, match="expected 0700"):
        Claim.take(path)
