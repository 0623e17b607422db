"""Coins, and choosing them so that no charm is spent by accident (threat C8).

A coin that carries charms is worth more than its sats, and a transaction without a spell that names
them destroys them. So coins for sats are chosen among those that carry nothing, and among those
whose charms are known: an output whose history the wallet cannot read counts as charmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grail.charms.app import App
from grail.errors import InsufficientFunds, WouldBurn
from grail.types import OutPoint, TxOut

WAIT = "wait for a block; on a devnet: net.mine(), or `grail devnet mine`"
"""What to do when coins are there and only not confirmed yet."""


@dataclass(frozen=True)
class Coin:
    """An unspent output: what it holds, and how deep it lies.

    `height` is None while unconfirmed. `signed_by_quorum` says that its transaction carries the
    operators' signatures, which makes it spendable by the next spell before it is in a block.
    `mature_at` is the first height that may spend it (a coinbase waits 100 blocks).
    """

    outpoint: OutPoint
    output: TxOut
    charms: Mapping[App, Any] = field(default_factory=dict)
    height: int | None = None
    signed_by_quorum: bool = False
    mature_at: int = 0

    @property
    def sats(self) -> int:
        """The amount of the output."""
        return self.output.sats

    def units(self, app: App) -> int:
        """How much of a token the coin holds; 0 when it holds none."""
        amount = self.charms.get(app, 0)
        return amount if isinstance(amount, int) else 0

    def spendable(self, height: int, *, unconfirmed: bool) -> bool:
        """Whether a transaction in the block at `height` may spend it.

        An unconfirmed coin is taken when `unconfirmed` says so, or when the quorum signed it.
        """
        if self.height is None:
            return unconfirmed or self.signed_by_quorum
        return self.mature_at <= height


def plain(coins: Iterable[Coin]) -> list[Coin]:
    """The coins that carry no charm, largest first (the same order for the same coins)."""
    return sorted((c for c in coins if not c.charms), key=lambda c: (-c.sats, c.outpoint))


def select_sats(
    coins: Iterable[Coin], need: int, per_input: int, waiting: Iterable[Coin] = ()
) -> list[Coin]:
    """Plain coins that cover `need` sats and the fee of spending each of them.

    Largest first: fewest inputs, so the lowest fee; a coin that costs more to spend than it holds
    is left out. `waiting` are coins that cannot be spent yet. Raises `InsufficientFunds`, which
    says whether those would do.
    """
    chosen: list[Coin] = []
    have = 0
    for coin in plain(coins):
        if have >= need or coin.sats <= per_input:
            break
        chosen.append(coin)
        have += coin.sats - per_input
    if have < need:
        later = sum(coin.sats - per_input for coin in plain(waiting) if coin.sats > per_input)
        raise InsufficientFunds(
            f"{need - have} more plain sats are needed for the outputs and the fee"
            + _unconfirmed(later),
            hint=WAIT if have + later >= need else "get more; on a devnet: ask the faucet",
        )
    return chosen


def select_units(
    coins: Iterable[Coin], app: App, need: int, waiting: Iterable[Coin] = ()
) -> list[Coin]:
    """Coins that hold at least `need` units of a token, the fullest first.

    `waiting` are coins that cannot be spent yet. Raises `InsufficientFunds`, which says whether
    those would do.
    """
    holders = sorted((c for c in coins if c.units(app)), key=lambda c: (-c.units(app), c.outpoint))
    chosen: list[Coin] = []
    have = 0
    for coin in holders:
        if have >= need:
            break
        chosen.append(coin)
        have += coin.units(app)
    if have < need:
        later = sum(coin.units(app) for coin in waiting)
        raise InsufficientFunds(
            f"got {have} units of {app}, expected {need}" + _unconfirmed(later),
            hint=WAIT if have + later >= need else "get more of it first, or ask for less",
        )
    return chosen


def _unconfirmed(later: int) -> str:
    return f"; {later} more wait for a block" if later else ""


def refuse_burn(spent: Iterable[Coin], *, burn: bool) -> None:
    """Raise `WouldBurn` when a transaction without a spell would spend charmed coins.

    `burn=True` is the caller's word that the charms may be destroyed.
    """
    charmed = [coin for coin in spent if coin.charms]
    if charmed and not burn:
        what = ", ".join(str(coin.outpoint) for coin in charmed[:3])
        raise WouldBurn(
            f"{len(charmed)} of the coins carry charms ({what}) and the transaction has no spell",
            hint="choose plain coins; pass burn=True only to destroy the charms for ever",
        )


@dataclass(frozen=True)
class Balance:
    """What a wallet holds: plain sats, sats under charms (carriers), units of each token, NFTs.

    `unconfirmed` is the part of all sats that is in no block yet.
    """

    sats: int
    carriers: int
    unconfirmed: int
    tokens: Mapping[App, int]
    nfts: Mapping[App, int]

    @classmethod
    def of(cls, coins: Iterable[Coin]) -> Balance:
        """Add up the coins."""
        sats = carriers = unconfirmed = 0
        tokens: dict[App, int] = {}
        nfts: dict[App, int] = {}
        for coin in coins:
            if coin.charms:
                carriers += coin.sats
            else:
                sats += coin.sats
            if coin.height is None:
                unconfirmed += coin.sats
            for app, data in coin.charms.items():
                if app.tag == "t":
                    tokens[app] = tokens.get(app, 0) + data
                else:
                    nfts[app] = nfts.get(app, 0) + 1
        return cls(sats, carriers, unconfirmed, tokens, nfts)
