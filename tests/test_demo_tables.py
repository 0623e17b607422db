"""The demo's tables: nothing in them is cut or folded, however narrow the terminal."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from grail.connection.receipt import Receipt
from grail.types import Txid

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RECEIPTS = [
    Receipt("liquidity added", Txid(bytes([i] * 32)), 12_345, 1_255, 11_055, 2.731, 2.248, 12)
    for i in range(12)
]
AMOUNTS = (400_000_031, 70_395_488, 529_604_481, 1_000_000_000, 1_000_000_000)


@pytest.fixture(autouse=True)
def beside_the_demo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in ("demo", "books"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("width", [80, 100, 144, 200])
def test_every_txid_can_be_copied(width: int) -> None:
    from demo import show_transactions

    console = Console(file=io.StringIO(), width=width)
    show_transactions(console, RECEIPTS)
    shown = console.file.getvalue()
    assert all(str(receipt.txid) in shown for receipt in RECEIPTS)
    assert shown.count("12,345") == shown.count("11,055") == len(RECEIPTS)
    assert max(map(len, shown.splitlines())) <= width


def test_every_unit_is_shown_in_80_columns() -> None:
    from books import UnitsRow
    from demo import show_units

    console = Console(file=io.StringIO(), width=80)
    show_units(console, [UnitsRow("zkBTC", AMOUNTS)])
    shown = console.file.getvalue()
    assert all(f"{amount:,}" in shown for amount in AMOUNTS)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
