"""Signing requests: each guard of rows S1 to S9, how it goes off, and who must notice."""

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
        "            digest = bytes(checked.tx.txid)\n",
        (
            "grail_enclave/test_signed_bytes.py::test_S1_the_hash_that_is_signed_is_the_enclaves_own",
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
        "S16",
        "sdk/grail/operators/signing_job.py",
        "            verify_input(tx, prevouts, index)\n",
        "            pass\n",
        ("grail/operators/test_client.py::test_S16_a_request_with_a_spoiled_witness_is_none",),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/signing_job.py",
        "            check_leaf(prevouts[index].script, leaf)\n",
        "            pass\n",
        ("grail/operators/test_client.py::test_S16_a_request_with_a_spoiled_leaf_is_none",),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/signing_job.py",
        "        if known.witness_utxo not in {None, output}:\n",
        "        if False:\n",
        ("grail/operators/test_client.py::test_S16_a_request_with_a_spoiled_amount_is_none",),
    ),
    Defence(
        "S16",
        "sdk/grail/operators/signing_job.py",
        "        if previous is None or previous.txid != outpoint.txid:\n",
        "        if previous is None:\n",
        ("grail/operators/test_client.py::test_S16_a_request_with_a_spoiled_amount_is_none",),
    ),
)
