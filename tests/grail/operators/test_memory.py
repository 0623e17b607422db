"""What an instance keeps in memory: bounded per outpoint, and one outpoint's flood is its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from simulator import DEPTH, TIP, Depths, acceptors, keys, outpoint, proposal

from grail.errors import Refused
from grail.operators import memory
from grail.operators.certificates import Decision, Proposal
from grail.operators.messages import Family, Head, Open, Promise, Standing, Vote
from grail.operators.rounds import Acceptor
from grail.operators.spent import Spend
from grail.types import BlockHash, OutPoint, Txid

USES = 3_000


def chain(number: int) -> Proposal:
    """The n-th spend of a pool that is used again and again."""
    name = hashlib.sha256(b"use %d" % number).digest()
    before = hashlib.sha256(b"use %d" % (number - 1)).digest()
    spent = (OutPoint(Txid(before), 0),)
    return Proposal(Family(hashlib.sha256(name).digest()), spent, Txid(name), b"request")


def block(number: int) -> BlockHash:
    return BlockHash(number.to_bytes(32, "little"))


def in_block(of: Proposal, number: int) -> Spend:
    return Spend(of.txid, of.family, of.outpoints, block(number))


def certificate(of: Proposal) -> list[Vote]:
    """Votes of operators 1 to 12, as a coordinator brings them."""
    one = acceptors()[0]
    made = []
    for index, pair in enumerate(keys(16)[1:13], 1):
        head = replace(one.epochs.head(TIP), sender=index)
        made.append(Vote(head, 0, of.family, of.outpoints).signed(pair))
    return made


def promised(one: Acceptor, number: int, of: Proposal) -> Promise | Standing:
    scope = one.scope
    epochs = (1,) * scope.n
    sender = number % scope.n
    head = Head(scope.network, scope.roster, scope.configuration, sender, epochs, TIP)
    by = Open(head, number, of.family).signed(keys(16)[sender])
    return one.promise(by, of, TIP)


def test_S33_thousands_of_uses_of_one_pool_leave_nothing_behind(monkeypatch):
    """Each use a block after the last, spent again long before its own spend is k deep."""
    monkeypatch.setattr(memory, "MAX_FAMILIES", 2 * DEPTH)
    depths: Depths = {}
    one = acceptors(depths=depths)[0]
    for number in range(USES):
        use = chain(number)
        assert isinstance(one.vote(use, TIP), Vote), number
        for deep in depths:
            depths[deep] += 1
        depths[block(number)] = 1
        one.confirmed([in_block(use, number)])
        assert len(one.memory.known) <= DEPTH
        assert len(one.memory.outpoints) <= DEPTH
    for number in (0, USES // 2, USES - DEPTH):
        with pytest.raises(Refused, match="InputSpent"):
            one.vote(chain(number), TIP)


def test_S33_decided_uses_are_settled_too(monkeypatch):
    monkeypatch.setattr(memory, "MAX_FAMILIES", 2 * DEPTH)
    depths: Depths = {}
    one = acceptors(depths=depths)[0]
    for number in range(5 * DEPTH):
        use = chain(number)
        assert isinstance(one.decide(certificate(use), use), Decision)
        for deep in depths:
            depths[deep] += 1
        depths[block(number)] = 1
        one.confirmed([in_block(use, number)])
    assert len(one.memory.known) == DEPTH - 1


def test_S33_a_flood_over_one_outpoint_evicts_and_blocks_nobody(monkeypatch):
    """One proof, a thousand change scripts: promises and openings of one outpoint."""
    monkeypatch.setattr(memory, "MAX_FAMILIES", 8)
    one = acceptors()[1]
    voted, other = proposal("voted", "v"), proposal("other", "o")
    one.vote(voted, TIP)
    for number in range(1, 400):
        flood = proposal(f"flood {number}", "a")
        if number % 16 == one.index:
            assert isinstance(one.open(number, flood, TIP), Open)
        else:
            assert isinstance(promised(one, number, flood), Promise)
        assert len(one.memory.known) <= 4
    assert isinstance(one.vote(other, TIP), Vote)
    for of in (voted, other):
        told = one.body(of.family)
        assert told is not None
        assert told.body == of.body


def test_what_only_promises_name_goes_first_and_the_promise_stays(monkeypatch):
    monkeypatch.setattr(memory, "MAX_FAMILIES", 4)
    one = acceptors()[0]
    for number in range(10):
        assert isinstance(promised(one, 5, proposal(f"p{number}", f"{number}")), Promise)
    assert len(one.memory.known) == 4
    first = proposal("rival", "0")
    standing = one.vote(first, TIP)
    assert isinstance(standing, Standing)
    assert (standing.rule, standing.promised, standing.family) == ("BallotPromised", 5, None)
    assert isinstance(promised(one, 4, first), Standing)
    # Whoever votes gets room from those that did not.
    for number in range(4):
        assert isinstance(one.vote(proposal(f"v{number}", "wxyz"[number]), TIP), Vote)
    before = one.state_hash()
    with pytest.raises(Refused, match="Busy"):
        one.vote(proposal("fifth", "q"), TIP)
    assert one.state_hash() == before
    assert {k.proposal.body for k in one.memory.known.values()} == {
        proposal(f"v{n}", "wxyz"[n]).body for n in range(4)
    }


def test_S33_bodies_of_votes_are_kept_and_a_new_one_is_refused(monkeypatch):
    """A body that is dropped by all could never be finished: its pool would stand still."""
    monkeypatch.setattr(memory, "MAX_BODIES", 40)
    monkeypatch.setattr(memory, "LARGE_BODY", 12)
    one = acceptors()[0]
    small = [replace(proposal(str(n), f"{n}"), body=bytes([n]) * 10) for n in range(5)]
    large = replace(proposal("large", "x"), body=b"x" * 20)
    padded = replace(proposal("padded", "y"), body=b"y" * 20)
    for of in (large, *small[:2]):
        assert isinstance(one.vote(of, TIP), Vote)
    for of in (padded, small[2]):
        before = one.state_hash()
        with pytest.raises(Refused, match="Busy"):
            one.vote(of, TIP)
        assert one.state_hash() == before
    for of in (large, *small[:2]):
        told = one.body(of.family)
        assert told is not None
        assert told.body == of.body
    # Promises go on: a ballot can finish what is there.
    assert isinstance(promised(one, 2, small[3]), Promise)


def test_S33_padded_requests_fill_half_at_most(monkeypatch):
    monkeypatch.setattr(memory, "MAX_BODIES", 40)
    monkeypatch.setattr(memory, "LARGE_BODY", 5)
    one = acceptors()[0]
    padded = [replace(proposal(f"l{n}", f"{n}"), body=bytes(10)) for n in range(3)]
    for of in padded[:2]:
        assert isinstance(one.vote(of, TIP), Vote)
    with pytest.raises(Refused, match="Busy"):
        one.vote(padded[2], TIP)
    assert isinstance(one.vote(replace(proposal("s", "s"), body=b"small"), TIP), Vote)


def test_S33_the_number_of_outpoints_is_bounded(monkeypatch):
    monkeypatch.setattr(memory, "MAX_PLACES", 3)
    one = acceptors()[0]
    assert isinstance(one.vote(proposal("A", "abc"), TIP), Vote)
    with pytest.raises(Refused, match="Busy"):
        one.vote(proposal("B", "d"), TIP)
    assert outpoint("d") not in one.memory.outpoints
