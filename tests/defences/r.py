"""Links and roster: each guard of rows R, how it goes off, and who must notice."""

from __future__ import annotations

from .defence import Defence, Patch

LINKS = "sdk/grail/links"
LINK = "grail/links/test_link.py"
BOARD = "grail/links/test_switchboard.py"


def _off(threat: str, file: str, old: str, new: str, *tests: str) -> Defence:
    return Defence(threat, f"{LINKS}/{file}.py", old, new, tests)


DEFENCES: tuple[Defence, ...] = (
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
        "        self._terms.admit(peer.key)\n        answer",
        "        answer",
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
        "        if age > LINK_SECONDS:\n",
        "        if False:\n",
        f"{LINK}::test_A11_R18_an_attestation_lapses",
    ),
)
