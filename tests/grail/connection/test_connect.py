"""Finding a network: in the owner's state folder, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grail.connection.connection import connect
from grail.errors import Unavailable


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, and a working folder of somebody's project."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


def test_no_network_says_how_to_start_one() -> None:
    with pytest.raises(Unavailable, match="no devnet is running") as caught:
        connect()
    assert caught.value.hint == "start one: grail devnet up"


def test_D22_file_in_the_working_folder_is_ignored_with_a_warning(empty: Path) -> None:
    planted = {"format": 1, "name": "default", "node": {"url": "http://127.0.0.1:1"}}
    (empty / "network.json").write_text(json.dumps(planted))
    with (
        pytest.warns(UserWarning, match="is ignored"),
        pytest.raises(Unavailable, match="no devnet is running"),
    ):
        connect()


def test_D22_name_with_a_path_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="devnet name"):
        connect("../project")
