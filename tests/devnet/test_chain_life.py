"""Life with a real chain: reorgs, transactions that vanish, long chains, fees, a node that is down.

One network of sixteen operators of its own, since blocks are undone here. After each scenario
`check_books` compares vault, units, every coin of every wallet and a fresh scan: nothing is lost.
"""

from __future__ import annotations

import re
import threading
import time

import pytest
from chain_life import Life
from plain_books import check_books, read

from grail.connection.connection import Wallet
from grail.connection.fate import CONFIRMED, LOST, OVERTAKEN, WAITING
from grail.connection.swap import SwapReceipt, pool_port
from grail.draft.draft import CARRIER, Draft, Purse
from grail.errors import (
    ChainFull,
    GrailError,
    NodeError,
    Superseded,
)
from grail.exchange.pool import draft_move, swapping
from grail.wallet.coins import Coin

pytestmark = pytest.mark.devnet

LINKS = 10
"""The length of the chain of which each link is evicted."""

NODE_SECONDS = 60.0
"""For hosts to find what a restarted node lacks; they look every few seconds."""

AUDIT_SECONDS = 30.0
"""For a host to look for anchors that are in a block."""


def test_S12_C19_reorgs_of_every_depth_to_k_undo_and_bring_back_everything(life: Life) -> None:
    """Deposits, mints, swaps and peg-outs in the blocks that are undone; operators follow."""
    waiting = [life.alice.deposit(60_000 + i) for i in range(3)]
    life.net.mine(life.k)
    receipts = []
    for depth in range(1, life.k + 1):
        if depth % 2:
            receipts.append(life.alice.peg_in(waiting.pop()))
            life.alice.deposit(70_000 + depth)
        else:
            receipts.append(life.alice.peg_out(20_000 + depth))
        receipts.append(life.swap(amount=1_000 + depth))
        life.net.mine()
        before = life.net.session.ledger.state_hash()
        reserve = life.reserve()
        life.undo(depth)
        check_books(life.net)
        assert life.net.session.ledger.state_hash() != before
        assert life.reserve() == reserve  # what was undone waits, and counts as unconfirmed
        life.branch(depth + 1)
        check_books(life.net)
        assert life.reserve() == reserve
        assert {life.net.fate(receipt).state for receipt in receipts} == {CONFIRMED}
    assert life.swap(amount=999).signers == 12
    life.net.mine()
    check_books(life.net)
    assert not life.net.lost()


def test_S12_a_branch_k_and_1_deep_without_the_deposit_takes_mint_and_all_along(life: Life) -> None:
    """The deposit is spent elsewhere in the new branch: its mint and what hung on it are gone."""
    dora = life.net.wallet("dora")
    life.net.faucet(dora, 500_000)
    coin = life.coin_of(dora)
    deposit = dora.deposit(300_000)
    life.net.mine(life.k)
    minted = dora.peg_in(deposit)
    life.net.mine()
    swapped = dora.swap(life.pool, life.net.zkbtc, 10_000)
    paid_out = dora.peg_out(50_000)
    later = life.swap(amount=1_500)  # built on dora's swap: it cannot stay without it
    honest = life.coin_of(life.alice)
    life.undo(life.k + 1)
    thief = life.pays_itself(dora, coin, 60_000)
    life.mine_only(thief)
    life.branch(life.k + 2)
    books = check_books(life.net)
    assert books.of(dora.script.hex())[0] == coin.sats - 60_000
    for receipt in (minted, swapped, paid_out, later):
        fate = life.net.fate(receipt)
        assert (fate.state, fate.by) == (LOST, thief.txid), receipt.what
        with pytest.raises(Superseded, match="can no longer confirm") as caught:
            life.net.wait(receipt)
        assert caught.value.winner == str(thief.txid)
    told = {fate.txid for fate in life.net.lost()}
    assert {r.txid for r in (minted, swapped, paid_out, later)} <= told
    assert honest.sats  # untouched by all this
    assert life.swap(amount=1_501).signers == 12
    life.net.mine()
    check_books(life.net)


def test_S23_a_swapper_who_double_spends_his_own_input_stalls_the_pool_for_one_block(
    life: Life,
) -> None:
    call, session = life.net.portal.call, life.net.session
    mallory = life.net.wallet("mallory")
    life.net.faucet(mallory, 100_000)
    life.alice.transfer(life.net.zkbtc, 10_000, mallory)
    life.net.mine()
    call(session.refresh)
    port = pool_port(session, life.pool)
    purse = Purse(session.usable(mallory.script), mallory.script, session.rate)
    move = swapping(port, life.net.zkbtc, 2_000)
    built = draft_move(session.context(), session.apps.pool, port, purse, move).prove()
    request = call(session.request, built, mallory.inner.account)
    coin = next(c for c in purse.coins if not c.charms)
    elsewhere = life.pays_itself(mallory, coin, 20_000)
    decided = call(session.sign, request)  # twelve signatures, in his pocket
    assert len(decided.signatures) == 12
    call(session.node.sendrawtransaction, elsewhere.serialize())
    height = life.net.mine()
    swapped = life.swap(amount=1_700)
    assert swapped.signers == 12
    assert life.net.height == height  # that one block was enough
    life.net.mine()
    assert life.net.fate(swapped).state == CONFIRMED
    with pytest.raises(GrailError):
        call(session.publish, decided.tx)
    check_books(life.net)


def test_S23_a_cluster_filled_up_by_a_swapper_stalls_the_pool_for_one_block(life: Life) -> None:
    """To the node's own limit: she hangs what it takes no more of on the change of her swap."""
    life.net.mine()
    mallory = life.net.wallet("mallory-hangs")
    life.net.faucet(mallory, 300_000)
    life.alice.transfer(life.net.zkbtc, 10_000, mallory)
    life.net.mine()
    begun = life.swap(mallory, 2_300)
    tx = life.net.portal.call(life.net.session.ledger.transaction, begun.txid)
    sats, vout = max((o.sats, at) for at, o in enumerate(tx.outputs) if o.script == mallory.script)
    assert sats > 50_000
    coin, hung, told = Coin(tx.outpoint(vout), tx.outputs[vout], {}), 0, ""
    while not told:
        child = life.pays_itself(mallory, coin, 300)
        try:
            life.devnet.node.sendrawtransaction(child.serialize())
        except NodeError as exc:
            told = str(exc)
        else:
            coin, hung = Coin(child.outpoint(0), child.outputs[0], {}), hung + 1
    full = r"too-large-cluster|too-long-mempool-chain"
    assert re.search(full, told)
    assert life.net.session.configuration.max_unconfirmed < hung < 100

    with pytest.raises(ChainFull, match=full) as caught:
        life.swap(amount=2_400)
    assert "mine()" in caught.value.hint
    (signed,) = life.net.session.unfinished
    timer = threading.Timer(1.0, life.devnet.node.generatetodescriptor, (1, life.alice.script))
    timer.start()
    patient = life.bob.swap(life.pool, life.net.zkbtc, 2_400, least=1, patience=60)
    timer.join()
    assert patient.txid == signed  # the same one, and no second
    assert not list(life.net.session.unfinished)
    life.net.mine()
    check_books(life.net)


def test_G12_a_swap_that_is_held_back_for_a_thousand_blocks_is_what_was_signed(life: Life) -> None:
    """Its owner publishes it when he likes: the amounts are those that he signed, nobody owes more."""
    call, session = life.net.portal.call, life.net.session
    life.net.mine()

    call(session.refresh)
    port = pool_port(session, life.pool)
    purse = Purse(session.usable(life.bob.script), life.bob.script, session.rate)
    move = swapping(port, life.net.zkbtc, 2_500)
    built = draft_move(session.context(), session.apps.pool, port, purse, move).prove()
    held = call(session.sign, call(session.request, built, life.bob.inner.account)).tx
    before = life.reserve()
    life.net.mine(1_000)
    call(session.publish, held)
    life.net.mine()
    assert life.reserve() == before + 2_500
    check_books(life.net)


def test_the_pool_takes_uses_up_to_its_limit_and_goes_on_after_a_block(life: Life) -> None:
    most = life.net.session.configuration.max_unconfirmed + 1
    life.net.mine()
    for number in range(most):
        life.swap(amount=1_100 + number)
    node = life.devnet.node
    assert len(node.getrawmempool()) == most
    assert max(node.getmempoolentry(t).ancestors for t in node.getrawmempool()) == most
    published = len(life.net.receipts)
    with pytest.raises(ChainFull, match=f"{most} unconfirmed transactions hang together") as caught:
        life.swap(amount=1_200)
    assert "mine()" in caught.value.hint
    assert len(life.net.receipts) == published  # nobody was asked
    assert not list(life.net.session.unfinished)

    # who has patience waits for the block
    timer = threading.Timer(1.0, node.generatetodescriptor, (1, life.alice.script))
    timer.start()
    patient = life.bob.swap(life.pool, life.net.zkbtc, 1_201, least=1, patience=60)
    timer.join()
    assert (
        life.net.session.ledger.unconfirmed_ancestors(
            life.net.portal.call(life.net.session.ledger.transaction, patient.txid)
        )
        == set()
    )
    life.net.mine()
    check_books(life.net)

    # the swaps' anchors are in blocks by now: a host shows its enclave all that is below them
    deadline = time.monotonic() + AUDIT_SECONDS
    while "shown for a full check" not in (said := life.devnet.logs("operator-01", 4_000)):
        assert time.monotonic() < deadline, said[-2_000:]
        time.sleep(0.2)
    assert "ALARM" not in said


@pytest.fixture(scope="module")
def holders(life: Life) -> list[Wallet]:
    """Users with one confirmed coin of sats and one of zkBTC each: links that hang on the pool alone."""
    found = [life.net.wallet(f"link-{number}") for number in range(LINKS)]

    async def endow() -> None:
        session = life.net.session
        await session.refresh()
        purse = session.purse(life.alice.script)
        token = life.net.zkbtc
        draft = Draft(session.context())
        draft.spend(*(c for c in purse.coins if c.charms and token in c.charms))
        for holder in found:
            draft.pay(holder.script, CARRIER, {token: 100_000})
        draft.keep_rest(life.alice.script, CARRIER)
        for holder in found:
            draft.pay(holder.script, 600_000)
        draft.fund(purse)
        await session.complete("gifts", draft.assemble(), life.alice.inner.account)

    life.net.portal.call(endow)
    life.net.mine()
    return found


def test_G11_each_link_of_a_chain_is_evicted_and_the_pool_goes_on(
    life: Life, holders: list[Wallet]
) -> None:
    """Its user replaces a link by a payment to himself: the link and all that hangs on it go."""
    node = life.devnet.node
    key = bytes(life.pool)[:32], bytes(life.pool)[32:]
    coins = [life.coin_of(holder) for holder in holders]
    reserves = [life.reserve()]
    links: list[SwapReceipt] = []

    def link(number: int) -> None:
        links.append(life.swap(holders[number], amount=2_000 + number))
        reserves.append(life.reserve())

    def evict(number: int) -> None:
        """Replace a link in the mempool, then confirm that alone, and use the pool again."""
        fee = sum(receipt.fee for receipt in links[number:]) + 20_000
        other = life.pays_itself(holders[number], coins[number], fee)
        node.sendrawtransaction(other.serialize())
        gone = [receipt.txid for receipt in links[number:]]
        assert set(gone).isdisjoint(node.getrawmempool())
        left = read(node, mempool=True)
        assert left.states[key][-1][1][3] == reserves[number]
        assert life.net.fate(gone[0]).state == OVERTAKEN
        life.mine_only(other)
        check_books(life.net)
        assert {life.net.fate(txid).state for txid in gone} == {LOST}
        del links[number:], reserves[number + 1 :]
        assert life.reserve() == reserves[number]
        coins[number] = life.coin_of(holders[number])

    for number in range(LINKS):
        link(number)
    evict(LINKS // 2)
    for number in range(LINKS // 2, LINKS):
        link(number)
    for number in reversed(range(LINKS)):
        evict(number)
        link(number)  # usable in the next block
    assert [life.net.fate(r).state for r in links] == [WAITING]
    life.net.mine()
    check_books(life.net)
