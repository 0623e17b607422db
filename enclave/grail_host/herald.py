"""Looks for the spend of the Grail NFT that names a successor, and shows it to the enclave.

An enclave sees headers alone, and its record ends with what it was shown. Where its configuration
agrees on a successor, its host looks through the blocks for the naming and brings it, k deep, with
all that proves it. What a host hides here costs liveness only: without it the enclave lets no unit
go over.
"""

from __future__ import annotations

from grail.bitcoin.addresses import Roster
from grail.bitcoin.node import BlockReader, Node
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.charms.record import NO_SUCCESSOR
from grail.crypto.schnorr import NUMS
from grail.operators.configuration import Configuration
from grail.operators.evidence import Known, assemble_record, missing
from grail.operators.frames import RECORD, Frame
from grail.types import BlockHash, OutPoint
from grail_host.follower import Follower
from grail_host.link import Link
from grail_host.looking import keep_looking

PAUSE = 2.0
"""Seconds between two looks."""

SHOW_AGAIN = 60
"""Looks after which it is shown once more: the enclave may have started anew."""

BATCH = 100
"""Blocks that are asked for at once."""


class Herald:
    """Brings the naming of the successor to the enclave."""

    def __init__(
        self, node: Node, link: Link, follower: Follower, configuration: Configuration
    ) -> None:
        self._node = node
        self._link = link
        self._follower = follower
        self._configuration = configuration
        self._found: tuple[Tx, BlockHash, int] | None = None
        self._from = 0
        self._shown_looks = 0
        self._reader = BlockReader(node, BATCH)

    async def run(self) -> None:
        """Look until cancelled; what fails is tried again. At once done without a successor."""
        if self._configuration.successor == NO_SUCCESSOR:
            return
        await keep_looking("the successor's naming", self.look, PAUSE)

    async def look(self) -> None:
        """Show the naming once it is deep enough.

        Raises `Unavailable`, `NodeError` or `Refused`.
        """
        if self._shown_looks:
            self._shown_looks -= 1
            return
        status = await self._link.status()
        if status.roster is None:
            return
        naming = await self._naming(status.roster)
        if naming is None:
            return
        tx, block, height = naming
        depth = await self._node.getblockcount() - height + 1
        if depth < self._configuration.network.k:
            return
        roster = Roster(status.epoch or 0, status.keys, status.quorum, NUMS)
        known = await self._known(tx, block, roster)
        record = assemble_record(tx, (), known)  # the enclave keeps zkBTC's bundle from the deploy
        await self._follower.sync()
        (await self._link.ask(Frame(RECORD, record.to_value()))).unwrap()
        self._shown_looks = SHOW_AGAIN

    async def _naming(self, nft: OutPoint) -> tuple[Tx, BlockHash, int] | None:
        """The transaction that spends the Grail NFT, its block and height; None before it."""
        if self._found is not None:
            if await self._node.getblockhash(self._found[2]) == self._found[1]:
                return self._found
            self._found, self._from = None, 0
        if await self._node.gettxout(nft, mempool=False) is not None:
            return None
        if not self._from:
            deployed = await self._node.transaction_status(nft.txid)
            if deployed.block is None:
                return None
            self._from = (await self._node.getblockheader_info(deployed.block)).height
        last = await self._node.getblockcount()
        while self._from <= last:
            for block, raws in await self._reader.read(self._from, last):
                for tx in map(Tx.parse, raws):
                    if any(txin.outpoint == nft for txin in tx.inputs):
                        height = (await self._node.getblockheader_info(block)).height
                        self._found = (tx, block, height)
                        return self._found
                self._from += 1
        # It was looked for to the tip and not found: a reorganisation came between.
        self._from = 0
        return None

    async def _known(self, tx: Tx, block: BlockHash, roster: Roster) -> Known:
        """What proves the transaction, from the operator's own node."""
        raws = {tx.txid: tx.serialize()}
        inclusions = {tx.txid: await self._node.inclusion(tx.txid, block)}
        while True:
            known = Known(raws, inclusions, (roster,))
            absent = missing(Psbt.of(tx), known)
            if not absent:
                return known
            for txid in absent:
                status = await self._node.transaction_status(txid)
                raws[txid] = await self._node.getrawtransaction(txid, status.block)
                if status.block is not None:
                    inclusions[txid] = await self._node.inclusion(txid, status.block)
