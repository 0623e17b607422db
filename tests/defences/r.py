"""Links and roster: each guard of rows R, how it goes off, and who must notice."""

from __future__ import annotations

from .defence import Defence, Patch

LINKS = "sdk/grail/links"
LINK = "grail/links/test_link.py"
BOARD = "grail/links/test_switchboard.py"
ROSTER = "sdk/grail/roster"
VIEW = "grail/roster/test_view.py"
GOSSIP = "grail/roster/test_gossip.py"
PULSE = "grail/roster/test_pulse.py"
CLOCK = "grail/attestation/test_clock.py"
SOCIETY = "grail_enclave/test_society.py"
CAPPED = (
    "grail/roster/test_succession.py"
    "::test_R2_no_state_follows_in_which_somebody_has_more_seats_than_his_cap"
)
SCHEDULES = "grail/operators/test_elders.py"


def _off(threat: str, file: str, old: str, new: str, *tests: str) -> Defence:
    return Defence(threat, f"{LINKS}/{file}.py", old, new, tests)


def _roster(threat: str, file: str, old: str, new: str, *tests: str) -> Defence:
    return Defence(threat, f"{ROSTER}/{file}.py", old, new, tests)


DEFENCES: tuple[Defence, ...] = (
    Defence(
        "R1",
        "enclave/grail_enclave/enclave.py",
        "            self._society.require(roster.keys)\n",
        "            pass\n",
        (f"{SOCIETY}::test_A1_R1_no_first_roster_without_an_attested_link_to_each_member",),
    ),
    _roster(
        "R1",
        "view",
        "        if word.key not in known.members:\n",
        "        if False:\n",
        f"{VIEW}::test_R1_strangers_have_no_word",
    ),
    Defence(
        "R2",
        "enclave/grail_enclave/society.py",
        "        self._seats.check_shares(state)\n",
        "",
        (f"{SOCIETY}::test_R2_seats_of_one_owner_account_or_zone_are_capped",),
    ),
    Defence(
        "R2",
        "enclave/grail_enclave/society.py",
        "            attesting.churn, attesting.per_owner, attesting.per_account, attesting.per_zone\n",
        "            attesting.churn, attesting.per_owner, attesting.per_account\n",
        (f"{SOCIETY}::test_R2_seats_of_one_owner_account_or_zone_are_capped[zone]",),
    ),
    _roster("R2", "succession", '{"owner": self.per_owner, ', "{", f"{CAPPED}[owner]"),
    _roster("R2", "succession", '"account": self.per_account, ', "", f"{CAPPED}[account]"),
    _roster("R2", "succession", ', "zone": self.per_zone}', "}", f"{CAPPED}[zone]"),
    _roster("R2", "succession", "    policy.check_shares(after)\n", "", CAPPED),
    _roster(
        "R5",
        "view",
        "        self._condemn(word.number, word.ballot)\n        self._forget_idle(word.number)\n",
        "        self._forget_idle(word.number)\n",
        f"{VIEW}::test_R5_two_words_for_one_number_expel_whoever_signed_them",
        f"{VIEW}::test_R5_an_old_word_expels_too",
        f"{GOSSIP}::test_R5_a_liar_in_a_partition_is_expelled_everywhere_after_it",
    ),
    _roster(
        "R5",
        "view",
        "        if key in self._guilty:\n",
        "        if False:\n",
        f"{VIEW}::test_R5_two_words_for_one_number_expel_whoever_signed_them",
    ),
    Defence(
        "R5",
        "sdk/grail/connection/roster_view.py",
        "            if sight.linked and sight.key not in (key, *each.guilty)\n",
        "            if sight.linked and sight.key != key\n",
        ("grail/connection/test_roster_view.py::test_R5_whoever_is_expelled_has_no_line",),
    ),
    _roster(
        "R6",
        "view",
        "        word.verify(self.ground)\n",
        "",
        f"{VIEW}::test_R6_nobody_can_be_framed",
        f"{GOSSIP}::test_R6_forged_words_stop_the_exchange_and_change_nothing",
    ),
    _roster(
        "R6",
        "statement",
        "        if one.state == two.state:\n",
        "        if False:\n",
        f"{VIEW}::test_R6_nobody_can_be_framed",
    ),
    _roster(
        "R6",
        "statement",
        "        if (one.ballot, one.number) != (two.ballot, two.number):\n",
        "        if False:\n",
        f"{VIEW}::test_R6_nobody_can_be_framed",
    ),
    _roster(
        "R7",
        "view",
        "        if digest in known.bodies or state.number < self.open or not known.by_state[digest]:\n",
        "        if digest in known.bodies or not known.by_state[digest]:\n",
        f"{VIEW}::test_R7_an_old_roster_does_not_come_back",
    ),
    _roster(
        "R8",
        "pulse",
        "if age is not None and age <= seconds)",
        "if age is not None)",
        f"{PULSE}::test_R8_an_eclipsed_enclave_stops_and_comes_back",
        f"{PULSE}::test_R8_peers_chosen_by_the_host_are_not_a_quorum",
    ),
    _roster(
        "R8",
        "pulse",
        "            made = self._sent.get(heartbeat.echo(self._rank))\n",
        "            made = self.clock()\n",
        f"{PULSE}::test_R8_R16_held_back_heartbeats_are_as_old_as_what_they_echo",
        f"{SCHEDULES}::test_R8_R16_a_schedule_shows_members_that_look_too_young",
    ),
    _roster(
        "R8",
        "pulse",
        "        return heartbeat.signature[:ECHO]\n",
        "        return __import__('hashlib').sha256(repr(heartbeat).encode()).digest()[:ECHO]\n",
        f"{PULSE}::test_R8_an_echo_of_a_twin_is_no_sign_of_life",
        f"{SCHEDULES}::test_R5_a_schedule_shows_a_liar_that_gets_away",
    ),
    _roster(
        "R8",
        "pulse",
        "        heartbeat.verify(self.ground)\n",
        "",
        f"{PULSE}::test_R8_replayed_and_forged_heartbeats_count_for_nothing",
    ),
    Defence(
        "R8",
        "enclave/grail_enclave/intake.py",
        "        if alive < ruling.quorum:\n",
        "        if False:\n",
        (
            "grail_enclave/test_society.py::test_R8_an_enclave_that_is_cut_off_signs_nothing",
            f"{SCHEDULES}::test_R8_a_schedule_shows_votes_without_a_fresh_view",
        ),
    ),
    _roster(
        "R9",
        "view",
        "        return [s for (_, s), count in counts if count >= self.quorum and s in self.bodies]\n",
        "        return [s for (_, s), count in counts if count >= self.quorum - 4 and s in self.bodies]\n",
        f"{VIEW}::test_R9_a_minority_makes_no_state",
        f"{GOSSIP}::test_R9_eight_against_eight_make_nothing",
    ),
    _roster(
        "R10",
        "view",
        "                if state not in useful:\n",
        "                if False:\n",
        f"{VIEW}::test_R10_a_liar_that_signs_on_and_on_fills_no_view",
    ),
    _roster(
        "R10",
        "gossip",
        "        if most < _size(thing):\n",
        "        if False:\n",
        f"{GOSSIP}::test_R10_messages_are_bounded_and_answers_by_their_questions",
    ),
    _roster(
        "R16",
        "pulse",
        "        return None if alive is None else self.clock() - alive\n",
        '        return None if alive is None else __import__("time").time() - alive\n',
        f"{PULSE}::test_R16_a_clock_that_is_off_by_days_expels_nobody",
    ),
    Defence(
        "R16",
        "enclave/grail_enclave/dates.py",
        "        self._clock.note(key, reading)\n        try:\n",
        "        try:\n",
        ("grail_enclave/test_dates.py::test_R16_a_quorum_corrects_an_own_clock_that_is_off",),
    ),
    Defence(
        "R16",
        "sdk/grail/attestation/clock.py",
        "            self._readings.clear()\n",
        "            pass\n",
        (
            "grail_enclave/test_dates.py::test_R16_a_machine_that_slept_is_right_again_at_once",
            f"{CLOCK}::test_A11_what_the_own_module_contradicts_is_forgotten",
        ),
    ),
    _off(
        "R10",
        "switchboard",
        "        for number in half[: max(0, len(half) - MAX_HALF_OPEN + 1)]:\n",
        "        for number in half[:0]:\n",
        f"{BOARD}::test_A14_R10_half_open_links_are_few_and_do_not_wait_for_ever",
    ),
    _off(
        "R10",
        "switchboard",
        "                if now - line.begun > HANDSHAKE_SECONDS:\n",
        "                if False:\n",
        f"{BOARD}::test_A14_R10_half_open_links_are_few_and_do_not_wait_for_ever",
    ),
    _off(
        "R10",
        "switchboard",
        "        if line.waiting + len(message) > MAX_OUTBOX:\n",
        "        if False:\n",
        f"{BOARD}::test_R10_a_reader_that_takes_nothing_loses_its_link",
    ),
    _off(
        "R10",
        "switchboard",
        "        if older is not None:\n",
        "        if False:\n",
        f"{BOARD}::test_R10_a_peer_that_dials_again_and_again_has_one_link",
    ),
    _off(
        "R11",
        "link",
        'prologue = tagged_hash("grail/link/1", own.network + own.configuration)',
        'prologue = b""',
        f"{LINK}::test_R11_P15_ends_of_another_network_or_configuration_never_meet",
        f"{LINK}::test_R11_P15_another_version_never_meets",
    ),
    _off(
        "R11",
        "link",
        "        if self._opened(message):\n",
        "        if self._opened(message) is None:\n",
        f"{LINK}::test_R11_handshakes_carry_nothing_and_go_one_way",
    ),
    _off(
        "R11",
        "identity",
        "        schnorr.verify(key, _digest(ends, initiator, key), signature)\n",
        "        pass\n",
        f"{LINK}::test_R11_a_host_in_the_middle_has_no_name_to_show",
        f"{LINK}::test_R11_no_reflection_and_no_swapped_roles",
    ),
    _off(
        "R11",
        "identity",
        "    if key == own.keys.public:\n",
        "    if False:\n",
        f"{LINK}::test_R11_no_reflection_and_no_swapped_roles",
    ),
    _off(
        "R11",
        "identity",
        "    if found.public_key != ends.remote:\n",
        "    if False:\n",
        f"{LINK}::test_A5_R11_another_enclaves_document_is_not_relayed",
    ),
    _off(
        "R11",
        "identity",
        "    Claim(own.network, own.configuration, key).check(found)\n",
        "",
        f"{LINK}::test_A5_R11_another_enclaves_document_is_not_relayed",
    ),
    Defence(
        "R11",
        f"{LINKS}/identity.py",
        '    return tagged_hash("grail/link/nonce/1", bytes([initiator]) + ends.transcript)\n',
        '    return tagged_hash("grail/link/nonce/1", b"")\n',
        (f"{LINK}::test_A5_R11_another_enclaves_document_is_not_relayed",),
    ),
    Defence(
        "R11",
        f"{LINKS}/identity.py",
        "bytes([initiator]) + ends.transcript + bytes(key))\n",
        "ends.transcript + bytes(key))\n",
        (f"{LINK}::test_R11_no_reflection_and_no_swapped_roles",),
        (
            Patch(
                f"{LINKS}/identity.py",
                '"grail/link/nonce/1", bytes([initiator]) + ends.transcript)\n',
                '"grail/link/nonce/1", ends.transcript)\n',
            ),
        ),
    ),
    _off(
        "R18",
        "link",
        "        self._terms.admit(peer.key)\n\n",
        "\n",
        f"{LINK}::test_R18_an_expelled_member_is_neither_heard_nor_told",
        f"{BOARD}::test_R18_expelled_members_lose_their_links",
    ),
    _off(
        "R18",
        "link",
        "        self._terms.admit(peer.key)\n        self._terms.date",
        "        self._terms.date",
        f"{LINK}::test_R18_a_stranger_gets_no_link",
    ),
    _off(
        "R18",
        "link",
        "        self._terms.policy().check(peer.attested.pcrs)\n",
        "",
        f"{LINK}::test_A16_R18_an_image_that_is_accepted_no_longer_is_cut_off",
    ),
    _off(
        "R18",
        "link",
        "        if age > self._terms.seconds:\n",
        "        if False:\n",
        f"{LINK}::test_A11_R18_an_attestation_lapses",
    ),
)
