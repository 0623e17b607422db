"""A token is what its whole `tag/identity/vk` says: whoever copies a name or a part is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from grail.charms.app import App, Contract
from grail.connection.labels import Labels
from grail.errors import InvalidInput
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.coins import Balance, Coin

ZKBTC = Contract(b"\x01" * 32, b"\x02" * 32)
FAKES = {
    "other vk": Contract(ZKBTC.identity, b"\x02" * 31 + b"\x03"),
    "other identity": Contract(b"\x01" * 31 + b"\x02", ZKBTC.vk),
    "first bytes alike": Contract(b"\x01" * 31 + b"\x00", b"\x02" * 31 + b"\x00"),
    "swapped": Contract(ZKBTC.vk, ZKBTC.identity),
}


@pytest.fixture(params=FAKES.values(), ids=FAKES)
def fake(request: pytest.FixtureRequest) -> App:
    return request.param.token


@pytest.fixture
def labels(tmp_path: Path) -> Labels:
    return Labels(tmp_path, ZKBTC.token)


def test_C18_a_look_alike_is_shown_whole(labels: Labels, fake: App) -> None:
    """In every table and receipt: its own text, never the name of what it imitates."""
    assert labels.show(ZKBTC.token) == "zkBTC"
    assert labels.show(fake) == str(fake)
    assert labels.named(f"pool of {fake} and {ZKBTC.token}") == f"pool of {fake} and zkBTC"
    assert labels.show(fake.contract.nft) == str(fake.contract.nft)


def test_C18_a_name_means_one_token(labels: Labels, fake: App) -> None:
    """Nobody's chain data gives a name; the person cannot give one twice by a slip either."""
    for name in ("zkBTC", "zkbtc", "ZKBTC"):
        assert labels.find(name) == ZKBTC.token
        with pytest.raises(InvalidInput):
            labels.give(name, fake)
    assert labels.find(str(fake)) == fake


def test_C18_a_wallet_counts_a_look_alike_apart(fake: App) -> None:
    """Units of the two are never added up."""
    coins = [
        Coin(OutPoint(Txid(bytes([i]) * 32), 0), TxOut(1_000, b""), {app: 5}, 1)
        for i, app in enumerate((ZKBTC.token, fake))
    ]
    balance = Balance.of(coins)
    assert balance.tokens == {ZKBTC.token: 5, fake: 5}
    assert [coin.units(ZKBTC.token) for coin in coins] == [5, 0]
