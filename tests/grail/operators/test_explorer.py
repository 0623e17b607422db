"""Every reachable state of a small instance, on the real acceptors (ROUNDS.md, Explorer).

Messages only accumulate: a coordinator may show any subset to anyone at any time, so a state is the
set of what each acceptor holds. Here all fast votes and all ballots up to a round are tried, with
every certificate that the acceptors' own answers allow. At every state no two conflicting decisions
exist; and from every state an honest coordinator that reaches a quorum finishes one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from simulator import TIP, acceptors, proposal

from grail.crypto import schnorr
from grail.crypto.schnorr import KeyPair
from grail.errors import Refused
from grail.operators.certificates import Proposal, blocker, check_decision, check_promises
from grail.operators.memory import Memory
from grail.operators.messages import Open, Promise, Vote
from grail.operators.rounds import Acceptor
from grail.types import XOnlyKey

RIVALS = {
    "two on one outpoint": (proposal("A", "a"), proposal("B", "a")),
    "overlapping": (proposal("A", "ab"), proposal("B", "bc")),
    "three in a ring": (proposal("A", "ab"), proposal("B", "bc"), proposal("C", "ca")),
}


ROUNDS = 1
"""Classic rounds after the fast ballot that are searched in full; finishing takes more of them."""


@dataclass
class State:
    """The acceptors, and every vote that was ever sent."""

    acceptors: list[Acceptor]
    sent: set[tuple[int, int, bytes]] = field(default_factory=set)
    votes: list[tuple[int, Vote]] = field(default_factory=list)
    round: int = 0

    def key(self) -> object:
        """Equal for states that only differ in which acceptor is which."""
        per = []
        for index, acceptor in enumerate(self.acceptors):
            mine = frozenset((r, f) for i, r, f in self.sent if i == index)
            places = tuple(
                sorted(
                    (o.serialize(), place.promised, place.vote)
                    for o, place in acceptor.memory.outpoints.items()
                )
            )
            per.append((places, mine))
        return self.round, tuple(sorted(per, key=repr))

    def clone(self) -> State:
        """A copy whose acceptors remember apart."""
        return State(
            [fork(a) for a in self.acceptors], set(self.sent), list(self.votes), self.round
        )

    def keep(self, index: int, answer: object) -> None:
        """A vote that was sent stays in the network for ever."""
        if isinstance(answer, Vote):
            place = (index, answer.round, answer.family)
            if place not in self.sent:
                self.sent.add(place)
                self.votes.append((index, answer))


def fork(acceptor: Acceptor) -> Acceptor:
    """The same memory, to go on from apart; scope, key and messages are never changed."""
    made = copy.copy(acceptor)
    made.memory = Memory(
        {o: copy.copy(place) for o, place in acceptor.memory.outpoints.items()},
        {f: copy.copy(known) for f, known in acceptor.memory.known.items()},
    )
    return made


def decided(state: State, rivals: Sequence[Proposal], quorum: int) -> list[Proposal]:
    """Everything that the votes ever sent decide."""
    found = []
    for of in rivals:
        for number in range(state.round + 1):
            votes = [v for _, v in state.votes if (v.round, v.family) == (number, of.family)]
            if len(votes) >= quorum:
                check_decision(state.acceptors[0].scope, votes, of)
                found.append(of)
                break
    return found


def fast(state: State, rivals: Sequence[Proposal]) -> Iterator[State]:
    """Ballot 0: each acceptor may vote for any of the rivals that it still can."""
    for index, of in itertools.product(range(len(state.acceptors)), rivals):
        after = state.clone()
        after.keep(index, after.acceptors[index].vote(of, TIP))
        yield after


def ballots(state: State, rivals: Sequence[Proposal], quorum: int) -> Iterator[State]:
    """The next round for each rival: every set of promisers, every set of voters."""
    n = len(state.acceptors)
    number = state.round + 1
    for of in rivals:
        opened = fork(state.acceptors[number % n]).open(number, of, TIP)
        if not isinstance(opened, Open):
            continue
        for size in range(quorum, n + 1):
            for who in itertools.combinations(range(n), size):
                promised = state.clone()
                promised.round = number
                promises = [promised.acceptors[i].promise(opened, of, TIP) for i in who]
                given = [p for p in promises if isinstance(p, Promise)]
                yield promised
                if len(given) < quorum or blocker(n, quorum, given, of) is not None:
                    continue
                check_promises(state.acceptors[0].scope, given, of)
                for voters in itertools.chain.from_iterable(
                    itertools.combinations(range(n), k) for k in range(1, n + 1)
                ):
                    voted = promised.clone()
                    for i in voters:
                        voted.keep(i, voted.acceptors[i].ballot(given, of, TIP))
                    yield voted


def conflict(found: Sequence[Proposal]) -> bool:
    """Whether two of them spend one outpoint."""
    return any(
        set(one.outpoints) & set(two.outpoints) for one, two in itertools.combinations(found, 2)
    )


def finish(
    state: State, up: Sequence[int], rivals: Sequence[Proposal], quorum: int
) -> Proposal | None:
    """An honest coordinator among `up`: blockers first, as in b. What it decides, or None."""
    n = len(state.acceptors)
    after = state.clone()
    number, target = state.round + 1, rivals[0]
    for _ in range(2 * n + 2 * len(rivals)):
        number += 1
        if number % n not in up:
            continue
        opened = after.acceptors[number % n].open(number, target, TIP)
        if not isinstance(opened, Open):
            continue
        promises = [after.acceptors[i].promise(opened, target, TIP) for i in up]
        given = [p for p in promises if isinstance(p, Promise)]
        # Who lags behind is shown what the others promised, as the coordinator does.
        for i, answer in zip(up, promises, strict=True):
            if not isinstance(answer, Promise):
                again = after.acceptors[i].promise(opened, target, TIP, given)
                given += [again] if isinstance(again, Promise) else []
        if len(given) < quorum:
            continue
        blocking = blocker(n, quorum, given, target)
        if blocking is not None:
            target = next(of for of in rivals if of.family == blocking[1])
            continue
        votes = [after.acceptors[i].ballot(given, target, TIP) for i in up]
        if sum(isinstance(vote, Vote) for vote in votes) >= quorum:
            return target
    return None


@pytest.fixture(autouse=True)
def signed_once(monkeypatch):
    """Sign and verify each message once: the search meets the same ones thousands of times."""
    sign, verify = KeyPair.sign, schnorr.verify
    signatures: dict[tuple[bytes, bytes], bytes] = {}
    good: set[tuple[bytes, bytes, bytes]] = set()

    def sign_once(self: KeyPair, digest: bytes) -> bytes:
        if (self.public, digest) not in signatures:
            signatures[self.public, digest] = sign(self, digest)
        return signatures[self.public, digest]

    def verify_once(key: XOnlyKey, digest: bytes, signature: bytes) -> None:
        if (key, digest, signature) not in good:
            verify(key, digest, signature)
            good.add((key, digest, signature))

    monkeypatch.setattr(KeyPair, "sign", sign_once)
    monkeypatch.setattr(schnorr, "verify", verify_once)


@pytest.mark.parametrize("name", RIVALS)
def test_S16_no_reachable_state_has_two_decisions_and_each_can_be_finished(name):
    n, quorum = 4, 3
    rivals = RIVALS[name]
    start = State(acceptors(n, quorum))
    seen = {start.key(): start}
    todo = [start]
    decisions = 0
    while todo:
        state = todo.pop()
        found = decided(state, rivals, quorum)
        assert not conflict(found), name
        decisions += bool(found)
        for up in itertools.combinations(range(n), quorum):
            end = finish(state, up, rivals, quorum)
            assert end is not None, f"{name}: stuck with {up} up"
            assert not conflict([*found, *({end} - set(found))]), name
        following = fast(state, rivals) if state.round == 0 else iter(())
        if state.round < ROUNDS:
            following = itertools.chain(following, ballots(state, rivals, quorum))
        for after in following:
            key = after.key()
            if key not in seen:
                seen[key] = after
                todo.append(after)
    assert decisions, "a search that decides nothing shows nothing"
    assert len(seen) > 20


def test_S16_with_too_small_a_quorum_the_explorer_gets_stuck():
    """The control: 2 of 3 breaks 3q > 2n, and the scope refuses it before anything can happen."""
    with pytest.raises(Exception, match="expected 3q > 2n"):
        acceptors(3, 2)
    # The certificate's rule alone, at n = 3 and q = 2: one vote each, and both rivals are blocked.
    one, two = RIVALS["two on one outpoint"]
    all_ = acceptors(3, 3)
    all_[0].vote(one, TIP)
    all_[1].vote(two, TIP)
    opened = all_[1].open(1, one, TIP)
    given = [a.promise(opened, one, TIP) for a in all_[:2]]
    assert blocker(3, 2, given, one) is not None
    assert blocker(3, 2, given, two) is not None
    with pytest.raises(Refused):
        check_promises(all_[0].scope, given, one)
