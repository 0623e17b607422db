"""Own plain books of a network: what every block says, read with a JSON parser and CBOR alone.

Nothing of the SDK judges here. A spell is taken at its word, so the books show what everybody who
signed meant; that the spells are correct is the enclaves' affair, and the index's. Sums are plain
integers. `check_books` compares the two: no sat, charm or lock is lost.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import cbor2

from grail.bitcoin.node import NodeSync
from grail.connection.connection import Connection
from grail.types import OutPoint
from grail.wallet.ledger import Ledger

App = tuple[str, bytes, bytes]
Outpoint = tuple[str, int]


@dataclass(frozen=True)
class Held:
    """An unspent output by the plain books."""

    sats: int
    script: str
    charms: dict[App, Any]


@dataclass
class Books:
    """Every unspent output, and what was burned: units that no spell explains."""

    coins: dict[Outpoint, Held] = field(default_factory=dict)
    burned: Counter[App] = field(default_factory=Counter)
    states: dict[tuple[bytes, bytes], list[tuple[str, list[Any]]]] = field(default_factory=dict)
    """The states of each contract in the order of the chain, each with its txid."""

    def units(self, app: App) -> int:
        """All units of a token."""
        return sum(held.charms.get(app, 0) for held in self.coins.values())

    def of(self, script: str) -> tuple[int, Counter[App]]:
        """All sats at a script, and the units of each token there."""
        sats, units = 0, Counter[App]()
        for held in self.coins.values():
            if held.script == script:
                sats += held.sats
                for app, data in held.charms.items():
                    if app[0] == "t":
                        units[app] += data
        return sats, units

    def plain(self, script: str) -> int:
        """The sats at a script under no charm."""
        mine = [held for held in self.coins.values() if held.script == script]
        return sum(held.sats for held in mine if not held.charms)


_BLOCKS: dict[str, list[dict[str, Any]]] = {}
"""What blocks hold, by hash: a block does not change."""


def read(node: NodeSync, *, mempool: bool = False) -> Books:
    """The books of a node's best chain, with `mempool` those of the next block that would be."""
    books = Books()
    heights = [[height] for height in range(node.getblockcount() + 1)]
    hashes = node.batch("getblockhash", heights)
    unread = [[block, 2] for block in hashes if block not in _BLOCKS]
    for found in node.batch("getblock", unread):
        _BLOCKS[found["hash"]] = found["tx"]
    for block in hashes:
        for tx in _BLOCKS[block]:
            _enter(books, tx)
    if mempool:
        waiting = {
            txid: node.call("getrawtransaction", txid, 1) for txid in node.call("getrawmempool")
        }
        while waiting:
            ready = [
                txid
                for txid, tx in waiting.items()
                if not any(i["txid"] in waiting for i in tx["vin"])
            ]
            for txid in sorted(ready):
                _enter(books, waiting.pop(txid))
    return books


def _enter(books: Books, tx: dict[str, Any]) -> None:
    spent: Counter[App] = Counter()
    for txin in tx["vin"]:
        if "coinbase" not in txin:
            held = books.coins.pop((txin["txid"], txin["vout"]))
            spent.update({app: n for app, n in held.charms.items() if app[0] == "t"})
    outs = _spell(tx)
    if not outs:
        books.burned.update(spent)
    for output in tx["vout"]:
        number = output["n"]
        charms = outs[number] if number < len(outs) else {}
        sats = int(Decimal(output["value"]) * 100_000_000)
        books.coins[tx["txid"], number] = Held(sats, output["scriptPubKey"]["hex"], charms)
        for app, data in charms.items():
            if app[0] == "n":
                books.states.setdefault(app[1:], []).append((tx["txid"], data))


def _spell(tx: dict[str, Any]) -> list[dict[App, Any]]:
    """The charms of each output by the spell, none without one."""
    for output in tx["vout"]:
        script = bytes.fromhex(output["scriptPubKey"]["hex"])
        if script[:7] == b"\x6a\x05spell":
            spell, _proof = cbor2.loads(_pushed(script[7:]))
            apps = [tuple(app) for app in spell["app_public_inputs"]]
            return [{apps[i]: data for i, data in out.items()} for out in spell["tx"]["outs"]]
    return []


def _pushed(push: bytes) -> bytes:
    """The data of one push."""
    width = {0x4C: 1, 0x4D: 2, 0x4E: 4}.get(push[0], 0)
    size = int.from_bytes(push[1 : 1 + width], "little") if width else push[0]
    data = push[1 + width :]
    assert len(data) == size, "more than one push"
    return data


def check_books(net: Connection, burned: int = 0) -> Books:
    """Vault and units, and every coin of every wallet here, by the plain books and by the SDK.

    `burned` is how many units of zkBTC were destroyed on purpose. A ledger that starts anew must see what this one followed. Raises `AssertionError` naming what differs.
    """
    session = net.session
    net.portal.call(session.refresh)
    books = read(_node(net))
    zkbtc = net.zkbtc.to_cbor()
    vaults = {
        session.context().guard(session.zkbtc, roster).script_pubkey.hex()
        for roster in session.ledger.record.rosters
    }
    vault = sum(books.plain(script) for script in vaults)
    units = books.units(zkbtc)
    assert books.burned[zkbtc] == burned, f"{books.burned[zkbtc]} units burned, told {burned}"
    assert vault == units + burned, f"vault {vault} sats, {units} units and {burned} burned"
    theirs = net.portal.call(_scanned, net)
    assert theirs.state_hash() == session.ledger.state_hash(), "a fresh scan sees other charms"
    for wallet in net.wallets():
        mine = session.ledger.coins(wallet.script)
        assert mine == theirs.coins(wallet.script), f"{wallet.name}: a fresh scan differs"
        confirmed = {
            (str(coin.outpoint.txid), coin.outpoint.vout): (
                coin.sats,
                {app.to_cbor(): data for app, data in coin.charms.items()},
            )
            for coin in mine
            if coin.height is not None
        }
        script = wallet.script.hex()
        listed = {
            at: (held.sats, held.charms)
            for at, held in books.coins.items()
            if held.script == script
        }
        unspent = {at for at in listed if session.ledger.spender(_outpoint(at)) is None}
        assert confirmed == {at: listed[at] for at in unspent}, f"{wallet.name}: coins differ"
    return books


async def _scanned(net: Connection) -> Ledger:
    """A ledger that reads the whole chain now."""
    mine = net.session.ledger
    fresh = Ledger(mine.node, mine.network, net.session.zkbtc, mine.bundles.values())
    await fresh.follow()
    return fresh


def _outpoint(at: Outpoint) -> OutPoint:
    return OutPoint.from_text(f"{at[0]}:{at[1]}")


def _node(net: Connection) -> NodeSync:
    return NodeSync(net.session.node, net.portal)
