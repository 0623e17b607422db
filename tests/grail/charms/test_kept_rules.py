"""Step 10, rules E1 to E3: what an action may change, take and give, and whom it pays."""

from __future__ import annotations

from collections.abc import Callable
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

from grail.charms import kept_rules
from grail.charms.app import Contract
from grail.charms.rule import Rule
from grail.charms.spell import Inputs
from grail.types import TxOut

case = Cases()


@case.add("NotKept", "C17", "C22")
def a_swap_mints_lp_units() -> Draft:
    draft = book.swap()
    draft.outs.append((1_000, person("bob"), {POOL.token: 5}))
    return draft


@case.add("NotKept", "C22")
def a_settlement_changes_the_grail_nft() -> Draft:
    draft = book.new_roster()
    draft.acts = {ZKBTC: 1}
    return draft


@case.add("NotKept", "C22")
def an_action_lets_another_tag_appear() -> Draft:
    draft = book.swap()
    draft.outs.append((1_000, person("bob"), {POOL.app("c"): 1}))
    return draft


@case.add("PortCount", "G7")
def two_ports_where_one_is_declared() -> Draft:
    draft = book.swap()
    draft.outs.append((1_000, guard(POOL), {POOL.nft: pool_state()}))
    return draft


@case.add("PortCount", "G7")
def the_port_is_not_given_back() -> Draft:
    draft = book.swap()
    draft.outs[0] = (1_000, person("mallory"), {**draft.outs[0][2]})
    return draft


@case.add("PortCount", "G7")
def plain_sats_where_the_action_has_none() -> Draft:
    draft = book.swap()
    draft.inputs.append((outpoint("plain"), coin(9_000, guard(POOL))))
    return draft


@case.add("PortCount", "S9")
def a_gift_to_the_vault_without_an_action() -> Draft:
    draft = book.transfer()
    draft.inputs.append((outpoint("gift"), coin(10_000, person("dan"))))
    draft.outs.append((9_000, guard(ZKBTC), {}))
    return draft


@case.add("PortCount", "G4")
def more_rows_than_the_action_has() -> Draft:
    draft = book.swap()
    row = book.Row(2, 2, person("bob"), (1, 2), 1_008, book.key("bob"))
    draft.inputs.append((outpoint("order"), coin(5_000, escrow(POOL, row))))
    draft.outs.append((5_000, person("bob"), {}))
    draft.x = {POOL: Inputs(rows=(row,))}
    return draft


@case.add("PortCount", "G4")
def a_row_with_other_terms_than_the_action_reads() -> Draft:
    draft = book.batch()
    short = replace(draft.x[POOL].rows[0], terms=(2_500,))
    spent, held = draft.inputs[1]
    draft.inputs[1] = (spent, replace(held, script=escrow(POOL, short)))
    draft.x = {POOL: Inputs(rows=(short, draft.x[POOL].rows[1]))}
    return draft


@case.add("PortCount", "G4")
def an_argument_too_many() -> Draft:
    draft = book.pay()
    draft.x = {POOL: replace(draft.x[POOL], args=(7, 8))}
    return draft


@case.add("PortCount", "G4")
def a_payment_too_few() -> Draft:
    draft = book.pay()
    draft.x = {POOL: replace(draft.x[POOL], pays=())}
    return draft


@case.add("PortCount", "G4")
def a_signer_too_few() -> Draft:
    draft = book.pay()
    draft.x = {POOL: replace(draft.x[POOL], signers=())}
    return draft


@case.add("PortCount", "C21")
def x_of_a_contract_that_does_not_act() -> Draft:
    draft = book.transfer()
    draft.x = {TOKEN: Inputs(args=(1,))}
    return draft


@case.add("NftOutside", "C17")
def a_swap_leaves_a_counterfeit_state_outside() -> Draft:
    draft = book.swap()
    draft.outs.append((1_000, person("mallory"), {POOL.nft: pool_state(10**9)}))
    return draft


@case.add("NftOutside", "C17")
def an_action_without_ports_leaves_a_state_outside() -> Draft:
    draft = book.swap(action=6)
    draft.inputs, draft.outs = (
        draft.inputs[1:],
        [
            (1_000, person("mallory"), {POOL.nft: pool_state()}),
            (1_000, person("bob"), {TOKEN.token: 100}),
        ],
    )
    return draft


@case.add("NotFresh", "C18")
def a_token_is_issued_from_another_coin() -> Draft:
    draft = book.issue()
    draft.inputs.insert(0, (outpoint("another"), coin(1_000, person("alice"))))
    return draft


@case.add("NotFresh", "C18")
def a_second_pool_of_one_identity() -> Draft:
    draft = book.create()
    draft.inputs.reverse()
    return draft


@case.add("NotFresh", "C1")
def lp_units_are_minted_without_a_port() -> Draft:
    draft = book.issue()
    draft.acts = {POOL: 5}
    draft.outs = [(1_000, person("mallory"), {POOL.token: 10**9})]
    return draft


@case.add("GuardUndeclaredCharm", "G7")
def a_junk_token_is_swept_into_the_port() -> Draft:
    draft = book.swap()
    junk = OTHER_POOL.token
    draft.inputs.append((outpoint("junk"), coin(1_000, person("mallory"), {junk: 9})))
    draft.outs[0] = (*draft.outs[0][:2], {**draft.outs[0][2], junk: 9})
    return draft


@case.add("RowPayee", "G3", "S5")
def a_payout_to_another_script() -> Draft:
    draft = book.peg_in()
    draft.outs[1] = (1_000, person("mallory"), draft.outs[1][2])
    return draft


@case.add("RowPayee", "G3")
def a_payout_past_the_spells_outputs() -> Draft:
    draft = book.peg_in()
    draft.x = {ZKBTC: Inputs(rows=(book.deposit_row(0, 3),))}
    draft.change = [TxOut(1_000, person("bob"))]
    return draft


@case.add("RowPayee", "G3", "G4")
def a_payout_at_the_vault_itself() -> Draft:
    row = replace(book.deposit_row(0, 0), owner_script=guard(ZKBTC))
    return Draft(
        [(outpoint("deposit"), coin(3_900, escrow(ZKBTC, row)))],
        [(900, guard(ZKBTC), {}), (1_000, person("mallory"), {ZKBTC.token: 900})],
        {ZKBTC: 1},
        {ZKBTC: Inputs(rows=(row,))},
    )


@case.add("RowCharm", "G7", "C9")
def an_order_holds_a_token_that_the_pool_does_not_know() -> Draft:
    draft = book.batch()
    spent, held = draft.inputs[1]
    draft.inputs[1] = (spent, replace(held, charms={**held.charms, OTHER_POOL.token: 7}))
    draft.outs.append((1_000, person("mallory"), {OTHER_POOL.token: 7}))
    return draft


@case.add("PayInvalid", "S5")
def a_payment_past_the_spells_outputs() -> Draft:
    draft = book.pay()
    draft.x = {POOL: replace(draft.x[POOL], pays=(3,))}
    return draft


@case.add("PayInvalid", "S5", "G4")
def a_payment_at_a_guarded_address() -> Draft:
    draft = book.pay()
    draft.x = {POOL: replace(draft.x[POOL], pays=(0,))}
    return draft


@case.add("SignerInvalid", "S9")
def the_quorums_input_as_a_signer() -> Draft:
    draft = book.pay()
    draft.x = {POOL: replace(draft.x[POOL], signers=(0,))}
    return draft


@case.add("SignerInvalid", "S9")
def a_signer_that_is_no_input() -> Draft:
    draft = book.pay()
    draft.x = {POOL: replace(draft.x[POOL], signers=(9,))}
    return draft


@case.add("SignerInvalid", "Z6", "S9")
def a_signer_whose_consent_nobody_saw() -> Draft:
    """No input is the quorum's: whatever witness is published, no enclave ever looked at one."""
    draft = book.issue()
    draft.bundles = {**book.BUNDLES, SIGNED_ISSUE.vk: SIGNED_ISSUE}
    contract = Contract(next(iter(draft.acts)).identity, SIGNED_ISSUE.vk)
    draft.acts = {contract: 0}
    draft.outs = [(1_000, person("bob"), {contract.token: 5})]
    draft.x = {contract: Inputs(signers=(0,))}
    return draft


@case.add("SignerInvalid", "Z6", "S20")
def a_signer_beside_a_row_that_its_owner_may_recover() -> Draft:
    draft = a_signer_whose_consent_nobody_saw()
    contract = next(iter(draft.acts))
    row = book.deposit_row(1, 1)
    draft.inputs.append((outpoint("order"), coin(4_000, escrow(contract, row))))
    draft.outs.append((4_000, row.owner_script, {}))
    draft.x = {contract: Inputs(rows=(row,), signers=(0,))}
    return draft


@case.add("SignerInvalid", "Z6", "R14")
def a_signer_beside_an_input_of_a_roster_whose_time_is_over() -> Draft:
    """Old keys may be anybody's: what they sign says nothing of consent."""
    draft = book.pay()
    draft.record, draft.height, draft.confirmed = book.SECOND, 1_420, True
    sats, _, charms = draft.outs[0]
    draft.outs[0] = (sats, guard(POOL, 1), charms)
    return draft


TAPROOT = book.script.p2tr(book.key("bob"))
SIGNED_ISSUE = book.bundle(
    {},
    {
        0: {
            "name": "issue",
            "changes": ["t"],
            "rows": 1,
            "terms": 1,
            "signers": 1,
            "facts": [[6], [7], [9, 0]],
        }
    },
)


def _signed(script: bytes, *witness: bytes) -> Draft:
    draft = book.pay()
    spent, held = draft.inputs[1]
    draft.inputs[1] = (spent, replace(held, script=script))
    draft.witnesses = {1: witness} if witness else {}
    return draft


@case.add("SignerSighash", "Z6", "S5")
def a_signer_by_script_hash() -> Draft:
    return _signed(b"\x00\x20" + book.label("script"))


@case.add("SignerSighash", "Z6")
def a_signer_of_a_script_that_anyone_unlocks() -> Draft:
    return _signed(b"\x51")


@case.of("C1")
def test_C1_units_without_backing(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C9")
def test_C9_burning_others_by_omission(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C17")
def test_C17_states_are_neither_doubled_nor_counterfeit(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C18")
def test_C18_counterfeit_identity(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C21")
def test_C21_x_only_where_an_action_reads_it(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C22")
def test_C22_action_of_another_tag(spoiled: Spoiled) -> None:
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


@case.of("S5")
def test_S5_who_is_paid_is_who_was_checked(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S9")
def test_S9_every_input_is_accounted_for(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("Z6")
def test_Z6_signers_sign_all(spoiled: Spoiled) -> None:
    refused(spoiled)


@pytest.mark.parametrize("make", [book.pay, book.swap, book.batch, book.peg_in, book.peg_out])
def test_C5_witnesses_change_no_verdict(make: Callable[[], Draft]) -> None:
    """No txid covers them: with none, or with anything at all in them, all is as it was."""
    draft = make()
    bare = draft.check()
    assert not any(entry.witness for entry in bare.tx.inputs)
    single, anyone = bytes(64) + b"\x03", bytes(71) + b"\x81"
    for witness in (
        (single,),
        (anyone, bytes(33)),
        (bytes(64), b"\x51", b"\xc0" + bytes(32)),
        (b"",),
    ):
        draft.witnesses = dict.fromkeys(range(len(draft.inputs)), witness)
        again = draft.check()
        assert again.tx.txid == bare.tx.txid
        assert replace(again, tx=bare.tx) == bare


def test_signers_of_both_kinds_pass() -> None:
    for script in (person("bob"), TAPROOT):
        _signed(script).check()


@pytest.mark.parametrize("rule", case.rules(kept_rules))
def test_every_rule_is_needed(rule: Rule) -> None:
    needed(case, rule)
