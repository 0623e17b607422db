"""Headers with real work from a pinned point, and Merkle inclusion under them.

An enclave sees the chain only as headers, so it checks what a node would: each hash is below its
own target, the target follows the retarget rules from the pinned point, the time is above the
median of the eleven before. Work that was not done counts for nothing. There is no wall clock
here: a header's time is compared with other headers', and with the `latest` that a caller gives,
who knows the date from elsewhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from grail.bitcoin.network import Chain
from grail.bitcoin.tx import Tx
from grail.errors import DecodeError, Incorrect, InvalidInput, TooLarge
from grail.types import BlockHash, Txid

HEADER_SIZE = 80
MAX_HEADERS = 2_000
"""As many as a node sends in one message."""
MAX_BRANCH = 32
"""A block of 4,000,000 weight holds fewer than 2^17 transactions; 32 levels are out of reach."""
COINBASE_MATURITY = 100
"""Blocks before a coinbase output may be spent (consensus)."""
FORK_WINDOW = 2_016
"""A fork may leave the best chain at most this far below its tip; what is deeper is forgotten."""
MAX_STALE = 20_000
"""Headers held that are not on the best chain: an upper bound for memory."""
_MEDIAN_SPAN = 11


def hash256(data: bytes) -> bytes:
    """SHA-256 twice: what Bitcoin hashes headers and Merkle nodes with."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def target_from_bits(bits: int) -> int:
    """The target of a compact form (nBits). Raises `Incorrect` for negative, zero or oversized."""
    size, mantissa = bits >> 24, bits & 0x007FFFFF
    target = mantissa << (8 * (size - 3)) if size > 3 else mantissa >> (8 * (3 - size))
    if bits & 0x00800000 or target == 0 or target >= 1 << 256:
        raise Incorrect(f"header: bits {bits:08x} are no valid target")
    return target


def bits_from_target(target: int) -> int:
    """The compact form of a target, rounded down as Bitcoin does."""
    size = (target.bit_length() + 7) // 8
    mantissa = target << (8 * (3 - size)) if size <= 3 else target >> (8 * (size - 3))
    if mantissa & 0x00800000:
        mantissa >>= 8
        size += 1
    return mantissa | size << 24


def work_of(bits: int) -> int:
    """The expected number of hashes for a header of that target: 2^256 / (target + 1)."""
    return (1 << 256) // (target_from_bits(bits) + 1)


@dataclass(frozen=True, slots=True)
class Header:
    """A block header: 80 bytes on the wire."""

    version: int
    previous: BlockHash
    merkle_root: bytes
    time: int
    bits: int
    nonce: int

    @classmethod
    def parse(cls, raw: bytes) -> Header:
        """Read the 80 bytes. Raises `DecodeError`."""
        if len(raw) != HEADER_SIZE:
            raise DecodeError(f"header: got {len(raw)} bytes, expected {HEADER_SIZE}")
        return cls(
            int.from_bytes(raw[:4], "little", signed=True),
            BlockHash(raw[4:36]),
            raw[36:68],
            int.from_bytes(raw[68:72], "little"),
            int.from_bytes(raw[72:76], "little"),
            int.from_bytes(raw[76:80], "little"),
        )

    def serialize(self) -> bytes:
        """The 80 bytes."""
        return (
            self.version.to_bytes(4, "little", signed=True)
            + self.previous
            + self.merkle_root
            + self.time.to_bytes(4, "little")
            + self.bits.to_bytes(4, "little")
            + self.nonce.to_bytes(4, "little")
        )

    @property
    def hash(self) -> BlockHash:
        """The block's hash, internal byte order."""
        return BlockHash(hash256(self.serialize()))


@dataclass(frozen=True, slots=True)
class PinnedHeader:
    """The header that a configuration trusts: everything above it must carry its own work."""

    height: int
    header: Header


@dataclass(frozen=True, slots=True)
class Tip:
    """A header as messages report it; `work` is summed above the pinned point."""

    height: int
    hash: BlockHash
    work: int


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Evidence that a transaction stands in a block: its Merkle branch, and the coinbase's.

    The coinbase's branch fixes the tree's depth, so that an inner node cannot pass as a
    transaction of 64 bytes. `branch` goes from the leaf up; `coinbase` is the raw transaction.
    On the wire: [block hash, index, [hash..], raw coinbase, [hash..]], hashes in internal order.
    """

    block: BlockHash
    index: int
    branch: tuple[bytes, ...]
    coinbase: bytes
    coinbase_branch: tuple[bytes, ...]

    def to_value(self) -> list[object]:
        """The wire form, ready for CBOR."""
        return [
            bytes(self.block),
            self.index,
            list(self.branch),
            self.coinbase,
            list(self.coinbase_branch),
        ]

    @classmethod
    def from_value(cls, value: object) -> Inclusion:
        """Read the wire form. Raises `DecodeError`."""
        match value:
            case [
                bytes() as block,
                int() as index,
                list() as branch,
                bytes() as coinbase,
                list() as cb,
            ]:
                pass
            case _:
                raise DecodeError("inclusion: expected [block, index, branch, coinbase, branch]")
        if isinstance(index, bool) or not 0 <= index < 1 << MAX_BRANCH:
            raise DecodeError(f"inclusion: index {index} is out of range")
        return cls(BlockHash(block), index, _hashes(branch), coinbase, _hashes(cb))


def _hashes(value: list[object]) -> tuple[bytes, ...]:
    if len(value) > MAX_BRANCH:
        raise TooLarge(f"inclusion: branch of {len(value)} levels, expected at most {MAX_BRANCH}")
    for item in value:
        if not isinstance(item, bytes) or len(item) != 32:
            raise DecodeError("inclusion: a branch holds hashes of 32 bytes")
    return tuple(item for item in value if isinstance(item, bytes))


def merkle_branch(txids: Sequence[Txid], index: int) -> tuple[bytes, ...]:
    """The siblings of leaf `index` from the leaf up, in a block with these transactions."""
    if not 0 <= index < len(txids):
        raise InvalidInput(f"merkle: index {index}, expected below {len(txids)}")
    level: list[bytes] = [bytes(txid) for txid in txids]
    branch = []
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        branch.append(level[index ^ 1])
        level = [hash256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        index >>= 1
    return tuple(branch)


def prove_inclusion(
    block: BlockHash, txids: Sequence[Txid], txid: Txid, coinbase: bytes
) -> Inclusion:
    """Build the evidence from a block's list of transactions and its raw coinbase.

    Raises `InvalidInput` when the transaction is not in the list.
    """
    if txid not in txids:
        raise InvalidInput(f"transaction {txid} is not in block {block}")
    index = list(txids).index(txid)
    return Inclusion(block, index, merkle_branch(txids, index), coinbase, merkle_branch(txids, 0))


def merkle_root_of(leaf: bytes, index: int, branch: Sequence[bytes]) -> bytes:
    """The root that a branch leads to.

    Raises `Incorrect` when the position cannot exist: past the end of the tree, or at the copy of
    a duplicated last leaf (CVE-2012-2459).
    """
    if len(branch) > MAX_BRANCH or index >> len(branch):
        raise Incorrect(f"merkle: index {index} is past the end of {len(branch)} levels")
    node, last = leaf, False
    for sibling in branch:
        right = index & 1
        if right and sibling == node:
            raise Incorrect("merkle: the position is the copy of a duplicated leaf")
        if not right and sibling != node and last:
            raise Incorrect("merkle: a leaf that ends its level has a right neighbour above")
        last = last or (not right and sibling == node)
        node = hash256(sibling + node) if right else hash256(node + sibling)
        index >>= 1
    return node


def check_inclusion(header: Header, tx: Tx, inclusion: Inclusion) -> None:
    """Raise `Incorrect` unless the transaction stands in the block of that header.

    The leaf is the hash of the very bytes given, never an id that came along.
    """
    if len(tx.serialize_unsigned()) == 64:
        raise Incorrect("inclusion: a transaction of 64 bytes can be an inner node")
    if len(inclusion.branch) != len(inclusion.coinbase_branch):
        raise Incorrect(
            f"inclusion: depth {len(inclusion.branch)}, the coinbase has depth "
            f"{len(inclusion.coinbase_branch)}"
        )
    coinbase = Tx.parse(inclusion.coinbase)
    if not is_coinbase(coinbase) or len(coinbase.serialize_unsigned()) == 64:
        raise Incorrect("inclusion: the coinbase given is none")
    if is_coinbase(tx) != (inclusion.index == 0):
        raise Incorrect("inclusion: the coinbase, and only it, stands at index 0")
    leaf = bytes(tx.txid)
    if merkle_root_of(leaf, inclusion.index, inclusion.branch) != header.merkle_root:
        raise Incorrect(f"inclusion: transaction {tx.txid} is not under block {header.hash}")
    if merkle_root_of(bytes(coinbase.txid), 0, inclusion.coinbase_branch) != header.merkle_root:
        raise Incorrect(f"inclusion: the coinbase is not under block {header.hash}")


def is_coinbase(tx: Tx) -> bool:
    """Whether the transaction creates coins: one input, at the null outpoint."""
    return (
        len(tx.inputs) == 1
        and bytes(tx.inputs[0].outpoint.txid) == bytes(32)
        and tx.inputs[0].outpoint.vout == 0xFFFFFFFF
    )


@dataclass(frozen=True, slots=True)
class _Node:
    header: Header
    height: int
    work: int


@dataclass
class HeaderChain:
    """All headers known above a pinned point, and the heaviest chain of them.

    On equal work the first seen stays best, as a node does it. A batch is taken whole or not at
    all, so that a refused one changes nothing.
    """

    chain: Chain
    pinned: PinnedHeader
    _nodes: dict[BlockHash, _Node] = field(init=False, repr=False)
    _best: list[BlockHash] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that targets can be followed from the pinned point. Raises `InvalidInput`."""
        height = self.pinned.height
        if height < 0 or (not self.chain.no_retarget and height % self.chain.retarget_interval):
            raise InvalidInput(
                f"pinned header: height {height}, expected a multiple of "
                f"{self.chain.retarget_interval}",
                hint="pin the first block of a retarget period, so that targets can be followed",
            )
        root = self.pinned.header.hash
        self._nodes = {root: _Node(self.pinned.header, height, 0)}
        self._best = [root]

    @property
    def tip(self) -> Tip:
        """The end of the heaviest chain."""
        node = self._nodes[self._best[-1]]
        return Tip(node.height, self._best[-1], node.work)

    @property
    def median_time(self) -> int | None:
        """The median time past of the tip; None while fewer than eleven headers are known."""
        return self._median_time(self._nodes[self._best[-1]], {})

    @property
    def block_work(self) -> int:
        """The work of one block at the tip's difficulty."""
        return work_of(self._nodes[self._best[-1]].header.bits)

    def height_of(self, block: BlockHash) -> int | None:
        """The block's height when it is on the heaviest chain, else None."""
        node = self._nodes.get(block)
        if node is None or self._best_at(node.height) != block:
            return None
        return node.height

    def depth(self, block: BlockHash) -> int:
        """How deep a block lies on the heaviest chain, 1 at the tip; 0 when it is not on it."""
        height = self.height_of(block)
        return 0 if height is None else self.tip.height - height + 1

    def header_at(self, height: int) -> Header:
        """The header of the heaviest chain at a height. Raises `InvalidInput`."""
        block = self._best_at(height)
        if block is None:
            raise InvalidInput(f"height {height} is not between the pinned header and the tip")
        return self._nodes[block].header

    def _best_at(self, height: int) -> BlockHash | None:
        at = height - self.pinned.height
        return self._best[at] if 0 <= at < len(self._best) else None

    def confirmed(self, tx: Tx, inclusion: Inclusion) -> int:
        """The height at which the heaviest chain holds the transaction. Raises `Incorrect`."""
        height = self.height_of(inclusion.block)
        if height is None:
            raise Incorrect(
                f"block {inclusion.block} is not on the heaviest known chain, tip {self.tip.height}"
            )
        check_inclusion(self._nodes[inclusion.block].header, tx, inclusion)
        return height

    def extend(self, headers: Sequence[Header], latest: float = math.inf) -> Tip:
        """Add headers that follow one another from a known one, and return the new tip.

        `latest` is the last time that a header may have now, in seconds since 1970: two hours from
        the present, for whoever knows it. Headers that are known already are passed over. Raises
        `Incorrect` at the first one that breaks a rule (nothing is added then), `TooLarge` for too
        many.
        """
        if len(headers) > MAX_HEADERS:
            raise TooLarge(f"headers: got {len(headers)}, expected at most {MAX_HEADERS}")
        fresh: dict[BlockHash, _Node] = {}
        for header in headers:
            block = header.hash
            if block in self._nodes or block in fresh:
                continue
            fresh[block] = self._checked(header, block, fresh)
            if header.time > latest:
                raise Incorrect(
                    f"header {block}: time {header.time} is above {latest:.0f}, two hours from now",
                    hint="bring it again later: a node would not take it yet either",
                )
        stale = len(self._nodes) - len(self._best)
        heaviest = max(fresh, key=lambda block: fresh[block].work, default=None)
        if heaviest is None:
            return self.tip
        wins = fresh[heaviest].work > self.tip.work
        if not wins and stale + len(fresh) > MAX_STALE:
            raise TooLarge(f"headers: {stale} are held beside the heaviest chain already")
        self._nodes.update(fresh)
        if wins:
            self._switch(heaviest)
        self._forget()
        return self.tip

    def _checked(self, header: Header, block: BlockHash, fresh: dict[BlockHash, _Node]) -> _Node:
        parent = fresh.get(header.previous) or self._nodes.get(header.previous)
        if parent is None:
            raise Incorrect(f"header {block}: its parent {header.previous} is not known")
        height = parent.height + 1
        if height <= self.tip.height - FORK_WINDOW:
            raise Incorrect(f"header {block}: forks off more than {FORK_WINDOW} below the tip")
        bits = self._bits_after(parent, fresh)
        if header.bits != bits:
            raise Incorrect(f"header {block}: bits {header.bits:08x}, expected {bits:08x}")
        if int.from_bytes(block, "little") > target_from_bits(bits):
            raise Incorrect(f"header {block}: its hash is not below its target")
        median = self._median_time(parent, fresh)
        if median is not None and header.time <= median:
            raise Incorrect(f"header {block}: time {header.time} is not above median {median}")
        return _Node(header, height, parent.work + work_of(bits))

    def _back(self, node: _Node, steps: int, fresh: dict[BlockHash, _Node]) -> list[_Node]:
        """The node and up to `steps` ancestors, newest first, no deeper than the pinned one."""
        nodes = [node]
        while len(nodes) <= steps and nodes[-1].height > self.pinned.height:
            previous = nodes[-1].header.previous
            nodes.append(fresh.get(previous) or self._nodes[previous])
        return nodes

    def _bits_after(self, parent: _Node, fresh: dict[BlockHash, _Node]) -> int:
        chain = self.chain
        if chain.no_retarget or (parent.height + 1) % chain.retarget_interval:
            return parent.header.bits
        first = self._back(parent, chain.retarget_interval - 1, fresh)[-1]
        wanted = chain.retarget_interval * chain.target_spacing
        span = min(max(parent.header.time - first.header.time, wanted // 4), wanted * 4)
        target = target_from_bits(parent.header.bits) * span // wanted
        return bits_from_target(min(target, target_from_bits(chain.pow_limit_bits)))

    def _median_time(self, parent: _Node, fresh: dict[BlockHash, _Node]) -> int | None:
        """Median time of the last eleven; None while fewer are known than the rule looks at."""
        nodes = self._back(parent, _MEDIAN_SPAN - 1, fresh)
        if len(nodes) < _MEDIAN_SPAN and self.pinned.height > 0:
            return None
        times = sorted(node.header.time for node in nodes)
        return times[len(times) // 2]

    def _switch(self, block: BlockHash) -> None:
        branch = []
        while self._best_at(self._nodes[block].height) != block:
            branch.append(block)
            block = self._nodes[block].header.previous
        del self._best[self._nodes[block].height - self.pinned.height + 1 :]
        self._best.extend(reversed(branch))

    def _forget(self) -> None:
        """Drop side branches that lie wholly below the fork window."""
        if len(self._nodes) - len(self._best) <= MAX_STALE // 2:
            return
        floor = self.tip.height - FORK_WINDOW
        kept = set(self._best)
        for start, node in self._nodes.items():
            block = start
            while node.height >= floor and block not in kept:
                kept.add(block)
                block = self._nodes[block].header.previous
        for block in self._nodes.keys() - kept:
            del self._nodes[block]
