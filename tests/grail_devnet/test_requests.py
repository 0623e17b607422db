"""What others ask of a network's manager never ends it: its end is the end of all keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grail.errors import InvalidInput, Unavailable
from grail.folders import private_folder
from grail_devnet import restart
from grail_devnet.state import StateFolder


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(private_folder(tmp_path / "net"))
    private_folder(made.requests)
    return made


def refuse(name: str) -> None:
    raise InvalidInput(f"{name} is running already", hint="none")


@pytest.mark.parametrize("asked", ["half {", "7", "[]", "null", '{"restart": null}'])
def test_a_request_that_says_nothing_is_answered_or_left(folder: StateFolder, asked: str) -> None:
    (folder.requests / "odd").write_text(asked)
    restart.serve_requests(folder, refuse)


def test_a_full_disk_under_the_answer_leaves_the_request(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = folder.requests / "bitcoind"
    request.write_text(json.dumps({"restart": "bitcoind"}))

    def full(*_: object) -> None:
        raise Unavailable("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(restart, "write_private", full)
        restart.serve_requests(folder, refuse)
    assert json.loads(request.read_text()) == {"restart": "bitcoind"}
    restart.serve_requests(folder, refuse)
    assert json.loads(request.read_text())["error"] == "InvalidInput"
