"""Which output carries a spell, in which envelope, and whose format it is.

Section 2 of the protocol. Only one encoding of the envelope is taken, so that nobody can write one
spell in two ways; a proof of another format is told apart by its magic before it is judged.
"""

from __future__ import annotations

import io

import cbor2

from grail import codec
from grail.bitcoin import script
from grail.bitcoin.script import Op
from grail.bitcoin.tx import Tx
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

    Reads as leniently as Charms' own reader does, so that its spells are named for what they are;
    what even that cannot read is left for `read` to refuse.
    """
    decoder = cbor2.CBORDecoder(io.BytesIO(raw), max_depth=codec.MAX_DEPTH)
    try:
        value = decoder.decode()
    except Exception:  # noqa: BLE001 - hostile bytes; any failure means "not readable at all"
        return
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return
    proof = value[1]
    if isinstance(proof, (list, tuple)):
        proof = bytes(i for i in proof[:4] if type(i) is int and 0 <= i < 256)
    if isinstance(proof, bytes) and proof[:4] != MAGIC:
        raise SpellIncorrect(
            "ForeignSpell",
            "the proof is of another format",
            got=proof[:4].hex() or "no magic",
            expected=MAGIC.hex(),
        )


def _says_spell(script_pubkey: bytes) -> bool:
    if script_pubkey[:1] != bytes([Op.RETURN]) or WORD not in script_pubkey[:11]:
        return False
    try:
        return next(script.read(script_pubkey[1:])).data == WORD
    except (StopIteration, Truncated):
        return False
