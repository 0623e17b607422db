"""Who signs: the first roster, agreed on by all its members, and each one that follows it.

Until attestation is there, the members of epoch 0 vouch for each other (PROTOCOL.md section 11):
sixteen keys with sixteen signatures over network, configuration, sorted keys, quorum and internal
key. An enclave accepts such a roster once, and only if its own key is in it. The members of a next
roster vouch for it in the same way; who rules then is told by the chain alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from grail.bitcoin.addresses import Roster
from grail.codec import encode
from grail.crypto import schnorr
from grail.errors import DecodeError, SignatureInvalid
from grail.operators.messages import MAX_OPERATORS, Fields, Scope
from grail.types import OutPoint, XOnlyKey


class RosterView(Protocol):
    """The only source of who may sign: the chain's record, and later gossip."""

    def at(self, height: int) -> Roster:
        """The roster that rules at this height, with epoch and quorum. Raises `Refused`."""


def first_roster_digest(network: bytes, configuration: bytes, roster: Roster) -> bytes:
    """H("grail/first-roster/1", NET || [configuration, keys, quorum, internal]), for members."""
    covered = encode([configuration, *roster_fields(roster)])
    return schnorr.tagged_hash("grail/first-roster/1", network + covered)


def roster_fields(roster: Roster) -> list[Any]:
    """[[key..], quorum, internal key]: a roster of epoch 0 as it crosses the wire."""
    return [[bytes(key) for key in roster.keys], roster.quorum, bytes(roster.internal_key)]


def read_roster(value: Any) -> Roster:
    """A roster of epoch 0 from `roster_fields`. Raises `DecodeError` or `InvalidInput`."""
    parts = Fields(value, "roster", 3)
    items = parts.items("keys", MAX_OPERATORS)
    keys = Fields(items, "roster: keys")
    members = tuple(XOnlyKey(keys.blob("key", 32)) for _ in items)
    quorum = parts.uint("quorum", 16)
    return Roster(0, members, quorum, XOnlyKey(parts.blob("internal key", 32)))


@dataclass(frozen=True, slots=True)
class FirstRoster:
    """The roster of epoch 0 with the signature of every member, in the order of its keys."""

    roster: Roster
    signatures: tuple[bytes, ...]

    @classmethod
    def gathered(cls, roster: Roster, signatures: Mapping[XOnlyKey, bytes]) -> FirstRoster:
        """From the members' signatures. Raises `SignatureInvalid` naming one that is missing."""
        for key in roster.keys:
            if key not in signatures:
                raise SignatureInvalid(f"first roster: the signature of {key} is missing")
        return cls(roster, tuple(signatures[key] for key in roster.keys))

    def fields(self) -> list[Any]:
        """[roster, [signature..]]: the body of the frame first_roster/accept."""
        return [roster_fields(self.roster), list(self.signatures)]

    @classmethod
    def from_fields(cls, value: Any) -> FirstRoster:
        """Read what `fields` wrote. Raises `DecodeError` or `InvalidInput`; nothing is verified."""
        parts = Fields(value, "first roster", 2)
        roster = read_roster(parts.optional("roster"))
        items = parts.items("signatures", MAX_OPERATORS)
        signatures = Fields(items, "first roster: signatures")
        found = tuple(signatures.blob("signature", 64) for _ in items)
        if len(found) != len(roster.keys):
            raise DecodeError(f"first roster: {len(found)} signatures for {len(roster.keys)} keys")
        return cls(roster, found)

    def check(self, network: bytes, configuration: bytes) -> Roster:
        """The roster, once every member's signature verifies. Raises `SignatureInvalid`."""
        digest = first_roster_digest(network, configuration, self.roster)
        for key, signature in zip(self.roster.keys, self.signatures, strict=True):
            schnorr.verify(key, digest, signature)
        return self.roster


def next_roster_digest(
    network: bytes, configuration: bytes, before: OutPoint, roster: Roster
) -> bytes:
    """H("grail/next-roster/1", NET || [configuration, before, epoch, keys, quorum, internal]).

    `before` is the id of the roster that this one follows.
    """
    covered = encode([configuration, before.serialize(), roster.epoch, *roster_fields(roster)])
    return schnorr.tagged_hash("grail/next-roster/1", network + covered)


def next_roster_fields(roster: Roster) -> list[Any]:
    """[epoch, [key..], quorum, internal key]: the body of the frame next_roster/sign."""
    return [roster.epoch, *roster_fields(roster)]


def read_next_roster(value: Any) -> Roster:
    """A roster from `next_roster_fields`. Raises `DecodeError` or `InvalidInput`."""
    parts = Fields(value, "next roster", 4)
    epoch = parts.uint("epoch", 32)
    rest = [parts.optional(name) for name in ("keys", "quorum", "internal key")]
    return replace(read_roster(rest), epoch=epoch)


@dataclass(frozen=True, slots=True)
class NextRoster:
    """A roster that is to follow, with the signature of every member, in the order of its keys.

    Each signature says that its key is held by somebody who runs this configuration and wants in.
    """

    roster: Roster
    signatures: tuple[bytes, ...]

    @classmethod
    def gathered(cls, roster: Roster, signatures: Mapping[XOnlyKey, bytes]) -> NextRoster:
        """From the members' signatures. Raises `SignatureInvalid` naming one that is missing."""
        return cls(roster, FirstRoster.gathered(roster, signatures).signatures)

    def fields(self) -> list[Any]:
        """[next roster, [signature..]]: the body of the frame next_roster/agree."""
        return [next_roster_fields(self.roster), list(self.signatures)]

    @classmethod
    def from_fields(cls, value: Any) -> NextRoster:
        """Read what `fields` wrote. Raises `DecodeError` or `InvalidInput`; nothing is verified."""
        parts = Fields(value, "next roster", 2)
        roster = read_next_roster(parts.optional("roster"))
        first = FirstRoster.from_fields([roster_fields(roster), parts.optional("signatures")])
        return cls(roster, first.signatures)

    def check(self, network: bytes, configuration: bytes, before: OutPoint) -> Roster:
        """The roster, once every member's signature verifies. Raises `SignatureInvalid`."""
        digest = next_roster_digest(network, configuration, before, self.roster)
        for key, signature in zip(self.roster.keys, self.signatures, strict=True):
            schnorr.verify(key, digest, signature)
        return self.roster


def scope(network: bytes, roster: Roster, nft: OutPoint, configuration: bytes) -> Scope:
    """What the messages of this roster are good for; `nft` is the Grail NFT's outpoint.

    Raises `InvalidInput` when the fast ballot is not safe for this quorum.
    """
    return Scope(network, nft, configuration, roster.keys, roster.quorum)
