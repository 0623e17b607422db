"""Two models of one text: the engine and the slow one agree on random transactions (threat G5)."""

from __future__ import annotations

from collections.abc import Callable

import model_campaign
import model_drafts
import model_plants
import pytest
import slow_rules
import slow_spells
import spellbook as book
from model_campaign import CORRECT, LEAST_CORRECT, REFUSALS
from model_drafts import GOOD
from model_plants import PLANTS, Plant
from model_sample import ideal, proof_of, written
from slow_reading import Bad, cbor

from grail import codec
from grail.charms import spell_rules
from grail.charms.facts import chain
from grail.charms.rules import RULES
from grail.errors import DecodeError, ProofInvalid

TRANSACTIONS = 1_500
WITHIN = 500
"""Planted differences that so many transactions find are tested here, the others nightly."""


@pytest.mark.parametrize("make", GOOD)
def test_both_accept_what_is_correct(make: Callable[[], book.Draft]) -> None:
    draft = make()
    statements = slow_rules.statements(written(draft, {}))
    contracts = sorted(map(bytes, draft.acts))
    proofs = {K: proof_of(*one) for K, one in zip(contracts, statements, strict=True)}
    sample = written(draft, proofs)
    assert isinstance(sample.engine(), dict)
    assert sample.engine() == slow_rules.verdict(sample)


def test_the_writer_writes_what_the_engine_writes() -> None:
    for make in GOOD:
        draft = make()
        assert written(draft, {}).raw == draft.tx().serialize_unsigned(), make.__name__


def test_the_chain_of_facts() -> None:
    facts = book.swap().check().contract(book.POOL).facts
    for count in (1, 14, 15, 16, len(facts)):
        assert chain(facts[:count]) == slow_spells.chain(facts[:count])


def test_G5_two_models_agree() -> None:
    """The same first refusal, or the same facts and digests; nearly every refusal is met."""
    compared = model_campaign.compare(0, TRANSACTIONS, processes=1)
    assert compared.equal == compared.total == TRANSACTIONS
    assert sum(compared.by_rule.values()) == TRANSACTIONS
    assert compared.correct == compared.by_rule[CORRECT] >= LEAST_CORRECT * TRANSACTIONS
    assert len(compared.missing) <= 2, compared.distribution()


@pytest.mark.parametrize("plant", [plant for plant in PLANTS if plant.within <= WITHIN], ids=str)
def test_G5_a_planted_difference_is_found(plant: Plant) -> None:
    """One comparison of the engine is changed: a transaction tells the two apart soon."""
    assert model_plants.found_after(plant, 0, plant.within) <= plant.within
    assert model_campaign.compare(0, 20, processes=1).equal == 20  # the plant is gone


def test_the_refusals_are_those_of_the_rules() -> None:
    names = {rule.name for rule in RULES}
    assert names | {"DescriptorInvalid"} == REFUSALS


def test_one_seed_gives_one_sample() -> None:
    assert model_drafts.sample(7) == model_drafts.sample(7) != model_drafts.sample(8)


def test_the_ideal_proof_system() -> None:
    ideal(b"vk", (1, 2, 3), proof_of(b"vk", (1, 2, 3)))
    for vk, publics in ((b"vl", (1, 2, 3)), (b"vk", (1, 2, 4))):
        with pytest.raises(ProofInvalid):
            ideal(vk, publics, proof_of(b"vk", (1, 2, 3)))


@pytest.mark.parametrize("bundle", [*book.BUNDLES.values(), book.CEREMONY, *book.UNSAFE])
def test_Z7_both_judge_keys_alike(bundle: book.Bundle) -> None:
    import slow_keys

    for action in bundle.actions.values():
        fault = spell_rules._key_fault(action.vk)
        assert slow_keys.unsafe(action.vk) == bool(fault), fault


@pytest.mark.parametrize(
    "raw",
    [
        "00",
        "17",
        "1818",
        "1817",
        "190100",
        "1900ff",
        "20",
        "3bffffffffffffffff",
        "40",
        "4101",
        "6161",
        "61ff",
        "80",
        "8101",
        "9fff",
        "a0",
        "a10102",
        "a201020103",
        "a202010102",
        "a1816101",
        "c249010000000000000000",
        "c24900ffffffffffffffff",
        "c248ffffffffffffffff",
        "c101",
        "f4",
        "f5",
        "f6",
        "f7",
        "f90000",
        "fa00000000",
        "a120f6",
        "a1f6f6",
        "a1806161",
        "0000",
        "81" * 33,
    ],
)
def test_both_read_cbor_alike(raw: str) -> None:
    data = bytes.fromhex(raw)
    try:
        value = codec.decode(data, free_keys=True)
    except DecodeError:
        with pytest.raises(Bad):
            cbor(data)
    else:
        assert codec.encode(value) == data
        assert codec.encode(cbor(data)) == data
