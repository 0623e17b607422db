"""The successor with real processes and a real node: named, 2,016 blocks later units go over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from succession_world import mended

from grail.bridge.deposit import Deposit
from grail.bridge.peg_in import draft_peg_in
from grail.bridge.successor import draft_naming, draft_succession
from grail.charms.app import Contract, units
from grail.connection.connection import Connection, connect
from grail.connection.receipt import Receipt
from grail.draft.assembled import Assembled
from grail.errors import QuorumNotReached, Refused
from grail.types import Txid
from grail.wallet.account import Account
from grail_devnet.devnet import Devnet

pytestmark = pytest.mark.devnet

PATIENCE = 60.0
"""Seconds for the hosts to find the naming and show it."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Operators who agreed on the mended contract as zkBTC's successor."""
    folder = tmp_path_factory.mktemp("h")
    with Devnet(successor_vk=mended().bundle.vk, folder=folder / "net", progress=str) as devnet:
        yield devnet


def books(net: Connection, contract: Contract) -> tuple[int, int]:
    """Units outside and sats in the vault, by a scan of every unspent output."""
    session = net.session
    guard = session.context().guard(contract).script_pubkey
    held = session.ledger.holders(contract.token)
    vault = [coin.sats for coin in session.ledger.coins(guard) if not coin.charms]
    return sum(units(coin.charms, contract.token) for coin in held), sum(vault)


def test_Z26_units_go_over_to_the_successor(network: Devnet) -> None:
    """Deposits to both, the naming, 2,016 blocks, the way over: each taken by the real node."""
    with connect(network.file, progress=False) as net:
        session, zkbtc = net.session, net.session.zkbtc
        heir = Contract(zkbtc.identity, mended().bundle.vk)
        assert session.configuration.successor == heir.gid(session.network)
        net.learn(mended().bundle)
        alice = net.wallet("alice")
        net.faucet(alice, 400_000)
        account = alice.inner.account

        def complete(what: str, built: Assembled) -> Receipt:
            receipt = net.portal.call(session.complete, what, built, account)
            assert net.mine() > 0
            assert session.ledger.confirmations(receipt.txid) == 1
            return receipt

        # A deposit to each contract, so that both vaults hold sats.
        net.portal.call(session.refresh)
        own = Deposit.of(session.context(), account.script, account.internal_key)
        for deposit, app in (
            (own, session.apps.zkbtc),
            (replace(own, contract=heir), mended()),
        ):
            paid = net.faucet(deposit.address, 500_000)
            net.mine(session.network.k)
            (coin,) = session.ledger.coins(deposit.script)
            assert coin.outpoint.txid == paid.txid
            complete("deposit", draft_peg_in(session.context(), app, deposit, coin, session.rate))
        before = books(net, zkbtc), books(net, heir)
        assert all(supply == vault > 0 for supply, vault in before)

        # The naming.
        scope = session.scope()
        (nft,) = session.ledger.holders(zkbtc.nft)
        stranger = Contract(zkbtc.identity, bytes(32))
        for successor, passes in ((stranger, False), (heir, True)):
            built = draft_naming(
                session.context(),
                session.apps.zkbtc,
                nft,
                successor,
                session.purse(account.script),
            )
            if passes:
                complete("naming", built)
            else:
                with pytest.raises(QuorumNotReached, match="RosterInvalid"):
                    net.portal.call(session.complete, "naming", built, account)
        (reign,) = session.ledger.record.reigns
        assert reign.successor == heir.gid(session.network)
        assert session.scope() == scope
        left = reign.successor_from - net.height
        assert left > 2_016

        # The delay.
        while net.height < reign.successor_from - 1:
            net.mine(min(500, reign.successor_from - 1 - net.height))

        # The way over.
        context = net.portal.call(session.refresh)
        (new,) = session.ledger.coins(context.guard(heir).script_pubkey)
        built = draft_succession(
            context,
            mended(),
            heir,
            (session.vault(), new),
            session.purse(account.script),
            units=200_000,
        )
        txid = _once_shown(network, net, built, account)
        net.mine()
        assert session.ledger.confirmations(txid) == 1
        after = books(net, zkbtc), books(net, heir)
        pairs = zip(before, after, strict=True)
        moved = [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in pairs]
        assert moved == [(-200_000, -200_000), (200_000, 200_000)]


def _once_shown(network: Devnet, net: Connection, built: Assembled, account: Account) -> Txid:
    """The transaction's id, once the hosts have shown the naming to a quorum's enclaves."""
    session, deadline = net.session, time.monotonic() + PATIENCE
    while True:
        try:
            return net.portal.call(session.complete, "succession", built, account).txid
        except QuorumNotReached:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        except Refused as exc:
            # What was asked for a moment ago has its quorum since: the hosts finish that one.
            if exc.rule != "OutpointTaken":
                raise
            winner = Txid.from_hex(exc.got)
            while winner not in network.node.getrawmempool():
                assert time.monotonic() < deadline, "nobody finishes it"
                time.sleep(0.2)
            net.portal.call(session.refresh)
            return winner
