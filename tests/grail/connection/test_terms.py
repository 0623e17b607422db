"""Deposit terms are written down before anything is paid, and no program drops another's."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from grail.bridge.deposit import DELAY, MAX_FEE
from grail.connection.deposits import Terms
from grail.errors import DecodeError, Unavailable


def deposit(delay: int) -> SimpleNamespace:
    return SimpleNamespace(max_fee=MAX_FEE, delay=delay)


def kept(path: Path) -> set[int]:
    return {delay for _, delay in json.loads(path.read_text())}


def test_two_programs_with_one_wallet_keep_each_others_terms(tmp_path: Path) -> None:
    path = tmp_path / "alice.deposits"
    notebook, shell = Terms(path), Terms(path)
    shell.remember(deposit(DELAY + 1))
    notebook.remember(deposit(DELAY + 2))
    assert kept(path) == {DELAY, DELAY + 1, DELAY + 2}
    assert Terms(path)._used == notebook._used


def test_a_damaged_file_and_a_missing_folder_have_names(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        Terms(tmp_path / "gone" / "alice.deposits").remember(deposit(DELAY + 1))
    (tmp_path / "alice.deposits").write_text("{")
    with pytest.raises(DecodeError, match="terms"):
        Terms(tmp_path / "alice.deposits")
