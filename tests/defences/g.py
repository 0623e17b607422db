"""Guard rule, facts and chained transactions: each guard of rows G, and who must notice."""

from __future__ import annotations

from .defence import Defence

DEFENCES: tuple[Defence, ...] = (
    Defence(
        "G1",
        "sdk/grail/charms/guard_rules.py",
        "        if case.standing(contract) == UNPROVEN:\n",
        "        if False:\n",
        (
            "grail/charms/test_guard_rules.py::test_G1_guarded_inputs_need_their_own_proof",
            "grail_enclave/test_refusals.py::test_G1_pool_moved_out_without_a_proof",
        ),
    ),
    Defence(
        "G2",
        "sdk/grail/charms/classify.py",
        "        if output.script_pubkey == held.script:\n",
        "        if output.script_pubkey[:2] == held.script[:2]:\n",
        ("grail/charms/test_guard_rules.py::test_G2_addresses_are_rebuilt",),
    ),
    Defence(
        "G2",
        "sdk/grail/charms/classify.py",
        "        guarded = scripts.get(entry.script)\n",
        "        guarded = scripts.get(entry.script) or next((v for k, v in scripts.items() if k[:2] == entry.script[:2]), None)\n",
        ("grail/charms/test_guard_rules.py::test_G2_addresses_are_rebuilt",),
    ),
    Defence(
        "G2",
        "sdk/grail/charms/guard_rules.py",
        "            if placed.escrow is None:\n",
        "            if False:\n",
        ("grail/charms/test_guard_rules.py::test_G2_addresses_are_rebuilt",),
    ),
    Defence(
        "G3",
        "sdk/grail/charms/kept_rules.py",
        "            if case.outputs[index].script != owner:\n",
        "            if False:\n",
        (
            "grail/charms/test_kept_rules.py::test_G3_deposits_serve_their_owner",
            "grail_enclave/test_refusals.py::test_G3_mint_to_somebody_else",
        ),
    ),
    Defence(
        "G3",
        "sdk/grail/charms/vault_rules.py",
        "            if paid < least:\n",
        "            if False:\n",
        ("grail/charms/test_vault_rules.py::test_G3_deposits_serve_their_owner",),
    ),
    Defence(
        "G4",
        "sdk/grail/charms/guard_rules.py",
        "            if index in claimed:\n",
        "            if False:\n",
        ("grail/charms/test_guard_rules.py::test_G4_nothing_counts_twice",),
    ),
    Defence(
        "G4",
        "sdk/grail/charms/public_inputs.py",
        "    if any(a >= b for a, b in itertools.pairwise(values)):\n",
        "    if any(a > b for a, b in itertools.pairwise(values)):\n",
        ("grail/charms/test_spell.py::test_G4_x_of_another_form",),
    ),
    Defence(
        "G5",
        "sdk/grail/charms/facts.py",
        "        values += [1, before.sats, after.sats]\n",
        "        values += [1, after.sats, before.sats]\n",
        ("grail/charms/test_slow_model.py::test_both_accept_what_is_correct",),
    ),
    Defence(
        "G5",
        "sdk/grail/charms/facts.py",
        "    return 0 if app is None else units(entry.charms, app)\n",
        "    return 1 if app is None else units(entry.charms, app)\n",
        ("grail/charms/test_slow_model.py::test_both_accept_what_is_correct",),
    ),
    Defence(
        "G5",
        "sdk/grail/charms/facts.py",
        "        group = list(facts[at : at + GROUP])\n",
        "        group = list(facts[at : at + GROUP - 1])\n",
        ("grail/charms/test_slow_model.py::test_the_chain_of_facts",),
    ),
    Defence(
        "G6",
        "sdk/grail/charms/descriptor.py",
        '        descriptor_invalid("action names", got=number, expected=sorted(ACTION_NAMES))\n',
        "        pass\n",
        (
            "grail/charms/test_descriptor.py::test_G6_any_bytes_end_in_a_refusal",
            "grail/charms/test_descriptor.py::test_G6_descriptor_of_another_form",
        ),
    ),
    Defence(
        "G6",
        "sdk/grail/charms/descriptor.py",
        "    if total > MAX_FACTS:\n",
        "    if False:\n",
        ("grail/charms/test_descriptor.py::test_G6_descriptor_of_another_form",),
    ),
    Defence(
        "G6",
        "sdk/grail/charms/fact_list.py",
        "        if before >= after:\n",
        "        if before > after:\n",
        ("grail/charms/test_descriptor.py::test_G6_descriptor_of_another_form",),
    ),
    Defence(
        "G7",
        "sdk/grail/charms/fact_list.py",
        "    if missing:\n",
        "    if False:\n",
        (
            "grail/charms/test_descriptor.py::test_G7_no_fact_of_a_port_can_be_left_out",
            "grail/charms/test_descriptor.py::test_G7_a_token_named_anywhere_is_shown_at_every_port",
        ),
    ),
    Defence(
        "G7",
        "sdk/grail/charms/guard_rules.py",
        "                if place.role == UNDECLARED:\n",
        "                if False:\n",
        ("grail/charms/test_guard_rules.py::test_G7_no_side_is_forgotten",),
    ),
    Defence(
        "G7",
        "sdk/grail/charms/kept_rules.py",
        (
            "                    if app not in allowed:\n"
            "                        refuse(\n"
            '                            "GuardUndeclaredCharm"'
        ),
        (
            "                    if False:\n"
            "                        refuse(\n"
            '                            "GuardUndeclaredCharm"'
        ),
        ("grail/charms/test_kept_rules.py::test_G7_no_side_is_forgotten",),
    ),
    Defence(
        "G7",
        "sdk/grail/charms/kept_rules.py",
        "        if not action.plain and (classes.plain(IN) or classes.plain(OUT)):\n",
        "        if False:\n",
        ("grail/charms/test_kept_rules.py::test_G7_no_side_is_forgotten",),
    ),
    Defence(
        "G9",
        "enclave/grail_enclave/signer.py",
        "        if fee < paid and self._answers.get((proposal.txid, epoch)) is None:\n",
        "        if False:\n",
        ("grail_enclave/test_main_path.py::test_G9_raise_of_the_fee_alone",),
    ),
    Defence(
        "G9",
        "sdk/grail/operators/certificates.py",
        "        sats = 0 if index in change else output.sats\n",
        "        sats = 0\n",
        (
            "grail/operators/test_certificates.py::test_S18_a_raise_is_of_the_same_family_and_anything_else_is_not",
        ),
    ),
    Defence(
        "G10",
        "enclave/grail_enclave/spends.py",
        "        headers.confirmed(tx, inclusion)\n",
        "        pass\n",
        (
            "grail_enclave/test_shown_conflicts.py::test_G10_a_fake_conflict_gets_no_second_signature",
        ),
    ),
    Defence(
        "G10",
        "sdk/grail/operators/spent.py",
        "        return self.depth(block) >= self.void_depth\n",
        "        return self.depth(block) >= 1\n",
        (
            "grail_enclave/test_shown_conflicts.py::test_G10_a_shallow_conflict_gets_no_second_signature",
        ),
    ),
    Defence(
        "G11",
        "enclave/grail_enclave/history.py",
        "            if len(seen) > limit:\n",
        "            if False:\n",
        ("grail_enclave/test_chain.py::test_G11_chain_of_unconfirmed_is_capped",),
    ),
    Defence(
        "G11",
        "enclave/grail_enclave/history.py",
        "        if ruling is None or ruling.epoch not in signed:\n",
        "        if False:\n",
        ("grail_enclave/test_chain.py::test_G11_parent_of_a_roster_that_no_longer_rules",),
    ),
    Defence(
        "G12",
        "sdk/grail/charms/proof_rules.py",
        "    if not 0 < case.tx.locktime < LOCKTIME_THRESHOLD:\n",
        "    if False:\n",
        ("grail/charms/test_move_rules.py::test_G12_height_as_a_fact",),
    ),
    Defence(
        "G12",
        "sdk/grail/charms/proof_rules.py",
        "        if entry.sequence != SEQUENCE:\n",
        "        if False:\n",
        ("grail/charms/test_move_rules.py::test_G12_height_as_a_fact",),
    ),
    Defence(
        "G13",
        "enclave/grail_enclave/caches.py",
        (
            "        held = self._held.get((txid, self._magic))\n"
            "        if held is None or on_chain(held[0]) is None:\n"
        ),
        ("        held = self._held.get((txid, self._magic))\n        if held is None:\n"),
        ("grail_enclave/test_history.py::test_G13_verdict_dies_with_its_block",),
    ),
    Defence(
        "G13",
        "enclave/grail_enclave/caches.py",
        "        while self._size > self._most:\n",
        "        while False:\n",
        ("grail_enclave/test_history.py::test_G13_caches_are_bounded",),
    ),
    Defence(
        "G13",
        "enclave/grail_enclave/caches.py",
        "        held = self._held.get((txid, self._magic))\n",
        "        held = next((v for k, v in ((k, self._held.get(k)) for k in list(self._held._held)) if k[0] == txid), None)\n",
        (
            "grail_enclave/test_shown_conflicts.py::test_G13_a_verdict_under_other_rules_is_no_verdict",
        ),
    ),
    Defence(
        "G14",
        "enclave/grail_enclave/history.py",
        "        if len(self._spells) > most:\n",
        "        if False:\n",
        ("grail_enclave/test_history.py::test_G14_too_many_ancestors",),
    ),
    Defence(
        "G14",
        "enclave/grail_host/auditor.py",
        "            if txid in self._whole:\n",
        "            if False:\n",
        ("grail_host/test_auditor.py::test_G13_G14_anchors_are_checked_to_the_mints_once",),
    ),
    Defence(
        "G15",
        "sdk/grail/charms/spell.py",
        "body.keys() == SPELL_KEYS:",
        "body.keys() >= SPELL_KEYS:",
        ("grail/charms/test_spell.py::test_C15_C16_G15_parts_that_a_spell_of_ours_has_not",),
    ),
    Defence(
        "G15",
        "sdk/grail/charms/spell.py",
        "    if type(version) is not int or version != VERSION:\n",
        "    if type(version) is not int:\n",
        ("grail/charms/test_spell.py::test_C15_C16_G15_parts_that_a_spell_of_ours_has_not",),
    ),
)
