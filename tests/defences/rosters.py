"""A roster change: who may name the next one, who learns it how, what moves and what is served."""

from __future__ import annotations

from .defence import Defence

CHANGE = "grail_enclave/test_roster_change.py"
MEMBERSHIP = "enclave/grail_enclave/membership.py"
CHECKS = "enclave/grail_enclave/checks.py"
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
        "        self._check_internal_key(roster)\n        return deployed.nft\n",
        "        return deployed.nft\n",
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
)
