"""What everybody has, read by a client that has seen nothing before, and what may not change.

Every sat and every unit is accounted for: what users, vault and pool hold falls by the fees of what
was confirmed in between and by nothing else, vault and zkBTC stay equal, no token appears or goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grail.bitcoin.network import REGTEST
from grail.charms.app import App
from grail.connection.connection import Connection, connect
from grail.connection.outbox import Sent
from grail.connection.session import Session
from grail.connection.unfinished import Unfinished
from grail.network_file import NetworkFile
from grail.types import TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Balance, Coin


@dataclass(frozen=True)
class Held:
    """What one user has: sats of any kind, sats at deposit addresses, units by token."""

    sats: int
    deposits: int
    units: dict[App, int]


@dataclass(frozen=True)
class Books:
    """Everybody's holdings at one height; `fees` is what all transactions below it paid."""

    height: int
    users: dict[str, Held]
    vault: int
    pool_sats: int
    zkbtc: App
    supply: dict[App, int]
    fees: int

    @property
    def wealth(self) -> int:
        """All sats that are not the miner's."""
        held = sum(user.sats + user.deposits for user in self.users.values())
        return held + self.vault + self.pool_sats

    def check(self) -> None:
        """Raise `AssertionError` unless vault and zkBTC are equal."""
        units = self.supply.get(self.zkbtc, 0)
        assert self.vault == units, f"vault {self.vault} sats, zkBTC {units} units"

    def check_since(self, before: Books) -> None:
        """Raise `AssertionError` when anything was lost, doubled or made since then."""
        self.check()
        paid = self.fees - before.fees
        lost = before.wealth - self.wealth
        assert lost == paid, f"{lost} sats less than before, {paid} of them fees"
        for token, units in before.supply.items():
            if token != self.zkbtc:
                now = self.supply.get(token, 0)
                assert now == units, f"{token}: {now} units, {units} before"


def read(file: NetworkFile) -> Books:
    """The books of a network as a fresh scan of its chain gives them."""
    with connect(file, progress=False) as net:
        return net.portal.call(_books, net, [wallet.inner for wallet in net.wallets()])


async def _books(net: Connection, wallets: Iterable[object]) -> Books:
    session = net.session
    await session.refresh()
    ledger = session.ledger
    users = {}
    for wallet in wallets:
        balance = Balance.of(ledger.coins(wallet.script))  # type: ignore[attr-defined]
        pending = await wallet.deposits()  # type: ignore[attr-defined]
        users[wallet.account.name] = Held(  # type: ignore[attr-defined]
            balance.sats + balance.carriers, sum(d.sats for d in pending), dict(balance.tokens)
        )
    vault = sum(coin.sats for coin in session.vault())
    pools, supply = 0, dict[App, int]()
    for coin in _charmed(session):
        for app, data in coin.charms.items():
            if app.tag == "t":
                supply[app] = supply.get(app, 0) + data
            elif app.vk == session.apps.pool.vk:
                pools += coin.sats
    return Books(
        ledger.height, users, vault, pools, net.zkbtc, supply, await _fees(session, ledger.height)
    )


def _charmed(session: Session) -> list[Coin]:
    view = session.ledger._view
    found = [session.ledger.coin(outpoint) for outpoint, coin in view.unspent() if coin.charms]
    return [coin for coin in found if coin is not None]


async def _fees(session: Session, height: int) -> int:
    """The fees of all confirmed transactions that the miner did not make himself."""
    ledger, faucet = session.ledger, session.faucet().script
    total = 0
    for block in ledger._blocks[: height + 1]:
        for txid in block.txids[1:]:
            tx = await ledger.transaction(txid)
            spent: list[TxOut] = []
            for txin in tx.inputs:
                parent = await ledger.transaction(txin.outpoint.txid)
                spent.append(parent.outputs[txin.outpoint.vout])
            if any(output.script == faucet for output in spent):
                continue
            total += sum(o.sats for o in spent) - sum(o.sats for o in tx.outputs)
    return total


def check_folder(folder: Path) -> None:
    """Raise unless every file of the clients is whole, and no half of one lies about."""
    for path in (folder / "wallets").iterdir():
        if path.suffix == ".json":
            Account.load(path, REGTEST)
        elif path.suffix == ".deposits":
            json.loads(path.read_text())
    for kind, name in ((Unfinished, "unfinished"), (Sent, "sent")):
        for path in (folder / name).iterdir():
            if len(path.name) == 64:
                kind.parse(path.read_bytes())
    left = [
        str(path.relative_to(folder))
        for where in (folder, folder / "wallets", folder / "unfinished", folder / "sent")
        for path in where.glob(".*")
    ]
    assert not left, f"half-written files: {left}"
