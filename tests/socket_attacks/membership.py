"""Frames that are none, headers without work, and first rosters of somebody's choosing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from enclave_world import KEYS, MALLORY, QUORUM, ROSTER, ask

from grail.bitcoin import spv
from grail.bitcoin.addresses import Roster
from grail.codec import encode
from grail.operators import frames
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Frame
from grail.operators.roster import roster_fields
from socket_attacks.registry import STATELESS, Removal, Target, answering, attack, patched
from socket_attacks.scene import Scene

_read = SigningRequest.from_value


def lenient(value: object) -> SigningRequest:
    """The names that are known, and never mind the others."""
    assert isinstance(value, Mapping)
    return _read({name: value[name] for name in ("psbt", "bundles", "evidence")})


@attack(
    "FrameInvalid",
    "S4",
    "A14",
    gains="Mallory: a yardstick of her own in the request, for whoever reads on leniently",
    out=patched(SigningRequest, "from_value", staticmethod(lenient)),
)
def a_request_that_says_it_was_verified(scene: Scene) -> Target:
    value = scene.house_use().request().to_value()
    return Target(Frame(frames.VOTE, encode({**value, "verified": True})))


@attack(
    "HeadersInvalid",
    "S10",
    gains="Mallory: any chain she likes, with any deposit in it, at no cost",
    out=patched(spv, "target_from_bits", answering(1 << 256)),
)
def a_header_without_work(scene: Scene) -> Target:
    header = scene.chain.fork(scene.chain.height).mine().header
    while int.from_bytes(header.hash, "little") < 1 << 255:
        header = replace(header, nonce=header.nonce + 1)
    return Target(Frame(frames.HEADERS, [header.serialize()]))


def proposed(roster: Roster) -> Frame:
    """The frame that asks for a signature on a first roster."""
    return Frame(frames.FIRST_ROSTER_SIGN, roster_fields(roster))


def roster_without(index: int) -> Roster:
    """The members but one, and a key of Mallory's in his place."""
    others = [key.public for i, key in enumerate(KEYS) if i != index]
    return Roster.of(0, [*others, MALLORY.internal_key], QUORUM)


@attack(
    "NotMember",
    "R3",
    gains="Mallory: members vouch for a roster from which she left one of them out",
    out=Removal(index=1),
)
def a_roster_without_its_signer(scene: Scene) -> Target:
    assert scene
    return Target(proposed(roster_without(0)), bare=True)


@attack(
    "RosterFixed",
    "R4",
    gains="Mallory: two first rosters, each with every signature of the members in both",
    out=STATELESS,
)
def a_second_first_roster(scene: Scene) -> Target:
    assert scene
    frame = proposed(roster_without(1))

    def vouched(enclave: object) -> None:
        ask(enclave, frames.FIRST_ROSTER_SIGN, roster_fields(ROSTER)).unwrap()  # type: ignore[arg-type]

    return Target(frame, prepare=vouched, bare=True)
