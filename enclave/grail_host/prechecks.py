"""What a host looks at on its own node before its enclave votes: inputs, and others' witnesses.

A vote for a transaction that can never confirm would hold its guarded outputs for nothing, so every
input must be unspent, and the witness of each that the quorum does not sign be valid. This affects
liveness only: whoever goes round it gains no signature (PROTOCOL.md section 12).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

from grail.bitcoin.node import NOT_FOUND, Node
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.errors import Incorrect, InvalidInput, NodeError, Refused
from grail.operators.evidence import SigningRequest
from grail.operators.signing_job import quorum_leaves, spent_outputs, witnessed
from grail.operators.spent import family_of
from grail.types import OutPoint, Txid

REMEMBERED = 64
"""Requests whose witnesses were found valid: promises and ballots carry the same bytes again."""


NETWORK = bytes(32)
"""Families are only compared to each other here, so any network's id will do."""


class Prechecks:
    """Checks a signing request's inputs against the node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._valid: OrderedDict[bytes, Tx | None] = OrderedDict()

    async def check(self, request: bytes) -> None:
        """Raise `Refused` InputSpent or WitnessInvalid; `Unavailable` when the node is down."""
        key = hashlib.sha256(request).digest()
        if key not in self._valid:
            self._valid[key] = await asyncio.to_thread(readable, request)
            if len(self._valid) > REMEMBERED:
                self._valid.popitem(last=False)
        tx = self._valid.get(key)
        if tx is not None:
            await self._unspent(tx)

    def spent(self, request: bytes) -> tuple[OutPoint, ...]:
        """The outpoints of a request that was checked; none for one that cannot be read."""
        tx = self._valid.get(hashlib.sha256(request).digest())
        return () if tx is None else tuple(txin.outpoint for txin in tx.inputs)

    async def _unspent(self, tx: Tx) -> None:
        for txin in tx.inputs:
            if await self._node.gettxout(txin.outpoint) is not None:
                continue
            # A rival in the mempool may still lose: which one holds a guarded output is for the
            # enclave to say, and it names the winner. One in a block has won.
            if not txin.witness and not await self._spent_in_block(txin.outpoint):
                continue
            # Nor is its own double in the way, which pays less: a raise is of the same family (G9).
            if txin.witness and await self._raises(tx, txin.outpoint):
                continue
            if await self._published(tx):
                return
            raise Refused(
                "InputSpent",
                f"the node does not know {txin.outpoint} as unspent",
                got="spent or unknown",
                expected="an unspent output, confirmed or in the mempool",
            )

    async def _raises(self, tx: Tx, outpoint: OutPoint) -> bool:
        """Whether an output waits to be spent by the same transaction with more change."""
        asked = [{"txid": str(outpoint.txid), "vout": outpoint.vout}]
        (found,) = await self._node.call("gettxspendingprevout", asked)
        if "spendingtxid" not in found:
            return False
        other = Tx.parse(await self._node.getrawtransaction(Txid.from_hex(found["spendingtxid"])))
        return family_of(NETWORK, other) == family_of(NETWORK, tx)

    async def _spent_in_block(self, outpoint: OutPoint) -> bool:
        """Whether an output is spent for good, or was never there."""
        if await self._node.gettxout(outpoint, mempool=False) is not None:
            return False
        return not await self._waits(outpoint.txid)

    async def _waits(self, txid: Txid) -> bool:
        """Whether a transaction is in the mempool."""
        try:
            await self._node.getmempoolentry(txid)
        except NodeError as exc:
            if exc.code != NOT_FOUND:
                raise
            return False
        return True

    async def _published(self, tx: Tx) -> bool:
        """Whether the inputs are spent by this very transaction, waiting or just confirmed."""
        if await self._waits(tx.txid):
            return True
        for index in range(len(tx.outputs)):
            if await self._node.gettxout(tx.outpoint(index)) is not None:
                return True
        return False


def readable(request: bytes) -> Tx | None:
    """The request's transaction, once its witnesses are valid and the others can be put together.

    None for what cannot be read: the enclave says what is wrong with it, and signs that. Raises
    `Refused` WitnessInvalid.
    """
    try:
        parsed = SigningRequest.parse(request)
        psbt = Psbt.parse(parsed.psbt)
        prevouts = spent_outputs(psbt, parsed)
    except InvalidInput:
        return None
    try:
        quorum_leaves(psbt, prevouts)
        return witnessed(psbt, prevouts)
    except (Incorrect, InvalidInput) as exc:
        raise Refused(
            "WitnessInvalid",
            str(exc),
            got="a witness that no block may hold, or a leaf that does not open its output",
            expected="the final witness, or else the quorum's leaf, of every input",
        ) from exc
