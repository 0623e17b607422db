"""The main job: demo, processes, refusals, failures, rivals, the wheel, and what it all costs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from grail.apps.compiler import CompiledApp
from grail.charms.app import Contract
from grail.connection.connection import Connection, Wallet, connect
from grail.connection.swap import pool_port
from grail.draft.draft import Purse
from grail.errors import GrailError, QuorumNotReached, Refused
from grail.exchange.pool import draft_move, swapping
from grail.operators.asking import Limits
from grail_devnet import attacks
from grail_devnet.devnet import Devnet
from grail_devnet.enclave_socket import SocketTransport

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 50
GONE_SECONDS = 5.0


@contextlib.contextmanager
def own_state() -> Iterator[None]:
    """An empty state folder, so that networks of the machine's user are not touched."""
    before = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory(prefix="g") as folder:
        os.environ["XDG_STATE_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_STATE_HOME"]
            else:
                os.environ["XDG_STATE_HOME"] = before


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def demo() -> str:
    """The demo's own last words."""
    with own_state():
        done = run(sys.executable, str(ROOT / "examples" / "demo.py"))
    difference = re.findall(r"^difference (-?\d+) sat$", done.stdout, re.MULTILINE)
    refused = re.findall(r"refused as they must be: (\d of \d)", done.stdout)
    text = f"demo ends with difference {difference} sat, refused {refused}, exit {done.returncode}"
    assert (difference, refused, done.returncode) == (["0"], ["7 of 7"], 0), (
        f"{text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    seconds = re.findall(r"([\d.]+) s in all", done.stdout)
    return f"difference 0 sat, refused as they must be 7 of 7, exit 0, {seconds[0]} s"


# ---- processes


def _grail(*arguments: str) -> dict[str, Any]:
    code = "from grail.cli import main; main()"
    done = run(sys.executable, "-c", code, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _processes(status: dict[str, Any]) -> list[psutil.Process]:
    parts = [o[part] for o in status["operators"] for part in ("enclave", "host")]
    assert {part["state"] for part in parts} == {"running"}
    found = [psutil.Process(part["pid"]) for part in (*parts, status["node"]["process"])]
    assert len({process.pid for process in found}) == len(found)
    return found


def _gone(processes: list[psutil.Process]) -> float:
    begun = time.monotonic()
    _, left = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    assert not left, f"left behind: {left}"
    return time.monotonic() - begun


def processes() -> str:
    """Up, status, down; up again, and kill -9 of the manager."""
    with own_state():
        begun = time.monotonic()
        _grail("devnet", "up")
        ready = time.monotonic() - begun
        status = _grail("devnet", "status")
        found = _processes(status)
        managers = {process.parent() for process in found if process.parent()}
        _grail("devnet", "down")
        down = _gone([*found, *(m for m in managers if m and m.pid != 1)])
        _grail("devnet", "up")
        found = _processes(_grail("devnet", "status"))
        manager = next(p for p in found[0].parents() if "grail_devnet" in " ".join(p.cmdline()))
        manager.send_signal(signal.SIGKILL)
        killed = _gone([*found, manager])
        with contextlib.suppress(AssertionError):
            _grail("devnet", "down")
    own = [o[part]["memory"] for o in status["operators"] for part in ("enclave", "host")]
    return (
        f"{len(status['operators'])} operators, {len(own)} processes and the node; none left "
        f"{down:.1f} s after down, {killed:.1f} s after kill -9 of the manager; "
        f"up in {ready:.1f} s with the deploy (design: 6 s to ready); memory "
        f"{status['memory'] / 1e6:.0f} MB in all (1,000), {statistics.mean(own) / 1e6:.0f} MB a process (37)"
    )


# ---- a market to play in


@dataclass
class Market:
    """A network with two users, a second token and a pool."""

    devnet: Devnet
    net: Connection
    alice: Wallet
    bob: Wallet
    pool: Contract
    sockets: SocketTransport

    @property
    def names(self) -> list[str]:
        """The operators' names, in the order of the roster."""
        operators = sorted(self.devnet.file.operators, key=lambda operator: operator.key)
        return [operator.name for operator in operators]


@contextlib.contextmanager
def market() -> Iterator[Market]:
    """Two users with sats and zkBTC, and a pool of zkBTC and TOK."""
    with own_state(), Devnet(progress=lambda _: None) as devnet:
        operators = sorted(devnet.file.operators, key=lambda operator: operator.key)
        sockets = SocketTransport([operator.socket for operator in operators])
        with connect(devnet.file, progress=False) as net:
            alice, bob = net.wallet("alice"), net.wallet("bob")
            net.faucet(alice, 30_000_000)
            net.faucet(bob, 10_000_000)
            deposit = alice.deposit(20_000_000)
            net.mine(6)
            alice.peg_in(deposit)
            net.mine()
            alice.transfer(net.zkbtc, 5_000_000, bob)
            token = alice.issue(10**12, "TOK").token
            pool = alice.create_pool(net.zkbtc, 10_000_000, token, 10**11, name="POOL").pool
            net.mine()
            yield Market(devnet, net, alice, bob, pool, sockets)


def refusals() -> str:
    """The refusals, by bytes at every enclave's socket, each signed."""
    with market() as m:
        call, session, give = m.net.portal.call, m.net.session, m.net.zkbtc
        thief = m.bob.inner.account
        deposit = m.alice.deposit(500_000)
        m.net.mine(6)
        port = call(_port, session, m.pool)
        honest = draft_move(
            session.context(),
            session.apps.pool,
            port,
            Purse(session.usable(m.bob.script), m.bob.script, session.rate),
            swapping(port, give, 2_000),
        ).prove()
        request = call(session.request, honest, thief)
        made = [
            call(attacks.greedy_swap, session, thief, m.pool, give, 10_000),
            call(attacks.replayed_proof, session, thief, m.pool, give, 10_000),
            call(attacks.inflated_mint, session, deposit),
            call(attacks.diverted_mint, session, deposit, thief),
            call(attacks.claimed_mint, session, deposit, thief),
            call(attacks.unproven_move, session, thief, m.pool),
            call(attacks.undecided, session, request, m.sockets),
        ]
        expected = [
            "ProofInvalid",
            "ProofInvalid",
            "TurnstileBroken",
            "RowPayee",
            "UnknownGuard",
            "ProofMissing",
            "NotDecided",
        ]
        assert [attack.rule for attack in made] == expected
        lines = []
        for attack in made:
            verdict = call(attacks.ask, session, attack, m.sockets, 16)
            assert verdict.refused, f"{attack.title}: {verdict.others} {verdict.refusals}"
            assert len(verdict.refusals) == 16
            lines.append(attack.rule)
        return "signed by 16 of 16 enclaves each: " + ", ".join(lines)


async def _port(session: Any, pool: Contract) -> Any:
    await session.refresh()
    return pool_port(session, pool)


def failures() -> str:
    """Four enclaves killed, a fifth stopped, and let go again."""
    with market() as m:
        names = m.names
        dead, stopped = names[:4], names[4]
        for name in dead:
            m.devnet.kill(f"{name}/enclave")
        swapped = m.bob.swap(m.pool, m.net.zkbtc, 10_000)
        assert swapped.signers == 12
        assert set(swapped.absent) == set(dead)
        m.net.mine()
        m.devnet.pause(f"{stopped}/enclave")
        m.net.session.limits = Limits(answer=3.0)
        try:
            m.bob.swap(m.pool, m.net.zkbtc, 10_000)
        except QuorumNotReached as exc:
            said = str(exc.detail)
            assert said.startswith("11 of 12"), said
        else:
            raise AssertionError("a swap with 11 operators up completed")
        m.devnet.resume(f"{stopped}/enclave")
        m.net.session.limits = Limits()
        again = m.bob.swap(m.pool, m.net.zkbtc, 10_000)
        assert again.signers == 12
        return (
            f"4 enclaves killed: the swap completes, absent {sorted(swapped.absent)}; "
            f"a fifth stopped: {said.split(';', 1)[0]}; continued: completes"
        )


def rivals() -> str:
    """Two rival spends of one pool's output at once, many times."""
    found: Counter[str] = Counter()
    took = []
    with market() as m, connect(m.devnet.file, progress=False) as other:
        sides = [(m.net, m.alice), (other, other.wallet("bob"))]
        for round_ in range(ROUNDS):
            if round_ % 5 == 0:
                m.net.mine()
            requests = [_rival(net, wallet, m.pool, 1_000 + round_) for net, wallet in sides]
            begun = time.monotonic()
            with ThreadPoolExecutor(2) as both:
                signed = list(both.map(_signed, (net for net, _ in sides), requests))
            took.append(time.monotonic() - begun)
            good = [s for s in signed if not isinstance(s, GrailError)]
            lost = [s for s in signed if isinstance(s, GrailError)]
            found["one" if len(good) == 1 else "both" if good else "neither"] += 1
            assert all(isinstance(exc, Refused) for exc in lost), lost
            for winner in good:
                m.net.portal.call(m.net.session.publish, winner.tx)
    text = (
        f"completed {found['one']} of {ROUNDS}, both {found['both']}, neither {found['neither']}; "
        f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s"
    )
    assert found["one"] == ROUNDS, text
    return text


def _signed(net: Connection, request: bytes) -> Any:
    """The signatures, or the error that stood in their way."""
    try:
        return net.portal.call(net.session.sign, request)
    except GrailError as exc:
        return exc


def _rival(net: Connection, wallet: Wallet, pool: Contract, amount: int) -> bytes:
    """A proven request for a swap on the pool's newest output."""
    session = net.session
    port = net.portal.call(_port, session, pool)
    purse = Purse(session.usable(wallet.script), wallet.script, session.rate)
    move = swapping(port, net.zkbtc, amount)
    proven = draft_move(session.context(), session.apps.pool, port, purse, move).prove()
    return bytes(net.portal.call(session.request, proven, wallet.inner.account))


def wheel() -> str:
    """The wheel in an empty environment, and the notebook run there."""
    with tempfile.TemporaryDirectory() as folder:
        built = run(
            *(str(ROOT / ".tools/bin/uv"), "build", "--quiet", "--wheel", "--no-build-isolation"),
            *("--python", sys.executable, "--out-dir", folder, str(ROOT)),
        )
        assert built.returncode == 0, built.stderr
        (made,) = Path(folder).glob("*.whl")
        home = Path(folder) / "empty"
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        got = run(str(python), "-m", "pip", "install", "--quiet", f"{made}[notebook]", "nbclient")
        assert got.returncode == 0, got.stderr
        where = run(str(python), "-c", "import grail; print(grail.__file__)", cwd=folder)
        assert str(home) in where.stdout, where
        code = (ROOT / "tests" / "acceptance" / "run_notebook.py").read_text()
        begun = time.monotonic()
        done = run(
            str(python), "-c", code, str(ROOT / "notebooks"), folder, cwd=folder,
            env={**os.environ, "PYTHONPATH": "", "PATH": f"{home / 'bin'}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        size = made.stat().st_size / 1e6
        return (
            f"{made.name} ({size:.1f} MB) installs in an empty environment; "
            f"the notebook runs there in {time.monotonic() - begun:.0f} s"
        )


# ---- figures


@dataclass(frozen=True)
class Proved:
    """What one proof was made from."""

    app: CompiledApp
    action: str
    arguments: tuple[Any, ...]


@contextlib.contextmanager
def recorded() -> Iterator[dict[str, Proved]]:
    """The inputs of the last proof of each action that this process makes."""
    found: dict[str, Proved] = {}
    prove = CompiledApp.prove

    def recording(self: CompiledApp, action: str, *arguments: Any) -> bytes:
        found[f"{self.name} {action}"] = Proved(self, action, arguments)
        return prove(self, action, *arguments)

    CompiledApp.prove = recording  # type: ignore[method-assign]
    try:
        yield found
    finally:
        CompiledApp.prove = prove  # type: ignore[method-assign]


def figures() -> str:
    """Circuits, proving and verifying, the swap beside snarkjs, and how long a swap takes."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from steps import compare

    with recorded() as proofs, market() as m:
        took = []
        for amount in range(10_000, 10_007):
            begun = time.monotonic()
            m.bob.swap(m.pool, m.net.zkbtc, amount)
            took.append(time.monotonic() - begun)
        m.alice.add(m.pool, 100_000, 10**9)
        m.net.mine()
        m.bob.peg_out(150_000)
        signing = statistics.median(r.signing_seconds for r in m.net.receipts if r.what == "swap")
    lines = ["", f"  {'action':16} {'constraints':>11} {'prove ms':>9} {'CPU':>7} {'verify ms':>9}"]
    results = {}
    for name, proved in proofs.items():
        circuit = proved.app.circuits[proved.action]
        inputs = circuit.inputs(*proved.arguments, *([{}] * (3 - len(proved.arguments))))
        results[name] = result = compare(
            name,
            circuit.r1cs,
            program=circuit.program,
            inputs=inputs,
            beside_snarkjs=name == "Pool swap",
        )
        ours = result.ours
        lines.append(
            f"  {name:16} {circuit.constraints:11,} {ours['prove'].wall * 1e3:9.0f} "
            f"{ours['prove'].cpu * 1e3:7.0f} {ours['verify'].wall * 1e3:9.2f}"
        )
    swap = results["Pool swap"]
    assert swap.constraints < 4096
    assert swap.ratio("prove"), f"no snarkjs: {swap.missing}"
    lines.append("  " + str(swap).replace("\n", "\n  "))
    lines.append("  (design: a swap under 4,096 constraints, proof 200 ms, check 1.5 ms)")
    lines.append(
        f"  swap from request to broadcast: median {statistics.median(took):.2f} s of "
        f"{len(took)}, signing {signing:.2f} s of it (design: 1 s)"
    )
    return "\n".join(lines)


PROMISES: dict[str, Callable[[], str]] = {
    "demo": demo,
    "processes": processes,
    "refusals": refusals,
    "failures": failures,
    "rivals": rivals,
    "wheel": wheel,
    "figures": figures,
}
"""In the order of the issue."""
