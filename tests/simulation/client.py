"""Users: each asks for one entry of the book through a real coordinator, until he has an answer.

He does what `grail.operators.client.collect` does, with chance of his own. Whoever meets another's
decision passes it on, as users and hosts do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

import anyio

from grail.bitcoin.tx import Tx
from grail.errors import GrailError, QuorumNotReached, Refused
from grail.operators.asking import Limits, Operators
from grail.operators.certificates import Decision, Proposal
from grail.operators.client import gather_signatures, require_alive
from grail.operators.coordinator import Coordinator
from grail.operators.messages import Scope
from grail.operators.report import Report
from grail.operators.signing_job import SigningJob
from grail.types import Txid
from simulation.book import Entry, book
from simulation.ground import Ground
from simulation.monitor import Monitor
from simulation.network import Network
from simulation.station import job_of, read
from simulation.unsafe import Unsafe

LIMITS = Limits(answer=5, opener=3, straggler=1, tries=3, base=0.2, cap=10)

SIGNED, TAKEN, OUTBID, DEAD, VANISHED, REFUSED, RUNNING = (
    "signed",
    "taken",
    "outbid",
    "dead",
    "vanished",
    "refused",
    "running",
)


@dataclass
class Client:
    """One user and his request; `outcome` is what became of it, `winner` who took his outpoint."""

    entry: Entry
    scope: Scope
    network: Network
    ground: Ground
    monitor: Monitor
    chance: Random
    start: float = 0.0
    vanishes: float | None = None
    again: bool = False
    outcome: str = RUNNING
    winner: str = ""
    attempts: int = 0
    asked: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """The whole life of this user."""
        await anyio.sleep(self.start)
        with anyio.move_on_after(self.vanishes) as life:
            await self._try(job_of(self.entry.request))
            if self.outcome == TAKEN and self.again:
                await self._rebuilt()
        if life.cancelled_caught:
            self.outcome = VANISHED

    async def _try(self, job: SigningJob) -> None:
        self.outcome = RUNNING
        self.asked.append(self.monitor.entries[job.tx.txid].name)
        while self.outcome == RUNNING:
            self.attempts += 1
            await self._attempt(job)

    async def _attempt(self, job: SigningJob) -> None:
        operators = self._operators()
        try:
            coordinator = Coordinator(operators, read, self._passed_on)
            decision = await coordinator.decide(job.proposal)
            self.monitor.decision(decision, job.proposal)
            await self._finish(operators, job, decision)
            self.outcome = SIGNED
        except QuorumNotReached as exc:
            self._told(exc.rule)
            if self.outcome == RUNNING:
                await anyio.sleep(self.chance.random())
        except Refused as exc:
            self.outcome = {"OutpointTaken": TAKEN, "InputSpent": DEAD}.get(exc.rule, "")
            if not self.outcome:
                raise Unsafe(f"I11: {self.entry.name}: refused by {exc.rule}: {exc}") from exc
            self.winner = exc.got if self.outcome == TAKEN else ""

    def _told(self, rule: str) -> None:
        """Most of those that answered say so: some rules are no use to ask again about."""
        if rule == "InputSpent":
            self.outcome = DEAD
        elif self.monitor.outbid(self.entry, signed=rule == "FeeOutOfRange"):
            self.outcome = OUTBID
        elif not self.entry.honest and rule == self.entry.refusal:
            self.outcome = REFUSED

    def _operators(self) -> Operators:
        return Operators(self.scope, self.network, LIMITS, chance=self.chance)

    async def _finish(self, operators: Operators, job: SigningJob, decision: Decision) -> Tx:
        """The signatures, and the transaction on its way to a block."""
        signatures = await gather_signatures(operators, job, decision)
        tx = job.finalised(signatures)
        self.monitor.complete(tx)
        self.ground.publish(tx)
        return tx

    async def _passed_on(self, decision: Decision, other: Proposal) -> None:
        """Finish what was decided for another, as the operators' hosts would (S17)."""
        self.monitor.decision(decision, other)
        operators = self._operators()
        while other.body:
            apart = replace(operators, report=Report())
            try:
                await self._finish(apart, job_of(other.body), decision)
            except GrailError as exc:
                require_alive(apart)
                rule = exc.rule if isinstance(exc, QuorumNotReached | Refused) else ""
                if rule == "FeeOutOfRange" or self.monitor.served(other.family):
                    return  # a raise of it was signed, or somebody else has finished it
                await operators.pause(5)
            else:
                return

    async def _rebuilt(self) -> None:
        """Ask for the entry that is built on the winner's outputs, where the book has one."""
        winner = self.monitor.entries[Txid.from_hex(self.winner)]
        child = book().get(f"{winner.name}'")
        parent = self.monitor.finished.get(winner.tx.txid)
        if child is not None and parent is not None:
            await self._try(job_of(child.requested(parent)))
