"""The engine against the slow model, transaction by transaction: equal verdicts, counted by name.

Equal means: both find it correct, with the same facts and digests for the same contracts, or both
refuse it by the same rule. Nothing is passed over.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import model_drafts
import slow_rules

from grail.charms.rule import Rule
from grail.charms.rules import RULES

CORRECT = "correct"
PART = 250

REFUSALS = frozenset(
    {
        "TwoSpells",
        "ForeignSpell",
        "SpellInvalid",
        "BundleMismatch",
        "DescriptorInvalid",
        "KeyUnsafe",
        "SingleParty",
        "AppExtra",
        "GuardUndeclaredCharm",
        "RowUnknown",
        "OutputClaimedTwice",
        "ProofMissing",
        "ProofExtra",
        "ActionUnknown",
        "AppMissing",
        "StateInvalid",
        "RosterInvalid",
        "NotKept",
        "PortCount",
        "NftOutside",
        "NotFresh",
        "RowPayee",
        "RowCharm",
        "PayInvalid",
        "SignerInvalid",
        "SignerSighash",
        "TurnstileBroken",
        "MintUnseen",
        "RowShort",
        "VaultShape",
        "RetiredRoster",
        "MoveNotEqual",
        "SuccessorUnequal",
        "HeightStale",
        "ProofInvalid",
    }
)
"""The refusals of steps 6 to 12. (Step 7 needs a history; UnknownGuard is asked when signing.)"""

LEAST_CORRECT = 0.15
"""The share of correct transactions below which a comparison says too little."""


@dataclass(frozen=True, slots=True)
class Compared:
    """How many verdicts were equal, of how many; how many were correct; how many by each name."""

    equal: int
    total: int
    correct: int
    by_rule: Mapping[str, int]

    @property
    def missing(self) -> frozenset[str]:
        """Refusals that no transaction met."""
        return REFUSALS - self.by_rule.keys()

    def distribution(self) -> str:
        """One line: the verdicts, the commonest first."""
        counts = sorted(self.by_rule.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{name} {count}" for name, count in counts)


def verdict(seed: int, rules: Sequence[Rule] = RULES) -> str:
    """The name of both models' verdict. Raises `AssertionError` with the seed when they differ."""
    sample = model_drafts.sample(seed)
    fast, slow = sample.engine(rules), slow_rules.verdict(sample)
    if fast != slow:
        raise AssertionError(f"seed {seed}: the engine says {_said(fast)}, the model {_said(slow)}")
    return fast if isinstance(fast, str) else CORRECT


def _said(verdict: object) -> str:
    return verdict if isinstance(verdict, str) else f"{CORRECT}: {verdict!r}"[:400]


def _part(seeds: tuple[int, int]) -> Counter[str]:
    first, count = seeds
    return Counter(verdict(seed) for seed in range(first, first + count))


def compare(
    first_seed: int,
    count: int,
    progress: Callable[[str], None] = lambda _: None,
    processes: int = 2,
) -> Compared:
    """Compare the verdicts on `count` transactions, those of the seeds from `first_seed` on.

    Raises `AssertionError` at the first difference, with its seed.
    """
    parts = [(first_seed + at, min(PART, count - at)) for at in range(0, count, PART)]
    found: Counter[str] = Counter()
    for part in _parts(parts, processes):
        found += part
        done = found.total()
        if done == count or done % (10 * PART) == 0:
            progress(f"{done} of {count} verdicts equal, {found[CORRECT]} correct")
    return Compared(found.total(), count, found[CORRECT], dict(found))


def _parts(parts: list[tuple[int, int]], processes: int) -> Iterator[Counter[str]]:
    if processes < 2 or len(parts) < 2:
        yield from map(_part, parts)
        return
    # New interpreters, not copies of this one: a copy of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        yield from pool.imap(_part, parts)
