"""The judge: sees every frame and reply, every signature, every block, and owns no rule of ours.

    I1   a quorum of members signed each guarded spend in a block, each enclave after all its checks
    I2   zkBTC and the vault's sats are equal at every tip, but for listed burns (supply.py)
    I3   one operator, one outpoint: never two families that can both still confirm
    I4   no nonce of a signature serves two messages
    I5   the slow model takes what was signed, with the same facts (second_opinion.py)
    I6   no proof that was accepted fits another transaction (second_opinion.py)
    I7   one roster, kept in step, and no vote without a fresh view of it (elders.py)
    I11  everybody gets an answer in time, and no outpoint stays locked (stage.py asks)
    I12  every frame is answered: no exception, no fault of ours; a refusal changes nothing

A failure is an `Unsafe` that begins with the invariant's name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kernel import SpendInvalid, verify_spend

from grail.bitcoin.tx import Tx
from grail.errors import DecodeError
from grail.operators import frames
from grail.operators.certificates import Decision, Proposal
from grail.operators.frames import Frame, Reply, Signatures
from grail.operators.messages import Family
from grail.types import BlockHash, Txid
from grail_enclave.checks import RULES, VOTING_STEP, Stage
from simulation import second_opinion, supply
from simulation.book import Entry, book
from simulation.crew import crew
from simulation.ground import Ground
from simulation.remembered import remembering
from simulation.unsafe import Unsafe

if TYPE_CHECKING:
    from simulation.station import Instance, Station

SERVED = (frames.VOTE, frames.OPEN, frames.PROMISE, frames.BALLOT, frames.SIGN)
"""Frames whose answer serves the request in them."""
ALL_CHECKS = frozenset(r.name for r in RULES if r.step < VOTING_STEP and Stage.SIGN in r.stages)
"""What an enclave has checked by itself before it signs."""

_verified = remembering(verify_spend)


@dataclass
class Monitor:
    """What was seen so far; each method looks at one more thing and raises `Unsafe`."""

    ground: Ground
    entries: dict[Txid, Entry] = field(default_factory=dict)
    nonces: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    decided: dict[Family, Proposal] = field(default_factory=dict)
    signed: dict[int, dict[Family, Proposal]] = field(default_factory=dict)
    passed: dict[Txid, dict[int, set[str]]] = field(default_factory=dict)
    sign_frames: dict[Txid, Frame] = field(default_factory=dict, repr=False)
    finished: dict[Txid, Tx] = field(default_factory=dict)
    burned: set[Txid] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not self.entries:
            self.entries = {entry.tx.txid: entry for entry in book().values()}

    # What enclaves say.

    def replied(
        self, station: Station, instance: Instance, frame: Frame, raw: bytes, *, unchanged: bool
    ) -> None:
        """A frame went into an instance, and these bytes came back."""
        self.counts[frame.kind] += 1
        try:
            reply = Reply.parse(raw)
        except DecodeError as exc:
            raise Unsafe(f"I12: {instance.name}: a reply that cannot be read: {exc}") from exc
        if reply.refusal is not None:
            self._refused(instance, frame, reply, unchanged=unchanged)
            return
        if frame.kind in SERVED:
            self._served(station, instance, frame, reply)

    def _refused(self, instance: Instance, frame: Frame, reply: Reply, *, unchanged: bool) -> None:
        assert reply.refusal is not None
        rule = reply.refusal.rule
        self.counts[f"refused {rule}"] += 1
        if rule == "InternalError":
            said = reply.refusal.message
            raise Unsafe(f"I12: {instance.name}: a fault in {frame.kind}: {said}")
        if not unchanged:
            raise Unsafe(f"I12: {instance.name}: refused {frame.kind} by {rule}, and changed")

    def _served(self, station: Station, instance: Instance, frame: Frame, reply: Reply) -> None:
        from simulation.station import job_of, request_of

        body = request_of(frame)
        assert body is not None
        job = job_of(body)
        entry = self.entries.get(job.tx.txid)
        if entry is None or not entry.honest:
            name = "a stranger" if entry is None else entry.name
            raise Unsafe(f"I5: {instance.name}: answered {frame.kind} for {name}")
        if frame.kind != frames.SIGN:
            assert isinstance(reply.body, bytes)
            self.nonce(station.operator, reply.body[-64:], reply.body[:-64])
            if frame.kind == frames.VOTE and instance.life is not None:
                instance.life.voted(instance)
            return
        second_opinion.check_models_agree(entry)
        second_opinion.check_bound(entry.name)
        self.sign_frames.setdefault(job.tx.txid, frame)
        said = Signatures.from_fields(reply.body)
        for index, signature in said.signatures:
            self.nonce(station.operator, signature, bytes(said.txid) + bytes([index]))
        seen = instance.passed.get(hashlib.sha256(body).digest(), set())
        known = self.passed.setdefault(said.txid, {})
        known[station.operator] = known.get(station.operator, set()) | seen
        self.signature(station.operator, job.proposal, station.tips, instance.name)

    def nonce(self, operator: int, signature: bytes, message: bytes) -> None:
        """A signature was seen: I4."""
        name = signature[:32] + bytes([operator])
        covered = hashlib.sha256(message).digest()
        if self.nonces.setdefault(name, covered) != covered:
            raise Unsafe(f"I4: operator {operator}: one nonce for two messages")

    def signature(
        self, operator: int, of: Proposal, tips: Collection[BlockHash], who: str = "somebody"
    ) -> None:
        """An operator signed; these are all tips that it ever saw: I3.

        A rival that it had signed before was dead on one of them, or one of the two was elsewhere,
        and this operator follows the higher decision (rule 5). A reorganisation since may have
        revived the dead one: both take the same outpoint, so one of them confirms at most.
        """
        mine = self.signed.setdefault(operator, {})
        for family, other in mine.items():
            if family == of.family or set(other.outpoints).isdisjoint(of.outpoints):
                continue
            if not any(self.dead(other, tip) for tip in tips) and not self._undone(other, of):
                raise Unsafe(f"I3: {who}: signed {self._name(of)} beside {self._name(other)}")
            self.counts["signed after a dead one"] += 1
        mine[of.family] = of

    def decision(self, found: Decision, of: Proposal) -> None:
        """A decision was seen by anybody: another one stands beside it only when one had died."""
        assert found.family == of.family
        for family, other in self.decided.items():
            if family == of.family or set(other.outpoints).isdisjoint(of.outpoints):
                continue
            if not self._undone(other, of):
                raise Unsafe(f"I3: two decisions: {self._name(of)} beside {self._name(other)}")
        self.decided[of.family] = of

    def _undone(self, *both: Proposal) -> bool:
        """Whether a block of any branch had killed one of them: both may then be decided."""
        return any(self.dead(one, tip) for one in both for tip in self.ground.blocks)

    def dead(self, of: Proposal, tip: BlockHash) -> bool:
        """Whether a block below the tip holds a conflict with a transaction or its parents."""
        entry = self.entries[of.txid]
        while entry is not None:
            for block in self.ground.ancestors(tip):
                for tx in block.txs[1:]:
                    other = self.entries.get(tx.txid)
                    if other is not None and other.family == entry.family:
                        continue
                    if any(a.outpoint == b.outpoint for a in tx.inputs for b in entry.tx.inputs):
                        return True
            entry = entry.parent  # type: ignore[assignment]
        return False

    def _name(self, of: Proposal) -> str:
        entry = self.entries.get(of.txid)
        return str(of.txid) if entry is None else entry.name

    def served(self, family: Family) -> bool:
        """Whether one of the family is complete: a raise takes the lower one's place."""
        return any(self.entries[txid].family == family for txid in self.finished)

    def outbid(self, entry: Entry, *, signed: bool) -> bool:
        """Whether one of the same family that pays more is complete, or `signed` by anybody.

        Who signed it signs the lower one no more, so that one may never find its quorum.
        """
        others = [self.entries[txid] for txid in (self.passed if signed else self.finished)]
        same = [e for e in others if e.family == entry.family and e.name != entry.name]
        return any(other.built.fee > entry.built.fee for other in same)

    # What gets onto the chain.

    def complete(self, tx: Tx) -> None:
        """Somebody has put a finished transaction together."""
        self.spend(tx)
        self.finished[tx.txid] = tx

    def spend(self, tx: Tx) -> None:
        """A transaction may go into a block: I1."""
        entry = self.entries.get(tx.txid)
        guarded = {o: e for e in self.entries.values() for o in e.guarded}
        taken = [index for index, txin in enumerate(tx.inputs) if txin.outpoint in guarded]
        if entry is None:
            if taken:
                raise Unsafe(f"I1: {tx.txid} spends guarded outputs and is no entry")
            return
        try:
            _verified(tx.serialize(), tuple(entry.built.spent_outputs))
        except SpendInvalid as exc:
            raise Unsafe(f"I1: {entry.name}: {exc}") from exc
        for index in taken:
            self._members(entry, tx.inputs[index].witness)

    def _members(self, entry: Entry, witness: tuple[bytes, ...]) -> None:
        *stack, _leaf, _control = witness
        ranks = [rank for rank, item in enumerate(reversed(stack)) if item]
        if len(stack) != crew().size or len(ranks) != crew().quorum:
            raise Unsafe(f"I1: {entry.name}: {len(ranks)} signatures, expected {crew().quorum}")
        log = self.passed.get(entry.tx.txid, {})
        for rank in ranks:
            missing = ALL_CHECKS - log.get(rank, set())
            if missing:
                raise Unsafe(f"I1: {entry.name}: operator {rank} never checked {sorted(missing)}")

    def block(self) -> None:
        """The best chain has a new tip: I1 for its transactions, I2 for its sums."""
        scan = supply.base().copy()
        for block in self.ground.above:
            for tx in block.txs[1:]:
                self.spend(tx)
            scan.block(block, self._correct)
        scan.check()
        self.burned.update(scan.burns)
        strangers = [txid for txid in scan.burns if txid in self.entries]
        if strangers:
            raise Unsafe(f"I2: {strangers} burned units that they had no right to")

    def _correct(self, tx: Tx) -> bool:
        entry = self.entries.get(tx.txid)
        return entry is not None and not isinstance(second_opinion.slow_verdict(entry.name), str)
