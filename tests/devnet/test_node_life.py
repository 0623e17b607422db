"""The node forgets, is killed, runs out of disk; fees are raised: on a real node, nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chain_life import Life, fill
from plain_books import check_books

from grail.bitcoin.tx import Tx
from grail.connection.connection import Connection, Wallet, connect
from grail.connection.fate import CONFIRMED, WAITING
from grail.connection.swap import pool_port
from grail.errors import (
    InsufficientFunds,
    InvalidInput,
    NodeError,
    QuorumNotReached,
    Unavailable,
)
from grail.exchange.pool import draft_move, swapping
from grail.operators.asking import Limits
from grail.operators.client import Collected
from grail.types import Txid

pytestmark = pytest.mark.devnet

NODE = "bitcoind"

SECONDS = 90.0
"""For hosts to find what a restarted node lacks: they look every few seconds."""


def mempool(life: Life) -> set[Txid]:
    return set(life.devnet.node.getrawmempool())


def until_waiting(life: Life, *wanted: Txid) -> None:
    deadline = time.monotonic() + SECONDS
    while not mempool(life) >= set(wanted):
        assert time.monotonic() < deadline, f"not sent again: {set(wanted) - mempool(life)}"
        time.sleep(0.2)


def until_signed(life: Life, request: bytes) -> Collected:
    """A node that has just started is slow to answer where there is little CPU: asked again then."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return life.net.portal.call(life.net.session.sign, request)
        except QuorumNotReached as exc:
            if time.monotonic() >= deadline:
                exc.add_note(str(exc.replies))
                raise
            time.sleep(0.2)


def test_G11_what_a_restarted_node_forgot_is_sent_again_by_sdk_and_by_hosts(life: Life) -> None:
    net = life.net
    net.mine()
    first, second = life.swap(amount=1_301), life.swap(life.alice, amount=1_302)
    paid = life.alice.pay(50_000, life.bob)
    assert mempool(life) == {first.txid, second.txid, paid.txid}

    # The hosts saw both swaps waiting; they publish them again by themselves.
    time.sleep(4)
    life.devnet.kill(NODE)
    life.devnet.restart(NODE)
    until_waiting(life, first.txid, second.txid)

    # The payment needs no operator: only its own wallet's programs have it.
    life.devnet.kill(NODE)
    life.devnet.restart(NODE)
    assert net.fate(paid).state == WAITING
    assert net.fate(second).state == WAITING
    assert mempool(life) >= {first.txid, second.txid, paid.txid}

    # A later program of the same user does as well.
    life.devnet.kill(NODE)
    life.devnet.restart(NODE)
    with connect(net.session.file, progress=False) as later:
        assert later.fate(paid).state == WAITING
    net.mine()
    assert {net.fate(each).state for each in (first, second, paid)} == {CONFIRMED}
    check_books(net)


def test_a_node_that_is_down_is_said_and_all_goes_on_when_it_is_back(life: Life) -> None:
    net, session, call = life.net, life.net.session, life.net.portal.call
    call(session.refresh)
    port = pool_port(session, life.pool)
    purse = session.purse(life.bob.script)
    move = swapping(port, net.zkbtc, 1_350)
    built = draft_move(session.context(), session.apps.pool, port, purse, move).prove()
    request = call(session.request, built, life.bob.inner.account)
    published = len(net.receipts)
    life.devnet.kill(NODE)
    try:
        for wish in (
            lambda: life.bob.pay(10_000, life.alice),
            lambda: life.bob.deposit(50_000),
            lambda: life.swap(amount=1_351),
            lambda: life.bob.peg_out(20_000),
            lambda: life.bob.balance(),
            lambda: net.mine(),
        ):
            with pytest.raises(Unavailable, match="node http") as caught:
                wish()
            assert not isinstance(caught.value, NodeError)
            assert "is the node up?" in caught.value.hint
        # operators say so too: none votes for what it cannot look at
        session.limits = Limits(answer=5.0)
        with pytest.raises(QuorumNotReached, match="0 of 12 operators voted") as asked:
            call(session.sign, request)
        assert sum("503" in said for said in asked.value.replies.values()) == 16
        assert len(net.receipts) == published
    finally:
        session.limits = Limits()
        life.devnet.restart(NODE)
    collected = until_signed(life, request)  # the same request, now it completes
    call(session.publish, collected.tx)
    assert life.swap(amount=1_352).signers == 12
    net.mine()
    check_books(net)


def rate(life: Life, txid: Txid) -> float:
    """sat/vB of a waiting transaction with what hangs on it, as miners count."""
    entry = life.devnet.node.call("getmempoolentry", str(txid))
    return float(entry["fees"]["chunk"] * 100_000_000 * 4 / entry["chunkweight"])


def test_a_fee_is_raised_by_a_child_of_change_or_of_charms(life: Life) -> None:
    net = life.net
    net.mine()
    deposit = life.bob.deposit(80_000)
    net.mine(life.k)
    swapped = life.swap(amount=1_401)
    assert rate(life, swapped.txid) < 3
    child = life.bob.raise_fee(swapped, 25)
    assert rate(life, swapped.txid) >= 25
    assert child.txid != swapped.txid
    assert mempool(life) == {swapped.txid, child.txid}
    with pytest.raises(InvalidInput, match="asked for 20"):
        life.bob.raise_fee(swapped, 20)
    net.mine()

    # A mint leaves its owner nothing but charmed coins: they go to himself, with sats of his.
    held = life.bob.balance().units(net.zkbtc)
    minted = life.bob.peg_in(deposit)
    units = life.bob.balance().units(net.zkbtc)
    assert units > held
    life.bob.raise_fee(minted, 30)
    assert rate(life, minted.txid) >= 30
    assert life.bob.balance().units(net.zkbtc) == units
    net.mine()
    with pytest.raises(InvalidInput, match="in a block already"):
        life.bob.raise_fee(minted, 50)
    with pytest.raises(InvalidInput, match="no transaction"):
        life.bob.raise_fee("00" * 32, 50)
    assert life.bob.balance().units(net.zkbtc) == units
    check_books(net)


def test_G9_a_fee_is_raised_by_one_narrow_replacement(life: Life) -> None:
    """The same family: only the change shrinks, and the operators sign without another ballot."""
    net = life.net
    net.mine()
    swapped = life.swap(amount=1_501)
    before = Tx.parse(life.devnet.node.getrawtransaction(swapped.txid))
    raised = life.bob.raise_fee(swapped, 15, by="replacement")
    after = Tx.parse(life.devnet.node.getrawtransaction(raised.txid))
    assert raised.signers == 12
    assert mempool(life) == {raised.txid}
    assert [i.outpoint for i in after.inputs] == [i.outpoint for i in before.inputs]
    changed = [(a, b) for a, b in zip(before.outputs, after.outputs, strict=True) if a != b]
    assert [(a.script, a.sats - b.sats) for a, b in changed] == [
        (life.bob.script, raised.fee - swapped.fee)
    ]
    assert raised.fee >= 15 * raised.vsize
    with pytest.raises(InvalidInput, match="already"):
        life.bob.raise_fee(raised, 15, by="replacement")

    # what hangs on it would be undone: then only a child will do
    life.swap(life.alice, amount=1_502)
    with pytest.raises(InvalidInput, match="hang on") as caught:
        life.bob.raise_fee(raised, 40, by="replacement")
    assert "child" in caught.value.hint
    net.mine()

    paid = life.bob.pay(30_000, life.alice)
    again = life.bob.raise_fee(paid, 12, by="replacement")
    assert mempool(life) == {again.txid}
    with pytest.raises(InsufficientFunds, match="does not pay"):
        _raise_too_far(life)
    net.mine()
    assert net.fate(again).state == CONFIRMED
    gone = life.alice.peg_out(60_000, to=life.bob)
    with pytest.raises(InvalidInput, match="no change"):
        life.alice.raise_fee(gone, 30, by="replacement")
    net.mine()
    check_books(net)


def _raise_too_far(life: Life) -> None:
    """Raise a fee out of change that is too small for it."""
    poor = life.net.wallet("poor")
    life.alice.pay(2_000, poor)
    life.net.mine()
    paid = poor.pay(330, life.alice)
    poor.raise_fee(paid, 100, by="replacement")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if mount else None
    if done is None or done.returncode:
        pytest.skip(f"no mount here: {done.stderr.strip() if done else 'the command is missing'}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_D18_a_full_disk_is_said_before_anything_is_asked_or_paid(
    life: Life, small_disk: Path
) -> None:
    """A user's own folder, on a disk without room: nothing half-written, and then all goes on."""
    shutil.copy(life.net.session.file.folder / "faucet.json", small_disk)
    file = replace(life.net.session.file, folder=small_disk)
    with connect(file, progress=False) as net:
        carol = net.wallet("carol")
        net.faucet(carol, 500_000)
        life.alice.transfer(net.zkbtc, 50_000, carol)
        net.mine()
        filler = fill(small_disk)
        before, waiting = listing(small_disk), mempool(life)
        for wish in (
            lambda: net.wallet("dave"),
            lambda: carol.pay(10_000, life.alice),
            lambda: carol.deposit(50_000, delay=200),
            lambda: carol.swap(life.pool, net.zkbtc, 5_000, least=1),
            lambda: carol.peg_out(20_000),
        ):
            with pytest.raises(Unavailable, match="No space left on device") as caught:
                wish()
            assert "make room" in caught.value.hint
        assert listing(small_disk) == before
        assert mempool(life) == waiting
        filler.unlink()
        assert_all_goes_on(life, net, carol)
    life.net.mine()
    check_books(life.net)


def assert_all_goes_on(life: Life, net: Connection, carol: Wallet) -> None:
    assert net.wallet("dave").balance().sats == 0
    deposit = carol.deposit(50_000, delay=200)
    net.mine()
    swapped = carol.swap(life.pool, net.zkbtc, 5_000, least=1)
    net.mine()
    assert net.fate(swapped).state == CONFIRMED
    assert [each.coin.outpoint for each in carol.deposits()] == [deposit.coin.outpoint]


def listing(folder: Path) -> dict[str, int]:
    """Every file with its size."""
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
