"""A whole network: up, status, faults, and nothing left behind however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from grail.bitcoin.network import REGTEST
from grail.errors import InvalidInput, NodeUnfit, Unavailable
from grail.network_file import find, networks_folder
from grail.wallet.account import Account
from grail_devnet.devnet import Devnet, end_network
from grail_devnet.processes import Process, ProcessBackend
from grail_devnet.state import StateFolder

pytestmark = [pytest.mark.devnet, pytest.mark.usefixtures("state")]

FEW = {"operators": 4, "quorum": 3, "progress": lambda _: None}
"""A network small enough to be started once a test."""

ALICE = Account.generate("alice", REGTEST)


def grail(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from grail.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def status_json(*arguments: str) -> dict:
    done = grail("devnet", "status", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def alive(processes: list[Process]) -> list[str]:
    return [process.name for process in processes if process.alive]


def wait_until_gone(processes: list[Process], seconds: float = 5) -> float:
    start = time.monotonic()
    while alive(processes):
        assert time.monotonic() < start + seconds, f"left after {seconds} s: {alive(processes)}"
        time.sleep(0.01)
    return time.monotonic() - start


def left_behind() -> list[Path]:
    return list(networks_folder().iterdir())


def test_up_status_and_down_from_the_shell() -> None:
    done = grail("devnet", "up", "--json")
    try:
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        status = status_json()
        assert status["name"] == "default"
        assert status["quorum"] == 12
        assert [o["name"] for o in status["operators"]] == [
            f"operator-{i:02}" for i in range(1, 17)
        ]
        assert len({o["key"] for o in status["operators"]}) == 16
        by_key = sorted(status["operators"], key=lambda o: o["key"])
        assert [o["rank"] for o in by_key] == list(range(16))
        pids = {status["node"]["process"]["pid"]}
        for operator in status["operators"]:
            assert (operator["error"], operator["epoch"]) == ("", 0)
            assert operator["height"] == status["node"]["height"]
            for part in ("enclave", "host"):
                assert operator[part]["state"] == "running"
                assert operator[part]["memory"] > 1_000_000
                pids.add(operator[part]["pid"])
        assert len(pids) + 2 == status["processes"] == 35
        assert status["memory"] < 1_000_000_000
        assert "no isolation" in status["isolation"]

        again = grail("devnet", "up")
        assert again.returncode == 2
        assert "running already" in again.stderr
        assert status_json()["processes"] == 35

        processes = ProcessBackend.attach(find().folder).processes()
        assert (
            "ready"
            in json.loads(grail("devnet", "logs", "operator-01", "--json").stdout)["lines"][1]
        )
        mined = json.loads(grail("devnet", "mine", "3", "--json").stdout)
        assert mined["height"] == status["node"]["height"] + 3
        paid = grail("devnet", "faucet", ALICE.address, "250000", "--json")
        assert json.loads(paid.stdout)["sats"] == 250_000
        assert grail("devnet", "kill", "operator-02").returncode == 0
        assert grail("devnet", "pause", "operator-03").returncode == 0
        status = status_json()
        assert [o["name"] for o in status["operators"] if o["error"]] == [
            "operator-02",
            "operator-03",
        ]
        assert status["processes"] == 33
    finally:
        start = time.monotonic()
        done = grail("devnet", "down")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 15  # 1.2 s, but other networks of this session run beside it
    assert alive(processes) == []
    assert left_behind() == []


@pytest.fixture
def daemon() -> Iterator[StateFolder]:
    """A small network whose manager is a process of its own."""
    command = [sys.executable, "-m", "grail_devnet", "--name", "default"]
    manager = subprocess.Popen(
        [*command, "--operators", "4", "--quorum", "3"], stdout=subprocess.PIPE, text=True
    )
    assert manager.stdout is not None
    try:
        for line in manager.stdout:
            told = json.loads(line)
            assert "error" not in told, told
            if "ready" in told:
                break
        folder = StateFolder(Path(told["folder"]))
        yield folder
    finally:
        manager.kill()
        manager.wait()
        manager.stdout.close()
    end_network(folder)


def test_D18_kill_9_of_the_manager_leaves_nothing_within_5_s(daemon) -> None:
    processes = ProcessBackend.attach(daemon.path).processes()
    assert len(alive(processes)) == len(processes) == 11
    manager = daemon.manager()
    assert manager is not None
    os.kill(manager.pid, signal.SIGKILL)
    assert wait_until_gone(processes) < 5
    done = grail("devnet", "status")
    assert (done.returncode, done.stderr.splitlines()[0]) == (4, "grail: no devnet is running")
    # What it leaves is its folder, which the next `up` or `down` clears away.
    assert left_behind() == [daemon.path]
    with Devnet("default", **FEW) as again:
        assert again.status().processes == 11
    assert left_behind() == []


def test_D18_kill_9_while_operators_are_paused_leaves_nothing(daemon) -> None:
    backend = ProcessBackend.attach(daemon.path)
    for process in backend.processes():
        backend.pause(process.name)
    manager = daemon.manager()
    assert manager is not None
    os.kill(manager.pid, signal.SIGKILL)
    wait_until_gone(backend.processes())
    assert grail("devnet", "down").returncode == 0
    assert left_behind() == []


def test_a_killed_operator_is_no_zombie(daemon) -> None:
    killed = ProcessBackend.attach(daemon.path).named("operator-02")
    assert grail("devnet", "kill", "operator-02").returncode == 0
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{process.pid}").exists() for process in killed):
        assert time.monotonic() < deadline, "a zombie stays"
        time.sleep(0.01)
    assert [o["name"] for o in status_json()["operators"] if o["error"]] == ["operator-02"]


def test_ctrl_c_while_it_starts_leaves_nothing() -> None:
    # A shell's background jobs ignore SIGINT; what somebody types into a terminal does not.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from grail.cli import main; main()"
    command = subprocess.Popen(
        [sys.executable, "-c", code, "devnet", "up"], stderr=subprocess.PIPE, text=True
    )
    assert command.stderr is not None
    for line in command.stderr:
        if "16 operators" in line:  # they are being started
            break
    processes = ProcessBackend.attach(networks_folder() / "default").processes()
    assert alive(processes)
    command.send_signal(signal.SIGINT)
    said = command.stderr.read()
    command.stderr.close()
    assert command.wait(30) == 130
    assert "Traceback" not in said
    assert alive(processes) == []
    assert left_behind() == []


def test_term_ends_the_manager_in_good_order(daemon) -> None:
    processes = ProcessBackend.attach(daemon.path).processes()
    manager = daemon.manager()
    assert manager is not None
    os.kill(manager.pid, signal.SIGTERM)
    wait_until_gone(processes)
    while daemon.path.exists():
        time.sleep(0.01)


def test_two_networks_side_by_side_and_faults_in_one() -> None:
    with Devnet("one", **FEW) as one, Devnet("two", **FEW) as two:
        assert one.configuration.network.id != two.configuration.network.id
        assert {find("one").node_url, find("two").node_url} == {
            one.file.node_url,
            two.file.node_url,
        }
        with pytest.raises(InvalidInput, match="several devnets are running: one, two"):
            Devnet.attach()
        before = one.status().node.height
        two.mine(5)
        assert one.status().node.height == before

        # The node of one dies: said in its status, an error for who needs it, the other goes on.
        one.kill("bitcoind")
        status = one.status()
        assert status.node.process.state == "dead"
        assert status.node.version.startswith("no answer")
        assert status.processes == 10
        with pytest.raises(Unavailable):
            one.mine()
        assert two.status().processes == 11
        tx = two.faucet(ALICE.address, 70_000)
        assert two.node.gettxout(tx.outpoint(0)).sats == 70_000

        # An attached view of the other, and its end from there.
        with Devnet.attach("two") as view:
            assert view.status().processes == 11
            two.cut("operator-01")
            cut = view.status().operators[0]
            assert (cut.enclave.state, cut.host.state) == ("running", "paused")
            assert cut.error
            view.resume("operator-01")
            assert view.status().operators[0].error == ""
        processes = two.processes()
        assert grail("devnet", "down", "--name", "two").returncode == 0
        assert alive(processes) == []
    assert left_behind() == []


def test_D8_D10_D17_what_a_running_network_shows_to_others() -> None:
    with Devnet(**FEW) as net:
        folder = net.file.folder
        # D8: the folder is closed, and nothing in it is open to others.
        for path in [folder, *folder.rglob("*")]:
            with contextlib.suppress(FileNotFoundError):  # the node's own files come and go
                if not path.is_symlink():
                    assert path.lstat().st_mode & 0o077 == 0, path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        # D10: no secret in any command line or environment.
        secrets = [
            net.file.token,
            net.file.node_cookie.read_text().partition(":")[2],
            json.loads((folder / "faucet.json").read_text())["secret"],
        ]
        assert all(len(secret) >= 32 for secret in secrets)
        pids = [process.pid for process in net.processes()]
        for pid in [*pids, os.getpid()]:
            for name in ("cmdline", "environ"):
                shown = Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
                assert not [secret for secret in secrets if secret in shown]
        # D4: every listening socket is on loopback, and there is one for each host and the node.
        listening = [
            connection.laddr.ip
            for pid in pids
            for connection in psutil.Process(pid).net_connections("inet")
            if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
        ]
        assert listening == ["127.0.0.1"] * 5
        # D17: the cookie is its owner's, and there is no wallet to ask.
        assert stat.S_IMODE(net.file.node_cookie.stat().st_mode) == 0o600
        with pytest.raises(Unavailable, match="Method not found"):
            net.node.call("getnewaddress")
        # D16: nobody is made to believe that this protects keys.
        assert "emulated, no isolation" in repr(net)
    assert left_behind() == []


def test_a_port_in_use_is_named_and_nothing_stays() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} of 127.0.0.1 is in use") as caught:
            Devnet("default", node_port=port, **FEW)
        assert "\n" not in str(caught.value)
        done = grail("devnet", "up", "--node-port", str(port))
        assert done.returncode == 4
        assert f"grail: bitcoind: port {port} of 127.0.0.1 is in use" in done.stderr
    assert left_behind() == []


def wrapper(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_unfit_node_is_refused_in_one_line(tmp_path, binary) -> None:
    # A real bitcoind that caps an OP_RETURN at 83 bytes, as Debian's bitcoin-knots does.
    capped = wrapper(tmp_path / "capped", f'exec "{binary}" "$@" -datacarriersize=83')
    with pytest.raises(NodeUnfit, match="relays no OP_RETURN of 1,000 bytes") as caught:
        Devnet("default", bitcoind=capped, **FEW)
    assert "\n" not in str(caught.value)
    assert "BITCOIND" in caught.value.hint
    assert left_behind() == []


def test_a_node_that_ends_at_its_start_says_why(tmp_path, binary) -> None:
    broken = wrapper(tmp_path / "broken", f'exec "{binary}" "$@" -prune=550')  # not with -txindex
    with pytest.raises(Unavailable, match=r"bitcoind ended at its start .*[Pp]rune") as caught:
        Devnet("default", bitcoind=broken, **FEW)
    assert "\n" not in str(caught.value)
    assert left_behind() == []


def test_a_quorum_that_is_not_safe_leaves_nothing() -> None:
    with pytest.raises(InvalidInput, match="more than two thirds"):
        Devnet("default", operators=4, quorum=2, progress=lambda _: None)
    assert left_behind() == []


def test_deploy_as_a_step_of_its_own() -> None:
    with Devnet(deploy=False, **FEW) as net:
        assert [operator.epoch for operator in net.status().operators] == [None] * 4
        # The faucet never spends the grail outpoint, which only the deploy may take.
        net.faucet(ALICE.address, 9_000_000_000)
        deployed = net.deploy()
        assert deployed.tx.inputs[0].outpoint == net.configuration.network.grail_outpoint
        assert net.node.transaction_status(deployed.tx.txid).confirmations == 6
        assert [operator.epoch for operator in net.status().operators] == [0] * 4
        assert deployed.constraints > 0
        with pytest.raises(InvalidInput, match="spent"):
            net.deploy()


def test_the_session_fixture_serves_tests(devnet) -> None:
    tx = devnet.faucet(ALICE.address, 100_000)
    assert devnet.node.transaction_status(tx.txid).confirmations == 1
    assert len(devnet.file.operators) == 16
