"""What was killed starts again, or is brought back: the node with its chain, a host, a network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grail.connection.connection import connect
from grail.errors import InvalidInput, QuorumNotReached, Unavailable
from grail_devnet.devnet import Devnet, end_network
from grail_devnet.processes import ProcessBackend, python
from grail_devnet.state import StateFolder

pytestmark = [pytest.mark.devnet, pytest.mark.usefixtures("state")]

FEW = {"operators": 4, "quorum": 3, "progress": lambda _: None}


def test_killed_node_has_its_chain_again() -> None:
    """Bitcoin Core writes its index of blocks once an hour: a kill -9 would lose a young chain."""
    with Devnet("node", **FEW) as net, connect(net.file, progress=False) as client:
        tip = net.node.getbestblockhash()
        tx = net.faucet(client.wallet("alice").address, 100_000)
        height = net.node.getblockcount()
        with pytest.raises(InvalidInput, match="running already"):
            net.restart("bitcoind")
        for _ in range(2):
            net.kill("bitcoind")
            with pytest.raises(Unavailable):
                client.mine()
            net.restart("bitcoind")
            assert net.node.getblockcount() == height
            assert net.node.getblockhash(height - 1) == tip
            assert net.node.transaction_status(tx.txid).confirmations == 1
        assert client.wallet("alice").balance().sats == 100_000
        assert client.mine() == height + 1


def test_killed_host_serves_again_and_an_enclave_never_does() -> None:
    with Devnet("host", **FEW) as net:
        net.kill("operator-02/host")
        assert net.status().operators[1].error
        net.restart("operator-02/host")
        assert net.status().operators[1].error == ""
        net.kill("operator-03")
        for name in ("operator-03", "operator-03/enclave"):
            with pytest.raises(InvalidInput, match="its key died with it"):
                net.restart(name)
        with pytest.raises(InvalidInput, match="no node is called"):
            net.restart("operator-09")


@pytest.fixture
def daemon() -> Iterator[StateFolder]:
    """A small network whose manager is a process of its own."""
    command = python("grail_devnet", "--name", "default", "--operators", "4", "--quorum", "3")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as manager:
        assert manager.stdout is not None
        told: dict[str, str] = {}
        while "ready" not in told:
            told = json.loads(manager.stdout.readline())
            assert "error" not in told, told
        folder = StateFolder(Path(told["folder"]))
        try:
            yield folder
        finally:
            manager.kill()
    if folder.path.exists():
        end_network(folder)


def grail(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from grail.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def die(folder: StateFolder) -> None:
    """kill -9 of the manager, and wait until the kernel has ended its children."""
    manager = folder.manager()
    assert manager is not None
    processes = ProcessBackend.attach(folder.path).processes()
    assert all(process.alive for process in processes if process.name == "bitcoind/bitcoind")
    os.kill(manager.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while folder.manager() or any(process.alive for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_manager_in_the_background_starts_and_ends_what_a_shell_asks_for(daemon) -> None:
    with Devnet.attach() as net:
        height = net.node.getblockcount()
        assert grail("devnet", "kill", "bitcoind").returncode == 0
        assert grail("devnet", "restart", "bitcoind").returncode == 0
        assert net.node.getblockcount() == height
        net.kill("operator-01/host")
        net.restart("operator-01/host")
        assert net.status().operators[0].error == ""
    done = grail("devnet", "restart", "bitcoind")
    assert (done.returncode, done.stderr) == (2, "grail: bitcoind is running already\n")
    done = grail("devnet", "restart", "operator-01/enclave")
    assert done.returncode == 2
    assert "running already" in done.stderr
    assert list(daemon.requests.iterdir()) == []
    replaced_from_the_shell(daemon)


def replaced_from_the_shell(daemon: StateFolder) -> None:
    """One operator joins in another's place, who is ended then; what is wrong starts nobody."""
    for wrong, message in {
        ("change-roster",): "nothing would change",
        ("change-roster", "--remove", "operator-09"): "no operator is called",
        ("change-roster", "--remove", "operator-02", "--quorum", "2"): "quorum 2 of 3",
        ("change-roster", "--add", "5"): "5 come in one step",
        ("retire", "operator-02"): "operator-02 is in the roster",
    }.items():
        done = grail("devnet", *wrong)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
    done = grail("devnet", "leave", "operator-02")
    assert (done.returncode, done.stdout) == (0, "operator-02 asks to leave\n"), done.stderr
    done = grail("devnet", "accept-build", "--json")
    assert (done.returncode, len(json.loads(done.stdout)["builds"])) == (0, 2), done.stderr
    replaced = ("--remove", "operator-02", "--add", "1", "--json")
    done = grail("devnet", "change-roster", *replaced)
    assert done.returncode == 0, done.stderr
    changed = json.loads(done.stdout)
    assert (changed["epoch"], changed["joined"]) == (1, ["operator-05"])
    assert (changed["left"], changed["difference"]) == (["operator-02"], 0)
    done = grail("devnet", "retire", "operator-02")
    assert (done.returncode, done.stdout) == (0, "retired operator-02\n"), done.stderr
    with Devnet.attach() as net:
        names = sorted(operator.name for operator in net.file.operators)
        assert names == ["operator-01", "operator-03", "operator-04", "operator-05"]
        assert not any(p.alive for p in net.backend.named("operator-02"))
        assert all(p.alive for p in net.backend.named("operator-05"))
    assert list(daemon.requests.iterdir()) == []


def test_salvaged_network_gives_back_coins_and_unserved_deposits(daemon) -> None:
    with connect(progress=False) as client:
        alice = client.wallet("alice")
        client.faucet(alice, 1_000_000)
        waiting = alice.deposit(300_000, delay=144)
        height = client.mine(6)
    with pytest.raises(InvalidInput, match="running already"):
        Devnet.salvage()
    die(daemon)
    with pytest.raises(Unavailable, match="no devnet is running") as caught:
        connect(progress=False)
    assert "grail devnet salvage" in caught.value.hint
    for _ in range(2):  # it may die again, and is brought back again
        done = grail("devnet", "salvage", "--json")
        assert (done.returncode, json.loads(done.stdout)["height"]) == (0, height), done.stderr
        die(daemon)
    with Devnet.salvage() as net, connect(net.file, progress=False) as client:
        alice = client.existing("alice")
        (pending,) = alice.deposits()
        assert pending.coin.outpoint == waiting.coin.outpoint
        with pytest.raises(QuorumNotReached, match="0 of 3 operators voted"):
            alice.peg_in(pending)
        assert [operator.host.state for operator in net.status().operators] == ["dead"] * 4
        client.mine(144)
        fee = alice.recover(pending).fee
        client.mine()
        paid = 1_000_000 - alice.balance().sats - fee
        assert paid == waiting_fee(client, waiting.coin.outpoint.txid)
    assert daemon.path.exists()
    with Devnet.salvage() as net:
        net.down()
    assert not daemon.path.exists()


def waiting_fee(client, txid) -> int:
    """What the deposit's own transaction cost."""
    call, ledger = client.portal.call, client.session.ledger
    tx = call(ledger.transaction, txid)
    parents = [call(ledger.transaction, txin.outpoint.txid) for txin in tx.inputs]
    spent = [p.outputs[i.outpoint.vout].sats for p, i in zip(parents, tx.inputs, strict=True)]
    return sum(spent) - sum(output.sats for output in tx.outputs)


def test_nothing_to_salvage_is_said() -> None:
    with pytest.raises(Unavailable, match="no network at"):
        Devnet.salvage("nobody")
    done = grail("devnet", "salvage", "--name", "nobody")
    assert done.returncode == 4
    assert "no network at" in done.stderr
