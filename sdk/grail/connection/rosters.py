"""A roster change from a user's side: the spell, the moves that follow, what lies where.

Nobody needs to be trusted with any of it: the old quorum signs a roster that its operators agreed
on, and a move changes nothing but the address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grail.bitcoin.addresses import Roster
from grail.bridge.roster import Guarded, batches, draft_move, draft_roster
from grail.charms.app import units
from grail.connection.display import Cell, Shown
from grail.connection.receipt import Receipt
from grail.connection.session import Session
from grail.errors import InvalidInput
from grail.wallet.account import Account
from grail.wallet.coins import Coin

MOVE = "move to the ruling roster"


def guarded(session: Session) -> list[Guarded]:
    """Every guarded output on chain and in the mempool, the Grail NFT's own apart."""
    ledger, nft = session.ledger, session.zkbtc.nft
    places = {
        session.context().guard(contract, roster).script_pubkey: (contract, roster.epoch)
        for contract in ledger.contracts()
        for roster in ledger.record.rosters
    }
    return [
        Guarded(*places[coin.output.script], coin)
        for coin in ledger.at(places.keys())
        if nft not in coin.charms
    ]


def left_behind(session: Session) -> list[Guarded]:
    """The guarded outputs of older rosters, which a move or their next use brings along."""
    ruling = session.context().roster.epoch
    return [each for each in guarded(session) if each.epoch < ruling]


async def publish_roster(session: Session, account: Account, roster: Roster) -> Receipt:
    """Have the ruling quorum pass the Grail NFT to the next roster; the account pays.

    Its operators must have agreed on that very roster. It rules k blocks after the spell's own.
    Raises `InvalidInput` while another spend of the NFT waits, `QuorumNotReached`.
    """
    await session.refresh()
    held = [coin for coin in session.ledger.holders(session.zkbtc.nft) if coin.height is not None]
    if len(held) != 1:
        raise InvalidInput(
            "a spend of the Grail NFT is not in a block yet", hint="wait for the next block"
        )
    purse = session.purse(account.script)
    built = draft_roster(session.context(), session.apps.zkbtc, held[0], roster, purse)
    return await session.complete("roster", built, account)


async def move(session: Session, account: Account, outputs: Sequence[Guarded]) -> Receipt:
    """Move guarded outputs of one older epoch in one transaction; the account pays its fee.

    Raises `InvalidInput`, `InsufficientFunds`, `QuorumNotReached`.
    """
    built = draft_move(session.context(), outputs, session.purse(account.script))
    return await session.complete(MOVE, built, account)


async def move_all(session: Session, account: Account, most: int) -> list[Receipt]:
    """Move what older rosters guard, at most `most` outputs in one transaction.

    What is unconfirmed waits for its block. Each transaction takes a confirmed coin of the account.
    Raises as `move`; what was moved before stays moved.
    """
    await session.refresh()
    done = []
    for batch in batches(_ready(left_behind(session)), most):
        done.append(await move(session, account, batch))
        await session.refresh()
    return done


def _ready(outputs: Sequence[Guarded]) -> list[Guarded]:
    return [each for each in outputs if each.coin.height is not None]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What one roster guards: the vault's part, the ports of apps, and when it rules."""

    epoch: int
    start: int
    end: int | None
    vault: tuple[Coin, ...]
    ports: tuple[Coin, ...]

    @property
    def vault_sats(self) -> int:
        """Sats of zkBTC's plain outputs."""
        return sum(coin.sats for coin in self.vault)

    @property
    def port_sats(self) -> int:
        """Sats under the states of apps."""
        return sum(coin.sats for coin in self.ports)


@dataclass(frozen=True, repr=False)
class Books(Shown):
    """zkBTC's units against the vault's sats, and at which roster's addresses things lie."""

    supply: int
    shelves: tuple[Shelf, ...]

    @property
    def vault(self) -> int:
        """Sats of the vault at the addresses of all rosters."""
        return sum(shelf.vault_sats for shelf in self.shelves)

    @property
    def old(self) -> int:
        """Sats that still lie at addresses of rosters before the newest."""
        return sum(shelf.vault_sats + shelf.port_sats for shelf in self.shelves[:-1])

    def as_dict(self) -> Mapping[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "supply": self.supply,
            "vault": self.vault,
            "at old addresses": self.old,
            "epochs": [
                {
                    "epoch": shelf.epoch,
                    "from": shelf.start,
                    "to": shelf.end,
                    "vault outputs": len(shelf.vault),
                    "vault sats": shelf.vault_sats,
                    "ports": len(shelf.ports),
                    "port sats": shelf.port_sats,
                }
                for shelf in self.shelves
            ],
        }

    def _title(self) -> str:
        return f"{self.supply:,} zkBTC outside, {self.vault:,} sats in the vault"

    def _head(self) -> Sequence[str]:
        return ("epoch", "rules", "vault outputs", "vault sats", "ports", "port sats")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        return [
            (
                shelf.epoch,
                f"{shelf.start} to {'now' if shelf.end is None else shelf.end}",
                len(shelf.vault),
                shelf.vault_sats,
                len(shelf.ports),
                shelf.port_sats,
            )
            for shelf in self.shelves
        ]


async def books(session: Session) -> Books:
    """The books as of the newest block and the mempool."""
    await session.refresh()
    token, found = session.zkbtc.token, guarded(session)
    shelves = []
    for reign in session.ledger.record.reigns:
        mine = [each for each in found if each.epoch == reign.epoch]
        plain = [e.coin for e in mine if e.contract == session.zkbtc and not e.coin.charms]
        ports = [e.coin for e in mine if e.coin.charms]
        shelves.append(Shelf(reign.epoch, reign.start, reign.end, tuple(plain), tuple(ports)))
    held = session.ledger.holders(token)
    return Books(sum(units(coin.charms, token) for coin in held), tuple(shelves))
