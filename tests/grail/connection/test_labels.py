"""Names of tokens: given on this machine only, never mistaken for another token."""

from __future__ import annotations

from pathlib import Path

import pytest

from grail.charms.app import App, Contract
from grail.connection.labels import Labels
from grail.errors import DecodeError, InvalidInput

ZKBTC = Contract(b"\x01" * 32, b"\x02" * 32).token
TOKEN = Contract(b"\x03" * 32, b"\x02" * 32).token
# the same first bytes as zkBTC: what a cheat would choose who hopes for shortened names
LOOKALIKE = Contract(b"\x01" * 31 + b"\x02", b"\x02" * 32).token


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return Labels(tmp_path, ZKBTC)


def test_names_are_kept_for_the_next_time(labels: Labels, tmp_path: Path) -> None:
    labels.give("TOK", TOKEN)
    again = Labels(tmp_path, ZKBTC)
    assert again.find("tok") == TOKEN
    assert again.show(TOKEN) == "TOK"
    assert again.show(TOKEN.contract.nft) == "n of TOK"
    assert again.find("zkbtc") == ZKBTC


def test_two_programs_keep_each_others_names(labels: Labels, tmp_path: Path) -> None:
    beside = Labels(tmp_path, ZKBTC)
    beside.give("GOLD", LOOKALIKE)
    labels.give("TOK", TOKEN)
    again = Labels(tmp_path, ZKBTC)
    assert (again.find("GOLD"), again.find("TOK")) == (LOOKALIKE, TOKEN)


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"TOK": 7}', '{"TOK": "t/x"}'])
def test_a_damaged_file_is_a_typed_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DecodeError, match="names"):
        Labels(tmp_path, ZKBTC)


def test_token_without_a_name_is_shown_whole(labels: Labels) -> None:
    assert labels.show(LOOKALIKE) == str(LOOKALIKE)
    assert labels.find(str(LOOKALIKE)) == LOOKALIKE


@pytest.mark.parametrize("name", ["zkBTC", "ZKBTC", "<b>", "", "x" * 17, "a b", "../x"])
def test_names_that_mislead_are_refused(labels: Labels, name: str) -> None:
    with pytest.raises(InvalidInput):
        labels.give(name, TOKEN)


def test_taken_name_is_refused(labels: Labels) -> None:
    labels.give("TOK", TOKEN)
    with pytest.raises(InvalidInput, match="means another"):
        labels.give("TOK", LOOKALIKE)
    with pytest.raises(InvalidInput, match="means another"):
        labels.give("tok", LOOKALIKE)


def test_unknown_name_says_what_is_known(labels: Labels) -> None:
    with pytest.raises(InvalidInput) as caught:
        labels.find("GOLD")
    assert "zkBTC" in caught.value.hint


def test_app_is_found_by_its_tag(labels: Labels) -> None:
    other = App("n", ZKBTC.identity, ZKBTC.vk)
    assert labels.show(other) == "n of zkBTC"


def test_unknown_pool_is_called_a_pool(labels: Labels) -> None:
    with pytest.raises(InvalidInput, match="no pool is called 'GOLD'"):
        labels.find("GOLD", "pool")


def test_text_with_apps_and_contracts_gets_their_names(labels: Labels) -> None:
    labels.give("TOK", TOKEN)
    text = f"got 5 units of {ZKBTC}, no state of {TOKEN.contract.nft}, not {LOOKALIKE}"
    assert labels.named(text) == f"got 5 units of zkBTC, no state of n/TOK, not {LOOKALIKE}"
