"""Rule 8: what blocks kill, what they settle, and what a reorganisation revives."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from simulator import DEPTH, TIP, Depths, acceptors, outpoint, proposal
from simulator import voted as votes

from grail.bitcoin.tx import Tx, TxIn
from grail.errors import InvalidInput, Refused
from grail.operators import spent
from grail.operators.certificates import Decision, Proposal
from grail.operators.messages import Open, Promise, Standing, Vote
from grail.operators.rounds import Acceptor
from grail.operators.spent import MAX_PATH, Lost, Spend, read_spend
from grail.types import BlockHash, OutPoint, Txid, TxOut

OWN = outpoint("mallory's own coin")
A = replace(proposal("A", "a"), inputs=(OWN, outpoint("a")))
B = proposal("B", "a")
WIDE = proposal("W", "ab")


def block(number: int) -> BlockHash:
    return BlockHash(hashlib.sha256(b"block" + bytes([number])).digest())


def spend(of: Proposal, number: int = 1) -> Spend:
    """The proposal itself, in a block."""
    return Spend(of.txid, of.family, tuple(sorted(of.spends)), block(number))


def elsewhere(*outpoints: OutPoint, number: int = 1) -> Spend:
    """A transaction of nobody here that spends these, in a block."""
    name = hashlib.sha256(b"other" + b"".join(o.serialize() for o in outpoints)).digest()
    return Spend(
        Txid(name), Proposal(name, (OWN,), Txid(name), b"").family, outpoints, block(number)
    )


def decided(who: list[Acceptor], of: Proposal) -> list[Vote]:
    given = votes(who, of)
    assert all(isinstance(acceptor.decide(given, of), Decision) for acceptor in who)
    return given


def test_S23_a_double_spent_input_frees_the_pool_after_one_block():
    depths: Depths = {block(1): 1}
    all_ = acceptors(depths=depths)
    old = decided(all_, A)
    for acceptor in all_:
        assert isinstance(acceptor.vote(B, TIP), Standing)
        acceptor.confirmed([elsewhere(OWN)])
        assert acceptor.body(A.family) is None
        assert isinstance(acceptor.vote(B, TIP), Vote)
        with pytest.raises(Refused, match="InputSpent"):
            acceptor.vote(A, TIP)
        with pytest.raises(Refused, match="InputSpent"):
            acceptor.decide(old, A)
    given = [acceptor.vote(B, TIP) for acceptor in all_]
    assert isinstance(all_[0].decide([v for v in given if isinstance(v, Vote)], B), Decision)


def test_S34_no_rule_takes_up_what_is_dead_and_no_state_changes():
    """All certificates were made before the block, and are good but for it."""
    depths: Depths = {}
    all_ = acceptors(depths=depths)
    opened = all_[5].open(5, A, TIP)
    assert isinstance(opened, Open)
    promises = [acceptor.promise(opened, A, TIP) for acceptor in all_[:12]]
    given = [p for p in promises if isinstance(p, Promise)]
    balloted = [acceptor.ballot(given, A, TIP) for acceptor in all_[:12]]
    cast = [v for v in balloted if isinstance(v, Vote)]
    late = all_[15]
    late.vote(WIDE, TIP)  # it knows the outpoint, by another transaction
    depths[block(1)] = 1
    late.confirmed([replace(elsewhere(OWN), lost=(Lost(A.txid, A.family),))])
    before = late.state_hash()
    for attempt in (
        lambda: late.vote(A, TIP),
        lambda: late.open(15, A, TIP),
        lambda: late.promise(opened, A, TIP),
        lambda: late.ballot(given, A, TIP),
        lambda: late.decide(cast, A),
    ):
        with pytest.raises(Refused, match="InputSpent"):
            attempt()
        assert late.state_hash() == before


def test_S23_a_dead_votes_report_blocks_nobody_that_has_the_proof():
    """Twelve voted for A; those who were never shown the block report it, one who was goes on."""
    depths: Depths = {block(1): 1}
    all_ = acceptors(depths=depths)
    votes(all_[:12], A)
    opened = all_[5].open(5, B, TIP)
    assert isinstance(opened, Open)
    promises = [acceptor.promise(opened, B, TIP) for acceptor in all_]
    given = [p for p in promises if isinstance(p, Promise)]
    assert len(given) == 16
    with pytest.raises(Refused, match="BallotBlocked"):
        all_[0].ballot(given, B, TIP)
    all_[0].confirmed([elsewhere(OWN)])
    assert isinstance(all_[0].ballot(given, B, TIP), Vote)
    with pytest.raises(Refused, match="BallotBlocked"):
        all_[1].ballot(given, B, TIP)


def test_S12_a_reorganisation_revives_what_it_unburies():
    depths: Depths = {block(1): 1}
    one = acceptors(depths=depths)[0]
    one.vote(A, TIP)
    one.confirmed([elsewhere(OWN)])
    with pytest.raises(Refused, match="InputSpent"):
        one.vote(A, TIP)
    depths.clear()
    one.follow()
    assert isinstance(one.vote(A, TIP), Vote)
    assert one.log.dead() == frozenset()
    # The conflict is in the other branch too: dead again, by the new block.
    depths[block(2)] = 1
    one.confirmed([elsewhere(OWN, number=2)])
    assert one.log.dead() == {A.family}


def test_a_conflict_kills_at_the_depth_that_policy_says():
    depths: Depths = {block(1): 1}
    one = acceptors(depths=depths)[0]
    one.log.void_depth = 2
    one.vote(A, TIP)
    one.confirmed([elsewhere(OWN)])
    assert one.body(A.family) is not None
    depths[block(1)] = 2
    one.follow()
    assert one.body(A.family) is None


def test_S23_dead_is_removed_on_all_outpoints_and_no_others_vote_is_touched():
    depths: Depths = {block(1): 1}
    one = acceptors(depths=depths)[0]
    other = proposal("other", "c")
    one.vote(WIDE, TIP)
    one.vote(other, TIP)
    one.confirmed([elsewhere(outpoint("b"))])
    assert isinstance(one.vote(B, TIP), Vote)
    assert one.body(other.family) is not None
    with pytest.raises(Refused, match="InputSpent"):
        one.vote(proposal("D", "b"), TIP)


def test_its_own_confirmation_kills_nothing_and_settles_at_k():
    depths: Depths = {block(1): 1}
    all_ = acceptors(depths=depths)
    one, given = all_[0], decided(all_, A)
    one.confirmed([spend(A)])
    # A raise of the family confirmed: the same family, another txid. Nothing dies of it either.
    assert isinstance(one.decide(given, A), Decision)
    assert isinstance(one.vote(B, TIP), Standing)
    depths[block(1)] = DEPTH
    one.follow()
    assert not one.memory.outpoints
    assert not one.memory.known
    for attempt in (A, B, WIDE):
        with pytest.raises(Refused, match="InputSpent") as caught:
            one.vote(attempt, TIP)
        assert caught.value.got == str(A.txid)


def test_S34_a_spent_outpoint_is_never_votable_again():
    """Forgotten, it could be voted on together with a live one, and freeze that one for ever."""
    depths: Depths = {block(1): 1}
    all_ = acceptors(depths=depths)
    decided(all_, A)
    for acceptor in all_:
        acceptor.confirmed([spend(A)])
    depths[block(1)] = DEPTH
    for acceptor in all_:
        acceptor.follow()
        with pytest.raises(Refused, match="InputSpent"):
            acceptor.vote(WIDE, TIP)
        assert isinstance(acceptor.vote(proposal("live", "b"), TIP), Vote)


def test_a_spend_that_comes_with_the_request_is_enough():
    depths: Depths = {block(1): 1}
    one = acceptors(depths=depths)[0]
    before = one.state_hash()
    with pytest.raises(Refused, match="InputSpent"):
        one.check_alive(WIDE, [elsewhere(outpoint("b"))])
    one.check_alive(WIDE, [spend(WIDE)])
    one.check_alive(WIDE, [elsewhere(outpoint("b"), number=9)])  # not on the chain
    assert one.state_hash() == before


def test_a_winners_decision_is_told_rather_than_its_block():
    """Whoever lost the race learns who won, as before the block."""
    depths: Depths = {block(1): 1}
    all_ = acceptors(depths=depths)
    given = decided(all_, A)
    all_[0].confirmed([spend(A)])
    standing = all_[0].vote(B, TIP)
    assert isinstance(standing, Standing)
    assert (standing.rule, standing.txid, standing.decision) == (
        "OutpointTaken",
        A.txid,
        tuple(given),
    )


def test_S16_settling_one_of_two_that_share_an_outpoint_leaves_no_hole():
    """B over {a, b} is promised here when A over {a} is settled: no answer may be a fault."""
    depths: Depths = {block(1): DEPTH}
    all_ = acceptors(depths=depths)
    one, given = all_[0], votes(all_, proposal("A", "a"))
    opened = all_[1].open(1, WIDE, TIP)
    assert isinstance(opened, Open)
    assert isinstance(one.promise(opened, WIDE, TIP), Promise)
    one.decide(given, proposal("A", "a"))
    one.confirmed([spend(proposal("A", "a"))])
    with pytest.raises(Refused, match="InputSpent"):
        one.vote(WIDE, TIP)
    # What was promised on b is not forgotten: no fast vote there.
    assert isinstance(one.vote(proposal("C", "b"), TIP), Standing)


# Unconfirmed parents


def tx(*outpoints: OutPoint, sats: int = 1_000) -> Tx:
    return Tx(2, tuple(TxIn(o) for o in outpoints), (TxOut(sats, b"\x51"),), 0)


def test_G11_what_hangs_on_a_double_spent_parent_is_dead_too():
    depths: Depths = {block(1): 1}
    one = acceptors(depths=depths)[0]
    parent = tx(OWN)
    child = tx(parent.outpoint(0), sats=900)
    hangs = replace(proposal("T", "a"), inputs=(child.outpoint(0),))
    one.vote(hangs, TIP)
    conflict = tx(OWN, outpoint("x"), sats=5)
    found = read_spend(bytes(32), conflict, block(1), [parent, child])
    one.confirmed([found])
    assert isinstance(one.vote(B, TIP), Vote)
    with pytest.raises(Refused, match="InputSpent"):
        one.vote(hangs, TIP)
    assert {lost.txid for lost in found.lost} == {parent.txid, child.txid}


def test_a_path_that_does_not_conflict_is_refused():
    parent, conflict = tx(OWN), tx(OWN, outpoint("x"))
    for path in (
        [tx(outpoint("y"))],
        [conflict],
        [tx(parent.outpoint(0))],
        [parent, tx(outpoint("y"))],
        [parent] * (MAX_PATH + 1),
    ):
        with pytest.raises(InvalidInput, match="spend"):
            read_spend(bytes(32), conflict, block(1), path)
    found = read_spend(bytes(32), conflict, block(1), [parent])
    assert found.lost == (Lost(parent.txid, found.lost[0].family),)
    assert found.lost[0].family is not None


# Bounds


def test_S33_marks_are_of_outpoints_that_concern_and_bounded(monkeypatch):
    monkeypatch.setattr(spent, "MAX_MARKS", 3)
    depths: Depths = {block(1): 1}
    one = acceptors(depths=depths)[0]
    one.confirmed([elsewhere(*(outpoint(f"stranger {n}") for n in range(10)))])
    assert not one.log._marks
    for name in "abcd":
        one.vote(proposal(name, name), TIP)
        one.confirmed([elsewhere(outpoint(name))])
    assert list(one.log._marks) == [outpoint(name) for name in "bcd"]


def test_I11_S12_two_decisions_that_a_reorganisation_left_do_not_stop_a_quorum():
    """A block killed A for some, who decided B; it is undone, and one of them is down."""
    seen = [Depths() for _ in range(4)]
    all_ = [acceptors(4, 3, depths)[i] for i, depths in enumerate(seen)]
    old = votes(all_[:3], A)
    assert isinstance(all_[2].decide(old, A), Decision)
    for i in (0, 1, 3):
        seen[i][block(1)] = 1
        all_[i].confirmed([elsewhere(OWN)])
    opened = all_[1].open(1, B, TIP)
    assert isinstance(opened, Open)
    promises = [all_[i].promise(opened, B, TIP) for i in (0, 1, 3)]
    new = [all_[i].ballot(promises, B, TIP) for i in (0, 1, 3)]
    for i in (0, 1):
        assert isinstance(all_[i].decide(new, B), Decision)
    for i in (0, 1, 3):
        del seen[i][block(1)]
        all_[i].follow()
    # Operator 3 is down: the other three must be able to finish one of the two, and the same one.
    for acceptor in all_[:2]:
        before = acceptor.state_hash()
        stands = acceptor.decide(old, A)
        assert isinstance(stands, Standing)
        assert (stands.rule, stands.family) == ("OutpointTaken", B.family)
        assert acceptor.state_hash() == before
    assert isinstance(all_[2].decide(new, B), Decision)
    assert isinstance(all_[2].decide(old, A), Standing), "and never back"


@pytest.mark.parametrize("higher", [True, False])
def test_S12_a_dead_decision_is_never_followed(higher):
    """However its family ranks: the block that killed it stands, and its rival was decided."""
    names = (replace(proposal(f"A{i}", "a"), inputs=(OWN, outpoint("a"))) for i in range(64))
    old = next(each for each in names if (each.family > B.family) == higher)
    depths: Depths = {block(1): 1}
    all_ = acceptors(depths=depths)
    given = decided(all_, old)
    for acceptor in all_:
        acceptor.confirmed([elsewhere(OWN)])
    decided(all_, B)
    for acceptor in all_:
        before = acceptor.state_hash()
        stands = acceptor.decide(given, old)
        assert isinstance(stands, Standing)
        assert stands.family == B.family
        assert acceptor.state_hash() == before
