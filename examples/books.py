"""The demo's books: every sat that left the faucet is found again, from the chain's own data.

Nothing here is taken from a receipt: fees are computed from the transactions as the node has them,
and what is unspent is asked of the node, output by output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grail.bitcoin.tx import Tx
from grail.charms.app import App, Contract
from grail.connection.connection import Connection, Wallet
from grail.connection.receipt import Receipt
from grail.types import OutPoint, Txid, TxOut
from grail_devnet.genesis import Deployed


@dataclass(frozen=True)
class Money:
    """Lines of the table, incoming ones first; `difference` is what they do not explain."""

    lines: tuple[tuple[str, int], ...]
    difference: int


@dataclass(frozen=True)
class UnitsRow:
    """A token's units by holder, their sum, and what the sum must be."""

    token: str
    amounts: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether the sum is what it must be."""
        return self.amounts[-2] == self.amounts[-1]


class Books:
    """Everything that the demo published, and where its sats are."""

    def __init__(
        self,
        net: Connection,
        deployed: Deployed,
        others: Sequence[Receipt] = (),
        payer: bytes = b"",
    ) -> None:
        """`others` are the transactions of a change of roster, which `payer`'s script paid for."""
        self.net = net
        self.deployed = deployed
        self.others = others
        self.payer = payer

    def receipts(self) -> list[Receipt]:
        """The deploy's receipt, then the connection's in order, then those of others."""
        deploy = Receipt(
            "deploy",
            self.deployed.tx.txid,
            self.deployed.fee,
            self.deployed.tx.vsize,
            self.deployed.constraints,
            self.deployed.proving_seconds,
        )
        return [deploy, *self.net.receipts, *self.others]

    def money(self, wallets: Sequence[Wallet], pool: Contract) -> Money:
        """Where the sats are, line by line."""
        session = self.net.session
        txs = [self._tx(receipt.txid) for receipt in self.receipts()]
        mine = {tx.txid for tx in txs}
        faucet = session.faucet().script
        prevouts = {txin.outpoint: self._output(txin.outpoint) for tx in txs for txin in tx.inputs}
        came_in = sum(out.sats for point, out in prevouts.items() if point.txid not in mine)
        fees = sum(
            sum(prevouts[txin.outpoint].sats for txin in tx.inputs)
            - sum(out.sats for out in tx.outputs)
            for tx in txs
        )
        unspent = [
            (OutPoint(tx.txid, vout), out)
            for tx in txs
            for vout, out in enumerate(tx.outputs)
            if self._is_unspent(OutPoint(tx.txid, vout))
        ]
        back = sum(out.sats for _, out in unspent if out.script == faucet)
        lines: list[tuple[str, int]] = [("left the faucet", came_in - back)]
        guard = session.context().guard(session.zkbtc).script_pubkey
        lines.append(("the vault", self._held(unspent, guard, charmed=False)))
        lines.append(("under the Grail NFT", self._held(unspent, guard, charmed=True)))
        pool_script = session.context().guard(pool).script_pubkey
        lines.append(("under the pool", self._held(unspent, pool_script, charmed=True)))
        for wallet in wallets:
            for charmed, what in ((False, "sats"), (True, "under charms")):
                sats = self._held(unspent, wallet.script, charmed=charmed)
                lines.append((f"{wallet.name}: {what}", sats))
        if self.payer:
            paying = self._held(unspent, self.payer, charmed=False)
            lines.append(("who paid for the roster change", paying))
        lines.append(("fees", fees))
        balances = [wallet.balance().balance for wallet in wallets]
        told = sum(balance.sats + balance.carriers for balance in balances)
        counted = sum(sats for what, sats in lines if ": " in what)
        paid = sum(receipt.fee for receipt in self.receipts())
        explained = sum(sats for _, sats in lines[1:])
        # what wallets and receipts say must be what the chain says, too
        difference = abs(lines[0][1] - explained) + abs(told - counted) + abs(paid - fees)
        return Money(tuple(lines), difference)

    def units(self, wallets: Sequence[Wallet], token: App, pool: Contract) -> list[UnitsRow]:
        """Each token's units by holder, in all, and what they must be."""
        net = self.net
        view = net.pool(pool)
        vault = sum(coin.sats for coin in net.session.vault())
        supply = {net.zkbtc: vault, token: 1_000_000_000, pool.token: view.port.state.lp}
        locked = {pool.token: view.port.state.min_lp}
        rows = []
        for app, expected in supply.items():
            held = [wallet.balance().units(app) for wallet in wallets]
            inside = view.reserves.get(app, locked.get(app, 0))
            total = sum(held) + inside
            rows.append(UnitsRow(net.labels.show(app), (*held, inside, total, expected)))
        return rows

    def _held(
        self, unspent: Sequence[tuple[OutPoint, TxOut]], script: bytes, *, charmed: bool
    ) -> int:
        ledger = self.net.session.ledger
        total = 0
        for outpoint, out in unspent:
            coin = ledger.coin(outpoint)
            if out.script == script and coin is not None and bool(coin.charms) == charmed:
                total += out.sats
        return total

    def _tx(self, txid: Txid) -> Tx:
        node = self.net.session.node
        return Tx.parse(self.net.portal.call(node.getrawtransaction, txid))

    def _output(self, outpoint: OutPoint) -> TxOut:
        return self._tx(outpoint.txid).outputs[outpoint.vout]

    def _is_unspent(self, outpoint: OutPoint) -> bool:
        node = self.net.session.node
        return self.net.portal.call(node.gettxout, outpoint) is not None
