"""A crowd at one pool: many users at once, chained within blocks, a reorganisation in the middle.

    result = play(users=20, swaps=200)

Every user is a thread that swaps through one of several connections, each of which coordinates for
itself; those of one connection do not queue at the pool, so that rivals overtake each other. Nobody
takes less than a limit of his own. Blocks come when the pool's chain of unconfirmed uses is full. At the end the pool's states
are replayed from the blocks with plain integers, and every user's sats and units are compared to
what he was told.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from plain_books import App as PlainApp
from plain_books import Books, check_books, read

from grail.bitcoin.node import NodeSync
from grail.charms.app import App, Contract
from grail.connection.connection import Connection, Wallet, connect
from grail.connection.swap import SwapReceipt
from grail.draft.draft import CARRIER, Draft
from grail.errors import Refused, Unavailable
from grail.operators.turns import Turn
from grail_devnet.devnet import Devnet

RESERVES = (40_000_000, 10**11)
SATS = 2_000_000
UNITS = (1_000_000, 25 * 10**8)
"""What each user starts with: plain sats, units of zkBTC and of the other token."""

TOLD = 20
"""Swaps between two words of progress."""
CONNECTIONS = 4
LIMIT = 9_500
"""Of 10,000 units that the pool gives for a wish when it is made: its owner takes no fewer."""
TRIES = 40
"""How often a user asks again after a failure that says that he may."""

PATIENCE = 300.0
"""Seconds that a swap may wait for a block."""


@dataclass(frozen=True)
class CrowdResult:
    """What came of it; `difference` is in sats and units, over all users and the pool.

    `rebased` swaps found the pool taken after they had asked, and were built again. `refused` are
    those that their own limit ended; `told` has each reason. `seconds` are from wish to publication.
    """

    completed: int
    rebased: int
    refused: int
    stuck: int
    difference: int
    median: float
    longest: float
    seconds: float
    blocks: int
    longest_chain: int
    reorged: int
    told: tuple[str, ...] = ()
    retried: Counter[str] = field(default_factory=Counter)
    profile: dict[str, float] = field(default_factory=dict)

    @property
    def per_minute(self) -> float:
        """Swaps per minute."""
        return 60 * self.completed / self.seconds

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in self.profile.items())
        return (
            f"{self.completed} swaps completed, {self.rebased} rebased, {self.refused} refused "
            f"by their own limits, {self.stuck} stuck, difference {self.difference} sat; "
            f"{self.per_minute:.0f} swaps a minute, median {self.median:.1f} s in the queue, longest "
            f"{self.longest:.1f} s; {self.blocks} blocks, chains of up to {self.longest_chain}, "
            f"{self.reorged} blocks undone in the middle; one swap: {parts}"
        )


@dataclass
class Crowd:
    """The network, the users with their tasks, and what came of each."""

    devnet: Devnet
    net: Connection
    pool: Contract
    token: App
    users: list[Wallet]
    total: int
    seed: int
    say: Callable[[str], None]
    receipts: list[tuple[str, SwapReceipt, float]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    retried: Counter[str] = field(default_factory=Counter)
    blocks: int = 0
    longest_chain: int = 0
    reorged: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def node(self) -> NodeSync:
        """The node, by the miner's own connection."""
        return self.devnet.node

    def swap_all(self, wallet: Wallet, count: int, number: int) -> None:
        """One user's swaps, one after the other, back and forth."""
        chance = random.Random(f"{self.seed}/{number}")
        for each in range(count):
            side = (number + each) % 2
            give = (self.net.zkbtc, self.token)[side]
            # no two wishes of a user alike: the same one again would be a retry
            amount = (1_000, 2_500_000)[side] + chance.randrange(900) * (100, 250_000)[side] + each
            try:
                self._swap(wallet, give, amount)
            except Exception as exc:  # noqa: BLE001 - told in the result, where it fails the test
                self.stuck.append(f"{wallet.name}: {type(exc).__name__}: {exc}")

    def _swap(self, wallet: Wallet, give: App, amount: int) -> None:
        begun = time.monotonic()
        least = self.net.pool(self.pool).quote(give, amount).taken * LIMIT // 10_000
        for attempt in range(TRIES):
            try:
                receipt = wallet.swap(self.pool, give, amount, least=least, patience=PATIENCE)
            except (Refused, Unavailable) as exc:
                limit = isinstance(exc, Refused) and exc.rule == "StaleTip"
                if limit and not exc.detail.startswith("the pool was taken"):
                    self.refused.append(f"{wallet.name}: {exc}")
                    return
                self.retried[f"{type(exc).__name__} {getattr(exc, 'rule', '')}".strip()] += 1
                last = exc
                time.sleep(min(0.1 * 2**attempt, 3) * random.random())
            else:
                self.receipts.append((wallet.name, receipt, time.monotonic() - begun))
                if (done := len(self.receipts)) % TOLD == 0 or done == self.total:
                    self.say(f"{done} of {self.total} swaps")
                return
        raise last

    def mine_when_full(self) -> None:
        """The miner: a block when the chain of unconfirmed uses is as long as it may get."""
        most = self.net.session.configuration.max_unconfirmed + 1
        still = 0
        while not self.ended.is_set():
            waiting = len(self.node.getrawmempool())
            self.longest_chain = max(self.longest_chain, waiting)
            still = still + 1 if waiting >= most else 0
            if not self.reorged and len(self.receipts) >= self.total // 2:
                self.reorg()
            elif still >= 2:
                self._mine(1)
            time.sleep(0.05)

    def _mine(self, count: int) -> None:
        self.node.generatetodescriptor(count, self.net.session.faucet().script)
        self.blocks += count

    def reorg(self, depth: int = 2) -> None:
        """Undo some blocks under everybody's feet, and mine a longer branch."""
        height = self.node.getblockcount()
        self.node.invalidateblock(self.node.getblockhash(height - depth + 1))
        self.reorged = depth
        # another reward, or the same block would come again, which the node holds to be invalid
        self.node.generatetodescriptor(depth + 1, self.users[0].script[:-1] + b"\x01")
        self.blocks += 1


def play(
    users: int = 20,
    swaps: int = 200,
    progress: Callable[[str], None] = lambda _: None,
    *,
    seed: int = 1,
    devnet: Devnet | None = None,
) -> CrowdResult:
    """Let `users` make `swaps` swaps together. Raises `AssertionError` when the books differ."""
    with ExitStack() as stack:
        running = devnet or stack.enter_context(Devnet(progress=lambda _: None))
        net = stack.enter_context(connect(running.file, progress=False))
        others = [
            stack.enter_context(connect(running.file, progress=False)) for _ in range(CONNECTIONS)
        ]
        hasty = others[0].session
        hasty.turn = lambda _: contextlib.nullcontext(Turn())  # type: ignore[assignment,method-assign]
        progress("a pool, and coins for everybody")
        pool, token, chosen = _opened(net, others, users)
        crowd = Crowd(running, net, pool, token, chosen, swaps, seed, progress)
        before = read(crowd.node)
        begun = time.monotonic()
        _run(crowd, swaps)
        seconds = time.monotonic() - begun
        net.mine(net.session.network.k)
        progress("books")
        difference = _difference(crowd, before, check_books(net))
        took = [each for _, _, each in crowd.receipts]
        done = [receipt for _, receipt, _ in crowd.receipts]
        return CrowdResult(
            completed=len(done),
            rebased=sum(bool(receipt.overtaken) for receipt in done),
            refused=len(crowd.refused),
            stuck=len(crowd.stuck),
            told=(*crowd.refused, *crowd.stuck),
            difference=difference,
            median=statistics.median(took),
            longest=max(took),
            seconds=seconds,
            blocks=crowd.blocks,
            longest_chain=crowd.longest_chain,
            reorged=crowd.reorged,
            retried=crowd.retried,
            profile={
                "proof": statistics.median(receipt.proving_seconds for receipt in done),
                "votes and signatures": statistics.median(
                    receipt.signing_seconds for receipt in done
                ),
                "all": seconds / len(done),
            },
        )


def _opened(
    net: Connection, others: list[Connection], users: int
) -> tuple[Contract, App, list[Wallet]]:
    """A pool, its second token, and users with sats and both tokens, all confirmed."""
    owner = net.wallet("owner")
    zkbtc = RESERVES[0] + users * UNITS[0]
    net.faucet(owner, zkbtc + users * (SATS + 10_000) + 2_000_000)
    deposit = owner.deposit(zkbtc + 10_000)
    net.mine(net.session.network.k)
    owner.peg_in(deposit)
    token = owner.issue(RESERVES[1] + users * UNITS[1], "TOK").token
    net.mine()
    pool = owner.create_pool(net.zkbtc, RESERVES[0], token, RESERVES[1], name="POOL").pool
    net.mine()
    chosen = [others[i % len(others)].wallet(f"user-{i:02}") for i in range(users)]
    net.portal.call(_endow, net, owner, chosen, token)
    net.mine()
    for user in chosen:
        net.wallet(user.name)  # so that the books at the end are of all of them
    return pool, token, chosen


async def _endow(net: Connection, owner: Wallet, users: list[Wallet], token: App) -> None:
    """One transaction that gives every user sats and both tokens."""
    session = net.session
    await session.refresh()
    purse = session.purse(owner.script, unconfirmed=True)
    draft = Draft(session.context())
    draft.spend(*(coin for coin in purse.coins if coin.charms))
    for user in users:
        draft.pay(user.script, CARRIER, {net.zkbtc: UNITS[0], token: UNITS[1]})
    draft.keep_rest(owner.script, CARRIER)
    for user in users:
        draft.pay(user.script, SATS)
    draft.fund(purse)
    await session.complete("gifts", draft.assemble(), owner.inner.account)


def _run(crowd: Crowd, swaps: int) -> None:
    users = len(crowd.users)
    counts = [swaps // users + (i < swaps % users) for i in range(users)]
    threads = [
        threading.Thread(target=crowd.swap_all, args=(user, count, i), name=user.name)
        for i, (user, count) in enumerate(zip(crowd.users, counts, strict=True))
    ]
    miner = threading.Thread(target=crowd.mine_when_full, name="miner")
    for thread in (miner, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    crowd.ended.set()
    miner.join()


def _difference(crowd: Crowd, before: Books, after: Books) -> int:
    """What the books and the users' receipts differ by, all added up."""
    zkbtc, token = crowd.net.zkbtc.to_cbor(), crowd.token.to_cbor()
    apart = _replayed(crowd, after, (zkbtc, token))
    for user in crowd.users:
        script = user.script.hex()
        sats, units = before.of(script)
        for name, receipt, _ in crowd.receipts:
            if name != user.name:
                continue
            sats -= receipt.fee
            gave, got = _sides(crowd, receipt, after, (zkbtc, token))
            units[gave] -= receipt.gave
            units[got] += receipt.got
        found, held = after.of(script)
        apart += abs(found - sats) + sum(abs(held[app] - units[app]) for app in (zkbtc, token))
    for app in (zkbtc, token):
        apart += abs(after.units(app) - before.units(app))
    return apart


def _sides(
    crowd: Crowd, receipt: SwapReceipt, books: Books, apps: tuple[PlainApp, PlainApp]
) -> tuple[PlainApp, PlainApp]:
    """Which token a swap paid in, and which it took out, by the pool's states."""
    states = books.states[bytes(crowd.pool)[:32], bytes(crowd.pool)[32:]]
    at = next(i for i, (txid, _) in enumerate(states) if txid == str(receipt.txid))
    return apps if states[at][1][3] > states[at - 1][1][3] else (apps[1], apps[0])


def _replayed(crowd: Crowd, books: Books, apps: tuple[PlainApp, PlainApp]) -> int:
    """Replay all states of the pool: each swap takes what the formula gives, to the unit.

    Returns by how much the receipts and the formula differ in all. Raises `AssertionError` for a
    state that no receipt explains.
    """
    states = books.states[bytes(crowd.pool)[:32], bytes(crowd.pool)[32:]]
    told = {str(receipt.txid): receipt for _, receipt, _ in crowd.receipts}
    assert len(told) == len(crowd.receipts), "two receipts for one transaction"
    assert {txid for txid, _ in states[1:]} == told.keys(), "swaps and receipts are not the same"
    apart = 0
    for (_, before), (txid, after) in itertools.pairwise(states):
        _, _, _, a, b, _, fee, _ = before
        into, out, paid, taken = a, b, after[3] - a, b - after[4]
        if paid < 0:
            into, out, paid, taken = b, a, after[4] - b, a - after[3]
        net = paid * (10_000 - fee)
        expected = out * net // (into * 10_000 + net)
        receipt = told[txid]
        apart += abs(taken - expected) + abs(receipt.gave - paid) + abs(receipt.got - taken)
    held = [h for h in books.coins.values() if ("n", *_key(crowd.pool)) in h.charms]
    assert len(held) == 1, f"{len(held)} outputs hold the pool"
    last = states[-1][1]
    return apart + sum(abs(held[0].charms[app] - last[i]) for i, app in enumerate(apps, start=3))


def _key(contract: Contract) -> tuple[bytes, bytes]:
    return bytes(contract)[:32], bytes(contract)[32:]
