"""Drafts of a roster spell and of moves: what they take, what they pay, what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from enclave_world import ALICE, KEYS, QUORUM, RATE, ROSTER, World, prove

from grail.bitcoin.addresses import Roster
from grail.bridge.roster import MOVES, Guarded, batches, draft_move, draft_roster
from grail.charms.case import MOVE
from grail.charms.record import roster_state
from grail.crypto.schnorr import KeyPair
from grail.draft.assembled import Context
from grail.draft.draft import Purse
from grail.errors import InsufficientFunds, InvalidInput
from grail.wallet.coins import Coin

NEXT = Roster.of(1, [*(key.public for key in KEYS[1:]), KeyPair(b"\x08" * 32).public], QUORUM)


@pytest.fixture
def world() -> World:
    return World.begun()


def purse(world: World, sats: int = 90_000) -> Purse:
    return Purse([world.give(ALICE, sats)], ALICE.script, RATE)


def nft(world: World) -> Coin:
    return world.coin(world.deploy, 0, {world.zkbtc.nft: roster_state(ROSTER)})


def after(world: World) -> Context:
    """What drafts know when the next roster rules."""
    spelled = world.chain.height
    world.chain.mine_many(world.network.k)
    record = world.context.record.extended(roster_state(NEXT), spelled, world.network)
    return replace(world.context, record=record)


def vault(world: World, count: int) -> list[Coin]:
    script = world.context.guard(world.zkbtc, ROSTER).script_pubkey
    return [world.give(script, 120_000 + at) for at in range(count)]


def test_R14_a_roster_spell_hands_the_nft_to_the_next_roster(world: World) -> None:
    """Its sats stay, its address is the next one's, and the payer pays."""
    built = prove(draft_roster(world.context, world.app, nft(world), NEXT, purse(world)))
    checked = built.check()
    assert checked.record.rosters == (ROSTER, NEXT)
    out = built.tx.outputs[0]
    assert out.sats == nft(world).sats
    assert out.script == world.context.guard(world.zkbtc, NEXT).script_pubkey
    assert built.fee >= RATE * built.vsize


@pytest.mark.parametrize("epoch", [0, 2])
def test_R13_only_the_next_epoch_follows(world: World, epoch: int) -> None:
    with pytest.raises(InvalidInput, match="expected 1"):
        draft_roster(world.context, world.app, nft(world), replace(NEXT, epoch=epoch), purse(world))


def test_G8_a_move_takes_nothing_from_what_it_moves(world: World) -> None:
    """As many sats at the new address as at the old one; no proof; the fee is the payer's."""
    coins = vault(world, 3)
    context = after(world)
    built = draft_move(context, [Guarded(world.zkbtc, 0, c) for c in coins], purse(world))
    checked = built.check()
    assert checked.contracts[0].standing == MOVE
    assert [out.sats for out in built.tx.outputs[:3]] == [coin.sats for coin in coins]
    new = context.guard(world.zkbtc).script_pubkey
    assert {out.script for out in built.tx.outputs[:3]} == {new}
    assert built.acts == ()
    assert built.fee == RATE * built.vsize
    assert built.check().quorum_inputs[0].epoch == 0


def test_G8_moves_that_are_none(world: World) -> None:
    (coin,) = vault(world, 1)
    context = after(world)
    with pytest.raises(InvalidInput, match="0 outputs"):
        draft_move(context, [], purse(world))
    with pytest.raises(InvalidInput, match=f"{MOVES + 1} outputs"):
        draft_move(context, [Guarded(world.zkbtc, 0, coin)] * (MOVES + 1), purse(world))
    with pytest.raises(InvalidInput, match="under epoch 1 already"):
        draft_move(context, [Guarded(world.zkbtc, 1, coin)], purse(world))
    with pytest.raises(InsufficientFunds):
        draft_move(context, [Guarded(world.zkbtc, 0, coin)], purse(world, 600))


def test_moves_go_together_by_epoch(world: World) -> None:
    """Each in one batch, none with another epoch's, none above the cap."""
    coins = vault(world, 7)
    outputs = [Guarded(world.zkbtc, at % 2, coin) for at, coin in enumerate(coins)]
    found = batches(outputs, 3)
    assert [[each.epoch for each in batch] for batch in found] == [[0, 0, 0], [0], [1, 1, 1]]
    assert sorted(each.coin.outpoint for batch in found for each in batch) == sorted(
        coin.outpoint for coin in coins
    )
    assert batches([], 3) == []
