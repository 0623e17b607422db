"""Links: both ends are shown who the other is, and nothing that their hosts do gets through."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from forged_documents import MEASUREMENT, PCRS
from link_world import AUTHORITY, NETWORK, POLICY, World, liar, linked, module, own, pair, shake

from grail.attestation.verifier import NONCE_SECONDS, Measurement, Policy
from grail.codec import decode, encode
from grail.crypto.schnorr import KeyPair
from grail.errors import AttestationInvalid, Incorrect, InvalidInput, LinkInvalid, TooLarge
from grail.links.link import LINK_SECONDS, MAX_MESSAGE, Link, Stage
from grail.native import Ends
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import now


def refused(rule: str, call, *args) -> Incorrect:
    with pytest.raises((LinkInvalid, AttestationInvalid)) as caught:
        call(*args)
    assert caught.value.rule == rule, str(caught.value)
    return caught.value


def parts(identity: bytes) -> list[bytes]:
    """Key, signature, document."""
    return decode(identity, max_depth=2)


def until_identity(world: World, one, two) -> tuple[Link, Link, bytes]:
    """Both ends before their names, and the initiator's sealed one."""
    first, second = pair(world, one, two)
    third = first.shake(*second.shake(first.start()))
    second.shake(third[0])
    return first, second, third[1]


def test_both_ends_know_each_other_and_talk() -> None:
    world, one, two = World(), own(), own()
    first, second = linked(world, one, two)
    assert (first.peer.key, second.peer.key) == (two.keys.public, one.keys.public)
    assert first.peer.attested.pcrs == second.peer.attested.pcrs
    for message in (b"", b"to", bytes(MAX_MESSAGE)):
        assert second.receive(first.send(message)) == message
        assert first.receive(second.send(message)) == message
    assert second.receive(first.end()) is None
    assert (first.stage, second.stage) == (Stage.ENDED, Stage.ENDED)


def test_what_hosts_see_says_nothing() -> None:
    """No key, no document and no message stands in the bytes; two links have none in common."""
    one, two = own(), own()
    said = []
    for _ in range(2):
        first, second = pair(World(), one, two)
        said.append([*shake(first, second), first.send(b"a message to hide")])
    for message in said[0] + said[1]:
        for secret in (bytes(one.keys.public), bytes(two.keys.public), b"a message", b"COSE"):
            assert secret not in message
        assert not any(pcr in message for pcr in PCRS.values() if any(pcr))
    assert not set(said[0]) & set(said[1])


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("at", [0, 40, -1])
def test_A14_R11_one_bit_in_the_handshake_ends_it(place: int, at: int) -> None:
    """Every message of it, changed by the host at its ends and in the middle."""
    first, second = pair(World(), own(), own())
    count = 0

    def carried(message: bytes) -> bytes:
        nonlocal count
        count += 1
        if count != place + 1:
            return message
        here = at % len(message)
        return message[:here] + bytes([message[here] ^ 4]) + message[here + 1 :]

    refused("MessageForged", shake, first, second, carried)
    assert Stage.ENDED in {first.stage, second.stage}
    # the last message tells the initiator who answered: only the other end is through by then
    assert not first.is_open
    assert second.is_open == (place == 4)


def test_R11_a_host_in_the_middle_has_no_name_to_show() -> None:
    """It shakes hands with both ends, and hands the one's name on: made for another link."""
    world, one, two, middle = World(), own(), own(), own()
    victim, toward_one, sealed = until_identity(world, one, middle)
    stolen = toward_one._opened(sealed)
    assert victim.stage is Stage.IDENTITY
    refused("IdentityUnproven", shake, *pair(world, liar(middle, lambda _: stolen), two))
    # its own name it may show: that is the key which the roster does not have
    world.strangers.add(middle.keys.public)
    refused("NotMember", shake, *pair(world, middle, two))


def test_A5_R11_another_enclaves_document_is_not_relayed() -> None:
    """The key signs for this link, and the document is a right one, of another link or enclave."""
    world, one, two = World(), own(), own()
    _, elsewhere, sealed = until_identity(world, one, own())
    kept = parts(elsewhere._opened(sealed))[2]

    def told(says) -> tuple[Link, Link]:
        return pair(world, liar(one, says), two)

    def with_document(ends: Ends, document: bytes) -> bytes:
        return encode([*parts(one.identity(ends, initiator=True))[:2], document])

    refused("NonceWrong", shake, *told(lambda ends: with_document(ends, kept)))
    # one that answers this link's nonce, and names the key of another handshake
    other = {"own": bytes(32)}
    refused(
        "KeyUnattested",
        shake,
        *told(lambda ends: one.identity(replace(ends, **other), initiator=True)),
    )
    # one whose enclave has another Schnorr key
    helper = own(module=one.module)
    refused(
        "CommitmentWrong",
        shake,
        *told(lambda ends: with_document(ends, parts(helper.identity(ends, initiator=True))[2])),
    )


def test_R11_no_reflection_and_no_swapped_roles() -> None:
    world, one = World(), own()
    refused("SelfLink", shake, *pair(world, one, one))
    # the name of the other role, for the very same link
    other_role = liar(one, lambda ends: one.identity(ends, initiator=False))
    refused("IdentityUnproven", shake, *pair(world, other_role, own()))
    # a mirror sends the initiator's own messages back
    mirrored = Link(one, world.terms, initiator=True)
    refused("MessageForged", mirrored.shake, mirrored.start())


@pytest.mark.parametrize("setting", ["network", "configuration"])
def test_R11_P15_ends_of_another_network_or_configuration_never_meet(setting: str) -> None:
    with pytest.raises(LinkInvalid, match="MessageForged"):
        shake(*pair(World(), own(), own(**{setting: bytes([9]) * 32})))


def test_R11_P15_another_version_never_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    import grail.links.link as module_of_links

    first = Link(own(), World().terms, initiator=True)
    right = module_of_links.tagged_hash
    monkeypatch.setattr(
        module_of_links, "tagged_hash", lambda tag, body: right(tag.replace("1", "0"), body)
    )
    second = Link(own(), World().terms, initiator=False)
    with pytest.raises(LinkInvalid, match="MessageForged"):
        shake(first, second)


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda sealed: sealed[1],
        lambda sealed: sealed[0][:-1],
        lambda sealed: sealed[0] + b"\x00",
        lambda _: b"",
        lambda _: bytes(65_536),
    ],
    ids=["reordered", "cut", "longer", "empty", "oversized"],
)
def test_P13_P14_reordered_or_cut_messages_end_the_link(spoiled) -> None:
    one, two = linked(World())
    sealed = [one.send(b"first"), one.send(b"second")]
    refused("MessageForged", two.receive, spoiled(sealed))
    refused("NotOpen", two.receive, sealed[0])
    refused("NotOpen", two.send, b"x")


def test_P13_repeated_or_reflected_messages_end_the_link() -> None:
    one, two = linked(World())
    sealed = one.send(b"once")
    assert two.receive(sealed) == b"once"
    refused("MessageForged", two.receive, sealed)
    refused("MessageForged", one.receive, one.send(b"x"))
    assert {one.stage, two.stage} == {Stage.ENDED}


def test_P13_a_recorded_link_does_not_play_again() -> None:
    """All that one end sent, before a new one of the same enclave."""
    world, one, two = World(), own(), own()
    first, second = pair(world, one, two)
    said = shake(first, second)
    again = Link(two, world.terms, initiator=False)
    again.shake(said[0])
    refused("MessageForged", again.shake, said[2])


def test_P14_an_end_is_said_and_nothing_follows() -> None:
    one, two = linked(World())
    last = one.end()
    refused("NotOpen", one.send, b"x")
    refused("NotOpen", one.end)
    assert two.receive(last) is None
    refused("NotOpen", two.receive, last)
    one, two = linked(World())
    refused("MessageForm", two.receive, one._noise.write(b"\x01more"))
    one, two = linked(World())
    refused("MessageForm", two.receive, one._noise.write(b""))


def test_R18_an_expelled_member_is_neither_heard_nor_told() -> None:
    """In the middle of a session: the next message in either direction is refused, and for good."""
    for listens in (True, False):
        world = World()
        one, two = linked(world)
        sealed = one.send(b"a vote")
        world.strangers.add(two.peer.key)
        if listens:
            refused("NotMember", two.receive, sealed)
        else:
            refused("NotMember", two.send, b"x")
        world.strangers.clear()
        refused("NotOpen", two.receive, sealed)


def test_R18_a_stranger_gets_no_link() -> None:
    world, stranger = World(), own()
    world.strangers.add(stranger.keys.public)
    first, second, name = until_identity(world, stranger, own())
    refused("NotMember", second.shake, name)
    assert first.stage is Stage.IDENTITY


def test_A16_R18_an_image_that_is_accepted_no_longer_is_cut_off() -> None:
    world = World()
    one, two = linked(world)
    sealed = one.send(b"x")
    world.policy = Policy(POLICY.root, (Measurement({**MEASUREMENT.pcrs, 0: bytes([7]) * 48}),))
    refused("PcrUnaccepted", two.receive, sealed)
    refused("NotOpen", two.receive, sealed)


def test_A11_R18_an_attestation_lapses() -> None:
    world = World()
    one, two = linked(world)
    world.now += LINK_SECONDS
    assert two.receive(one.send(b"just in time")) == b"just in time"
    sealed = one.send(b"late")
    world.now += 1
    refused("AttestationLapsed", two.receive, sealed)
    refused("AttestationLapsed", one.send, b"late")


@pytest.mark.parametrize("late", ["initiator", "responder"])
def test_A4_A11_an_identity_that_its_host_kept_too_long(late: str) -> None:
    """A minute after the end began whose keys are in the nonce, and one second more."""
    for seconds, rule in ((NONCE_SECONDS, ""), (NONCE_SECONDS + 1, "NonceStale")):
        world = World()
        first, second, name = until_identity(world, own(), own())
        if late == "initiator":
            (back,) = second.shake(name)
            link, raw = first, back
        else:
            link, raw = second, name
        world.now += seconds
        if rule:
            refused(rule, link.shake, raw)
            assert link.stage is Stage.ENDED
        else:
            link.shake(raw)
            assert link.is_open


def test_A11_a_documents_time_is_looked_at_with_when_it_was_asked_for() -> None:
    world = World()
    one, two = own(), own()
    first, second, name = until_identity(world, one, two)
    world.now += 7
    (back,) = second.shake(name)
    world.now += 2
    first.shake(back)
    assert [key for key, _ in world.dated] == [one.keys.public, two.keys.public]
    for (_, reading), answered in zip(world.dated, (107.0, 109.0), strict=True):
        assert (reading.asked, reading.answered) == (100.0, answered)
        assert abs(reading.time - now().timestamp()) < 600
    assert second.peer.attested.timestamp == round(world.dated[0][1].time * 1_000)


def test_A11_R18_a_document_of_another_time_gets_no_link_and_a_stranger_tells_none() -> None:
    world, one = World(), own()
    world.undated.add(one.keys.public)
    _, second, name = until_identity(world, one, own())
    refused("TimeBehind", second.shake, name)
    assert second.stage is Stage.ENDED
    world = World(strangers={one.keys.public})
    _, second, name = until_identity(world, one, own())
    refused("NotMember", second.shake, name)
    assert world.dated == []


def test_A1_A4_another_root_or_image_gets_no_link() -> None:
    other = module(Authority.draw(now()))
    refused("RootUnknown", shake, *pair(World(), own(module=other), own()))
    changed = module(AUTHORITY, {**PCRS, 2: bytes([5]) * 48})
    refused("PcrUnaccepted", shake, *pair(World(), own(module=changed), own()))
    refused("PcrUnaccepted", shake, *pair(World(), own(), own(module=changed)))


def test_A18_a_stranger_costs_no_document() -> None:
    """The responder has its module work only for an initiator that was shown to be one."""

    class Counted:
        def __init__(self) -> None:
            self.made, self.inner = 0, module()

        def document(self, *fields):
            self.made += 1
            return self.inner.document(*fields)

    counted = Counted()
    target = own(module=counted)
    for junk in (b"", b"junk", encode([bytes(32), bytes(64), bytes(10)]), bytes(20_000)):
        with pytest.raises(LinkInvalid, match="Identity"):
            shake(*pair(World(), liar(own(), lambda _, junk=junk: junk), target))
    assert counted.made == 0
    linked(World(), None, target)
    assert counted.made == 1


def test_identities_have_one_form() -> None:
    one = own()
    for spoil in (
        lambda right: right[:2],
        lambda right: [*right, b""],
        lambda right: [right[0][:31], *right[1:]],
        lambda right: [right[0], right[1][:63], right[2]],
        lambda right: ["x", *right[1:]],
        lambda _: {},
    ):

        def says(ends: Ends, spoil=spoil) -> bytes:
            return encode(spoil(parts(one.identity(ends, initiator=True))))

        refused("IdentityForm", shake, *pair(World(), liar(one, says), own()))


def test_R11_handshakes_carry_nothing_and_go_one_way() -> None:
    first, second = pair(World(), own(), own())
    refused("HandshakePayload", second.shake, first._noise.write(b"early"))
    first, second = pair(World(), own(), own())
    with pytest.raises(InvalidInput, match="only its initiator"):
        second.start()
    refused("NotOpen", first.send, b"x")
    refused("NotOpen", first.receive, b"x")
    refused("NotOpen", lambda: first.peer)
    one, _ = linked(World())
    refused("NotShaking", one.shake, b"x")
    with pytest.raises(InvalidInput, match="only its initiator"):
        one.start()


def test_what_is_too_large_changes_nothing() -> None:
    one, two = linked(World())
    with pytest.raises(TooLarge):
        one.send(bytes(MAX_MESSAGE + 1))
    assert two.receive(one.send(b"still open")) == b"still open"


def test_secrets_are_in_no_repr() -> None:
    enclave = own(keys=KeyPair(bytes([3]) * 32))
    one, two = linked(World(), enclave)
    for shown in map(repr, (enclave, one, two, one._noise, one._ends)):
        assert (bytes([3]) * 32).hex() not in shown
        assert "\\x03\\x03\\x03" not in shown
    assert two._ends.transcript != NETWORK


def test_messages_are_never_the_same_twice() -> None:
    one, _ = linked(World())
    sealed = [one.send(b"same") for _ in range(5)]
    assert all(a != b for a, b in pairwise(sorted(sealed)))
