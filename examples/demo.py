"""The main job on a network of one's own: peg in, transfer, swap, peg out, recover, and refusals.

Starts a Bitcoin node on regtest and 16 operators, does everything for real, shows what must be
refused, parts and heals the network, replaces an operator, and ends with all transactions and with
books that add up to the sat. Exits 0 only when everything was as it must be. `make demo` runs it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
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
from grail.wallet.account import Account
from grail_devnet import attacks
from grail_devnet.attacks import Attack, Verdict
from grail_devnet.devnet import Devnet
from grail_devnet.enclave_socket import SocketTransport
from grail_devnet.genesis import Deployed
from grail_devnet.roster_change import PAYER, RosterChanged

PAUSED = 5
"""One more than may be missing: 16 operators, 12 must sign."""

AWAY = ("operator-15", "operator-16")
"""Whom the partition cuts off: two, so that twelve of the others sign."""

LEAVES = "operator-02"
"""Who is replaced."""

REFUSALS = 7
"""What must be refused: two mints, three thefts, a quorum that is not there, an impostor."""

SECONDS = 180.0
"""What the whole may take on a warm machine."""

HEARD_SECONDS = 60.0
"""For signs of life to go round; at rest each operator talks to some others every five seconds."""

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

    # ---- the operators' network

    def lived_since(self, moment: float) -> set[str]:
        """Who is known to have lived after a moment, by what the others say of it."""
        now = time.monotonic()
        members = self.net.roster.members
        return {m.name for m in members if m.alive is not None and m.alive < now - moment}

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Wait for something; note a fault when it takes too long."""
        deadline = time.monotonic() + HEARD_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                return self.expect(False, otherwise)
            time.sleep(0.5)
        return None

    def impostor(self) -> None:
        """An enclave that differs in one line, and what it is told."""
        turned = self.devnet.impostor()
        self.refused(
            f"a link for an enclave with one line more in {turned.changed}",
            turned.rule,
            f"the enclave of {turned.operator}",
            f"{turned.message}; got PCR0 {turned.pcr0.hex()[:24]}...",
            held=turned.rule == "PcrUnaccepted",
        )

    @contextmanager
    def partition(self) -> Iterator[None]:
        """Two operators hear nobody else while the block runs, and everybody sees it."""
        away, names = set(AWAY), {operator.name for operator in self.devnet.file.operators}
        self.console.print(f"      a partition: {' and '.join(AWAY)} hear nobody but each other")
        self.devnet.partition(AWAY)
        settled = time.monotonic() + 1.0  # what was under way may have arrived
        yield
        with self.step("the others notice it"):
            self.until(
                lambda: self.lived_since(settled) == names - away, "the partition was not seen"
            )
        ages = {m.name: m.alive or 0.0 for m in self.net.roster.members}
        near = max(age for name, age in ages.items() if name not in away)
        far = min(ages[name] for name in away)
        self.console.print(
            f"      net.roster: {' and '.join(AWAY)} were last seen {far:.0f} s ago, "
            f"each of the other {len(names - away)} within {near:.0f} s"
        )
        with self.step("healed: all 16 hear of each other again"):
            self.devnet.heal()
            healed = time.monotonic()
            self.until(lambda: self.lived_since(healed) == names, "it did not heal")

    def replaced(self) -> RosterChanged:
        """A fresh operator takes another one's seat; what is guarded moves to the new addresses."""
        with self.step(f"a fresh operator in the place of {LEAVES}, vault and pool moved along"):
            changed = self.devnet.change_roster(remove=[LEAVES], add=1, progress=str)
        self.console.print(f"      {changed.title}")
        self.expect(changed.left == (LEAVES,), "the operator was not replaced")
        self.expect(changed.difference == 0, "the roster change lost something")
        self.expect(changed.after.old == 0, "something was left at the old addresses")
        self.expect(changed.after.supply == changed.after.vault, "zkBTC is not backed")
        return changed

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
            try:
                token, pool, changed = story(demo)
            except GrailError as exc:
                demo.expect(False, f"{type(exc).__name__}: {exc}")
            else:
                net.mine()
                finish(demo, deployed, changed, token, pool)
    seconds = time.monotonic() - begun
    demo.expect(seconds < SECONDS, f"the demo took {seconds:.0f} s, expected {SECONDS:.0f}")
    console.print(f"refused as they must be: {demo.refusals} of {REFUSALS}; {seconds:.1f} s in all")
    return 1 if demo.faults or demo.refusals != REFUSALS else 0


def story(demo: Demo) -> tuple[App, Contract, RosterChanged]:
    """Everything in order; returns the second token, its pool, and how the roster changed."""
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
    with demo.partition():
        with demo.step("peg-out: Bob burns 150,000 zkBTC for sats"):
            bob.peg_out(150_000)
        with demo.step(
            f"recovery: Bob takes back the deposit that nobody served, {DELAY} blocks on"
        ):
            net.mine(DELAY)
            bob.recover(unserved)
        demo.impostor()
    changed = demo.replaced()
    with demo.step("Alice swaps 5,000 zkBTC at the pool's new address"):
        alice.swap(pool, net.zkbtc, 5_000)
    return token, pool, changed


def finish(
    demo: Demo, deployed: Deployed, changed: RosterChanged, token: App, pool: Contract
) -> None:
    """The tables, and whether they hold."""
    payer = Account.load(demo.devnet.folder.path / PAYER, demo.net.session.network.chain)
    books = Books(demo.net, deployed, (changed.spell, *changed.moves), payer.script)
    depth = demo.net.session.ledger.confirmations
    receipts = sorted(books.receipts(), key=lambda receipt: depth(receipt.txid), reverse=True)
    show_transactions(demo.console, receipts)
    for receipt in receipts:
        demo.expect(depth(receipt.txid) > 0, f"{receipt.what} {receipt.txid} is in no block")
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
    show_change(demo.console, changed)
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


def show_change(console: Console, changed: RosterChanged) -> None:
    """What lies where before and after the change of roster."""
    table = Table(title="the change of roster", title_justify="left")
    table.add_column("what")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    for what, before, after in changed.lines:
        table.add_row(what, f"{before:,}", f"{after:,}")
    console.print(table)


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
