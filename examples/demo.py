"""The main job on a network of one's own: peg in, transfer, swap, peg out, recover, and refusals.

Starts a Bitcoin node on regtest and 16 operators, does everything for real, shows what must be
refused, and ends with all transactions and with books that add up to the sat. Exits 0 only when
everything was as it must be. `make demo` runs it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from books import Books, UnitsRow
from rich.console import Console
from rich.table import Table

from grail.charms.app import App, Contract
from grail.commands.terminal import errors_in_one_line
from grail.connection.connection import Connection, Wallet, connect
from grail.connection.deposits import PendingDeposit
from grail.connection.receipt import Receipt
from grail.errors import GrailError, QuorumNotReached
from grail.operators.asking import Limits
from grail_devnet import attacks
from grail_devnet.attacks import Attack, Verdict
from grail_devnet.devnet import Devnet
from grail_devnet.enclave_socket import SocketTransport

PAUSED = 5
"""One more than may be missing: 16 operators, 12 must sign."""

SECONDS = 60.0
"""What the whole may take on a warm machine."""

DELAY = 144
"""Blocks after which the unserved deposit goes back: the fewest that the protocol allows."""

WIDE = 144
"""Columns that the table of transactions takes with whole txids in it."""


@dataclass
class Demo:
    """The network, its users, and what was found so far."""

    console: Console
    devnet: Devnet
    net: Connection
    alice: Wallet
    bob: Wallet
    faults: list[str] = field(default_factory=list)
    refusals: int = 0
    started: float = field(default_factory=time.monotonic)

    # ---- what is shown

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what is being done, and how long it took."""
        begun = time.monotonic()
        with self.console.status(text):
            yield
        seconds = f"{time.monotonic() - begun:.1f} s"
        self.console.print(f"[green]done[/]  {text}  [dim]{seconds}[/]", soft_wrap=True)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a fault unless something holds."""
        if not holds:
            self.faults.append(otherwise)
            self.console.print(f"[red]FAULT[/] {otherwise}", highlight=False)

    def refused(self, title: str, rule: str, by: str, why: str, *, held: bool) -> None:
        """Show one refusal, by whom and why."""
        self.refusals += held
        mark = "[green]refused[/]" if held else "[red]NOT REFUSED[/]"
        self.console.print(f"{mark}  {title}: [bold]{rule}[/], by {by}")
        self.console.print(
            f"         {why}", highlight=False, markup=False, style="dim", soft_wrap=True
        )
        self.expect(held, f"{title}: not refused as it must be")

    # ---- what must be refused

    def attack(self, attack: Attack) -> None:
        """Put an attack to every enclave, past its host and past the SDK's own checks."""
        session = self.net.session
        operators = sorted(self.devnet.file.operators, key=lambda operator: operator.key)
        sockets = SocketTransport([operator.socket for operator in operators])
        verdict: Verdict = self.net.portal.call(
            attacks.ask, session, attack, sockets, len(operators)
        )
        said = next(iter(verdict.refusals.values()), None)
        why = f"{said.message}; got {said.got}; expected {said.expected}" if said else ""
        self.refused(
            attack.title,
            said.rule if said else "nothing",
            f"{len(verdict.refusals)} of {len(operators)} enclaves, each signed",
            why or str(verdict.others),
            held=verdict.refused and len(verdict.refusals) == len(operators),
        )

    def mints(self, deposit: PendingDeposit) -> None:
        """Two mints that nobody deposited for."""
        call, session = self.net.portal.call, self.net.session
        thief = self.bob.inner.account
        self.attack(call(attacks.inflated_mint, session, deposit))
        self.attack(call(attacks.diverted_mint, session, deposit, thief))

    def thefts(self, pool: Contract) -> None:
        """Three ways to take more out of a pool than one may."""
        call, session = self.net.portal.call, self.net.session
        thief, give = self.bob.inner.account, self.net.zkbtc
        self.attack(call(attacks.greedy_swap, session, thief, pool, give, 10_000))
        self.attack(call(attacks.replayed_proof, session, thief, pool, give, 10_000))
        self.attack(call(attacks.unproven_move, session, thief, pool))

    def too_few(self, pool: Contract) -> None:
        """A swap with eleven operators up, and the same swap when the others are back."""
        names = [operator.name for operator in self.devnet.file.operators[:PAUSED]]
        for name in names:
            self.devnet.pause(name)
        self.net.session.limits = Limits(answer=2.0)
        try:
            self.bob.swap(pool, self.net.zkbtc, 10_000)
        except QuorumNotReached as exc:
            silent = sorted(name for name, said in exc.replies.items() if "silent" in said)
            held = exc.detail.startswith("11 of 12") and len(silent) == PAUSED
            self.refused(
                "a quorum not reached with 11 operators up",
                exc.rule,
                "the network: " + ", ".join(names) + " are stopped",
                exc.detail,
                held=held,
            )
        else:
            self.refused("a swap with 11 operators up", "nothing", "nobody", "", held=False)
        finally:
            for name in names:
                self.devnet.resume(name)
            self.net.session.limits = Limits()
        with self.step("the five go on: the same swap completes"):
            swapped = self.bob.swap(pool, self.net.zkbtc, 10_000)
            self.expect(swapped.signers >= 12, "the swap was not signed by a quorum")


def main() -> int:
    """Run the demo; the exit code says whether everything held."""
    console = Console() if sys.stdout.isatty() else Console(width=160)
    begun = time.monotonic()
    with Devnet(deploy=False, progress=lambda text: console.print(f"[dim]      {text}[/]")) as up:
        console.print(f"[green]done[/]  16 operators and a node are up  [dim]{_since(begun)}[/]")
        deployed = up.deploy()
        console.print(f"[green]done[/]  zkBTC is deployed: {deployed.tx.txid}")
        with connect(up.name, progress=False) as net:
            demo = Demo(console, up, net, net.wallet("alice"), net.wallet("bob"))
            books = Books(net, deployed)
            try:
                token, pool = story(demo)
            except GrailError as exc:
                demo.expect(False, f"{type(exc).__name__}: {exc}")
            else:
                net.mine()
                finish(demo, books, token, pool)
    seconds = time.monotonic() - begun
    demo.expect(seconds < SECONDS, f"the demo took {seconds:.0f} s, expected {SECONDS:.0f}")
    console.print(f"refused as they must be: {demo.refusals} of 6; {seconds:.1f} s in all")
    return 1 if demo.faults or demo.refusals != 6 else 0


def story(demo: Demo) -> tuple[App, Contract]:
    """Everything in order; returns the second token and its pool."""
    net, alice, bob = demo.net, demo.alice, demo.bob
    with demo.step("the faucet pays Alice 3,000,000 and Bob 1,000,000 sats"):
        net.faucet(alice, 3_000_000)
        net.faucet(bob, 1_000_000)
    with demo.step("Alice pays 1,000,000 sats to her deposit address, Bob 100,000 to his"):
        deposit = alice.deposit(1_000_000)
        unserved = bob.deposit(100_000, delay=DELAY)
        net.mine(net.session.network.k)
    demo.mints(deposit)
    with demo.step("peg-in: the vault gains the deposit, Alice the same number of zkBTC"):
        alice.peg_in(deposit)
        net.mine()
    with demo.step("transfer: Alice gives Bob 200,000 zkBTC"):
        alice.transfer(net.zkbtc, 200_000, bob)
    with demo.step("Alice issues a second token, TOK"):
        token = alice.issue(1_000_000_000, "TOK").token
    with demo.step("Alice opens a pool of zkBTC and TOK, and adds to it"):
        pool = alice.create_pool(net.zkbtc, 100_000, token, 400_000_000, name="POOL").pool
        net.mine()
        alice.add(pool, 50_000, 200_000_000)
    with demo.step("Bob swaps 10,000 zkBTC for TOK"):
        swapped = bob.swap(pool, net.zkbtc, 10_000)
    demo.console.print(f"      Bob got {swapped.got:,} TOK")
    net.mine()
    demo.thefts(pool)
    demo.too_few(pool)
    net.mine()
    with demo.step("peg-out: Bob burns 150,000 zkBTC for sats"):
        bob.peg_out(150_000)
    with demo.step(f"recovery: Bob takes back the deposit that nobody served, {DELAY} blocks on"):
        net.mine(DELAY)
        bob.recover(unserved)
    return token, pool


def finish(demo: Demo, books: Books, token: App, pool: Contract) -> None:
    """The tables, and whether they hold."""
    receipts = books.receipts()
    show_transactions(demo.console, receipts)
    for receipt in receipts:
        depth = demo.net.session.ledger.confirmations(receipt.txid)
        demo.expect(depth > 0, f"{receipt.what} {receipt.txid} is in no block")
    money = books.money([demo.alice, demo.bob], pool)
    shown = Table(title="where the sats are", title_justify="left")
    shown.add_column("what")
    shown.add_column("sats", justify="right")
    for what, sats in money.lines:
        shown.add_row(what, f"{sats:,}")
    shown.add_section()
    shown.add_row("difference", f"{money.difference:,}")
    demo.console.print(shown)
    demo.expect(money.difference == 0, f"the sats differ by {money.difference}")
    rows = books.units([demo.alice, demo.bob], token, pool)
    show_units(demo.console, rows)
    for row in rows:
        demo.expect(row.holds, f"{row.token}: the units do not add up")
    demo.console.print(f"difference {money.difference} sat")


def show_transactions(console: Console, receipts: Sequence[Receipt]) -> None:
    """The table of transactions; in a narrow terminal their txids stand below it, one a line.

    A txid that is folded inside a cell cannot be copied.
    """
    wide = console.width >= WIDE
    table = Table(title="transactions", title_justify="left")
    first = "txid" if wide else "no."
    for name in (first, "what", "fee", "vsize", "constraints", "proof ms", "signing ms"):
        side: Literal["left", "right"] = "left" if name in ("txid", "what") else "right"
        table.add_column(name, justify=side, no_wrap=wide)
    for number, receipt in enumerate(receipts, 1):
        table.add_row(str(receipt.txid) if wide else str(number), *_cells(receipt))
    console.print(table)
    if not wide:
        for number, receipt in enumerate(receipts, 1):
            console.print(f"{number:>3}  {receipt.txid}", soft_wrap=True)


def show_units(console: Console, rows: Sequence[UnitsRow]) -> None:
    """The table of units, in full in 80 columns: without edges."""
    table = Table(
        title="where the units are", title_justify="left", show_edge=False, pad_edge=False
    )
    for name in ("token", "Alice", "Bob", "pool", "in all", "expected"):
        table.add_column(name, justify="left" if name == "token" else "right", no_wrap=True)
    for row in rows:
        table.add_row(row.token, *(f"{amount:,}" for amount in row.amounts))
    console.print(table)


def _cells(receipt: Receipt) -> tuple[str, ...]:
    proof = f"{1000 * receipt.proving_seconds:.0f}" if receipt.constraints else ""
    signing = f"{1000 * receipt.signing_seconds:.0f}" if receipt.signers else ""
    constraints = f"{receipt.constraints:,}" if receipt.constraints else ""
    return (
        receipt.what,
        f"{receipt.fee:,}",
        f"{receipt.vsize:,}",
        constraints,
        proof,
        signing,
    )


def _since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f} s"


if __name__ == "__main__":
    with errors_in_one_line():
        sys.exit(main())
