"""Signed messages: their bytes, and that no signature serves for anything but its own message."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator import CONFIGURATION, NETWORK, NFT, TIP, keys, proposal, scope

from grail.bitcoin.addresses import Roster
from grail.codec import decode, encode
from grail.errors import DecodeError, InvalidInput, NotCanonical, SignatureInvalid, TrailingBytes
from grail.operators.certificates import Proposal
from grail.operators.messages import (
    Family,
    Head,
    Open,
    Promise,
    Refusal,
    Report,
    Scope,
    Standing,
    Vote,
)
from grail.operators.roster import FirstRoster, first_roster_digest
from grail.types import OutPoint, Txid

SCOPE = scope()
KEY = keys(16)[3]
T = proposal("T", "ab")
OTHER = Family(bytes(31) + b"\x01")


def head(sender: int = 3, **changes: object) -> Head:
    made = Head(NETWORK, NFT, CONFIGURATION, sender, (1,) * 16, TIP)
    return replace(made, **changes)


def vote(number: int = 0, **changes: object) -> Vote:
    return Vote(head(**changes), number, T.family, T.outpoints).signed(KEY)


def opened() -> Open:
    return Open(head(), 3, T.family).signed(KEY)


def promise(of: Proposal = T) -> Promise:
    reports = (Report(of.outpoints[0], 0, None), Report(of.outpoints[1], 2, OTHER))
    return Promise(head(), 3, of.family, reports).signed(KEY)


def refusal() -> Refusal:
    return Refusal(
        NETWORK, CONFIGURATION, KEY.public, bytes(32), "ProofInvalid", "no", "this", "that"
    ).signed(KEY)


MESSAGES = {"vote": vote(), "ballot": vote(3), "open": opened(), "promise": promise()}


@pytest.mark.parametrize("name", MESSAGES)
def test_bytes_come_back(name):
    message = MESSAGES[name]
    again = type(message).parse(message.serialize())
    assert again == message
    again.verify(SCOPE)


def test_a_refusal_comes_back_and_names_its_frame():
    again = Refusal.parse(refusal().serialize())
    assert again == refusal() or again.digest() == refusal().digest()
    again.verify(NETWORK, KEY.public, bytes(32))
    with pytest.raises(SignatureInvalid, match="another"):
        again.verify(NETWORK, KEY.public, bytes(31) + b"\x01")


def test_a_vote_with_v_is_about_300_bytes():
    assert len(vote().serialize()) < 420
    assert len(encode([v.serialize() for v in [vote()] * 12])) < 5_000


@pytest.mark.parametrize("as_kind", [Vote, Open, Promise])
@pytest.mark.parametrize("name", MESSAGES)
def test_R17_one_kind_never_verifies_as_another(name, as_kind):
    """The cross-check matrix: every kind's signature put under every other kind's message."""
    message = MESSAGES[name]
    for other in MESSAGES.values():
        if type(other) is not as_kind or other == message:
            continue
        with pytest.raises(SignatureInvalid):
            replace(other, signature=message.signature).verify(SCOPE)


def test_R17_a_message_is_no_refusal_and_no_roster_signature():
    roster = Roster.of(0, [pair.public for pair in keys(16)], 12)
    digests = {
        *(message.digest() for message in MESSAGES.values()),
        refusal().digest(),
        first_roster_digest(NETWORK, CONFIGURATION, roster),
    }
    assert len(digests) == len(MESSAGES) + 2
    signatures = (KEY.sign(vote().digest()),) * 16
    with pytest.raises(SignatureInvalid):
        FirstRoster(roster, signatures).check(NETWORK, CONFIGURATION)
    with pytest.raises(SignatureInvalid):
        replace(refusal(), signature=vote().signature).verify(NETWORK, KEY.public, bytes(32))


@pytest.mark.parametrize("name", MESSAGES)
def test_R17_each_kind_is_hashed_under_its_own_tag(name):
    """The protocol's formula, computed here once more from the bytes on the wire."""
    kind, top, fields, _ = decode(MESSAGES[name].serialize())
    tag = hashlib.sha256(f"grail/{kind}/1".encode()).digest()
    covered = NETWORK + encode([kind, top, fields])
    assert MESSAGES[name].digest() == hashlib.sha256(tag + tag + covered).digest()


def test_R17_equal_fields_of_two_kinds_have_different_digests():
    """Vote and Open could encode alike: the tag and the kind inside keep them apart."""
    one, two = vote(3), opened()
    assert one.digest() != two.digest()
    assert one.digest() != replace(one, round=4).digest()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"network": bytes(32)}, "network"),
        ({"roster": OutPoint(Txid(bytes(32)), 7)}, "roster id"),
        ({"configuration": bytes(32)}, "configuration"),
    ],
)
def test_S32_a_message_of_another_network_roster_or_configuration_is_refused(changed, named):
    """Signed properly over there, it counts for nothing here."""
    foreign = Vote(head(**changed), 0, T.family, T.outpoints).signed(KEY)
    with pytest.raises(SignatureInvalid, match=f"another {named}"):
        foreign.verify(SCOPE)
    # Put into our scope without a new signature it does not verify either.
    with pytest.raises(SignatureInvalid, match="does not verify"):
        replace(foreign, head=head()).verify(SCOPE)


@pytest.mark.parametrize(
    "changed",
    [{"sender": 4}, {"v": (2, *(1,) * 15)}, {"best": replace(TIP, height=101)}],
)
def test_every_part_of_the_head_is_signed(changed):
    with pytest.raises(SignatureInvalid):
        replace(vote(), head=head(**changed)).verify(SCOPE)


def test_every_field_is_signed():
    for changed in (
        replace(vote(), round=1),
        replace(vote(), family=OTHER),
        replace(vote(), outpoints=T.outpoints[:1]),
        replace(opened(), round=19),
        replace(promise(), reports=promise().reports[::-1]),
    ):
        with pytest.raises(SignatureInvalid):
            changed.verify(SCOPE)


@pytest.mark.parametrize("sender", [16, 255])
def test_a_sender_outside_the_roster_is_refused(sender):
    with pytest.raises(SignatureInvalid, match="not in the roster"):
        vote(sender=sender).verify(SCOPE)


def edited(message: Vote, at: tuple[int, ...], value: object) -> bytes:
    """The message's bytes with one piece of its array replaced."""
    array = decode(message.serialize())
    inner = array
    for index in at[:-1]:
        inner = inner[index]
    inner[at[-1]] = value
    return encode(array)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        ((0,), "promise", "got kind 'promise'"),
        ((1,), 7, "expected an array"),
        ((1, 0), b"short", "network has 5 bytes"),
        ((1, 1), bytes(35), "roster id has 35 bytes"),
        ((1, 3), 256, "outside"),
        ((1, 3), True, "sender is bool"),
        ((1, 4), bytes(5), "four an operator"),
        ((1, 4), bytes(4 * 65), "at most 256"),
        ((1, 5, 2), -1, "outside"),
        ((2, 0), 1 << 32, "outside"),
        ((2, 1), "text", "family is str"),
        ((2, 2), [], "none is there"),
        ((2, 2), [bytes(36), bytes(36)], "not strictly rising"),
        ((2, 2), [bytes(37)], "expected 36"),
        ((3,), bytes(63), "signature has 63 bytes"),
    ],
)
def test_a_malformed_message_is_a_decode_error(at, value, said):
    with pytest.raises(DecodeError, match=said):
        Vote.parse(edited(vote(), at, value))


def test_trailing_bytes_and_other_encodings_are_refused():
    with pytest.raises(TrailingBytes):
        Vote.parse(vote().serialize() + b"\x00")
    longer = bytearray(vote().serialize())
    assert longer[0] == 0x84
    with pytest.raises((NotCanonical, DecodeError)):
        Vote.parse(b"\x98\x04" + bytes(longer[1:]))


@settings(max_examples=200)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_random_bytes_are_never_a_message(noise, at):
    whole = vote().serialize()
    cut = whole[: at % len(whole)] + noise
    if cut == whole:
        return
    for kind in (Vote, Open, Promise, Refusal):
        try:
            found = kind.parse(cut)
        except DecodeError:
            continue
        with pytest.raises(SignatureInvalid):  # well-formed by chance: but nobody signed it
            found.verify(SCOPE)


@pytest.mark.parametrize(
    ("keys_", "quorum"),
    [
        (SCOPE.keys[::-1], 12),
        (SCOPE.keys[:15] + SCOPE.keys[:1], 12),
        ((), 0),
        (SCOPE.keys, 0),
        (SCOPE.keys, 10),
        (SCOPE.keys, 17),
    ],
)
def test_R3_a_scope_that_is_not_safe_is_refused(keys_, quorum):
    with pytest.raises(InvalidInput):
        Scope(NETWORK, NFT, CONFIGURATION, tuple(keys_), quorum)


def test_a_standing_comes_back_with_its_decision():
    standing = Standing(
        "RivalVoted", 5, 3, T.family, T.outpoints, T.txid, (vote(), vote(3)), T.body
    )
    assert Standing.from_fields(decode(encode(standing.fields()))) == standing
    bare = Standing("BallotPromised", 9)
    assert Standing.from_fields(decode(encode(bare.fields()))) == bare


def test_the_signature_stays_out_of_texts():
    assert vote().signature.hex() not in repr(vote())


def test_first_roster_needs_every_member_and_comes_back():
    roster = Roster.of(0, [pair.public for pair in keys(4)], 3)
    digest = first_roster_digest(NETWORK, CONFIGURATION, roster)
    signed = {pair.public: pair.sign(digest) for pair in keys(4)}
    first = FirstRoster.gathered(roster, signed)
    again = FirstRoster.from_fields(decode(encode(first.fields())))
    assert again.check(NETWORK, CONFIGURATION) == roster
    for network, configuration in ((bytes(32), CONFIGURATION), (NETWORK, bytes(32))):
        with pytest.raises(SignatureInvalid):
            again.check(network, configuration)
    missing = dict(list(signed.items())[1:])
    with pytest.raises(SignatureInvalid, match="missing"):
        FirstRoster.gathered(roster, missing)
    swapped = FirstRoster(roster, first.signatures[::-1])
    with pytest.raises(SignatureInvalid):
        swapped.check(NETWORK, CONFIGURATION)
