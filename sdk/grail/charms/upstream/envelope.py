"""Where a transaction carries a spell of Charms: an OP_RETURN, or before that the last witness.

OP_RETURN  "spell"  payload                              one push; in use since version 9
OP_FALSE OP_IF  "spell"  piece piece ...  OP_ENDIF ...   the leaf of the last input's witness
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grail.bitcoin import script
from grail.bitcoin.script import Op
from grail.bitcoin.tx import Tx
from grail.errors import SpellIncorrect, Truncated

WORD = b"spell"

MAX_PAYLOAD = 100_000
"""Bytes: what nodes relay in an OP_RETURN; upstream's own spells take some 1,000."""

_IF, _ENDIF = 0x63, 0x68
_ANNEX = 0x50
_CONTROL_BLOCK = 33
"""A leaf that is the whole tree: version and internal key, no path."""


class Place(Enum):
    """Which envelope carries the spell."""

    OP_RETURN = "OP_RETURN"
    WITNESS = "witness"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The payload as found: `index` is that of the output, or of the input."""

    place: Place
    index: int
    payload: bytes


def find(tx: Tx) -> Envelope | None:
    """The spell's envelope, None when the transaction has none.

    Raises `SpellIncorrect` with rule TwoSpells, or EnvelopeInvalid for an OP_RETURN that says
    "spell" and is not of that form (a witness is not looked at then), and for too large a payload.
    """
    said = [i for i, output in enumerate(tx.outputs) if _says_spell(output.script)]
    if len(said) > 1:
        raise SpellIncorrect(
            "TwoSpells",
            "more than one output carries a spell",
            got=f"outputs {said}",
            expected="one",
        )
    if said:
        return _bounded(Place.OP_RETURN, said[0], _pushed(tx.outputs[said[0]].script))
    last = len(tx.inputs) - 1
    payload = _in_witness(tx.inputs[last].witness)
    return None if payload is None else _bounded(Place.WITNESS, last, payload)


def _bounded(place: Place, index: int, payload: bytes) -> Envelope:
    if len(payload) > MAX_PAYLOAD:
        raise SpellIncorrect(
            "EnvelopeInvalid",
            "payload too large",
            got=f"{len(payload)} bytes",
            expected=f"at most {MAX_PAYLOAD}",
        )
    return Envelope(place, index, payload)


def _says_spell(script_pubkey: bytes) -> bool:
    if script_pubkey[:1] != bytes([Op.RETURN]) or WORD not in script_pubkey[:11]:
        return False
    try:
        return next(script.read(script_pubkey[1:])).data == WORD
    except (StopIteration, Truncated):
        return False


def _pushed(script_pubkey: bytes) -> bytes:
    try:
        steps = list(script.read(script_pubkey[1:]))
    except Truncated as exc:
        raise SpellIncorrect("EnvelopeInvalid", str(exc)) from exc
    if len(steps) != 2 or steps[1].data is None:
        raise SpellIncorrect(
            "EnvelopeInvalid",
            "the output holds something else than one payload",
            got=f"{len(steps) - 1} steps behind the word",
            expected="one push",
        )
    return steps[1].data


def _in_witness(witness: tuple[bytes, ...]) -> bytes | None:
    stack = witness
    if len(stack) >= 2 and stack[-1][:1] == bytes([_ANNEX]):
        stack = stack[:-1]
    if len(stack) < 2 or len(stack[-1]) != _CONTROL_BLOCK:
        return None
    pieces: list[bytes] = []
    try:
        for place, step in enumerate(script.read(stack[-2])):
            if place < 3:
                wanted = ((Op.OP_0, b""), (_IF, None), (None, WORD))[place]
                if step.data != wanted[1] or wanted[0] not in (None, step.opcode):
                    return None
            elif step.opcode == _ENDIF:
                return b"".join(pieces)
            elif step.data is None:
                return None
            else:
                pieces.append(step.data)
    except Truncated:
        pass
    return None
