"""What is on chain, as objects that show themselves: a pool, a spell, several balances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grail.apps.pool import SwapQuote
from grail.bitcoin.node import NOT_FOUND
from grail.bitcoin.tx import Tx
from grail.charms import spell as spells
from grail.charms.app import App, Contract, Data
from grail.charms.history import Judged
from grail.charms.spell import Spell
from grail.charms.upstream import keys
from grail.connection.charms_view import (
    ABSENT,
    INVALID,
    UNCHECKED,
    VALID,
    CharmsView,
    charms_view,
    is_of_charms,
)
from grail.connection.display import Cell, Shown
from grail.connection.labels import Labels
from grail.connection.session import Session
from grail.connection.swap import pool_port
from grail.connection.wallet import Holdings
from grail.errors import InvalidInput, NodeError, SpellIncorrect
from grail.exchange.pool import PoolPort
from grail.types import Txid


@dataclass(frozen=True, repr=False)
class PoolView(Shown):
    """A pool as it is now: `port` is its output, `labels` the names of its tokens here."""

    port: PoolPort
    labels: Mapping[App, str]

    @property
    def contract(self) -> Contract:
        """The pool's contract."""
        return self.port.contract

    @property
    def reserves(self) -> dict[App, int]:
        """The units of each token in the pool."""
        return {self.port.asset_a: self.port.state.a, self.port.asset_b: self.port.state.b}

    def quote(self, give: App, amount: int) -> SwapQuote:
        """What paying in `amount` units of `give` takes out now. Raises `InvalidInput`."""
        return self.port.quote(give, amount)

    def curve(self, points: int = 100, spread: float = 2.0) -> list[tuple[float, float]]:
        """Points (a, b) with the product of now, from a / spread to a * spread: for a picture."""
        a, product = self.port.state.a, self.port.state.a * self.port.state.b
        steps = [spread ** (2 * i / (points - 1) - 1) for i in range(points)]
        return [(a * step, product / (a * step)) for step in steps]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        state = self.port.state
        return {
            "contract": str(self.contract),
            "outpoint": str(self.port.coin.outpoint),
            "reserves": {str(app): units for app, units in self.reserves.items()},
            "shares": state.lp,
            "fee_basis_points": state.fee,
            "sats": self.port.coin.sats,
            "names": {str(app): label for app, label in self.labels.items()},
        }

    def _title(self) -> str:
        return f"pool {self.contract}"

    def _head(self) -> Sequence[str]:
        return ("what", "amount")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        state = self.port.state
        return [
            *((self.labels[app], units) for app, units in self.reserves.items()),
            ("shares", state.lp),
            ("fee, hundredths of a percent", state.fee),
        ]


async def pool_view(session: Session, labels: Labels, contract: Contract) -> PoolView:
    """A pool as of now. Raises `InvalidInput` when there is none of that contract."""
    await session.refresh()
    port = pool_port(session, contract)
    return PoolView(port, {app: labels.show(app) for app in (port.asset_a, port.asset_b)})


@dataclass(frozen=True, repr=False)
class SpellView(Shown):
    """A transaction's spell, and what the rules say of it."""

    txid: Txid
    spell: Spell | None
    verdict: str
    labels: Mapping[App, str]
    proof: str = UNCHECKED
    """Valid where all rules hold, invalid where not, absent where there is no spell; unchecked
    where nobody judged here: from a file, or by a quorum's word."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        outs = self.spell.outs if self.spell else ()
        return {
            "txid": str(self.txid),
            "verdict": self.verdict,
            "version": spells.VERSION if self.spell else None,
            "proof": self.proof,
            "apps": [str(app) for app in (self.spell.apps if self.spell else ())],
            "outs": [{str(app): plain(data) for app, data in charms.items()} for charms in outs],
            "proofs": [
                {"contract": str(self.spell.contracts[p.contract]), "action": p.action}
                for p in (self.spell.proofs if self.spell else ())
                if self.spell is not None
            ],
        }

    def __str__(self) -> str:
        return super().__str__() if self.spell else self._title()

    def _title(self) -> str:
        # the txid stands on a line that ends with it: together with the verdict it might wrap
        said = f"{self.verdict}, proof {self.proof}"
        if self.spell is None:
            return f"{said}: transaction\n{self.txid}"
        return f"{said}: a spell of version {spells.VERSION}, in\n{self.txid}"

    def _head(self) -> Sequence[str]:
        return ("output", "app", "data")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        outs = self.spell.outs if self.spell else ()
        return [
            (index, self.labels[app], data if type(data) is int else str(plain(data)))
            for index, charms in enumerate(outs)
            for app, data in sorted(charms.items())
        ]


def plain(data: Data) -> Any:
    """Charm data with byte strings as hexadecimal text: what JSON can hold."""
    if isinstance(data, bytes):
        return data.hex()
    if isinstance(data, (list, tuple)):
        return [plain(item) for item in data]
    if isinstance(data, Mapping):
        return {str(plain(key)): plain(value) for key, value in data.items()}
    return data


def read_spell(tx: Tx, verdict: Judged | None = None, labels: Labels | None = None) -> SpellView:
    """The spell of a transaction, with a verdict where one is known."""
    try:
        found = spells.parse(tx)
    except SpellIncorrect as exc:
        return SpellView(tx.txid, None, f"incorrect ({exc})", {}, INVALID)
    if found is None:
        return SpellView(tx.txid, None, "no spell", {}, ABSENT)
    shown = {app: labels.show(app) if labels else str(app) for app in found.apps}
    said, proof = _said(verdict)
    return SpellView(tx.txid, found, said, shown, proof)


async def spell_view(session: Session, labels: Labels, txid: Txid) -> SpellView | CharmsView:
    """The spell of a transaction that the node knows: ours, or one of Charms itself.

    Raises `InvalidInput`, `NodeError`.
    """
    await session.refresh()
    try:
        tx = await session.ledger.transaction(txid)
    except NodeError as exc:
        if exc.code != NOT_FOUND:
            raise
        raise InvalidInput(
            f"no transaction {txid} is on this network", hint="is it of another network?"
        ) from exc
    if is_of_charms(tx):
        # of one in no block yet the age is asked for the next block
        height = session.ledger.confirmed_at(txid)
        height = session.ledger.height + 1 if height is None else height
        return charms_view(tx, keys.read(keys.folders()), height)
    return read_spell(tx, session.ledger.verdict(txid), labels)


def _said(verdict: Judged | None) -> tuple[str, str]:
    """The verdict in words, and the proof's fate."""
    if verdict is None:
        return "not checked", UNCHECKED
    if verdict.checked is not None:
        return "correct", VALID
    if verdict.signed:
        return "correct by its quorum's word", UNCHECKED
    if verdict.unknown:
        return f"unknown ({verdict.refusal})", UNCHECKED
    return f"incorrect ({verdict.refusal})", INVALID


class Balances(list[Holdings], Shown):
    """What several wallets hold, side by side."""

    def table(self) -> dict[str, dict[str, int]]:
        """By wallet, then by what: units and sats."""
        return {one.name: one.held() for one in self}

    def to_frame(self) -> Any:
        """The same as a pandas DataFrame, one line a wallet; needs pandas."""
        import pandas as pd  # type: ignore[import-untyped]  # it ships no types

        return pd.DataFrame.from_dict(self.table(), orient="index").fillna(0).astype("int64")

    def _title(self) -> str:
        return "balances"

    def _head(self) -> Sequence[str]:
        table = self.table()
        return ("wallet", *dict.fromkeys(what for row in table.values() for what in row))

    def _rows(self) -> Sequence[Sequence[Cell]]:
        columns = self._head()[1:]
        return [
            (name, *(row.get(column, 0) for column in columns))
            for name, row in self.table().items()
        ]

    __str__ = Shown.__str__
    __repr__ = Shown.__repr__
