"""`grail.connect()`: a running network as one object, with plain calls.

    net = grail.connect()
    alice = net.wallet("alice")
    net.faucet(alice, 1_000_000)

Networks are found in the owner's state folder only, never in the current one (threat D22), and what
the folder says is compared with the chain before anything is asked or paid.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

import anyio

from grail import network_file
from grail.bitcoin.node import VERIFY_REJECTED
from grail.charms.app import App, Contract
from grail.charms.descriptor import Bundle
from grail.charms.history import HistoryKind
from grail.connection.charms_view import CharmsView
from grail.connection.fate import LOST, Fate
from grail.connection.graph import NetworkGraph
from grail.connection.labels import Labels
from grail.connection.receipt import Receipt, Receipts, txid_of
from grail.connection.roster_view import RosterView, roster_view
from grail.connection.rosters import Books, books
from grail.connection.session import Session
from grail.connection.views import (
    Balances,
    PoolView,
    SpellView,
    pool_view,
    spell_view,
)
from grail.connection.wallet import AsyncWallet, Payee
from grail.errors import InvalidInput, NodeError, Unavailable
from grail.folders import private_folder, sweep
from grail.network_file import NetworkFile
from grail.portal import Face, Portal, blocking
from grail.types import Txid
from grail.wallet.account import Account, check_name

POLL_SECONDS = 0.05

FAUCET_TRIES = 5
"""How often the faucet's coins are chosen anew when other programs ask it at the same time."""


class Wallet(Face[AsyncWallet]):
    """A user's wallet with plain calls; `grail.connection.wallet` says what each does."""

    @property
    def name(self) -> str:
        """What the wallet is called on this machine."""
        return self.inner.account.name

    @property
    def address(self) -> str:
        """Where to pay it."""
        return self.inner.account.address

    @property
    def script(self) -> bytes:
        """The scriptPubKey of its address."""
        return self.inner.script

    def __repr__(self) -> str:
        return f"Wallet({self.name!r}, {self.address})"

    coins = blocking(AsyncWallet.coins)
    balance = blocking(AsyncWallet.balance)
    pay = blocking(AsyncWallet.pay)
    deposit = blocking(AsyncWallet.deposit)
    deposits = blocking(AsyncWallet.deposits)
    peg_in = blocking(AsyncWallet.peg_in)
    peg_out = blocking(AsyncWallet.peg_out)
    recover = blocking(AsyncWallet.recover)
    move = blocking(AsyncWallet.move)
    transfer = blocking(AsyncWallet.transfer)
    issue = blocking(AsyncWallet.issue)
    create_pool = blocking(AsyncWallet.create_pool)
    add = blocking(AsyncWallet.add)
    remove = blocking(AsyncWallet.remove)
    swap = blocking(AsyncWallet.swap)
    retry = blocking(AsyncWallet.retry)
    raise_fee = blocking(AsyncWallet.raise_fee)


class Connection:
    """An open network. Close it, or use it with `with`."""

    def __init__(self, session: Session, portal: Portal, *, shown: bool) -> None:
        self.session = session
        self.portal = portal
        self._shown = shown
        self._wallets: dict[str, Wallet] = {}
        sweep(session.file.folder)
        self._folder = private_folder(session.file.folder / "wallets")
        self.labels = Labels(session.file.folder, self.zkbtc)

    def __repr__(self) -> str:
        return f"Connection({self.name!r}, height {self.session.ledger.height})"

    @property
    def name(self) -> str:
        """The network's name."""
        return self.session.file.name

    @property
    def zkbtc(self) -> App:
        """The token that is backed by BTC in the vault, one unit a sat."""
        return self.session.zkbtc.token

    @property
    def height(self) -> int:
        """The height of the newest block."""
        return self.portal.call(self.session.refresh).height - 1

    @property
    def receipts(self) -> Receipts:
        """What was published through this connection, in order."""
        return Receipts(self.session.receipts)

    def wallet(self, name: str) -> Wallet:
        """The wallet of this name; made, with a fresh key, when there is none."""
        if name not in self._wallets:
            check_name(name)  # before it becomes part of a path
            path = self._folder / f"{name}.json"
            chain = self.session.network.chain
            account = Account.load(path, chain) if path.exists() else Account.create(path, chain)
            self._wallets[name] = self._opened(account)
        return self._wallets[name]

    def existing(self, name: str) -> Wallet:
        """The wallet of this name. Raises `InvalidInput` when there is none."""
        check_name(name)
        if not (self._folder / f"{name}.json").exists():
            raise InvalidInput(
                f"no wallet is called {name!r} here",
                hint=f"make it: grail address --wallet {name}",
            )
        return self.wallet(name)

    def learn(self, bundle: Bundle) -> None:
        """Make an app of your own known, so that charms of its contracts are read and judged."""
        self.session.ledger.learn(bundle)

    def _opened(self, account: Account) -> Wallet:
        inner = AsyncWallet(self.session, account, self.labels, shown=self._shown)
        return Wallet(inner, self.portal)

    def wallets(self) -> list[Wallet]:
        """All wallets of this network on this machine, by name."""
        return [self.wallet(path.stem) for path in sorted(self._folder.glob("*.json"))]

    def faucet(self, to: Payee, sats: int) -> Receipt:
        """Have the devnet pay sats, confirmed at once."""
        faucet = self._opened(self.session.faucet())
        for attempt in range(FAUCET_TRIES):
            try:
                receipt = faucet.pay(sats, to)
                break
            except NodeError as exc:
                # another program was given the same coin a moment ago
                if exc.code != VERIFY_REJECTED or attempt == FAUCET_TRIES - 1:
                    raise
        self.mine()
        return receipt

    def mine(self, blocks: int = 1) -> int:
        """Mine blocks on a devnet; returns the new height."""
        return self.portal.call(self.session.mine, blocks)

    def token(self, name: str) -> App:
        """The token of this name here, or of the text `t/identity/vk`. Raises `InvalidInput`."""
        return self.labels.find(name)

    def pool(self, contract: Contract | App | str) -> PoolView:
        """A pool as it is now, by contract (or its text, or the name of its shares)."""
        return self.portal.call(pool_view, self.session, self.labels, self.contract(contract))

    def contract(self, which: Contract | App | str) -> Contract:
        """A contract by itself, one of its apps, a name, or its text. Raises `InvalidInput`."""
        if isinstance(which, Contract):
            return which
        if isinstance(which, App):
            return which.contract
        if which.count("/") == 1:
            return Contract.from_text(which)
        return self.labels.find(which, "pool").contract

    def spell(self, txid: Txid | str) -> SpellView | CharmsView:
        """What a transaction does to charms, and whether the rules hold."""
        return self.portal.call(spell_view, self.session, self.labels, txid_of(txid))

    def balances(self, *wallets: Wallet) -> Balances:
        """What some wallets hold, all of this machine's when none is named."""
        return Balances(wallet.balance() for wallet in wallets or self.wallets())

    def books(self) -> Books:
        """Units of zkBTC against the vault's sats, and what lies at which roster's addresses."""
        return self.portal.call(books, self.session)

    @property
    def roster(self) -> RosterView:
        """Who the operators are, what runs there, and whether all see the same.

        Raises `Unavailable` where none of them keeps a roster.
        """
        return self.portal.call(roster_view, self.session)

    def graph(self) -> NetworkGraph:
        """The operators and their links, as a picture. Raises as `roster`."""
        return NetworkGraph(self.roster)

    def fate(self, receipt: Receipt | Txid | str) -> Fate:
        """What became of a transaction: in a block, waiting, dropped and sent again, or lost.

        Raises `InvalidInput` for one that nobody here knows.
        """
        return self.portal.call(self.session.fate, txid_of(receipt))

    def lost(self) -> list[Fate]:
        """The transactions published here whose place another one has taken in a block."""
        self.portal.call(self.session.refresh)
        fates = [
            self.session.outbox.fate(self.session.ledger, s.tx.txid) for s in self.session.outbox
        ]
        return [fate for fate in fates if fate.state == LOST]

    def wait(self, receipt: Receipt, confirmations: int = 1, seconds: float = 60) -> int:
        """Wait until a transaction is so deep in the chain; returns how deep it is.

        Raises `Unavailable` when that takes too long, `Superseded` when a block holds another
        spend of what it spends.
        """
        return self.portal.call(_wait, self.session, receipt.txid, confirmations, seconds)

    def close(self) -> None:
        """Close the connections and end the loop. Closing twice is nothing."""
        if self.portal.alive:
            self.portal.call(self.session.close)
        self.portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


async def _wait(session: Session, txid: Txid, confirmations: int, seconds: float) -> int:
    deadline = anyio.current_time() + seconds
    while True:
        found = await session.fate(txid)
        found.check()
        depth = found.depth
        if depth >= confirmations:
            return depth
        if anyio.current_time() >= deadline:
            raise Unavailable(
                f"transaction {txid} has {depth} of {confirmations} confirmations after "
                f"{seconds:.0f} s",
                hint="on a devnet: mine()",
            )
        await anyio.sleep(POLL_SECONDS)


def connect(
    network: str | NetworkFile | None = None,
    *,
    progress: bool = True,
    history: HistoryKind = "full",
) -> Connection:
    """Open the devnet that runs on this machine, the one of this name if there are several.

    A network elsewhere is opened by its `NetworkFile`, which nobody finds by accident. `progress`
    shows a bar for long calls where somebody looks (a terminal, a notebook). `history` "full"
    checks every spell back to its mint and takes nobody's word; "anchored" takes what the ruling
    quorum signed as correct, which is faster on a long chain and needs no bundle of it. Raises
    `Unavailable` when none runs, `Incorrect` when its files and its chain do not fit together,
    `InvalidInput` for another `history`.
    """
    kinds = get_args(HistoryKind)
    if history not in kinds:
        raise InvalidInput(f"history {history!r}, expected {' or '.join(kinds)}")
    _warn_of_planted(Path.cwd())
    found = network if isinstance(network, NetworkFile) else network_file.find(network)
    portal = Portal()
    try:
        session = portal.call(Session.open, found, history)
    except BaseException:
        portal.close()
        raise
    return Connection(session, portal, shown=progress)


def _warn_of_planted(folder: Path) -> None:
    """A network's file that lies in the current folder came with somebody's project (D22)."""
    planted = folder / network_file.FILE
    if planted.exists():
        warnings.warn(
            f"{planted} is ignored: networks are found in your state folder only", stacklevel=3
        )
