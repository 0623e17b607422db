"""What a new instance takes over from what others say they remember (ROUNDS.md, rule 6).

Of the promises at an outpoint the highest; of the votes the highest of a round, or else the one at
the fast ballot that so many report that no other can be reported by as many. What was in no report
that counts cannot have been in a certificate that counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from grail.operators.grants import Claim, Page
from grail.operators.messages import Family, Scope
from grail.types import OutPoint

Ballot = tuple[int, Family]


@dataclass(frozen=True, slots=True)
class Adopted:
    """Promises by outpoint, the claims whose votes are taken over, and those said to be decided.

    A decision is never taken on somebody's word: `decided` only says what to ask for.
    """

    promised: dict[OutPoint, Ballot]
    votes: tuple[Claim, ...]
    decided: tuple[Claim, ...]


def adopt(scope: Scope, told: Sequence[Sequence[Page]]) -> Adopted:
    """From the pages of each grant; there are at least `scope.recovery` grants."""
    promised: dict[OutPoint, Ballot] = {}
    rounds: dict[Family, list[int]] = defaultdict(list)
    decided: Counter[Family] = Counter()
    claims = _claims(told)
    for pages in told:
        votes: dict[Family, int] = {}
        said: set[Family] = set()
        for page in pages:
            for promise in page.promises:
                _raise(promised, promise.outpoint, (promise.round, promise.family))
            for claim in page.claims:
                if claim.round is not None:
                    votes[claim.family] = max(claim.round, votes.get(claim.family, 0))
                if claim.decided:
                    said.add(claim.family)
        for family, number in votes.items():
            rounds[family].append(number)
        decided.update(said)
    highest: dict[OutPoint, Ballot] = {}
    for family, numbers in rounds.items():
        for outpoint in claims[family].outpoints if max(numbers) >= 1 else ():
            _raise(highest, outpoint, (max(numbers), family))
    for outpoint, ballot in highest.items():
        _raise(promised, outpoint, ballot)
    needed = (scope.quorum - 1) - ((scope.n - 1) - len(told))
    taken = []
    for family, numbers in sorted(rounds.items()):
        claim, number = claims[family], max(numbers)
        if number >= 1:
            # Not the highest somewhere: the higher ballot proved that it was not, and can no more
            # be decided. Like every vote it then goes on all its outpoints (rule 3).
            standing = all(highest[o] == (number, family) for o in claim.outpoints)
        else:
            standing = len(numbers) >= needed and highest.keys().isdisjoint(claim.outpoints)
        if standing:
            taken.append(Claim(family, claim.txid, claim.outpoints, number, decided=False))
    return Adopted(
        promised, tuple(taken), tuple(claims[family] for family, _ in decided.most_common())
    )


def _claims(told: Sequence[Sequence[Page]]) -> dict[Family, Claim]:
    """One claim for each family.

    All of a family spend the same; one that says otherwise is lost among those that do not.
    """
    sets: dict[Family, Counter[tuple[OutPoint, ...]]] = defaultdict(Counter)
    first: dict[tuple[Family, tuple[OutPoint, ...]], Claim] = {}
    for pages in told:
        for page in pages:
            for claim in page.claims:
                sets[claim.family][claim.outpoints] += 1
                first.setdefault((claim.family, claim.outpoints), claim)
    return {
        family: first[family, max(counted, key=lambda o: (counted[o], o))]
        for family, counted in sets.items()
    }


def _raise(table: dict[OutPoint, Ballot], outpoint: OutPoint, ballot: Ballot) -> None:
    if outpoint not in table or table[outpoint] < ballot:
        table[outpoint] = ballot
