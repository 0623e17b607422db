"""Step 10, rules E4 and E5: the turnstile, rows of the vault, epochs.

All proofs are taken for good, so only plain integers stand between a forger and the vault.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import spellbook as book
from spellbook import (
    ZKBTC,
    Draft,
    coin,
    escrow,
    guard,
    outpoint,
    person,
)
from spoiled import Cases, Spoiled, needed, refused

from grail.charms import vault_rules
from grail.charms.rule import Rule
from grail.charms.spell import Inputs

case = Cases()


@case.add("TurnstileBroken", "Z26", "C1")
def one_unit_more_than_the_vault_gains() -> Draft:
    draft = book.peg_in()
    draft.outs[1] = (1_000, person("bob"), {ZKBTC.token: 497_501})
    return draft


@case.add("TurnstileBroken", "Z26", "S22")
def the_vault_pays_a_sat_more_than_is_burned() -> Draft:
    draft = book.peg_out()
    draft.outs[0] = (397_499, guard(ZKBTC), {})
    return draft


@case.add("TurnstileBroken", "Z26", "C1")
def a_roster_spell_takes_sats_from_the_vault() -> Draft:
    draft = book.new_roster()
    draft.inputs.append((outpoint("vault"), coin(400_000, guard(ZKBTC))))
    draft.outs.append((399_000, guard(ZKBTC), {}))
    return draft


@case.add("TurnstileBroken", "C2")
def a_mint_that_wraps_to_what_the_vault_gains() -> Draft:
    draft = book.peg_in()
    most = (1 << 64) - 1
    draft.outs[1] = (1_000, person("bob"), {ZKBTC.token: most})
    draft.outs.append((500, person("bob"), {ZKBTC.token: 497_501}))
    return draft


@case.add("MintUnseen", "Z26", "C1")
def an_ordinary_coin_pays_into_the_vault() -> Draft:
    draft = book.peg_in()
    spent, held = draft.inputs[0]
    draft.inputs[0] = (spent, replace(held, script=person("mallory")))
    draft.x = {}
    return draft


@case.add("RowShort", "G3", "S22")
def a_deposit_gets_a_sat_less_than_its_terms_say() -> Draft:
    draft = book.peg_in()
    draft.outs[0] = (496_000, guard(ZKBTC), {})
    draft.outs[1] = (999, person("bob"), {ZKBTC.token: 496_000})
    return draft


@case.add("RowShort", "G3")
def a_carrier_of_1001_sats() -> Draft:
    draft = book.peg_in()
    draft.outs[1] = (1_001, *draft.outs[1][1:])
    return draft


@case.add("RowShort", "G3")
def the_units_of_a_deposit_go_elsewhere() -> Draft:
    draft = book.peg_in()
    draft.outs[1] = (1_000, person("bob"), {})
    draft.outs.append((500, person("mallory"), {ZKBTC.token: 497_500}))
    return draft


@case.add("RowShort", "G3")
def a_peg_out_row_pays_units_back() -> Draft:
    row = replace(book.deposit_row(1, 1), terms=(3_000,))
    return Draft(
        [
            (outpoint("vault"), coin(500_000, guard(ZKBTC))),
            (outpoint("order"), coin(1_000, escrow(ZKBTC, row), {ZKBTC.token: 100_000})),
        ],
        [(410_000, guard(ZKBTC), {}), (88_500, person("bob"), {ZKBTC.token: 10_000})],
        {ZKBTC: 1},
        {ZKBTC: Inputs(rows=(row,))},
    )


def _settle(inputs: list[int], outputs: list[int]) -> Draft:
    return Draft(
        [(outpoint(f"v{i}"), coin(sats, guard(ZKBTC))) for i, sats in enumerate(inputs)],
        [(sats, guard(ZKBTC), {}) for sats in outputs],
        {ZKBTC: 1},
    )


@case.add("VaultShape", "S24")
def three_vault_outputs() -> Draft:
    return _settle([600_000], [200_000, 200_000, 200_000])


@case.add("VaultShape", "S24")
def a_vault_output_below_100000_sats() -> Draft:
    return _settle([600_000], [99_999, 500_001])


@case.add("VaultShape", "S24")
def twenty_one_vault_inputs() -> Draft:
    return _settle([100_000] * 21, [2_100_000])


@case.add("VaultShape", "S22")
def the_roster_ports_sats_fall() -> Draft:
    draft = book.new_roster()
    draft.outs[0] = (9_999, *draft.outs[0][1:])
    return draft


@case.add("RetiredRoster", "S27", "R14")
def a_guarded_output_goes_to_a_retired_roster() -> Draft:
    draft = book.peg_in()
    draft.record, draft.height = book.SECOND, 412
    return draft


@case.add("RetiredRoster", "S27")
def a_guarded_output_goes_to_a_roster_that_does_not_rule_yet() -> Draft:
    draft = book.peg_in()
    draft.record, draft.height = book.SECOND, 411
    draft.outs[0] = (497_500, guard(ZKBTC, 1), {})
    return draft


@case.add("RetiredRoster", "R14", "R13")
def an_old_deposit_after_the_grace() -> Draft:
    draft = book.peg_in()
    draft.record, draft.height, draft.confirmed = book.SECOND, 411 + 1_008 + 1, True
    draft.outs[0] = (497_500, guard(ZKBTC, 1), {})
    return draft


@case.add("RetiredRoster", "R13", "S27")
def a_roster_spell_moves_the_vault_to_the_new_roster_at_once() -> Draft:
    draft = book.new_roster()
    draft.inputs.append((outpoint("vault"), coin(400_000, guard(ZKBTC))))
    draft.outs.append((400_000, guard(ZKBTC, 1), {}))
    return draft


@case.of("C1")
def test_C1_units_without_backing(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C2")
def test_C2_sums_do_not_wrap(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("G3")
def test_G3_deposits_serve_their_owner(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("R13")
def test_R13_one_way_to_change_the_roster(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("R14")
def test_R14_old_addresses_have_their_time(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S22")
def test_S22_fees_never_come_from_the_vault(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S24")
def test_S24_few_and_large_vault_outputs(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("S27")
def test_S27_only_the_ruling_roster_receives(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("Z26")
def test_Z26_forged_proofs_cannot_mint(spoiled: Spoiled) -> None:
    refused(spoiled)


@pytest.mark.parametrize("rule", case.rules(vault_rules))
def test_every_rule_is_needed(rule: Rule) -> None:
    needed(case, rule)
