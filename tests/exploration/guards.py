"""Guards of the rules, each taken out of the real code by one narrow patch, and what then goes wrong.

The search runs on the acceptors without the guard, to the first state that must not be. Its
schedule is then played again on fresh acceptors, one for each operator, with the messages that
these very acceptors sign. A guard whose removal the search does not notice fails the campaign.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from grail.errors import Refused
from grail.operators import certificates, epochs, rounds
from grail.operators.messages import Family, Message, Open, Scope, Vote
from grail.operators.rounds import Acceptor

from .ballots import Ballots
from .instances import Certificate, Instances, signed_once
from .messages import Messages
from .search import Found, Model, Progress, search

TWO = {"A": "a", "B": "a"}

NARROW: dict[str, Any] = {"shown": False, "live": False, "fast": ("B",)}
"""Two decisions are looked for, no deadlocks; B alone is asked for at ballot 0."""


@dataclass(frozen=True)
class Guard:
    """What is taken out, where it stands, how, and the instance that is searched without it."""

    name: str
    stands_in: str
    without: Callable[[], AbstractContextManager[Any]]
    model: Callable[[], Model]


@dataclass(frozen=True)
class Counterexample:
    """The shortest way to a state that must not be; empty when there was none."""

    guard: str
    stands_in: str
    what: str
    states: int
    seconds: float
    schedule: tuple[str, ...]

    def __str__(self) -> str:
        head = f"without {self.guard} ({self.stands_in}): {self.what} ({self.states:,} states)"
        return "\n".join([head, *(f"  {i}. {step}" for i, step in enumerate(self.schedule, 1))])


def _patched(target: Any, name: str, made: Callable[[Any], Any]) -> AbstractContextManager[Any]:
    """`target.name` replaced by what `made` makes of it."""
    return mock.patch.object(target, name, made(getattr(target, name)))


def _no_arithmetic() -> AbstractContextManager[Any]:
    def made(real: Any) -> Any:
        def blocker(*args: Any) -> Any:
            found = real(*args)
            return found if found is not None and found[0] >= 1 else None

        return blocker

    return _patched(certificates, "blocker", made)


def _no_highest() -> AbstractContextManager[Any]:
    def made(real: Any) -> Any:
        def blocker(*args: Any) -> Any:
            found = real(*args)
            return found if found is not None and found[0] == 0 else None

        return blocker

    return _patched(certificates, "blocker", made)


def _no_recovery() -> AbstractContextManager[Any]:
    def handed_over(scope: Scope, key: Any, log: Any, **_: Any) -> Acceptor:
        return Acceptor(scope, key, log)

    return mock.patch.object(Acceptor, "handed_over", handed_over)


@contextmanager
def _no_consistency() -> Iterator[None]:
    with ExitStack() as stack:
        for module in (certificates, epochs):
            stack.enter_context(mock.patch.object(module, "consistent", return_value=True))
        yield


@contextmanager
def _too_few_grants() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Scope, "__post_init__", return_value=None))
        stack.enter_context(
            mock.patch.object(Scope, "recovery", property(lambda s: 2 * (s.n - s.quorum)))
        )
        yield


def _sent_again() -> AbstractContextManager[Any]:
    def made(real: Any) -> Any:
        def vote(self: Acceptor, proposal: Any, best: Any) -> Any:
            known, places = self.memory.lookup(proposal), self.memory.places(proposal)
            adopted = all(place.vote == (0, proposal.family) for place in places)
            if known is not None and known.vote is None and adopted and self.recovered:
                head = self.epochs.head(best)
                known.vote = Vote(head, 0, proposal.family, proposal.outpoints).signed(self.key)
            return real(self, proposal, best)

        return vote

    return _patched(Acceptor, "vote", made)


def _not_atomic() -> AbstractContextManager[Any]:
    def made(real: Any) -> Any:
        def vote(self: Acceptor, proposal: Any, best: Any) -> Any:
            table = self.memory.outpoints
            taken = {o: table[o] for o in proposal.outpoints if o in table and table[o].vote}
            if len(taken) < len(proposal.outpoints):
                for outpoint in taken:
                    del table[outpoint]
            answer = real(self, proposal, best)
            table.update(taken)
            return answer

        return vote

    return _patched(Acceptor, "vote", made)


def _any_size() -> AbstractContextManager[Any]:
    return mock.patch.object(Scope, "__post_init__", return_value=None)


def _shared_only() -> AbstractContextManager[Any]:
    def remove(self: Acceptor, proposal: Any) -> None:
        for place in self.memory.places(proposal):
            if place.vote is not None and place.vote[1] != proposal.family:
                place.vote = None

    return mock.patch.object(Acceptor, "_remove_rivals", remove)


def _promises_forgotten(method: str) -> Callable[[], AbstractContextManager[Any]]:
    """Nothing that was promised stands in the way of this method's ballot."""

    def made(real: Any) -> Any:
        def asked(self: Acceptor, first: Any, proposal: Any, *args: Any) -> Any:
            places = self.memory.places(proposal)
            before = [place.promised for place in places]
            below = (first.round if isinstance(first, Open) else first[0].round, Family(b""))
            for place in places:
                place.promised = min(place.promised, below)
            answer: Any = None
            try:
                answer = real(self, first, proposal, *args)
            finally:
                if not isinstance(answer, Message):
                    for place, promised in zip(places, before, strict=True):
                        place.promised = promised
            return answer

        return asked

    return lambda: _patched(Acceptor, method, made)


def _adopts(**nothing: Any) -> Callable[[], AbstractContextManager[Any]]:
    def made(real: Any) -> Any:
        return lambda *args: replace(real(*args), **nothing)

    return lambda: _patched(rounds, "adopt", made)


def _unaware() -> AbstractContextManager[Any]:
    def made(real: Any) -> Any:
        def note(self: epochs.Epochs, hello: Any) -> None:
            if hello.head.sender == self.index:
                real(self, hello)

        return note

    return _patched(epochs.Epochs, "note", made)


def _plain(*ballots: tuple[int, str]) -> Callable[[], Model]:
    return lambda: Messages("n=4 q=3, 2 rivals", 4, 3, TWO, ballots, **NARROW)


def _clone(ballot: tuple[int, str] = (1, "A"), **wider: Any) -> Model:
    name = "n=4 q=3, 2 rivals, operator 0 twice"
    return Messages(name, 4, 3, TWO, [ballot], restart=True, **{**NARROW, **wider})


GUARDS = (
    Guard(
        "the arithmetic of ballot 0 in P(r, F)",
        "certificates.blocker",
        _no_arithmetic,
        _plain((1, "A")),
    ),
    Guard(
        "the highest reported ballot in P(r, F)",
        "certificates.blocker",
        _no_highest,
        _plain((1, "A"), (2, "B")),
    ),
    Guard(
        "a promise being higher than all before",
        "Acceptor.promise",
        _promises_forgotten("promise"),
        _plain((1, "A"), (2, "B")),
    ),
    Guard(
        "a vote not being below a promise",
        "Acceptor.ballot",
        _promises_forgotten("ballot"),
        _plain((1, "A"), (2, "B")),
    ),
    Guard(
        "votes being for all outpoints or none",
        "Acceptor.vote",
        _not_atomic,
        lambda: Messages("n=4 q=3, {a,b} {b,c}", 4, 3, {"A": "ab", "B": "bc"}, []),
    ),
    Guard(
        "rivals' votes going on all their outpoints",
        "Acceptor._remove_rivals",
        _shared_only,
        lambda: Ballots("n=4 q=3, {a} {a,b} {b}", 4, 3, {"A": "a", "B": "ab", "C": "b"}, most=2),
    ),
    Guard(
        "3q > 2n",
        "Scope.__post_init__",
        _any_size,
        lambda: Ballots("n=3 q=2, 2 rivals", 3, 2, TWO),
    ),
    Guard(
        "recovery before an instance votes",
        "Acceptor.handed_over",
        _no_recovery,
        _clone,
    ),
    Guard(
        "the consistency of certificates",
        "certificates.consistent",
        _no_consistency,
        _clone,
    ),
    Guard(
        "a grantor knowing the newer instance from then on",
        "Epochs.note",
        _unaware,
        _clone,
    ),
    Guard(
        "enough grants (m = 3)",
        "Scope.recovery",
        _too_few_grants,
        lambda: _clone((1, "B"), fast=("A", "B")),
    ),
    Guard(
        "votes being taken over",
        "adoption.adopt",
        _adopts(votes=()),
        _clone,
    ),
    Guard(
        "promises being taken over",
        "adoption.adopt",
        _adopts(promised={}),
        _clone,
    ),
    Guard(
        "votes that were taken over not being sent",
        "Acceptor.vote",
        _sent_again,
        _clone,
    ),
)


def counterexample(guard: Guard, progress: Progress | None = None) -> Counterexample:
    """Take one guard out and search until something is wrong; then play it on fresh acceptors."""
    with guard.without(), signed_once():
        model = guard.model()
        seen = search(model, "", progress, first=True)
        schedule: tuple[str, ...] = ()
        what = "nothing goes wrong"
        if seen.found:
            what = seen.found[0].what
            schedule = replayed(model, seen.found[0])
    return Counterexample(guard.name, guard.stands_in, what, seen.states, seen.seconds, schedule)


def replayed(model: Model, found: Found) -> tuple[str, ...]:
    """The schedule in words, played on one fresh acceptor for each instance.

    Raises `AssertionError` when one of them answers otherwise than in the search, or when at the
    end no two conflicting decisions can be made of what was sent (unless the state is a deadlock).
    """
    instances = model.instances
    names, ranks, cells = map(list, zip(*model.seats(model.start()), strict=True))
    later = ["later" in name and not _first(instances) for name in names]
    acceptors = [instances.started(rank, new) for rank, new in zip(ranks, later, strict=True)]
    sent: list[tuple[int, int, Message]] = []  # number, rank, message
    lines = []

    def real(certificate: Certificate) -> Sequence[Message]:
        return next(chosen for chosen in _assigned(certificate, sent))

    for acceptor, rank, new in zip(acceptors, ranks, later, strict=True):
        if new:
            hello = instances.ask(acceptor, ("hello", 2), real)
            sent.append((instances.number(hello), rank, hello))
    for step in found.steps:
        if step.before is None:
            lines.append(step.text)
            continue
        at = cells.index(step.before)
        answer = instances.ask(acceptors[at], step.request, real)
        if isinstance(answer, Message):
            group = instances.sender(step.answer)
            assert instances.number(answer, group) == step.answer, step.text
            sent.append((step.answer, ranks[at], answer))
        cells[at] = step.after
        lines.append(f"{names[at]} {step.text}")
    if not found.stuck:
        proofs = dict(_proofs(instances, sent))
        assert len(proofs) > 1, f"the acceptors apart decide {sorted(proofs)} alone"
        lines += [f"{name} is decided by the votes of {who}" for name, who in proofs.items()]
    return (*lines, found.what)


def _first(instances: Instances) -> bool:
    """Whether later instances start as first ones do: the guard is out."""
    return instances.started(0, later=True).recovered


def _assigned(
    certificate: Certificate, sent: Sequence[tuple[int, int, Message]]
) -> Iterator[tuple[Message, ...]]:
    """Every way to take these messages from different operators."""
    options = [[(rank, m) for number, rank, m in sent if number == each] for each in certificate]
    for chosen in itertools.product(*options):
        if len({rank for rank, _ in chosen}) == len(chosen):
            yield tuple(message for _, message in chosen)


def _proofs(
    instances: Instances, sent: Sequence[tuple[int, int, Message]]
) -> Iterator[tuple[str, str]]:
    """What the votes sent decide, and whose they are."""
    quorum = instances.scope.quorum
    for name, of in instances.rivals.items():
        votes = [m for *_, m in sent if isinstance(m, Vote) and m.family == of.family]
        for chosen in itertools.combinations(votes, quorum):
            try:
                found = certificates.check_decision(instances.scope, chosen, of)
            except Refused:
                continue
            who = ", ".join(str(vote.head.sender) for vote in chosen)
            yield name, f"operators {who} at ballot {found.round}"
            break
