"""Links whose secrets cost nothing: most schedules run on them, every so many on real ones.

A handshake with documents takes 10 ms of work, and a schedule makes hundreds. Here the session and
the identity in it are stand-ins; the link, its rules of who is admitted, the switchboard and all
that is said are the enclaves' own. A message that was changed, repeated, left out or meant for
another link is noticed as Noise would; a document was made and checked once in this process, and is
named instead of sent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

from forged_documents import PCRS
from link_world import AUTHORITY

from grail.attestation import pcr
from grail.attestation.attested import Attested, attested
from grail.attestation.chain import Root
from grail.attestation.verifier import Policy
from grail.errors import Incorrect, LinkInvalid
from grail.links import link, switchboard
from grail.links.identity import Own, Peer
from grail.native import Ends
from grail.operators.configuration import Configuration
from grail.types import XOnlyKey
from grail_devnet.nsm.module import EmulatedModule, now
from grail_enclave import dates
from grail_enclave.nsm import Module

TAG = 16
BEGUN = now()
"""The date at which every schedule begins."""
CHANGED = {**PCRS, 2: bytes([5]) * 48}
"""What is measured of code that nobody accepts."""

_chance = Random(0)
_quiet = True


def seconds() -> float:
    """The schedule's seconds; 0 while it is being set."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


class Session:
    """One end of a session, in place of Noise's: three messages, then numbered ones."""

    def __init__(self, *, initiator: bool, prologue: bytes) -> None:
        self._initiator = initiator
        self._prologue = prologue
        self._mine = _chance.randbytes(TAG)
        self._theirs = b""
        self._key = b""
        self._written = self._taken = 0

    def write(self, payload: bytes) -> bytes:
        """The next message of this end."""
        self._written += 1
        if not self._key:
            return self._mine + payload
        first = self._mine if self._written == 1 else b""
        return first + payload + self._tag(self._initiator, self._written, payload)

    def read(self, message: bytes) -> bytes:
        """What the next message of the other end says. Raises `Incorrect`."""
        self._taken += 1
        if not self._theirs:
            self._theirs, message = message[:TAG], message[TAG:]
            pair = (self._mine, self._theirs) if self._initiator else (self._theirs, self._mine)
            self._key = hashlib.sha256(self._prologue + b"".join(pair)).digest()
            if not self._initiator:
                return message
        payload, tag = message[:-TAG], message[-TAG:]
        if tag != self._tag(not self._initiator, self._taken, payload):
            raise Incorrect("not the next message")
        return payload

    def ends(self) -> Ends:
        """Both ends' names, and the name of the session."""
        return Ends(self._mine.ljust(32, b"\0"), self._theirs.ljust(32, b"\0"), self._key)

    def _tag(self, initiator: bool, number: int, payload: bytes) -> bytes:
        head = self._key + bytes([initiator]) + number.to_bytes(8, "little")
        return hashlib.sha256(head + payload).digest()[:TAG]


@dataclass(frozen=True)
class Papers:
    """A real module, and what one document of it was found to say."""

    module: Module
    attested: Attested

    @property
    def name(self) -> bytes:
        """What stands for the document on the wire."""
        return hashlib.sha256(repr(sorted(self.attested.pcrs.items())).encode()).digest()[:8]

    def document(
        self, nonce: bytes | None, public_key: bytes | None, user_data: bytes | None
    ) -> bytes:
        """A document of the module, or what stands for it."""
        if _quiet and nonce is not None:
            return self.name
        return self.module.document(nonce, public_key, user_data)


_issued: dict[bytes, Papers] = {}


@cache
def papers(configuration: str, *, changed: bool = False) -> Papers:
    """Of the right build, or of changed code, started with a configuration of this text."""
    pcrs = {
        **(CHANGED if changed else PCRS),
        pcr.CONFIGURATION: pcr.measured(configuration.encode()),
    }
    made = EmulatedModule.draw(AUTHORITY, pcrs, clock=lambda: BEGUN + timedelta(seconds=seconds()))
    made.locked.add(pcr.CONFIGURATION)
    module = Module(made.answer)
    found = attested(module.document(None, None, None), Root.from_pem(AUTHORITY.root_pem))
    issued = Papers(module, found)
    _issued[issued.name] = issued
    return issued


def papers_of(configuration: Configuration, *, changed: bool = False) -> Papers:
    """As `papers`."""
    return papers(configuration.to_json(), changed=changed)


def _today(name: bytes) -> Attested:
    """The document of that name, dated by the schedule."""
    found = _issued[name].attested
    return replace(found, timestamp=found.timestamp + round(1_000 * seconds()))


def _answered(raw: bytes, _nonce: bytes, policy: Policy) -> Attested:
    found = _today(raw)
    policy.check(found.pcrs)
    return found


def _identity(own: Own, _ends: Ends, *, initiator: bool) -> bytes:  # noqa: ARG001
    assert isinstance(own.module, Papers)
    return bytes(own.keys.public) + own.module.name


def _identified(raw: bytes, own: Own, _ends: Ends, policy: Policy, *, initiator: bool) -> Peer:  # noqa: ARG001
    key, found = XOnlyKey(raw[:32]), _today(raw[32:])
    if key == own.keys.public:
        raise LinkInvalid("SelfLink", "the other end has this enclave's own key")
    policy.check(found.pcrs)
    return Peer(key, found)


@contextmanager
def links(seed: str, *, sealed: bool = False) -> Iterator[None]:
    """Within it links are numbered by the seed; and quiet, unless they are to be `sealed`."""
    global _chance, _quiet
    _chance, _quiet = Random(seed), not sealed
    with ExitStack() as stack:
        numbers = SimpleNamespace(randbits=_chance.getrandbits)
        stack.enter_context(patch.object(switchboard, "secrets", numbers))
        if not sealed:
            stack.enter_context(patch.object(link, "NoiseSession", Session))
            stack.enter_context(patch.object(link, "identified", _identified))
            stack.enter_context(patch.object(Own, "identity", _identity))
            stack.enter_context(patch.object(dates, "answered", _answered))
        yield
