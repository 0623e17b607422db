"""Random transactions for the two models: correct ones, and ones that are broken somewhere.

A draft is a correct one of the spellbook, or a case that one rule refuses; then a few random
changes; then, at times, its bytes, its bundles, its proofs or its keys are spoiled. Every seed gives
one sample, always the same.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import spellbook as book
from model_sample import Sample, proof_of, written
from model_spoilers import Spoiler, bytes_spoiled
from spellbook import Draft

from grail.bitcoin.network import MAINNET, Network

GOOD = (
    book.deploy,
    book.peg_in,
    book.peg_out,
    book.transfer,
    book.issue,
    book.create,
    book.swap,
    book.swap_without_an_asset,
    book.batch,
    book.pay,
    book.new_roster,
    book.move,
    book.succession,
)


@cache
def broken() -> tuple[Callable[[], Draft], ...]:
    """The cases of the rules' own tests: each is refused by one rule, most by nothing else."""
    folder = str(Path(__file__).parent / "grail" / "charms")
    if folder not in sys.path:
        sys.path.append(folder)
    names = ("guard_rules", "kept_rules", "vault_rules", "move_rules", "spell_rules")
    found = [entry for name in names for entry in importlib.import_module(f"test_{name}").case.all]
    by_rule: dict[str, list[Callable[[], Draft]]] = {}
    for entry in found:
        by_rule.setdefault(entry.rule, []).append(entry.make)
    # As many of each rule: what has one case alone is drawn as often as what has ten.
    most = max(map(len, by_rule.values()))
    return tuple(made[i % len(made)] for made in by_rule.values() for i in range(most))


def sample(seed: int) -> Sample:
    """The transaction of this seed."""
    dice = random.Random(seed)
    drawn = dice.random()
    if drawn < 0.70:
        draft = dice.choice(GOOD)()
        changes = dice.randrange(4)
    elif drawn < 0.92:
        draft = dice.choice(broken())()
        changes = dice.choice([0, 0, 1, 2])
    else:
        draft = _special(dice)
        changes = dice.choice([0, 0, 1])
    spoiler = Spoiler(dice)
    for _ in range(changes):
        dice.choice(spoiler.ways)(draft)
    return _with_proofs(draft, dice)


def _special(dice: random.Random) -> Draft:
    """What concerns bundles and keys: unsafe ones, one party's, none, another's, malformed ones."""
    kind = dice.randrange(5)
    if kind == 0:
        return book.issue_under(dice.choice(book.UNSAFE))
    if kind == 1:
        draft = dice.choice([book.issue, book.swap, book.transfer])()
        draft.network = Network(MAINNET, book.NETWORK.grail_outpoint)
        return draft
    if kind == 2:
        draft = book.issue_under(book.CEREMONY)
        draft.network = Network(MAINNET, book.NETWORK.grail_outpoint)
        return draft
    draft = dice.choice(GOOD)()
    raws: dict[bytes, Any] = dict(draft.bundles)
    vk = dice.choice(sorted(raws))
    if kind == 3:
        raws[vk] = raws[dice.choice(sorted(raws))]
        if dice.random() < 0.3:
            del raws[vk]
    else:
        raws[vk] = Spoiler(dice).bundle(raws[vk].serialize())
    draft.bundles = raws
    return draft


def _with_proofs(draft: Draft, dice: random.Random) -> Sample:
    """Proofs of what the slow model says is to be proven, sometimes of something else."""
    from slow_rules import statements  # the slow model looks at samples itself

    plain = written(draft, {})
    contracts = sorted(bytes(K) for K in draft.acts)
    proofs = {
        K: proof_of(vk, publics)
        for K, (vk, publics) in zip(contracts, statements(plain), strict=False)
    }
    if proofs and dice.random() < 0.06:
        K = dice.choice(sorted(proofs))
        other = bytearray(dice.choice(sorted(proofs.values())))
        other[dice.randrange(128)] ^= 1 << dice.randrange(8)
        proofs[K] = bytes(other)
    if dice.random() < 0.12:
        return bytes_spoiled(draft, proofs, dice)
    if proofs and dice.random() < 0.04:
        # The proofs were made, then something else that they cover was changed.
        moved = replace(draft, locktime=draft.locktime + 1)
        return written(moved, proofs)
    return written(draft, proofs)
