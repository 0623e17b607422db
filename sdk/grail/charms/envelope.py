"""Which output carries a spell, in which envelope, and whose format it is.

Section 2 of the protocol. Only one encoding of the envelope is taken, so that nobody can write one
spell in two ways; a proof of another format is told apart by its magic before it is judged.
"""

from __future__ import annotations

from grail.bitcoin import script
from grail.bitcoin.script import Op
from grail.bitcoin.tx import Tx
from grail.charms import foreign
from grail.charms.public_inputs import invalid
from grail.errors import SpellIncorrect, Truncated

WORD = b"spell"
MAGIC = b"GRL1"
"""The first bytes of our proofs: format and set of rules, which never change under one magic."""

MAX_PAYLOAD = 65_536
"""Bytes of the OP_RETURN's payload: 16 rows need some 4 KB; far below a node's own limit."""


def spell_outputs(tx: Tx) -> list[int]:
    """The indexes of outputs that begin with OP_RETURN and a push of "spell", in any push form."""
    return [i for i, output in enumerate(tx.outputs) if _says_spell(output.script)]


def one_spell(tx: Tx) -> int | None:
    """The index of the output that carries the spell, None when there is none.

    Raises `SpellIncorrect` with rule TwoSpells.
    """
    found = spell_outputs(tx)
    if len(found) > 1:
        raise SpellIncorrect(
            "TwoSpells",
            "more than one output carries a spell",
            got=f"outputs {found}",
            expected="one",
        )
    return found[0] if found else None


def payload(tx: Tx, index: int) -> bytes:
    """The payload of the spell's output: `[spell, proof]` in CBOR.

    Raises `SpellIncorrect` with rule SpellInvalid for another envelope than the one we write.
    """
    output = tx.outputs[index]
    if output.sats != 0:
        invalid("the spell's output has an amount", got=output.sats, expected=0)
    try:
        steps = list(script.read(output.script[1:]))
    except Truncated as exc:
        invalid(f"envelope: {exc}")
    if len(steps) != 2 or steps[1].data is None:
        invalid("envelope: not exactly two pushes", got=f"{len(steps)} steps", expected=2)
    if not all(step.minimal for step in steps):
        invalid("envelope: a push is not in its shortest form")
    found = steps[1].data
    if len(found) > MAX_PAYLOAD:
        invalid("payload too large", got=len(found), expected=f"at most {MAX_PAYLOAD}")
    return found


def refuse_foreign(raw: bytes) -> None:
    """Raise `SpellIncorrect` with rule ForeignSpell when the proof's magic is not ours.

    Looks for the magic in any CBOR that Charms' own reader would take, so that its spells are named
    for what they are; what is not even that is left for the strict reader to refuse.
    """
    magic = foreign.proof_prefix(raw, len(MAGIC))
    if magic is not None and magic != MAGIC:
        raise SpellIncorrect(
            "ForeignSpell",
            "the proof is of another format",
            got=magic.hex() or "no magic",
            expected=MAGIC.hex(),
        )


def _says_spell(script_pubkey: bytes) -> bool:
    if script_pubkey[:1] != bytes([Op.RETURN]) or WORD not in script_pubkey[:11]:
        return False
    try:
        return next(script.read(script_pubkey[1:])).data == WORD
    except (StopIteration, Truncated):
        return False
