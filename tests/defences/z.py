"""Zero knowledge: each guard of rows Z, how it goes off, and who must notice."""

from __future__ import annotations

from .defence import Defence, Patch

DEFENCES: tuple[Defence, ...] = (
    Defence(
        "Z2",
        "sdk/grail/zk/gadgets/bits.py",
        "        bits = tuple(Bool.checked(circuit.hint(Op.BIT, value, i)) for i in range(n))\n",
        "        bits = tuple(Bool(circuit.hint(Op.BIT, value, i)) for i in range(n))\n",
        (
            "grail/apps/test_pool.py::test_Z2_the_side_is_a_boolean",
            "grail/apps/test_zkbtc.py::test_Z2_no_fact_may_be_its_negative",
        ),
    ),
    Defence(
        "Z2",
        "sdk/grail/zk/gadgets/bits.py",
        "        circuit.enforce(from_bits(bits), Field.constant(1), value)\n",
        "        circuit.enforce(value - value, Field.constant(1), value - value)\n",
        (
            "grail/apps/test_pool.py::test_Z2_the_side_is_a_boolean",
            "grail/apps/test_zkbtc.py::test_Z2_no_fact_may_be_its_negative",
        ),
    ),
    Defence(
        "Z2",
        "sdk/grail/zk/gadgets/integers.py",
        (
            '        _below(field, bits, f"the value does not fit {bits} bits", value=field)\n'
            "        return cls(field, field.value"
        ),
        "        return cls(field, field.value",
        (
            "grail/zk/gadgets/test_integers.py::test_Z2_range_checks_at_their_edges",
            "grail/zk/gadgets/test_integers.py::test_Z2_no_bits_spell_a_value_that_is_too_wide",
        ),
    ),
    Defence(
        "Z3",
        "sdk/grail/zk/gadgets/bits.py",
        "        to_bits(at_top.field * (bottom - low), 127)\n",
        "        pass\n",
        (
            "grail/zk/gadgets/test_integers.py::test_Z3_the_bits_of_a_field_element_are_its_only_pattern",
        ),
    ),
    Defence(
        "Z3",
        "sdk/grail/zk/gadgets/bits.py",
        "        to_bits(top - high, 127)\n",
        "",
        (
            "grail/zk/gadgets/test_integers.py::test_Z3_the_bits_of_a_field_element_are_its_only_pattern",
        ),
    ),
    Defence(
        "Z4",
        "sdk/grail/native.py",
        "    if not 0 <= value < R:\n",
        ("    value %= R\n    if False:\n"),
        ("grail/zk/test_groth16.py::test_Z4_public_inputs_are_never_reduced",),
    ),
    Defence(
        "Z5",
        "sdk/grail/apps/zkapp.py",
        "    _refuse_idle(tx, circuit, spec)\n",
        "",
        (
            "grail/apps/test_zkapp.py::test_Z5_an_idle_fact_is_a_compile_error",
            "grail/apps/test_zkapp.py::test_Z5_a_port_without_statements_is_refused",
        ),
    ),
    Defence(
        "Z6",
        "sdk/grail/charms/consent.py",
        "        verify_input(tx, prevouts, index)\n",
        "        pass\n",
        ("grail/charms/test_consent.py::test_Z6_a_signature_of_another_transaction",),
    ),
    Defence(
        "Z6",
        "sdk/grail/charms/spell.py",
        '    return tagged_hash("grail/proof/1", d0 + bytes(contract) + bytes([action]))\n',
        '    return tagged_hash("grail/proof/1", d0)\n',
        ("grail/apps/test_replays.py::test_Z6_another_transaction_contract_or_network",),
    ),
    Defence(
        "Z6",
        "sdk/grail/charms/spell.py",
        '    parts = [network.id, len(tx.inputs).to_bytes(4, "little")]\n',
        '    parts = [len(tx.inputs).to_bytes(4, "little")]\n',
        ("grail/apps/test_replays.py::test_Z6_another_transaction_contract_or_network",),
    ),
    Defence(
        "Z7",
        "sdk/grail/charms/spell_rules.py",
        "            if fault:\n",
        "            if False:\n",
        ("grail/charms/test_rules.py::test_Z7_a_key_that_anyone_could_forge_for",),
    ),
    Defence(
        "Z7",
        "sdk/native/src/zk/points.rs",
        "    if key.gamma_g2 == key.delta_g2 {",
        "    if false && key.gamma_g2 == key.delta_g2 {",
        (
            "grail/zk/test_groth16.py::test_Z7_a_key_whose_delta_is_gamma",
            "grail/charms/test_slow_model.py::test_Z7_both_judge_keys_alike",
        ),
    ),
    Defence(
        "Z7",
        "sdk/native/src/zk/points.rs",
        "    if key.delta_g2 == G2Affine::generator() {",
        "    if false && key.delta_g2 == G2Affine::generator() {",
        (
            "grail/charms/test_slow_model.py::test_Z7_both_judge_keys_alike",
            "grail/zk/test_groth16.py::test_Z7_a_key_whose_delta_is_the_generator",
        ),
    ),
    Defence(
        "Z7",
        "sdk/native/src/zk/points.rs",
        "    if sorted.len() != key.gamma_abc_g1.len() {",
        "    if false && sorted.len() != key.gamma_abc_g1.len() {",
        (
            "grail/zk/test_groth16.py::test_Z7_two_equal_points_of_ic",
            "grail/charms/test_slow_model.py::test_Z7_both_judge_keys_alike",
        ),
    ),
    Defence(
        "Z10",
        "sdk/grail/charms/proof_rules.py",
        "            case.verify(statement.action.vk, statement.public_inputs, proof)\n",
        "            case.verify(next(iter(case.bundle(contract).actions.values())).vk, statement.public_inputs, proof)\n",
        ("grail/charms/test_rules.py::test_Z13_the_verifier_gets_derived_inputs_only",),
    ),
    Defence(
        "Z10",
        "sdk/grail/charms/spell_rules.py",
        "        if bundle.vk != contract.vk:\n",
        "        if False:\n",
        ("grail/charms/test_spell_rules.py::test_Z10_bundles_are_what_they_are_called",),
    ),
    Defence(
        "Z11",
        "sdk/native/src/zk/points.rs",
        "    let point = P::deserialize_compressed(bytes)",
        "    let point = P::deserialize_compressed_unchecked(bytes)",
        ("grail/charms/test_rules.py::test_Z7_a_key_that_anyone_could_forge_for",),
    ),
    Defence(
        "Z11",
        "sdk/native/src/zk/points.rs",
        "    if point.is_zero() {",
        "    if false && point.is_zero() {",
        ("grail/zk/test_groth16.py::test_Z11_the_identity_anywhere_in_a_key",),
        also=(
            Patch("sdk/native/src/zk/points.rs", "    if identity {", "    if false && identity {"),
        ),
    ),
    Defence(
        "Z11",
        "sdk/native/src/zk/ptau.rs",
        "    if Bn254::multi_pairing([a, -c], [b, d]).is_zero() {",
        "    if true || Bn254::multi_pairing([a, -c], [b, d]).is_zero() {",
        ("grail/zk/test_ptau.py::test_Z11_powers_that_are_not_of_one_secret",),
    ),
    Defence(
        "Z11",
        "sdk/native/src/zk/montgomery.rs",
        "    if !point.is_on_curve() {",
        "    if false && !point.is_on_curve() {",
        ("grail/zk/test_zkey.py::test_Z11_points_off_their_curves",),
    ),
    Defence(
        "Z12",
        "sdk/native/src/zk/points.rs",
        "    if key.gamma_abc_g1.len().checked_sub(1) != Some(publics) {",
        "    if false && key.gamma_abc_g1.len().checked_sub(1) != Some(publics) {",
        ("grail/zk/test_groth16.py::test_Z12_a_key_for_another_number_of_inputs",),
    ),
    Defence(
        "Z12",
        "sdk/native/src/zk/verifier.rs",
        "    if publics != expected {",
        "    if false && publics != expected {",
        ("grail/zk/test_groth16.py::test_Z12_too_few_or_too_many_public_inputs",),
    ),
    Defence(
        "Z13",
        "sdk/grail/charms/facts.py",
        "            return [_port(classes, side, kind, j).holds.sats]\n",
        "            return [_port(classes, 0, kind, j).holds.sats]\n",
        ("grail/charms/test_slow_model.py::test_both_accept_what_is_correct",),
    ),
    Defence(
        "Z13",
        "sdk/grail/charms/proof_rules.py",
        "            case.verify(statement.action.vk, statement.public_inputs, proof)\n",
        "            case.verify(statement.action.vk, statement.public_inputs[:2], proof)\n",
        ("grail/charms/test_rules.py::test_Z13_the_verifier_gets_derived_inputs_only",),
    ),
    Defence(
        "Z14",
        "sdk/grail/charms/proof_rules.py",
        "        proof = case.proofs[contract].proof\n",
        (
            "        proof = case.proofs[contract].proof\n"
            '        if globals().setdefault("_FIRST", {}).setdefault(statement.digest, proof) != proof:\n'
            '            refuse("ProofInvalid", "seen in another form", got="another", expected="the first")\n'
        ),
        ("grail_enclave/test_proof_identity.py::test_Z14_another_form_of_a_proof_says_the_same",),
    ),
    Defence(
        "Z18",
        "sdk/grail/zk/gadgets/integers.py",
        "        circuit.enforce(q, b.field, a.field - r)\n",
        "",
        ("grail/zk/gadgets/test_integers.py::test_Z18_forged_quotients_are_refused",),
    ),
    Defence(
        "Z18",
        "sdk/grail/zk/gadgets/integers.py",
        "        remainder_.assert_less(b)\n",
        "        pass\n",
        (
            "grail/zk/gadgets/test_integers.py::test_Z18_nothing_divides_by_zero",
            "grail/zk/gadgets/test_integers.py::test_Z18_forged_quotients_are_refused",
        ),
    ),
    Defence(
        "Z19",
        "sdk/grail/zk/field.py",
        '        raise self._misused("`==` or `in`", "use assert_equal() or equal()")\n',
        "        return self is other\n",
        (
            "grail/zk/test_field.py::test_Z19_holds_under_python_O",
            "grail/apps/test_zkapp.py::test_Z19_python_control_flow_is_a_compile_error",
        ),
    ),
    Defence(
        "Z19",
        "sdk/grail/zk/field.py",
        '        raise self._misused("hash(), a set or a dictionary key", "key by a name of your own")\n',
        "        return id(self)\n",
        (
            "grail/zk/test_field.py::test_Z19_holds_under_python_O",
            "grail/zk/test_field.py::test_Z19_python_operators_on_provable_values_raise",
        ),
    ),
    Defence(
        "Z21",
        "sdk/grail/zk/field.py",
        "secret=self.secret or right.secret)",
        "secret=False)",
        ("grail/zk/test_circuit.py::test_Z21_errors_name_secret_values_and_never_show_them",),
    ),
    Defence(
        "Z21",
        "sdk/native/src/zk/prover.rs",
        "    let (r, s) = (Fr::rand(&mut OsRng), Fr::rand(&mut OsRng));",
        (
            "    let (r, s) = (Fr::from(7u64), Fr::from(9u64));\n"
            "    let _ = <Fr as UniformRand>::rand(&mut OsRng);"
        ),
        (
            "grail/zk/test_prover.py::test_Z21_two_proofs_of_one_witness_differ",
            "grail/zk/test_zkey.py::test_Z21_two_proofs_of_one_zkey_differ",
            "grail/apps/test_compiler.py::test_Z21_two_proofs_of_one_witness_differ",
        ),
    ),
    Defence(
        "Z22",
        "sdk/native/src/zk/points.rs",
        "    if count != held as u64 || raw.left() != held * G1_SIZE {",
        "    if false && (count != held as u64 || raw.left() != held * G1_SIZE) {",
        ("grail/zk/test_groth16.py::test_Z22_a_lying_count_of_ic",),
    ),
    Defence(
        "Z22",
        "sdk/native/src/zk/zkey.rs",
        "        if wires > MAX_WIRES || domain > 2 * MAX_CONSTRAINTS {",
        "        if false && (wires > MAX_WIRES || domain > 2 * MAX_CONSTRAINTS) {",
        ("grail/zk/test_zkey.py::test_Z22_zkeys_that_lie",),
    ),
    Defence(
        "Z22",
        "sdk/native/src/zk/ptau.rs",
        "        if contributions > listed.left() / CONTRIBUTION {",
        "        if false && contributions > listed.left() / CONTRIBUTION {",
        ("grail/zk/test_ptau.py::test_Z22_powers_of_tau_that_lie",),
    ),
    Defence(
        "Z23",
        "sdk/native/src/zk/verifier.rs",
        "    let draw = |_: &Statement| Fr::from(u128::rand(&mut OsRng));",
        "    let draw = |_: &Statement| Fr::from(u128::rand(&mut OsRng) >> 127 | 1);",
        ("grail/zk/test_groth16.py::test_Z23_a_pair_whose_faults_cancel",),
    ),
    Defence(
        "Z24",
        "sdk/native/src/zk/verifier.rs",
        "        let (used, prepared) = self.keys.get_mut(raw)?;",
        (
            "        let name = self.keys.keys().find(|kept| kept[..64] == raw[..64])?.clone();\n"
            "        let (used, prepared) = self.keys.get_mut(&name)?;"
        ),
        ("grail/zk/test_groth16.py::test_Z24_a_kept_key_answers_for_no_other",),
    ),
    Defence(
        "Z25",
        "sdk/native/src/zk/reader.rs",
        (
            "            .split_at_checked(count)\n"
            '            .ok_or_else(|| self.fault_of(Kind::Truncated, format!("{count} bytes expected")))?;'
        ),
        "            .split_at(count);",
        ("grail/zk/test_groth16.py::test_Z25_any_bytes_as_a_proof",),
        also=(
            Patch(
                "sdk/native/src/edge.rs",
                '        Err(_) => Err(PyValueError::new_err("internal fault of the native crate")),',
                "        Err(text) => std::panic::resume_unwind(text),",
            ),
        ),
    ),
    Defence(
        "Z26",
        "sdk/grail/charms/move_rules.py",
        "        if burned <= 0 or not burned == released == gained or extra:\n",
        "        if False:\n",
        ("grail/charms/test_move_rules.py::test_Z26_forged_proofs_cannot_mint",),
    ),
    Defence(
        "Z26",
        "sdk/grail/charms/vault_rules.py",
        "        if minted != gained:\n",
        "        if False:\n",
        ("grail/charms/test_vault_rules.py::test_Z26_forged_proofs_cannot_mint",),
    ),
)
