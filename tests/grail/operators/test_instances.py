"""Rules 6 and 7: restart, rollback, clone, takeover, replicas, on the real acceptors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from simulator import (
    NETWORK,
    TIP,
    acceptors,
    balloted,
    keys,
    opened,
    promised,
    proposal,
    scope,
    voted,
)

from grail.crypto.schnorr import KeyPair
from grail.errors import InvalidInput, Refused
from grail.operators import certificates, epochs, rounds, takeover
from grail.operators.adoption import adopt
from grail.operators.certificates import Decision, Proposal, check_decision
from grail.operators.grants import Claim, Grant, Hello, Page
from grail.operators.memory import Known
from grail.operators.messages import Open, Scope, Standing, Vote
from grail.operators.rounds import Acceptor
from grail.operators.spent import Spend, SpentLog
from grail.types import BlockHash

A, B, C = proposal("A", "a"), proposal("B", "a"), proposal("C", "ab")


def handed_over(index: int, n: int = 16, q: int = 12) -> Acceptor:
    """A new instance of an operator, with the old one's key and nothing else."""
    return Acceptor.handed_over(scope(n, q), keys(n)[index], SpentLog(lambda _: 0, 1, 6))


def granted(hello: Hello, who: Sequence[Acceptor]) -> tuple[list[Grant], list[bytes]]:
    """Grants, and all pages that they name."""
    given = [acceptor.grant(hello, TIP) for acceptor in who]
    return [each.grant for each in given], list({p for each in given for p in each.pages})


def restarted(index: int, who: Sequence[Acceptor], epoch: int = 2) -> Acceptor:
    """A new instance that these granted an epoch."""
    new = handed_over(index, who[0].scope.n, who[0].scope.quorum)
    grants, pages = granted(new.hello(epoch, TIP), who)
    assert new.recover(grants, pages) == ()
    assert new.recovered
    assert new.epoch == epoch
    return new


def refused(acceptor: Acceptor, rule: str, call: object, *given: object) -> Refused:
    """The call is refused by that rule, and nothing has changed (S34)."""
    before = acceptor.state_hash()
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*given)
    assert caught.value.rule == rule
    assert acceptor.state_hash() == before
    return caught.value


# the parameters


def test_the_least_recovery_quorum():
    assert scope().recovery == 9
    assert (scope(4, 3).recovery, scope(5, 4).recovery) == (3, 3)
    for n, q in itertools.product(range(1, 33), range(1, 33)):
        if q <= n and 3 * q > 2 * n:
            unique = (m for m in range(1, 2 * n) if 2 * ((q - 1) - (n - 1) + m) > m)
            assert scope(n, q).recovery == next(unique)


def test_both_parameter_conditions_are_asserted(monkeypatch):
    with pytest.raises(InvalidInput, match="3q > 2n"):
        scope(16, 10)
    monkeypatch.setattr(Scope, "recovery", 8)
    with pytest.raises(InvalidInput, match="expected 2"):
        scope()


# rule 6: the new instance


def test_S16_an_instance_without_an_epoch_says_nothing():
    others = acceptors()
    new = handed_over(0)
    assert (new.epoch, new.recovered) == (0, False)
    by = opened(others, 1, A)
    given = promised(others[1:], by, A)
    refused(new, "NotRecovered", new.vote, A, TIP)
    refused(new, "NotRecovered", new.open, 16, A, TIP)
    refused(new, "NotRecovered", new.promise, by, A, TIP)
    refused(new, "NotRecovered", new.ballot, given, A, TIP)
    refused(new, "NotRecovered", new.grant, handed_over(1).hello(2, TIP), TIP)


def test_rule_4_needs_no_epoch():
    """An instance that was never granted one signs what was decided, and keeps the decision."""
    others = acceptors()
    votes = voted(others, A)
    new = handed_over(0)
    assert isinstance(new.decide(votes[1:13], A), Decision)
    grants, pages = granted(new.hello(2, TIP), others[1:10])
    new.recover(grants, pages)
    standing = new.vote(B, TIP)
    assert isinstance(standing, Standing)
    assert (standing.rule, standing.family) == ("OutpointTaken", A.family)


def test_a_drawn_key_needs_nobody():
    one = acceptors()[0]
    assert (one.epoch, one.recovered) == (1, True)
    refused(one, "NotReplaced", one.hello, 2, TIP)


def test_the_same_question_twice():
    new = handed_over(0)
    first = new.hello(2, TIP)
    assert new.hello(2, TIP) == first
    refused(new, "EpochTaken", new.hello, 1, TIP)
    refused(new, "EpochTaken", new.hello, 0, TIP)
    assert new.hello(3, TIP).nonce != first.nonce
    assert handed_over(0).hello(2, TIP).instance != first.instance


def test_S16_fewer_grants_than_m_recover_nobody():
    others = acceptors()
    new = handed_over(0)
    grants, _ = granted(new.hello(2, TIP), others[1:10])
    refused(new, "NotGranted", new.recover, grants[:8])
    refused(new, "NotGranted", new.recover, [*grants[:8], grants[0]])
    own = restarted(0, others[1:10], 3)
    assert own.epoch == 3
    assert new.recover(grants) == ()


def test_S32_grants_are_for_one_question():
    """Of another nonce, epoch, instance or operator, or changed on the way: none counts."""
    others = acceptors()
    new = handed_over(0)
    first, _ = granted(new.hello(2, TIP), others[1:10])
    second, _ = granted(new.hello(3, TIP), others[1:10])
    refused(new, "NotGranted", new.recover, first)
    refused(new, "NotGranted", new.recover, [*second[:8], first[8]])
    nobody = handed_over(0)
    refused(nobody, "NotGranted", nobody.recover, second)
    twin = handed_over(0)
    twin.hello(3, TIP)
    refused(twin, "NotGranted", twin.recover, second)
    other = handed_over(15)
    other.hello(3, TIP)
    refused(other, "NotGranted", other.recover, second)
    changed = replace(second[0], pages=(bytes(32),))
    refused(new, "NotGranted", new.recover, [changed, *second[1:]])
    assert new.recover(second) == ()


def test_S16_what_twelve_promised_and_voted_is_taken_over():
    others = acceptors()
    voted(others[:12], C)
    old = others[0]
    new = restarted(0, others[1:10])
    places = new.memory.outpoints
    assert places == {o: replace_place(old, o) for o in C.outpoints}
    by = opened(others, 1, A)
    (given,) = promised([new], by, A)
    assert given.head.v[0] == 2
    assert [(r.round, r.family) for r in given.reports] == [(0, C.family)]
    # What was promised alone is taken over too, by its maximum.
    by = opened(others, 2, A)
    promised(others[1:4], by, A)
    newest = restarted(0, others[1:10], 3)
    assert newest.memory.outpoints[A.outpoints[0]].promised == (2, A.family)


def replace_place(acceptor: Acceptor, outpoint: object) -> object:
    return next(place for o, place in acceptor.memory.outpoints.items() if o == outpoint)


@pytest.mark.parametrize(("voters", "taken"), [(4, False), (5, True), (9, True)])
def test_S16_a_fast_vote_is_taken_over_from_five_of_nine(voters, taken):
    others = acceptors()
    voted(others[1 : 1 + voters], A)
    voted(others[1 + voters : 10], B)
    new = restarted(0, others[1:10])
    vote = new.memory.outpoints[A.outpoints[0]].vote if new.memory.outpoints else None
    wanted = A if taken else B if 9 - voters >= 5 else None
    assert vote == (None if wanted is None else (0, wanted.family))


def test_a_larger_recovery_quorum_wants_more_fast_votes():
    """7 of 11: 6 reports of 11 cannot have been twelve with the five that are not there."""
    others = acceptors()
    voted(others[1:7], A)
    assert restarted(0, others[1:12]).memory.outpoints == {}
    voted(others[7:8], A)
    again = restarted(0, others[1:12], 3)
    assert again.memory.outpoints[A.outpoints[0]].vote == (0, A.family)


def test_the_highest_round_is_taken_over_from_one():
    others = acceptors()
    given = promised(others[1:13], opened(others, 1, A), A)
    balloted(others[3:4], given, A)
    new = restarted(0, others[1:10])
    place = new.memory.outpoints[A.outpoints[0]]
    assert (place.vote, place.promised) == ((1, A.family), (1, A.family))


def test_S16_a_vote_that_a_higher_one_outdates_goes_on_all_outpoints():
    """One reports C over a and b in round 1, another D over b in round 2: C is gone from a too."""
    others = acceptors()
    rival = proposal("D", "b")
    given = promised(others[1:13], opened(others, 1, C), C)
    balloted(others[1:2], given, C)
    given = promised(others[2:14], opened(others, 2, rival), rival)
    balloted(others[2:3], given, rival)
    new = restarted(0, others[1:10])
    votes = {o: place.vote for o, place in new.memory.outpoints.items()}
    assert votes[rival.outpoints[0]] == (2, rival.family)
    assert votes[A.outpoints[0]] is None
    assert new.memory.outpoints[A.outpoints[0]].promised == (1, C.family)


def test_a_fast_vote_gives_way_to_one_of_a_round():
    """Five of nine report A at ballot 0, one reports B in round 1, which proved A undecidable."""
    others = acceptors()
    voted(others[1:6], A)
    given = promised(others[1:13], opened(others, 1, B), B)
    balloted(others[9:10], given, B)
    new = restarted(0, others[1:10])
    assert {place.vote for place in new.memory.outpoints.values()} == {(1, B.family)}
    assert list(new.memory.known) == [B.family]


def test_a_vote_of_a_round_implies_its_promise():
    claim = Claim(A.family, A.txid, A.outpoints, 3, decided=False)
    found = adopt(scope(), [[Page((claim,), ())], *([] for _ in range(8))])
    assert found.promised == {A.outpoints[0]: (3, A.family)}


def test_S16_a_vote_taken_over_is_never_sent():
    others = acceptors()
    voted(others, A)
    new = restarted(0, others[1:10])
    answer = new.vote(A, TIP)
    assert isinstance(answer, Standing)
    assert (answer.rule, answer.family) == ("BallotPromised", A.family)
    # Nor is one of a round, by the very promises that allowed it.
    given = promised(others[1:13], opened(others, 1, A), A)
    balloted(others[1:13], given, A)
    newest = restarted(0, others[1:10], 3)
    assert newest.memory.outpoints[A.outpoints[0]].vote == (1, A.family)
    answer = newest.ballot(given, A, TIP)
    assert isinstance(answer, Standing)
    # A higher round is voted in as ever, and so it is decided with twelve alone.
    alive = [newest, *others[1:12]]
    given = promised(alive, opened(others, 2, A), A)
    assert isinstance(newest.decide(balloted(alive, given, A), A), Decision)


def test_a_decision_is_taken_over_by_its_votes_alone():
    others = acceptors()
    votes = voted(others, A)
    others[1].decide(votes[:12], A)
    new = restarted(0, others[1:10])
    assert new.lacking() == (A.family,)
    assert all(place.decided is None for place in new.memory.outpoints.values())
    refused(new, "NotDecided", new.restore, A, votes[:11])
    refused(new, "NotLacking", new.restore, proposal("N", "n"))
    new.restore(A, votes[:12])
    assert new.lacking() == ()
    standing = new.vote(B, TIP)
    assert isinstance(standing, Standing)
    assert (standing.rule, standing.body) == ("OutpointTaken", A.body)
    assert standing.decision == tuple(votes[:12])


@pytest.mark.parametrize(("by", "depth"), [(A, 6), (B, 1)])
def test_a_decision_that_blocks_have_settled_is_lacking_no_more(by: Proposal, depth: int):
    """Dead by a conflict, or done: nobody holds its votes any more, so nobody waits for them."""
    others = acceptors()
    votes = voted(others, A)
    others[1].decide(votes[:12], A)
    new = restarted(0, others[1:10])
    assert new.lacking() == (A.family,)
    block, depths = BlockHash(bytes(32)), {}
    new.log.depth = lambda each: depths.get(each, 0)
    new.confirmed([Spend(by.txid, by.family, by.outpoints, block)])
    assert new.lacking() == (A.family,)
    depths[block] = depth
    new.follow()
    assert new.lacking() == ()


def test_bodies_are_brought_after_the_votes():
    others = acceptors()
    voted(others, A)
    new = restarted(0, others[1:10])
    told = new.body(A.family)
    assert told is not None
    assert told.body == b""
    assert new.lacking() == (A.family,)
    new.restore(A)
    told = new.body(A.family)
    assert told is not None
    assert told.body == A.body
    assert new.lacking() == ()
    refused(new, "NotLacking", new.restore, A)


# rule 6: the grantor


def test_S16_one_instance_key_for_an_epoch():
    """Two replicas ask for the same epoch: whoever granted it to one refuses the other."""
    others = acceptors()
    first, second = handed_over(0), handed_over(0)
    granted(first.hello(2, TIP), others[1:8])
    said = refused(others[1], "EpochTaken", others[1].grant, second.hello(2, TIP), TIP)
    assert said.expected == "3"
    grants, _ = granted(second.hello(2, TIP), others[8:])
    refused(second, "NotGranted", second.recover, grants)
    refused(others[1], "EpochTaken", others[1].grant, handed_over(0).hello(2, TIP), TIP)


def test_S18_the_same_hello_gets_the_same_grant():
    """Also when it was signed again, and the grantor has voted since: it is a look at one moment."""
    others = acceptors()
    hello = handed_over(0).hello(2, TIP)
    first = others[1].grant(hello, TIP)
    voted(others[1:2], A)
    before = others[1].state_hash()
    assert others[1].grant(hello, TIP) is first
    assert others[1].grant(hello.signed(keys(16)[0]), TIP) is first
    assert others[1].state_hash() == before
    assert first.pages == ()
    assert others[1].vote(A, TIP).head.v[0] == 2  # type: ignore[union-attr]


def test_S16_v_rises_before_the_grant_leaves():
    others = acceptors()
    grant = others[1].grant(handed_over(0).hello(2, TIP), TIP).grant
    assert grant.head.v == (2, *(1,) * 15)
    (vote,) = voted(others[1:2], A)
    assert vote.head.v == (2, *(1,) * 15)


def test_S32_a_hello_of_another_is_granted_nothing():
    others = acceptors()
    hello = handed_over(0).hello(2, TIP)
    forged = hello.signed(keys(16)[3])
    refused(others[1], "HelloInvalid", others[1].grant, forged, TIP)
    elsewhere = replace(hello, head=replace(hello.head, configuration=NETWORK)).signed(keys(16)[0])
    refused(others[1], "HelloInvalid", others[1].grant, elsewhere, TIP)
    unequal = replace(hello, epoch=7).signed(keys(16)[0])
    refused(others[1], "HelloInvalid", others[1].grant, unequal, TIP)
    refused(others[0], "HelloInvalid", others[0].grant, hello, TIP)


def test_R10_an_epoch_is_believed_on_its_operators_own_word_alone():
    """A liar's grant says that operator 15 was replaced, and cannot show 15's Hello."""
    others = acceptors()
    new = handed_over(0)
    grants, _ = granted(new.hello(2, TIP), others[1:10])
    liar = grants[0]
    v = tuple(9 if i == 15 else e for i, e in enumerate(liar.head.v))
    lie = replace(liar, head=replace(liar.head, v=v)).signed(keys(16)[1])
    refused(new, "NotGranted", new.recover, [lie, *grants[1:]])
    # With the word of 15's key it is true.
    hello = handed_over(15).hello(9, TIP)
    forged = replace(lie, seen=(*liar.seen, hello.signed(keys(16)[1]))).signed(keys(16)[1])
    refused(new, "NotGranted", new.recover, [forged, *grants[1:]])
    shown = replace(lie, seen=(*liar.seen, hello)).signed(keys(16)[1])
    assert new.recover([shown, *grants[1:]]) == ()
    assert new.epochs.v == (2, *(1,) * 14, 9)


def test_grants_of_a_replaced_grantor_are_inconsistent():
    """2's old instance grants beside 1, who granted 2's new one: the old one may know nothing."""
    others = acceptors()
    restarted(2, [others[1], *others[3:16]])
    new = handed_over(0)
    hello = new.hello(2, TIP)
    grants, _ = granted(hello, others[1:10])
    said = refused(new, "NotGranted", new.recover, grants)
    assert "inconsistent" in said.detail
    others[2] = restarted(2, [others[1], *others[3:16]], 3)
    grants, pages = granted(new.hello(3, TIP), others[1:10])
    assert new.recover(grants, pages) == ()
    assert new.epochs.v[2] == 3


def test_S16_a_new_instance_knows_the_epochs_that_its_grantors_knew():
    """Else a grantor that restarts would forget whom it had granted (proof 4, restarted grantors)."""
    others = acceptors()
    restarted(0, others[1:10])
    grantor = restarted(1, others[2:11])
    assert grantor.epochs.v[0] == 2
    refused(grantor, "EpochTaken", grantor.grant, handed_over(0).hello(2, TIP), TIP)


# pages


def test_R10_a_large_memory_is_told_in_pages(monkeypatch):
    monkeypatch.setattr("grail.operators.grants.MAX_PAGE", 600)
    others = acceptors()
    chance = Random(6)
    for number in range(40):
        many = "".join(chance.sample("bcdefghijklmnopqrstuvwxyz", 3))
        of = proposal(f"T{number}", many)
        for acceptor in others[1:10]:
            acceptor.vote(of, TIP)
        by = others[1].open(1 + 16 * (number // 8), of, TIP)
        if isinstance(by, Open):
            for acceptor in others[1:10]:
                acceptor.promise(by, of, TIP)
    new = handed_over(0)
    grants, pages = granted(new.hello(2, TIP), others[1:10])
    assert len(pages) > 3
    assert all(len(page) <= 600 for page in pages)
    missing = new.recover(grants)
    assert sorted(missing) == sorted({name for grant in grants for name in grant.pages})
    refused(new, "NotGranted", new.recover, grants, [Page((), ()).serialize()])  # that none names
    for at, page in enumerate(pages):
        assert not new.recovered
        assert len(new.recover(grants, [page])) == len(pages) - at - 1
    assert new.recovered
    mine, theirs = new.memory.outpoints, others[1].memory.outpoints
    assert {o: (p.promised, p.vote) for o, p in mine.items()} == {
        o: (p.promised, p.vote)
        for o, p in theirs.items()
        if p.vote or p.promised != takeover.NO_BALLOT
    }


# rule 7


def test_K1_the_newest_epoch_is_the_operator():
    """Two live replicas: the older one's votes count beside nobody's who granted the newer."""
    others = acceptors()
    old = others[0]
    new = restarted(0, others[1:10])
    stale = voted([old], A)
    fresh = voted(others[1:16], A)
    with pytest.raises(Refused, match="inconsistent"):
        check_decision(old.scope, [*stale, *fresh[:11]], A)
    (vote,) = voted([new], A)
    assert isinstance(new.decide([vote, *fresh[:11]], A), Decision)
    # The old one meets its successor's vote with the decision: it signs, and votes no more.
    assert isinstance(old.decide([vote, *fresh[:11]], A), Decision)
    assert not old.recovered
    refused(old, "NotRecovered", old.vote, proposal("N", "n"), TIP)
    refused(old, "NotRecovered", old.grant, handed_over(1).hello(5, TIP), TIP)
    assert isinstance(old.decide([vote, *fresh[:11]], A), Decision)


def test_K1_an_older_replica_stops_at_its_successors_word():
    others = acceptors()
    old, new = others[0], handed_over(0)
    hello = new.hello(2, TIP)
    refused(old, "HelloInvalid", old.superseded, hello.signed(keys(16)[1]))
    refused(old, "HelloInvalid", old.superseded, handed_over(1).hello(2, TIP))
    old.superseded(hello)
    refused(old, "NotRecovered", old.vote, A, TIP)
    # It may come back by rule 6, with an epoch above the one that it knows of.
    refused(old, "EpochTaken", old.hello, 2, TIP)
    grants, pages = granted(old.hello(3, TIP), others[1:10])
    assert old.recover(grants, pages) == ()
    assert isinstance(old.vote(A, TIP), Vote)
    # A word of the past, or its own, stops nobody.
    old.superseded(hello)
    assert old.recovered
    new.superseded(hello)
    refused(new, "NotRecovered", new.vote, A, TIP)


def test_K1_grants_are_late_once_a_newer_instance_has_asked():
    others = acceptors()
    new = handed_over(0)
    grants, _ = granted(new.hello(2, TIP), others[1:10])
    new.superseded(handed_over(0).hello(3, TIP))
    refused(new, "NotGranted", new.recover, grants)
    grants, _ = granted(new.hello(4, TIP), others[1:10])
    assert new.recover(grants) == ()


def test_K1_an_instances_own_hello_replaces_it_by_nobody():
    """Its carrier may show it to whoever answers for the operator, and that may be itself."""
    others = acceptors()
    new = handed_over(0)
    hello = new.hello(2, TIP)
    before = new.state_hash()
    new.superseded(hello)
    assert new.state_hash() == before
    grants, _ = granted(hello, others[1:10])
    assert new.recover(grants) == ()


def test_K1_a_replaced_instance_forgets_its_votes_and_keeps_decisions():
    others = acceptors()
    old = others[0]
    votes = voted(others[1:13], proposal("D", "d"))
    old.decide(votes, proposal("D", "d"))
    voted([old], A)  # of no use to anybody: three restarts later nobody has to know of it
    old.superseded(handed_over(0).hello(2, TIP))
    grants, pages = granted(old.hello(3, TIP), others[1:10])
    old.recover(grants, pages)
    assert isinstance(old.vote(B, TIP), Vote)
    standing = old.vote(proposal("E", "d"), TIP)
    assert isinstance(standing, Standing)
    assert standing.rule == "OutpointTaken"


def test_K1_a_replaced_instance_refuses_promises_of_its_successor():
    others = acceptors()
    old = others[0]
    new = restarted(0, others[1:10])
    given = promised([new, *others[1:12]], opened(others, 1, A), A)
    refused(old, "NotRecovered", old.ballot, given, A, TIP)


def test_K7_a_paused_replica_wakes_and_its_old_vote_counts_for_nothing():
    """SIGSTOP with a vote in hand, takeover, a rival decided, then the late vote arrives."""
    others = acceptors()
    late = voted(others[:1], A)
    seven = voted(others[1:8], A)  # A: 8 votes with the late one
    new = restarted(0, others[1:10])
    alive = [new, *others[1:13]]
    given = promised(alive, opened(others, 1, B), B)
    votes = balloted(alive, given, B)
    assert isinstance(new.decide(votes[:12], B), Decision)
    with pytest.raises(Refused):
        check_decision(new.scope, [*late, *seven, *votes[8:12]], A)


# the four counterexamples of ROUNDS.md that concern restarts; each is safe as built, and two
# decisions (or the way to them) appear when its guard is taken out


def four() -> list[Acceptor]:
    return acceptors(4, 3)


def test_S16_counterexample_restart_without_recovery():
    """B@0 by 0, 1, 2; 0 restarts empty and promises (1,A) with "none"."""
    all_ = four()
    votes = voted(all_[:3], B)
    careless = acceptors(4, 3)[0]  # what a drawn key gets, and a handed-over one must not
    by = opened([careless, *all_[1:]], 1, A)
    given = promised([careless, all_[2], all_[3]], by, A)
    second = balloted([careless, all_[2], all_[3]], given, A)
    assert check_decision(careless.scope, votes, B)
    assert check_decision(careless.scope, second, A)  # both: this is what rule 6 is for
    all_ = four()
    votes = voted(all_[:3], B)
    honest = handed_over(0, 4, 3)
    refused(honest, "NotRecovered", honest.promise, by, A, TIP)
    new = restarted(0, all_[1:])
    given = promised([new, all_[2], all_[3]], opened([new, *all_[1:]], 1, A), A)
    assert given[0].reports[0].family == B.family
    refused(new, "BallotBlocked", new.ballot, given, A, TIP)


def test_S16_counterexample_no_consistency_check(monkeypatch):
    """The old instance's vote B@0 beside votes of peers that have granted its successor."""

    def schedule() -> tuple[list[Vote], list[Acceptor], Acceptor]:
        all_ = four()
        early = voted(all_[:2], B)  # 0 and 1
        new = restarted(0, all_[1:])  # one of three reports B: nothing is taken over
        assert not new.memory.outpoints[B.outpoints[0]].vote if new.memory.outpoints else True
        return early, all_, new

    early, all_, new = schedule()
    late = voted(all_[2:3], B)
    with pytest.raises(Refused, match="inconsistent"):
        check_decision(new.scope, [*early, *late], B)
    monkeypatch.setattr(certificates, "consistent", lambda _: True)
    assert check_decision(new.scope, [*early, *late], B)  # while the new instance is free for A
    assert isinstance(new.vote(A, TIP), Vote)


def test_S16_counterexample_recovery_quorum_too_small(monkeypatch):
    """Two of three others: one that voted B and one that did not say too little."""
    all_ = four()
    votes = voted(all_[:3], B)
    voted(all_[3:], A)
    new = handed_over(0, 4, 3)
    grants, pages = granted(new.hello(2, TIP), [all_[2], all_[3]])
    refused(new, "NotGranted", new.recover, grants, pages)
    monkeypatch.setattr(Scope, "__post_init__", lambda _self: None)
    monkeypatch.setattr(Scope, "recovery", 2)
    monkeypatch.setattr(rounds, "adopt", adopt_last)
    assert new.recover(grants, pages) == ()
    (place,) = new.memory.outpoints.values()
    assert place.vote == (0, A.family)  # although B was decided, by its own old vote too
    assert check_decision(new.scope, votes, B)


def adopt_last(of: Scope, told: Sequence[Sequence[object]]) -> object:
    """The rule's threshold at g = 2 of n = 4: one report is enough, and it is not unique."""
    needed = (of.quorum - 1) - ((of.n - 1) - len(told))
    assert needed == 1
    found = adopt(of, told)  # type: ignore[arg-type]
    return replace(found, votes=tuple(v for v in found.votes if v.family == A.family))


def test_S16_counterexample_a_recovered_vote_sent_again(monkeypatch):
    """0 promised (1,A) and A@1 is decided by 1, 2 and 3; 0' takes B@0 over and would send it."""

    def schedule() -> tuple[Acceptor, list[Vote]]:
        all_ = four()
        early = voted(all_[1:3], B)  # 1 and 2
        new = restarted(0, all_[1:])  # two of three: B@0 is taken over
        assert new.memory.outpoints[B.outpoints[0]].vote == (0, B.family)
        return new, early

    new, early = schedule()
    assert isinstance(new.vote(B, TIP), Standing)

    def resent(before: object, found: object) -> object:
        memory = takeover.taken_over(before, found)  # type: ignore[arg-type]
        known = memory.known[B.family]
        head = replace(early[0].head, sender=0, v=(2, 1, 1, 1))
        memory.known[B.family] = Known(
            known.proposal, Vote(head, 0, B.family, B.outpoints).signed(keys(4)[0])
        )
        return memory

    monkeypatch.setattr(rounds, "taken_over", resent)
    new, early = schedule()
    again = new.vote(B, TIP)
    assert isinstance(again, Vote)
    assert check_decision(new.scope, [again, *early], B)  # a third vote that nobody ever cast


# the coordinator's choice


def test_R10_liars_are_left_out_of_certificates():
    """Up to n - q accuse anybody: the rest still makes a certificate, whoever is accused."""
    all_ = acceptors()
    votes = dict(enumerate(voted(all_, A)))
    for liars in itertools.chain([()], itertools.combinations((0, 3, 7, 11, 15), 4)):
        told = dict(votes)
        for liar in liars:
            v = tuple(1 if i == liar else 9 for i in range(16))
            told[liar] = replace(votes[liar], head=replace(votes[liar].head, v=v))
        found = certificates.consistent_subset(told, 12)
        assert found is not None
        assert sorted(found) == [i for i in range(16) if i not in liars]


def test_one_accuser_is_left_out_rather_than_whom_it_accuses():
    votes = dict(enumerate(voted(acceptors(), A)))
    for liar, victim in itertools.permutations((0, 4, 15), 2):
        v = tuple(2 if i == victim else 1 for i in range(16))
        told = {**votes, liar: replace(votes[liar], head=replace(votes[liar].head, v=v))}
        found = certificates.consistent_subset(told, 12)
        assert found is not None
        assert liar not in found
        assert victim in found


def test_a_subset_of_accusations_is_the_largest():
    """Against a search of all subsets, over random accusations."""
    chance = Random(60)
    votes = dict(enumerate(voted(acceptors(7, 5), A)))
    for _ in range(200):
        told = {
            i: replace(
                vote,
                head=replace(
                    vote.head,
                    v=tuple(1 if k == i else chance.choice([1, 1, 1, 1, 2]) for k in range(7)),
                ),
            )
            for i, vote in votes.items()
        }
        most = max(
            size
            for size in range(8)
            for who in itertools.combinations(range(7), size)
            if certificates.consistent([told[i] for i in who])
        )
        found = certificates.consistent_subset(told, 0)
        assert found is not None
        assert len(found) == most
        assert certificates.consistent(list(found.values()))
        assert (certificates.consistent_subset(told, 5) is None) == (most < 5)


def test_every_refusal_and_answer_of_rule_6_is_in_the_state_hash():
    others = acceptors()
    new = handed_over(0)
    hashes = [new.state_hash(), others[1].state_hash()]
    hello = new.hello(2, TIP)
    voted(others[1:10], A)
    grants, pages = granted(hello, others[1:10])
    hashes += [new.state_hash(), others[1].state_hash()]
    new.recover(grants)
    new.recover(grants, pages)
    hashes.append(new.state_hash())
    new.superseded(handed_over(0).hello(3, TIP))
    hashes.append(new.state_hash())
    assert len(set(hashes)) == len(hashes)


def test_I8_an_instance_key_is_drawn_for_each_process():
    drawn = {handed_over(0).epochs.instance for _ in range(5)}
    assert len(drawn) == 5
    given = KeyPair(bytes(31) + b"\x07").public
    made = Acceptor.handed_over(
        scope(), keys(16)[0], SpentLog(lambda _: 0, 1, 6), instance=given, draw=lambda n: bytes(n)
    )
    assert made.hello(2, TIP).instance == given
    assert made.hello(2, TIP).nonce == bytes(32)
    assert epochs.NO_EPOCH == 0
