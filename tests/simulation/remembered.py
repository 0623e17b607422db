"""Pure functions that sixteen enclaves in one process compute once instead of sixteen times.

Each enclave still runs every rule by itself, over its own headers, caches and memory: remembered
are only functions of their arguments that look at nothing else, whoever asks: what bytes say, a
hash, the verdict on a signature or a proof. What they return is never changed by anybody, and a
refusal is remembered as the same refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest.mock import patch

from grail import native
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.charms import spell
from grail.charms.descriptor import Bundle
from grail.crypto import schnorr
from grail.errors import GrailError
from grail.operators import rounds
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Frame
from grail.operators.grants import Grant, Hello
from grail.operators.messages import Message, Open, Promise, Vote
from grail.roster import gossip
from grail.roster.heartbeat import Heartbeat
from grail.roster.state import RosterState
from grail_enclave import society

MOST = 8_192
"""Results kept of each function."""


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


def remembering(function: Callable[..., Any], most: int = MOST) -> Callable[..., Any]:
    """The function, its results and refusals kept by its arguments."""

    @lru_cache(maxsize=most)
    def outcome(*given: Any) -> tuple[Any, GrailError | None]:
        try:
            return function(*given), None
        except GrailError as exc:
            return None, exc

    def called(*given: Any) -> Any:
        try:
            found, refusal = outcome(*given)
        except TypeError:  # lists have no hash
            found, refusal = outcome(*map(_frozen, given))
        if refusal is not None:
            raise refusal.with_traceback(None)
        return found

    return called


def kept_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a value that never changes, its result kept for that very object.

    What is parsed here is one object for all (`_PARSED`), and to hash a message takes half as long
    as what is asked of it.
    """
    kept: dict[Any, tuple[Any, Any]] = {}

    def called(own: Any, *given: Any) -> Any:
        name = (id(own), *given)
        found = kept.get(name)
        if found is None:
            if len(kept) >= MOST:
                kept.clear()
            found = kept[name] = own, function(own, *given)
        return found[1]

    return called


def read_once(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The reader of CBOR values: what was read stands for every equal value."""
    kept: dict[Any, Any] = {}

    def called(value: Any) -> Any:
        name = _frozen(value)
        found = kept.get(name)
        if found is None:
            if len(kept) >= MOST:
                kept.clear()
            found = kept[name] = function(value)
        return found

    return called


_PURE: list[tuple[Any, str]] = [
    (schnorr, "verify"),
    (native, "poseidon"),
    (native, "groth16_verify"),
    (native, "groth16_verify_batch"),
    (spell, "parse"),
    (gossip, "parse"),
]
_PARSED = (Bundle, Frame, Grant, Hello, Open, Promise, Psbt, RosterState, SigningRequest, Tx, Vote)
"""Types of values that never change, read from bytes by `parse`."""

_KEPT: list[tuple[Any, str, Any]] = [
    *((owner, name, remembering(getattr(owner, name))) for owner, name in _PURE),
    *((Message, name, kept_by(getattr(Message, name))) for name in ("digest", "serialize")),
    (Heartbeat, "digest", kept_by(Heartbeat.digest)),
    (Heartbeat, "from_fields", staticmethod(read_once(Heartbeat.from_fields))),
    (society, "policy", remembering(society.policy)),
    # The digest of a memory is compared with itself alone: any one-to-one text will do.
    (rounds, "encode", lambda value: repr(value).encode()),
    *((kind, "parse", staticmethod(remembering(kind.parse, 2_048))) for kind in _PARSED),
]


@contextmanager
def remembered() -> Iterator[None]:
    """Within it the pure functions are remembered, by all in this process."""
    with ExitStack() as stack:
        for owner, name, function in _KEPT:
            stack.enter_context(patch.object(owner, name, function))
        yield
