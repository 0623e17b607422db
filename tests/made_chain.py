"""A chain made in memory: real headers with real (trivial) work, blocks with what one puts in.

Difficulty is regtest's unless the chain's rules say otherwise, so a header takes a few hashes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from grail.bitcoin.network import REGTEST, Chain
from grail.bitcoin.spv import (
    Header,
    Inclusion,
    PinnedHeader,
    merkle_branch,
    merkle_root_of,
    prove_inclusion,
    target_from_bits,
)
from grail.bitcoin.tx import Tx, TxIn
from grail.types import BlockHash, OutPoint, Txid, TxOut

START = 1_700_000_000
"""The time of the pinned header: any, since headers are compared with headers alone."""

_serial = itertools.count()


def mine(header: Header) -> Header:
    """The header with the first nonce whose hash is below its target."""
    target = target_from_bits(header.bits)
    while int.from_bytes(header.hash, "little") > target:
        header = replace(header, nonce=header.nonce + 1)
    return header


def coinbase(height: int, script: bytes = b"\x51") -> Tx:
    """A coinbase; a serial number keeps two of one height apart."""
    tag = height.to_bytes(4, "little") + next(_serial).to_bytes(4, "little")
    null = TxIn(OutPoint(Txid(bytes(32)), 0xFFFFFFFF), b"\x08" + tag, 0xFFFFFFFF)
    return Tx(2, (null,), (TxOut(50_0000_0000, script),), 0)


def merkle_root(txids: Sequence[Txid]) -> bytes:
    """The root over a block's transactions."""
    return merkle_root_of(bytes(txids[0]), 0, merkle_branch(txids, 0))


@dataclass(frozen=True)
class Block:
    """A header and its transactions, the coinbase first."""

    header: Header
    txs: tuple[Tx, ...]

    def prove(self, txid: Txid) -> Inclusion:
        """Evidence that a transaction is in this block."""
        txids = [tx.txid for tx in self.txs]
        raw = self.txs[0].serialize_unsigned()
        return prove_inclusion(self.header.hash, txids, txid, raw)


@dataclass
class MadeChain:
    """A chain that grows by `mine`; `blocks[0]` is the pinned one."""

    chain: Chain = REGTEST
    start: int = 0
    spacing: int = 600
    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = coinbase(self.start)
        header = Header(
            4,
            BlockHash(bytes(32)),
            merkle_root([first.txid]),
            START,
            self.chain.pow_limit_bits,
            0,
        )
        self.blocks.append(Block(mine(header), (first,)))

    @property
    def pinned(self) -> PinnedHeader:
        """What a configuration pins of it."""
        return PinnedHeader(self.start, self.blocks[0].header)

    @property
    def height(self) -> int:
        """The tip's height."""
        return self.start + len(self.blocks) - 1

    @property
    def headers(self) -> list[Header]:
        """All headers above the pinned one."""
        return [block.header for block in self.blocks[1:]]

    def mine(self, *txs: Tx, bits: int | None = None, time: int | None = None) -> Block:
        """Add a block with these transactions."""
        return self._add((coinbase(self.height + 1), *txs), bits, time)

    def mine_coinbase(self, tx: Tx) -> Block:
        """Add a block that holds this coinbase alone."""
        return self._add((tx,), None, None)

    def _add(self, every: tuple[Tx, ...], bits: int | None, time: int | None) -> Block:
        tip = self.blocks[-1].header
        header = Header(
            4,
            tip.hash,
            merkle_root([tx.txid for tx in every]),
            tip.time + self.spacing if time is None else time,
            tip.bits if bits is None else bits,
            0,
        )
        self.blocks.append(Block(mine(header), every))
        return self.blocks[-1]

    def mine_many(self, count: int) -> None:
        """Add empty blocks."""
        for _ in range(count):
            self.mine()

    def fork(self, height: int) -> MadeChain:
        """A chain that shares everything up to a height."""
        other = MadeChain.__new__(MadeChain)
        other.chain, other.start, other.spacing = self.chain, self.start, self.spacing
        other.blocks = self.blocks[: height - self.start + 1]
        return other

    def find(self, txid: Txid) -> Block:
        """The block that holds a transaction."""
        return next(b for b in self.blocks if any(tx.txid == txid for tx in b.txs))

    def prove(self, txid: Txid) -> Inclusion:
        """Evidence that a transaction is in the chain."""
        return self.find(txid).prove(txid)
