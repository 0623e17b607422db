"""A user in a process of his own, who says where he is at every step and waits to be told to go on.

Run as a script: `python kill_client.py FOLDER` opens the network of that state folder through the
SDK. One JSON object a line comes in (what to do), one a line goes out: {"step": name}, and then
nothing happens at all until the line "go" comes; at last {"done": ...} or {"refused": ...}. So
whoever kills can strike exactly there. A step is what leaves a trace: on disk, at the operators, in
the node, or in time (a proof). The steps are seen from outside the product: in a session,
a transport and a folder that say what passes through them and change nothing.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grail import network_file
from grail.charms.app import Contract
from grail.connection.connection import Connection, Wallet
from grail.connection.receipt import Receipt
from grail.connection.session import Session
from grail.connection.unfinished import Unfinished, UnfinishedFolder
from grail.draft.assembled import Assembled, Context
from grail.errors import GrailError, Refused
from grail.operators import frames
from grail.operators.asking import Limits
from grail.operators.frames import Frame, Reply
from grail.operators.transport import HttpTransport
from grail.portal import Portal
from grail.types import Txid

DELAY = 144
"""Blocks after which a deposit may be taken back: terms that are not the default ones."""

ANSWER_SECONDS = 30.0
"""A dead host refuses the connection at once; a machine under load may be slow."""


@dataclass(frozen=True)
class Job:
    """What a user wants, and what he had before: he looks at his balance before he repeats it.

    `amount` is in sats (peg-in) or units; `pool` is the text of a contract; `zkbtc` and `other`
    are the units that he had of zkBTC and of the pool's other token.
    """

    kind: str
    wallet: str
    amount: int
    zkbtc: int = 0
    other: int = 0
    pool: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Steps:
    """Says each step once for each job, and waits for its "go"."""

    told: bool = False
    stage: str = ""
    said: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def begin(self, *, told: bool) -> None:
        self.told, self.stage = told, ""
        self.said.clear()
        self.counts.clear()

    def at(self, what: str) -> None:
        name = f"{self.stage}{what}"
        if not self.told or name in self.said:
            return
        self.said.add(name)
        _tell(step=name)
        if sys.stdin.readline().strip() != "go":
            sys.exit(0)

    def counted(self, what: str) -> int:
        self.counts[what] = self.counts.get(what, 0) + 1
        return self.counts[what]


STEPS = Steps()
ASKED = {frames.VOTE: "vote", frames.SIGN: "signature"}


class Transport(HttpTransport):
    """The hosts over HTTP; the first answer to a question and the quorum's last one are steps."""

    quorum = 0

    async def ask(self, operator: int, frame: Frame) -> Reply:
        what = ASKED.get(frame.kind)
        if what is None:
            return await super().ask(operator, frame)
        reply = await super().ask(operator, frame)
        if reply.refusal is None:
            count = STEPS.counted(what)
            if count == 1:
                STEPS.at(f"first {what} in")
            elif count == self.quorum:
                STEPS.at(f"quorum of {what}s in")
        return reply


class Folder(UnfinishedFolder):
    """The requests on disk; keeping one and dropping it are steps."""

    def keep(self, job: Unfinished) -> Txid:
        txid = super().keep(job)
        STEPS.at("request on disk")
        return txid

    def drop(self, txid: Txid) -> None:
        super().drop(txid)
        STEPS.at("request dropped, receipt given")


class Watched(Session):
    """A session that says what it has done."""

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self.transport = Transport(self.transport.hosts)  # type: ignore[attr-defined]
        self.transport.quorum = self.configuration.quorum
        self.limits = Limits(answer=ANSWER_SECONDS)
        self.unfinished = Folder(self.file.folder / "unfinished")

    async def refresh(self) -> Context:
        context = await super().refresh()
        STEPS.at("chain read")
        return context

    async def complete(self, what: str, assembled: Assembled, *accounts: Any, **more: Any) -> Any:
        if what == "deposit":
            STEPS.at("address derived")
        return await super().complete(what, assembled, *accounts, **more)

    async def request(self, proven: Assembled, *accounts: Any) -> bytes:
        STEPS.at("proof made")
        return await super().request(proven, *accounts)

    async def publish(self, tx: Any) -> None:
        STEPS.at("transaction signed")
        await super().publish(tx)
        STEPS.at("transaction sent")


class User:
    """Does a job as a person would who may have begun it before."""

    def __init__(self, net: Connection, job: Job) -> None:
        self.net = net
        self.job = job
        self.wallet: Wallet = net.existing(job.wallet)

    def run(self) -> None:
        if self.done():
            self.wallet.retry()  # to be told of it, or the next such wish would be taken for this
        else:
            getattr(self, "_" + self.job.kind.replace("-", "_"))()
        self._confirmed()
        if not self.done():
            raise AssertionError(
                f"{self.job.kind}: all is confirmed and the balance is the old one"
            )

    def done(self) -> bool:
        held = self.wallet.balance()
        job = self.job
        if job.kind == "peg-in":
            return held.units(self.net.zkbtc) > job.zkbtc
        if job.kind == "peg-out":
            return held.units(self.net.zkbtc) == job.zkbtc - job.amount
        return held.units(self.other) > job.other

    @property
    def other(self) -> Any:
        port = self.net.pool(Contract.from_text(self.job.pool)).port
        return port.asset_b if port.asset_a == self.net.zkbtc else port.asset_a

    def _peg_in(self) -> None:
        pending = self.wallet.deposits()
        if not pending and self.wallet.retry() and self.done():
            return
        STEPS.stage = "deposit: "
        STEPS.said.add("deposit: chain read")  # it was, to see whether a deposit waits
        if not pending:
            pending = [self.wallet.deposit(self.job.amount, delay=DELAY)]
        k = self.net.session.network.k
        while (depth := self.wallet.deposits()[0].confirmations) < k:
            if depth:
                STEPS.at("one block deep")
            self.net.mine(k - depth if depth else 1)
        STEPS.at("k blocks deep")
        STEPS.stage = ""
        STEPS.counts.clear()
        self.wallet.peg_in(pending[0])

    def _swap(self) -> None:
        self.wallet.swap(Contract.from_text(self.job.pool), self.net.zkbtc, self.job.amount)

    def _peg_out(self) -> None:
        self.wallet.peg_out(self.job.amount)

    def _confirmed(self) -> None:
        """Mine until nothing of this wallet waits."""
        for _ in range(3):
            balance = self.wallet.balance().balance
            if not balance.unconfirmed:
                break
            self.net.mine()
        STEPS.at("confirmed")


def serve(folder: Path) -> None:
    """Do one job after the other until the input ends."""
    portal = Portal()
    session = portal.call(Watched.open, network_file.load(folder))
    with Connection(session, portal, shown=False) as net:
        _tell(ready=net.name)
        for line in sys.stdin:
            asked = json.loads(line)
            STEPS.begin(told=asked.pop("trace"))
            _answer(net, Job(**asked))


def _answer(net: Connection, job: Job) -> None:
    before = len(net.receipts)
    try:
        User(net, job).run()
    except GrailError as exc:
        rule = exc.rule if isinstance(exc, Refused) else ""
        _tell(refused=type(exc).__name__, rule=rule, text=str(exc)[:500])
    except Exception:  # noqa: BLE001 -- the killer wants to know of anything that is no typed error
        _tell(crashed=traceback.format_exc()[-3_000:])
    else:
        made: list[Receipt] = list(net.receipts)[before:]
        _tell(done=[receipt.what for receipt in made])


def _tell(**fields: object) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
