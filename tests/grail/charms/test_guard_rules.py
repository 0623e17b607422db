"""Step 9: what lies at guarded addresses, and which contracts need a proof."""

from __future__ import annotations

from dataclasses import replace

import pytest
import spellbook as book
from spellbook import (
    OTHER_POOL,
    POOL,
    TOKEN,
    ZKBTC,
    Draft,
    coin,
    escrow,
    guard,
    outpoint,
    person,
    pool_state,
)
from spoiled import Cases, Spoiled, needed, refused

from grail.charms import guard_rules
from grail.charms.app import App
from grail.charms.record import Record, Reign, roster_state
from grail.charms.rule import Rule
from grail.charms.spell import Inputs

case = Cases()


@case.add("GuardUndeclaredCharm", "G1", "S9")
def tokens_lie_at_the_vault_input() -> Draft:
    draft = book.peg_out()
    spent, held = draft.inputs[0]
    draft.inputs[0] = (spent, replace(held, charms={TOKEN.token: 5}))
    draft.outs.append((1_000, person("bob"), {TOKEN.token: 5}))
    return draft


@case.add("GuardUndeclaredCharm", "G7")
def tokens_go_to_the_vault_output() -> Draft:
    draft = book.peg_out()
    draft.inputs.append((outpoint("t"), coin(1_000, person("bob"), {TOKEN.token: 5})))
    draft.outs[0] = (*draft.outs[0][:2], {TOKEN.token: 5})
    return draft


@case.add("GuardUndeclaredCharm", "C17")
def a_free_state_goes_to_the_pools_address() -> Draft:
    draft = book.swap(action=6)
    draft.outs.append((1_000, guard(POOL), {POOL.nft: [1, b"hello"]}))
    return draft


@case.add("RowUnknown", "S9", "G2", "S20")
def a_row_names_another_recovery_key() -> Draft:
    draft = book.peg_in()
    row = replace(book.deposit_row(), user_key=book.key("mallory"))
    draft.x = {ZKBTC: Inputs(rows=(row,))}
    return draft


@case.add("RowUnknown", "G3")
def a_row_names_another_owner() -> Draft:
    draft = book.peg_in()
    row = replace(book.deposit_row(), owner_script=person("mallory"))
    draft.x = {ZKBTC: Inputs(rows=(row,))}
    draft.outs[1] = (1_000, person("mallory"), draft.outs[1][2])
    return draft


@case.add("RowUnknown", "G3")
def a_row_states_a_larger_fee_than_the_deposit_allows() -> Draft:
    draft = book.peg_in()
    draft.x = {ZKBTC: Inputs(rows=(book.deposit_row(fee=400_000),))}
    return draft


@case.add("RowUnknown", "G2")
def a_row_of_another_contract() -> Draft:
    draft = book.batch()
    rows = draft.x[POOL].rows
    spent, held = draft.inputs[1]
    draft.inputs[1] = (spent, replace(held, script=escrow(OTHER_POOL, rows[0])))
    return draft


@case.add("RowUnknown", "S9")
def a_row_names_an_input_that_is_not_there() -> Draft:
    draft = book.peg_in()
    draft.x = {ZKBTC: Inputs(rows=(book.deposit_row(), book.deposit_row(9, 2)))}
    return draft


@case.add("RowUnknown", "S20")
def a_row_whose_key_is_not_on_the_curve() -> Draft:
    draft = book.peg_in()
    row = replace(book.deposit_row(), user_key=book.XOnlyKey(b"\xff" * 32))
    draft.x = {ZKBTC: Inputs(rows=(row,))}
    return draft


@case.add("OutputClaimedTwice", "G4")
def two_pools_show_one_payment() -> Draft:
    one, two = book.pay(), book.swap(OTHER_POOL, 4)
    two.inputs[0] = (outpoint("port 2"), two.inputs[0][1])
    two.inputs[1] = (outpoint("bob's 2"), two.inputs[1][1])
    draft = replace(one, inputs=one.inputs + two.inputs, acts={POOL: 4, OTHER_POOL: 4})
    # Both pools count output 1 as what they paid, so 180 units are Bob's for nothing.
    draft.outs = [one.outs[0], (1_000, person("bob"), {ZKBTC.token: 360}), two.outs[0]]
    draft.x = {POOL: one.x[POOL], OTHER_POOL: Inputs(args=(7,), pays=(1,), signers=(3,))}
    return draft


@case.add("OutputClaimedTwice", "G4")
def two_contracts_rows_share_a_payout() -> Draft:
    draft = book.batch()
    row = book.deposit_row(3, 1)
    draft.inputs.append((outpoint("deposit"), coin(500_000, escrow(ZKBTC, row))))
    draft.outs.append((497_500, guard(ZKBTC), {}))
    draft.acts[ZKBTC] = 1
    draft.x[ZKBTC] = Inputs(rows=(row,))
    return draft


@case.add("ProofMissing", "G1")
def a_pools_port_moves_by_simple_transfer() -> Draft:
    draft = book.swap()
    _, held = draft.inputs[0]
    draft.outs = [(1_000, guard(POOL), held.charms), (1_000, person("bob"), {TOKEN.token: 100})]
    draft.acts = {}
    return draft


@case.add("ProofMissing", "G1")
def the_pool_acts_without_a_proof() -> Draft:
    draft = book.swap()
    draft.acts = {}
    return draft


@case.add("ProofMissing", "C1", "Z26")
def units_appear_without_a_proof() -> Draft:
    draft = book.transfer()
    draft.outs.append((1_000, person("mallory"), {ZKBTC.token: 1}))
    return draft


@case.add("ProofMissing", "C2")
def amounts_that_wrap_at_64_bits() -> Draft:
    draft = book.transfer()
    most = (1 << 64) - 1
    draft.outs = [
        (900, person("carol"), {TOKEN.token: most}),
        (900, person("bob"), {TOKEN.token: 1_001}),
    ]
    return draft


@case.add("ProofMissing", "C17")
def a_note_changes_on_its_way() -> Draft:
    draft = _note()
    draft.outs = [(1_000, person("bob"), {POOL.nft: [1, b"another"]})]
    return draft


@case.add("ProofMissing", "C17")
def a_note_is_doubled() -> Draft:
    draft = _note()
    draft.outs = [(500, person("bob"), {POOL.nft: [1, b"note"]}) for _ in range(2)]
    return draft


@case.add("ProofMissing", "C3")
def a_state_whose_true_becomes_one() -> Draft:
    draft = _note()
    held = replace(draft.inputs[0][1], charms={App("c", *_ids()): True})
    draft.inputs = [(outpoint("flag"), held)]
    draft.outs = [(1_000, person("bob"), {App("c", *_ids()): 1})]
    return draft


@case.add("ProofMissing", "C22")
def an_app_of_another_tag_appears() -> Draft:
    draft = book.transfer()
    draft.outs.append((1_000, person("mallory"), {POOL.app("x"): 1}))
    return draft


@case.add("ProofMissing", "G8")
def guarded_inputs_of_the_ruling_epoch_are_no_move() -> Draft:
    draft = book.move()
    for i, contract in ((1, ZKBTC), (2, POOL)):
        spent, held = draft.inputs[i]
        draft.inputs[i] = (spent, replace(held, script=guard(contract, 1)))
    return draft


@case.add("ProofMissing", "C17", "G1")
def a_counterfeit_state_is_carried_to_the_pools_address() -> Draft:
    fake = {POOL.nft: pool_state(10**9)}
    return Draft(
        [(outpoint("fake"), coin(2_000, person("mallory"), fake))],
        [(1_000, guard(POOL), fake)],
    )


@case.add("ProofExtra", "C22")
def a_proof_where_nothing_changes() -> Draft:
    draft = book.transfer()
    draft.acts = {TOKEN: 0}
    return draft


@case.add("ActionUnknown", "C22")
def an_action_that_the_bundle_lacks() -> Draft:
    draft = book.swap()
    draft.acts = {POOL: 99}
    return draft


@case.add("AppMissing", "C9", "G1")
def lp_units_on_an_input_are_not_listed() -> Draft:
    draft = book.swap(action=2)
    spent, held = draft.inputs[1]
    draft.apps = draft.spell.apps
    draft.inputs[1] = (spent, replace(held, charms={**held.charms, POOL.token: 77}))
    return draft


@case.add("AppExtra", "C12")
def an_app_is_listed_that_is_nowhere() -> Draft:
    draft = book.transfer()
    draft.apps = tuple(sorted((*draft.spell.apps, ZKBTC.token)))
    return draft


@case.add("AppExtra", "C12")
def a_contract_that_acts_lists_a_tag_it_does_not_hold() -> Draft:
    draft = book.swap()
    draft.apps = tuple(sorted((*draft.spell.apps, POOL.token)))
    return draft


@case.add("StateInvalid", "C3")
def a_state_with_true_for_a_number() -> Draft:
    draft = book.swap()
    state = pool_state()
    state[3] = True
    draft.outs[0] = (1_000, guard(POOL), {**draft.outs[0][2], POOL.nft: state})
    return draft


@case.add("StateInvalid", "C3")
def a_state_with_a_field_too_few() -> Draft:
    draft = book.swap()
    draft.outs[0] = (1_000, guard(POOL), {**draft.outs[0][2], POOL.nft: pool_state()[:-1]})
    return draft


@case.add("StateInvalid", "C3")
def an_id_above_the_field() -> Draft:
    draft = book.swap()
    state = pool_state()
    state[1] = b"\x20" + bytes(31)
    draft.outs[0] = (1_000, guard(POOL), {**draft.outs[0][2], POOL.nft: state})
    return draft


@case.add("StateInvalid", "C17")
def a_note_of_a_kind_that_nobody_declared() -> Draft:
    draft = book.swap(action=6)
    draft.outs.append((1_000, person("bob"), {POOL.nft: [7, b"hello"]}))
    return draft


@case.add("RosterInvalid", "R13", "S8")
def the_roster_port_goes_to_the_old_address() -> Draft:
    draft = book.new_roster()
    draft.outs[0] = (10_000, guard(ZKBTC), draft.outs[0][2])
    return draft


def _roster(index: int, value: object) -> Draft:
    draft = book.new_roster()
    state = roster_state(book.ROSTERS[1])
    state[index] = value
    draft.outs[0] = (*draft.outs[0][:2], {ZKBTC.nft: state})
    return draft


@case.add("RosterInvalid", "R3")
def a_roster_with_quorum_zero() -> Draft:
    return _roster(3, 0)


@case.add("RosterInvalid", "R3")
def a_roster_with_a_quorum_above_its_members() -> Draft:
    return _roster(3, 5)


@case.add("RosterInvalid", "R3")
def a_roster_without_members() -> Draft:
    return _roster(2, b"")


@case.add("RosterInvalid", "R3")
def a_roster_with_a_key_twice() -> Draft:
    return _roster(2, bytes(book.ROSTERS[1].keys[0]) * 4)


@case.add("RosterInvalid", "R3")
def a_roster_whose_keys_are_not_sorted() -> Draft:
    return _roster(2, b"".join(reversed(book.ROSTERS[1].keys)))


@case.add("RosterInvalid", "R3")
def a_roster_with_half_a_key() -> Draft:
    return _roster(2, b"".join(book.ROSTERS[1].keys)[:-1])


@case.add("RosterInvalid", "R3", "S8")
def a_roster_with_an_internal_key_off_the_curve() -> Draft:
    return _roster(4, b"\xff" * 32)


@case.add("RosterInvalid", "R3", "R13")
def a_roster_that_skips_an_epoch() -> Draft:
    return _roster(1, 2)


@case.add("RosterInvalid", "R3")
def a_roster_with_the_keys_of_the_one_before() -> Draft:
    return _roster(2, b"".join(book.ROSTERS[0].keys))


@case.add("RosterInvalid", "R3")
def a_successor_height_without_a_successor() -> Draft:
    return _roster(6, 5_000)


@case.add("RosterInvalid", "R13")
def another_roster_for_an_epoch_that_is_known() -> Draft:
    draft = book.new_roster()
    draft.record = Record(ZKBTC, (Reign(book.ROSTERS[0], 106, 411), _stranger()))
    return draft


def _renamed(successor: bytes, height: int) -> Draft:
    """A second naming, after one of the next zkBTC."""
    draft = book.naming()
    reign = Reign(
        book.ROSTERS[0], 106, None, book.NEXT_ZKBTC.gid(book.NETWORK), 2_416, successor_at=400
    )
    draft.record = Record(ZKBTC, (reign,))
    state = roster_state(book.ROSTERS[0], successor, height)
    draft.outs = [(10_000, guard(ZKBTC), {ZKBTC.nft: state})]
    return draft


@case.add("RosterInvalid", "R13", "Z26")
def another_successor_than_the_one_named() -> Draft:
    return _renamed(bytes([1]) * 32, 9_000)


@case.add("RosterInvalid", "R13", "Z26")
def a_successor_taken_back() -> Draft:
    return _renamed(bytes(32), 0)


@case.add("RosterInvalid", "R13")
def two_successors_in_one_transaction() -> Draft:
    draft = book.naming()
    state = roster_state(book.ROSTERS[0], bytes([1]) * 32, 3_000)
    draft.outs.append((10_000, guard(ZKBTC), {ZKBTC.nft: state}))
    return draft


@case.add("RosterInvalid", "R13")
def a_successor_named_at_another_address() -> Draft:
    draft = book.naming()
    draft.outs[0] = (10_000, guard(ZKBTC, 1), draft.outs[0][2])
    return draft


def _stranger() -> Reign:
    return Reign(replace(book.ROSTERS[2], epoch=1), 412)


def _ids() -> tuple[bytes, bytes]:
    return POOL.identity, POOL.vk


def _note() -> Draft:
    note = {POOL.nft: [1, b"note"]}
    return Draft(
        [(outpoint("note"), coin(2_000, person("alice"), note))],
        [(1_000, person("bob"), note)],
    )


@case.of("C1")
def test_C1_units_without_backing(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C2")
def test_C2_sums_do_not_wrap(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C3")
def test_C3_amounts_and_states_of_other_types(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C9")
def test_C9_burning_others_by_omission(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C12")
def test_C12_one_list_of_apps(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C17")
def test_C17_states_are_neither_doubled_nor_counterfeit(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C22")
def test_C22_action_of_another_tag(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G1")
def test_G1_guarded_inputs_need_their_own_proof(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G2")
def test_G2_addresses_are_rebuilt(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G3")
def test_G3_deposits_serve_their_owner(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G4")
def test_G4_nothing_counts_twice(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G7")
def test_G7_no_side_is_forgotten(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G8")
def test_G8_a_move_changes_nothing(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("R3")
def test_R3_bad_rosters(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("R13")
def test_R13_one_way_to_change_the_roster(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S8")
def test_S8_the_new_roster_at_its_own_address(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S9")
def test_S9_every_input_is_accounted_for(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S20")
def test_S20_recovery_keys(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("Z26")
def test_Z26_forged_proofs_cannot_mint(spoiled: Spoiled) -> None:
    refused(spoiled)


def test_a_free_state_moves_freely() -> None:
    assert _note().check().charms[0] == {POOL.nft: [1, b"note"]}


@pytest.mark.parametrize("rule", case.rules(guard_rules))
def test_every_rule_is_needed(rule: Rule) -> None:
    needed(case, rule)
