"""Whether a signer agreed to this very transaction: asked before signing, never of an ancestor.

Section 6 of the protocol. A witness is covered neither by the txid nor by anybody else's signature:
its owner may publish another one that is as valid, and whoever hands on a transaction may write
there what he likes. So no verdict on a spell looks at one. The quorum does, before it signs, and a
spell with signers is correct only where the quorum signs: its signature says that consent was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from grail.bitcoin.script import ScriptType, classify
from grail.bitcoin.tx import Tx, verify_input
from grail.charms.case import Case
from grail.charms.rule import refuse, rule
from grail.errors import Incorrect
from grail.types import TxOut

SIGHASH_ALL = b"\x01"

SIGNER_SCRIPTS = frozenset({ScriptType.P2TR, ScriptType.P2WPKH})
"""What a signer spends: scripts that one key unlocks."""


@rule("SignerSighash", "S5", "Z6")
def signer_consent(case: Case) -> None:
    """Every signer has signed all of the transaction with one key, and the signature is valid."""
    spent = [TxOut(prevout.sats, prevout.script) for prevout in case.prevouts]
    for index in sorted({i for inputs in case.spell.x.values() for i in inputs.signers}):
        check_consent(case.tx, spent, index)


def check_consent(tx: Tx, prevouts: Sequence[TxOut], index: int) -> None:
    """One input: P2TR by key path or P2WPKH, sighash DEFAULT or ALL, valid by consensus.

    Raises `SpellIncorrect` with rule SignerSighash.
    """
    kind, witness = classify(prevouts[index].script), tx.inputs[index].witness
    expected = "P2TR key path or P2WPKH, signed DEFAULT or ALL"
    if not _signs_all(kind, witness):
        got = f"{kind.value}, {len(witness)} witness elements"
        refuse("SignerSighash", f"input {index}", got=got, expected=expected)
    try:
        verify_input(tx, prevouts, index)
    except Incorrect as exc:
        refuse("SignerSighash", f"input {index}", got=exc, expected=expected)


def _signs_all(kind: ScriptType, witness: tuple[bytes, ...]) -> bool:
    if kind is ScriptType.P2TR and len(witness) == 1:
        signature = witness[0]
        return len(signature) == 64 or (len(signature) == 65 and signature[64:] == SIGHASH_ALL)
    return kind is ScriptType.P2WPKH and len(witness) == 2 and witness[0][-1:] == SIGHASH_ALL
