"""The acceptor's rules 1 to 5: what it answers, and that a refusal changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulator import (
    TIP,
    acceptors,
    balloted,
    keys,
    opened,
    outpoint,
    promised,
    proposal,
    scope,
    voted,
)

from grail.errors import InvalidInput, Refused
from grail.operators.certificates import Decision, Proposal
from grail.operators.messages import Open, Promise, Report, Standing, Vote
from grail.operators.rounds import Acceptor
from grail.operators.spent import SpentLog

A, B, C = proposal("A", "a"), proposal("B", "a"), proposal("C", "ab")
LATER = replace(TIP, height=TIP.height + 1, work=TIP.work + 2)


def in_the_way(acceptor: Acceptor, answer: object, before: bytes) -> Standing:
    """The answer is a standing, and nothing has changed (S34)."""
    assert isinstance(answer, Standing)
    assert acceptor.state_hash() == before
    return answer


def test_the_common_case():
    all_ = acceptors()
    votes = voted(all_, A)
    for acceptor in all_:
        decision = acceptor.decide(votes[2:14], A)
        assert isinstance(decision, Decision)
        assert decision.family == A.family


def test_S18_the_same_request_gets_the_same_answer():
    """Byte for byte, even when the chain has grown and other messages have raised V."""
    all_ = acceptors()
    one = all_[0]
    assert one.vote(A, TIP) == one.vote(A, LATER)
    by = opened(all_, 1, A)
    assert one.promise(by, A, TIP) == one.promise(by, A, LATER)
    given = promised(all_, by, A)
    first = one.ballot(given, A, TIP)
    assert first == one.ballot(given, A, LATER)
    assert one.promise(by, A, LATER) == given[0]
    votes = [first, *balloted(all_[1:], given, A)]
    assert isinstance(one.decide(votes, A), Decision)
    before = one.state_hash()
    assert isinstance(one.decide(votes[:12], A), Decision)
    assert one.state_hash() == before


def test_S18_a_changed_request_names_the_first():
    one = acceptors()[0]
    one.vote(A, TIP)
    standing = in_the_way(one, one.vote(B, TIP), one.state_hash())
    assert (standing.rule, standing.family, standing.txid) == ("RivalVoted", A.family, A.txid)
    assert standing.body == A.body


def test_S16_a_vote_is_atomic_over_all_outpoints():
    one = acceptors()[0]
    one.vote(proposal("X", "b"), TIP)
    in_the_way(one, one.vote(C, TIP), one.state_hash())  # b is taken: a is not voted on either
    assert isinstance(one.vote(A, TIP), Vote)


def test_S16_a_split_fast_ballot_is_finished_by_a_round():
    """6 and 10 at ballot 0: neither can have twelve; round 1 decides, and both sets agree."""
    all_ = acceptors()
    voted(all_[:6], A)
    voted(all_[6:], B)
    given = promised(all_, opened(all_, 1, A), A)
    votes = balloted(all_, given, A)
    assert all(isinstance(acceptor.decide(votes, A), Decision) for acceptor in all_)
    late = all_[9].vote(B, TIP)
    standing = in_the_way(all_[9], late, all_[9].state_hash())
    assert standing.rule == "OutpointTaken"
    assert standing.decision == tuple(votes)
    assert (standing.family, standing.txid, standing.body) == (A.family, A.txid, A.body)


def test_S16_what_may_be_decided_is_not_overtaken():
    """Twelve voted for A; four promises and eight reports are enough to see it."""
    all_ = acceptors()
    votes = voted(all_[:12], A)
    given = promised(all_[4:], opened(all_, 5, B), B)
    before = all_[5].state_hash()
    with pytest.raises(Refused, match="BallotBlocked"):
        all_[5].ballot(given, B, TIP)
    assert all_[5].state_hash() == before
    assert isinstance(all_[15].decide(votes, A), Decision)


def test_S16_six_ballots_never_complete_two():
    """ROUNDS.md's counterexample of "accept = sign", played against the real rules at n=4, q=3.

    Wherever it needs a second family in a higher ballot, a promise reports the first one.
    """
    all_ = acceptors(4, 3)
    first = promised([all_[0], all_[1], all_[2]], opened(all_, 1, A), A)
    balloted([all_[0]], first, A)  # only one votes for A in round 1
    second = promised([all_[1], all_[2], all_[3]], opened(all_, 2, B), B)
    balloted([all_[1]], second, B)  # the others never saw A's vote: B at round 2
    third = promised([all_[1], all_[2], all_[3]], opened(all_, 3, A), A)
    with pytest.raises(Refused, match="BallotBlocked") as caught:
        all_[2].ballot(third, A, TIP)
    assert caught.value.got == B.family.hex()


def test_rule_3_removes_a_rival_on_all_its_outpoints():
    all_ = acceptors()
    voted(all_[:4], C)  # C spends a and b
    given = promised(all_, opened(all_, 1, A), A)
    balloted(all_, given, A)  # A takes a alone
    free = proposal("D", "b")
    assert all(isinstance(acceptor.vote(free, TIP), Vote) for acceptor in all_)


def test_rule_2_a_promise_is_higher_than_all_before():
    all_ = acceptors()
    one = all_[0]
    promised([one], opened(all_, 2, A), A)
    late = opened(all_, 1, B)
    standing = in_the_way(one, one.promise(late, B, TIP), one.state_hash())
    assert (standing.rule, standing.promised, standing.family) == ("BallotPromised", 2, None)
    # No fast vote after a promise either, and the promise stays what it was.
    assert in_the_way(one, one.vote(B, TIP), one.state_hash()).promised == 2


def test_rule_3_needs_no_promise_of_its_own_but_respects_a_higher_one():
    all_ = acceptors()
    given = promised(all_[:12], opened(all_, 1, A), A)
    assert isinstance(all_[15].ballot(given, A, TIP), Vote)
    # It has voted in that ballot: a promise of the same one comes too late.
    late = all_[15].promise(opened(all_, 1, A), A, TIP)
    assert in_the_way(all_[15], late, all_[15].state_hash()).rule == "BallotPromised"
    promised([all_[14]], opened(all_, 2, B), B)
    in_the_way(all_[14], all_[14].ballot(given, A, TIP), all_[14].state_hash())


def test_rule_5_a_decision_is_never_changed():
    all_ = acceptors()
    # Of two at one ballot the higher family is followed (test_dead.py): this is about the other way.
    lower, higher = sorted((A, B), key=lambda each: each.family)
    votes = voted(all_[:12], higher)
    one = all_[15]
    assert isinstance(one.decide(votes, higher), Decision)
    # Made by hand as no quorum ever would: votes for a rival that twelve keys signed.
    rival = [
        replace(vote, family=lower.family).signed(pair)
        for vote, pair in zip(votes, keys(16)[:12], strict=True)
    ]
    assert in_the_way(one, one.decide(rival, lower), one.state_hash()).rule == "OutpointTaken"
    for answer in (one.vote(lower, TIP), one.promise(opened(all_, 13, lower), lower, TIP)):
        assert in_the_way(one, answer, one.state_hash()).decision == tuple(votes)


def test_c_a_decision_is_handed_on_to_its_own_coordinator_too():
    all_ = acceptors()
    votes = voted(all_[:12], A)
    one = all_[0]
    one.decide(votes, A)
    standing = in_the_way(one, one.promise(opened(all_, 1, A), A, TIP), one.state_hash())
    assert (standing.rule, standing.decision) == ("AlreadyDecided", tuple(votes))
    body = one.body(A.family)
    assert body is not None
    assert (body.body, body.decision) == (A.body, tuple(votes))
    assert one.body(B.family) is None


def test_only_the_rounds_own_operator_opens_it_and_for_one_family():
    all_ = acceptors()
    with pytest.raises(Refused, match="NotOpener"):
        all_[2].open(1, A, TIP)
    with pytest.raises(Refused, match="NotOpener"):
        all_[0].open(0, A, TIP)
    opened(all_, 1, A)
    standing = in_the_way(all_[1], all_[1].open(1, B, TIP), all_[1].state_hash())
    assert (standing.rule, standing.family, standing.body) == ("RoundOpened", A.family, A.body)
    # An overlapping set meets the same opener; the same transaction gets its round again.
    assert in_the_way(all_[1], all_[1].open(1, C, TIP), all_[1].state_hash()).rule == "RoundOpened"
    assert isinstance(all_[1].open(1, A, TIP), Open)


def test_a_forged_open_is_refused():
    all_ = acceptors()
    good = opened(all_, 1, A)
    for forged, of in (
        (replace(good, family=B.family), B),
        (replace(good, round=17), A),
        (replace(good, head=replace(good.head, sender=2)).signed(keys(16)[2]), A),
        (good, B),
    ):
        before = all_[0].state_hash()
        with pytest.raises(Refused, match="NotOpened"):
            all_[0].promise(forged, of, TIP)
        assert all_[0].state_hash() == before


def test_a_round_far_ahead_is_refused():
    """A hostile host cannot use up the rounds: n above what there is evidence of is the most."""
    all_ = acceptors()
    far = all_[1]
    assert in_the_way(far, far.open(17, A, TIP), far.state_hash()).rule == "RoundTooFar"
    made = opened(all_, 1, A)
    jump = replace(made, round=33).signed(keys(16)[1])
    standing = in_the_way(all_[0], all_[0].promise(jump, A, TIP), all_[0].state_hash())
    assert standing.rule == "RoundTooFar"
    promised(all_, made, A)
    assert isinstance(far.open(17, A, TIP), Open)


def test_one_that_lags_is_shown_how_far_the_others_are():
    """Five promises of round 17 convince it: one of five operators has an honest host."""
    all_ = acceptors()
    promised(all_[1:], opened(all_, 1, A), A)
    by = opened(all_, 17, A)
    shown = promised(all_[1:], by, A)
    lagging = all_[0]
    few = in_the_way(lagging, lagging.promise(by, A, TIP, shown[:4]), lagging.state_hash())
    assert (few.rule, few.promised) == ("RoundTooFar", 0)
    twice = [*shown[:4], shown[0], shown[1]]
    in_the_way(lagging, lagging.promise(by, A, TIP, twice), lagging.state_hash())
    elsewhere = [
        replace(p, reports=(Report(outpoint("elsewhere"), 0, None),)).signed(keys(16)[i])
        for i, p in enumerate(shown, 1)
    ]
    assert all(p.head.sender == i for i, p in enumerate(elsewhere, 1))
    in_the_way(lagging, lagging.promise(by, A, TIP, elsewhere), lagging.state_hash())
    forged = [replace(p, round=17, signature=bytes(64)) for p in shown[:5]]
    before = lagging.state_hash()
    with pytest.raises(Refused, match="evidence does not verify"):
        lagging.promise(by, A, TIP, forged)
    assert lagging.state_hash() == before
    assert isinstance(lagging.promise(by, A, TIP, shown[:5]), Promise)


def test_S34_each_refusal_leaves_the_state_as_it_was():
    all_ = acceptors()
    one = all_[0]
    one.vote(A, TIP)
    before = one.state_hash()
    short = voted(all_[1:12], A)
    attempts = (
        lambda: one.decide(short, A),
        lambda: one.decide([*short, short[0]], A),
        lambda: one.ballot([], A, TIP),
        lambda: one.open(1, A, TIP),
        lambda: one.vote(Proposal(A.family, C.outpoints, A.txid, A.body), TIP),
    )
    for attempt in attempts:
        with pytest.raises((Refused, InvalidInput)):
            attempt()
        assert one.state_hash() == before


def test_S3_no_flag_or_claim_replaces_a_certificate():
    """Signing takes votes and nothing else: none, other messages, or a claim are refused."""
    one, shared = acceptors()[0], scope()
    with pytest.raises(Refused, match="NotDecided"):
        one.decide([], A)
    given = promised(acceptors(), opened(acceptors(), 1, A), A)
    as_votes = [Vote(p.head, 1, p.family, p.outpoints, signature=p.signature) for p in given]
    with pytest.raises(Refused, match="NotDecided"):
        one.decide(as_votes, A)
    assert shared.quorum == 12


@pytest.mark.parametrize("epoch", [2, 2**32 - 1])
def test_R10_nobodys_word_about_another_replaces_an_instance(epoch):
    """Operator 1 says that operator 0 has a newer instance: it spoils what both are in, alone."""
    all_ = acceptors()
    liar = keys(16)[1]
    by = opened(all_, 1, A)
    false = replace(by.head, v=(epoch, *(1,) * 15))
    lied = replace(by, head=false).signed(liar)
    given = promised(all_, lied, A)  # who opens a round is in no certificate
    before = all_[0].state_hash()
    lie = replace(given[1], head=replace(given[1].head, v=false.v)).signed(liar)
    with pytest.raises(Refused, match=r"NotPromised: .*inconsistent"):
        all_[0].ballot([given[0], lie, *given[2:]], A, TIP)
    assert all_[0].state_hash() == before
    votes = balloted(all_, [lie, *given[2:]], A)
    lie_ = replace(votes[1], head=replace(votes[1].head, v=false.v)).signed(liar)
    before = all_[0].state_hash()
    with pytest.raises(Refused, match=r"NotDecided: .*inconsistent"):
        all_[0].decide([votes[0], lie_, *votes[2:]], A)
    assert all_[0].state_hash() == before
    # Nobody took the word over: all go on with operator 0, and its own V is what it was.
    assert isinstance(all_[0].decide([votes[0], *votes[2:]], A), Decision)
    after = [acceptor.vote(proposal("N", "n"), TIP) for acceptor in all_]
    assert all(isinstance(vote, Vote) and vote.head.v == (1,) * 16 for vote in after)


def test_an_epoch_below_the_first_is_no_message():
    all_ = acceptors()
    by = opened(all_, 1, A)
    wrong = replace(by, head=replace(by.head, v=(0, *(1,) * 15))).signed(keys(16)[1])
    with pytest.raises(Refused, match="NotOpened"):
        all_[0].promise(wrong, A, TIP)


def test_one_family_has_one_set_of_outpoints():
    one = acceptors()[0]
    one.vote(A, TIP)
    with pytest.raises(InvalidInput, match="two sets"):
        one.vote(Proposal(A.family, C.outpoints, A.txid, A.body), TIP)


def test_an_acceptor_of_a_stranger_is_refused():
    stranger = next(pair for pair in keys(16) if pair not in keys(4))
    with pytest.raises(InvalidInput, match="not in the roster"):
        Acceptor(scope(4, 3), stranger, SpentLog(lambda _: 0, 1, 6))


def test_D6_the_key_is_in_no_text():
    one = acceptors()[0]
    for text in (repr(one), str(one), f"{one.key}"):
        assert one.key._secret.secret.hex() not in text
