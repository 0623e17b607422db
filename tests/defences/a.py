"""Attestation: each guard of rows A, how it goes off, and who must notice."""

from __future__ import annotations

from .defence import Defence

ATTESTATION = "sdk/grail/attestation"
REFUSALS = "grail/attestation/test_refusals.py"
VERIFIER = "grail/attestation/test_verifier.py"
IMAGE = "grail_devnet/test_image.py"
SANDBOX = "grail_devnet/test_sandbox.py"
NSM = "grail_enclave/test_nsm.py"
CLOCK = "grail/attestation/test_clock.py"
DATES = "grail_enclave/test_dates.py"
LINK = "grail/links/test_link.py"
ENTROPY = "grail_enclave/test_entropy.py"
STOPPED = f"{ENTROPY}::test_A12_a_source_that_stopped_working_is_found"
DOORS = "grail_enclave/test_side_doors.py"


def _off(threat: str, file: str, old: str, new: str, *tests: str) -> Defence:
    return Defence(threat, f"{ATTESTATION}/{file}.py", old, new, tests)


def _never(threat: str, file: str, condition: str, *tests: str) -> Defence:
    """A condition, in a line of its own, that is never true any more."""
    indent = condition[: len(condition) - len(condition.lstrip())]
    return _off(threat, file, f"{condition}\n", f"{indent}if False:\n", *tests)


DEFENCES: tuple[Defence, ...] = (
    _never(
        "A1",
        "chain",
        "        if found != root.sha256:",
        f"{REFUSALS}::test_A1_a_look_alike_root",
        f"{REFUSALS}::test_A1_A17_a_devnets_root_where_aws_is_pinned",
        "grail/attestation/test_real_documents.py::test_A1_a_real_document_under_another_root",
    ),
    _off(
        "A1",
        "chain",
        (
            "            issuer.key.verify(\n"
            "                self.certificate.signature,\n"
            "                self.certificate.tbs_certificate_bytes,\n"
            "                ec.ECDSA(SHA384()),\n"
            "            )\n"
        ),
        "            pass\n",
        f"{REFUSALS}::test_A1_signed_by_another_key_of_the_same_name",
    ),
    _never(
        "A2",
        "verifier",
        "            if index not in self.pcrs:",
        f"{VERIFIER}::test_A2_a_policy_names_images_and_each_image_its_three_pcrs",
    ),
    _never(
        "A2",
        "verifier",
        "        if not self.measurements:",
        f"{VERIFIER}::test_A2_a_policy_names_images_and_each_image_its_three_pcrs",
    ),
    _off(
        "A2",
        "verifier",
        "    policy.check(found.pcrs)\n",
        "",
        f"{VERIFIER}::test_A2_an_image_that_is_not_accepted",
    ),
    _off(
        "A2",
        "document",
        "        if not isinstance(pcr, bytes) or len(pcr) != PCR_BYTES:\n",
        "        if not isinstance(pcr, bytes):\n",
        f"{REFUSALS}::test_A2_a_pcr_that_is_missing_short_or_long",
    ),
    _never(
        "A2",
        "attested",
        "    if missing:",
        f"{REFUSALS}::test_A2_a_pcr_that_is_missing_short_or_long",
    ),
    _never(
        "A3",
        "attested",
        "    if debug and not allow_debug:",
        f"{REFUSALS}::test_A3_a_zero_pcr_is_debug_mode",
        "grail/attestation/test_real_documents.py::test_A3_the_real_document_of_debug_mode_is_refused",
    ),
    _never(
        "A3",
        "verifier",
        "            if index in MEASURED and not any(pcr):",
        f"{VERIFIER}::test_A3_a_policy_of_zeros_cannot_be_made",
    ),
    _off(
        "A4",
        "verifier",
        "self._open.pop(nonce, None)",
        "self._open.get(nonce)",
        f"{VERIFIER}::test_A4_a_nonce_serves_once_here_and_nowhere_else",
    ),
    _never(
        "A4",
        "verifier",
        "        if age > NONCE_SECONDS:",
        f"{VERIFIER}::test_A4_A11_a_nonce_ages_by_the_verifiers_own_clock",
    ),
    _never(
        "A4",
        "verifier",
        "    if not secrets.compare_digest(found.nonce, nonce):",
        f"{VERIFIER}::test_A4_an_old_document_and_one_without_a_nonce",
    ),
    _never(
        "A5",
        "user_data",
        "        if not secrets.compare_digest(attested.user_data, expected):",
        f"{VERIFIER}::test_A5_A13_another_key_configuration_or_network",
        f"{VERIFIER}::test_A5_a_document_made_for_another_purpose",
    ),
    _off(
        "A5",
        "user_data",
        ' + cs(public_key or b"")\n',
        "\n",
        f"{VERIFIER}::test_A5_a_document_commits_to_key_settings_and_network",
    ),
    _off(
        "A6",
        "user_data",
        "        if attested.user_data is None:\n",
        "        if attested.user_data is None:\n            return\n        if False:\n",
        f"{VERIFIER}::test_A6_nothing_is_never_equal_to_nothing",
    ),
    _never(
        "A6",
        "document",
        "            if fields.get(name) is None:",
        f"{REFUSALS}::test_A6_a_field_that_must_be_there",
    ),
    _never(
        "A6",
        "document",
        "            if name not in (*NEEDED, *OPTIONAL):",
        f"{REFUSALS}::test_A6_fields_of_another_type_or_size[one that is not known]",
    ),
    _never(
        "A7",
        "chain",
        "        if not first <= time <= last:",
        f"{REFUSALS}::test_A7_A11_not_valid_at_the_documents_time",
    ),
    _never(
        "A7",
        "chain",
        "        if is_authority != signs or found is None:",
        f"{REFUSALS}::test_A7_authorities_and_leaves",
        f"{REFUSALS}::test_A7_a_leaf_that_signs_another",
    ),
    _never(
        "A7",
        "chain",
        "        if signs and found.path_length is not None and found.path_length < below:",
        f"{REFUSALS}::test_A7_path_length",
        f"{REFUSALS}::test_A7_an_authority_below_an_instance",
    ),
    _never("A7", "chain", "        if not good:", f"{REFUSALS}::test_A7_key_usage"),
    _never(
        "A7",
        "chain",
        "        if serial <= 0:  # RFC 5280, section 4.1.2.2; the library only warns",
        f"{REFUSALS}::test_A7_a_serial_number_that_is_not_positive",
    ),
    _never(
        "A7",
        "chain",
        "            if extension.critical and extension.oid not in _READ:",
        f"{REFUSALS}::test_A7_a_critical_extension_that_nobody_here_knows",
    ),
    _never(
        "A7",
        "chain",
        "        if self.issuer != issuer.subject:",
        f"{REFUSALS}::test_A7_broken_or_reordered",
    ),
    _never(
        "A7",
        "chain",
        "        if self.subject == self.issuer:",
        f"{REFUSALS}::test_A7_broken_or_reordered",
    ),
    _never(
        "A7",
        "chain",
        "        if algorithm != SignatureAlgorithmOID.ECDSA_WITH_SHA384:",
        f"{REFUSALS}::test_A7_signed_with_another_hash",
    ),
    _off(
        "A7",
        "chain",
        (
            "    if not isinstance(key, ec.EllipticCurvePublicKey)"
            " or not isinstance(key.curve, ec.SECP384R1):\n"
        ),
        "    if not isinstance(key, ec.EllipticCurvePublicKey):\n",
        f"{REFUSALS}::test_A7_keys_of_another_kind",
    ),
    _never(
        "A8",
        "cose",
        "        if protected != PROTECTED:",
        f"{REFUSALS}::test_A8_header_games",
    ),
    _never(
        "A8",
        "cose",
        "        if unprotected:",
        f"{REFUSALS}::test_A8_header_games",
    ),
    _never(
        "A9",
        "cose",
        "        if not 0 < value < ORDER:",
        f"{REFUSALS}::test_A9_signatures_of_another_form",
    ),
    _never(
        "A9",
        "cose",
        "    if len(signature) != 2 * SCALAR:",
        f"{REFUSALS}::test_A9_signatures_of_another_form",
    ),
    _off(
        "A9",
        "cose",
        "            key.verify(asn1(self.signature), signed, ec.ECDSA(SHA384()))\n",
        "            asn1(self.signature)\n",
        f"{REFUSALS}::test_A9_a_signature_of_another_key_or_other_bytes",
    ),
    _off(
        "A10",
        "form",
        "max_bytes=MAX_DOCUMENT, ",
        "",
        f"{REFUSALS}::test_A10_hostile_cbor[too long]",
    ),
    _off(
        "A10",
        "form",
        "max_depth=MAX_DEPTH, ",
        "",
        f"{REFUSALS}::test_A10_hostile_cbor[deeper than a document is]",
    ),
    _off(
        "A11",
        "attested",
        "    names = chain.check(document.time)\n",
        "    names = chain.check(chain.leaf.certificate.not_valid_before_utc)\n",
        f"{REFUSALS}::test_A7_A11_not_valid_at_the_documents_time",
    ),
    _never(
        "A11",
        "clock",
        "        if found.high < known.low:",
        f"{CLOCK}::test_A11_a_host_shifts_the_clock_back_to_the_bound_and_no_second_more",
        f"{DATES}::test_A11_a_module_is_off_to_the_bound_and_one_second_past_it",
        f"{DATES}::test_A11_an_old_key_that_forges_an_expired_certificates_time",
    ),
    _never(
        "A11",
        "clock",
        "        if found.low > known.high:",
        f"{CLOCK}::test_A11_a_host_shifts_the_clock_on_to_the_bound_and_no_second_more",
        f"{DATES}::test_A11_a_module_is_off_to_the_bound_and_one_second_past_it",
    ),
    _off(
        "A11",
        "clock",
        "        if len(counted) > 2 * self._liars:\n",
        "        if counted:\n",
        f"{CLOCK}::test_A11_without_a_quorum_the_own_module_is_believed_and_without_it_nobody",
    ),
    _off(
        "A11",
        "clock",
        "sorted((each.low for each in counted), reverse=True)[self._liars]",
        "max(each.low for each in counted)",
        f"{CLOCK}::test_A11_the_present_is_in_the_span_and_no_honest_document_is_refused",
    ),
    _off(
        "A11",
        "clock",
        "sorted(each.high for each in counted)[self._liars]",
        "min(each.high for each in counted)",
        f"{CLOCK}::test_A11_the_present_is_in_the_span_and_no_honest_document_is_refused",
    ),
    _off(
        "A11",
        "clock",
        " for key, each in self._readings.items() if key in self._members]",
        " for each in self._readings.values()]",
        f"{CLOCK}::test_A11_strangers_readings_never_count_and_take_no_room",
    ),
    _off(
        "A11",
        "clock",
        "        if full and key != self._own:\n",
        "        if False:\n",
        f"{CLOCK}::test_A11_strangers_readings_never_count_and_take_no_room",
    ),
    _off(
        "A11",
        "clock",
        "(now - self.answered) * (1 - DRIFT),",
        "(now - self.answered),",
        f"{CLOCK}::test_A11_a_host_shifts_the_clock_back_to_the_bound_and_no_second_more",
        f"{CLOCK}::test_A11_the_present_is_in_the_span_and_no_honest_document_is_refused",
    ),
    _off(
        "A11",
        "clock",
        "(now - self.asked) * (1 + DRIFT),",
        "(now - self.answered) * (1 + DRIFT),",
        f"{CLOCK}::test_A11_the_present_is_in_the_span_and_no_honest_document_is_refused",
        f"{DATES}::test_A11_what_a_host_delays_makes_no_honest_document_false",
    ),
    _off(
        "A11",
        "clock",
        "Span(max(told.low, below), told.high) if below <= told.high else told",
        "told",
        f"{CLOCK}::test_A11_the_chain_says_how_late_it_is_at_least",
        f"{DATES}::test_A11_the_chains_median_raises_the_clock",
    ),
    _off(
        "A11",
        "clock",
        " if below <= told.high else told\n",
        "\n",
        f"{CLOCK}::test_A11_a_chain_from_the_future_moves_nothing",
    ),
    Defence(
        "A11",
        "enclave/grail_enclave/dates.py",
        "        try:\n            self._clock.check(reading)\n",
        "        try:\n            pass\n",
        (
            f"{DATES}::test_A11_an_old_key_that_forges_an_expired_certificates_time",
            f"{DATES}::test_A11_before_a_roster_the_own_module_is_asked",
        ),
    ),
    Defence(
        "A11",
        "enclave/grail_enclave/dates.py",
        "Reading(found.timestamp / 1_000, asked, answer)",
        'Reading(__import__("time").time(), asked, answer)',
        (f"{DATES}::test_A11_R16_a_host_clock_off_by_thirty_days_changes_no_verdict",),
    ),
    Defence(
        "A11",
        "sdk/grail/links/link.py",
        "        if now - self._begun > NONCE_SECONDS:\n",
        "        if False:\n",
        (
            f"{LINK}::test_A4_A11_an_identity_that_its_host_kept_too_long",
            f"{DATES}::test_A11_what_a_host_delays_makes_no_honest_document_false",
        ),
    ),
    Defence(
        "A11",
        "sdk/grail/links/link.py",
        "        self._terms.date(peer.key, Reading(peer.attested.timestamp / 1_000, "
        "self._begun, now))\n",
        "",
        (
            f"{LINK}::test_A11_a_documents_time_is_looked_at_with_when_it_was_asked_for",
            f"{LINK}::test_A11_R18_a_document_of_another_time_gets_no_link_and_a_stranger_tells_none",
        ),
    ),
    Defence(
        "A11",
        "enclave/grail_enclave/enclave.py",
        "            self._society.dates.follow_chain(self._headers)\n",
        "            pass\n",
        (f"{DATES}::test_A11_the_chains_median_raises_the_clock",),
    ),
    Defence(
        "A11",
        "sdk/grail/bitcoin/spv.py",
        "            if header.time > latest:\n",
        "            if False:\n",
        (f"{DATES}::test_S10_A11_headers_from_more_than_two_hours_ahead",),
    ),
    Defence(
        "A18",
        "enclave/grail_enclave/dates.py",
        "            if self._monotonic() - self._asked < NONCE_SECONDS:\n",
        "            if False:\n",
        (f"{DATES}::test_A18_peers_that_are_refused_make_the_own_module_no_work",),
    ),
    Defence(
        "A12",
        "enclave/grail_enclave/entropy.py",
        '    check("the security module\'s random source", blocks)\n',
        "",
        (f"{ENTROPY}::test_A12_no_key_from_a_stuck_source",),
    ),
    Defence(
        "A12",
        "enclave/grail_enclave/entropy.py",
        '    check("the kernel\'s random source", ',
        '    ("the kernel\'s random source", ',
        (f"{ENTROPY}::test_A12_no_key_from_a_stuck_source",),
    ),
    *(
        Defence(
            "A12",
            "enclave/grail_enclave/entropy.py",
            f"    if {condition}:\n",
            "    if False:\n",
            (f"{STOPPED}[{case}]",),
        )
        for condition, case in (
            ("len(samples) < SAMPLES", "too little"),
            ("len(set(blocks)) != len(blocks)", "one answer again and again"),
            ("longest >= REPEATS", "a byte five times in a row"),
        )
    ),
    Defence(
        "A12",
        "enclave/grail_enclave/entropy.py",
        "        if found >= PROPORTION:\n",
        "        if False:\n",
        (f"{STOPPED}[a byte in every thirty-second place]",),
    ),
    *(
        Defence(
            "A12",
            "enclave/grail_enclave/entropy.py",
            "    mixed = cs(told) + cs(pool) + cs(jitter())\n",
            f"    mixed = {left}\n",
            (f"{ENTROPY}::test_A12_one_source_that_nobody_knows_is_enough[{sound}]",),
        )
        for sound, left in (
            ("module", "cs(pool) + cs(jitter())"),
            ("kernel", "cs(told) + cs(jitter())"),
            ("processor", "cs(told) + cs(pool)"),
        )
    ),
    Defence(
        "A12",
        "enclave/grail_enclave/keys.py",
        "entropy.seed(module)",
        "entropy.seed(None)",
        (f"{ENTROPY}::test_A12_no_key_from_a_stuck_source",),
    ),
    Defence(
        "A12",
        "sdk/grail/crypto/schnorr.py",
        "sign_schnorr(digest, secrets.token_bytes(32))",
        "sign_schnorr(digest, bytes(32))",
        (
            f"{ENTROPY}::test_A12_a_signature_has_its_own_randomness",
            f"{ENTROPY}::test_A12_two_starts_from_one_snapshot_draw_two_keys_and_two_nonces",
        ),
    ),
    Defence(
        "A15",
        "enclave/grail_enclave/enclave.py",
        'Refused("InternalError", type(exc).__name__)',
        'Refused("InternalError", str(exc))',
        (f"{DOORS}::test_A15_faults_are_told_by_their_type_alone",),
    ),
    Defence(
        "A15",
        "sdk/grail/crypto/schnorr.py",
        'secret=<secret>)"',
        'secret={self._secret.secret.hex()})"',
        (f"{DOORS}::test_A15_things_with_a_secret_show_none",),
    ),
    _off(
        "A13",
        "user_data",
        "self.network + self.configuration + bytes(self.key)",
        "self.network + bytes(self.key)",
        f"{VERIFIER}::test_A5_A13_another_key_configuration_or_network",
    ),
    Defence(
        "A14",
        "enclave/grail_enclave/nsm.py",
        "        if size > nsm.MAX_ANSWER:\n",
        "        if False:\n",
        ("grail_enclave/test_nsm.py::test_A14_a_device_that_claims_more_than_it_has_room_for",),
    ),
    Defence(
        "A17",
        "devnet/grail_devnet/nsm/authority.py",
        "    key, name = draw_key(), subject(",
        "    key, name = ec.derive_private_key(7, ec.SECP384R1()), subject(",
        ("grail_enclave/test_nsm.py::test_A17_another_devnets_root_has_another_key",),
    ),
    _off(
        "A18",
        "attested",
        "    signed.check(chain.leaf.key)\n    names = chain.check(document.time)\n",
        "    names = chain.check(document.time)\n    signed.check(chain.leaf.key)\n",
        f"{VERIFIER}::test_A18_one_signature_before_the_chains",
    ),
    _off(
        "A19",
        "verifier",
        "sorted(self.pcrs.items()) if",
        "sorted(self.pcrs.items())[:3] if",
        f"{VERIFIER}::test_A19_a_policy_may_name_more_pcrs_and_each_must_match",
    ),
    _off(
        "A20",
        "verifier",
        "        self._spend(nonce)\n        return answered(raw, nonce, self._policy)\n",
        "        found = answered(raw, nonce, self._policy)\n"
        "        self._spend(nonce)\n        return found\n",
        f"{VERIFIER}::test_A20_a_failed_check_leaves_no_mark",
    ),
    Defence(
        "A2",
        "devnet/grail_devnet/image/measure.py",
        "        parts = (self.entries, platform, application)\n",
        "        parts = (application, platform, application)\n",
        (
            f"{IMAGE}::test_A2_one_changed_byte_of_the_interpreter",
            f"{IMAGE}::test_A2_one_changed_byte_of_a_shared_library",
        ),
    ),
    Defence(
        "A2",
        "devnet/grail_devnet/image/measure.py",
        "    return encode([[each.path, each.mode, each.sha384] for each in ordered])\n",
        "    return encode([[each.path, each.mode] for each in ordered])\n",
        (
            f"{IMAGE}::test_A2_one_changed_byte_of_the_enclaves_code",
            f"{IMAGE}::test_A2_one_changed_byte_of_a_dependency",
            f"{IMAGE}::test_A2_one_changed_byte_of_an_extension_module",
        ),
    ),
    Defence(
        "A2",
        "devnet/grail_devnet/image/measure.py",
        "            elif not stat.S_ISDIR(info.st_mode):\n",
        "            elif False:\n",
        (f"{IMAGE}::test_A2_links_and_devices_are_not_measured",),
    ),
    Defence(
        "A2",
        "devnet/grail_devnet/image/measure.py",
        "        if now != self.seen:\n",
        "        if False:\n",
        (f"{IMAGE}::test_A2_files_that_change_after_they_were_measured",),
    ),
    Defence(
        "A2",
        "devnet/grail_devnet/image/measure.py",
        "                        info.st_ctime_ns,\n",
        "                        0,\n",
        (f"{IMAGE}::test_A2_files_that_change_after_they_were_measured",),
    ),
    Defence(
        "A2",
        "devnet/grail_devnet/image/launch.py",
        '    libraries = ["--inhibit-cache", "--library-path", str(root / "lib")]\n',
        "    libraries: list[str] = []\n",
        (f"{IMAGE}::test_A2_nothing_is_loaded_but_the_image",),
    ),
    Defence(
        "A13",
        "enclave/grail_enclave/measured.py",
        "    if not hmac.compare_digest(found, expected):\n",
        "    if False:\n",
        (
            f"{NSM}::test_A13_a_measured_configuration_is_compared",
            f"{NSM}::test_A13_a_register_that_was_extended_before",
        ),
    ),
    Defence(
        "A13",
        "enclave/grail_enclave/measured.py",
        "    if not locked:\n        module.lock(",
        "    if False:\n        module.lock(",
        (f"{NSM}::test_A13_a_configuration_that_nobody_measured_is_measured_and_locked",),
    ),
    Defence(
        "A13",
        "devnet/grail_devnet/syscalls.py",
        "        made.add_rule(refused, name, seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))\n",
        "        continue\n",
        (f"{SANDBOX}::test_A13_no_socket_but_of_the_machine_itself",),
    ),
    Defence(
        "A13",
        "enclave/grail_enclave/execution.py",
        "        (_EQUAL, 2, 0, execve),\n",
        "        (_EQUAL, 0, 0, execve),\n",
        ("grail_enclave/test_execution.py::test_A13_no_program_runs_in_its_place",),
    ),
    Defence(
        "A17",
        "devnet/grail_devnet/nsm/module.py",
        "        if not set(range(FIXED)) <= locked <= set(range(PCRS)):\n",
        "        if False:\n",
        (f"{NSM}::test_A17_a_modules_file_that_unlocks_the_platforms_registers",),
    ),
)
