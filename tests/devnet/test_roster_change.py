"""A roster follows another, with real processes and a real node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grail.connection.connection import connect
from grail.connection.rosters import books
from grail_devnet.devnet import Devnet

pytestmark = pytest.mark.devnet


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    folder = tmp_path_factory.mktemp("r")
    with Devnet(operators=5, quorum=4, folder=folder / "net", progress=print) as devnet:
        yield devnet


def test_one_operator_is_replaced(network: Devnet) -> None:
    with connect(network.file, progress=False) as net:
        alice = net.wallet("alice")
        net.faucet(alice, 900_000)
        pending = alice.deposit(500_000)
        net.mine(6)
        alice.peg_in(pending)
        net.mine()
        before = net.portal.call(books, net.session)
        print(before)
        changed = network.change_roster(remove=["operator-02"], add=1)
        print(changed.spell, changed.moves, changed.left, changed.joined)
        after = net.portal.call(books, net.session)
        print(after)
        assert (after.supply, after.vault) == (before.supply, before.vault)
        assert after.old == 0
        network.retire("operator-02")
        alice.peg_out(100_000)
        net.mine()
        print(net.portal.call(books, net.session))
