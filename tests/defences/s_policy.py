"""What is signed at all: each guard of rows S24 to S35, and who must notice."""

from __future__ import annotations

from .defence import Defence, Patch

DEFENCES: tuple[Defence, ...] = (
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
        "enclave/grail_enclave/quorums.py",
        "    open_ = [s.epoch for i, s in guarded.items() if not checked.tx.inputs[i].witness]\n",
        "    open_ = [s.epoch for s in guarded.values()]\n",
        ("grail_enclave/test_requests.py::test_S28_final_witness_on_an_input_of_the_quorum",),
        (
            Patch(
                "enclave/grail_enclave/quorums.py",
                "        elif spend.epoch >= epoch and witness:\n",
                "        elif False:\n",
            ),
        ),
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
        "S28",
        "sdk/grail/bitcoin/psbt_v2.py",
        "        elif field != path or not path:",
        "        elif False:",
        ("grail/bitcoin/test_psbt_v2.py::test_S28_hostile_psbts_of_version_2",),
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
