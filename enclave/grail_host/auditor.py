"""Shows the enclave the whole history below the anchors that it took (PROTOCOL.md section 11).

An anchor ends a history on a quorum's word. Nobody need wait for more, but somebody has to look
below it: a bug would be in all enclaves alike, and keys can get out. The host walks back to the
mints over its own node and shows all of it, in parts so small that no vote waits for long. What it
hides or gets wrong costs the alarm alone, never a wrong signature.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from grail.bitcoin.node import NOT_FOUND, Node
from grail.bitcoin.spv import Inclusion, is_coinbase, prove_inclusion
from grail.bitcoin.tx import Tx
from grail.charms import spell
from grail.errors import (
    DecodeError,
    GrailError,
    InvalidInput,
    NodeError,
    Refused,
    SpellIncorrect,
    TooLarge,
    Unavailable,
)
from grail.operators.evidence import MAX_BUNDLES, Known, SigningRequest, has_spell
from grail.operators.frames import HISTORY, MAX_FRAME, Frame
from grail.operators.full_history import parents_first, parts
from grail.types import BlockHash, Txid
from grail_host.link import Link
from grail_host.looking import keep_looking

PAUSE = 3.0
"""Seconds between two looks for anchors that are in a block by now."""
REST = 0.2
"""Seconds between two parts: the enclave is kept busy for less than a tenth of the time."""
PART = 8
"""Transactions judged in one part: some 16 ms, for which a vote may have to wait."""
TRIES = 8
"""For one anchor, each after twice the wait; then it is given up."""
MAX_QUEUED = 1_024
"""Anchors that wait to be looked below; the oldest go first."""
MAX_WHOLE = 2_048
"""Transactions believed to be checked: no more than an enclave keeps verdicts on."""
MAX_WALK = 50_000
"""Transactions that one walk may meet on its way back to the mints."""
MAX_KEPT_BUNDLES = 256
"""Bundles of requests, 64 KiB each at most; which of them a part needs, its spells say."""
MAX_READ = 256
"""Requests remembered as read: a vote's comes again with the signatures."""

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger("grail_host")


@dataclass
class _Queued:
    """An anchor that waits; `tip` is the one at which it was in no block yet."""

    tip: BlockHash | None = None
    tries: int = 0
    again_at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Step:
    """A transaction with a spell on the way back: its block, and what it spends from."""

    block: BlockHash
    parents: tuple[Txid, ...]


@dataclass
class Auditor:
    """Takes note of anchors and has them checked, one walk at a time, by one task."""

    node: Node
    link: Link
    rest: float = REST
    _queue: OrderedDict[Txid, _Queued] = field(init=False, default_factory=OrderedDict)
    _whole: OrderedDict[Txid, None] = field(init=False, default_factory=OrderedDict)
    _bundles: OrderedDict[bytes, bytes] = field(init=False, default_factory=OrderedDict)
    _read: OrderedDict[bytes, None] = field(init=False, default_factory=OrderedDict)
    _blocks: dict[BlockHash, tuple[list[Txid], bytes]] = field(init=False, default_factory=dict)
    _alarm: Txid | None = field(init=False, default=None)

    async def note(self, request: bytes) -> None:
        """Take note of the anchors in a request that the enclave took."""
        name = hashlib.sha256(request).digest()
        if name in self._read:
            return
        _remember(self._read, name, None, MAX_READ)
        try:
            parsed = await asyncio.to_thread(SigningRequest.parse, request)
            anchors = [item.tx.txid for item in parsed.evidence if item.prevouts is not None]
        except InvalidInput:
            return
        for raw in parsed.bundles:
            _remember(self._bundles, hashlib.sha256(raw).digest(), raw, MAX_KEPT_BUNDLES)
        for txid in anchors:
            if txid not in self._whole:
                queued = self._queue.get(txid) or _Queued()
                _remember(self._queue, txid, queued, MAX_QUEUED)

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again."""
        await keep_looking("full checks below anchors", self.look, PAUSE, spread=0.5)

    async def look(self) -> None:
        """Check what is in a block by now. Raises what failed first, once all had their turn."""
        if not self._queue:
            return
        tip, trouble = await self.node.getbestblockhash(), list[GrailError]()
        for txid, queued in list(self._queue.items()):
            if txid not in self._queue or queued.tip == tip or time.monotonic() < queued.again_at:
                continue
            try:
                done = txid in self._whole or await self._check(txid)
            except GrailError as exc:
                if isinstance(exc, Unavailable) and getattr(exc, "code", None) != NOT_FOUND:
                    # The node or the enclave is down, most likely for every anchor alike.
                    self._queue.move_to_end(txid)
                    raise
                trouble.append(exc)
                self._put_off(txid, queued, exc)
            else:
                queued.tip = tip
                if done:
                    self._queue.pop(txid, None)
        if trouble:
            raise trouble[0]

    def _put_off(self, txid: Txid, queued: _Queued, why: GrailError) -> None:
        """Try again later, each time later; in the end not at all."""
        queued.tries += 1
        queued.again_at = time.monotonic() + PAUSE * 2.0**queued.tries
        if queued.tries < TRIES and not isinstance(why, TooLarge):
            return
        self._queue.pop(txid, None)
        # What the node does not know was said already, in the same words for each.
        level = logging.DEBUG if isinstance(why, NodeError) else logging.WARNING
        log.log(level, "the history below %s is not checked in full: %s", txid, why)

    async def _check(self, txid: Txid) -> bool:
        """Check an anchor down to the mints; False while it is in no block."""
        try:
            return await self._walk(txid)
        except Refused as exc:
            lost = exc.rule == "HistoryMissing" or exc.got in map(str, self._whole)
            if not lost or not self._whole:
                raise
            log.info("the enclave lacks verdicts that it had; showing it all of %s", txid)
        self._whole.clear()
        return await self._walk(txid)

    async def _walk(self, txid: Txid) -> bool:
        self._blocks.clear()
        steps = await self._back(txid)
        if steps is None:
            return False
        order = parents_first([txid], lambda t: steps[t].parents if t in steps else None)
        for first in range(0, len(order), PART):
            if first:
                await asyncio.sleep(self.rest)
            await self._show(order[first : first + PART], steps)
        log.info("%d transactions down to %s were shown for a full check", len(order), txid)
        return True

    async def _back(self, tip: Txid) -> dict[Txid, _Step] | None:
        """The way back to the mints, or to what was checked; None when the tip is in no block."""
        steps: dict[Txid, _Step] = {}
        stack, seen = [tip], {tip}
        while stack:
            txid = stack.pop()
            if txid in self._whole:
                self._whole.move_to_end(txid)
                continue
            status = await self.node.transaction_status(txid)
            tx = Tx.parse(status.raw)
            if not has_spell(tx) or is_coinbase(tx):
                continue
            if status.block is None or not status.confirmations:
                if txid == tip:
                    return None
                raise InvalidInput(f"transaction {txid} is in no block")
            above = tuple(dict.fromkeys(txin.outpoint.txid for txin in tx.inputs))
            steps[txid] = _Step(status.block, above)
            stack += [each for each in above if each not in seen]
            seen.update(above)
            if len(seen) > MAX_WALK:
                raise TooLarge(f"its history has more than {MAX_WALK} transactions")
        return steps

    async def _show(self, judged: Sequence[Txid], steps: dict[Txid, _Step]) -> None:
        """Have the enclave judge these, whose parents it knows or gets with them."""
        needed = dict.fromkeys(t for txid in judged for t in (*steps[txid].parents, txid))
        raws = {txid: await self.node.getrawtransaction(txid) for txid in needed}
        proofs = {txid: await self._inclusion(txid, steps[txid].block) for txid in judged}
        bundles = self._named(raws[txid] for txid in judged)
        for part in parts(judged, Known(raws, proofs, ()), bundles, PART):
            frame = Frame(HISTORY, part.to_value())
            if len(frame.raw) > MAX_FRAME:
                raise TooLarge(f"a part of it takes {len(frame.raw)} bytes")
            match (await self.link.ask(frame)).unwrap():
                case [int(), None]:
                    for item in part.evidence:
                        if item.inclusion is not None:
                            _remember(self._whole, item.tx.txid, None, MAX_WHOLE)
                case [int(), bytes() as alarm]:
                    self._alarmed(Txid(alarm))
                case _:
                    raise DecodeError("history: expected a count, and a txid or null")

    def _alarmed(self, txid: Txid) -> None:
        """Say it once, and begin anew: this enclave needs no more, the next one all of it."""
        if txid != self._alarm:
            log.error("ALARM: a quorum signed %s, which is incorrect by a full check", txid)
        self._alarm = txid
        self._whole.clear()
        self._queue.clear()

    async def _inclusion(self, txid: Txid, block: BlockHash) -> Inclusion:
        if block not in self._blocks:
            txids = await self.node.getblock_txids(block)
            coinbase = await self.node.getrawtransaction(txids[0], block)
            self._blocks = {block: (txids, coinbase)}
        txids, coinbase = self._blocks[block]
        return prove_inclusion(block, txids, txid, coinbase)

    def _named(self, raws: Iterable[bytes]) -> list[bytes]:
        """The bundles of the contracts in these transactions' spells, as far as they were seen."""
        vks: dict[bytes, None] = {}
        for raw in raws:
            try:
                found = spell.parse(Tx.parse(raw))
            except SpellIncorrect:
                continue
            vks |= dict.fromkeys(contract.vk for contract in found.contracts) if found else {}
        for vk in vks.keys() & self._bundles.keys():
            self._bundles.move_to_end(vk)
        return [self._bundles[vk] for vk in vks if vk in self._bundles][:MAX_BUNDLES]


def _remember(held: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """Keep the newest; the oldest goes when there are too many."""
    held[key] = value
    held.move_to_end(key)
    if len(held) > most:
        held.popitem(last=False)
