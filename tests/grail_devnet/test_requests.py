"""What others ask of a network's manager never ends it: its end is the end of all keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grail.errors import InvalidInput, Unavailable
from grail.folders import private_folder
from grail_devnet import requests
from grail_devnet.state import StateFolder


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(private_folder(tmp_path / "net"))
    private_folder(made.requests)
    return made


def refuse(name: str) -> None:
    raise InvalidInput(f"{name} is running already", hint="none")


DOES = {"restart": refuse}


@pytest.mark.parametrize(
    "asked",
    ["half {", "7", "[]", "null", '{"restart": null}', '{"leave": 1}', '{"restart": 1, "join": 2}'],
)
def test_a_request_that_says_nothing_is_answered_or_left(folder: StateFolder, asked: str) -> None:
    (folder.requests / "odd").write_text(asked)
    requests.serve_requests(folder, DOES)
    assert "error" in json.loads((folder.requests / "odd").read_text())


def test_a_full_disk_under_the_answer_leaves_the_request(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = folder.requests / "bitcoind"
    request.write_text(json.dumps({"restart": "bitcoind"}))

    def full(*_: object) -> None:
        raise Unavailable("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(requests, "write_private", full)
        requests.serve_requests(folder, DOES)
    assert json.loads(request.read_text()) == {"restart": "bitcoind"}
    requests.serve_requests(folder, DOES)
    assert json.loads(request.read_text())["error"] == "InvalidInput"
    requests.serve_requests(folder, DOES)
    assert json.loads(request.read_text())["message"] == "bitcoind is running already"


def test_what_was_asked_is_done_and_gone(folder: StateFolder) -> None:
    done: list[object] = []
    (folder.requests / "one").write_text(json.dumps({"retire": ["operator-02"]}))
    (folder.requests / "two").write_text(json.dumps({"restart": "bitcoind"}))
    requests.serve_requests(folder, {**DOES, "retire": done.append})
    assert done == [["operator-02"]]
    assert [path.name for path in folder.requests.iterdir()] == ["two"]


def test_a_network_of_a_program_is_left_to_that_program(folder: StateFolder) -> None:
    with pytest.raises(Unavailable, match="runs this network alone") as caught:
        requests.ask_manager(folder, "join", 1)
    assert "net.change_roster" in caught.value.hint
