"""Steps 6 and 8: one spell, and bundles that are what they are called."""

from __future__ import annotations

from dataclasses import replace

import pytest
import spellbook as book
from spellbook import (
    POOL,
    Draft,
)
from spoiled import Cases, Spoiled, needed, refused

from grail.bitcoin.network import MAINNET, Network
from grail.charms import rules, spell_rules
from grail.charms.rule import Rule
from grail.types import TxOut

case = Cases()


def _no_spell() -> Draft:
    class Bare(Draft):
        def tx(self) -> rules.Tx:
            tx = super().tx()
            return replace(tx, outputs=tx.outputs[: len(self.outs)])

    good = book.transfer()
    return Bare(good.inputs, good.outs)


@case.add("SpellInvalid", "C7")
def no_output_carries_a_spell() -> Draft:
    return _no_spell()


@case.add("TwoSpells", "C13")
def a_second_spell_behind_the_first() -> Draft:
    draft = book.transfer()
    draft.change = [TxOut(0, draft.spell.op_return())]
    return draft


@case.add("BundleMismatch", "Z10")
def the_pools_bundle_is_missing() -> Draft:
    draft = book.swap()
    draft.bundles = {vk: one for vk, one in book.BUNDLES.items() if vk != POOL.vk}
    return draft


@case.add("BundleMismatch", "Z10", "C18")
def another_bundle_under_the_pools_name() -> Draft:
    draft = book.swap()
    draft.bundles = {**book.BUNDLES, POOL.vk: book.TOKEN_BUNDLE}
    return draft


@case.add("SingleParty", "Z8")
def one_partys_keys_on_mainnet() -> Draft:
    draft = book.issue()
    draft.network = Network(MAINNET, book.NETWORK.grail_outpoint)
    return draft


@case.of("C7")
def test_C7_no_charm_without_a_spell(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C13")
def test_C13_two_spells(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("C18")
def test_C18_counterfeit_identity(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("Z8")
def test_Z8_single_party_keys(spoiled: Spoiled) -> None:
    refused(spoiled)


@case.of("Z10")
def test_Z10_bundles_are_what_they_are_called(spoiled: Spoiled) -> None:
    refused(spoiled)


@pytest.mark.parametrize("rule", case.rules(spell_rules))
def test_every_rule_is_needed(rule: Rule) -> None:
    needed(case, rule)
