"""Two ends of a link, each with a module of one devnet's CA that attests the same image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from forged_documents import MEASUREMENT, PCRS

from grail.attestation.chain import Root
from grail.attestation.clock import Reading
from grail.attestation.verifier import Policy
from grail.crypto.schnorr import KeyPair
from grail.errors import AttestationInvalid, LinkInvalid
from grail.links.identity import Own
from grail.links.link import Link, Terms
from grail.native import Ends
from grail.types import XOnlyKey
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import EmulatedModule, now
from grail_enclave.nsm import Module

NETWORK, CONFIGURATION = bytes([1]) * 32, bytes([2]) * 32
AUTHORITY = Authority.draw(now())
POLICY = Policy(Root.from_pem(AUTHORITY.root_pem), (MEASUREMENT,))


def module(authority: Authority = AUTHORITY, pcrs: dict[int, bytes] = PCRS) -> Module:
    return Module(EmulatedModule.draw(authority, pcrs).answer)


@dataclass
class World:
    """Time, the members, and the policy: all that a test changes under a link."""

    now: float = 100.0
    strangers: set[XOnlyKey] = field(default_factory=set)
    policy: Policy = POLICY
    dated: list[tuple[XOnlyKey, Reading]] = field(default_factory=list)
    undated: set[XOnlyKey] = field(default_factory=set)

    @property
    def terms(self) -> Terms:
        return Terms(lambda: self.policy, self.admit, lambda: self.now, date=self.date)

    def date(self, key: XOnlyKey, reading: Reading) -> None:
        self.dated.append((key, reading))
        if key in self.undated:
            raise AttestationInvalid("TimeBehind", "the document is older than its nonce")

    def admit(self, key: XOnlyKey) -> None:
        if key in self.strangers:
            raise LinkInvalid("NotMember", f"{key} is not in the roster")


def own(**changes: object) -> Own:
    values = {
        "keys": KeyPair.generate(),
        "module": module(),
        "network": NETWORK,
        "configuration": CONFIGURATION,
    }
    return Own(**{**values, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Liar(Own):
    """One whose code was changed: it says of itself what it likes."""

    says: Callable[[Ends], bytes] = field(default=lambda _: b"")

    def identity(self, ends: Ends, **_: bool) -> bytes:
        return self.says(ends)


def liar(one: Own, says: Callable[[Ends], bytes]) -> Liar:
    return Liar(one.keys, one.module, one.network, one.configuration, says)


def pair(world: World, one: Own, two: Own) -> tuple[Link, Link]:
    return Link(one, world.terms, initiator=True), Link(two, world.terms, initiator=False)


def shake(
    one: Link, two: Link, carried: Callable[[bytes], bytes] = lambda message: message
) -> list[bytes]:
    """All messages of the handshake, in order; `carried`: what their hosts make of each."""
    said = [one.start()]
    ends = [two, one]
    for number, message in enumerate(said):
        # three go to and fro; the initiator says its identity at once after the third
        end = ends[number % 2] if number < 3 else ends[number - 3]
        said += end.shake(carried(message))
    return said


def linked(world: World, one: Own | None = None, two: Own | None = None) -> tuple[Link, Link]:
    ends = pair(world, one or own(), two or own())
    shake(*ends)
    return ends
