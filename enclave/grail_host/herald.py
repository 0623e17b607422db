"""Looks for the spends of the Grail NFT, and shows each to the enclave: deploy, rosters, successor.

An enclave sees headers alone, and its record ends with what it was shown. Its host looks through
the blocks for what spends the Grail NFT and brings it, k deep, with all that proves it: one after
the other from the deploy on, for an enclave that has just begun. What a host hides here costs
liveness only: its enclave signs nothing that the missing spell would allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grail.bitcoin.addresses import Roster
from grail.bitcoin.node import BlockReader, Node
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.charms import spell
from grail.charms.app import Contract
from grail.charms.record import Reign
from grail.errors import Refused, SpellIncorrect, Unavailable
from grail.operators.configuration import Configuration
from grail.operators.evidence import Known, assemble_record, missing
from grail.operators.frames import RECORD, Frame, Seat, Status
from grail.types import BlockHash, OutPoint
from grail_host.follower import Follower
from grail_host.link import Link
from grail_host.looking import keep_looking

PAUSE = 2.0
"""Seconds between two looks."""

BATCH = 100
"""Blocks that are asked for at once."""


@dataclass(frozen=True, slots=True)
class Found:
    """A spend of the Grail NFT, or the deploy: its block, and where the NFT lies after it."""

    tx: Tx
    block: BlockHash
    height: int
    port: OutPoint


class Herald:
    """Brings the transactions of the Grail NFT to the enclave, in order."""

    def __init__(
        self,
        node: Node,
        link: Link,
        follower: Follower,
        configuration: Configuration,
        bundles: Sequence[bytes] = (),
    ) -> None:
        self._node = node
        self._link = link
        self._follower = follower
        self._configuration = configuration
        self._bundles = tuple(bundles)
        self._found: list[Found] = []
        self._from = 0
        self._unwanted: OutPoint | None = None
        self._reader = BlockReader(node, BATCH)

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again."""
        await keep_looking("the Grail NFT's spends", self.look, PAUSE)

    async def look(self) -> None:
        """Show the next spends that the enclave lacks, each once it is deep enough.

        Raises `Unavailable`, `NodeError` or `Refused`.
        """
        await self._undo()
        while True:
            status = await self._link.status()
            if status.port is None and status.keys:
                return  # a member of the first roster, to whom the deploy is brought by hand
            found = await self._after(status)
            if found is None or found.port == self._unwanted:
                return
            depth = await self._node.getblockcount() - found.height + 1
            if depth < self._configuration.network.k:
                return
            await self._follower.sync()
            known = await self._known(found, status.seats)
            record = assemble_record(found.tx, self._bundles, known)
            try:
                (await self._link.ask(Frame(RECORD, record.to_value()))).unwrap()
            except Refused as exc:
                if exc.rule == "RosterInvalid":
                    self._unwanted = found.port  # it will never be taken: not asked again and again
                raise

    async def _undo(self) -> None:
        """Forget what a reorganisation took away."""
        for count, each in enumerate(self._found):
            tip = await self._node.getblockcount()
            if each.height > tip or await self._node.getblockhash(each.height) != each.block:
                del self._found[count:]
                self._from, self._unwanted = 0, None
                return

    async def _after(self, status: Status) -> Found | None:
        """The first spend that the enclave does not have on record; None before there is one."""
        ports = [each.port for each in self._found]
        shown = ports.index(status.port) + 1 if status.port in ports else 0
        if shown < len(self._found):
            return self._found[shown]
        while (found := await self._next()) is not None:
            self._found.append(found)
            self._from = found.height
            if found.port == status.port:
                continue
            if status.port is None or status.port in [each.port for each in self._found]:
                return found
        return None

    async def _next(self) -> Found | None:
        """What spends the Grail NFT where it lay last, or the outpoint that the deploy spends."""
        at = self._found[-1].port if self._found else self._configuration.network.grail_outpoint
        if await self._node.gettxout(at, mempool=False) is not None:
            return None
        self._from = max(self._from, self._configuration.pinned.height + 1)
        last = await self._node.getblockcount()
        while self._from <= last:
            for block, raws in await self._reader.read(self._from, last):
                for tx in map(Tx.parse, raws):
                    if any(txin.outpoint == at for txin in tx.inputs):
                        height = (await self._node.getblockheader_info(block)).height
                        return self._read(tx, block, height)
                self._from += 1
        # It was looked for to the tip and not found: a reorganisation came between.
        self._from = self._found[-1].height if self._found else 0
        return None

    def _read(self, tx: Tx, block: BlockHash, height: int) -> Found:
        """Where the NFT lies after it. Raises `Unavailable` where it was burned."""
        nft = Contract.parse(self._configuration.zkbtc).nft
        try:
            read = spell.parse(tx)
        except SpellIncorrect:
            read = None
        outs = () if read is None else read.outs
        ports = [index for index, held in enumerate(outs) if nft in held]
        if len(ports) != 1:
            raise Unavailable(f"transaction {tx.txid} leaves {len(ports)} Grail NFTs")
        return Found(tx, block, height, OutPoint(tx.txid, ports[0]))

    async def _known(self, found: Found, seats: Sequence[Seat]) -> Known:
        """What proves the transaction, from the operator's own node."""
        reigns = _reigns(seats)
        rosters = [reign.roster for reign in reigns]
        raws = {found.tx.txid: found.tx.serialize()}
        inclusions = {found.tx.txid: await self._node.inclusion(found.tx.txid, found.block)}
        heights = {found.tx.txid: found.height}
        while True:
            known = Known(raws, inclusions, rosters, reigns, heights)
            absent = missing(Psbt.of(found.tx), known)
            if not absent:
                return known
            for txid in absent:
                status = await self._node.transaction_status(txid)
                raws[txid] = await self._node.getrawtransaction(txid, status.block)
                if status.block is not None:
                    inclusions[txid] = await self._node.inclusion(txid, status.block)
                    heights[txid] = (await self._node.getblockheader_info(status.block)).height


def _reigns(seats: Sequence[Seat]) -> list[Reign]:
    """The reigns of the enclave's record: each ends where the next one begins."""
    ends = [seat.start - 1 for seat in seats[1:]]
    return [
        Reign(Roster(seat.epoch, seat.keys, seat.quorum, seat.internal_key), seat.start, end)
        for seat, end in zip(seats, [*ends, None], strict=False)
    ]
