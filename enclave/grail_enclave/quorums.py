"""Which roster's quorum decides and signs a request: that of the oldest epoch not signed for yet.

After a roster change a transaction may spend guarded outputs of several epochs. Each is its own
roster's to sign, and the rosters follow each other: the oldest first, like users before operators.
To a younger roster the older one's inputs are inputs of others, with their witness in place. So no
quorum waits for another with its outpoints held (PROTOCOL section 10, rosters after each other).
"""

from __future__ import annotations

from grail.bitcoin.addresses import quorum_leaf
from grail.bitcoin.tx import verify_input
from grail.charms.rules import CheckedTx, QuorumInput
from grail.errors import Incorrect, Refused
from grail.types import OutPoint, TxOut


def deciding_epoch(checked: CheckedTx) -> int:
    """The epoch whose quorum is asked. Raises `Refused` TxShape.

    All its inputs, and those of younger epochs, are without a witness; those of older ones have
    their full one. Any other input has no quorum's witness.
    """
    guarded = {spend.index: spend for spend in checked.quorum_inputs}
    open_ = [s.epoch for i, s in guarded.items() if not checked.tx.inputs[i].witness]
    if not open_:
        raise Refused("TxShape", "no input is left to sign", got="witnesses on all inputs")
    epoch = min(open_)
    leaves = {quorum_leaf(roster) for roster in checked.record.rosters}
    for index, txin in enumerate(checked.tx.inputs):
        spend, witness = guarded.get(index), txin.witness
        if spend is None:
            if len(witness) > 2 and witness[-2] in leaves:
                raise _shape(index, "a quorum's witness at an output that is not guarded", "none")
        elif spend.epoch >= epoch and witness:
            raise _shape(index, "a final witness", "none: the input is the quorum's to sign")
        elif spend.epoch < epoch:
            _check_signed(checked, spend)
    return epoch


def own_inputs(checked: CheckedTx, epoch: int) -> list[QuorumInput]:
    """The inputs that this epoch's quorum signs, in order."""
    found = [spend for spend in checked.quorum_inputs if spend.epoch == epoch]
    return sorted(found, key=lambda spend: spend.index)


def own_outpoints(checked: CheckedTx, epoch: int) -> tuple[OutPoint, ...]:
    """What those inputs spend, rising: what this epoch's quorum decides over."""
    inputs = checked.tx.inputs
    return tuple(sorted(inputs[s.index].outpoint for s in own_inputs(checked, epoch)))


def _check_signed(checked: CheckedTx, spend: QuorumInput) -> None:
    """Raise `Refused` TxShape unless an older roster's quorum signed this input."""
    witness = checked.tx.inputs[spend.index].witness
    reign = checked.record.reign(spend.epoch)
    # The quorum leaf alone: an escrow has another one, which is its owner's.
    if reign is None or len(witness) <= 2 or witness[-2] != quorum_leaf(reign.roster):
        raise _shape(spend.index, "not its quorum's witness", f"epoch {spend.epoch} signs first")
    outputs = [TxOut(prevout.sats, prevout.script) for prevout in checked.prevouts]
    try:
        verify_input(checked.tx, outputs, spend.index)
    except Incorrect as exc:
        raise _shape(spend.index, str(exc), f"the signatures of epoch {spend.epoch}") from exc


def _shape(index: int, got: str, expected: str) -> Refused:
    return Refused("TxShape", f"input {index}", got=got, expected=expected)
