"""A full mempool and full disks on a real node and real hosts: said, waited for, and gone on with."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from chain_life import Life, fill
from plain_books import check_books

from grail.bitcoin.script import op_return
from grail.bitcoin.tx import Tx, TxIn
from grail.connection.connection import Wallet
from grail.connection.fate import CONFIRMED, DROPPED, WAITING
from grail.connection.swap import pool_port
from grail.errors import InvalidInput, NodeError, QuorumNotReached, Unavailable
from grail.exchange.pool import draft_move, swapping
from grail.operators.asking import Limits
from grail.types import Sats, Txid, TxOut
from grail_devnet.faucet import Faucet

pytestmark = pytest.mark.devnet

NODE = "bitcoind"

SECONDS = 60.0
"""For hosts to look again: they do every few seconds."""

FILLERS = 54
"""Of 99,000 bytes each: more than the smallest mempool holds."""

FILLER_RATE = 10
"""sat/vB: five times what the wallets pay where nobody bids."""

FILLER_COIN = 2_000_000


def mempool(life: Life) -> set[Txid]:
    return set(life.devnet.node.getrawmempool())


def settle(life: Life) -> None:
    """All that was sent so far in a block."""
    life.net.portal.call(life.net.session.refresh)
    life.net.mine()


def start_again(life: Life, options: str = "") -> None:
    """Kill the node and start it with these options in its own file."""
    life.devnet.kill(NODE)
    (life.devnet.folder.node / "bitcoin.conf").write_text(f"[regtest]\n{options}")
    life.devnet.restart(NODE)


@pytest.fixture
def small_mempool(life: Life) -> Iterator[None]:
    """The node with the least mempool there is, of which transactions expire in an hour."""
    start_again(life, "maxmempool=5\nmempoolexpiry=1\n")
    yield
    start_again(life)


@pytest.fixture(scope="module")
def fillers(life: Life) -> list[Tx]:
    """Transactions that fill a small mempool, each with a confirmed coin of its own."""
    call = life.net.portal.call
    faucet = Faucet.open(
        life.net.session.node, life.net.session.file.folder, life.net.session.network.grail_outpoint
    )
    account = faucet.account
    paid = call(faucet.pay, [(account.address, FILLER_COIN)] * FILLERS)
    data = TxOut(Sats(0), op_return(bytes(99_000)))
    made = []
    for index, held in enumerate(paid.outputs[:FILLERS]):
        bare = Tx(2, (TxIn(paid.outpoint(index)),), (data, TxOut(Sats(1_000), account.script)))
        fee = FILLER_RATE * account.sign(bare, [held], 0).vsize
        change = TxOut(Sats(FILLER_COIN - fee), account.script)
        made.append(account.sign(Tx(2, bare.inputs, (data, change)), [held], 0))
    return made


@pytest.fixture
def carol(life: Life) -> Wallet:
    """A user whose coins no other test touches."""
    return endowed(life, "carol")


@pytest.fixture
def dora(life: Life) -> Wallet:
    """Another one."""
    return endowed(life, "dora")


def endowed(life: Life, name: str) -> Wallet:
    """A user with sats in three coins and zkBTC; change that waits is no operator's input."""
    wallet = life.net.wallet(name)
    for _ in range(3):
        life.net.faucet(wallet, 500_000)
    life.alice.transfer(life.net.zkbtc, 100_000, wallet)
    life.net.mine()
    return wallet


def crowd_out(life: Life, fillers: Sequence[Tx], *txids: Txid) -> None:
    """Send fillers until the node itself evicts these."""
    for filler in fillers:
        try:
            life.devnet.node.sendrawtransaction(filler.serialize())
        except NodeError as exc:
            if "mempool full" not in str(exc):  # the last one may fall out again itself
                raise
        if mempool(life).isdisjoint(txids):
            return
    raise AssertionError("the mempool holds all of it")


def mine_ours(life: Life, fillers: Sequence[Tx]) -> None:
    """A block with all that waits but the fillers, which go on filling the mempool."""
    node = life.devnet.node
    ours = sorted(
        mempool(life) - {filler.txid for filler in fillers},
        key=lambda txid: node.getmempoolentry(txid).ancestors,
    )
    life.mine_only(*(Tx.parse(node.getrawtransaction(txid)) for txid in ours))


def until(found: Callable[[], bool], otherwise: str) -> None:
    """Wait until something is found."""
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)


def said(life: Life, text: str) -> int:
    """How often hosts have said so."""
    hosts = [f"{operator.name}/host" for operator in life.devnet.file.operators]
    return sum(life.devnet.logs(host, 10_000).count(text) for host in hosts)


@pytest.mark.usefixtures("small_mempool")
def test_G11_what_a_full_mempool_evicts_is_named_and_raised_by_a_child(
    life: Life, carol: Wallet, dora: Wallet, fillers: list[Tx]
) -> None:
    net, node = life.net, life.devnet.node
    settle(life)
    first, second = life.swap(amount=1_601), life.swap(life.alice, amount=1_602)
    paid = carol.pay(50_000, life.bob)
    on_it = carol.pay(1_300_000, life.bob)  # out of all her coins, that change too
    crowd_out(life, fillers, first.txid, second.txid, paid.txid, on_it.txid)
    with pytest.raises(InvalidInput, match="what hangs on it"):
        carol.raise_fee(paid, 15)

    fate = net.fate(first)
    assert fate.state == DROPPED
    assert "min fee not met" in fate.why
    assert f"{FILLER_RATE + 1} sat/vB or more" in fate.why
    assert "raise its fee, or wait" in fate.why
    fate = net.fate(second)
    assert fate.state == DROPPED
    assert f"it hangs on {first.txid}" in fate.why
    told = f"{first.txid} is not taken again: sendrawtransaction: mempool min fee"
    until(lambda: said(life, told) > 0, "no host says so")
    check_books(net)

    # Others pay what the node takes now, and no coin of a transaction that waits for room.
    early = dora.pay(1_000, life.bob)
    assert early.fee > FILLER_RATE * early.vsize
    held = {txin.outpoint for each in (first, second) for txin in _kept(life, each.txid).inputs}
    usable = {c.outpoint for c in net.session.usable(life.bob.script)}
    assert held.isdisjoint(usable)

    # A child pays for both, the lowest first.
    with pytest.raises(InvalidInput, match="which the node dropped too") as caught:
        life.alice.raise_fee(second, 15)
    assert "that one first" in caught.value.hint
    for owner, receipt in ((life.bob, first), (life.alice, second)):
        assert net.fate(receipt).state == DROPPED
        child = owner.raise_fee(receipt, 15)
        assert {receipt.txid, child.txid} <= mempool(life)
        assert receipt.fee + child.fee >= 15 * (receipt.vsize + child.vsize)
    assert life.swap(dora, amount=1_603).signers == 12  # the pool goes on, at the price of now
    mine_ours(life, fillers)
    assert {net.fate(each).state for each in (first, second, early)} == {CONFIRMED}
    check_books(net)
    assert {net.fate(each).state for each in (paid, on_it)} == {DROPPED}  # they wait
    assert node.getmempoolinfo().least > 2_000
    last = life.swap(dora, amount=1_604)
    mine_ours(life, fillers)
    assert net.fate(last).state == CONFIRMED
    check_books(net)

    start_again(life)  # and now there is room
    assert {net.fate(each).state for each in (paid, on_it)} == {WAITING}
    net.mine()
    assert net.session.rate == 2
    check_books(net)


def _kept(life: Life, txid: Txid) -> Tx:
    sent = life.net.session.outbox.get(txid)
    assert sent is not None
    return sent.tx


@pytest.mark.usefixtures("small_mempool")
def test_G11_what_was_evicted_or_expired_is_sent_again_when_there_is_room(
    life: Life, fillers: list[Tx]
) -> None:
    net, node = life.net, life.devnet.node
    settle(life)
    expiring = life.swap(amount=1_611)
    late = int(time.time()) + 2 * 3_600
    node.call("setmocktime", late)
    node.sendrawtransaction(fillers[0].serialize())  # a node looks for what is old then
    assert net.fate(expiring).state == WAITING
    assert int(node.call("getmempoolentry", str(expiring.txid))["time"]) >= late
    node.call("setmocktime", 0)
    other = life.swap(life.alice, amount=1_612)
    crowd_out(life, fillers[1:], expiring.txid, other.txid)
    assert {net.fate(each).state for each in (expiring, other)} == {DROPPED}
    check_books(net)
    start_again(life)
    until(lambda: mempool(life) >= {expiring.txid, other.txid}, "no host sent them again")
    net.mine()
    assert {net.fate(each).state for each in (expiring, other)} == {CONFIRMED}
    assert life.swap(amount=1_613).signers == 12
    net.mine()
    check_books(net)


# ---- disks


@contextmanager
def own_disk(folder: Path, size: str) -> Iterator[None]:
    """A folder on a file system of its own for a while; what is in it moves there and back."""
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.copytree(folder, aside, symlinks=True)
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if mount else None
    if done is None or done.returncode:
        shutil.rmtree(aside)
        pytest.skip(f"no mount here: {done.stderr.strip() if done else 'the command is missing'}")
    try:
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(aside)
        yield
        shutil.copytree(folder, aside, symlinks=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(aside)


def request_of(life: Life, units: int) -> bytes:
    """A signing request for bob's swap that nobody was asked to sign."""
    session, call = life.net.session, life.net.portal.call
    call(session.refresh)
    purse = session.purse(life.bob.script)
    move = swapping(pool_port(session, life.pool), life.net.zkbtc, units)
    port = pool_port(session, life.pool)
    built = draft_move(session.context(), session.apps.pool, port, purse, move).prove()
    request: bytes = call(session.request, built, life.bob.inner.account)
    return request


def test_D18_a_node_without_disk_stops_and_goes_on_when_there_is_room(life: Life) -> None:
    net, session, call = life.net, life.net.session, life.net.portal.call
    devnet, folder = life.devnet, life.devnet.folder.node
    settle(life)
    devnet.kill(NODE)
    with own_disk(folder, "96m"):
        devnet.restart(NODE)
        swapped = life.swap(life.alice, amount=1_621)
        request = request_of(life, 1_622)
        filler = fill(folder)
        devnet.node.call("mockscheduler", 300)  # it looks every five minutes
        ended = f"{NODE}/{NODE}"
        until(lambda: devnet.backend.exit_code(ended) is not None, "it runs on without disk")
        assert "lack of disk space" in devnet.logs(NODE, 200)
        published = len(net.receipts)
        for wish in (lambda: life.swap(amount=1_623), lambda: life.bob.pay(1_000, life.alice)):
            with pytest.raises(Unavailable, match="node http") as caught:
                wish()
            assert "is the node up?" in caught.value.hint
        session.limits = Limits(answer=5.0)
        with pytest.raises(QuorumNotReached, match="0 of 12 operators voted") as asked:
            call(session.sign, request)
        session.limits = Limits()
        assert sum("503" in said for said in asked.value.replies.values()) == 16
        assert len(net.receipts) == published
        with pytest.raises(Unavailable, match="bitcoind ended at its start"):
            devnet.restart(NODE)
        filler.unlink()
        devnet.restart(NODE)
        assert net.fate(swapped).state == WAITING
        call(session.publish, call(session.sign, request).tx)
        net.mine()
        check_books(net)
        devnet.kill(NODE)
    devnet.restart(NODE)
    assert net.fate(swapped).state == CONFIRMED
    assert life.swap(amount=1_624).signers == 12
    net.mine()
    check_books(net)


IN_MEMORY = "what was decided is in memory only"


def test_D18_hosts_without_disk_sign_and_finish_from_memory_and_say_so_once(life: Life) -> None:
    """The journal is for the time after a kill: a signature never promised that it is written."""
    net, session, call = life.net, life.net.session, life.net.portal.call
    settle(life)
    hosts = [f"{operator.name}/host" for operator in life.devnet.file.operators]
    folder = life.devnet.folder.path / "hosts"
    journals = [life.devnet.folder.journal(o.name) for o in life.devnet.file.operators]

    def written() -> list[Path]:
        return [path for journal in journals for path in journal.iterdir()]

    with own_disk(folder, "16m"):
        for path in written():  # what is in blocks: dropped later, it would make room
            path.unlink(missing_ok=True)
        filler = fill(folder)
        kept = said(life, IN_MEMORY)
        left = call(session.sign, request_of(life, 1_631)).tx  # and its user goes away
        until(lambda: said(life, IN_MEMORY) >= kept + 12, "the hosts say nothing")
        until(lambda: not written(), "something is written")  # one may be trying just now
        until(lambda: left.txid in mempool(life), "no host finished it from memory")
        assert life.swap(amount=1_632).signers == 12
        assert said(life, IN_MEMORY) - kept <= 16  # once each
        filler.unlink()
        again = call(session.sign, request_of(life, 1_633)).tx
        found = written()
        assert len({path.parent for path in found}) >= 12
        assert all(path.stat().st_size and not path.name.startswith(".") for path in found)
        until(lambda: said(life, "what was decided is on disk again") >= 12, "no word of room")
        # What is on disk again outlives every host.
        for host in hosts:
            life.devnet.kill(host)
        for host in hosts[:13]:
            life.devnet.restart(host)
        until(lambda: again.txid in mempool(life), "no host went on with it")
    for host in hosts[13:]:
        life.devnet.restart(host)
    net.mine()
    assert life.swap(amount=1_634).signers == 12
    net.mine()
    check_books(net)
