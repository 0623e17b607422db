"""Which charms lie where: a view of the chain that follows blocks forwards and backwards.

Pure: blocks come in as transactions, nothing is fetched. A charm exists only where a correct spell
put it, back to its mint (threat C7); a reorg unwinds block by block, and the state is then the one
that a fresh scan of the new chain gives (threat C19). It keeps every unspent output since its first
block, which suits regtest; on a long chain it starts at the Grail outpoint's block, and older coins
that a spell spends come along with the block as `prevouts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from grail import codec
from grail.bitcoin.network import Network
from grail.bitcoin.tx import Tx
from grail.charms.app import App, Contract, Data
from grail.charms.descriptor import Bundle
from grail.charms.history import NO_CHARMS, Coin, HistoryKind, Judge, Judged
from grail.charms.record import Record, Reign, roster_state
from grail.charms.rules import RULES, Rule, Verify
from grail.crypto.schnorr import tagged_hash
from grail.errors import InvalidInput
from grail.types import BlockHash, OutPoint, Txid, TxOut

MAX_UNDO = 1_008
"""Blocks that can be undone; a deeper reorg wants a fresh scan."""


@dataclass(frozen=True, slots=True)
class _Undo:
    """What a block changed: outpoints it made, coins it spent, the record before it."""

    block_hash: BlockHash
    below: int | None
    made: tuple[OutPoint, ...]
    spent: tuple[tuple[OutPoint, Coin], ...]
    record: Record
    incomplete: bool


@dataclass
class View:
    """Unconfirmed transactions on top of an index; good until its next block."""

    record: Record
    coins: Mapping[OutPoint, Coin]
    made: dict[OutPoint, Coin] = field(default_factory=dict)
    spent: dict[OutPoint, Txid] = field(default_factory=dict)
    judged: dict[Txid, Judged] = field(default_factory=dict)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """The coin if it is unspent here, confirmed or not."""
        if outpoint in self.spent:
            return None
        return self.made.get(outpoint) or self.coins.get(outpoint)

    def charms(self, outpoint: OutPoint) -> Mapping[App, Data]:
        """The charms of a coin that is unspent here, none when there is no such coin.

        Raises `SpellIncorrect` with rule HistoryMissing while they are unknown.
        """
        coin = self.coin(outpoint)
        return NO_CHARMS if coin is None else coin.prevout(outpoint).charms

    def unspent(self) -> Iterator[tuple[OutPoint, Coin]]:
        """Every unspent coin, confirmed ones first."""
        for source in (self.coins, self.made):
            for outpoint, coin in source.items():
                if outpoint not in self.spent:
                    yield outpoint, coin


class CharmIndex:
    """Charms per outpoint at a tip, known only through `correct` transactions.

    `history` "anchored" takes what a ruling quorum signed as correct, without its bundle and
    whatever lies below it.

    `bundles` is read at every block, so its owner may add to it; a block that needed one that was
    not there leaves its charms unknown, and `incomplete` says from which height to scan again.
    """

    def __init__(
        self,
        network: Network,
        zkbtc: Contract,
        bundles: Mapping[bytes, Bundle],
        *,
        rules: Sequence[Rule] = RULES,
        verify: Verify | None = None,
        history: HistoryKind = "full",
    ) -> None:
        self._judge = Judge(network, rules, verify, history)
        self._bundles = bundles
        self._coins: dict[OutPoint, Coin] = {}
        self._undo: list[_Undo] = []
        self.record = Record(zkbtc)
        self.height: int | None = None

    @property
    def tip(self) -> BlockHash | None:
        """The hash of the newest block, None before the first."""
        return self._undo[-1].block_hash if self._undo else None

    @property
    def incomplete(self) -> int | None:
        """The height of the oldest kept block in which charms stayed unknown, if there is one."""
        if self.height is None:
            return None
        first = self.height - len(self._undo) + 1
        return next((first + i for i, undo in enumerate(self._undo) if undo.incomplete), None)

    def coin(self, outpoint: OutPoint) -> Coin | None:
        """The coin if it is unspent at the tip."""
        return self._coins.get(outpoint)

    def charms(self, outpoint: OutPoint) -> Mapping[App, Data]:
        """The charms of an unspent output at the tip; none when it is spent or was never there.

        Raises `SpellIncorrect` with rule HistoryMissing while they are unknown: see `known`.
        """
        coin = self._coins.get(outpoint)
        return NO_CHARMS if coin is None else coin.prevout(outpoint).charms

    def known(self, outpoint: OutPoint) -> bool:
        """Whether the charms are known; a wallet neither counts nor spends what is not."""
        coin = self._coins.get(outpoint)
        return coin is None or coin.charms is not None

    def outpoints(self, app: App) -> list[OutPoint]:
        """The unspent outputs at the tip that hold charms of this app, in order."""
        return sorted(
            outpoint for outpoint, coin in self._coins.items() if coin.charms and app in coin.charms
        )

    def unspent(self) -> Iterator[tuple[OutPoint, Coin]]:
        """Every unspent coin at the tip."""
        yield from self._coins.items()

    def apply_block(
        self,
        height: int,
        block_hash: BlockHash,
        txs: Sequence[Tx],
        prevouts: Mapping[OutPoint, TxOut] | None = None,
    ) -> tuple[Judged, ...]:
        """Go one block forward; answers the verdict on each transaction that carries a spell.

        `prevouts` are coins older than the index: it takes them to have no charms, so it must begin
        before the first spell of interest. Raises `InvalidInput` for a gap.
        """
        if self.height is not None and height != self.height + 1:
            raise InvalidInput(f"block: got height {height}, expected {self.height + 1}")
        before = self.record
        spent: list[tuple[OutPoint, Coin]] = []
        made: list[OutPoint] = []
        verdicts: list[Judged] = []
        for tx in txs:
            coins = [self._coin(entry.outpoint, prevouts or {}) for entry in tx.inputs]
            judged = self._judge.judge(
                tx, coins, self._bundles, self.record, height, confirmed=True
            )
            self.record = judged.record
            for entry in tx.inputs:
                coin = self._coins.pop(entry.outpoint, None)
                if coin is not None:
                    spent.append((entry.outpoint, coin))
            for outpoint, coin in _outputs(judged, height):
                self._coins[outpoint] = coin
                made.append(outpoint)
            if judged.checked is not None or judged.refusal is not None or judged.signed:
                verdicts.append(judged)
        incomplete = any(judged.unknown for judged in verdicts)
        self._undo.append(
            _Undo(block_hash, self.height, tuple(made), tuple(spent), before, incomplete)
        )
        del self._undo[:-MAX_UNDO]
        self.height = height
        return tuple(verdicts)

    def undo_block(self) -> BlockHash:
        """Go one block back; answers the hash of the block taken off. Raises `InvalidInput`."""
        if not self._undo:
            raise InvalidInput("no block to undo", hint="scan again from the index's first block")
        undo = self._undo.pop()
        # What was made and spent within the block is in both lists: take it off last.
        self._coins.update(undo.spent)
        for outpoint in undo.made:
            self._coins.pop(outpoint, None)
        self.record = undo.record
        self.height = undo.below
        return undo.block_hash

    def unconfirmed(self, txs: Sequence[Tx]) -> View:
        """The view with these unconfirmed transactions on top, parents before children.

        Each is judged at tip + 1; its roster spells do not rule yet. One that spends what another
        before it spends is left out.
        """
        view = View(self.record, self._coins)
        self.extend(view, txs)
        return view

    def extend(self, view: View, txs: Sequence[Tx]) -> None:
        """Lay more unconfirmed transactions on a view of this very tip: those below stand."""
        height = 0 if self.height is None else self.height + 1
        for tx in txs:
            if any(entry.outpoint in view.spent for entry in tx.inputs):
                continue
            coins = [view.coin(entry.outpoint) for entry in tx.inputs]
            judged = self._judge.judge(
                tx, coins, self._bundles, self.record, height, confirmed=False
            )
            view.spent.update((entry.outpoint, tx.txid) for entry in tx.inputs)
            view.made.update(_outputs(judged, None))
            view.judged[tx.txid] = judged

    def state_hash(self) -> bytes:
        """One hash over all charms, where they lie, and the record; equal views, equal hashes."""
        charmed = [
            [outpoint.serialize(), coin.sats, coin.script, _pairs(coin)]
            for outpoint, coin in sorted(self._coins.items())
            if coin.charms is None or coin.charms
        ]
        reigns = [_reign(reign) for reign in self.record.reigns]
        return tagged_hash("grail/index/1", codec.encode([self.height, charmed, reigns]))

    def _coin(self, outpoint: OutPoint, prevouts: Mapping[OutPoint, TxOut]) -> Coin | None:
        coin = self._coins.get(outpoint)
        if coin is None and outpoint in prevouts:
            older = prevouts[outpoint]
            return Coin(older.sats, older.script, NO_CHARMS, 0)
        return coin


def _outputs(judged: Judged, height: int | None) -> Iterator[tuple[OutPoint, Coin]]:
    txid = judged.tx.txid
    for vout, (output, charms) in enumerate(zip(judged.tx.outputs, judged.charms, strict=True)):
        yield OutPoint(txid, vout), Coin(output.sats, output.script, charms, height)


def _pairs(coin: Coin) -> Data:
    if coin.charms is None:
        return None
    return [[list(app.to_cbor()), data] for app, data in sorted(coin.charms.items())]


def _reign(reign: Reign) -> Data:
    state = roster_state(reign.roster, reign.successor, reign.successor_from)
    return [reign.start, reign.end, *state]
