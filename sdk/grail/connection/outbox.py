"""What was published and is not deep in the chain yet: watched, and sent again when it vanished.

A node forgets transactions: a restart, an expiry, a full mempool, a reorganisation. Whoever made
one keeps it until it is k blocks deep, looks at every turn whether chain or mempool still has it,
and sends it again when neither does. One whose output another transaction took is named as lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grail import codec
from grail.bitcoin.node import Node
from grail.bitcoin.tx import Tx
from grail.connection.fate import CONFIRMED, DROPPED, LOST, OVERTAKEN, REPLACED, WAITING, Fate
from grail.errors import DecodeError, GrailError, InvalidInput, NodeError
from grail.folders import private_folder, write_private
from grail.types import OutPoint, Txid
from grail.wallet.ledger import Ledger, parents_first

MAX_FILE = 4_500_000
"""A signing request of the largest size, and the transaction."""

TOO_LITTLE = re.compile(r"min fee not met, \d+ < (\d+)")
"""How a node says that a fee is too low for it now, with the sats that it would take."""

GIVEN_UP = 1_008
"""Blocks after which what came into no block, lost or dropped, is kept no longer: a week."""


@dataclass(frozen=True)
class Sent:
    """A published transaction; `request` is what the operators signed, empty where they did not.

    `height` is the tip's when it was published.
    """

    what: str
    tx: Tx
    fee: int
    height: int
    request: bytes = field(default=b"", repr=False)

    def serialize(self) -> bytes:
        """The bytes of its file."""
        return codec.encode([self.what, self.tx.serialize(), self.fee, self.height, self.request])

    @classmethod
    def parse(cls, raw: bytes) -> Sent:
        """Read a file's bytes. Raises `DecodeError`."""
        match codec.decode(raw, max_bytes=MAX_FILE):
            case [str() as what, bytes() as tx, int() as fee, int() as height, bytes() as request]:
                return cls(what, Tx.parse(tx), fee, height, request)
        raise DecodeError("sent: not a transaction that was kept")


class Outbox:
    """The transactions of one network that its users published, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._sent: dict[Txid, Sent] = {}
        self._why: dict[Txid, str] = {}
        for path in sorted(self._folder.iterdir()):
            try:
                sent = Sent.parse(path.read_bytes())
            except (OSError, GrailError):
                continue  # half a file of a program that was killed, or none of ours
            self._sent[sent.tx.txid] = sent

    def __iter__(self) -> Iterator[Sent]:
        """What is kept."""
        return iter(list(self._sent.values()))

    def get(self, txid: Txid) -> Sent | None:
        """The transaction of this txid, if it is kept."""
        return self._sent.get(txid)

    def keep(self, sent: Sent) -> None:
        """Keep a transaction, before it is published. Raises `Unavailable` (a full disk)."""
        write_private(self._folder / str(sent.tx.txid), sent.serialize())
        self._sent[sent.tx.txid] = sent

    def drop(self, txid: Txid) -> None:
        """Keep it no longer."""
        self._sent.pop(txid, None)
        self._why.pop(txid, None)
        (self._folder / str(txid)).unlink(missing_ok=True)

    async def tend(self, ledger: Ledger, node: Node, depth: int) -> bool:
        """Drop what is `depth` blocks deep, send again what vanished; True when the node took any.

        Raises `Unavailable` when the node is down.
        """
        missing: dict[Txid, Tx] = {}
        for sent in self:
            txid = sent.tx.txid
            fate = self.fate(ledger, txid)
            done = fate.state in (CONFIRMED, REPLACED) and fate.depth >= depth
            if done or ledger.height > sent.height + GIVEN_UP:
                self.drop(txid)
            elif not ledger.seen(txid) and fate.by is None:
                missing[txid] = sent.tx  # (one that is lost stays: its owner is yet to be told)
        taken, refused = False, dict[Txid, NodeError]()
        for txid, tx in parents_first(missing).items():
            below = [missing[t] for t in parents_of(tx) if t in refused]
            try:
                await self._send(node, tx, below, refused)
            except NodeError as exc:
                refused[txid] = exc
                self._why[txid] = _said(tx, exc, below)
            else:
                taken = True
                for each in (tx, *below):
                    self._why.pop(each.txid, None)
                    refused.pop(each.txid, None)
        return taken

    async def _send(
        self, node: Node, tx: Tx, below: list[Tx], refused: dict[Txid, NodeError]
    ) -> None:
        """Send a transaction, with parents that pay too little where it pays for them too."""
        least = [
            int(found[1]) / each.vsize
            for each in below
            if (found := TOO_LITTLE.search(str(refused[each.txid])))
        ]
        package = [*below, tx]
        paid = sum(self._sent[each.txid].fee for each in package)
        enough = max(least, default=0) * sum(each.vsize for each in package)
        if below and len(least) == len(below) and paid >= enough:
            await node.submitpackage([each.serialize() for each in package])
        else:
            await node.sendrawtransaction(tx.serialize())

    def dropped_parents(self, ledger: Ledger, tx: Tx) -> list[Tx]:
        """The parents of a transaction that are kept here and that the node dropped."""
        kept = [self._sent[txid].tx for txid in parents_of(tx) if txid in self._sent]
        return [each for each in kept if self.fate(ledger, each.txid).state == DROPPED]

    def children(self, txid: Txid) -> set[Txid]:
        """What is kept that spends an output of a transaction."""
        return {sent.tx.txid for sent in self if txid in parents_of(sent.tx)}

    def spoken_for(self, ledger: Ledger) -> set[OutPoint]:
        """What transactions spend that wait for room: another use would undo them for good.

        What the node dropped for another reason may never come back, so it holds nothing.
        """
        dropped = [s.tx for s in self if self.fate(ledger, s.tx.txid).state == DROPPED]
        waiting: dict[Txid, Tx] = {}
        for tx in parents_first({tx.txid: tx for tx in dropped}).values():
            little = TOO_LITTLE.search(self._why.get(tx.txid, ""))
            if little or not waiting.keys().isdisjoint(parents_of(tx)):
                waiting[tx.txid] = tx
        return {txin.outpoint for tx in waiting.values() for txin in tx.inputs}

    def fate(self, ledger: Ledger, txid: Txid) -> Fate:
        """What became of a transaction, as of the ledger's last look.

        Raises `InvalidInput` for one that nobody here knows.
        """
        depth = ledger.confirmations(txid)
        if depth:
            return Fate(txid, CONFIRMED, depth)
        if ledger.seen(txid):
            return Fate(txid, WAITING)
        if self._known(ledger, txid) is None:
            raise InvalidInput(f"no transaction {txid} is known here")
        conflict = self._conflict(ledger, txid)
        if conflict is None:
            return Fate(txid, DROPPED, why=self._why.get(txid, ""))
        outpoint, winner = conflict
        if self._same_but_fee(ledger, txid, winner):
            return Fate(txid, REPLACED, ledger.confirmations(winner), by=winner, outpoint=outpoint)
        state = LOST if ledger.confirmations(winner) else OVERTAKEN
        return Fate(txid, state, by=winner, outpoint=outpoint)

    def _known(self, ledger: Ledger, txid: Txid) -> Tx | None:
        sent = self._sent.get(txid)
        return sent.tx if sent is not None else ledger.known(txid)

    def _same_but_fee(self, ledger: Ledger, txid: Txid, other: Txid) -> bool:
        """Whether two transactions differ in one amount alone: what a raised fee leaves less of.

        Its owner may have been killed before he was told; he must not be sent to pay once more.
        """
        one, two = self._known(ledger, txid), self._known(ledger, other)
        if one is None or two is None:
            return False
        inputs = [[txin.outpoint for txin in tx.inputs] for tx in (one, two)]
        scripts = [[output.script for output in tx.outputs] for tx in (one, two)]
        if inputs[0] != inputs[1] or scripts[0] != scripts[1]:
            return False
        return sum(a.sats != b.sats for a, b in zip(one.outputs, two.outputs, strict=True)) == 1

    def _conflict(self, ledger: Ledger, txid: Txid) -> tuple[OutPoint, Txid] | None:
        """An output that it, or an ancestor that vanished, spends, and who spends that instead."""
        queue, looked = [txid], set[Txid]()
        found: tuple[OutPoint, Txid] | None = None
        while queue:
            tx = self._known(ledger, queue.pop())
            if tx is None or tx.txid in looked or ledger.seen(tx.txid):
                continue
            looked.add(tx.txid)
            for txin in tx.inputs:
                winner = ledger.spender(txin.outpoint)
                if winner is not None and winner != tx.txid:
                    if ledger.confirmations(winner):
                        return txin.outpoint, winner
                    found = txin.outpoint, winner
                queue.append(txin.outpoint.txid)
        return found


def parents_of(tx: Tx) -> Iterable[Txid]:
    """The transactions that one spends outputs of, each once."""
    return dict.fromkeys(txin.outpoint.txid for txin in tx.inputs)


def _said(tx: Tx, refusal: NodeError, below: list[Tx]) -> str:
    """What a node said, and what it means where that is known."""
    found = TOO_LITTLE.search(str(refusal))
    if found is not None:
        least = -(-int(found[1]) // tx.vsize)
        return (
            f"{refusal}: the node takes {least} sat/vB or more now; raise its fee, or wait until "
            "blocks made room: it is sent again"
        )
    if below:
        return f"it hangs on {below[0].txid}, which the node dropped ({refusal})"
    return str(refusal)
