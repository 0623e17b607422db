"""Every reachable state of small instances, on the real acceptors, and what each guard is for."""

from __future__ import annotations

import pytest
from exploration.ballots import Ballots
from exploration.finishing import Finisher
from exploration.guards import GUARDS, counterexample
from exploration.instances import Instances, fork, signed_once
from exploration.search import search
from explorer import LARGE, ONE, SMALL, explore
from simulator import TIP, acceptors, proposal, scope

from grail.errors import InvalidInput
from grail.operators.rounds import Acceptor

# Those whose schedule takes a search of seconds, not of many seconds.
QUICK = [
    guard
    for guard in GUARDS
    if guard.name
    in {
        "the arithmetic of ballot 0 in P(r, F)",
        "votes being for all outpoints or none",
        "rivals' votes going on all their outpoints",
        "3q > 2n",
        "recovery before an instance votes",
        "the consistency of certificates",
        "votes being taken over",
        "promises being taken over",
        "votes that were taken over not being sent",
    }
]


def held(name):
    """An instance without a state that must not be; a search that decides nothing shows nothing."""
    seen = explore(name, LARGE[name])
    assert (seen.deadlocks, seen.violations) == (0, 0), seen.found
    assert seen.decisions, name
    assert seen.verdict in ("closed", "exhausted", "exhausted to that depth")
    return seen


@pytest.mark.parametrize("name", [name for name in SMALL if "twice" not in name])
def test_S16_no_reachable_state_has_two_decisions_and_each_can_be_finished(name):
    assert held(name).states > 500


def test_P1_K1_no_order_of_restart_rollback_and_clone_decides_two():
    """Operator 0 has two instances that both go on; all messages, in every order."""
    assert held("operator 0 twice, 2 rivals, ballots 0 and (1,A)").states > 10_000


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in LARGE if name not in SMALL])
def test_S16_larger_instances_hold_too(name):
    held(name)


@pytest.mark.parametrize("guard", QUICK, ids=lambda guard: guard.name)
def test_S16_without_a_guard_something_goes_wrong(guard):
    """Each guard is taken out of the real code; the schedule is played on fresh acceptors too."""
    case = counterexample(guard)
    assert case.schedule, str(case)
    assert case.schedule[-1] == case.what


@pytest.mark.nightly
@pytest.mark.parametrize(
    "guard", [guard for guard in GUARDS if guard not in QUICK], ids=lambda guard: guard.name
)
def test_S16_without_another_guard_something_goes_wrong(guard):
    assert counterexample(guard).schedule


def test_S16_with_too_small_a_quorum_the_explorer_gets_stuck():
    """The control: 2 of 3 breaks 3q > 2n. The scope refuses it; without the scope's check it sticks."""
    with pytest.raises(InvalidInput, match="expected 3q > 2n"):
        acceptors(3, 2)
    (guard,) = (guard for guard in GUARDS if guard.name == "3q > 2n")
    with guard.without(), signed_once():
        seen = search(Ballots("2 of 3", 3, 2, ONE), "closed")
    assert seen.deadlocks > 0
    assert seen.violations == 0


def test_the_explorer_forks_all_that_an_acceptor_remembers():
    """Nothing that one fork does is seen by the other."""
    first = acceptors(4, 3)[0]
    before = first.state_hash()
    later = fork(first)
    assert isinstance(later, Acceptor)
    assert later.state_hash() == before
    later.vote(proposal("A"), TIP)
    assert first.state_hash() == before != later.state_hash()
    asks = Acceptor.handed_over(scope(4, 3), acceptors(4, 3)[1].key, first.log)
    before = first.state_hash()
    fork(first).grant(asks.hello(2, TIP), TIP)
    assert first.state_hash() == before


def test_the_explorer_says_when_a_transaction_cannot_be_finished():
    """Two that are up are no quorum of three."""
    with signed_once():
        instances = Instances(scope(4, 3), {"A": proposal("A")}, (range(4),))
        fresh = instances.fresh(0)
        finisher = Finisher(instances)
        assert finisher.stuck(((0, fresh), (1, fresh), (2, fresh))) == ""
        assert finisher.stuck(((0, fresh), (1, fresh))).startswith("operators 0, 1 are up")
