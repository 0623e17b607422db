"""An app that this SDK did not ship: its charms are unknown until its bundle is."""

from __future__ import annotations

import pytest

from grail.apps.compiler import compile_app
from grail.apps.zkapp import Transaction, ZkApp, action
from grail.charms.app import Contract, identity_of
from grail.connection.connection import connect
from grail.draft.assembled import Act
from grail.draft.draft import CARRIER, Draft, Purse
from grail.exchange.token import fresh_input
from grail_devnet.devnet import Devnet

pytestmark = pytest.mark.devnet


class Pair(ZkApp):
    """A token of an even supply."""

    @action(0, changes="t", args=1, fresh=True)
    def issue(self, tx: Transaction) -> None:
        """Create twice `arg(0)` units."""
        tx.fresh.assert_true("issued where its identity is created, and nowhere else")
        tx.supply_in.assert_equal(0, "there are units before the token is issued")
        tx.supply_out.assert_equal(tx.arg(0) + tx.arg(0), "the supply is not even")


def test_charms_of_an_unknown_app_are_neither_counted_nor_spent(devnet: Devnet) -> None:
    app = compile_app(Pair)
    with connect(devnet.file, progress=False) as net:
        wallet = net.wallet("pair")
        net.faucet(wallet, 100_000)
        net.learn(app.bundle)
        session = net.session
        coins = net.portal.call(session.refresh) and session.usable(wallet.script)
        first = fresh_input(coins)
        contract = Contract(identity_of(first.outpoint), app.vk)
        draft = Draft(session.context())
        draft.spend(first)
        draft.pay(wallet.script, CARRIER, {contract.token: 14})
        draft.act(Act(contract, app, "issue", args=(7,)))
        draft.fund(Purse(coins, wallet.script, 2))
        receipt = net.portal.call(
            session.complete, "own token", draft.assemble(), wallet.inner.account
        )
        net.mine()
        assert wallet.balance().units(contract.token) == 14
        assert receipt.constraints > 0

    with connect(devnet.file, progress=False) as other:
        stranger = other.wallet("pair")
        # the output with the unknown charm is left out, the change of the same transaction is not
        assert stranger.balance().balance.carriers == 0
        known = {coin.outpoint.vout for coin in stranger.coins()}
        assert 0 not in known
        assert other.spell(receipt.txid).verdict.startswith("unknown")
        other.learn(app.bundle)
        assert stranger.balance().units(contract.token) == 14
        assert other.spell(receipt.txid).verdict == "correct"
