"""Networks to kill in: a client that stops at steps, a market, and what each victim's death means."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kill_books
from kill_books import Books
from kill_client import DELAY, Job

from grail.charms.app import App
from grail.connection.connection import connect
from grail.errors import Unavailable
from grail.network_file import NetworkFile
from grail_devnet.devnet import Devnet
from grail_devnet.processes import Process, ProcessBackend, python
from grail_devnet.state import StateFolder

SECONDS = 120.0
"""For any one thing that a client is told to do: it ends, well or with a typed error."""

GONE_SECONDS = 5.0
TRIES = 3
"""How often a user asks for the same again once everything is up again."""

DOWN = 4
"""Operators of 16 that may be down while the other twelve sign."""

SATS = {"peg-in": 60_000, "swap": 1_500, "peg-out": 12_000}
USERS = ("alice", "bob")


class Client:
    """A user's process: told what to do, stopped at steps, killed."""

    def __init__(self, file: NetworkFile) -> None:
        script = Path(__file__).with_name("kill_client.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(file.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._buffer = b""
        told = self._told()
        assert "ready" in told, told

    def begin(self, job: Job, *, trace: bool = True) -> None:
        """Tell it what to do."""
        self._say(json.dumps({**job.to_json(), "trace": trace}))

    def until(self, step: str) -> str:
        """Let it run up to a step, where it stands; or a clean refusal that came before it."""
        while (told := self._told()).get("step") != step:
            if told.get("refused") == "QuorumNotReached":
                return str(told["text"])
            assert "step" in told, f"ended before {step!r}: {told}"
            self._say("go")
        return ""

    def go_on(self) -> dict[str, Any]:
        """Let it go on from where it stands to its end: what came of it."""
        self._say("go")
        while "step" in (told := self._told()):
            self._say("go")
        return told

    def run(self, job: Job) -> dict[str, Any]:
        """Have it do something without a stop: what came of it."""
        self.begin(job, trace=False)
        return self._told()

    def steps(self, job: Job) -> tuple[str, ...]:
        """Have it do something unharmed: the steps that it took."""
        self.begin(job)
        found = []
        while "step" in (told := self._told()):
            found.append(told["step"])
            self._say("go")
        assert "done" in told, told
        return tuple(found)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """End it in good order, if it still runs."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        try:
            self._process.wait(GONE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + SECONDS
        while b"\n" not in self._buffer:
            left = max(deadline - time.monotonic(), 0)
            ready, _, _ = select.select([self._process.stdout], [], [], left)
            assert ready, f"the client said nothing for {SECONDS:.0f} s"
            piece = os.read(self._process.stdout.fileno(), 65_536)
            assert piece, f"the client ended (exit code {self._process.wait(GONE_SECONDS)})"
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        told = dict(json.loads(line))
        assert "crashed" not in told, told["crashed"]
        return told


@dataclass
class Market:
    """Two users with sats, zkBTC and a pool, as far as an operation needs them."""

    file: NetworkFile
    books: Books
    pool: str = ""
    token: App | None = None

    @classmethod
    def opened(cls, file: NetworkFile, operation: str = "") -> Market:
        """With what one operation needs; without one, with what all need."""
        pool, token = "", None
        with connect(file, progress=False) as net:
            for name in USERS:
                net.faucet(net.wallet(name), 3_000_000)
            alice, bob = net.wallet("alice"), net.wallet("bob")
            if operation != "peg-in":
                deposit = alice.deposit(1_500_000)
                net.mine(net.session.network.k)
                alice.peg_in(deposit)
                net.mine()
                alice.transfer(net.zkbtc, 500_000, bob)
            if operation in ("", "swap"):
                token = alice.issue(10**12, "TOK").token
                pool = str(alice.create_pool(net.zkbtc, 400_000, token, 10**11).pool)
            net.mine()
        books = kill_books.read(file)
        books.check()
        return cls(file, books, pool, token)

    def job(self, operation: str, user: str) -> Job:
        """What this user does next, beside what he has now."""
        zkbtc, other = self._held(self.books, user)
        pool = self.pool if operation == "swap" else ""
        return Job(operation, user, SATS[operation], zkbtc, other, pool)

    def check(self, job: Job) -> None:
        """The books are exact, the job was done once, and all files are whole."""
        now = kill_books.read(self.file)
        now.check_since(self.books)
        zkbtc, other = self._held(now, job.wallet)
        more = zkbtc - job.zkbtc
        if job.kind == "peg-in":
            assert job.amount - 4_000 < more < job.amount, f"{more} units for {job.amount} sats"
            assert now.users[job.wallet].deposits == 0, "a deposit was left over"
        else:
            assert more == -job.amount, f"{more} units of zkBTC, expected {-job.amount}"
        if job.kind == "swap":
            assert other > job.other, "nothing came out of the pool"
        kill_books.check_folder(self.file.folder)
        self.books = now

    def _held(self, books: Books, user: str) -> tuple[int, int]:
        units = books.users[user].units
        other = 0 if self.token is None else units.get(self.token, 0)
        return units.get(books.zkbtc, 0), other


@dataclass
class Sixteen:
    """A network of 16 operators with a market, until four of its enclaves were killed."""

    folder: Path
    chance: random.Random
    refused: Counter[str]
    devnet: Devnet = field(init=False)
    market: Market = field(init=False)
    client: Client = field(init=False)
    down: list[str] = field(default_factory=list)
    turn: int = 0
    last: str = "swap"

    def __post_init__(self) -> None:
        self.devnet = Devnet("kills", folder=self.folder, progress=lambda _: None)
        try:
            self.market = Market.opened(self.devnet.file)
            self.client = Client(self.devnet.file)
        except BaseException:
            self.devnet.down()
            raise

    @property
    def spent(self) -> bool:
        """Whether no further operator may die."""
        return len(self.down) >= DOWN

    def job(self, operation: str) -> Job:
        """The next job: users take turns, so that nobody's lock can stay unseen."""
        self.turn += 1
        return self.market.job(operation, USERS[self.turn % len(USERS)])

    def steps(self, operation: str) -> tuple[str, ...]:
        """The steps of an operation, by doing it unharmed."""
        job = self.job(operation)
        steps = self.client.steps(job)
        self.market.check(job)
        return steps

    def strike(self, operation: str, step: str, victim: str) -> None:
        """Do an operation up to a step, kill, go on to its end, and look whether all is there."""
        job, self.last = self.job(operation), operation
        self._reach(job, step)
        getattr(self, f"_{victim}")(job)
        self.market.check(job)

    def _reach(self, job: Job, step: str) -> None:
        """Up to a step. With four down all others are needed, and one may be busy for too long."""
        for _ in range(TRIES):
            self.client.begin(job)
            if not (told := self.client.until(step)):
                return
            self.refused["QuorumNotReached"] += 1
        raise AssertionError(f"{step!r} not reached in {TRIES} tries: {told}")

    def settle(self) -> None:
        """Whatever was struck last, the next user is served."""
        job = self.job(self.last)
        told = self.client.run(job)
        assert "done" in told, f"{self.last} after the strikes: {told}"
        self.market.check(job)

    def close(self) -> None:
        """End it; nothing of it stays."""
        self.client.close()
        processes = self.devnet.processes()
        self.devnet.down()
        left = [process.name for process in processes if process.alive]
        assert not left, f"left behind: {left}"
        assert not self.folder.exists(), f"{self.folder} is left behind"

    def _up(self) -> str:
        names = [operator.name for operator in self.devnet.file.operators]
        return self.chance.choice([name for name in names if name not in self.down])

    def _host(self, _job: Job) -> None:
        name = f"{self._up()}/host"
        self.devnet.kill(name)
        told = self.client.go_on()
        assert "done" in told, f"twelve are up, and yet: {told}"
        self.devnet.restart(name)

    def _enclave(self, _job: Job) -> None:
        self.down.append(self._up())
        self.devnet.kill(f"{self.down[-1]}/enclave")
        told = self.client.go_on()
        assert "done" in told, f"twelve are up, and yet: {told}"

    def _node(self, job: Job) -> None:
        self.devnet.kill("bitcoind")
        told = self.client.go_on()
        self.devnet.restart("bitcoind")
        if "done" not in told:
            self.refused[told["refused"]] += 1
        self._again(job)

    def _client(self, job: Job) -> None:
        self.client.kill()
        self.client = Client(self.devnet.file)
        self._again(job)

    def _again(self, job: Job) -> None:
        """The user asks for the same again; what he has already he does not ask for."""
        for _ in range(TRIES):
            told = self.client.run(job)
            if "done" in told:
                return
            self.refused[told["refused"]] += 1
        raise AssertionError(f"not done after {TRIES} tries: {told}")


@dataclass
class Managed:
    """Networks of two operators, one after the other in one folder: their manager is killed.

    All keys die with it, so it matters little how many there were.
    """

    folder: Path
    refused: Counter[str]

    def strike(self, operation: str, step: str) -> None:
        """Do an operation up to a step, kill the manager; then all is found on the old chain."""
        manager, folder = self._up()
        try:
            file = Devnet.attach(folder=self.folder).file
            market = Market.opened(file, operation)
            job = market.job(operation, "alice")
            client = Client(file)
            client.begin(job)
            assert not (told := client.until(step)), told
            processes = ProcessBackend.attach(self.folder).processes()
        finally:
            manager.kill()
            manager.wait()
        self._gone(processes)
        told = client.go_on()
        client.close()
        if "done" not in told:
            self.refused[told["refused"]] += 1
        kill_books.check_folder(self.folder)
        try:
            Devnet.attach(folder=self.folder)
        except Unavailable:
            pass
        else:
            raise AssertionError("a network whose manager is dead was found running")
        self._salvage(market, job)
        assert folder.manager() is None

    def _up(self) -> tuple[subprocess.Popen[str], StateFolder]:
        """A manager of its own, as `grail devnet up` starts one, over what the last one left."""
        command = python("grail_devnet", "--name", "small", "--folder", str(self.folder))
        manager = subprocess.Popen(
            [*command, "--operators", "2", "--quorum", "2"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert manager.stdout is not None
        with manager.stdout:
            for line in manager.stdout:
                told = json.loads(line)
                assert "error" not in told, told
                if "ready" in told:
                    break
        return manager, StateFolder(self.folder)

    def _gone(self, processes: list[Process]) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while left := [process.name for process in processes if process.alive]:
            assert time.monotonic() < deadline, f"left after {GONE_SECONDS:.0f} s: {left}"
            time.sleep(0.01)

    def _salvage(self, market: Market, job: Job) -> None:
        """The chain is there; what needs operators is refused, the rest is its owner's."""
        with Devnet.salvage(folder=self.folder) as devnet:
            client = Client(devnet.file)
            told = client.run(job)
            client.close()
            if "done" not in told:
                assert told["refused"] == "QuorumNotReached", told
                self.refused[told["refused"]] += 1
            with connect(devnet.file, progress=False) as net:
                alice = net.wallet("alice")
                if waiting := alice.deposits():
                    net.mine(DELAY)
                    for deposit in waiting:
                        alice.recover(deposit)
                if units := alice.balance().units(net.zkbtc):
                    alice.transfer(net.zkbtc, units // 2, net.wallet("bob"))
                net.mine()
                assert alice.deposits() == []
            kill_books.read(devnet.file).check_since(market.books)
            kill_books.check_folder(self.folder)
            processes = devnet.processes()
        self._gone(processes)

    def close(self) -> None:
        """Clear away what the last one left."""
        if self.folder.exists():
            with Devnet.salvage(folder=self.folder) as devnet:
                devnet.down()
            assert not self.folder.exists(), f"{self.folder} is left behind"
