"""How a network begins: the enclaves agree on the first roster, then zkBTC is deployed.

The first roster (PROTOCOL.md section 11): each enclave signs the sorted keys of all, and accepts
the roster when it carries every member's signature. The deploy: the holder of the grail outpoint
publishes the Grail NFT, and every enclave takes the confirmed transaction on record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from grail.apps.compiler import CompiledApp
from grail.bitcoin.addresses import Roster
from grail.bitcoin.node import Node
from grail.bitcoin.spv import Inclusion
from grail.bitcoin.tx import Tx
from grail.bridge.deploy import draft_deploy
from grail.crypto.schnorr import NUMS
from grail.draft.draft import Purse
from grail.errors import DecodeError, GrailError, InvalidInput, Unavailable
from grail.operators.configuration import Configuration
from grail.operators.evidence import DeployRecord, TxEvidence
from grail.operators.frames import (
    FIRST_ROSTER_ACCEPT,
    FIRST_ROSTER_SIGN,
    HEADERS,
    RECORD,
    ROSTER_SAY,
    ROSTER_VIEW,
    STATUS,
    Frame,
    Status,
)
from grail.operators.roster import FirstRoster, roster_fields
from grail.operators.transport import Transport
from grail.roster.shown import RosterShown
from grail.roster.state import NOTHING, RosterState, Seat
from grail.types import Txid, TxOut, XOnlyKey
from grail.wallet.account import Account
from grail.wallet.coins import Coin

AGREE_SECONDS = 60.0
"""For links between all enclaves, and for signs of life from all."""

FEE_RATE = 2
"""sat/vB of the deploy."""


async def agree_on_state(
    transport: Transport, configuration: Configuration, roster: Roster, seats: Sequence[Seat]
) -> None:
    """The first state of the roster, said by every enclave; and all hear that all live.

    Raises `Unavailable`. Without attestation there is no such state.
    """
    if configuration.attesting is None:
        return
    images = configuration.attesting.images
    state = RosterState(
        0, NOTHING, 0, tuple(sorted(seats)), roster.quorum, roster.internal_key, images
    )
    count = len(seats)
    await ask_all(transport, count, Frame(ROSTER_SAY, state.serialize()))
    await until_shown(
        transport, count, lambda shown: all_alive(shown, count), "heard by all others"
    )


def all_alive(shown: RosterShown, count: int) -> bool:
    """Whether so many members are known to have lived at least once."""
    return sum(sight.alive is not None for sight in shown.sights) >= count


async def until_shown(
    transport: Transport, operators: int, done: Callable[[RosterShown], bool], what: str
) -> None:
    """Wait until every operator's view of the roster is so. Raises `Unavailable`."""
    deadline = anyio.current_time() + AGREE_SECONDS
    while True:
        answers = await ask_all(transport, operators, Frame(ROSTER_VIEW))
        if all(done(RosterShown.from_fields(answer)) for answer in answers):
            return
        if anyio.current_time() > deadline:
            raise Unavailable(
                f"not every operator was {what} within {AGREE_SECONDS:.0f} s",
                hint="the hosts' logs say why: grail devnet logs operator-01",
            )
        await anyio.sleep(0.1)


async def ask_all(transport: Transport, operators: int, frame: Frame) -> list[object]:
    """What all operators answer to one frame.

    Raises `Unavailable` with the first error by number, and the operator's name.
    """
    answers: list[object] = [None] * operators
    errors: dict[int, GrailError] = {}

    async def ask(index: int) -> None:
        try:
            answers[index] = (await transport.ask(index, frame)).unwrap()
        except GrailError as exc:
            errors[index] = exc

    async with anyio.create_task_group() as group:
        for index in range(operators):
            group.start_soon(ask, index)
    if errors:
        index, first = min(errors.items())
        count = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Unavailable(f"{operator_name(index)}: {frame.kind}: {first}{count}") from first
    return answers


def operator_name(index: int) -> str:
    """The name of an operator by its number from 0: `operator-01` is the first."""
    return f"operator-{index + 1:02}"


async def agree_on_roster(
    transport: Transport, configuration: Configuration, keys: Sequence[XOnlyKey]
) -> Roster:
    """The first roster, signed by every enclave and accepted by every enclave.

    Where enclaves attest to each other, each has an attested link to every other one by then.
    Raises `Unavailable`.
    """
    if configuration.attesting is not None:
        await until_shown(
            transport, len(keys), lambda shown: shown.links >= len(keys) - 1, "linked"
        )
    roster = Roster(0, tuple(sorted(keys)), configuration.quorum, NUMS)
    signatures = await ask_all(
        transport, len(keys), Frame(FIRST_ROSTER_SIGN, roster_fields(roster))
    )
    signed = {}
    for key, signature in zip(keys, signatures, strict=True):
        if not isinstance(signature, bytes):
            raise DecodeError(f"operator {key}: the answer is no signature")
        signed[key] = signature
    first = FirstRoster.gathered(roster, signed)
    first.check(configuration.network.id, configuration.digest)
    await ask_all(transport, len(keys), Frame(FIRST_ROSTER_ACCEPT, first.fields()))
    return roster


async def statuses(transport: Transport, operators: int) -> list[Status]:
    """What every enclave says of itself. Raises `Unavailable` or `DecodeError`."""
    answers = await ask_all(transport, operators, Frame(STATUS))
    return [Status.from_fields(answer) for answer in answers]


@dataclass(frozen=True, slots=True)
class Deployed:
    """The deploy transaction as it was sent, and what it cost to make."""

    tx: Tx
    fee: int
    constraints: int
    proving_seconds: float


async def publish_deploy(
    node: Node,
    configuration: Configuration,
    app: CompiledApp,
    roster: Roster,
    funder: Account,
) -> Deployed:
    """Make, prove, sign and send the transaction that holds the Grail NFT.

    Raises `InvalidInput` when the grail outpoint is spent already.
    """
    outpoint = configuration.network.grail_outpoint
    held = await node.gettxout(outpoint)
    if held is None:
        raise InvalidInput(f"the grail outpoint {outpoint} is spent: zkBTC is deployed already")
    coin = Coin(outpoint, TxOut(held.sats, held.script))
    height = await node.getblockcount() + 1
    purse = Purse((), funder.script, FEE_RATE)
    draft = draft_deploy(configuration.network, app, roster, coin, purse, height=height)
    # Proving holds a core for a fraction of a second: off the loop, which has others to answer.
    proven = await anyio.to_thread.run_sync(draft.prove)
    proven.check()
    tx = proven.signed_by(funder)
    await node.sendrawtransaction(tx.serialize())
    return Deployed(tx, proven.fee, proven.constraints, proven.proving_seconds)


async def record_deploy(
    node: Node, transport: Transport, configuration: Configuration, app: CompiledApp, tx: Tx
) -> None:
    """Show every enclave the block of the deploy, and the deploy. It must be in a block."""
    tip = await node.getblockcount()
    headers = await node.headers(configuration.pinned.height + 1, tip)
    await ask_all(transport, configuration.operators, Frame(HEADERS, headers))
    sources = []
    for txin in tx.inputs:
        raw = await node.getrawtransaction(txin.outpoint.txid)
        sources.append(TxEvidence(raw, await inclusion(node, txin.outpoint.txid)))
    record = DeployRecord(
        tx.serialize(), await inclusion(node, tx.txid), (app.bundle.serialize(),), tuple(sources)
    )
    await ask_all(transport, configuration.operators, Frame(RECORD, record.to_value()))


async def inclusion(node: Node, txid: Txid) -> Inclusion:
    """Evidence that a transaction stands in its block. Raises `Unavailable` when it is in none."""
    status = await node.transaction_status(txid)
    if status.block is None:
        raise Unavailable(f"transaction {txid} is in no block yet")
    return await node.inclusion(txid, status.block)
