"""What a set of signed messages proves (ROUNDS.md, CERTIFICATE): decisions and allowed ballots.

A certificate is q or more messages of one kind, ballot and family from different operators that are
consistent: no member knows a newer instance of another. Whoever acts on one checks it himself. The
checks raise `Refused` and return an object that only they make, so that what needs a certificate
can ask for it by type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grail.bitcoin.tx import Tx
from grail.codec import cs
from grail.crypto.schnorr import tagged_hash
from grail.errors import InvalidInput, Refused, SignatureInvalid
from grail.operators.messages import (
    MAX_OUTPOINTS,
    Family,
    Message,
    Promise,
    Scope,
    Vote,
)
from grail.types import OutPoint, Txid

M = TypeVar("M", bound=Message)

OP_RETURN = 0x6A


def family(network: bytes, tx: Tx, n_outs: int) -> Family:
    """F(T): H("grail/family/1", NET || the unsigned T, the sats of its change set to 0).

    The change is the one output past the spell's `n_outs` that is no OP_RETURN; without one, T
    itself is hashed. Raises `InvalidInput` when there are two.
    """
    change = [
        index
        for index, output in enumerate(tx.outputs)
        if index >= n_outs and output.script[:1] != bytes([OP_RETURN])
    ]
    if len(change) > 1:
        raise InvalidInput(
            f"family: got {len(change)} outputs past the spell's, expected one change"
        )
    parts = [tx.version.to_bytes(4, "little"), len(tx.inputs).to_bytes(4, "little")]
    for txin in tx.inputs:
        parts += [
            txin.outpoint.serialize(),
            txin.sequence.to_bytes(4, "little"),
            cs(txin.script_sig),
        ]
    parts.append(len(tx.outputs).to_bytes(4, "little"))
    for index, output in enumerate(tx.outputs):
        sats = 0 if index in change else output.sats
        parts += [sats.to_bytes(8, "little"), cs(output.script)]
    parts += [tx.locktime.to_bytes(4, "little"), bytes([len(change)])]
    return Family(tagged_hash("grail/family/1", network + b"".join(parts)))


@dataclass(frozen=True, slots=True)
class Proposal:
    """An admissible transaction, as the rounds see it. Whoever makes one has checked everything.

    `outpoints` are the guarded ones, rising; `body` is the signing request that it came in. All
    transactions of a family spend the same: `inputs` are the others' outpoints, as far as known.
    """

    family: Family
    outpoints: tuple[OutPoint, ...]
    txid: Txid
    body: bytes
    inputs: tuple[OutPoint, ...] = ()

    def __post_init__(self) -> None:
        if len(self.family) != 32:
            raise InvalidInput(f"family: got {len(self.family)} bytes, expected 32")
        if not 0 < len(self.outpoints) <= MAX_OUTPOINTS:
            raise InvalidInput(f"got {len(self.outpoints)} guarded outpoints, expected 1 to 128")
        if list(self.outpoints) != sorted(set(self.outpoints)):
            raise InvalidInput("guarded outpoints are not strictly rising")

    @property
    def spends(self) -> frozenset[OutPoint]:
        """All that it spends: a block in which another spends one of them is its end (rule 8)."""
        return frozenset(self.outpoints) | frozenset(self.inputs)


@dataclass(frozen=True, slots=True)
class Decision:
    """D(F), checked: a quorum voted for `family` over all of `outpoints` in one ballot."""

    family: Family
    outpoints: tuple[OutPoint, ...]
    round: int
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class Permit:
    """P(r, F), checked: the family may be voted for in ballot (round, family)."""

    family: Family
    outpoints: tuple[OutPoint, ...]
    round: int


def consistent(messages: Sequence[Message]) -> bool:
    """Whether for all members i, j: V_j[i] <= V_i[i], so that no instance here was replaced."""
    return all(
        other.head.v[member.head.sender] <= member.head.v[member.head.sender]
        for member in messages
        for other in messages
    )


def consistent_subset(messages: Mapping[int, M], least: int) -> dict[int, M] | None:
    """As many of these messages (by sender) as are consistent; None when they are below `least`.

    Whoever gathers a certificate chooses, since up to n - q liars may accuse anyone. The fewest are
    left out; where one word stands against another, those are whose V accuses.
    """
    accused = {
        sender: {
            other
            for other, told in messages.items()
            if other != sender and message.head.v[other] > told.head.v[other]
        }
        for sender, message in messages.items()
    }
    spare = len(messages) - least
    for out in range(spare + 1):
        left_out = _left_out(accused, frozenset(), out)
        if left_out is not None:
            return {sender: m for sender, m in messages.items() if sender not in left_out}
    return None


def _left_out(
    accused: Mapping[int, set[int]], gone: frozenset[int], more: int
) -> frozenset[int] | None:
    """A set of `more` senders beside `gone`, or fewer, without whom nobody accuses anybody.

    Of each accusation one side has to go. The side with most accusations is tried first, so it is
    over after few steps; its accusers together are the other way.
    """
    met = {sender: told - gone for sender, told in accused.items() if sender not in gone}
    sides = {
        sender: told | {other for other, theirs in met.items() if sender in theirs}
        for sender, told in met.items()
    }
    worst = max(sides, key=lambda sender: (len(sides[sender]), len(met[sender])), default=None)
    if worst is None or not sides[worst]:
        return gone
    if more == 0:
        return None
    without = _left_out(accused, gone | {worst}, more - 1)
    if without is not None or len(sides[worst]) == 1 or len(sides[worst]) > more:
        return without
    return _left_out(accused, gone | sides[worst], more - len(sides[worst]))


def _members(scope: Scope, messages: Sequence[Vote | Promise], rule: str, noun: str) -> None:
    """Enough different members, each with a valid signature, consistent; cheap checks first."""
    senders = [message.head.sender for message in messages]
    if len(set(senders)) != len(senders):
        raise Refused(
            rule,
            f"an operator's {noun} is there twice",
            got=f"{len(set(senders))} different operators in {len(senders)} {noun}s",
            expected=f"{scope.quorum} different operators",
        )
    if len(senders) < scope.quorum:
        raise Refused(
            rule,
            f"too few {noun}s",
            got=f"{len(senders)} {noun}s",
            expected=f"{scope.quorum} {noun}s",
        )
    for message in messages:
        try:
            message.verify(scope)
        except SignatureInvalid as exc:
            raise Refused(
                rule,
                f"the {noun} of operator {message.head.sender} does not verify: {exc}",
                got="an invalid signature",
                expected=f"{scope.quorum} valid {noun}s",
            ) from exc
    if not consistent(messages):
        raise Refused(
            rule,
            f"the {noun}s are inconsistent: a member knows a newer instance of another",
            got="an instance that was replaced",
            expected="newest instances",
        )


def check_decision(scope: Scope, votes: Sequence[Vote], proposal: Proposal) -> Decision:
    """D(F) for this proposal. Raises `Refused` with rule NotDecided."""
    for vote in votes:
        if (vote.family, vote.outpoints) != (proposal.family, proposal.outpoints):
            raise Refused(
                "NotDecided",
                f"the vote of operator {vote.head.sender} is for another transaction",
                got=vote.family.hex(),
                expected=proposal.family.hex(),
            )
    rounds = {vote.round for vote in votes}
    if len(rounds) > 1:
        raise Refused(
            "NotDecided",
            "the votes are of several ballots",
            got=f"rounds {sorted(rounds)}",
            expected="one round",
        )
    _members(scope, votes, "NotDecided", "vote")
    return Decision(proposal.family, proposal.outpoints, rounds.pop(), tuple(votes))


def blocker(
    n: int,
    quorum: int,
    promises: Sequence[Promise],
    proposal: Proposal,
    dead: Collection[Family] = (),
) -> tuple[int, Family] | None:
    """The vote (round, F') that forbids F by these promises, or None when P(r, F) holds.

    For each outpoint: the highest reported ballot of round 1 or more names the only value allowed;
    with none, a value is in the way when its voters at ballot 0 and the operators that did not
    answer could be a quorum. Families in `dead` are proven never to confirm, and skipped. The
    highest blocker is returned: it is the one that can be finished.
    """
    found: list[tuple[int, Family]] = []
    missing = n - len(promises)
    for outpoint in proposal.outpoints:
        votes = [
            (report.round, report.family)
            for promise in promises
            for report in promise.reports
            if report.outpoint == outpoint
            and report.family is not None
            and report.family not in dead
        ]
        highest = max(votes, default=(0, proposal.family))
        if highest[0] >= 1:
            if highest[1] != proposal.family:
                found.append(highest)
            continue
        for value, count in Counter(value for _, value in votes).items():
            if value != proposal.family and count + missing >= quorum:
                found.append((0, value))
    return max(found, default=None)


def check_promises(
    scope: Scope,
    promises: Sequence[Promise],
    proposal: Proposal,
    dead: Collection[Family] = (),
) -> Permit:
    """P(r, F) for this proposal. Raises `Refused`: NotPromised, or BallotBlocked naming F'."""
    for promise in promises:
        if (promise.family, promise.outpoints) != (proposal.family, proposal.outpoints):
            raise Refused(
                "NotPromised",
                f"the promise of operator {promise.head.sender} is for another transaction",
                got=promise.family.hex(),
                expected=proposal.family.hex(),
            )
    rounds = {promise.round for promise in promises}
    if len(rounds) > 1 or 0 in rounds:
        raise Refused(
            "NotPromised",
            "the promises are of several ballots, or of none",
            got=f"rounds {sorted(rounds)}",
            expected="one round, 1 or more",
        )
    _members(scope, promises, "NotPromised", "promise")
    blocking = blocker(scope.n, scope.quorum, promises, proposal, dead)
    if blocking is not None:
        raise Refused(
            "BallotBlocked",
            f"another transaction was or may have been decided, at round {blocking[0]}",
            got=blocking[1].hex(),
            expected=proposal.family.hex(),
        )
    return Permit(proposal.family, proposal.outpoints, rounds.pop())
