"""A link: the handshake, then messages, sans-I/O. Hosts carry what comes out to the other end.

    initiator                              responder
    e                               ->
                                    <-     e, ee, s, es
    s, se                           ->
    sealed identity                 ->
                                    <-     sealed identity
    sealed 0x00 || message          <->    sealed 0x00 || message
    sealed 0x01                     <->    sealed 0x01, and nothing after it

The first three are Noise XX with empty payloads and this prologue:

    H("grail/link/1", NET || configuration digest)

so ends of another version, network or configuration never meet (threat R11). The responder names
itself, and has its module work, only for an initiator that was shown to be one (threat A18).

An identity comes within a minute of the link's beginning, since the document's nonce is of the keys
that were drawn then: a host that keeps it longer has no link (threats A4 and A11).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from grail.attestation.clock import Reading
from grail.attestation.verifier import NONCE_SECONDS, Policy
from grail.crypto.schnorr import tagged_hash
from grail.errors import AttestationInvalid, Incorrect, InvalidInput, LinkInvalid, TooLarge
from grail.links.identity import MAX_IDENTITY, Own, Peer, identified
from grail.native import Ends, NoiseSession
from grail.types import XOnlyKey

MAX_MESSAGE: Final = 65_535 - 16 - 1
"""Bytes of a message: Noise's limit less the tag and the kind."""
LINK_SECONDS: Final = 3_600.0
"""How long an attestation is good for, unless a configuration says otherwise (`Attesting`)."""

DATA: Final = b"\x00"
END: Final = b"\x01"


class Stage(Enum):
    """How far a link has come."""

    HANDSHAKE = "handshake"
    IDENTITY = "identity"
    OPEN = "open"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Terms:
    """Whom this enclave talks to. All are asked anew each time, so nothing outlives a change.

    `policy`: the root and the accepted images. `admit` raises for a key that the roster does not
    have (threat R18). `clock` gives seconds that never fall, and an attestation is good for
    `seconds` of them: then a new handshake brings a new one, and new keys. `date` is told when the
    module of a key says it is, and raises where that cannot be now (threat A11); by default nobody
    knows.
    """

    policy: Callable[[], Policy]
    admit: Callable[[XOnlyKey], None]
    clock: Callable[[], float] = time.monotonic
    seconds: float = LINK_SECONDS
    date: Callable[[XOnlyKey, Reading], None] = lambda _key, _reading: None


class Link:
    """One end. `stage` says how far it is; whatever fails ends it for good."""

    def __init__(self, own: Own, terms: Terms, *, initiator: bool) -> None:
        self._own = own
        self._terms = terms
        self._initiator = initiator
        prologue = tagged_hash("grail/link/1", own.network + own.configuration)
        self._noise = NoiseSession(initiator=initiator, prologue=prologue)
        self._read = 0
        self._ends: Ends | None = None
        self._peer: Peer | None = None
        self._since = 0.0
        self._begun = terms.clock()
        self.stage = Stage.HANDSHAKE

    @property
    def is_open(self) -> bool:
        """Whether both ends are known, and nothing has ended it."""
        return self.stage is Stage.OPEN

    @property
    def age(self) -> float:
        """Seconds since the other end was attested."""
        return self._terms.clock() - self._since

    @property
    def peer(self) -> Peer:
        """Who is at the other end. Raises `LinkInvalid` while that is not known."""
        if self._peer is None:
            raise LinkInvalid("NotOpen", "the other end has not said yet who it is")
        return self._peer

    def start(self) -> bytes:
        """The first message; the initiator's to send. Raises `InvalidInput`."""
        if not self._initiator or self.stage is not Stage.HANDSHAKE or self._read:
            raise InvalidInput("link: only its initiator starts it, once")
        return self._noise.write(b"")

    def shake(self, message: bytes) -> tuple[bytes, ...]:
        """Take a message before the link is open: what to send back, in order.

        Raises `LinkInvalid`, `AttestationInvalid`, `Unavailable` when the own module does not
        answer, or what `admit` raises. The link is over then.
        """
        if self.stage not in {Stage.HANDSHAKE, Stage.IDENTITY}:
            raise LinkInvalid("NotShaking", f"the link is {self.stage.value}")
        try:
            if self.stage is Stage.IDENTITY:
                return self._meet(message)
            return self._step(message)
        except BaseException:
            self.stage = Stage.ENDED
            raise

    def _step(self, message: bytes) -> tuple[bytes, ...]:
        if self._opened(message):
            raise LinkInvalid("HandshakePayload", "a message of the handshake carries something")
        self._read += 1
        if not self._initiator:
            if self._read == 1:
                return (self._noise.write(b""),)
            self._ends, self.stage = self._noise.ends(), Stage.IDENTITY
            return ()
        third = self._noise.write(b"")
        self._ends, self.stage = self._noise.ends(), Stage.IDENTITY
        return third, self._sealed_identity(self._ends)

    def _meet(self, message: bytes) -> tuple[bytes, ...]:
        assert self._ends is not None
        if len(message) > MAX_IDENTITY + 16:
            raise LinkInvalid(
                "IdentityForm", f"{len(message)} bytes", expected=f"at most {MAX_IDENTITY + 16}"
            )
        raw, now = self._opened(message), self._terms.clock()
        if now - self._begun > NONCE_SECONDS:
            raise AttestationInvalid(
                "NonceStale",
                "the other end took too long to say who it is",
                got=f"{now - self._begun:.0f} s",
                expected=f"at most {NONCE_SECONDS:.0f} s",
                hint="shake hands anew",
            )
        peer = identified(
            raw, self._own, self._ends, self._terms.policy(), initiator=not self._initiator
        )
        self._terms.admit(peer.key)
        self._terms.date(peer.key, Reading(peer.attested.timestamp / 1_000, self._begun, now))
        answer = () if self._initiator else (self._sealed_identity(self._ends),)
        self._peer, self._since, self.stage = peer, self._terms.clock(), Stage.OPEN
        return answer

    def _sealed_identity(self, ends: Ends) -> bytes:
        return self._noise.write(self._own.identity(ends, initiator=self._initiator))

    def send(self, message: bytes) -> bytes:
        """The bytes that carry a message of up to `MAX_MESSAGE` bytes.

        Raises `TooLarge`, which changes nothing; `LinkInvalid` or what `admit` raises, and the link
        is over.
        """
        if len(message) > MAX_MESSAGE:
            raise TooLarge(f"link: a message of {len(message)} bytes, at most {MAX_MESSAGE}")
        self.check()
        return self._noise.write(DATA + message)

    def receive(self, sealed: bytes) -> bytes | None:
        """The message that came, or None when the other end has ended the link.

        Raises `LinkInvalid`, or what `admit` raises, and the link is over.
        """
        self.check()
        try:
            plain = self._opened(sealed)
        except LinkInvalid:
            self.stage = Stage.ENDED
            raise
        if plain[:1] == DATA:
            return plain[1:]
        self.stage = Stage.ENDED
        if plain == END:
            return None
        raise LinkInvalid("MessageForm", "neither a message nor an end")

    def end(self) -> bytes:
        """The bytes that tell the other end that nothing follows. Raises `LinkInvalid`.

        A link that stops without them was cut (threat P14).
        """
        if self.stage is not Stage.OPEN:
            raise LinkInvalid("NotOpen", f"the link is {self.stage.value}")
        self.stage = Stage.ENDED
        return self._noise.write(END)

    def check(self) -> None:
        """Raise unless the other end may still be talked to; the link is over where not.

        Raises `LinkInvalid`, `AttestationInvalid` for an image that is accepted no longer, or what
        `admit` raises.
        """
        if self.stage is not Stage.OPEN:
            raise LinkInvalid("NotOpen", f"the link is {self.stage.value}")
        try:
            self._still_good(self.peer)
        except BaseException:
            self.stage = Stage.ENDED
            raise

    def _still_good(self, peer: Peer) -> None:
        age = self.age
        if age > self._terms.seconds:
            raise LinkInvalid(
                "AttestationLapsed",
                f"{peer.key} was attested too long ago",
                got=f"{age:.0f} s",
                expected=f"at most {self._terms.seconds:.0f} s",
                hint="shake hands anew",
            )
        self._terms.policy().check(peer.attested.pcrs)
        self._terms.admit(peer.key)

    def _opened(self, message: bytes) -> bytes:
        try:
            return self._noise.read(message)
        except Incorrect as exc:
            raise LinkInvalid(
                "MessageForged",
                "not the next message of the other end",
                hint="the bytes were changed, cut, repeated or put in another order on the way",
            ) from exc
