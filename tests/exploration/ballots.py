"""The search without restarts, in order of ballots, to any number of rounds.

Transactions that pairwise conflict meet at every acceptor in rising ballots only: it promises
nothing below what it promised, and votes nothing below that. So each interleaving leaves the same
messages and the same memories as one that ends each ballot before the next and makes all promises
of a ballot before its votes, and only those are searched: a transition is a ballot with a set of
promisers and a set of voters, or a fast vote, or a decision that one operator is shown. A ballot
that was left half way is one with fewer voters. `messages.py` searches every interleaving.

How high a round is matters to no rule, only which of two is higher: states that are equal when
their rounds are ranked are one, and what is promised matters no more, since each further ballot is
above it. So the search closes though rounds never end. One rule does look at numbers, for liveness:
no promise more than n rounds above what an acceptor has evidence of. One that lags is led up, by
rounds between that it promises alone. Rounds may be opened for anything: more than openers allow.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator import proposal, scope

from grail.errors import Refused
from grail.operators import certificates
from grail.operators.memory import Place
from grail.operators.messages import Promise

from .finishing import Finisher, Up
from .instances import Certificate, Instances, Stood
from .search import Step

Shape = tuple[tuple[int, str, bool], ...]
"""For each outpoint the vote that stands (round and whose) and whether it is decided."""


class State(NamedTuple):
    """All operators after a round (0: the fast ballot), and what was ever decided."""

    number: int
    cells: tuple[int, ...]
    decided: tuple[tuple[str, Certificate], ...] = ()


@dataclass
class Ballots:
    """All states of these rivals among n operators; `most` rounds, or any number."""

    name: str
    n: int
    quorum: int
    spends: Mapping[str, str]
    most: int | None = None
    fast: bool = True
    instances: Instances = field(init=False, repr=False)
    finisher: Finisher = field(init=False, repr=False)
    _shapes: dict[int, Shape] = field(init=False, default_factory=dict, repr=False)
    _permits: dict[tuple[Certificate, str], bool] = field(
        init=False, default_factory=dict, repr=False
    )

    def __post_init__(self) -> None:
        rivals = {name: proposal(name, spends) for name, spends in self.spends.items()}
        self.instances = Instances(scope(self.n, self.quorum), rivals, (range(self.n),))
        self.finisher = Finisher(self.instances, self._ranked)

    def start(self) -> State:
        return State(0, (self.instances.fresh(0),) * self.n)

    def seats(self, state: State) -> list[tuple[str, int, int]]:
        """Who is who at the start: name, rank, cell."""
        return [(f"operator {at}", at, cell) for at, cell in enumerate(state.cells)]

    # What may happen

    def following(self, state: State) -> Iterator[tuple[tuple[Step, ...], State]]:
        if state.number == 0 and self.fast:
            for name in self.spends:
                yield from self._each(state, f"votes for {name} at ballot 0", ("vote", name))
        for name, votes in state.decided:
            text = f"is shown the decision for {name}"
            # Ballot 0 ends with it: whoever votes there later might have done so before.
            later = state._replace(number=max(state.number, 1))
            yield from self._each(later, text, ("decide", name, votes))
        if self.most is None or state.number < self.most:
            for name in self.spends:
                yield from self._ballot(state, name)

    def _each(
        self, state: State, text: str, request: tuple[object, ...]
    ) -> Iterator[tuple[tuple[Step, ...], State]]:
        """One of the operators is asked for this."""
        for at, before in enumerate(state.cells):
            after, answer = self.instances.step(before, request)
            if after != before and before not in state.cells[:at]:
                cells = tuple(sorted((*state.cells[:at], after, *state.cells[at + 1 :])))
                following = self._counted(state._replace(cells=cells))
                yield (Step(text, before, after, request, answer),), following

    def _ballot(self, state: State, name: str) -> Iterator[tuple[tuple[Step, ...], State]]:
        """The next round, for this transaction: every set of promisers, every set of voters."""
        number = state.number + 1
        opened = Step(f"round {number} is opened for {name}")
        for size in range(self.quorum, self.n + 1):
            for who in distinct(state.cells, size):
                promised = [self._promise(state.cells[at], number, name) for at in who]
                steps = tuple(step for step in promised if step is not None)
                given = tuple(sorted(step.answer for step in steps))
                if len(steps) < size or not self._permit(given, name):
                    continue
                cells = list(state.cells)
                for at, step in zip(who, steps, strict=True):
                    cells[at] = step.after
                for following, voted in self._votes(cells, ("ballot", name, given), number):
                    cells_ = tuple(sorted(following))
                    after = State(number, cells_, state.decided)
                    yield (opened, *steps, *voted), self._counted(after, voted)

    def _promise(self, cell: int, number: int, name: str) -> Step | None:
        request = ("promise", number, name)
        led = self._led(cell, number, name)
        after, answer = self.instances.step(led, request)
        if not isinstance(answer, int):
            return None
        text = f"promises ({number}, {name}) and reports {reported(self.instances, answer)}"
        return Step(text, cell, after, request, answer)

    def _votes(
        self, cells: Sequence[int], request: tuple[object, ...], number: int
    ) -> Iterator[tuple[Sequence[int], tuple[Step, ...]]]:
        text = f"votes for {request[1]} at ballot {number}"
        for size in range(1, self.n + 1):
            for who in distinct(cells, size):
                after, steps = list(cells), []
                for at in who:
                    after[at], answer = self.instances.step(cells[at], request)
                    if isinstance(answer, int):
                        steps.append(Step(text, cells[at], after[at], request, answer))
                if len(steps) == size:
                    yield after, tuple(steps)

    def _led(self, state: int, number: int, name: str) -> int:
        """One that lags, brought within n of the round that is open."""
        while True:
            _, answer = self.instances.step(state, ("promise", number, name))
            if not (isinstance(answer, Stood) and answer.rule == "RoundTooFar"):
                return state
            state, _ = self.instances.step(state, ("promise", answer.promised + self.n, name))

    def _permit(self, given: Certificate, name: str) -> bool:
        """Whether these promises, all together, allow a vote."""
        if (given, name) not in self._permits:
            instances = self.instances
            try:
                certificates.check_promises(
                    instances.scope, instances.real(given), instances.rivals[name]
                )
            except Refused:
                self._permits[given, name] = False
            else:
                self._permits[given, name] = True
        return self._permits[given, name]

    def _counted(self, state: State, voted: Sequence[Step] = ()) -> State:
        """With what is decided by the votes of the ballot that is under way."""
        known = dict(state.decided)
        votes: dict[str, list[int]] = {step.request[1]: [] for step in voted}
        for step in voted:
            votes[step.request[1]].append(step.answer)
        if state.number == 0:
            for cell in state.cells:
                for name, vote in self._fast(cell):
                    votes.setdefault(name, []).append(vote)
        for name, given in votes.items():
            if name not in known and len(given) >= self.quorum:
                chosen, instances = tuple(sorted(given)), self.instances
                real = instances.real(chosen)
                certificates.check_decision(instances.scope, real, instances.rivals[name])
                known[name] = chosen
        return state._replace(decided=tuple(sorted(known.items())))

    def _fast(self, cell: int) -> Iterator[tuple[str, int]]:
        """The vote at ballot 0 that stands."""
        acceptor = self.instances.acceptor(cell)
        for family, known in acceptor.memory.known.items():
            if known.vote is not None and known.vote.round == 0:
                yield self.instances.name(family), self.instances.number(known.vote)

    # What must hold

    def decided(self, state: State) -> Sequence[str]:
        return [name for name, _ in state.decided]

    def wrong(self, state: State) -> str:
        names = self.decided(state)
        if self.finisher.conflict(names):
            return f"{' and '.join(names)} are both decided"
        return ""

    def stuck(self, state: State) -> str:
        for up in itertools.combinations(enumerate(state.cells), self.quorum):
            said = self.finisher.stuck(up)
            if said:
                return said
        return ""

    def key(self, state: State) -> Hashable:
        shapes = self._rank([self._shape(cell) for cell in state.cells])
        return state.number > 0, tuple(sorted(shapes)), tuple(self.decided(state))

    def _ranked(self, up: Up) -> Hashable:
        """What finishing depends on: the votes, what was promised, who lags; rounds by rank."""
        promised = [tuple(place.promised[0] for place in self._places(cell)) for _, cell in up]
        highest = max(max(each) for each in promised)
        shapes = [self._shape(cell) for _, cell in up]
        rounds = {number for shape in shapes for number, *_ in shape}
        rounds |= {number for each in promised for number in each}
        rank = {number: at for at, number in enumerate(sorted({0, *rounds}))}
        return tuple(
            sorted(
                (
                    tuple((rank[number], *rest) for number, *rest in shape),
                    tuple((rank[number], highest - number >= self.n) for number in each),
                )
                for shape, each in zip(shapes, promised, strict=True)
            )
        )

    def _rank(self, shapes: Sequence[Shape]) -> list[Shape]:
        rounds = {number for shape in shapes for number, *_ in shape}
        rank = {number: at for at, number in enumerate(sorted({0, *rounds}))}
        return [tuple((rank[number], *rest) for number, *rest in shape) for shape in shapes]

    def _shape(self, state: int) -> Shape:
        if state not in self._shapes:
            places = self._places(state)
            self._shapes[state] = tuple(
                (
                    place.vote[0] if place.vote else 0,
                    self.instances.name(place.vote[1]) if place.vote else "",
                    place.decided is not None,
                )
                for place in places
            )
        return self._shapes[state]

    def _places(self, state: int) -> list[Place]:
        rivals, memory = self.instances.rivals, self.instances.acceptor(state).memory
        outpoints = sorted({o for of in rivals.values() for o in of.outpoints})
        return [memory.outpoints.get(outpoint) or Place() for outpoint in outpoints]


def distinct(cells: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """Which of the cells, so many of them, each choice of equal ones once."""
    seen = set()
    for who in itertools.combinations(range(len(cells)), size):
        chosen = tuple(sorted(cells[at] for at in who))
        if chosen not in seen:
            seen.add(chosen)
            yield who


def reported(instances: Instances, promise: int) -> str:
    """The reports of a promise, in words."""
    message = instances.message(promise)
    assert isinstance(message, Promise)
    found = {
        f"{instances.name(report.family)} at ballot {report.round}" if report.family else "no vote"
        for report in message.reports
    }
    return " and ".join(sorted(found))
