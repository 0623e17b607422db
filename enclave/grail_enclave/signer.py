"""From a checked transaction and a decision to this operator's signatures, once per roster.

There is no way in for a digest: the hash that is signed is built here from the transaction and the
prevouts that were checked (threat S1). The types say the rest: `CheckedTx` is made by the rules
alone, `Decision` by the check of a quorum's votes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grail.bitcoin.tx import sighash
from grail.charms.rules import CheckedTx
from grail.crypto.schnorr import KeyPair
from grail.errors import Refused
from grail.operators.certificates import Decision, Proposal
from grail.operators.frames import Signatures
from grail.operators.messages import Family
from grail.types import Txid, TxOut
from grail_enclave.caches import Bounded
from grail_enclave.quorums import own_inputs, own_outpoints

MAX_ANSWERS = 16_000_000
"""Bytes of signatures kept, so that the same request gets the same answer: some 60,000 inputs."""


@dataclass
class Signer:
    """Holds the operator's key and what it has signed."""

    key: KeyPair = field(repr=False)
    _answers: Bounded[tuple[Txid, int], Signatures] = field(
        init=False, repr=False, default_factory=lambda: Bounded(MAX_ANSWERS)
    )
    _fees: Bounded[tuple[Family, int], int] = field(
        init=False, repr=False, default_factory=lambda: Bounded(MAX_ANSWERS)
    )

    def check_fee(self, proposal: Proposal, fee: int, epoch: int) -> None:
        """Raise `Refused` FeeOutOfRange when one of this family that pays more was signed."""
        paid = self._fees.get((proposal.family, epoch)) or 0
        if fee < paid and self._answers.get((proposal.txid, epoch)) is None:
            raise Refused(
                "FeeOutOfRange",
                "a transaction of this family that pays more was signed",
                got=f"{fee} sats",
                expected=f"at least {paid} sats",
            )

    def sign(
        self, checked: CheckedTx, proposal: Proposal, decision: Decision, fee: int, epoch: int
    ) -> Signatures:
        """Sign every input that the quorum of this epoch signs (SIGHASH_DEFAULT, quorum leaf).

        A second transaction of a decided family must pay no less (ROUNDS rule 4). Raises `Refused`.
        """
        if (decision.family, decision.outpoints) != (proposal.family, proposal.outpoints):
            raise Refused("NotDecided", "the decision is for another transaction")
        if proposal.txid != checked.tx.txid:
            raise Refused("NotDecided", "the proposal is of another transaction")
        if decision.outpoints != own_outpoints(checked, epoch):
            raise Refused("NotDecided", "the decision is over another roster's outpoints")
        name = (checked.tx.txid, epoch)
        answered = self._answers.get(name)
        if answered is not None:
            return answered
        self.check_fee(proposal, fee, epoch)
        answer = Signatures(checked.tx.txid, tuple(self._signed(checked, epoch)))
        self._answers.put(name, answer, 64 + 128 * len(answer.signatures))
        self._fees.put((decision.family, epoch), fee, 128)
        return answer

    def _signed(self, checked: CheckedTx, epoch: int) -> list[tuple[int, bytes]]:
        prevouts = [TxOut(prevout.sats, prevout.script) for prevout in checked.prevouts]
        made = []
        for spend in own_inputs(checked, epoch):
            reign = checked.record.reign(spend.epoch)
            if reign is None or self.key.public not in reign.roster.keys:
                raise Refused(
                    "NotMember",
                    f"input {spend.index} is signed by the roster of epoch {spend.epoch}",
                    got=str(self.key.public),
                    expected="a key of that roster",
                )
            digest = sighash(checked.tx, prevouts, spend.index, leaf_hash=spend.leaf.leaf_hash)
            made.append((spend.index, self.key.sign(digest)))
        return made
