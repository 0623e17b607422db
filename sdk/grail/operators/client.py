"""Ask the operators for one transaction, collect a quorum of signatures, finish the witness.

The work is done by `Coordinator` (votes and ballots, up to a decision) and here (signatures). Slow,
dead and lying operators are tolerated and named: each signature is verified when it comes, and
whoever sent a bad one is left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

import anyio

from grail.bitcoin.network import Network
from grail.bitcoin.tx import Tx
from grail.errors import GrailError, Refused
from grail.operators import frames
from grail.operators.asking import Limits, Operators
from grail.operators.certificates import Decision, Proposal
from grail.operators.coordinator import Coordinator
from grail.operators.frames import Reply, Signatures
from grail.operators.messages import Scope
from grail.operators.report import Report
from grail.operators.signing_job import SigningJob, deciding
from grail.operators.transport import Transport
from grail.types import XOnlyKey

Publish = Callable[[Tx], Awaitable[None]]
"""Sends a finished transaction to a node; must not mind one that is there already."""

Connect = Callable[[Scope], AbstractAsyncContextManager[Transport]]
"""Gives the transport to the operators of a roster, in the order of their ranks."""


SIGN_ROUNDS = 3
"""How often signatures are asked for while operators say that they do not see the newest block."""


@dataclass(frozen=True)
class Collected:
    """A transaction with the witnesses of a roster's inputs, and how it came about.

    `scope` says which roster's; where younger ones have to sign as well, theirs are missing yet.
    `signatures` holds each operator's by input, `decision` is what allowed them; `seconds` is from
    the first question to the last signature.
    """

    tx: Tx
    signatures: Mapping[XOnlyKey, Mapping[int, bytes]] = field(repr=False)
    decision: Decision = field(repr=False)
    report: Report = field(repr=False)
    seconds: float
    scope: Scope = field(repr=False)


async def collect(
    job: SigningJob,
    network: Network,
    scope: Scope,
    transport: Transport,
    *,
    limits: Limits | None = None,
    publish: Publish | None = None,
) -> Collected:
    """Votes, a decision, signatures: the finished transaction, as soon as a quorum has signed.

    Another transaction that stands in the way is finished first, and handed to `publish`. Raises
    `Refused` OutpointTaken (`got` is the winner's txid) when it took one of our outpoints, and
    `QuorumNotReached` with every operator's reply when too few agree.
    """
    started = anyio.current_time()
    operators = Operators(scope, transport, limits or Limits())

    async def passed_on(decision: Decision, other: Proposal) -> None:
        await pass_on(operators, network, decision, other, publish)

    coordinator = Coordinator(
        operators, lambda body: SigningJob.read(network, body, scope).proposal, passed_on
    )
    decision = await coordinator.decide(job.proposal)
    signatures = await gather_signatures(operators, job, decision)
    seconds = anyio.current_time() - started
    tx = job.finalised(signatures)
    return Collected(tx, signatures, decision, operators.report, seconds, scope)


async def collect_all(
    body: bytes,
    network: Network,
    scopes: Sequence[Scope],
    connect: Connect,
    *,
    limits: Limits | None = None,
    publish: Publish | None = None,
) -> Collected:
    """As `collect`, of each roster whose inputs the request spends, the oldest first.

    `scopes` are all rosters', the oldest first; `connect` gives the transport to one of them.
    """
    started = anyio.current_time()
    while True:
        scope = await anyio.to_thread.run_sync(deciding, body, scopes)
        job = await anyio.to_thread.run_sync(SigningJob.read, network, body, scope)
        async with connect(scope) as transport:
            found = await collect(job, network, scope, transport, limits=limits, publish=publish)
        if not job.later:
            return replace(found, seconds=anyio.current_time() - started)
        body = job.continued(found.tx)


async def gather_signatures(
    operators: Operators, job: SigningJob, decision: Decision
) -> dict[XOnlyKey, dict[int, bytes]]:
    """A quorum's signatures on a decided transaction, each verified.

    Raises `QuorumNotReached` when too few sign.
    """
    scope, report = operators.scope, operators.report
    signatures: dict[XOnlyKey, dict[int, bytes]] = {}
    behind: set[int] = set()
    outstanding = [scope.n]

    def heard(operator: int, reply: Reply) -> bool:
        if reply.refusal is None:
            key = scope.keys[operator]
            signatures[key] = job.check(key, Signatures.from_fields(reply.body))
        elif reply.refusal.rule == "ViewBehind":
            behind.add(operator)
        return len(signatures) >= scope.quorum

    def left(unheard: int) -> bool:
        outstanding[0] = unheard
        return False

    def patient() -> bool:
        # The silent are waited for as long as they may make a quorum, and are needed for one: not
        # when those that will sign a moment later are enough.
        possible = len(signatures) + outstanding[0] >= scope.quorum
        return possible and len(signatures) + len(behind) < scope.quorum

    frame = frames.sign_frame(decision.votes, job.proposal.body)
    for attempt in range(SIGN_ROUNDS):
        behind.clear()
        outstanding[0] = scope.n
        await operators.ask("signed", frame, heard, hopeless=left, patient=patient)
        # A voter may know a block that others have not seen yet: those refuse until they have.
        if len(signatures) >= scope.quorum or not behind:
            break
        await operators.pause(attempt)
    if len(signatures) < scope.quorum:
        raise report.failure("signed", len(signatures), scope.quorum)
    return signatures


async def finish(
    job: SigningJob,
    decision: Decision,
    scope: Scope,
    transport: Transport,
    limits: Limits | None = None,
) -> Tx:
    """The finished transaction of a decision that is there already, whoever made it.

    Raises `QuorumNotReached`.
    """
    operators = Operators(scope, transport, limits or Limits())
    return job.finalised(await gather_signatures(operators, job, decision))


async def pass_on(
    operators: Operators,
    network: Network,
    decision: Decision,
    other: Proposal,
    publish: Publish | None,
) -> None:
    """Hand another's decision to all; publish its transaction when it can be finished (S17).

    Raises `Refused` InputSpent when it never can: a block holds a spend of its inputs.
    """
    # Its answers are no answers to our own request: they go into a report of their own.
    apart = replace(operators, report=Report())
    try:
        job = SigningJob.read(network, other.body, operators.scope)
        signatures = await gather_signatures(apart, job, decision)
        if publish is not None and not job.later:
            await publish(job.finalised(signatures))
    except GrailError:
        # Ours is refused whether or not the other one comes through: its owner and the operators'
        # hosts finish it too.
        require_alive(apart)


def require_alive(told: Operators) -> None:
    """Raise `Refused` InputSpent when so many will never sign a decided one that no quorum is left.

    They saw a spend in a block, or hold another decision, which came when this one had died.
    """
    if told.too_few_left("InputSpent", "OutpointTaken"):
        raise Refused("InputSpent", "a block held a spend of what the decided one spends")
