"""A network for tests of life with a real chain: two users, a pool, and ways to bend the chain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grail.bitcoin.tx import Tx, TxIn
from grail.charms.app import App, Contract
from grail.connection.connection import Connection, Wallet, connect
from grail.connection.swap import SwapReceipt
from grail.types import TxOut
from grail.wallet.coins import Coin
from grail_devnet.devnet import Devnet


@dataclass
class Life:
    """A network, three users, and a pool of zkBTC and TOK."""

    devnet: Devnet
    net: Connection
    alice: Wallet
    bob: Wallet
    token: App
    pool: Contract

    @property
    def k(self) -> int:
        """Blocks until a deposit counts."""
        return self.net.session.network.k

    def swap(self, wallet: Wallet | None = None, amount: int = 1_000) -> SwapReceipt:
        """One user's swap, whatever it gives."""
        return (wallet or self.bob).swap(self.pool, self.net.zkbtc, amount, least=1)

    def reserve(self) -> int:
        """The pool's zkBTC now, unconfirmed swaps counted."""
        return self.net.pool(self.pool).reserves[self.net.zkbtc]

    def undo(self, depth: int) -> None:
        """Take blocks off the node's chain; what they held waits in its mempool again."""
        node = self.devnet.node
        node.invalidateblock(node.getblockhash(node.getblockcount() - depth + 1))

    def mine_only(self, *txs: Tx) -> None:
        """A block with these transactions and no other."""
        script = self.alice.script.hex()
        raws = [tx.serialize().hex() for tx in txs]
        self.devnet.node.call("generateblock", f"raw({script})", raws)

    def branch(self, blocks: int) -> None:
        """Mine a branch, with another reward than the one that was undone."""
        self.devnet.node.generatetodescriptor(blocks, self.alice.script)

    def pays_itself(self, wallet: Wallet, coin: Coin, fee: int) -> Tx:
        """All of a coin, less a fee, to its owner: what conflicts with whatever spends the coin."""
        out = TxOut(coin.sats - fee, wallet.script)
        tx = Tx(2, (TxIn(coin.outpoint),), (out,))
        return wallet.inner.account.sign(tx, [coin.output], 0)

    def coin_of(self, wallet: Wallet, *, charmed: bool = False) -> Coin:
        """A confirmed coin of a wallet."""
        self.net.portal.call(self.net.session.refresh)
        coins = self.net.session.ledger.coins(wallet.script)
        return next(c for c in coins if c.height is not None and bool(c.charms) == charmed)


@contextmanager
def opened() -> Iterator[Life]:
    """A network of sixteen operators, users with sats and zkBTC, and a pool."""
    with Devnet(progress=lambda _: None) as devnet, connect(devnet.file, progress=False) as net:
        alice, bob = net.wallet("alice"), net.wallet("bob")
        net.faucet(alice, 30_000_000)
        net.faucet(bob, 5_000_000)
        deposit = alice.deposit(12_000_000)
        net.mine(net.session.network.k)
        alice.peg_in(deposit)
        token = alice.issue(10**12, "TOK").token
        net.mine()
        pool = alice.create_pool(net.zkbtc, 5_000_000, token, 10**11, name="POOL").pool
        net.mine()
        alice.transfer(net.zkbtc, 2_000_000, bob)
        net.mine()
        yield Life(devnet, net, alice, bob, token, pool)


def fill(folder: Path) -> Path:
    """Leave no room in a folder's file system."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(512)):
                pass
        except OSError:
            pass
    return path
