"""Frames and replies: their bytes, their caps, and what is no frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator import CONFIGURATION, NETWORK, NFT, TIP, acceptors, keys, proposal, scope

from grail.bitcoin.addresses import Roster
from grail.codec import decode, encode
from grail.crypto.schnorr import NUMS, KeyPair
from grail.errors import (
    DecodeError,
    InvalidInput,
    Refused,
    SignatureInvalid,
    TooLarge,
    Unavailable,
)
from grail.operators import frames
from grail.operators.frames import (
    KINDS,
    MAX_FRAME,
    Frame,
    Instance,
    Reply,
    Seat,
    Signatures,
    Status,
    announced,
    lengthened,
)
from grail.operators.messages import Open, Promise, Refusal, Standing, Vote
from grail.operators.roster import NextRoster, next_roster_digest, next_roster_fields
from grail.types import OutPoint, Txid

T = proposal("T", "ab")
KEY = keys(16)[0]
REFUSAL = Refusal(
    NETWORK, CONFIGURATION, KEY.public, bytes(32), "RowPayee", "no", "this", "that"
).signed(KEY)
STANDING = Standing("RivalVoted", 4, 0, T.family, T.outpoints, T.txid, (), T.body)


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_comes_back(kind):
    frame = Frame(kind, [1, b"two", None])
    assert Frame.parse(frame.serialize()) == frame


@pytest.mark.parametrize(
    "raw",
    [
        encode(["none", None]),
        encode(["vote"]),
        encode(["vote", None, None]),
        encode({"vote": None}),
        encode([b"vote", None]),
        encode(["x" * 41, None]),
        b"",
    ],
)
def test_what_is_no_frame_is_a_decode_error(raw):
    with pytest.raises(DecodeError):
        Frame.parse(raw)


@given(st.binary(max_size=300))
def test_random_bytes_are_a_frame_or_a_decode_error(raw):
    for read in (Frame.parse, Reply.parse):
        try:
            again = read(raw).serialize()
        except DecodeError:
            continue
        assert again == raw


@pytest.mark.parametrize(
    "reply", [Reply([1]), Reply(None), Reply(None, REFUSAL), Reply(None, REFUSAL, STANDING)]
)
def test_a_reply_comes_back(reply):
    assert Reply.parse(reply.serialize()) == reply


def test_a_refused_reply_is_unwrapped_as_an_error_that_names_all():
    with pytest.raises(Refused) as caught:
        Reply(None, REFUSAL).unwrap()
    error = caught.value
    assert (error.rule, error.got, error.expected) == ("RowPayee", "this", "that")
    assert error.operator == str(KEY.public)
    assert Reply(7).unwrap() == 7


@pytest.mark.parametrize("verdict", ["OK", "", "refused "])
def test_another_verdict_is_no_reply(verdict):
    with pytest.raises(DecodeError):
        Reply.parse(encode([verdict, None]))


def test_A14_a_length_is_capped_before_anything_is_read():
    assert announced(lengthened(b"four")[:4]) == 4
    assert announced(MAX_FRAME.to_bytes(4, "little")) == MAX_FRAME
    for prefix in ((MAX_FRAME + 1).to_bytes(4, "little"), b"\xff" * 4, b"\x00\x00\x00"):
        with pytest.raises(TooLarge):
            announced(prefix)
    with pytest.raises(TooLarge):
        lengthened(bytes(MAX_FRAME + 1))


def messages() -> tuple[Open, tuple[Promise, ...], tuple[Vote, ...]]:
    all_ = acceptors(4, 3)
    opened = all_[1].open(1, T, TIP)
    assert isinstance(opened, Open)
    promises = [a.promise(opened, T, TIP) for a in all_]
    given = tuple(p for p in promises if isinstance(p, Promise))
    votes = [a.ballot(given, T, TIP) for a in all_]
    return opened, given, tuple(v for v in votes if isinstance(v, Vote))


def test_the_bodies_of_signing_frames_come_back():
    opened, promises, votes = messages()
    assert len(promises) == len(votes) == 4

    def body(frame: Frame) -> object:
        return Frame.parse(frame.serialize()).body

    assert frames.read_vote(body(frames.vote_frame(b"r"))) == b"r"
    assert frames.read_open(body(frames.open_frame(9, b"r"))) == (9, b"r")
    assert frames.read_promise(body(frames.promise_frame(opened, b"r"))) == (opened, b"r", ())
    shown = frames.promise_frame(opened, b"r", promises)
    assert frames.read_promise(body(shown)) == (opened, b"r", promises)
    assert frames.read_ballot(body(frames.ballot_frame(promises, b"r"))) == (promises, b"r")
    assert frames.read_sign(body(frames.sign_frame(votes, b"r"))) == (votes, b"r")
    assert frames.read_body(body(frames.body_frame(T.family))) == T.family


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (frames.read_vote, "text"),
        (frames.read_vote, None),
        (frames.read_open, [-1, b""]),
        (frames.read_open, [1 << 32, b""]),
        (frames.read_open, [1]),
        (frames.read_promise, [b"", b"", []]),
        (frames.read_promise, [b"", b""]),
        (frames.read_ballot, [[b"x"], b""]),
        (frames.read_ballot, [[b""] * 65, b""]),
        (frames.read_sign, [[b"x"], b""]),
        (frames.read_sign, [b"", b""]),
        (frames.read_body, b"short"),
    ],
)
def test_a_wrong_body_is_a_decode_error(read, body):
    with pytest.raises(DecodeError):
        read(body)


def test_a_status_comes_back_with_and_without_a_roster():
    bare = Status(KEY.public, NETWORK, CONFIGURATION, TIP)
    ready = Status(
        KEY.public, NETWORK, CONFIGURATION, TIP, 3, 0, NFT, tuple(scope().keys), scope().quorum
    )
    for status in (bare, ready):
        assert Status.from_fields(decode(encode(status.fields()))) == status
    fields = ready.fields()
    for at, wrong in ((0, b"x"), (4, -1), (4, "3"), (6, b"x"), (7, [b"x"]), (8, None)):
        with pytest.raises(DecodeError):
            Status.from_fields([*fields[:at], wrong, *fields[at + 1 :]])


def test_signatures_come_back_in_rising_order_only():
    given = Signatures(Txid(bytes(32)), ((0, bytes(64)), (3, bytes(64))))
    assert Signatures.from_fields(decode(encode(given.fields()))) == given
    for pairs in (((3, bytes(64)), (0, bytes(64))), ((1, bytes(64)), (1, bytes(64)))):
        with pytest.raises(DecodeError, match="rising"):
            Signatures.from_fields(Signatures(Txid(bytes(32)), pairs).fields())
    with pytest.raises(DecodeError):
        Signatures.from_fields([bytes(32), [[0, bytes(65)]]])


def test_a_status_tells_every_epoch():
    """Who signs in each, from which height, and the own place in it."""
    keys = tuple(scope().keys)
    instance = Instance(2, 2, recovered=True)
    seats = (
        Seat(0, NFT, keys, scope().quorum, NUMS, 120, 3, instance),
        Seat(1, OutPoint(Txid(bytes([1]) * 32), 0), keys[1:], scope().quorum, NUMS, 300),
    )
    told = Status(KEY.public, NETWORK, CONFIGURATION, TIP, seats=seats, port=NFT)
    assert Status.from_fields(decode(encode(told.fields()))) == told
    assert [each.roster for each in told.scopes] == [NFT, seats[1].roster]
    fields = seats[0].fields()
    for at, wrong in ((0, -1), (1, b"x"), (2, [b"x"]), (3, None), (4, b""), (6, 99), (7, [])):
        with pytest.raises(InvalidInput):
            Seat.from_fields([*fields[:at], wrong, *fields[at + 1 :]])
    with pytest.raises(Unavailable):
        _ = Status(KEY.public, NETWORK, CONFIGURATION, TIP).scopes


def test_R4_a_next_roster_is_every_members():
    """Its bytes come back; one signature missing or of another roster's is found."""
    pairs = [KeyPair(bytes([5, i]) * 16) for i in range(1, 5)]
    roster = Roster.of(7, [pair.public for pair in pairs], 3)
    digest = next_roster_digest(NETWORK, CONFIGURATION, NFT, roster)
    signed = {pair.public: pair.sign(digest) for pair in pairs}
    following = NextRoster.gathered(roster, signed)
    assert NextRoster.from_fields(decode(encode(following.fields()))) == following
    assert following.check(NETWORK, CONFIGURATION, NFT) == roster
    for wrong in (
        (bytes(32), CONFIGURATION, NFT),
        (NETWORK, bytes(32), NFT),
        (NETWORK, CONFIGURATION, OutPoint(Txid(bytes([9]) * 32), 0)),
    ):
        with pytest.raises(SignatureInvalid):
            following.check(*wrong)
    with pytest.raises(SignatureInvalid, match="missing"):
        NextRoster.gathered(roster, {key: signed[key] for key in list(signed)[1:]})
    with pytest.raises(DecodeError):
        NextRoster.from_fields([next_roster_fields(roster), []])
