"""The honest coordinator (ROUNDS.md, COORDINATOR a to c) among the operators that are up.

It works on the same acceptors, sees only what they answer, and must bring everything to a decision
that is not in conflict with something decided. A state from which it cannot is a deadlock.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from simulator import TIP

from grail.operators import certificates
from grail.operators.messages import Open
from grail.operators.rounds import Acceptor

from .instances import Certificate, Instances, Stood, fork

Up = tuple[tuple[int, int], ...]
"""The operators that answer: rank and state of each."""


@dataclass
class Finisher:
    """Finishes what can be finished, and remembers from where it could.

    `form` is equal for operators from which finishing goes the same way.
    """

    instances: Instances
    form: Callable[[Up], Hashable] = lambda up: up
    _ends: dict[tuple[Hashable, tuple[str, ...]], tuple[str, ...] | None] = field(
        default_factory=dict, repr=False
    )
    _blockers: dict[tuple[Certificate, str], str] = field(default_factory=dict, repr=False)
    _opens: dict[tuple[int, int, int, str], bool] = field(default_factory=dict, repr=False)

    def stuck(self, up: Up, left_out: Sequence[str] = ()) -> str:
        """What cannot be finished with these up, or nothing. Each transaction has its turn."""
        names = [name for name in self.instances.rivals if name not in left_out]
        form = self.form(up)
        for at in range(len(names)):
            order = (*names[at:], *names[:at])
            if self._ends_of(form, up, order) is None:
                who = ", ".join(str(index) for index, _ in up)
                return f"operators {who} are up and cannot finish {' or '.join(order)}"
        return ""

    def _ends_of(self, form: Hashable, up: Up, order: tuple[str, ...]) -> tuple[str, ...] | None:
        """What is decided when each of these is brought to its end in turn; None when one is not."""
        key = (form, order)
        if key not in self._ends:
            self._ends[key] = self._all(up, order)
        return self._ends[key]

    def _all(self, up: Up, order: tuple[str, ...]) -> tuple[str, ...] | None:
        finished: list[str] = []
        for mine in order:
            while mine not in finished and not self.conflict([*finished, mine]):
                ended = self._one(up, mine)
                if ended is None or ended[0] in finished or self.conflict([*finished, ended[0]]):
                    return None
                finished.append(ended[0])
                up = ended[1]
        return tuple(finished)

    def conflict(self, names: Sequence[str]) -> bool:
        """Whether two of these spend one outpoint."""
        rivals = self.instances.rivals
        return any(
            set(rivals[one].outpoints) & set(rivals[two].outpoints)
            for one, two in itertools.combinations(names, 2)
        )

    def _one(self, up: Up, mine: str) -> tuple[str, Up] | None:
        """Bring one to its end: it, or another that is found in its way, is decided."""
        scope = self.instances.scope
        target = mine
        for _ in range(6 * scope.n):
            number = self._next(up, target)
            if number is None:
                return None
            states, given, taken = self._promises(up, number, target)
            up = states
            if taken is not None:
                return self._conclude(up, taken.family, taken.decision)
            if len(given) < scope.quorum:
                continue
            blocking = self.blocker(given, target)
            if blocking:
                target = blocking
                continue
            asked = [
                (index, *self.instances.step(state, ("ballot", target, given)))
                for index, state in up
            ]
            up = tuple((index, state) for index, state, _ in asked)
            votes = tuple(sorted(answer for *_, answer in asked if isinstance(answer, int)))
            if len(votes) >= scope.quorum:
                return self._conclude(up, target, votes)
        return None

    def _next(self, up: Up, name: str) -> int | None:
        """The round to ask for: above all promised, or else the highest that leads up who lags.

        No round is promised or opened more than n above what an operator knows of, so one that
        lags is brought nearer first, by rounds that the others may refuse.
        """
        n, states = self.instances.scope.n, dict(up)
        promised = [self._promised(state, name) for state in states.values()]
        above = max(promised)
        if above - min(promised) >= n:
            rounds = range(min(promised) + n, min(promised), -1)
        else:
            rounds = range(above + 1, above + n + 1)
        for number in rounds:
            if number % n in states and self._open(states[number % n], number, name):
                return number
        # Nobody near the lowest opens it: from the top after all.
        return next(
            (
                number
                for number in range(above + 1, above + n + 1)
                if number % n in states and self._open(states[number % n], number, name)
            ),
            None,
        )

    def _promises(self, up: Up, number: int, target: str) -> tuple[Up, Certificate, Stood | None]:
        states = dict(up)
        given: dict[int, int] = {}
        for shown in (False, True):
            evidence = (tuple(sorted(given.values())),) if shown else ()
            for index, state in up:
                if index in given:
                    continue
                request = ("promise", number, target, *evidence)
                states[index], answer = self.instances.step(state, request)
                if isinstance(answer, int):
                    given[index] = answer
                elif isinstance(answer, Stood) and answer.decision:
                    return tuple(states.items()), (), answer
            if len(given) == len(up) or not given:
                break
        return tuple(states.items()), tuple(sorted(given.values())), None

    def _conclude(self, up: Up, name: str, votes: Certificate) -> tuple[str, Up] | None:
        """Hand D(F) to all; whoever gets it may sign. Nobody may refuse it."""
        asked = [
            (index, *self.instances.step(state, ("decide", name, votes))) for index, state in up
        ]
        if any(answer != "decided" for *_, answer in asked):
            return None
        return name, tuple((index, state) for index, state, _ in asked)

    def _promised(self, state: int, name: str) -> int:
        """The highest round promised on its outpoints, as a standing tells it."""
        acceptor = self.instances.acceptor(state)
        places = acceptor.memory.places(self.instances.rivals[name])
        return max(place.promised[0] for place in places)

    def _open(self, state: int, number: int, name: str) -> bool:
        """Whether the round's own operator opens it."""
        index = number % self.instances.scope.n
        key = (state, index, number, name)
        if key not in self._opens:
            opener: Acceptor = fork(self.instances.acceptor(state, index))
            answer = opener.open(number, self.instances.rivals[name], TIP)
            # One that holds a decision stands in its own way: whoever asks for promises is told.
            decided = not isinstance(answer, Open) and bool(answer.decision)
            self._opens[key] = isinstance(answer, Open) or decided
        return self._opens[key]

    def blocker(self, promises: Certificate, name: str) -> str:
        """Which transaction these promises name before this one, or nothing."""
        key = (promises, name)
        if key not in self._blockers:
            instances, scope = self.instances, self.instances.scope
            found = certificates.blocker(
                scope.n, scope.quorum, instances.real(promises), instances.rivals[name]
            )
            self._blockers[key] = "" if found is None else instances.name(found[1])
        return self._blockers[key]
