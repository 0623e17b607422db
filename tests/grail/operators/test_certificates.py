"""What certificates prove: decisions, and which family a ballot may be for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulator import CONFIGURATION, NETWORK, NFT, TIP, keys, proposal, scope

from grail.bitcoin.tx import Tx, TxIn
from grail.errors import InvalidInput, Refused
from grail.operators.certificates import (
    Proposal,
    blocker,
    check_decision,
    check_promises,
    consistent,
    family,
)
from grail.operators.messages import Family, Head, Promise, Report, Vote
from grail.types import OutPoint, Txid, TxOut

SCOPE = scope()
A, B, C = proposal("A", "a"), proposal("B", "a"), proposal("C", "ab")


def head(sender: int, **changes: object) -> Head:
    return replace(Head(NETWORK, NFT, CONFIGURATION, sender, (1,) * 16, TIP), **changes)


def votes(of: Proposal, senders: range, number: int = 0, **changes: object) -> list[Vote]:
    return [
        Vote(head(i, **changes), number, of.family, of.outpoints).signed(keys(16)[i])
        for i in senders
    ]


def promises(
    of: Proposal, reported: list[tuple[int, Proposal] | None], number: int = 1
) -> list[Promise]:
    """One promise an entry, which reports that vote on every outpoint (None: no vote)."""
    made = []
    for i, said in enumerate(reported):
        vote = (0, None) if said is None else (said[0], said[1].family)
        reports = tuple(Report(o, *vote) for o in of.outpoints)
        made.append(Promise(head(i), number, of.family, reports).signed(keys(16)[i]))
    return made


def test_twelve_equal_votes_are_a_decision():
    decision = check_decision(SCOPE, votes(A, range(12)), A)
    assert (decision.family, decision.round) == (A.family, 0)
    assert check_decision(SCOPE, votes(A, range(4, 16), 5), A).round == 5


def refused(of: Proposal, given: list[Vote]) -> Refused:
    with pytest.raises(Refused) as caught:
        check_decision(SCOPE, given, of)
    assert caught.value.rule == "NotDecided"
    return caught.value


def test_S16_eleven_votes_are_no_decision():
    error = refused(A, votes(A, range(11)))
    assert (error.got, error.expected) == ("11 votes", "12 votes")


def test_R4_eleven_members_and_one_of_them_again_are_no_decision():
    given = votes(A, range(11))
    refused(A, [*given, given[0]])
    # The same member with another best header: another message, the same identity.
    later = votes(A, range(1), best=replace(TIP, height=101))
    assert "twice" in str(refused(A, [*given, *later]))


def test_R4_a_vote_in_another_members_name_does_not_count():
    forged = Vote(head(11), 0, A.family, A.outpoints).signed(keys(16)[0])
    assert "operator 11 does not verify" in str(refused(A, [*votes(A, range(11)), forged]))


def test_votes_of_two_ballots_or_transactions_do_not_add_up():
    refused(A, [*votes(A, range(6)), *votes(A, range(6, 12), 1)])
    refused(A, [*votes(A, range(6)), *votes(B, range(6, 12))])
    refused(A, [])


def test_votes_over_other_outpoints_do_not_count():
    wider = Proposal(A.family, C.outpoints, A.txid, A.body)
    refused(wider, votes(A, range(12)))


def test_a_member_that_was_replaced_makes_a_certificate_void():
    """Message of operator 0's epoch 1, beside one that has seen its epoch 2."""
    newer = (2, *(1,) * 15)
    given = [*votes(A, range(11)), *votes(A, range(11, 12), v=newer)]
    assert not consistent(given)
    # Without the replaced one they are consistent again.
    assert consistent([*votes(A, range(1, 12)), *votes(A, range(12, 13), v=newer)])
    assert "inconsistent" in str(refused(A, given))


# P(r, F)

FREE = None
CASES = {
    "nobody voted": (A, [FREE] * 12, None),
    "our own votes do not hinder": (A, [(0, A)] * 12, None),
    "seven of twelve for a rival at ballot 0 may not be a quorum": (
        A,
        [(0, B)] * 7 + [FREE] * 5,
        None,
    ),
    "eight of twelve may": (A, [(0, B)] * 8 + [FREE] * 4, (0, B)),
    "eight of thirteen may not": (A, [(0, B)] * 8 + [FREE] * 5, None),
    "nine of thirteen may": (A, [(0, B)] * 9 + [FREE] * 4, (0, B)),
    "eleven of sixteen may not": (A, [(0, B)] * 11 + [FREE] * 5, None),
    "twelve of sixteen are one": (A, [(0, B)] * 12 + [FREE] * 4, (0, B)),
    "one vote of round 1 names the only value": (A, [(1, B)] + [FREE] * 11, (1, B)),
    "a higher round beats a lower": (A, [(1, B), (2, A)] + [FREE] * 10, None),
    "and the other way round": (A, [(1, A), (2, B)] + [FREE] * 10, (2, B)),
    "a round of ours frees us of ballot 0": (A, [(1, A)] + [(0, B)] * 11, None),
    "two rivals at ballot 0 never both": (A, [(0, B)] * 8 + [(0, C)] * 4, (0, B)),
}


@pytest.mark.parametrize("name", CASES)
def test_S16_which_family_a_ballot_may_be_for(name):
    of, reported, expected = CASES[name]
    given = promises(of, reported, number=3)
    in_the_way = None if expected is None else (expected[0], expected[1].family)
    assert blocker(16, 12, given, of) == in_the_way
    if in_the_way is None:
        assert check_promises(SCOPE, given, of).round == 3
    else:
        with pytest.raises(Refused) as caught:
            check_promises(SCOPE, given, of)
        assert caught.value.rule == "BallotBlocked"
        assert caught.value.got == in_the_way[1].hex()


def test_one_blocked_outpoint_blocks_the_transaction():
    free, taken = (Report(o, 0, None) for o in C.outpoints), Report(C.outpoints[1], 1, B.family)
    given = promises(C, [None] * 11)
    last = Promise(head(11), 1, C.family, (next(free), taken)).signed(keys(16)[11])
    assert blocker(16, 12, [*given, last], C) == (1, B.family)


def test_a_dead_transaction_is_skipped():
    given = promises(A, [(1, B)] * 12, number=2)
    assert blocker(16, 12, given, A, dead={B.family}) is None
    assert check_promises(SCOPE, given, A, dead={B.family})


def test_no_reports_at_ballot_0_block_two_values_for_any_size():
    """The arithmetic behind "finish the blocker first": exhaustive over 12 to 16 promises."""
    for size in range(12, 17):
        missing = 16 - size
        blocking = [s for s in range(size + 1) if s + missing >= 12]
        assert all(a + b > size for a in blocking for b in blocking)


@pytest.mark.parametrize("count", [0, 1, 11])
def test_R4_too_few_promises_allow_nothing(count):
    with pytest.raises(Refused, match="NotPromised"):
        check_promises(SCOPE, promises(A, [None] * count), A)


def test_R4_a_promise_twice_allows_nothing():
    given = promises(A, [None] * 11)
    with pytest.raises(Refused, match="twice"):
        check_promises(SCOPE, [*given, given[3]], A)


def test_promises_of_ballot_0_or_of_two_ballots_allow_nothing():
    with pytest.raises(Refused, match="NotPromised"):
        check_promises(SCOPE, promises(A, [None] * 12, number=0), A)
    mixed = [*promises(A, [None] * 12)[:6], *promises(A, [None] * 12, number=2)[6:]]
    with pytest.raises(Refused, match="NotPromised"):
        check_promises(SCOPE, mixed, A)


# F(T)


def tx(change: int, *, op_return: bytes = b"\x6a\x01x", extra: tuple[TxOut, ...] = ()) -> Tx:
    outputs = (TxOut(1_000, b"\x51"), TxOut(0, op_return), TxOut(change, b"\x52"), *extra)
    return Tx(2, (TxIn(OutPoint(Txid(bytes(32)), 0)),), outputs)


def test_S18_a_raise_is_of_the_same_family_and_anything_else_is_not():
    """Only the change's sats may differ; every other byte of the unsigned transaction counts."""
    one = family(NETWORK, tx(5_000), 1)
    assert family(NETWORK, tx(4_000), 1) == one
    assert family(NETWORK, tx(5_000).with_witness(0, [b"w"]), 1) == one
    others = [
        family(NETWORK, tx(5_000), 3),
        family(bytes(32), tx(5_000), 1),
        family(NETWORK, tx(5_000, op_return=b"\x6a\x01y"), 1),
        family(NETWORK, replace(tx(5_000), locktime=1), 1),
        family(NETWORK, replace(tx(5_000), version=1), 1),
        family(NETWORK, replace(tx(5_000), outputs=tx(5_000).outputs[:2]), 1),
        family(
            NETWORK, replace(tx(5_000), outputs=(TxOut(999, b"\x51"), *tx(5_000).outputs[1:])), 1
        ),
    ]
    assert len({one, *others}) == len(others) + 1


def test_two_changes_are_refused():
    with pytest.raises(InvalidInput, match="expected one change"):
        family(NETWORK, tx(5_000, extra=(TxOut(1, b"\x53"),)), 1)


def test_without_a_change_the_transaction_itself_is_hashed():
    whole = tx(5_000)
    assert family(NETWORK, whole, 3) != family(NETWORK, tx(4_000), 3)


@pytest.mark.parametrize(
    "outpoints", [(), (*C.outpoints, C.outpoints[0]), C.outpoints[::-1]], ids=str
)
def test_a_proposal_needs_rising_outpoints(outpoints):
    with pytest.raises(InvalidInput):
        Proposal(Family(bytes(32)), outpoints, A.txid, b"")
