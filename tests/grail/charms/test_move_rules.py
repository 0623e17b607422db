"""Step 10, rules E6 and E7, and step 11: moves, successors, heights."""

from __future__ import annotations

import pytest
import spellbook as book
from spellbook import (
    NEXT_ZKBTC,
    POOL,
    TOKEN,
    ZKBTC,
    Draft,
    coin,
    guard,
    outpoint,
    person,
    pool_state,
)
from spoiled import Cases, Spoiled, needed, refused

from grail.charms import move_rules, proof_rules
from grail.charms.rule import Rule

case = Cases()


@case.add("MoveNotEqual", "G8")
def a_move_takes_a_sat() -> Draft:
    draft = book.move()
    draft.outs[0] = (397_499, guard(ZKBTC, 1), {})
    return draft


@case.add("MoveNotEqual", "G8")
def a_move_changes_the_state() -> Draft:
    draft = book.move()
    draft.outs[1] = (1_000, guard(POOL, 1), {**draft.outs[1][2], POOL.nft: pool_state(2_000)})
    return draft


@case.add("MoveNotEqual", "G8")
def a_move_leaves_tokens_outside() -> Draft:
    draft = book.move()
    held = dict(draft.outs[1][2])
    del held[TOKEN.token]
    draft.outs[1] = (1_000, guard(POOL, 1), held)
    draft.outs.append((1_000, person("dan"), {TOKEN.token: 1_000}))
    return draft


@case.add("MoveNotEqual", "G8")
def a_move_leaves_the_port_out() -> Draft:
    draft = book.move()
    draft.outs[1] = (1_000, person("dan"), draft.outs[1][2])
    return draft


@case.add("MoveNotEqual", "G8")
def a_move_to_the_old_address_again() -> Draft:
    draft = book.move()
    draft.outs[0] = (397_500, guard(ZKBTC, 0), {})
    return draft


@case.add("MoveNotEqual", "G8")
def a_confirmed_move_to_the_old_address_in_its_grace() -> Draft:
    draft = a_move_to_the_old_address_again()
    draft.confirmed = True
    return draft


@case.add("MoveNotEqual", "G8", "C1")
def a_move_mints_lp_units() -> Draft:
    draft = book.move()
    draft.outs.append((1_000, person("dan"), {POOL.token: 5}))
    return draft


@case.add("MoveNotEqual", "G8")
def a_move_merges_two_outputs() -> Draft:
    draft = book.move()
    draft.inputs.append((outpoint("vault 2"), coin(100_000, guard(ZKBTC))))
    draft.outs[0] = (497_500, guard(ZKBTC, 1), {})
    return draft


@case.add("SuccessorUnequal", "Z26")
def less_reaches_the_successor_than_was_burned() -> Draft:
    draft = book.succession()
    draft.outs[1] = (249_000, guard(NEXT_ZKBTC), {})
    draft.outs[2] = (1_000, person("bob"), {ZKBTC.token: 10_000, NEXT_ZKBTC.token: 49_000})
    return draft


@case.add("ProofMissing", "Z26")
def units_go_to_the_successor_too_early() -> Draft:
    draft = book.succession()
    draft.height = 2_999
    return draft


@case.add("TurnstileBroken", "Z26")
def the_old_vault_pays_more_than_was_burned() -> Draft:
    draft = book.succession()
    draft.outs[0] = (340_000, guard(ZKBTC), {})
    return draft


@case.add("HeightStale", "G12")
def a_height_of_zero() -> Draft:
    draft = book.batch()
    draft.locktime = 0
    return draft


@case.add("HeightStale", "G12")
def a_lock_time_in_seconds() -> Draft:
    draft = book.batch()
    draft.locktime = 500_000_000
    return draft


@case.add("HeightStale", "G12", "S26")
def a_final_input_that_switches_the_lock_time_off() -> Draft:
    draft = book.batch()
    draft.sequences = {2: 0xFFFFFFFF}
    return draft


@case.of("C1")
def test_C1_units_without_backing(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G8")
def test_G8_a_move_changes_nothing(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G12")
def test_G12_height_as_a_fact(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S26")
def test_S26_lock_time_counts(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("Z26")
def test_Z26_forged_proofs_cannot_mint(spoiled: Spoiled) -> None:
    refused(spoiled)


@pytest.mark.parametrize("rule", case.rules(move_rules, proof_rules))
def test_every_rule_is_needed(rule: Rule) -> None:
    needed(case, rule)
