"""The roster record: which roster rules from which height, as the Grail NFT's spells tell.

Sections 1, 8 and 11 of the protocol. The record is the only source of who may sign; it is made from
the chain alone, so that everybody who reads the same blocks has the same one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NoReturn

from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import Network
from grail.charms.app import Contract, Data
from grail.errors import InvalidInput, SpellIncorrect
from grail.types import XOnlyKey

GRACE = 1_008
"""Blocks after a roster's last in which what it signed may still confirm."""

SUCCESSOR_DELAY = 2_016
"""Fewest blocks from a roster spell that names a successor until units may move to it."""

NO_SUCCESSOR = bytes(32)
ROSTER_KIND = 0
"""The kind of the Grail NFT's state."""


@dataclass(frozen=True, slots=True)
class Reign:
    """One epoch: its roster and the heights from and to which it rules (`end` None: still open).

    `successor` is GID(K') of a contract that units may move to from `successor_from` on, or zeros;
    the spell that named it confirmed at `successor_at`.
    """

    roster: Roster
    start: int
    end: int | None = None
    successor: bytes = NO_SUCCESSOR
    successor_from: int = 0
    grace: int = GRACE
    successor_at: int = 0

    @property
    def epoch(self) -> int:
        """The roster's epoch."""
        return self.roster.epoch

    def rules(self, height: int) -> bool:
        """Whether from <= height <= to."""
        return self.start <= height and (self.end is None or height <= self.end)

    def counts(self, height: int, *, grace: bool) -> bool:
        """Whether what is under this epoch counts at this height, with or without grace (E5)."""
        last = None if self.end is None else self.end + (self.grace if grace else 0)
        return self.start <= height and (last is None or height <= last)

    def named(self, successor: bytes, stated: int, height: int) -> Reign:
        """The reign with a successor that a spell at `height` names, from `stated` on.

        The delay holds whatever height the state names: nobody wakes up to a moved vault.
        """
        if successor == NO_SUCCESSOR:
            return self
        counts = max(stated, height + SUCCESSOR_DELAY)
        return replace(self, successor=successor, successor_from=counts, successor_at=height)

    def at(self, height: int) -> Reign:
        """The reign as the blocks up to `height` tell it: a successor named later is not in it."""
        if self.successor_at <= height:
            return self
        return replace(self, successor=NO_SUCCESSOR, successor_from=0, successor_at=0)

    def span(self, *, grace: bool) -> str:
        """The heights of `counts`, for people."""
        more = f" + {self.grace}" if grace and self.end is not None else ""
        return f"height {self.start} to {'now' if self.end is None else self.end}{more}"


@dataclass(frozen=True)
class Record:
    """All reigns in order of epochs, of the network whose zkBTC contract is `zkbtc`.

    Raises `InvalidInput` when epochs do not count from 0 or reigns do not follow each other.
    """

    zkbtc: Contract
    reigns: tuple[Reign, ...] = ()

    def __post_init__(self) -> None:
        if [reign.epoch for reign in self.reigns] != list(range(len(self.reigns))):
            raise InvalidInput("record: epochs do not count from 0")
        for before, after in itertools.pairwise(self.reigns):
            if before.end != after.start - 1 or before.start > after.start:
                raise InvalidInput(f"record: epoch {after.epoch} does not follow the one before it")
        if self.reigns and self.reigns[-1].end is not None:
            raise InvalidInput("record: the newest reign has no end yet")

    def reign(self, epoch: int) -> Reign | None:
        """The reign of this epoch, if the record has it."""
        return self.reigns[epoch] if 0 <= epoch < len(self.reigns) else None

    def ruling(self, height: int) -> Reign | None:
        """The reign with from <= height <= to, if there is one."""
        return next((reign for reign in reversed(self.reigns) if reign.rules(height)), None)

    @cached_property
    def rosters(self) -> tuple[Roster, ...]:
        """The rosters in order of epochs."""
        return tuple(reign.roster for reign in self.reigns)

    def at(self, height: int, network: Network) -> Record:
        """The record as the blocks up to `height` tell it: what was made later is not in it.

        A transaction's verdict must not change with rosters that nobody knew of when it confirmed.
        """
        known = [each.at(height) for each in self.reigns if each.start - network.k <= height]
        if len(known) < len(self.reigns):
            known[-1:] = [replace(last, end=None) for last in known[-1:]]
        return self if tuple(known) == self.reigns else Record(self.zkbtc, tuple(known))

    def extended(self, state: Data, height: int, network: Network) -> Record:
        """The record after a correct roster spell (or deploy) with this state at `height`.

        A new roster rules from height + k. The roster that the record ends with may name a
        successor, once. Unchanged when the record holds this very roster and successor. Raises
        `SpellIncorrect` with rule RosterInvalid.
        """
        roster, successor, stated = read_state(state)
        known = self.reign(roster.epoch)
        if known is not None:
            if known.roster != roster:
                _roster_invalid("another roster has this epoch", got=roster.epoch)
            return self._naming(known, successor, stated, height)
        if roster.epoch != len(self.reigns):
            _roster_invalid("epoch", got=roster.epoch, expected=len(self.reigns))
        if any(_same_address(roster, earlier) for earlier in self.rosters):
            _roster_invalid("quorum leaf and internal key equal an earlier roster's")
        start = height + network.k
        if self.reigns and start < self.reigns[-1].start:
            _roster_invalid("would rule before the roster it follows", got=start)
        reign = Reign(roster, start).named(successor, stated, height)
        closed = tuple(replace(last, end=start - 1) for last in self.reigns[-1:])
        return Record(self.zkbtc, (*self.reigns[:-1], *closed, reign))

    def _naming(self, known: Reign, successor: bytes, stated: int, height: int) -> Record:
        """The record with the successor of a reign, which is never changed nor taken back."""
        if known.successor == successor:
            return self
        if known.successor != NO_SUCCESSOR or known is not self.reigns[-1]:
            _roster_invalid(
                "the successor of this reign is fixed",
                got=successor.hex(),
                expected=known.successor.hex(),
            )
        return Record(self.zkbtc, (*self.reigns[:-1], known.named(successor, stated, height)))


def read_state(state: Data) -> tuple[Roster, bytes, int]:
    """The roster, the successor and its height from a Grail NFT's state (section 8).

    Raises `SpellIncorrect` with rule RosterInvalid.
    """
    match state:
        case [kind, int() as epoch, bytes() as keys, int() as quorum, bytes() as internal, *rest]:
            pass
        case _:
            _roster_invalid("not the state of a roster")
    match rest:
        case [bytes() as successor, int() as successor_height]:
            pass
        case _:
            _roster_invalid("not the state of a roster")
    if any(isinstance(value, bool) for value in (kind, epoch, quorum, successor_height)):
        _roster_invalid("a number is a bool")
    if kind != ROSTER_KIND:
        _roster_invalid("kind", got=kind, expected=ROSTER_KIND)
    if len(keys) % 32:
        _roster_invalid("keys", got=f"{len(keys)} bytes", expected="32 each")
    if len(successor) != 32:
        _roster_invalid("successor", got=f"{len(successor)} bytes", expected=32)
    if not 0 <= successor_height < 1 << 64 or (successor_height and not any(successor)):
        _roster_invalid("successor height", got=successor_height, expected="0 without a successor")
    try:
        members = tuple(XOnlyKey(keys[at : at + 32]) for at in range(0, len(keys), 32))
        roster = Roster(epoch, members, quorum, XOnlyKey(internal))
    except InvalidInput as exc:
        raise SpellIncorrect(
            "RosterInvalid", str(exc), got="another state", expected="a roster"
        ) from exc
    return roster, successor, successor_height


def roster_state(roster: Roster, successor: bytes = NO_SUCCESSOR, height: int = 0) -> list[Data]:
    """The Grail NFT's state that names this roster."""
    keys = b"".join(roster.keys)
    internal = bytes(roster.internal_key)
    return [ROSTER_KIND, roster.epoch, keys, roster.quorum, internal, successor, height]


def _same_address(one: Roster, other: Roster) -> bool:
    return (one.keys, one.quorum, one.internal_key) == (
        other.keys,
        other.quorum,
        other.internal_key,
    )


def _roster_invalid(
    message: str, *, got: object = "another state", expected: object = "the next roster"
) -> NoReturn:
    raise SpellIncorrect("RosterInvalid", message, got=str(got), expected=str(expected))
