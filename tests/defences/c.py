"""Charms: each guard of rows C, how it goes off, and who must notice."""

from __future__ import annotations

from .defence import Defence, Patch

UPSTREAM = "grail/charms/upstream"
VERBS = "grail/commands/test_spell_verbs.py"

DEFENCES: tuple[Defence, ...] = (
    Defence(
        "C1",
        "sdk/grail/charms/vault_rules.py",
        "        if case.minted(classes.contract) and not classes.signed:\n",
        "        if False:\n",
        ("grail/charms/test_vault_rules.py::test_C1_units_without_backing",),
    ),
    Defence(
        "C1",
        "sdk/grail/charms/vault_rules.py",
        "        if minted != gained:\n",
        "        if minted > gained + 10**15:\n",
        ("grail/charms/test_vault_rules.py::test_C1_units_without_backing",),
    ),
    Defence(
        "C2",
        "sdk/grail/charms/case.py",
        "                sums[app] += data\n",
        "                sums[app] = (sums[app] + data) % 2**64\n",
        (
            "grail/charms/test_guard_rules.py::test_C2_sums_do_not_wrap",
            "grail/charms/test_vault_rules.py::test_C2_sums_do_not_wrap",
        ),
    ),
    Defence(
        "C3",
        "sdk/grail/charms/app.py",
        "    if app.tag == TOKEN and (type(data) is not int or not 0 < data <= MAX_UNITS):",
        "    if app.tag == TOKEN and not 0 < data <= MAX_UNITS:",
        ("grail/charms/test_spell.py::test_C3_amount_of_another_type",),
    ),
    Defence(
        "C4",
        "sdk/grail/charms/envelope.py",
        "    if magic is not None and magic != MAGIC:\n",
        "    if False:\n",
        ("grail/charms/test_spell.py::test_C4_proof_of_another_format",),
    ),
    Defence(
        "C4",
        "sdk/grail/charms/upstream/proof.py",
        "    if enchanted.spell.mock:\n",
        "    if False:\n",
        (f"{UPSTREAM}/test_proof_rules.py::test_C4_a_mock_spell_is_refused_whatever_its_proof",),
    ),
    Defence(
        "C4",
        "sdk/grail/charms/upstream/proof.py",
        "    if key is None or hashlib.sha256(key).digest() != row.key.digest:\n",
        "    if key is None:\n",
        (f"{UPSTREAM}/test_proof_rules.py::test_C4_a_mock_spell_is_refused_whatever_its_proof",),
    ),
    Defence(
        "C5",
        "sdk/grail/charms/upstream/versions.py",
        "    if last is not None and height > last:\n",
        "    if False:\n",
        (f"{UPSTREAM}/test_proof_rules.py::test_C5_a_retired_version_has_a_last_height[v12]",),
    ),
    Defence(
        "C5",
        "sdk/grail/commands/spell.py",
        "        versions.check_age(number, height)\n",
        "        pass\n",
        (f"{VERBS}::test_C5_a_retired_version_ends_with_1_above_its_height",),
    ),
    Defence(
        "C5",
        "sdk/grail/connection/charms_view.py",
        "            check_age(found.spell.version, height)\n",
        "            pass\n",
        (f"{VERBS}::test_C5_a_retired_version_in_a_new_block_is_shown_as_refused",),
    ),
    *(
        Defence(
            "C6",
            "sdk/grail/charms/upstream/proof.py",
            f"    if {guard}:\n",
            "    if False:\n",
            (f"{UPSTREAM}/{test}",),
        )
        for guard, test in (
            (
                "len(proof) != size",
                "test_proof_rules.py::test_C6_fields_in_front_of_the_points[length, one more]",
            ),
            (
                "proof[:_PREFIX] != row.key.prefix",
                "test_proof_rules.py::test_C6_fields_in_front_of_the_points[key]",
            ),
            (
                "any(exit_code)",
                "test_proof_rules.py::test_C6_fields_in_front_of_the_points[exit code]",
            ),
            (
                "vk_root != row.key.vk_root",
                "test_proof_rules.py::test_C6_fields_in_front_of_the_points[vk root]",
            ),
            (
                'int.from_bytes(nonce, "big") >= native.R',
                "test_known_differences.py::test_payload_that_upstream_passes_over[a nonce above r]",
            ),
        )
    ),
    Defence(
        "C7",
        "sdk/grail/charms/history.py",
        "            return Judged(tx, unknown if open_ else burned.charms, record, refusal=refusal)\n",
        "            return Judged(tx, unknown if open_ else (*spell.outs, *burned.charms[n_outs:]), record, refusal=refusal)\n",
        (
            "grail/charms/test_index.py::test_C7_charms_exist_only_through_correct_spells",
            "grail/charms/test_index.py::test_C8_an_incorrect_spell_or_none_burns",
        ),
    ),
    Defence(
        "C8",
        "sdk/grail/wallet/coins.py",
        "    return sorted((c for c in coins if not c.charms), key=lambda c: (-c.sats, c.outpoint))\n",
        "    return sorted(coins, key=lambda c: (-c.sats, c.outpoint))\n",
        (
            "grail/wallet/test_coins.py::test_C8_selection_for_sats_takes_plain_coins_only",
            "grail/wallet/test_coins.py::test_C8_spending_charms_without_a_spell_needs_a_word",
        ),
    ),
    Defence(
        "C8",
        "sdk/grail/wallet/coins.py",
        "    if charmed and not burn:\n",
        "    if False:\n",
        ("grail/wallet/test_coins.py::test_C8_spending_charms_without_a_spell_needs_a_word",),
    ),
    Defence(
        "C9",
        "sdk/grail/charms/guard_rules.py",
        "    if missing:\n",
        "    if False:\n",
        ("grail/charms/test_guard_rules.py::test_C9_burning_others_by_omission",),
    ),
    Defence(
        "C10",
        "sdk/grail/charms/spell.py",
        "    if len(outs) > len(tx.outputs):\n",
        "    if False:\n",
        ("grail/charms/test_spell.py::test_C10_output_indexes",),
        also=(
            Patch("sdk/grail/charms/spell.py", "    if index < len(outs):\n", "    if False:\n"),
        ),
    ),
    Defence(
        "C10",
        "sdk/grail/charms/spell.py",
        "    if index < len(outs):\n",
        "    if False:\n",
        ("grail/charms/test_spell.py::test_C10_output_indexes",),
    ),
    Defence(
        "C10",
        "sdk/grail/charms/spell.py",
        "not 0 <= key < len(apps):",
        "not 0 <= key <= len(apps):",
        ("grail/charms/test_spell.py::test_C10_app_indexes",),
    ),
    Defence(
        "C11",
        "sdk/grail/codec.py",
        "    if again != raw:\n",
        "    if False:\n",
        ("grail/charms/test_spell.py::test_C11_apps_unsorted_or_repeated",),
    ),
    Defence(
        "C12",
        "sdk/grail/charms/guard_rules.py",
        "        if app not in present and not (acts and app == app.contract.token):\n",
        "        if False:\n",
        (
            "grail/charms/test_guard_rules.py::test_C12_one_list_of_apps",
            "grail/charms/test_costs.py::test_C12_a_listed_app_without_a_charm_is_named_first",
        ),
    ),
    Defence(
        "C12",
        "sdk/grail/codec.py",
        "    if again != raw:\n",
        "    if False:\n",
        ("grail/charms/test_spell.py::test_C12_another_encoding",),
    ),
    Defence(
        "C12",
        "sdk/grail/codec.py",
        "    if stream.tell() != len(raw):\n",
        "    if False:\n",
        ("grail/charms/test_spell.py::test_C12_another_encoding",),
        also=(Patch("sdk/grail/codec.py", "    if again != raw:\n", "    if False:\n"),),
    ),
    Defence(
        "C13",
        "sdk/grail/charms/envelope.py",
        "    if len(found) > 1:\n",
        "    if False:\n",
        (
            "grail/charms/test_spell_rules.py::test_C13_two_spells",
            "grail/charms/test_spell.py::test_C13_two_spells_in_any_push_form",
        ),
    ),
    Defence(
        "C14",
        "sdk/grail/charms/case.py",
        "        pairs = zip(self.tx.outputs, self.spell.outs, strict=False)\n",
        "        pairs = zip(self.tx.outputs, (*self.spell.outs, {}, {}), strict=False)\n",
        ("grail/charms/test_rules.py::test_C14_outputs_that_no_proof_saw",),
    ),
    Defence(
        "C14",
        "sdk/grail/charms/rules.py",
        "        if changes > 1:\n",
        "        if changes > 2:\n",
        ("grail/charms/test_rules.py::test_C14_outputs_that_no_proof_saw",),
    ),
    Defence(
        "C14",
        "sdk/grail/charms/rules.py",
        "        if output.script in forbidden:\n",
        "        if False:\n",
        (
            "grail/charms/test_rules.py::test_C14_outputs_that_no_proof_saw",
            "grail/charms/test_rules.py::test_C14_an_escrow_that_is_spent_is_no_change",
        ),
    ),
    Defence(
        "C14",
        "sdk/grail/charms/rules.py",
        "        if output.script[:1] == bytes([Op.RETURN]):\n",
        "        if False:\n",
        ("grail/charms/test_rules.py::test_C14_outputs_that_no_proof_saw",),
    ),
    Defence(
        "C17",
        "sdk/grail/charms/case.py",
        "                states[app][canonical(data)] += 1\n",
        '                states[app][b""] = 1\n',
        ("grail/charms/test_guard_rules.py::test_C17_states_are_neither_doubled_nor_counterfeit",),
    ),
    Defence(
        "C17",
        "sdk/grail/charms/kept_rules.py",
        "            if kind is None or not kind.free:\n",
        "            if False:\n",
        ("grail/charms/test_kept_rules.py::test_C17_states_are_neither_doubled_nor_counterfeit",),
    ),
    Defence(
        "C18",
        "sdk/grail/charms/kept_rules.py",
        "        if classes.ports_out or (case.minted(contract) and not backed):\n",
        "        if False:\n",
        ("grail/charms/test_kept_rules.py::test_C18_counterfeit_identity",),
    ),
    Defence(
        "C18",
        "sdk/grail/charms/spell_rules.py",
        "        if bundle.vk != contract.vk:\n",
        "        if False:\n",
        ("grail/charms/test_spell_rules.py::test_C18_counterfeit_identity",),
    ),
    Defence(
        "C18",
        "sdk/grail/connection/labels.py",
        ("            if known == app:\n                return name\n"),
        (
            "            if known.identity[:31] == app.identity[:31] and known.vk[:31] == app.vk[:31]:\n"
            "                return name\n"
        ),
        ("grail/connection/test_look_alikes.py::test_C18_a_look_alike_is_shown_whole",),
    ),
    Defence(
        "C19",
        "sdk/grail/charms/index.py",
        "        self._coins.update(undo.spent)\n",
        "",
        ("grail/charms/test_index.py::test_C19_reorgs_leave_no_phantom",),
    ),
    Defence(
        "C20",
        "sdk/grail/charms/spell.py",
        "    if len(apps) > MAX_APPS:\n",
        "    if len(apps) > 10 * MAX_APPS:\n",
        ("grail/charms/test_costs.py::test_C20_contracts_and_apps_of_a_spell_are_capped",),
    ),
    Defence(
        "C20",
        "sdk/grail/charms/spell.py",
        "    if contracts > MAX_CONTRACTS:\n",
        "    if contracts > 10 * MAX_CONTRACTS:\n",
        ("grail/charms/test_costs.py::test_C20_contracts_and_apps_of_a_spell_are_capped",),
    ),
    Defence(
        "C21",
        "sdk/grail/charms/spell.py",
        "    for output in tx.outputs[:n_outs]:\n",
        "    for output in tx.outputs[:0]:\n",
        ("grail/charms/test_spell.py::test_C21_every_part_is_in_the_digest",),
    ),
    Defence(
        "C21",
        "sdk/grail/charms/spell.py",
        "    parts += [entry.outpoint.serialize() for entry in tx.inputs]\n",
        "",
        ("grail/charms/test_spell.py::test_C21_every_part_is_in_the_digest",),
    ),
    Defence(
        "C21",
        "sdk/grail/charms/spell.py",
        '    parts += [tx.locktime.to_bytes(4, "little"), cs(spell.S)]\n',
        '    parts += [tx.locktime.to_bytes(4, "little")]\n',
        ("grail/charms/test_spell.py::test_C21_every_part_is_in_the_digest",),
    ),
    Defence(
        "C22",
        "sdk/grail/charms/guard_rules.py",
        "        if contract in case.proofs and not case.needs_action(contract):\n",
        "        if False:\n",
        ("grail/charms/test_guard_rules.py::test_C22_action_of_another_tag",),
    ),
    Defence(
        "C22",
        "sdk/grail/charms/kept_rules.py",
        "        extra = sorted(case.changed[classes.contract].difference(action.changes))\n",
        "        extra = [] if action.changes else sorted(case.changed[classes.contract])\n",
        ("grail/charms/test_kept_rules.py::test_C22_action_of_another_tag",),
    ),
)
