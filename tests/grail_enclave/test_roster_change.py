"""One roster follows another, through the enclaves' frames: who learns what, who signs what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from enclave_world import (
    ALICE,
    KEYS,
    QUORUM,
    RATE,
    ROSTER,
    World,
    ask,
    open_round,
    promise,
    prove,
    rule,
    sign,
    vote,
)
from reigns_world import Rosters, fresh_key

from grail.bitcoin.addresses import Roster
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import verify_input
from grail.bridge.peg_in import draft_peg_in
from grail.bridge.peg_out import draft_peg_out
from grail.bridge.roster import Guarded, draft_move
from grail.draft.assembled import Assembled
from grail.draft.draft import Purse
from grail.operators import frames
from grail.operators.client import Collected, collect_all
from grail.operators.evidence import HistoryPart, TxEvidence
from grail.operators.frames import Status
from grail.operators.messages import Scope
from grail.operators.roster import NextRoster, next_roster_fields, roster_fields
from grail.operators.transport import MemoryTransport, Transport
from grail.types import TxOut
from grail_enclave.enclave import Enclave

NEWCOMER, STRANGER = fresh_key(1), fresh_key(99)


@pytest.fixture(scope="module")
def begun() -> Rosters:
    """Two vault coins and an open deposit under epoch 0, which still rules."""
    world = Rosters()
    world.coins = [world.vault_coin() for _ in range(2)]  # type: ignore[attr-defined]
    world.open = world.paid()  # type: ignore[attr-defined]
    return world


@pytest.fixture(scope="module")
def changed(begun: Rosters) -> Rosters:
    """Epoch 1 rules: one operator has left, another has come."""
    world = begun.later()
    world.change(world.replaced())
    return world


@pytest.fixture
def world(begun: Rosters) -> Rosters:
    return begun.later()


@pytest.fixture
def after(changed: Rosters) -> Rosters:
    return changed.later()


def status(enclave: Enclave) -> Status:
    return Status.from_fields(ask(enclave, frames.STATUS).unwrap())


def newcomer(world: Rosters) -> Enclave:
    return world.lives[NEWCOMER.public]


def left(world: Rosters) -> Enclave:
    """The enclave of the operator that is in epoch 0 alone."""
    return world.lives[KEYS[0].public]


# Who follows.


def test_R14_every_enclave_follows_the_roster_on_chain(after: Rosters) -> None:
    """Members of both, of the old one alone and of the new one alone have the same record."""
    for enclave in after.lives.values():
        told = status(enclave)
        assert (told.epoch, told.roster) == (1, after.nft_outpoint())
        assert [seat.epoch for seat in told.seats] == [0, 1]
        assert enclave.anchors().record == after.record
    assert [seat.index for seat in status(left(after)).seats] == [0, None]
    assert status(newcomer(after)).seats[0].index is None
    assert status(newcomer(after)).seats[1].instance is not None


def test_R12_a_newcomer_takes_the_record_from_the_chain_alone(after: Rosters) -> None:
    """Deploy first, in order, k deep: no message of anybody puts a roster on record."""
    stranger = fresh_key(9)
    enclave = after.newcomer(stranger, told=False)
    deploy, spell = (record.to_value() for record in after.story())
    assert rule(ask(enclave, frames.RECORD, spell)) == "RosterInvalid"
    assert rule(ask(enclave, frames.NEXT_ROSTER_SIGN, next_roster_fields(after.roster(1)))) == (
        "ViewStale"
    )
    ask(enclave, frames.RECORD, deploy).unwrap()
    assert status(enclave).epoch == 0
    ask(enclave, frames.RECORD, spell).unwrap()
    assert enclave.anchors().record == after.record
    # What the first roster signed is of no use to it: the record is there.
    first = after.first_roster.fields()
    assert rule(ask(enclave, frames.FIRST_ROSTER_ACCEPT, first)) == "NotMember"


def test_R12_a_spell_counts_k_deep(world: Rosters) -> None:
    """One block before, the old roster rules for every enclave, and signs for itself."""
    world.change(world.replaced(), tell=False)
    world.chain = world.chain.fork(world.chain.height - 1)
    world.lives = {}
    fresh = world.newcomer(fresh_key(5), told=False)
    ask(fresh, frames.RECORD, world.deploy_record().to_value()).unwrap()
    assert rule(world.tell(1, fresh)[0]) == "NotConfirmed"
    world.chain.mine()
    world.feed_all()
    world.tell(1, fresh)[0].unwrap()


def test_R12_a_reorganisation_takes_the_roster_back(after: Rosters) -> None:
    """The spell's block is gone: epoch 0 rules again, and its votes are where they were."""
    enclave = left(after)
    tx, height = after.spells[0]
    before = [scope.roster for scope in enclave._acceptors]
    other = after.chain.fork(height - 1)
    other.mine_many(after.chain.height - height + 2)
    whole, after.chain = after.chain, other
    for each in after.lives.values():
        ask(each, frames.HEADERS, [h.serialize() for h in other.headers[height - 1 :]]).unwrap()
    assert status(enclave).epoch == 0
    assert status(newcomer(after)).epoch == 0
    assert status(newcomer(after)).instance is None
    assert [scope.roster for scope in enclave._acceptors] == before
    # The same spell in another block: the same roster's id, the reign begins later.
    after._fed = dict.fromkeys(after._fed, other.height)
    other.mine(tx)
    after.spells[0] = (tx, other.height)
    other.mine_many(after.network.k - 1)
    for reply in after.tell(1):
        reply.unwrap()
    assert whole.height < after.record.reigns[1].start
    assert newcomer(after).anchors().record == after.record


def test_R12_several_epochs_are_caught_up_with(after: Rosters) -> None:
    """Three rosters in a row; one who comes late, or slept, takes all spells one by one."""
    sleeper = after.lives.pop(KEYS[0].public)
    after.change(after.replaced(2))
    after.change(after.replaced(3))
    late = after.newcomer(fresh_key(7))
    assert status(late).epoch == 3
    after.lives[KEYS[0].public] = sleeper
    after.feed_all()
    assert rule(after.tell(3, sleeper)[0]) == "RosterFixed"
    for epoch in (2, 3):
        after.tell(epoch, sleeper)[0].unwrap()
    assert sleeper.anchors().record == late.anchors().record == after.record
    # A vault coin of epoch 0 goes straight to epoch 3, signed by epoch 0's own quorum.
    (coin, _), _ = after.coins  # type: ignore[attr-defined]
    tx = after.signed_in_turn(after.move(0, coin), ALICE)
    after.confirm(tx)
    assert tx.outputs[0].script == after.context.guard(after.zkbtc).script_pubkey


# Who may name it.


@pytest.mark.parametrize(
    ("case", "roster"),
    [
        ("another epoch", Roster.of(2, [k.public for k in KEYS], QUORUM)),
        ("a quorum below the policy's", Roster.of(1, [k.public for k in KEYS[:12]], 9)),
        (
            "a quorum of two thirds",
            Roster.of(1, [k.public for k in (*KEYS, NEWCOMER, fresh_key(2))], 12),
        ),
        (
            "an internal key with a secret",
            Roster.of(1, [k.public for k in KEYS], 12, STRANGER.public),
        ),
    ],
)
def test_R3_S8_rosters_that_nobody_agrees_on(world: Rosters, case: str, roster: Roster) -> None:
    """Neither vouched for nor agreed on, by anybody's enclave."""
    assert case
    enclave = world.of(0)[0]
    before = enclave.state_hash()
    signed = NextRoster(roster, (bytes(64),) * len(roster.keys))
    for kind, body in (
        (frames.NEXT_ROSTER_SIGN, next_roster_fields(roster)),
        (frames.NEXT_ROSTER_AGREE, signed.fields()),
    ):
        assert rule(ask(enclave, kind, body)) == "RosterInvalid"
    assert enclave.state_hash() == before


def test_R7_a_key_that_left_is_in_no_later_roster(after: Rosters) -> None:
    """Its operator comes back with a new key; the old one could be anybody's by now."""
    out = sorted(after.members[0], key=lambda pair: bytes(pair.public))
    back = next(pair for pair in out if pair not in after.members[1])
    keys = [*after.members[1][1:], back]
    roster = Roster.of(2, [pair.public for pair in keys], 12)
    member = after.lives[keys[0].public]
    reply = ask(member, frames.NEXT_ROSTER_SIGN, next_roster_fields(roster))
    assert rule(reply) == "RosterInvalid"
    assert reply.refusal is not None
    assert reply.refusal.message == "a key that left an earlier roster"
    others = [*after.members[1][1:], fresh_key(9)]
    good = Roster.of(2, [pair.public for pair in others], 12)
    ask(member, frames.NEXT_ROSTER_SIGN, next_roster_fields(good)).unwrap()


def test_R13_a_member_that_is_dead_is_replaced_without_its_word(world: Rosters) -> None:
    """It answers nothing, votes for nothing and signs nothing; the quorum of the others does."""
    dead = world.members[0][0]
    del world.lives[dead.public]
    world.change(world.replaced(7))
    assert dead.public not in world.roster(1).keys
    assert len(world.of(1)) == len(world.members[1])
    tx = world.signed_in_turn(world.peg_in(*world.paid(210_000)))
    world.confirm(tx)


def test_R15_signing_goes_on_while_operators_come_and_go(world: Rosters) -> None:
    """Three changes in a row: in each reign twelve votes and twelve signatures are enough."""
    for number in range(1, 4):
        world.change(world.replaced(20 + number))
        built = world.peg_in(*world.paid(210_000 + number))
        request = world.request(built)
        (epoch,) = {spend.epoch for spend in built.check().quorum_inputs}
        assert epoch == number
        quorum = world.of(epoch, 12)
        votes = [vote(enclave, request) for enclave in quorum]
        _, tx = world.after(request, epoch, [sign(each, request, votes) for each in quorum])
        world.confirm(tx)
    assert len(world.record.reigns) == 4


def test_R4_a_next_roster_has_every_members_word(world: Rosters) -> None:
    """One signature of a stranger, or for another configuration, and nobody agrees on it."""
    keys = world.replaced()
    roster = Roster.of(1, [key.public for key in keys], QUORUM)
    good = world.following(roster, keys)
    enclave = world.of(0)[0]
    for wrong in (
        (*good.signatures[:-1], bytes(64)),
        (good.signatures[0],) * len(good.signatures),
        (*good.signatures[:-1], STRANGER.sign(bytes(32))),
    ):
        reply = ask(enclave, frames.NEXT_ROSTER_AGREE, NextRoster(roster, wrong).fields())
        assert rule(reply) == "RosterInvalid"
    other = Enclave(replace(world.configuration, max_fee=1), KEYS[3])
    assert rule(ask(other, frames.NEXT_ROSTER_AGREE, good.fields())) == "ViewStale"
    assert (
        rule(ask(world.newcomer(fresh_key(6)), frames.NEXT_ROSTER_SIGN, next_roster_fields(roster)))
        == "NotMember"
    )
    ask(enclave, frames.NEXT_ROSTER_AGREE, good.fields()).unwrap()


def test_R13_R9_only_a_quorum_that_agreed_makes_a_roster(world: Rosters) -> None:
    """Eleven operators agreed; the others' enclaves refuse the spell, and none of them signs it."""
    keys = world.replaced()
    roster = Roster.of(1, [key.public for key in keys], QUORUM)
    following = world.following(roster, keys)
    request = world.request(world.roster_spell(roster), ALICE)
    enclaves = world.of(0)
    for enclave in enclaves[:11]:
        ask(enclave, frames.NEXT_ROSTER_AGREE, following.fields()).unwrap()
    replies = [vote(enclave, request) for enclave in enclaves]
    assert [reply.refusal is None for reply in replies] == [True] * 11 + [False] * 5
    assert {rule(reply) for reply in replies[11:]} == {"RosterInvalid"}
    assert rule(sign(enclaves[0], request, replies[:11])) == "NotDecided"
    # An operator may name another roster instead; what was admitted for the first is so no more.
    others = [*world.members[0][1:], fresh_key(2)]
    second = Roster.of(1, [key.public for key in others], QUORUM)
    body = world.following(second, others).fields()
    ask(enclaves[0], frames.NEXT_ROSTER_AGREE, body).unwrap()
    assert rule(vote(enclaves[0], request)) == "RosterInvalid"


def test_R13_no_other_message_makes_a_roster(world: Rosters) -> None:
    """Every frame that has a roster in it, sent to an enclave: the record stays as it is."""
    enclave, record = world.of(0)[0], world.record
    keys = world.replaced()
    roster = Roster.of(1, [key.public for key in keys], QUORUM)
    following = world.following(roster, keys)
    for kind, body in (
        (frames.FIRST_ROSTER_SIGN, roster_fields(roster)),
        (frames.FIRST_ROSTER_ACCEPT, [roster_fields(roster), list(following.signatures)]),
        (frames.NEXT_ROSTER_SIGN, next_roster_fields(ROSTER)),
        (frames.NEXT_ROSTER_AGREE, following.fields()),
        (frames.RECORD, world.deploy_record().to_value()),
    ):
        ask(enclave, kind, body)
        assert enclave.anchors().record == record
        assert status(enclave).keys == ROSTER.keys


# Who signs.


def test_S31_a_deposit_to_the_old_address_is_served_to_the_new_vault(after: Rosters) -> None:
    """The old quorum signs it; the units are the owner's, the sats the new roster's."""
    deposit, coin = after.open  # type: ignore[attr-defined]
    built = prove(draft_peg_in(after.context, after.app, deposit, coin, RATE))
    request = after.request(built)
    assert rule(vote(newcomer(after), request)) == "NotMember"
    tx = after.signed_in_turn(built)
    assert tx.outputs[0].script == after.context.guard(after.zkbtc).script_pubkey
    after.confirm(tx)
    # Paid once more after that: another outpoint, served or recovered by itself.
    again = after.give(deposit.script, 300_000)
    after.chain.mine_many(after.network.k)
    second = prove(draft_peg_in(after.context, after.app, deposit, again, RATE))
    after.signed_in_turn(second)


def test_G8_vault_coins_move_as_they_are(after: Rosters) -> None:
    """Two at once, equal sats, no proof; then the new roster spends them."""
    (one, held), (two, _) = after.coins  # type: ignore[attr-defined]
    tx = after.signed_in_turn(after.move(0, one, two), ALICE)
    after.confirm(tx)
    moved = after.coin(tx, 0)
    assert moved.sats == one.sats
    out = draft_peg_out(
        after.context,
        after.app,
        [moved],
        Purse([held], ALICE.script, RATE),
        burn=100_000,
        pay_to=ALICE.script,
    )
    assert {s.epoch for s in prove(out).check().quorum_inputs} == {1}
    after.signed_in_turn(prove(out), ALICE)


def of_two_epochs(after: Rosters) -> Assembled:
    """A peg-out that takes one vault coin of epoch 0 and one of epoch 1."""
    (old, held), (other, _) = after.coins  # type: ignore[attr-defined]
    moved = after.signed_in_turn(after.move(0, other), ALICE)
    after.confirm(moved)
    new = after.coin(moved, 0)
    burn = old.sats + new.sats - 150_000
    mine = [held, after.coins[1][1]]  # type: ignore[attr-defined]
    return prove(
        draft_peg_out(
            after.context,
            after.app,
            [old, new],
            Purse(mine, ALICE.script, RATE),
            burn=burn,
            pay_to=ALICE.script,
        )
    )


def test_S16_inputs_of_two_epochs_are_signed_by_their_own_quorums_in_turn(after: Rosters) -> None:
    """The older one first. To the younger one its inputs are another's, with their witness."""
    built = of_two_epochs(after)
    assert {s.epoch for s in built.check().quorum_inputs} == {0, 1}
    request = after.request(built, ALICE)
    old_quorum, new_quorum = after.of(0, QUORUM), after.of(1)
    assert rule(vote(newcomer(after), request)) == "NotMember"
    votes = [vote(enclave, request) for enclave in old_quorum]
    # Votes of the one roster decide nothing for the other.
    signed = [sign(enclave, request, votes) for enclave in old_quorum]
    then, _ = after.after(request, 0, signed)
    assert rule(sign(newcomer(after), then, votes)) == "NotDecided"
    # The leaver has no part in what is left.
    assert rule(vote(left(after), then)) == "NotMember"
    # A signature less, or another's, is no older quorum's word: the younger one holds nothing for it.
    (at,) = (s.index for s in built.check().quorum_inputs if s.epoch == 0)
    given = Psbt.parse(then.psbt)
    witness = given.inputs[at].final_script_witness or ()
    spoiled = given.with_input(at, final_script_witness=(b"\1" * 64, *witness[1:]))
    for enclave in new_quorum[:2]:
        wrong = replace(then, psbt=spoiled.serialize())
        assert rule(vote(enclave, wrong)) == "TxShape"
    votes = [vote(enclave, then) for enclave in new_quorum[:QUORUM]]
    done, tx = after.after(then, 1, [sign(e, then, votes) for e in new_quorum[:QUORUM]])
    assert done is not None
    after.confirm(tx)


def test_S16_whoever_collects_asks_one_roster_after_the_other(after: Rosters) -> None:
    """From one request to a transaction that is whole."""
    built = of_two_epochs(after)
    request = after.request(built, ALICE)
    scopes = [after.scope(0), after.scope(1)]

    @contextlib.asynccontextmanager
    async def connect(scope: Scope) -> AsyncIterator[Transport]:
        def peer(enclave: Enclave) -> Callable[[bytes], Awaitable[bytes]]:
            async def answer(raw: bytes) -> bytes:
                return enclave.answer(raw)

            return answer

        yield MemoryTransport([peer(each) for each in after.of(scopes.index(scope))])

    async def collected() -> Collected:
        return await collect_all(request.serialize(), after.network, scopes, connect)

    found = asyncio.run(collected())
    assert found.scope == scopes[1]
    outputs = [TxOut(p.sats, p.script) for p in built.prevouts]
    for index in range(len(found.tx.inputs)):
        verify_input(found.tx, outputs, index)
    assert found.tx.txid == built.tx.txid
    # Asked again, the same: what was signed is signed, whichever roster is asked first.
    assert asyncio.run(collected()).tx.txid == found.tx.txid


def test_R14_what_was_decided_before_the_change_is_signed_after_it(world: Rosters) -> None:
    """Votes under epoch 0, the change, then signatures: it may confirm within the grace.

    One who asks anew for an output to the old address is refused.
    """
    (vault, held), _ = world.coins  # type: ignore[attr-defined]
    built = world.peg_out(vault, held, 100_000)
    request = world.request(built, ALICE)
    votes = [vote(enclave, request) for enclave in world.of(0, QUORUM)]
    world.change(world.replaced())
    renewed = world.request(built, ALICE)
    enclaves = world.of(0)
    for enclave in enclaves[QUORUM:]:
        assert rule(vote(enclave, renewed)) == "RetiredRoster"
    signed = [sign(enclave, renewed, votes) for enclave in enclaves[:QUORUM]]
    _, tx = world.after(renewed, 0, signed)
    world.confirm(tx)
    # Signing taught nobody that it may be voted for.
    assert rule(vote(enclaves[15], renewed)) in {"RetiredRoster", "InputSpent"}


def test_R14_a_split_vote_over_the_change_is_brought_to_an_end(world: Rosters) -> None:
    """Eight votes of epoch 0 stand in the way of everything else; promises show that it was in time.

    An opener and eight who voted promise it; the others promise it on their word.
    """
    (vault, held), _ = world.coins  # type: ignore[attr-defined]
    built = world.peg_out(vault, held, 100_000)
    request = world.request(built, ALICE)
    voters = world.of(0)
    for enclave in voters[:8]:
        vote(enclave, request).unwrap()
    world.change(world.replaced())
    renewed = world.request(built, ALICE)
    enclaves = world.of(0)
    assert rule(open_round(enclaves[9], 9, renewed)) == "RetiredRoster"
    opened = open_round(enclaves[1], 1, renewed)
    promises = [promise(enclave, opened, renewed) for enclave in enclaves[:8]]
    assert rule(promise(enclaves[9], opened, renewed)) == "RetiredRoster"
    few = [frames.Promise.parse(reply.unwrap()) for reply in promises]
    for shown, passes in ((few[:4], False), (few[:5], True)):
        frame = frames.promise_frame(frames.Open.parse(opened.unwrap()), renewed.serialize(), shown)
        replies = [ask(enclave, frame.kind, frame.body) for enclave in enclaves[8:12]]
        assert [reply.refusal is None for reply in replies] == [passes] * 4
    promises += replies
    frame = frames.ballot_frame(
        [frames.Promise.parse(reply.unwrap()) for reply in promises], renewed.serialize()
    )
    votes = [ask(enclave, frame.kind, frame.body) for enclave in enclaves[:QUORUM]]
    signed = [sign(enclave, renewed, votes) for enclave in enclaves[:QUORUM]]
    world.after(renewed, 0, signed)


def test_R12_a_full_check_waits_for_the_roster_spell(after: Rosters) -> None:
    """A deposit that the old quorum served, shown before the spell: neither correct nor an alarm.

    Once the spell is there it is correct. One that is missing for long is none.
    """
    deposit, coin = after.open  # type: ignore[attr-defined]
    tx = after.signed_in_turn(prove(draft_peg_in(after.context, after.app, deposit, coin, RATE)))
    after.confirm(tx)
    paid = TxEvidence(after.transactions[coin.outpoint.txid].serialize())
    items = (paid, TxEvidence(tx.serialize(), after.chain.prove(tx.txid)))
    part = HistoryPart((after.app.bundle.serialize(),), items).to_value()
    # An enclave of the first roster whose host has not brought the spell.
    for spoken, blocks, alarm in ((False, 0, None), (True, 0, None), (False, 40, tx.txid)):
        world = after.later()
        world.chain.mine_many(blocks)
        (enclave,) = World.enclaves(world, 1)
        if spoken:
            world.lives = {KEYS[0].public: enclave}
            world._fed = {KEYS[0].public: world.chain.height}
            world.tell(1)[0].unwrap()
        reply = ask(enclave, frames.HISTORY, part)
        assert status(enclave).alarm == alarm
        if blocks == 0 and not spoken:
            assert rule(reply) == "HistoryInvalid"
        else:
            assert reply.unwrap()[1] == (None if alarm is None else bytes(alarm))


def test_S27_old_keys_mint_nothing_after_the_grace(after: Rosters) -> None:
    """A deposit to the old address, 1,008 blocks after the old roster's last."""
    deposit = replace(after.deposit(), roster=ROSTER)
    end = after.record.reigns[0].end
    assert end is not None
    after.chain.mine_many(end + 1_008 - after.chain.height - after.network.k)
    coin = after.give(deposit.script, 400_000)
    after.chain.mine_many(after.network.k - 1)
    assert after.chain.height == end + 1_008
    built = prove(
        draft_peg_in(replace(after.context, height=end + 1_008), after.app, deposit, coin, RATE)
    )
    request = after.request(built)
    for enclave in after.of(0)[:2]:
        assert rule(vote(enclave, request)) == "RetiredRoster"
    # What is left at the old address still moves.
    (vault, _), _ = after.coins  # type: ignore[attr-defined]
    after.signed_in_turn(after.move(0, vault), ALICE)


def test_a_move_needs_an_older_epoch(after: Rosters) -> None:
    (vault, _), _ = after.coins  # type: ignore[attr-defined]
    purse = Purse([after.give(ALICE, 90_000)], ALICE.script, RATE)
    moved = after.signed_in_turn(after.move(0, vault), ALICE)
    after.confirm(moved)
    again = after.coin(moved, 0)
    built = draft_move(after.context, [Guarded(after.zkbtc, 0, again)], purse)
    assert rule(vote(after.of(1)[0], after.request(built, ALICE))) == "ProofMissing"
