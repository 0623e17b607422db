"""The RPC client and the faucet against a real bitcoind."""

from __future__ import annotations

import stat
import threading

import pytest

from grail.bitcoin.addresses import to_address
from grail.bitcoin.network import REGTEST
from grail.bitcoin.node import NOT_FOUND, VERIFY_REJECTED
from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx, TxIn
from grail.errors import InsufficientFunds, InvalidInput, NodeError, Unavailable
from grail.types import OutPoint, Txid, TxOut
from grail.wallet.account import Account
from grail_devnet import regtest

pytestmark = pytest.mark.devnet

BOB = Account.generate("bob", REGTEST)


def spend(account: Account, outpoint: OutPoint, held: TxOut, *outputs: TxOut) -> Tx:
    return account.sign(Tx(2, (TxIn(outpoint),), outputs), [held], 0)


def test_chain_blocks_and_transactions(lone_node) -> None:
    node = lone_node.sync
    info = node.getblockchaininfo()
    assert (info.chain, info.blocks, info.initial_download) == ("regtest", 110, False)
    assert node.getblockhash(0) == REGTEST.genesis_hash
    best = node.getblockheader_info(info.best)
    assert (best.height, best.confirmations, best.next, best.work) == (110, 1, None, info.work)
    headers = node.headers(0, 110)
    assert headers[110] == node.getblockheader(info.best)
    assert len({*headers}) == 111
    tx = lone_node.portal.call(lone_node.faucet.pay, [(BOB.address, 123_456)])
    status = node.transaction_status(tx.txid)
    assert status.confirmations == 1
    assert Tx.parse(status.raw) == tx
    assert node.getblock_txids(status.block)[1] == tx.txid
    assert (
        node.getblock_transactions(status.block)[1]
        == tx.serialize()
        == node.getrawtransaction(tx.txid)
    )
    assert node.getblock(status.block)[:80] == node.getblockheader(status.block)
    coin = node.gettxout(tx.outpoint(0))
    assert (coin.sats, coin.script, coin.confirmations) == (123_456, BOB.script, 1)


def test_mempool_and_refusals(lone_node) -> None:
    node = lone_node.sync
    funded = lone_node.portal.call(lone_node.faucet.pay, [(BOB.address, 1_000_000)])
    held = funded.outputs[0]
    free = spend(BOB, funded.outpoint(0), held, TxOut(1_000_000, BOB.script))
    (answer,) = node.testmempoolaccept([free.serialize()])
    assert (answer.allowed, answer.txid) == (False, free.txid)
    assert "min relay fee" in answer.reason
    with pytest.raises(NodeError) as caught:
        node.sendrawtransaction(free.serialize())
    assert caught.value.code == VERIFY_REJECTED
    with pytest.raises(NodeError) as caught:
        node.getrawtransaction(Txid(bytes(32)))
    assert caught.value.code == NOT_FOUND

    parent = spend(BOB, funded.outpoint(0), held, TxOut(999_000, BOB.script))
    child = spend(BOB, parent.outpoint(0), parent.outputs[0], TxOut(998_000, BOB.script))
    (good,) = node.testmempoolaccept([parent.serialize()])
    assert (good.allowed, good.fee, good.vsize) == (True, 1_000, parent.vsize)
    assert set(node.submitpackage([parent.serialize(), child.serialize()])) == {
        parent.txid,
        child.txid,
    }
    assert set(node.getrawmempool()) == {parent.txid, child.txid}
    entry = node.getmempoolentry(child.txid)
    assert (entry.ancestors, entry.depends, entry.fee, entry.vsize) == (
        2,
        (parent.txid,),
        1_000,
        child.vsize,
    )
    assert node.gettxout(funded.outpoint(0)) is None
    assert node.gettxout(funded.outpoint(0), mempool=False).confirmations == 1


def test_a_reorganisation(lone_node) -> None:
    node = lone_node.sync
    tx = lone_node.portal.call(lone_node.faucet.pay, [(BOB.address, 50_000)])
    block = node.transaction_status(tx.txid).block
    node.invalidateblock(block)
    assert node.getblockcount() == 110
    assert node.getblockheader_info(block).confirmations == -1
    assert node.transaction_status(tx.txid).block is None
    node.reconsiderblock(block)
    assert node.getbestblockhash() == block


def test_waiting_for_a_block(lone_node) -> None:
    node = lone_node.sync
    tip = node.getbestblockhash()
    assert node.waitfornewblock(tip, 0.05) == tip
    (mined,) = node.generatetodescriptor(1, BOB.script)
    assert node.waitfornewblock(tip, 10) == mined


def test_the_client_outlives_a_restart_with_a_new_cookie(lone_node) -> None:
    cookie = regtest.cookie(lone_node.folder / "node")
    node, before = lone_node.sync, cookie.read_text()
    assert stat.S_IMODE(cookie.stat().st_mode) == 0o600
    assert node.getblockcount() == 110
    lone_node.backend.stop(["bitcoind"])
    with pytest.raises(Unavailable):
        node.getblockcount()
    lone_node.start()
    assert cookie.read_text() != before
    assert node.getblockcount() == 110  # the client from before


def test_the_faucet_serves_several_at_once(lone_node) -> None:
    paid: list[Tx] = []

    def ask() -> None:
        paid.append(lone_node.portal.call(lone_node.faucet.pay, [(BOB.address, 10_000)]))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tx.txid for tx in paid}) == 5
    assert all(lone_node.sync.transaction_status(tx.txid).confirmations for tx in paid)


def test_the_faucet_pays_more_than_one_coin_holds(lone_node) -> None:
    call, faucet = lone_node.portal.call, lone_node.faucet
    tx = call(faucet.pay, [(BOB.address, 12_000_000_000), (BOB.address, 330)])
    assert len(tx.inputs) == 3
    fee = 3 * 5_000_000_000 - sum(output.sats for output in tx.outputs)
    assert fee == 2 * tx.vsize
    with pytest.raises(InsufficientFunds, match="the faucet has"):
        call(faucet.pay, [(BOB.address, 100_000_000_000)])


@pytest.mark.parametrize("sats", [0, -1, 329, 21_000_001 * 10**8])
def test_the_faucet_refuses_what_cannot_be_paid(lone_node, sats) -> None:
    with pytest.raises(InvalidInput, match="amount"):
        lone_node.portal.call(lone_node.faucet.pay, [(BOB.address, sats)])


def test_D14_the_faucet_pays_on_its_own_chain_only(lone_node) -> None:
    for address in (to_address(BOB.script, "bc"), to_address(BOB.script, "tb"), "", "bcrt1x"):
        with pytest.raises(InvalidInput):
            lone_node.portal.call(lone_node.faucet.pay, [(address, 1_000)])
    with pytest.raises(InvalidInput):
        lone_node.portal.call(lone_node.faucet.mine, 0)


def test_the_reserved_outpoint_is_never_spent(lone_node) -> None:
    faucet = lone_node.faucet
    coins = lone_node.portal.call(faucet.coins)
    faucet.reserved = coins[0].outpoint
    for _ in range(12):
        tx = lone_node.portal.call(faucet.pay, [(BOB.address, 4_999_000_000)])
        assert faucet.reserved not in [spent.outpoint for spent in tx.inputs]


def test_a_spell_sized_output_and_a_chain_of_spends_are_relayed(lone_node) -> None:
    """What the design asks of the node: 1,000 bytes of OP_RETURN, 25 unconfirmed in a row."""
    funded = lone_node.portal.call(lone_node.faucet.pay, [(BOB.address, 10_000_000)])
    outpoint, held = funded.outpoint(0), funded.outputs[0]
    for _ in range(25):
        left = TxOut(held.sats - 5_000, BOB.script)
        tx = spend(BOB, outpoint, held, left, TxOut(0, op_return(bytes(1_000))))
        lone_node.sync.sendrawtransaction(tx.serialize())
        outpoint, held = tx.outpoint(0), left
    assert lone_node.sync.getmempoolentry(tx.txid).ancestors == 25
