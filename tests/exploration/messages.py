"""The search over messages: every interleaving, and a second instance of operator 0.

Whoever coordinates holds every message ever sent and shows any subset to anyone at any time. With
`restart`, operator 0 has two instances from the start, since one that has sent nothing is not to be
seen: the old one, which goes on for ever or stops at any moment (silence is a crash, an old memory
is a rollback, both alive is a clone), and a later one with the same key, which asks for an epoch.
The grants for it are made and arrive one by one.

With `blocks`, a transaction that spends an own input of these rivals confirms at any moment, each
operator hears of its block when it likes, and a reorganisation may take it away again for each.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator import proposal, scope

from grail.errors import Refused
from grail.operators import certificates
from grail.operators.messages import Promise, Vote

from .ballots import reported
from .finishing import Finisher, Up
from .instances import Certificate, Instances, Request
from .search import Step

OLD, NEW, OTHERS = 0, 1, 2
EPOCH = 2


class Cell(NamedTuple):
    """An instance: its state, and every message that it sent."""

    state: int
    sent: tuple[int, ...] = ()


class Pool(NamedTuple):
    """All messages ever sent: what can be asked with them, what they decide, any grant or none."""

    number: int
    requests: tuple[Request, ...]
    proven: tuple[str, ...]
    granted: bool


State = tuple[int, ...]
"""Cells by number: the instances of operator 0 if it has two, and the other operators, sorted."""


@dataclass
class Messages:
    """All states of these rivals among n operators, with these ballots besides ballot 0.

    Without `shown` no decision is shown to anybody: what is decided is looked for all the same.
    `fast` are those asked for at ballot 0, all unless told. `live` looks for deadlocks.
    """

    name: str
    n: int
    quorum: int
    spends: Mapping[str, str]
    ballots: Sequence[tuple[int, str]]
    restart: bool = False
    shown: bool = True
    fast: Sequence[str] | None = None
    live: bool = True
    instances: Instances = field(init=False, repr=False)
    finisher: Finisher = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rivals = {name: proposal(name, spends) for name, spends in self.spends.items()}
        every = range(self.n)
        self.instances = Instances(
            scope(self.n, self.quorum),
            rivals,
            ((0,), (0,), every[1:]) if self.restart else ((), (), every),
            frozenset({NEW}),
        )
        self.finisher = Finisher(self.instances)
        self._special = 2 if self.restart else 0
        self._cells: list[Cell] = []
        self._cell_numbers: dict[Cell, int] = {}
        self._pools: dict[tuple[tuple[int, ...], ...], Pool] = {}
        self._after: dict[tuple[int, int, int], list[tuple[tuple[Step, ...], int]]] = {}
        self._ends: dict[tuple[int, ...], str] = {}
        self._last: tuple[State, Pool] | None = None

    def start(self) -> State:
        others = self._number(Cell(self.instances.fresh(OTHERS)))
        if not self.restart:
            return (others,) * self.n
        later = Cell(self.instances.fresh(NEW))
        if not self.instances.acceptor(later.state).recovered:
            state, hello = self.instances.step(later.state, ("hello", EPOCH))
            assert isinstance(hello, int)
            later = Cell(state, (hello,))
        old = Cell(self.instances.fresh(OLD))
        return (self._number(old), self._number(later), *(others,) * (self.n - 1))

    def _number(self, cell: Cell) -> int:
        if cell not in self._cell_numbers:
            self._cell_numbers[cell] = len(self._cells)
            self._cells.append(cell)
        return self._cell_numbers[cell]

    def key(self, state: State) -> Hashable:
        return state

    def seats(self, state: State) -> list[tuple[str, int, int]]:
        """Who is who at the start: name, rank, cell."""
        special = ["operator 0", "operator 0's later instance"][: self._special]
        first = 1 if special else 0
        return [(name, 0, cell) for name, cell in zip(special, state, strict=False)] + [
            (f"operator {first + at}", first + at, cell)
            for at, cell in enumerate(state[len(special) :])
        ]

    # What may happen

    def following(self, state: State) -> Iterator[tuple[tuple[Step, ...], State]]:
        pool, special = self._pool(state), self._special
        for at, cell in enumerate(state):
            if at > special and state[at - 1] == cell:
                continue  # another operator in the very same state
            group = min(at, OTHERS) if special else OTHERS
            for steps, after in self._steps(cell, group, pool):
                changed = [*state[:at], after, *state[at + 1 :]]
                yield steps, (*changed[:special], *sorted(changed[special:]))

    def _steps(self, number: int, group: int, pool: Pool) -> list[tuple[tuple[Step, ...], int]]:
        """All that the messages in the pool, and anybody's requests, can make of an instance."""
        key = (number, group, pool.number)
        if key not in self._after:
            cell, found = self._cells[number], dict[int, tuple[Step, ...]]()
            for request in pool.requests:
                if request[0] == "recover" and group != NEW:
                    continue
                state, answer = self.instances.step(cell.state, request)
                sent = cell.sent
                if isinstance(answer, int) and answer not in sent:
                    sent = tuple(sorted((*sent, answer)))
                after = self._number(Cell(state, sent))
                if after != number and after not in found:
                    text = self._text(request, answer)
                    found[after] = (Step(text, number, after, request, answer),)
            self._after[key] = [(steps, after) for after, steps in found.items()]
        return self._after[key]

    def _pool(self, state: State) -> Pool:
        """All messages ever sent, and what can be done with them."""
        if self._last is None or self._last[0] != state:
            special = self._special
            sent = [self._cells[cell].sent for cell in state]
            key = (*sent[:special], *sorted(sent[special:]))
            if key not in self._pools:
                senders = [tuple(itertools.chain(*sent[:special])), *sent[special:]]
                self._pools[key] = Pool(len(self._pools), *self._read(senders))
            self._last = (state, self._pools[key])
        return self._last[1]

    def _read(
        self, senders: Sequence[tuple[int, ...]]
    ) -> tuple[tuple[Request, ...], tuple[str, ...], bool]:
        """What can be asked with these messages, and what they prove to be decided."""
        message = self.instances.message
        by: dict[tuple[str, int, str], list[list[int]]] = {}
        grants: list[list[int]] = []
        requests: list[Request] = [
            ("vote", name) for name in (self.spends if self.fast is None else self.fast)
        ]
        requests += [("promise", *ballot) for ballot in self.ballots]
        for sent in senders:
            mine: dict[tuple[str, int, str], list[int]] = {}
            for number in sent:
                said = message(number)
                if isinstance(said, (Vote, Promise)):
                    name = self.instances.name(said.family)
                    mine.setdefault((said.KIND, said.round, name), []).append(number)
                elif said.KIND == "hello":
                    requests.append(("grant", number))
                else:
                    grants.append([number])
            for key, numbers in mine.items():
                by.setdefault(key, []).append(numbers)
        proven = []
        for (kind, _, name), numbers in sorted(by.items()):
            for chosen in choices(numbers, self.quorum):
                if kind == "promise":
                    requests.append(("ballot", name, chosen))
                elif self._decides(name, chosen):
                    proven.append(name)
                    if self.shown:
                        requests.append(("decide", name, chosen))
        for chosen in choices(grants, self.instances.scope.recovery):
            requests.append(("recover", chosen))
        return tuple(requests), tuple(sorted(set(proven))), bool(grants)

    def _decides(self, name: str, votes: Certificate) -> bool:
        instances = self.instances
        try:
            certificates.check_decision(
                instances.scope, instances.real(votes), instances.rivals[name]
            )
        except Refused:
            return False
        return True

    # What must hold

    def decided(self, state: State) -> Sequence[str]:
        return self._pool(state).proven

    def wrong(self, state: State) -> str:
        names = self.decided(state)
        if len(names) > 1 and self.finisher.conflict(names):
            return f"{' and '.join(names)} are both decided"
        return ""

    def stuck(self, state: State) -> str:
        if not self.live:
            return ""
        cells = self._cells
        key = (self._pool(state).granted, *(cells[cell].state for cell in state))
        if key not in self._ends:
            ups = self._ups(key[1:], granted=key[0])
            self._ends[key] = next(filter(None, map(self.finisher.stuck, ups)), "")
        return self._ends[key]

    def _ups(self, states: Sequence[int], *, granted: bool) -> Iterator[Up]:
        """Every quorum that may be all that is left; operator 0 by its newest instance.

        While that one recovers it is not among them: m others are needed, and at these sizes these
        are all. Once one of them has granted it an epoch, the old one counts for nothing.
        """
        special = self._special
        others = sorted(states[special:])
        seats = list(enumerate(others, 1 if special else 0))
        if special:
            old, new = states[:special]
            if self.instances.acceptor(new).recovered:
                seats.append((0, new))
            elif not granted:
                seats.append((0, old))
        yield from itertools.combinations(seats, self.quorum)

    def _text(self, request: Request, answer: object) -> str:
        match request:
            case ("vote", name):
                return f"votes for {name} at ballot 0"
            case ("promise", number, name):
                assert isinstance(answer, int)
                return f"promises ({number}, {name}) and reports {reported(self.instances, answer)}"
            case ("ballot", name, chosen):
                number = self.instances.message(chosen[0]).round  # type: ignore[attr-defined]
                return f"votes for {name} at ballot {number}"
            case ("decide", name, _):
                return f"is shown the decision for {name}"
            case ("grant", _):
                return "grants operator 0's later instance its epoch"
            case ("recover", chosen):
                return f"recovers with {len(chosen)} grants"
        return f"is asked for {request}: {answer}"


def choices(senders: Sequence[Sequence[int]], least: int) -> list[Certificate]:
    """Every way to take a message each from at least so many of the senders."""
    found = {
        tuple(sorted(number for number in chosen if number >= 0))
        for chosen in itertools.product(*((-1, *numbers) for numbers in senders))
        if sum(number >= 0 for number in chosen) >= least
    }
    return sorted(found)
