"""The story of a roster change on a running network: what lay where before it, and what after.

Vault outputs, pools and open deposits, then one operator is replaced, and everything is counted
again. Used by the tests of a devnet and by the acceptance run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from grail.charms.app import App, Contract, canonical
from grail.connection.connection import Connection, Wallet, connect
from grail.connection.deposits import PendingDeposit
from grail.connection.rosters import Books, books, guarded
from grail.connection.swap import pool_port
from grail_devnet.devnet import Devnet
from grail_devnet.roster_change import RosterChanged

DELAY = 144
"""Blocks until an open deposit of the story may be taken back."""

EACH = 120_000
"""Sats of a deposit: the vault output that comes of it is above the least that may be made."""


@dataclass(frozen=True)
class Count:
    """Everything that must not change by a change of roster."""

    supply: int
    vault: int
    vault_outputs: int
    states: dict[str, bytes]
    tokens: dict[str, int]

    @classmethod
    def of(cls, net: Connection, wallets: list[Wallet], tokens: list[App]) -> Count:
        """Counted on chain: outputs, states with their sats and tokens, what wallets hold."""
        found = net.portal.call(books, net.session)
        states = {
            str(each.contract): canonical(
                [
                    each.coin.sats,
                    [[str(app), data] for app, data in sorted(each.coin.charms.items())],
                ]
            )
            for each in guarded(net.session)
            if each.coin.charms
        }
        held = {
            f"{wallet.name} {net.labels.show(token)}": wallet.balance().units(token)
            for wallet in wallets
            for token in tokens
        }
        outputs = sum(len(shelf.vault) for shelf in found.shelves)
        return cls(found.supply, found.vault, outputs, states, held)


@dataclass
class Story:
    """A network with something in every place."""

    network: Devnet
    net: Connection
    alice: Wallet
    token: App
    pools: list[Contract]
    open: list[PendingDeposit]
    seconds: float = 0.0

    @classmethod
    def begun(cls, network: Devnet, *, outputs: int, pools: int, deposits: int) -> Story:
        """Vault outputs from served deposits, pools of zkBTC and a token, deposits left open."""
        net = connect(network.file, progress=False)
        alice = net.wallet("alice")
        net.faucet(alice, 3_000_000)
        address = alice.deposit(EACH).deposit.address
        net.mine()
        funded = outputs - 1
        if funded:
            network._portal.call(network._faucet().pay, [(address, EACH)] * funded)
        net.mine(net.session.network.k)
        for pending in alice.deposits():
            alice.peg_in(pending)
        net.mine()
        token = alice.issue(1_000_000, name="MAKE").token
        net.mine()
        made = []
        for number in range(pools):
            made.append(
                alice.create_pool(net.zkbtc, 50_000, token, 60_000 + number, name=f"P{number}").pool
            )
            net.mine()
        open_ = [alice.deposit(90_000 + at, delay=DELAY) for at in range(deposits)]
        net.mine()
        return cls(network, net, alice, token, made, open_)

    def count(self) -> Count:
        """Everything as it is now."""
        return Count.of(self.net, [self.alice], [self.net.zkbtc, self.token])

    def change(self, remove: str) -> RosterChanged:
        """One operator is replaced; nothing but the addresses changes by it."""
        before, begun = self.count(), time.monotonic()
        changed = self.network.change_roster(remove=[remove], add=1)
        self.seconds = time.monotonic() - begun
        after = self.count()
        assert after == before
        assert after.supply == after.vault > 0
        assert len(after.states) == len(self.pools)
        assert changed.after.old == 0
        assert len(changed.after.shelves) == changed.epoch + 1
        return changed

    def pending(self) -> list[PendingDeposit]:
        """The open deposits, all at addresses of the roster before."""
        old = {deposit.coin.outpoint for deposit in self.open}
        return [each for each in self.alice.deposits() if each.coin.outpoint in old]

    def serve(self, count: int) -> int:
        """Open deposits served to the new vault; sats in it are units outside, as ever."""
        self.net.mine(self.net.session.network.k)
        before = self.books().supply
        for pending in self.pending()[:count]:
            self.alice.peg_in(pending)
        self.net.mine()
        found = self.books()
        assert found.supply == found.vault
        assert found.old == 0
        return found.supply - before

    def recover(self) -> int:
        """What is left of the open deposits goes back to its owner; the number of them."""
        self.net.mine(DELAY)
        left = self.pending()
        for pending in left:
            self.alice.recover(pending)
        self.net.mine()
        assert not self.pending()
        return len(left)

    def swap(self, pool: Contract) -> int:
        """A swap on a moved pool; what came out."""
        got = self.alice.swap(pool, self.net.zkbtc, 1_000).got
        self.net.mine()
        port = pool_port(self.net.session, pool)
        script = self.net.session.context().guard(pool).script_pubkey
        assert port.coin.output.script == script
        return got

    def books(self) -> Books:
        """zkBTC's books."""
        return self.net.portal.call(books, self.net.session)


def whole(network: Devnet, *, outputs: int, pools: int, deposits: int) -> str:
    """The whole story on a fresh network, and its line."""
    story = Story.begun(network, outputs=outputs, pools=pools, deposits=deposits)
    with story.net:
        start = story.count()
        changed = story.change("operator-02")
        # One more is paid to an old address, when its roster rules no more.
        late = story.net.faucet(story.open[0].deposit.address, 95_000)
        served = story.serve(deposits - 2)
        network.retire(*changed.left)
        got = [story.swap(pool) for pool in story.pools]
        assert all(amount > 0 for amount in got)
        # The old quorum is one member less by now, and serves what came late all the same.
        (once_more,) = [e for e in story.alice.deposits() if e.coin.outpoint.txid == late.txid]
        story.alice.peg_in(once_more)
        story.net.mine()
        recovered = story.recover()
        assert recovered == 2
        end = story.books()
        assert end.supply == end.vault
        assert end.old == 0
        assert not story.alice.deposits()
        moved = sum(shelf.vault_sats for shelf in changed.after.shelves)
        return (
            f"{start.vault_outputs} vault outputs ({moved:,} sats) and {len(story.pools)} pools "
            f"moved in {len(changed.moves)} transactions, {story.seconds:.1f} s with the spell; "
            f"difference {end.supply - end.vault} sat, left at old addresses {end.old}; open "
            f"deposits: {deposits - 2} and one late served by the old quorum ({served:,} units), "
            f"{recovered} recovered; {len(got)} swaps on moved pools"
        )
