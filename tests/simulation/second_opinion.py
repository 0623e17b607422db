"""Invariants I5 and I6 on the book: what the slow model says of an entry, where else a proof fits.

Both are functions of the book alone, so they are asked once per process and entry.
"""

from __future__ import annotations

import slow_rules
from model_sample import Sample
from slow_reading import No
from slow_spells import Slow

from grail.errors import SpellIncorrect
from simulation.book import Entry, book
from simulation.crew import per_crew
from simulation.unsafe import Unsafe


def plainly(entry: Entry) -> Sample:
    """An entry for the slow model: bytes, and what an enclave knows by itself."""
    built = entry.built
    context = built.context
    return Sample(
        built.tx.serialize_unsigned(),
        tuple(built.prevouts),
        {vk: bundle.serialize() for vk, bundle in built.bundles.items()},
        context.record,
        context.height,
        context.network,
        confirmed=False,
    )


@per_crew
def slow_verdict(name: str) -> str | slow_rules.Facts:
    """The slow model's verdict on an entry: a refusal's name, or facts and digests.

    The last of its steps is about proofs, which it knows as ideal ones only: it is left out here,
    and what the real ones must show is compared instead.
    """
    try:
        slow = Slow(plainly(book()[name]))
        for step in slow_rules.STEPS[:-1]:
            step(slow)
    except No as no:
        return str(no)
    return {K: (tuple(slow.facts(K)), slow.digest(K)) for K in slow.Ks if K in slow.acts}


def check_models_agree(entry: Entry) -> None:
    """Raise `Unsafe` unless the slow model takes this entry with the same facts."""
    slow = slow_verdict(entry.name)
    fast = {
        bytes(found.contract): (tuple(found.facts), found.digest)
        for found in entry.checked.contracts
        if found.standing == "action"
    }
    if slow != fast:
        raise Unsafe(f"I5: {entry.name}: {slow if isinstance(slow, str) else 'other facts'}")


@per_crew
def check_bound(name: str) -> None:
    """Raise `Unsafe` when a proof of this entry fits any other of the book (I6).

    A raise of the same family has the same spell and outputs, so it shares the proof (section 3).
    """
    entry = book()[name]
    assert entry.built.spell is not None
    for other in book().values():
        if not other.honest or other.family == entry.family:
            continue
        assert other.built.spell is not None
        theirs, ours = other.built.spell.proofs, entry.built.spell.proofs
        if len(theirs) != len(ours):
            continue
        moved = tuple(
            type(one)(two.contract, two.action, one.proof)
            for one, two in zip(ours, theirs, strict=True)
        )
        try:
            other.built.with_proofs(moved).check()
        except SpellIncorrect:
            continue
        raise Unsafe(f"I6: the proof of {name} is accepted in {other.name}")
