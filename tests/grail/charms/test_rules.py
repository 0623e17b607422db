"""`correct` as a whole: what passes, what it answers, what it hands to the verifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import spellbook as book
from spellbook import POOL, ZKBTC, Draft, guard, person

from grail.charms import rules
from grail.charms.descriptor import Bundle
from grail.charms.rules import RULES, Rule
from grail.errors import InvalidInput, ProofInvalid, SpellIncorrect
from grail.types import TxOut

GOOD = (
    book.deploy,
    book.peg_in,
    book.peg_out,
    book.transfer,
    book.issue,
    book.create,
    book.swap,
    book.batch,
    book.pay,
    book.new_roster,
    book.naming,
    book.move,
    book.succession,
)


@pytest.mark.parametrize("make", GOOD)
def test_the_unspoiled_pass(make: Callable[[], Draft]) -> None:
    checked = make().check()
    rules.outputs_allowed(checked)
    assert len(checked.charms) == len(checked.tx.outputs)


@pytest.mark.parametrize("bundle", book.UNSAFE)
def test_Z7_a_key_that_anyone_could_forge_for(bundle: Bundle) -> None:
    """Delta is gamma, or the generator; points equal, at infinity, missing, off the curve."""
    book.issue_under(book.CEREMONY).check()
    with pytest.raises(SpellIncorrect) as caught:
        book.issue_under(bundle).check()
    assert caught.value.rule == "KeyUnsafe"


def test_Z13_the_verifier_gets_derived_inputs_only() -> None:
    """What the proof is checked against comes from the transaction: the action's own key, D and F."""
    seen = []
    draft = book.swap()
    checked = draft.check(verify=lambda vk, publics, proof: seen.append((vk, publics, proof)))
    action = checked.contract(POOL)
    assert seen == [(book.POOL_BUNDLE.actions[1].vk, action.public_inputs, bytes(128))]
    assert action.public_inputs[0] == int.from_bytes(action.digest[:16], "big")


def test_Z5_a_proof_that_does_not_verify() -> None:
    def no(*_: object) -> None:
        raise ProofInvalid("no")

    with pytest.raises(SpellIncorrect) as caught:
        book.swap().check(verify=no)
    assert caught.value.rule == "ProofInvalid"


def test_C14_outputs_that_no_proof_saw() -> None:
    """Step 13: past the spell's outputs one change, to nobody's guard, and no other OP_RETURN."""
    guarded = guard(POOL)
    for extra, why in (
        ([TxOut(1, guarded)], "guarded"),
        ([TxOut(1, guard(ZKBTC))], "guarded"),
        ([TxOut(1, person("a")), TxOut(1, person("b"))], "second change"),
        ([TxOut(0, b"\x6a\x01x")], "OP_RETURN"),
    ):
        draft = book.swap()
        draft.change = extra
        checked = draft.check()
        with pytest.raises(SpellIncorrect) as caught:
            rules.outputs_allowed(checked)
        assert caught.value.rule == "OutputForbidden"
        assert why in caught.value.got or why == "guarded"


def test_C14_an_escrow_that_is_spent_is_no_change() -> None:
    draft = book.peg_in()
    draft.change = [TxOut(1_000, draft.inputs[0][1].script)]
    with pytest.raises(SpellIncorrect, match="OutputForbidden"):
        rules.outputs_allowed(draft.check())


def test_S35_a_check_that_breaks_lets_nothing_pass() -> None:
    """A rule that fails for another reason than its own is no pass: the error goes up."""

    def broken(_: object) -> None:
        raise ZeroDivisionError

    draft = book.swap()
    prevouts = [prevout for _, prevout in draft.inputs]
    for at in range(len(book.RULES)):
        spoiled = list(book.RULES)
        spoiled[at] = Rule("Broken", (), broken)
        with pytest.raises(ZeroDivisionError):
            rules.correct(
                draft.tx(),
                prevouts,
                book.BUNDLES,
                draft.record,
                150,
                book.NETWORK,
                rules=spoiled,
                verify=book.yes,
            )


def test_prevouts_must_match_the_inputs() -> None:
    draft = book.swap()
    with pytest.raises(InvalidInput):
        rules.correct(draft.tx(), [], book.BUNDLES, draft.record, 150, book.NETWORK)


def test_what_counts_during_the_grace() -> None:
    """What confirms in a retired roster's grace counts, outputs and supply; a block later not."""
    draft = book.peg_in()
    draft.record, draft.height, draft.confirmed = book.SECOND, 411 + 1_008, True
    draft.check()
    draft.height += 1
    with pytest.raises(SpellIncorrect, match="RetiredRoster"):
        draft.check()


def test_an_old_deposit_is_served_to_the_new_vault() -> None:
    draft = book.peg_in()
    draft.record, draft.height = book.SECOND, 412
    draft.outs[0] = (497_500, guard(ZKBTC, 1), {})
    assert [entry.epoch for entry in draft.check().quorum_inputs] == [0]


def test_the_record_after_a_roster_spell() -> None:
    """The new roster rules from k blocks after its spell; the record may hold it already."""
    checked = book.new_roster().check()
    assert checked.record == book.SECOND
    draft = book.new_roster()
    draft.record = book.SECOND
    assert draft.check().record == book.SECOND
    assert book.deploy().check().record == book.FIRST


def test_rules_are_named() -> None:
    """Every rule names its threats; one refusal has two rules, at two places in the order."""
    assert all(rule.threats for rule in RULES)
    counts = Counter(rule.name for rule in RULES)
    assert [name for name, count in counts.items() if count > 1] == ["GuardUndeclaredCharm"]
    assert len(RULES) == 35
