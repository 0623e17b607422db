"""A wallet's deposits: the terms it used, and which of them wait on chain.

Terms are what an address cannot be found without, so each is written down before anything is paid
to its address.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from grail.bridge.deposit import DELAY, MAX_FEE, Deposit
from grail.bridge.recovery import recoverable_at
from grail.connection.display import Cell, Shown
from grail.draft.assembled import Context
from grail.errors import DecodeError
from grail.folders import unwritable, write_private
from grail.wallet.account import Account
from grail.wallet.coins import Coin
from grail.wallet.ledger import Ledger


@dataclass(frozen=True, repr=False)
class PendingDeposit(Shown):
    """BTC at a deposit address that nobody has served or taken back yet."""

    deposit: Deposit
    coin: Coin
    tip: int

    @property
    def sats(self) -> int:
        """How much was paid to the address."""
        return self.coin.sats

    @property
    def confirmations(self) -> int:
        """How deep it lies in the chain; the operators want `k` of them."""
        return 0 if self.coin.height is None else self.tip - self.coin.height + 1

    @property
    def recoverable_at(self) -> int | None:
        """The height from which its owner can take it back; None while unconfirmed."""
        return recoverable_at(self.deposit, self.coin)

    def as_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "address": self.deposit.address,
            "outpoint": str(self.coin.outpoint),
            "sats": self.sats,
            "confirmations": self.confirmations,
            "max_fee": self.deposit.max_fee,
            "recoverable_at": self.recoverable_at,
        }

    def _title(self) -> str:
        return "deposit"

    def _head(self) -> tuple[str, str]:
        return ("", "")

    def _rows(self) -> list[tuple[Cell, Cell]]:
        # no name is longer than 12 characters: an outpoint then fits a line of 80
        back = self.recoverable_at
        return [
            ("address", self.deposit.address),
            ("outpoint", str(self.coin.outpoint)),
            ("sats", f"{self.sats:,}"),
            ("depth", f"{self.confirmations} blocks"),
            ("max fee", f"{self.deposit.max_fee:,} sats"),
            (
                "take back at",
                f"{self.deposit.delay:,} blocks after its own block"
                if back is None
                else f"height {back:,}, unless served before",
            ),
        ]


class Terms:
    """The deposit terms that a wallet ever used: pairs of max fee and delay."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: set[tuple[int, int]] = {(MAX_FEE, DELAY)}
        self._read()

    def _read(self) -> None:
        """Take in what the file has, also by other programs since the last time."""
        try:
            listed = json.loads(self._path.read_text())
            self._used |= {(int(fee), int(delay)) for fee, delay in listed}
        except FileNotFoundError:
            return
        except (ValueError, TypeError, OverflowError, RecursionError) as exc:
            raise DecodeError(f"{self._path}: not a list of deposit terms") from exc

    def remember(self, deposit: Deposit) -> None:
        """Write the terms down, before anything is paid to the address.

        Several programs may use one wallet: none drops what another wrote.
        """
        terms = (deposit.max_fee, deposit.delay)
        if terms in self._used:
            return
        try:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as exc:
            raise unwritable(self._path, exc) from exc
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # for two small files' time
            self._read()
            used = self._used | {terms}
            write_private(self._path, json.dumps(sorted(used)).encode())
            self._used = used
        finally:
            os.close(folder)

    def pending(self, context: Context, account: Account, ledger: Ledger) -> list[PendingDeposit]:
        """The account's deposits that wait on chain, of every roster and all terms used."""
        self._read()
        found = []
        for max_fee, delay in sorted(self._used):
            made = Deposit.of(
                context, account.script, account.internal_key, max_fee=max_fee, delay=delay
            )
            for roster in context.record.rosters:
                deposit = replace(made, roster=roster)
                found += [
                    PendingDeposit(deposit, coin, ledger.height)
                    for coin in ledger.coins(deposit.script)
                ]
        return found
