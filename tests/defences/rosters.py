"""A roster change: who may name the next one, who learns it how, what moves and what is served."""

from __future__ import annotations

from .defence import Defence

VIEWED = "grail_enclave/test_view_rule.py"
CHANGE = "grail_enclave/test_roster_change.py"
MEMBERSHIP = "enclave/grail_enclave/membership.py"
CHECKS = "enclave/grail_enclave/checks.py"
SOCIETY = "enclave/grail_enclave/society.py"
BUILDS = "grail_enclave/test_builds.py"
LINKED = "grail_enclave/test_society.py"
DECIDING = "sdk/grail/roster/deciding.py"
CERTIFICATES = "grail/operators/test_certificates.py"
VIEW = "grail/roster/test_view.py"
PULSE = "grail/roster/test_pulse.py"
DECIDED = "grail/roster/test_deciding.py"
CHURN = "grail/roster/test_succession.py::test_R15_four_may_come_and_four_may_go_in_a_step"
MOVES = "sdk/grail/charms/move_rules.py"
VAULT = "sdk/grail/charms/vault_rules.py"
SERVED = f"{CHANGE}::test_S31_a_deposit_to_the_old_address_is_served_to_the_new_vault"
MOVED = "grail/charms/test_move_rules.py::test_G8_a_move_changes_nothing"

DEFENCES: tuple[Defence, ...] = (
    Defence(
        "R3",
        MEMBERSHIP,
        "        if quorum < least or 3 * quorum <= 2 * size or size > MAX_OPERATORS:\n",
        "        if False:\n",
        (f"{CHANGE}::test_R3_S8_rosters_that_nobody_agrees_on",),
    ),
    Defence(
        "S8",
        MEMBERSHIP,
        "        self._check_internal_key(roster)\n        self._check_new(roster, deployed.record)\n",
        "        self._check_new(roster, deployed.record)\n",
        (f"{CHANGE}::test_R3_S8_rosters_that_nobody_agrees_on",),
    ),
    Defence(
        "R9",
        "sdk/grail/operators/certificates.py",
        "    if len(senders) < scope.quorum:\n",
        "    if False:\n",
        (f"{CHANGE}::test_R13_R9_only_a_quorum_that_agreed_makes_a_roster",),
    ),
    Defence(
        "R12",
        MEMBERSHIP,
        "        if depth < least:\n",
        "        if False:\n",
        (f"{CHANGE}::test_R12_a_spell_counts_k_deep",),
    ),
    Defence(
        "R12",
        MEMBERSHIP,
        "            if self._headers.height_of(step.block) is None:\n",
        "            if False:\n",
        (f"{CHANGE}::test_R12_a_reorganisation_takes_the_roster_back",),
    ),
    Defence(
        "R12",
        MEMBERSHIP,
        "        elif steps[-1].port not in [txin.outpoint for txin in tx.inputs]:\n",
        "        elif False:\n",
        (f"{CHANGE}::test_R12_several_epochs_are_caught_up_with",),
    ),
    Defence(
        "R12",
        "enclave/grail_enclave/intake.py",
        "        self._check_told(anchors)\n",
        "",
        (f"{VIEWED}::test_R12_nothing_is_signed_while_members_and_chain_name_two_rosters",),
    ),
    Defence(
        "R12",
        "enclave/grail_enclave/intake.py",
        "len(set(anchors.alive) & set(ruling.keys))",
        "len(set(anchors.alive))",
        (f"{VIEWED}::test_R8_R12_hearts_of_those_who_rule_no_more_do_not_count",),
    ),
    Defence(
        "R13",
        CHECKS,
        "        if following.roster != wanted:\n",
        "        if False:\n",
        (f"{CHANGE}::test_R13_R9_only_a_quorum_that_agreed_makes_a_roster",),
    ),
    Defence(
        "R13",
        "sdk/grail/operators/roster.py",
        "        digest = next_roster_digest(network, configuration, before, self.roster)\n"
        "        for key, signature in zip(self.roster.keys, self.signatures, strict=True):\n"
        "            schnorr.verify(key, digest, signature)\n",
        "",
        (f"{CHANGE}::test_R4_a_next_roster_has_every_members_word",),
    ),
    Defence(
        "R14",
        CHECKS,
        "            if exc.rule not in IN_TIME or not case.forced:\n",
        "            if True:\n",
        (
            f"{CHANGE}::test_R14_what_was_decided_before_the_change_is_signed_after_it",
            f"{CHANGE}::test_R14_a_split_vote_over_the_change_is_brought_to_an_end",
        ),
    ),
    Defence(
        "R14",
        "enclave/grail_enclave/enclave.py",
        "            if not asked.acceptor.began(asked.proposal, shown):\n",
        "            if True:\n",
        (f"{CHANGE}::test_R14_a_split_vote_over_the_change_is_brought_to_an_end",),
    ),
    Defence(
        "R14",
        VAULT,
        '            _counts(case, place.epoch, f"output {place.index}", grace=case.confirmed)\n',
        "",
        ("grail/charms/test_vault_rules.py::test_R14_old_addresses_have_their_time",),
    ),
    Defence(
        "S11",
        "enclave/grail_enclave/policy.py",
        "        if honest.work > headers.tip.work + lag * headers.block_work:\n",
        "        if False:\n",
        ("grail_enclave/test_chain.py::test_S11_enclave_that_lags_behind_the_voters",),
    ),
    Defence(
        "S11",
        "enclave/grail_enclave/intake.py",
        "        if known > anchors.tip.height + policy.network.staleness:\n",
        "        if False:\n",
        ("grail_enclave/test_chain.py::test_S11_enclave_that_was_shown_nothing_new",),
    ),
    Defence(
        "S16",
        "enclave/grail_enclave/quorums.py",
        "        elif spend.epoch < epoch:\n            _check_signed(checked, spend)\n",
        "",
        (f"{CHANGE}::test_S16_inputs_of_two_epochs_are_signed_by_their_own_quorums_in_turn",),
    ),
    Defence(
        "S31",
        VAULT,
        "                _counts(case, place.epoch, what, grace=True)\n",
        "                _counts(case, place.epoch, what, grace=False)\n",
        (SERVED,),
    ),
    Defence(
        "S31",
        "sdk/grail/draft/draft.py",
        "        for reign in self.context.record.reigns:\n"
        "            output = addresses.escrow(reign.roster, eid, row.n, row.user_key)\n",
        "        for reign in self.context.record.reigns[-1:]:\n"
        "            output = addresses.escrow(reign.roster, eid, row.n, row.user_key)\n",
        (SERVED,),
    ),
    Defence(
        "G8", MOVES, "    if before.holds.sats != after.holds.sats:\n", "    if False:\n", (MOVED,)
    ),
    Defence("G8", MOVES, "    if had != has:\n", "    if False:\n", (MOVED,)),
    Defence(
        "G8",
        MOVES,
        "    if not counts or after.epoch <= before.epoch:\n",
        "    if False:\n",
        (MOVED,),
    ),
    Defence(
        "G8",
        MOVES,
        "        if len(classes.inputs) != len(classes.outputs):\n"
        '            _unequal("guarded outputs", len(classes.outputs), len(classes.inputs))\n'
        "        for before, after in zip(classes.inputs, classes.outputs, strict=True):\n",
        "        for before, after in zip(classes.inputs, classes.outputs, strict=False):\n",
        (MOVED,),
    ),
    Defence(
        "A16",
        "sdk/grail/links/link.py",
        "        self._terms.policy().check(peer.attested.pcrs)\n",
        "",
        (f"{BUILDS}::test_A16_two_members_whose_image_is_dropped_are_out_in_time",),
    ),
    Defence(
        "A16",
        SOCIETY,
        "        terms = Terms(self._policy, self._admit, clock, attesting.reattest_seconds, self.dates.take)\n",
        "        terms = Terms(self._policy, self._admit, clock, date=self.dates.take)\n",
        (f"{BUILDS}::test_A16_a_document_is_good_for_one_interval",),
    ),
    Defence(
        "A16",
        SOCIETY,
        "        self._check_own(state.images)\n",
        "",
        (f"{BUILDS}::test_A16_no_enclave_signs_its_own_build_away",),
    ),
    Defence(
        "A16",
        SOCIETY,
        "        images = set(self._attesting.images if agreed is None else agreed.images)\n",
        "        images = set(self._attesting.images)\n",
        (f"{BUILDS}::test_A16_two_members_whose_image_is_dropped_are_out_in_time",),
    ),
    Defence(
        "R4",
        "sdk/grail/operators/certificates.py",
        "    if len(set(senders)) != len(senders):\n",
        "    if False:\n",
        (f"{CERTIFICATES}::test_R4_eleven_members_and_one_of_them_again_are_no_decision",),
    ),
    Defence(
        "R7",
        MEMBERSHIP,
        "            if key in former:\n",
        "            if False:\n",
        (f"{CHANGE}::test_R7_a_key_that_left_is_in_no_later_roster",),
    ),
    Defence(
        "R7",
        SOCIETY,
        "            if key in known or key in view.guilty:\n",
        "            if False:\n",
        (
            f"{BUILDS}::test_R7_a_key_that_left_gets_no_seat_again_and_its_operator_does_by_a_new_one",
        ),
    ),
    Defence(
        "R7",
        SOCIETY,
        "        if key in view.guilty or not (coming or key in self._expected):\n",
        "        if not (coming or key in self._expected):\n",
        (f"{BUILDS}::test_R7_an_expelled_key_is_not_let_in_by_any_operators_word",),
    ),
    Defence(
        "R9",
        DECIDING,
        "    return max((at for at, keys in wishers.items() if len(keys) >= quorum), default=None)\n",
        "    return max((at for at, keys in wishers.items() if len(keys) >= quorum - 1), default=None)\n",
        (f"{DECIDED}::test_R9_eleven_wishes_bind_nobody",),
    ),
    Defence(
        "R9",
        DECIDING,
        "    state = wanted if word is None else word.state\n",
        "    state = wanted\n",
        (f"{DECIDED}::test_whoever_gave_its_word_is_bound_and_the_others_follow",),
    ),
    Defence(
        "R9",
        DECIDING,
        "last[0] >= wished and last[0] > given",
        "last[0] > given",
        (f"{DECIDED}::test_no_word_for_a_round_that_was_left",),
    ),
    Defence(
        "R9",
        "sdk/grail/roster/view.py",
        "            self.agreeing[said.round, said.state] += by\n",
        "            self.agreeing[0, said.state] += by\n",
        (f"{VIEW}::test_R9_words_of_two_rounds_do_not_add_up_and_wishes_are_none",),
    ),
    Defence(
        "R10",
        "sdk/grail/roster/view.py",
        "        if word.round > known.round:\n",
        "        if False:\n",
        ("grail/roster/test_view.py::test_R10_rounds_that_no_quorum_opened_fill_no_view",),
    ),
    Defence(
        "R10",
        SOCIETY,
        "            if key not in peers and len(peers) >= MAX_MEMBERS:\n",
        "            if False:\n",
        (f"{LINKED}::test_R10_before_a_first_roster_links_are_as_many_as_one_may_have",),
    ),
    Defence(
        "R15",
        "sdk/grail/roster/succession.py",
        "        if policy.churn and len(changed) > policy.churn:\n",
        "        if False:\n",
        (CHURN,),
    ),
    Defence(
        "R15",
        SOCIETY,
        "        coming = self._behind(view.agreed) and key in self._rosters[-1].keys\n",
        "        coming = False\n",
        (f"{BUILDS}::test_R15_joins_and_leaves_without_end",),
    ),
    Defence(
        "R16",
        "sdk/grail/roster/pulse.py",
        "        return self.clock() - self._seated.get(key, self.clock()) if age is None else age\n",
        "        return 0.0 if age is None else age\n",
        (f"{PULSE}::test_R16_one_that_was_never_heard_of_is_silent_since_it_is_a_member",),
    ),
    Defence(
        "R17",
        "sdk/grail/operators/messages.py",
        '        return schnorr.tagged_hash(f"grail/{self.KIND}/1", self.head.network + covered)\n',
        '        return schnorr.tagged_hash("grail/message/1", self.head.network + covered)\n',
        ("grail/operators/test_messages.py::test_R17_each_kind_is_hashed_under_its_own_tag",),
    ),
)
