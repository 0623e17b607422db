"""The roster record: which roster rules from which height, as the Grail NFT's spells tell.

Sections 1, 8 and 11 of the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grail.bitcoin.addresses import Roster
from grail.charms.app import Contract, Data

if TYPE_CHECKING:
    from grail.bitcoin.network import Network

GRACE = 1_008
"""Blocks after a roster's last in which what it signed may still confirm."""

SUCCESSOR_DELAY = 2_016
"""Fewest blocks from a roster spell that names a successor until units may move to it."""


@dataclass(frozen=True, slots=True)
class Reign:
    """One epoch: its roster and the heights from and to which it rules (`end` None: still open).

    `successor` is GID(K') of a contract that units may move to from `successor_from` on, or zeros.
    """

    roster: Roster
    start: int
    end: int | None = None
    successor: bytes = bytes(32)
    successor_from: int = 0
    grace: int = GRACE

    @property
    def epoch(self) -> int:
        """The roster's epoch."""
        return self.roster.epoch


@dataclass(frozen=True)
class Record:
    """All reigns in order of epochs, of the network whose zkBTC contract is `zkbtc`."""

    zkbtc: Contract
    reigns: tuple[Reign, ...] = ()

    def reign(self, epoch: int) -> Reign | None:
        """The reign of this epoch, if the record has it."""
        raise NotImplementedError

    def ruling(self, height: int) -> Reign | None:
        """The reign with from <= height <= to, if there is one."""
        raise NotImplementedError

    def extended(self, state: Data, height: int, network: Network) -> Record:
        """The record after a correct roster spell (or deploy) with this state at `height`.

        The new roster rules from height + k. Unchanged when the record holds the epoch already.
        Raises `SpellIncorrect` with rule RosterInvalid.
        """
        raise NotImplementedError


def read_state(state: Data) -> tuple[Roster, bytes, int]:
    """The roster, the successor and its height from a Grail NFT's state (section 8).

    Raises `SpellIncorrect` with rule RosterInvalid.
    """
    raise NotImplementedError


def roster_state(roster: Roster, successor: bytes = bytes(32), height: int = 0) -> list[Data]:
    """The Grail NFT's state that names this roster."""
    raise NotImplementedError
