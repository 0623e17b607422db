"""The devnet's miner and faucet: one key of the SDK's own wallet that owns all fresh coins.

The node has no wallet. The key's coins are read from the node's own set of unspent outputs each
time, so nothing can go out of step, and a lock lets several processes ask at once.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from grail.bitcoin import addresses
from grail.bitcoin.network import REGTEST
from grail.bitcoin.node import Node
from grail.bitcoin.rpc_answer import Fields
from grail.bitcoin.script import dust_limit
from grail.bitcoin.tx import Tx, TxIn
from grail.errors import InsufficientFunds, InvalidInput, NodeError
from grail.types import MAX_MONEY, BlockHash, OutPoint, Sats, TxOut
from grail.wallet.account import Account

KEY_FILE = "faucet.json"
MATURITY = 100
"""A coinbase can be spent in the block 100 above its own."""

FEE_RATE = 2
"""sat/vB: above the relay minimum, and nobody competes."""

SCAN_IN_PROGRESS = -8
"""The node scans its outputs for one caller at a time."""


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output of the faucet's."""

    outpoint: OutPoint
    held: TxOut


class Faucet:
    """Pays regtest coins to whoever asks, and mines the blocks that confirm them.

    `reserved` is never spent: the grail outpoint, which only the deploy may take.
    """

    def __init__(
        self, node: Node, account: Account, folder: Path, reserved: OutPoint | None = None
    ) -> None:
        self.node = node
        self.account = account
        self.reserved = reserved
        self._lock_file = folder / "faucet.lock"

    @classmethod
    def create(cls, node: Node, folder: Path) -> Faucet:
        """A faucet with a fresh key, kept in the devnet's folder with mode 0600."""
        return cls(node, Account.create(folder / KEY_FILE, REGTEST), folder)

    @classmethod
    def open(cls, node: Node, folder: Path, reserved: OutPoint) -> Faucet:
        """The faucet of a running devnet. Raises `InvalidInput` when its key cannot be read."""
        return cls(node, Account.load(folder / KEY_FILE, REGTEST), folder, reserved)

    async def mine(self, blocks: int = 1) -> list[BlockHash]:
        """Mine blocks; the reward is the faucet's. Raises `InvalidInput`."""
        if not 1 <= blocks <= 10_000:
            raise InvalidInput(f"blocks: got {blocks}, expected 1 to 10,000")
        return await self.node.generatetoaddress(blocks, self.account.address)

    async def pay(self, payments: Sequence[tuple[str, int]], *, confirm: bool = True) -> Tx:
        """Pay sats to addresses in one transaction; with `confirm` it is in a block on return.

        Raises `InvalidInput` for an address or an amount that cannot be paid.
        """
        outputs = [self._output(address, sats) for address, sats in payments]
        if not outputs:
            raise InvalidInput("payments: got none, expected at least one")
        async with self._lock():
            coins = await self.coins(sum(output.sats for output in outputs))
            tx = self._payment(coins, outputs)
            await self.node.sendrawtransaction(tx.serialize())
            if confirm:
                await self.mine()
        return tx

    async def coins(self, need: int = 0) -> list[Coin]:
        """Mature unspent coins that cover `need` sats with room for the fee, largest first.

        When those in blocks do not suffice, a block is mined, so that change counts again. Raises
        `InsufficientFunds`.
        """
        for attempt in range(2):
            chosen: list[Coin] = []
            have = 0
            for coin in await self._scan():
                if await self.node.gettxout(coin.outpoint) is None:
                    continue  # spent by what waits in the mempool
                chosen.append(coin)
                have += coin.held.sats
                if have >= need + 100 * len(chosen) + 100_000:
                    return chosen
            if attempt == 0:
                await self.mine()
        raise InsufficientFunds(
            f"the faucet has {have} sats, expected {need}", hint="mine more blocks: 100 make 50 BTC"
        )

    async def _scan(self) -> list[Coin]:
        reply = Fields("scantxoutset", await self._scan_reply())
        if not reply.flag("success"):
            raise NodeError("scantxoutset: the scan was stopped")
        height = reply.uint("height")
        found = []
        for item in reply.list("unspents"):
            coin = Fields("scantxoutset", item)
            if coin.flag("coinbase") and height - coin.uint("height") + 1 < MATURITY:
                continue
            outpoint = OutPoint(coin.txid("txid"), coin.uint("vout"))
            if outpoint == self.reserved:
                continue
            found.append(Coin(outpoint, TxOut(coin.sats("amount"), self.account.script)))
        return sorted(found, key=lambda coin: (-coin.held.sats, coin.outpoint))

    async def _scan_reply(self) -> object:
        wanted = [{"desc": f"raw({self.account.script.hex()})"}]
        while True:
            try:
                return await self.node.call("scantxoutset", "start", wanted)
            except NodeError as exc:
                if exc.code != SCAN_IN_PROGRESS:
                    raise
            await anyio.sleep(0.05)

    def _output(self, address: str, sats: int) -> TxOut:
        script = addresses.from_address(address, REGTEST.hrp)
        if not dust_limit(script) <= sats <= MAX_MONEY:
            raise InvalidInput(f"amount: got {sats} sats, expected at least {dust_limit(script)}")
        return TxOut(Sats(sats), script)

    def _payment(self, coins: Sequence[Coin], outputs: Sequence[TxOut]) -> Tx:
        inputs = tuple(TxIn(coin.outpoint) for coin in coins)
        held = [coin.held for coin in coins]
        total = sum(output.sats for output in held) - sum(output.sats for output in outputs)
        # The size does not hang on the amount of the change: sign once to measure, then for good.
        draft = self._signed(inputs, (*outputs, TxOut(total, self.account.script)), held)
        change = TxOut(total - FEE_RATE * draft.vsize, self.account.script)
        return self._signed(inputs, (*outputs, change), held)

    def _signed(
        self, inputs: tuple[TxIn, ...], outputs: tuple[TxOut, ...], held: Sequence[TxOut]
    ) -> Tx:
        tx = Tx(2, inputs, outputs)
        for index in range(len(inputs)):
            tx = self.account.sign(tx, held, index)
        return tx

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        """One payment at a time, whichever process makes it."""
        handle = os.open(self._lock_file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await anyio.sleep(0.02)
            yield
