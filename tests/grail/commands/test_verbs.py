"""The verbs of a user: what they take, what they refuse, before any network is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from grail.cli import build
from grail.commands.opening import amounts
from grail.commands.spell import WANTED
from grail.errors import InvalidInput, Unavailable

VERBS = [
    ["address", "--wallet", "alice"],
    ["balance"],
    ["pay", "1000", "bob", "--wallet", "alice"],
    ["deposit", "1000", "--wallet", "alice"],
    ["peg-in", "--wallet", "alice"],
    ["peg-out", "1000", "--wallet", "alice"],
    ["recover", "--wallet", "alice"],
    ["retry", "--wallet", "alice"],
    ["transfer", "zkBTC", "5", "bob", "--wallet", "alice"],
    ["issue", "5", "--wallet", "alice"],
    ["pool", "create", "zkBTC:5", "TOK:5", "--wallet", "alice"],
    ["pool", "add", "POOL", "5", "5", "--wallet", "alice"],
    ["pool", "remove", "POOL", "5", "--wallet", "alice"],
    ["pool", "show", "POOL"],
    ["swap", "POOL", "zkBTC", "5", "--wallet", "alice"],
    ["spell", "show", "00" * 32],
    ["fate", "00" * 32],
    ["lost"],
]


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network runs for whoever owns this state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def grail(*arguments: str) -> Result:
    return CliRunner().invoke(build(), arguments)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_verb_without_a_network_says_how_to_start_one(verb: list[str]) -> None:
    for arguments in (verb, [*verb, "--json"]):
        found = grail(*arguments).exception
        assert isinstance(found, Unavailable)
        assert found.hint == "start one: grail devnet up"


@pytest.mark.parametrize(
    "verb",
    [
        ["deposit", "0", "--wallet", "alice"],
        ["deposit", "-5", "--wallet", "alice"],
        ["deposit", "1.5", "--wallet", "alice"],
        ["deposit", "1000", "--wallet", "alice", "--delay", "143"],
        ["transfer", "zkBTC", "0", "bob", "--wallet", "alice"],
        ["pool", "create", "zkBTC:5", "TOK:5", "--wallet", "alice", "--fee", "1001"],
        ["peg-in"],
    ],
    ids=" ".join,
)
def test_values_out_of_range_are_refused_by_the_shell(verb: list[str]) -> None:
    assert grail(*verb).exit_code == 2


@pytest.mark.parametrize("text", ["zkBTC", "zkBTC:", "zkBTC:-1", "zkBTC:1.5", ":", "a:b"])
def test_amounts_are_token_and_units(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected TOKEN:UNITS"):
        amounts(text)


def test_amount_of_a_whole_app() -> None:
    app = f"t/{'00' * 32}/{'11' * 32}"
    assert amounts(f"{app}:7") == (app, 7)


def test_spell_of_a_file_is_read_without_a_network(vectors: Path, tmp_path: Path) -> None:
    story = json.loads((vectors / "protocol" / "spells.json").read_text())["spells"]
    swap = next(spell for spell in story if spell["name"] == "swap")
    path = tmp_path / "swap.hex"
    path.write_text(swap["unsigned_tx"] + "\n")
    shown = json.loads(grail("spell", "show", str(path), "--json").output)
    assert shown["txid"] == swap["txid"]
    assert shown["apps"] == swap["apps_in_order"]
    assert shown["verdict"] == "not checked"
    assert [proof["action"] for proof in shown["proofs"]] == [3]
    text = grail("spell", "show", str(path)).output
    assert swap["apps_in_order"][0] in text


@pytest.mark.parametrize("content", ["", "xyz", "00", "0200", "\x00\x01"])
def test_spell_of_a_bad_file_is_one_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.hex"
    path.write_text(content)
    found = grail("spell", "show", str(path)).exception
    assert isinstance(found, InvalidInput)
    assert found.hint == WANTED


def test_spell_of_no_file_names_it() -> None:
    found = grail("spell", "show", "nothing.hex").exception
    assert isinstance(found, InvalidInput)
    assert str(found) == "nothing.hex: No such file or directory"
