"""The chain and the rounds: each guard of rows S10 to S22, and who must notice."""

from __future__ import annotations

from .defence import Defence

DEFENCES: tuple[Defence, ...] = (
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
        "            if self._headers.height_of(step.block) is None:\n",
        "            if False:\n",
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
        "S16",
        "sdk/grail/operators/coordinator.py",
        "            for operator in voters:\n                del left[operator]\n",
        "            return _Failed(above[0], alive)\n",
        ("grail/operators/test_client.py::test_S16_votes_that_nobody_can_show_stop_nobody",),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/coordinator.py",
        "            self._dead.add(winner.family)\n            return\n",
        "            return\n",
        ("grail/operators/test_client.py::test_S16_hosts_that_hide_a_block_keep_no_outpoint",),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/client.py",
        '    if told.too_few_left("InputSpent", "OutpointTaken"):\n',
        '    if told.too_few_left("InputSpent"):\n',
        ("grail/operators/test_simulator.py::test_S16_what_failed_once_holds_now[I11-205.json]",),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/coordinator.py",
        "        self._dead.add(target.family)\n",
        "        return\n",
        ("grail/operators/test_client.py::test_S16_hosts_that_hide_a_block_keep_no_outpoint",),
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
)
