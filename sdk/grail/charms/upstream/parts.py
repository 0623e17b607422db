"""Which byte of a transaction belongs where, and whether the spell's proof holds it fast.

A proof is of the spell, of the inputs and of some outputs; all else in the transaction may change
without touching it. Whoever signs, replaces or bumps such a transaction reads here what is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from grail.bitcoin import script
from grail.bitcoin.tx import Tx
from grail.charms.upstream import item
from grail.charms.upstream.envelope import Place
from grail.charms.upstream.proof import Enchanted
from grail.charms.upstream.versions import Coins, Inputs, version
from grail.codec import compact_size
from grail.types import TxOut


class Part(Enum):
    """What a byte is a part of: its name, and what happens to the verdict when it changes."""

    SPELL = ("spell", "refused")
    PROOF = ("proof", "refused")
    INPUT = ("input that the program sees", "refused")
    COIN = ("output that the program sees: amount and script", "refused")
    ENVELOPE = ("envelope: the word, its opcodes and lengths", "refused")
    FRAME = ("counts and lengths of the transaction", "refused")
    FUNDING = ("last input, which no program before version 10 sees", "stays")
    OUTPUT = ("every other output: change, fees, the spell's amount", "stays")
    VERSION = ("version of the transaction", "stays")
    SEQUENCE = ("sequence of an input", "stays")
    SCRIPT_SIG = ("script of an input", "stays")
    WITNESS = ("witness, but for a spell in it", "stays")
    LOCKTIME = ("lock time", "stays")

    @property
    def held(self) -> bool:
        """Whether a change of it is refused."""
        return self.value[1] == "refused"


def parts(enchanted: Enchanted) -> list[Part]:
    """The part of each byte of `enchanted.tx.serialize()`. Raises `SpellIncorrect`."""
    tx, form = enchanted.tx, version(enchanted.spell.version).form
    segwit = any(spent.witness for spent in tx.inputs)
    found = [Part.VERSION] * 4 + [Part.FRAME] * (2 * segwit)
    found += _count(len(tx.inputs))
    for place, spent in enumerate(tx.inputs):
        unseen = form.inputs is Inputs.ALL_BUT_LAST and place == len(tx.inputs) - 1
        found += [Part.FUNDING if unseen else Part.INPUT] * 36
        found += _sized(len(spent.script_sig), Part.SCRIPT_SIG) + [Part.SEQUENCE] * 4
    found += _count(len(tx.outputs))
    seen = len(enchanted.spell.outs) if form.coins is Coins.WITH_CHARMS else 0
    for place, output in enumerate(tx.outputs):
        kind = Part.COIN if place < seen else Part.OUTPUT
        found += [kind] * 8 + _output(enchanted, place, output, kind)
    if segwit:
        found += _witnesses(enchanted, tx)
    return found + [Part.LOCKTIME] * 4


def _count(number: int) -> list[Part]:
    return [Part.FRAME] * len(compact_size(number))


def _sized(size: int, part: Part) -> list[Part]:
    return _count(size) + [part] * size


def _output(enchanted: Enchanted, place: int, output: TxOut, kind: Part) -> list[Part]:
    here = enchanted.envelope
    if (here.place, here.index) != (Place.OP_RETURN, place):
        return _sized(len(output.script), kind)
    payload = _payload(enchanted)
    head = [Part.ENVELOPE] * (len(output.script) - len(payload))
    return _count(len(output.script)) + head + payload


def _payload(enchanted: Enchanted) -> list[Part]:
    whole = enchanted.envelope.payload
    proof = item.write(tuple(enchanted.proof))
    size = len(proof) if whole.endswith(proof) else 0
    return [Part.SPELL] * (len(whole) - size) + [Part.PROOF] * size


def _witnesses(enchanted: Enchanted, tx: Tx) -> Iterator[Part]:
    here = enchanted.envelope
    for place, spent in enumerate(tx.inputs):
        yield from _count(len(spent.witness))
        carries = (here.place, here.index) == (Place.WITNESS, place)
        for nth, element in enumerate(spent.witness):
            yield from _count(len(element))
            # The leaf's script stands before the control block; an annex would follow that.
            if carries and nth == _leaf(spent.witness):
                yield from _leaf_parts(enchanted, element)
            else:
                yield from [Part.WITNESS] * len(element)


def _leaf(witness: tuple[bytes, ...]) -> int:
    return len(witness) - (3 if witness[-1][:1] == b"\x50" else 2)


def _leaf_parts(enchanted: Enchanted, leaf: bytes) -> list[Part]:
    payload = iter(_payload(enchanted))
    found: list[Part] = []
    open_ = True
    for place, step in enumerate(script.read(leaf)):
        size = len(step.data or b"")
        head = len(script.push(step.data)) - size if step.data is not None else 1
        if not open_:
            found += [Part.WITNESS] * (head + size)
        elif place < 3 or step.data is None:
            found += [Part.ENVELOPE] * (head + size)
            open_ = place < 3 or step.data is not None
        else:
            found += [Part.ENVELOPE] * head + [next(payload) for _ in range(size)]
    return found
