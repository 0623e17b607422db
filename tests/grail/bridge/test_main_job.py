"""The main job on real proofs and signatures: peg in, transfer, swap, peg out, recover."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.grail.bridge.story import RATE, Story, account, compiled
from tests.kernel import SpendInvalid, verify_spend

from grail.apps.pool import Pool
from grail.apps.token import Token
from grail.apps.zkbtc import ZkBtc
from grail.bridge.deposit import Deposit
from grail.bridge.peg_in import draft_peg_in
from grail.bridge.peg_out import draft_peg_out
from grail.bridge.recovery import recover
from grail.charms.app import App
from grail.draft.draft import CARRIER
from grail.errors import (
    Incorrect,
    InsufficientFunds,
    InvalidInput,
    SpellIncorrect,
    Unsatisfied,
    WouldBurn,
)
from grail.exchange.pool import PoolPort, adding, draft_create, draft_move, removing, swapping
from grail.exchange.token import draft_issue, draft_transfer

ALICE, BOB, MALLORY = account("alice"), account("bob"), account("mallory")


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


def deposit_of(story: Story, who: object = ALICE, **terms: int) -> Deposit:
    return Deposit.of(story.context, who.script, who.internal_key, **terms)  # type: ignore[attr-defined]


def pegged_in(story: Story, sats: int = 500_000) -> int:
    deposit = deposit_of(story)
    coin = story.give(deposit.script, sats)
    built = draft_peg_in(story.context, compiled(ZkBtc), deposit, coin, RATE)
    story.publish(built)
    return built.fee


def vault(story: Story) -> list:
    return [c for c in story.held(story.context.guard(story.zkbtc).script_pubkey) if not c.charms]


def opened_pool(story: Story) -> tuple[PoolPort, App, App]:
    story.give(ALICE, 200_000)
    pegged_in(story)
    built = draft_issue(story.context, compiled(Token), story.purse(ALICE), 10**9, to=ALICE.script)
    token = next(iter(built.spell.apps))
    story.publish(built, ALICE)
    built = draft_create(
        story.context,
        compiled(Pool),
        story.purse(ALICE),
        [(story.zkbtc.token, 100_000), (token, 400_000_000)],
    )
    tx = story.publish(built, ALICE)
    contract = next(act.contract for act in built.acts)
    port = next(c for c in story.coins.values() if contract.nft in c.charms)
    assert port.outpoint.txid == tx.txid
    return PoolPort.read(contract, port), story.zkbtc.token, token


def test_peg_in_mints_what_the_vault_gains(story: Story) -> None:
    before = (sum(c.sats for c in vault(story)), story.units(ALICE, story.zkbtc.token))
    fee = pegged_in(story)
    minted = 500_000 - CARRIER - fee
    assert sum(c.sats for c in vault(story)) - before[0] == minted
    assert story.units(ALICE, story.zkbtc.token) - before[1] == minted
    assert 0 < fee <= 3_000


def test_S24_deposit_that_does_not_pay_its_service_is_refused(story: Story) -> None:
    deposit = deposit_of(story)
    coin = story.give(deposit.script, 2_000)
    with pytest.raises(InvalidInput, match="does not pay"):
        draft_peg_in(story.context, compiled(ZkBtc), deposit, coin, RATE)


def test_S22_fee_beyond_the_owners_bound_is_refused(story: Story) -> None:
    deposit = deposit_of(story, max_fee=100)
    coin = story.give(deposit.script, 500_000)
    with pytest.raises(InvalidInput, match="at most 100 for the fee"):
        draft_peg_in(story.context, compiled(ZkBtc), deposit, coin, RATE)


def test_S30_foreign_deposit_address_is_refused(story: Story) -> None:
    deposit = deposit_of(story)
    deposit.check_address(deposit.address)
    with pytest.raises(Incorrect, match="is not yours"):
        deposit.check_address(deposit_of(story, MALLORY).address)


def test_transfer_then_peg_out_then_nothing_is_missing(story: Story) -> None:
    pegged_in(story)
    story.give(ALICE, 100_000)
    token = story.zkbtc.token
    story.publish(
        draft_transfer(story.context, story.purse(ALICE), token, 120_000, to=BOB.script), ALICE
    )
    assert story.units(BOB, token) == 120_000
    before = sum(c.sats for c in vault(story))
    built = draft_peg_out(
        story.context,
        compiled(ZkBtc),
        vault(story),
        story.purse(BOB),
        burn=70_000,
        pay_to=BOB.script,
    )
    story.publish(built, BOB)
    assert story.units(BOB, token) == 50_000
    assert before - sum(c.sats for c in vault(story)) == 70_000
    payout = max(c.sats for c in story.held(BOB) if not c.charms)
    assert payout == 70_000 - built.fee


def test_whole_coin_is_pegged_out_with_its_carrier(story: Story) -> None:
    pegged_in(story)
    story.give(ALICE, 100_000)
    fresh = account("fresh")
    token = story.zkbtc.token
    story.publish(
        draft_transfer(story.context, story.purse(ALICE), token, 50_000, to=fresh.script), ALICE
    )
    built = draft_peg_out(
        story.context,
        compiled(ZkBtc),
        vault(story),
        story.purse(fresh),
        burn=50_000,
        pay_to=fresh.script,
    )
    story.publish(built, fresh)
    (left,) = story.held(fresh)
    assert (left.sats, dict(left.charms)) == (50_000 + CARRIER - built.fee, {})


def test_more_than_one_holds_cannot_be_pegged_out(story: Story) -> None:
    with pytest.raises(InsufficientFunds):
        draft_peg_out(
            story.context,
            compiled(ZkBtc),
            vault(story),
            story.purse(account("nobody")),
            burn=1_000,
            pay_to=BOB.script,
        )


def test_pool_is_created_added_to_swapped_and_left(story: Story) -> None:
    pool, zkbtc, token = opened_pool(story)
    app = compiled(Pool)
    plans = (
        lambda port: adding(port, 50_000, 200_000_000),
        lambda port: swapping(port, zkbtc, 10_000),
        lambda port: swapping(port, token, 5_000_000),
        lambda port: removing(port, 1_000_000),
    )
    for plan in plans:
        move = plan(pool)
        story.give(ALICE, 50_000)
        before = {a: story.units(ALICE, a) for a in (zkbtc, token, pool.contract.token)}
        built = draft_move(story.context, app, pool, story.purse(ALICE), move)
        tx = story.publish(built, ALICE)
        port = next(c for c in story.coins.values() if pool.contract.nft in c.charms)
        assert port.outpoint.txid == tx.txid
        after = PoolPort.read(pool.contract, port)
        assert after.state == move.after
        # what the pool gained is what Alice lost, to the unit
        assert before[zkbtc] - story.units(ALICE, zkbtc) == after.state.a - pool.state.a
        assert before[token] - story.units(ALICE, token) == after.state.b - pool.state.b
        gained = story.units(ALICE, pool.contract.token) - before[pool.contract.token]
        assert gained == after.state.lp - pool.state.lp
        pool = after


def test_swap_of_one_unit_too_much_has_no_proof(story: Story) -> None:
    pool, zkbtc, _ = opened_pool(story)
    quote = pool.quote(zkbtc, 10_000)
    greedy = swapping(pool, zkbtc, 10_000, out=quote.taken + 1)
    built = draft_move(story.context, compiled(Pool), pool, story.purse(ALICE), greedy)
    with pytest.raises(Unsatisfied, match="more is taken out than the constant product allows"):
        built.prove()


def test_proof_of_the_honest_swap_does_not_serve_the_greedy_one(story: Story) -> None:
    pool, zkbtc, _ = opened_pool(story)
    quote = pool.quote(zkbtc, 10_000)
    app = compiled(Pool)
    honest = draft_move(
        story.context, app, pool, story.purse(ALICE), swapping(pool, zkbtc, 10_000)
    ).prove()
    greedy = draft_move(
        story.context,
        app,
        pool,
        story.purse(ALICE),
        swapping(pool, zkbtc, 10_000, out=quote.taken + 1),
    )
    with pytest.raises(SpellIncorrect) as caught:
        greedy.with_proofs(honest.spell.proofs).check()
    assert caught.value.rule == "ProofInvalid"


def test_mint_larger_than_the_deposit_is_refused(story: Story) -> None:
    deposit = deposit_of(story)
    coin = story.give(deposit.script, 500_000)
    built = draft_peg_in(story.context, compiled(ZkBtc), deposit, coin, RATE)
    token = story.zkbtc.token
    outs = tuple(
        {app: data + 1 if app == token else data for app, data in charms.items()}
        for charms in built.spell.outs
    )
    forged = built.with_spell(replace(built.spell, outs=outs))
    with pytest.raises(SpellIncorrect) as caught:
        forged.check_unproven()
    assert caught.value.rule == "TurnstileBroken"


def test_deposit_comes_back_after_its_delay_and_not_before(story: Story) -> None:
    deposit = deposit_of(story, delay=144)
    coin = replace(story.give(deposit.script, 60_000), height=story.height)
    early = replace(story.context, height=story.height + 143)
    with pytest.raises(InvalidInput, match="can be taken back from height"):
        recover(early, deposit, coin, ALICE, to=ALICE.script, rate=RATE)
    ripe = replace(story.context, height=story.height + 144)
    with pytest.raises(InvalidInput, match="does not hold"):
        recover(ripe, deposit, coin, MALLORY, to=MALLORY.script, rate=RATE)
    built, signed = recover(ripe, deposit, coin, ALICE, to=ALICE.script, rate=RATE)
    verify_spend(signed.serialize(), built.spent_outputs)
    assert signed.vsize == built.vsize
    assert signed.inputs[0].sequence == 144
    # consensus counts the delay: with a shorter one the same witness is invalid
    hasty = replace(signed, inputs=(replace(signed.inputs[0], sequence=143),))
    with pytest.raises(SpendInvalid):
        verify_spend(hasty.serialize(), built.spent_outputs)


def test_C8_recovery_of_a_charmed_deposit_needs_a_word(story: Story) -> None:
    deposit = deposit_of(story, delay=144)
    coin = replace(
        story.give(deposit.script, 60_000), charms={story.zkbtc.token: 5}, height=story.height
    )
    ripe = replace(story.context, height=story.height + 144)
    with pytest.raises(WouldBurn):
        recover(ripe, deposit, coin, ALICE, to=ALICE.script, rate=RATE)


def test_books_balance_to_the_sat(story: Story) -> None:
    assert story.paid_in - story.fees == sum(c.sats for c in story.coins.values())
    units = sum(c.units(story.zkbtc.token) for c in story.coins.values() if c.charms)
    assert sum(c.sats for c in vault(story)) == units
