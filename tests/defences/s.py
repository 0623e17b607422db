"""Signing requests and the chain: each guard of rows S, how it goes off, and who must notice."""

from __future__ import annotations

from .defence import Defence, Patch

DEFENCES: tuple[Defence, ...] = (
    Defence(
        "S1",
        "enclave/grail_enclave/signer.py",
        "        if proposal.txid != checked.tx.txid:\n",
        "        if False:\n",
        (
            "grail_enclave/test_signed_bytes.py::test_S1_a_decision_for_another_transaction_signs_nothing",
        ),
    ),
    Defence(
        "S1",
        "enclave/grail_enclave/signer.py",
        "            digest = sighash(checked.tx, prevouts, spend.index, leaf_hash=spend.leaf.leaf_hash)\n",
        "            digest = bytes(proposal.txid)\n",
        (
            "grail_enclave/test_signed_bytes.py::test_S1_the_hash_that_is_signed_is_the_enclaves_own",
            "grail_enclave/test_signed_bytes.py::test_S1_a_decision_for_another_transaction_signs_nothing",
        ),
    ),
    Defence(
        "S1",
        "enclave/grail_enclave/signer.py",
        "        if (decision.family, decision.outpoints) != (proposal.family, proposal.outpoints):\n",
        "        if False:\n",
        (
            "grail_enclave/test_signed_bytes.py::test_S1_a_decision_for_another_transaction_signs_nothing",
        ),
    ),
    Defence(
        "S2",
        "enclave/grail_enclave/intake.py",
        "        if claimed is not None and claimed != output:\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S2_prevouts_are_what_their_transactions_say",),
    ),
    Defence(
        "S2",
        "enclave/grail_enclave/intake.py",
        "            if txid in items:\n",
        "            if False:\n",
        ("grail_enclave/test_requests.py::test_S2_evidence_twice",),
    ),
    Defence(
        "S2",
        "enclave/grail_enclave/intake.py",
        "                if full.txid != wanted:\n",
        "                if False:\n",
        ("grail_enclave/test_requests.py::test_S2_prevouts_are_what_their_transactions_say",),
    ),
    Defence(
        "S3",
        "enclave/grail_enclave/checks.py",
        "        if stage not in each.stages or case.has(each.name):\n",
        '        if stage not in each.stages or case.has(each.name) or case.request.psbt[:4] == b"psbt" and each.step == 14:\n',
        ("grail_enclave/test_robustness.py::test_S3_every_rule_runs_at_every_enclave",),
    ),
    Defence(
        "S3",
        "sdk/grail/operators/certificates.py",
        "    if len(senders) < scope.quorum:\n",
        "    if len(senders) < 0:\n",
        ("grail/operators/test_rounds.py::test_S3_no_flag_or_claim_replaces_a_certificate",),
    ),
    Defence(
        "S4",
        "sdk/grail/operators/evidence.py",
        'set(value) != {"psbt", "bundles", "evidence"}:',
        'not set(value) >= {"psbt", "bundles", "evidence"}:',
        (
            "grail/operators/test_evidence.py::test_S4_requests_of_other_shapes",
            "grail_enclave/test_requests.py::test_S4_own_yardsticks_in_a_request",
        ),
    ),
    Defence(
        "S5",
        "sdk/grail/charms/kept_rules.py",
        "            if case.outputs[index].script != owner:\n",
        "            if False:\n",
        ("grail/charms/test_kept_rules.py::test_S5_who_is_paid_is_who_was_checked",),
    ),
    Defence(
        "S5",
        "sdk/grail/charms/spell.py",
        "    for output in tx.outputs[:n_outs]:\n",
        "    for output in tx.outputs[:0]:\n",
        (
            "grail_enclave/test_requests.py::test_S5_payout_to_somebody_else",
            "grail_enclave/test_requests.py::test_S5_one_sat_more_after_proving",
        ),
    ),
    Defence(
        "S6",
        "enclave/grail_enclave/intake.py",
        "            case [65] if witness[0][64] == 1:\n",
        "            case [65]:\n",
        ("grail_enclave/test_requests.py::test_S6_other_sighash_types",),
    ),
    Defence(
        "S6",
        "enclave/grail_enclave/intake.py",
        "witness[0][0] == 0x30 and witness[0][-1] == 1:",
        "witness[0][0] == 0x30:",
        ("grail_enclave/test_signed_bytes.py::test_S6_each_sighash_type_but_all",),
    ),
    Defence(
        "S6",
        "sdk/grail/charms/consent.py",
        "(len(signature) == 65 and signature[64:] == SIGHASH_ALL)",
        "len(signature) == 65",
        ("grail/charms/test_consent.py::test_Z6_other_sighash_types",),
    ),
    Defence(
        "S7",
        "enclave/grail_enclave/intake.py",
        "        if len(witness) >= 2 and witness[-1][:1] == bytes([ANNEX]):\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S7_annex_and_other_witnesses",),
        also=(
            Patch(
                "enclave/grail_enclave/intake.py",
                "            case [] | [64]:\n",
                "            case [] | [64] | [64, _]:\n",
            ),
        ),
    ),
    Defence(
        "S7",
        "enclave/grail_enclave/signer.py",
        "leaf_hash=spend.leaf.leaf_hash)",
        "leaf_hash=spend.leaf.leaf_hash[::-1])",
        ("grail_enclave/test_requests.py::test_S7_leaf_of_the_requester",),
    ),
    Defence(
        "S8",
        "enclave/grail_enclave/membership.py",
        "        if roster.internal_key != NUMS:\n",
        "        if False:\n",
        ("grail_enclave/test_membership.py::test_S8_R3_first_rosters_that_no_enclave_signs",),
    ),
    Defence(
        "S8",
        "sdk/grail/charms/guard_rules.py",
        "        if scripts.get(output.script, (None,))[0] != roster.epoch:\n",
        "        if False:\n",
        ("grail/charms/test_guard_rules.py::test_S8_the_new_roster_at_its_own_address",),
    ),
    Defence(
        "S9",
        "enclave/grail_enclave/intake.py",
        "        if len({txin.outpoint for txin in tx.inputs}) != len(tx.inputs):\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S9_input_twice",),
    ),
    Defence(
        "S9",
        "sdk/grail/charms/guard_rules.py",
        "            if placed.escrow is None:\n",
        "            if False:\n",
        ("grail/charms/test_guard_rules.py::test_S9_every_input_is_accounted_for",),
    ),
    Defence(
        "S10",
        "sdk/grail/bitcoin/spv.py",
        '        if int.from_bytes(block, "little") > target_from_bits(bits):\n',
        "        if False:\n",
        (
            "grail/bitcoin/test_spv.py::test_S10_headers_without_work",
            "grail_enclave/test_chain.py::test_S10_headers_at_the_enclave",
        ),
    ),
    Defence(
        "S10",
        "sdk/grail/bitcoin/spv.py",
        "        if header.bits != bits:\n",
        "        if False:\n",
        (
            "grail/bitcoin/test_spv.py::test_S10_first_target_chosen_freely",
            "grail/bitcoin/test_spv.py::test_S10_minimum_difficulty_after_a_retarget",
        ),
    ),
    Defence(
        "S10",
        "sdk/grail/bitcoin/spv.py",
        "        if median is not None and header.time <= median:\n",
        "        if False:\n",
        ("grail/bitcoin/test_spv.py::test_S10_time_not_above_the_median",),
    ),
    Defence(
        "S10",
        "sdk/grail/bitcoin/spv.py",
        "    if bits & 0x00800000 or target == 0 or target >= 1 << 256:\n",
        "    if target >= 1 << 256:\n",
        ("grail/bitcoin/test_spv.py::test_S10_targets_that_are_none",),
    ),
    Defence(
        "S12",
        "enclave/grail_enclave/membership.py",
        "        if first is None or self._headers.height_of(first.block) is None:\n",
        "        if first is None:\n",
        ("grail_enclave/test_chain.py::test_S12_reorg_takes_the_deploy_away",),
    ),
    Defence(
        "S12",
        "sdk/grail/bitcoin/spv.py",
        "        return 0 if height is None else self.tip.height - height + 1\n",
        "        return 1 if height is None else self.tip.height - height + 1\n",
        ("grail_enclave/test_spent.py::test_S12_a_reorganisation_revives_a_decision",),
    ),
    Defence(
        "S12",
        "sdk/grail/bitcoin/spv.py",
        "        if node is None or self._best_at(node.height) != block:\n",
        "        if node is None:\n",
        (
            "grail_enclave/test_chain.py::test_S12_reorg_takes_a_deposit_away",
            "grail_enclave/test_chain.py::test_S12_reorg_takes_the_deploy_away",
        ),
    ),
    Defence(
        "S13",
        "sdk/grail/bitcoin/spv.py",
        "    if len(tx.serialize_unsigned()) == 64:\n",
        "    if False:\n",
        (
            "grail/bitcoin/test_spv.py::test_S13_transaction_of_64_bytes",
            "grail/bitcoin/test_spv.py::test_S13_inner_node_as_a_transaction",
        ),
    ),
    Defence(
        "S13",
        "sdk/grail/bitcoin/spv.py",
        "    if len(inclusion.branch) != len(inclusion.coinbase_branch):\n",
        "    if False:\n",
        (
            "grail/bitcoin/test_spv.py::test_S13_depth_must_be_the_coinbases",
            "grail/bitcoin/test_spv.py::test_S13_inner_node_as_a_transaction",
        ),
    ),
    Defence(
        "S14",
        "sdk/grail/bitcoin/spv.py",
        "        if right and sibling == node:\n",
        "        if False:\n",
        ("grail/bitcoin/test_spv.py::test_S14_duplicated_last_leaf",),
    ),
    Defence(
        "S14",
        "sdk/grail/bitcoin/spv.py",
        "    if len(branch) > MAX_BRANCH or index >> len(branch):\n",
        "    if len(branch) > MAX_BRANCH:\n",
        ("grail/bitcoin/test_spv.py::test_S14_index_past_the_end",),
    ),
    Defence(
        "S14",
        "sdk/grail/bitcoin/spv.py",
        "        if not right and sibling != node and last:\n",
        "        if False:\n",
        ("grail/bitcoin/test_spv.py::test_S14_equal_siblings_inside_the_tree",),
    ),
    Defence(
        "S15",
        "sdk/grail/bitcoin/spv.py",
        "    if merkle_root_of(leaf, inclusion.index, inclusion.branch) != header.merkle_root:\n",
        "    if False:\n",
        (
            "grail/bitcoin/test_spv.py::test_S15_any_changed_byte_of_a_proof",
            "grail/bitcoin/test_spv.py::test_S15_proofs_of_two_deposits_swapped",
        ),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/certificates.py",
        "    if len(set(senders)) != len(senders):\n",
        "    if False:\n",
        ("grail_enclave/test_main_path.py::test_S16_eleven_votes_are_no_decision",),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/certificates.py",
        "            if value != proposal.family and count + missing >= quorum:\n",
        "            if False:\n",
        (
            "grail/operators/test_rounds.py::test_S16_what_may_be_decided_is_not_overtaken",
            "grail/operators/test_certificates.py::test_S16_which_family_a_ballot_may_be_for",
        ),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/certificates.py",
        "            if highest[1] != proposal.family:\n",
        "            if False:\n",
        (
            "grail/operators/test_rounds.py::test_S16_six_ballots_never_complete_two",
            "grail/operators/test_certificates.py::test_S16_which_family_a_ballot_may_be_for",
        ),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/rounds.py",
        "        if any(place.vote or place.decided or place.promised != NO_BALLOT for place in places):\n",
        "        if any(place.decided for place in places):\n",
        ("grail/operators/test_rounds.py::test_S16_a_vote_is_atomic_over_all_outpoints",),
    ),
    Defence(
        "S18",
        "enclave/grail_enclave/signer.py",
        "        if answered is not None:\n",
        "        if False:\n",
        ("grail_enclave/test_main_path.py::test_S18_same_request_same_answer",),
    ),
    Defence(
        "S18",
        "sdk/grail/operators/certificates.py",
        "        sats = 0 if index in change else output.sats\n",
        "        sats = 0\n",
        (
            "grail/operators/test_certificates.py::test_S18_a_raise_is_of_the_same_family_and_anything_else_is_not",
        ),
    ),
    Defence(
        "S18",
        "sdk/grail/operators/rounds.py",
        (
            "        if known and known.vote and all(place.vote == (0, proposal.family) for place in places):\n"
            "            return known.vote\n"
        ),
        ("        if known and False:\n            return known.vote\n"),
        (
            "grail/operators/test_rounds.py::test_S18_the_same_request_gets_the_same_answer",
            "grail_enclave/test_main_path.py::test_S18_same_request_same_answer",
        ),
    ),
    Defence(
        "S19",
        "enclave/grail_enclave/policy.py",
        "            if case.anchors.tip.height + margin >= end:\n",
        "            if case.anchors.tip.height >= end:\n",
        ("grail_enclave/test_chain.py::test_S19_margin_before_the_owner_may_recover",),
    ),
    Defence(
        "S20",
        "sdk/grail/bitcoin/addresses.py",
        "    if not MIN_RECOVERY <= n <= MAX_RECOVERY:\n",
        "    if False:\n",
        ("grail/bitcoin/test_addresses.py::test_S20_recovery_delays_out_of_range",),
    ),
    Defence(
        "S20",
        "sdk/grail/bitcoin/addresses.py",
        "    native.xonly_check(user_key)\n",
        "",
        ("grail/bitcoin/test_addresses.py::test_S20_recovery_keys_off_the_curve",),
    ),
    Defence(
        "S20",
        "sdk/grail/charms/guard_rules.py",
        "            if placed.escrow is None:\n",
        "            if False:\n",
        ("grail/charms/test_guard_rules.py::test_S20_recovery_keys",),
    ),
    Defence(
        "S21",
        "enclave/grail_enclave/intake.py",
        "        return ParentsSafe(spent.history.check_unconfirmed(spent.parents))\n",
        "        return ParentsSafe(0)\n",
        (
            "grail_enclave/test_chain.py::test_S21_unconfirmed_deposit",
            "grail_enclave/test_chain.py::test_S21_users_unconfirmed_coin",
        ),
    ),
    Defence(
        "S21",
        "enclave/grail_enclave/policy.py",
        "            if height is None or depth < least:\n",
        "            if False:\n",
        ("grail_enclave/test_chain.py::test_S21_deposit_needs_k_confirmations",),
    ),
    Defence(
        "S22",
        "enclave/grail_enclave/policy.py",
        "        if fee > policy.max_fee:\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S22_fee_above_the_cap",),
    ),
    Defence(
        "S22",
        "enclave/grail_enclave/policy.py",
        "        if not policy.min_fee_rate * vsize <= fee <= policy.max_fee_rate * vsize:\n",
        "        if False:\n",
        (
            "grail_enclave/test_requests.py::test_S22_fee_above_the_cap",
            "grail_enclave/test_requests.py::test_S22_fee_rate_on_the_true_weight",
        ),
    ),
    Defence(
        "S22",
        "sdk/grail/charms/vault_rules.py",
        "        if minted != gained:\n",
        "        if False:\n",
        ("grail/charms/test_vault_rules.py::test_S22_fees_never_come_from_the_vault",),
    ),
    Defence(
        "S24",
        "enclave/grail_enclave/sizes.py",
        "    if output.sats < least:\n",
        "    if False:\n",
        ("grail_enclave/test_dust_deposits.py::test_S24_outputs_below_the_dust_limit",),
    ),
    Defence(
        "S24",
        "sdk/grail/charms/vault_rules.py",
        "        if place.holds.sats < least:\n",
        "        if False:\n",
        ("grail/charms/test_vault_rules.py::test_S24_few_and_large_vault_outputs",),
    ),
    Defence(
        "S25",
        "enclave/grail_enclave/sizes.py",
        "    if kind not in PAYABLE:\n",
        "    if False:\n",
        ("grail_enclave/test_requests.py::test_S25_outputs_that_nobody_can_spend",),
    ),
    Defence(
        "S25",
        "enclave/grail_enclave/sizes.py",
        "        native.xonly_check(output.script[2:])\n",
        "        pass\n",
        ("grail_enclave/test_requests.py::test_S25_outputs_that_nobody_can_spend",),
    ),
    Defence(
        "S26",
        "enclave/grail_enclave/intake.py",
        "        if tx.version != 2:\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S26_transactions_that_no_node_takes",),
    ),
    Defence(
        "S26",
        "enclave/grail_enclave/intake.py",
        "            if txin.sequence != SEQUENCE or txin.script_sig:\n",
        "            if False:\n",
        ("grail_enclave/test_requests.py::test_S26_sequences",),
    ),
    Defence(
        "S26",
        "enclave/grail_enclave/policy.py",
        "        if locktime >= LOCKTIME_THRESHOLD or not least <= locktime <= tip:\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S26_lock_time_in_the_future",),
    ),
    Defence(
        "S27",
        "sdk/grail/charms/rules.py",
        "        if output.script in forbidden:\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S27_change_past_the_spell_to_the_vault",),
    ),
    Defence(
        "S27",
        "sdk/grail/charms/rules.py",
        "        if changes > 1:\n",
        "        if False:\n",
        ("grail_enclave/test_requests.py::test_S27_two_changes",),
    ),
    Defence(
        "S27",
        "sdk/grail/charms/vault_rules.py",
        '            _counts(case, place.epoch, f"output {place.index}", grace=case.confirmed)\n',
        "            pass\n",
        ("grail/charms/test_vault_rules.py::test_S27_only_the_ruling_roster_receives",),
    ),
    Defence(
        "S28",
        "enclave/grail_enclave/checks.py",
        "            if checked.tx.inputs[spend.index].witness:\n",
        "            if False:\n",
        ("grail_enclave/test_requests.py::test_S28_final_witness_on_an_input_of_the_quorum",),
    ),
    Defence(
        "S28",
        "enclave/grail_enclave/intake.py",
        "            if known.tap_script_sigs or known.tap_key_sig:\n",
        "            if False:\n",
        ("grail_enclave/test_requests.py::test_S28_partial_signatures",),
    ),
    Defence(
        "S28",
        "sdk/native/src/bitcoin/psbt.rs",
        "            if !allowed.contains(&kind) {",
        "            if false && !allowed.contains(&kind) {",
        ("grail/bitcoin/test_psbt.py::test_S28_hostile_psbts",),
    ),
    Defence(
        "S28",
        "sdk/native/src/bitcoin/psbt.rs",
        "    if !cursor.0.is_empty() {",
        "    if false && !cursor.0.is_empty() {",
        ("grail/bitcoin/test_psbt.py::test_S28_hostile_psbts",),
    ),
    Defence(
        "S28",
        "sdk/native/src/bitcoin/psbt.rs",
        "            if key == last {",
        "            if false && key == last {",
        ("grail/bitcoin/test_psbt.py::test_S28_hostile_psbts",),
        also=(
            Patch(
                "sdk/native/src/bitcoin/psbt.rs",
                "            if key < last {",
                "            if false && key < last {",
            ),
            Patch(
                "sdk/native/src/bitcoin/psbt.rs",
                "    if psbt.serialize() != raw {",
                "    if false && psbt.serialize() != raw {",
            ),
        ),
    ),
    Defence(
        "S29",
        "sdk/native/src/bitcoin/transaction.rs",
        "    if read != raw.len() {",
        "    if false && read != raw.len() {",
        ("grail/bitcoin/test_tx.py::test_S29_libbitcoinkernel_reads_the_same_transactions",),
        also=(
            Patch(
                "sdk/native/src/bitcoin/transaction.rs",
                "    if serialize(&tx) != raw {",
                "    if false && serialize(&tx) != raw {",
            ),
        ),
    ),
    Defence(
        "S30",
        "sdk/grail/bridge/deposit.py",
        "        if script != self.script:\n",
        "        if False:\n",
        ("grail/bridge/test_main_job.py::test_S30_foreign_deposit_address_is_refused",),
    ),
    Defence(
        "S32",
        "sdk/grail/operators/messages.py",
        (
            "            if got != expected:\n"
            '                raise SignatureInvalid(f"{self.KIND}: made for another {name}")\n'
        ),
        (
            "            if False:\n"
            '                raise SignatureInvalid(f"{self.KIND}: made for another {name}")\n'
        ),
        (
            "grail/operators/test_messages.py::test_S32_a_message_of_another_network_roster_or_configuration_is_refused",
        ),
    ),
    Defence(
        "S33",
        "enclave/grail_host/quota.py",
        "        if short:\n",
        "        if False:\n",
        (
            "grail_host/test_parts.py::test_S33_a_quota_refills_evenly_and_counts_each_requester_apart",
        ),
    ),
    Defence(
        "S33",
        "sdk/grail/bitcoin/spv.py",
        "        if len(headers) > MAX_HEADERS:\n",
        "        if False:\n",
        ("grail/bitcoin/test_spv.py::test_S33_headers_are_capped",),
    ),
    Defence(
        "S33",
        "sdk/grail/bitcoin/spv.py",
        "        if height <= self.tip.height - FORK_WINDOW:\n",
        "        if False:\n",
        ("grail/bitcoin/test_spv.py::test_S33_fork_from_below_the_window",),
    ),
    Defence(
        "S33",
        "sdk/grail/operators/evidence.py",
        "    if len(bundles) > MAX_BUNDLES or len(evidence) > MAX_EVIDENCE:\n",
        "    if False:\n",
        ("grail/operators/test_evidence.py::test_S33_counts_are_capped",),
    ),
    Defence(
        "S34",
        "sdk/grail/operators/rounds.py",
        (
            "        self.check_alive(proposal)\n"
            "        known, places = self.memory.lookup(proposal), self.memory.places(proposal)\n"
            "        if known and known.vote and all(place.vote == (0"
        ),
        (
            "        self.memory.remember(proposal)\n"
            "        self.check_alive(proposal)\n"
            "        known, places = self.memory.lookup(proposal), self.memory.places(proposal)\n"
            "        if known and known.vote and all(place.vote == (0"
        ),
        ("grail/operators/test_rounds.py::test_S34_each_refusal_leaves_the_state_as_it_was",),
    ),
    Defence(
        "S35",
        "enclave/grail_enclave/case.py",
        ("        if not isinstance(proof, kind):\n            raise"),
        ("        if False:\n            raise"),
        ("grail_enclave/test_robustness.py::test_S35_check_that_is_left_out",),
    ),
    Defence(
        "S35",
        "enclave/grail_enclave/case.py",
        "        if not isinstance(proof, kind):\n",
        "        if False:\n",
        ("grail_enclave/test_robustness.py::test_S35_check_that_is_left_out",),
    ),
    Defence(
        "S35",
        "enclave/grail_enclave/case.py",
        "        if proof is None:\n",
        "        if False:\n",
        ("grail_enclave/test_robustness.py::test_S35_check_that_raises_is_no_check_that_passed",),
    ),
)
