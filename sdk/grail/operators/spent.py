"""What blocks say of guarded outpoints, and which transactions are dead by it (ROUNDS.md, rule 8).

A transaction that conflicts with T on any input of T, or of an unconfirmed one that T hangs on,
makes T dead once it is `void_depth` deep; a spend that is k deep settles its outpoints for good.
Every mark names its block and counts while that block is on the own heaviest chain, so a
reorganisation revives what it had killed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from grail.bitcoin.tx import Tx
from grail.charms import spell
from grail.errors import InvalidInput, SpellIncorrect
from grail.operators.certificates import Proposal, family
from grail.operators.messages import Family
from grail.types import BlockHash, OutPoint, Txid

K = TypeVar("K")
V = TypeVar("V")

MAX_MARKS = 100_000
"""Outpoints whose spender is remembered, some 30 MB. Beyond it the one marked first goes: its spend
is the oldest, hosts look for it on their nodes, and whoever meets it can show it again."""

MAX_LOST = 4_096
"""Unconfirmed transactions, and families, that are known to be dead; the oldest go first."""

MAX_PATH = 512
"""Unconfirmed transactions from a conflict to the one that hangs on it: policy allows 20, and a
reorganisation makes those of several blocks unconfirmed again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An unconfirmed transaction that cannot confirm beside a spend; `family` when all of it."""

    txid: Txid
    family: Family | None


@dataclass(frozen=True, slots=True)
class Spend:
    """A transaction in a block: what it spends, whose family it is, and what is lost by it."""

    txid: Txid
    family: Family
    inputs: tuple[OutPoint, ...]
    block: BlockHash
    lost: tuple[Lost, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Who spent an outpoint, and in which block."""

    txid: Txid
    family: Family
    block: BlockHash


def family_of(network: bytes, tx: Tx) -> Family:
    """F(T) of any transaction, with or without a spell. Raises `InvalidInput`."""
    try:
        found = spell.parse(tx)
    except SpellIncorrect:
        found = None
    return family(network, tx, len(found.outs) if found else len(tx.outputs))


def read_spend(network: bytes, tx: Tx, block: BlockHash, path: Sequence[Tx] = ()) -> Spend:
    """What a confirmed transaction says, and the unconfirmed ones of `path` that die with it.

    Each of the path spends an outpoint that the confirmed one took, or an output of one before it.
    Raises `InvalidInput` when one does neither.
    """
    own = _family_or_txid(network, tx)
    inputs = tuple(txin.outpoint for txin in tx.inputs)
    taken, gone = set(inputs), set[Txid]()
    lost = []
    if len(path) > MAX_PATH:
        raise InvalidInput(f"spend: {len(path)} transactions, expected at most {MAX_PATH}")
    for each in path:
        spends = {txin.outpoint for txin in each.inputs}
        hangs = any(outpoint.txid in gone for outpoint in spends)
        if each.txid == tx.txid or not (hangs or taken & spends):
            raise InvalidInput(f"spend: transaction {each.txid} does not conflict with {tx.txid}")
        named = _family_or_txid(network, each)
        # Another transaction of the confirmed one's family is not dead: it is that one's double.
        lost.append(Lost(each.txid, named if hangs or named != own else None))
        gone.add(each.txid)
    return Spend(tx.txid, own, inputs, block, tuple(lost))


def _family_or_txid(network: bytes, tx: Tx) -> Family:
    """A family that no proposal has, for a transaction that could not be one."""
    try:
        return family_of(network, tx)
    except InvalidInput:
        return Family(bytes(tx.txid))


@dataclass
class SpentLog:
    """The spends that one instance was shown. `depth` of a block is 0 off the heaviest chain."""

    depth: Callable[[BlockHash], int]
    void_depth: int
    k: int
    _marks: OrderedDict[OutPoint, Mark] = field(init=False, default_factory=OrderedDict, repr=False)
    _lost: OrderedDict[Txid, BlockHash] = field(init=False, default_factory=OrderedDict, repr=False)
    _dead: OrderedDict[Family, BlockHash] = field(
        init=False, default_factory=OrderedDict, repr=False
    )

    def note(self, spend: Spend, concerned: Collection[OutPoint]) -> None:
        """Mark those inputs of a spend that concern this instance, and what is lost by it."""
        mark = Mark(spend.txid, spend.family, spend.block)
        for outpoint in spend.inputs:
            known = self._marks.get(outpoint)
            if outpoint in concerned and (known is None or self.depth(known.block) == 0):
                _put(self._marks, outpoint, mark, MAX_MARKS)
        for lost in spend.lost:
            _put(self._lost, lost.txid, spend.block, MAX_LOST)
            if lost.family is not None:
                self.bury(lost.family, spend.block)

    def bury(self, name: Family, block: BlockHash) -> None:
        """Remember that a family is dead while that block is on the chain."""
        known = self._dead.get(name)
        if known is None or self.depth(known) == 0:
            _put(self._dead, name, block, MAX_LOST)

    def conflict(self, proposal: Proposal, shown: Sequence[Spend] = ()) -> BlockHash | None:
        """The block that keeps a transaction from confirming; None when there is none."""
        for spend in shown:
            rival = spend.family != proposal.family and self._void(spend.block)
            if rival and not proposal.spends.isdisjoint(spend.inputs):
                return spend.block
        for outpoint in proposal.spends:
            mark, lost = self._marks.get(outpoint), self._lost.get(outpoint.txid)
            if mark is not None and mark.family != proposal.family and self._void(mark.block):
                return mark.block
            if lost is not None and self._void(lost):
                return lost
        buried = self._dead.get(proposal.family)
        return buried if buried is not None and self._void(buried) else None

    def settled(self, outpoint: OutPoint) -> Mark | None:
        """The spend of an outpoint that is k deep."""
        mark = self._marks.get(outpoint)
        return mark if mark is not None and self.depth(mark.block) >= self.k else None

    def dead(self) -> frozenset[Family]:
        """The families that are known never to confirm, as the chain stands."""
        return frozenset(name for name, block in self._dead.items() if self._void(block))

    def state(self) -> list[object]:
        """All that is remembered, ready for CBOR."""
        return [
            [
                [o.serialize(), bytes(m.txid), m.family, bytes(m.block)]
                for o, m in self._marks.items()
            ],
            [[bytes(txid), bytes(block)] for txid, block in self._lost.items()],
            [[name, bytes(block)] for name, block in self._dead.items()],
        ]

    def _void(self, block: BlockHash) -> bool:
        return self.depth(block) >= self.void_depth


def _put(table: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    table.pop(key, None)
    table[key] = value
    if len(table) > most:
        table.popitem(last=False)
