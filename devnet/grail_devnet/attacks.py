"""What must be refused: requests that a thief would send, built with the SDK's own parts.

Each attack is a frame for an operator and the name of the refusal that answers it. The
SDK itself would stop before it asked anybody, so the attacks leave its checks out: whoever sends
bytes to an operator has no SDK in his way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import anyio

from grail.bridge.peg_in import draft_peg_in
from grail.charms.app import App, Contract
from grail.charms.spell import Inputs
from grail.connection.deposits import PendingDeposit
from grail.connection.session import Session
from grail.connection.swap import pool_port
from grail.draft.assembled import Assembled
from grail.draft.draft import Draft, Purse
from grail.errors import GrailError
from grail.exchange.pool import draft_move, swapping
from grail.operators.frames import Frame, Reply, sign_frame, vote_frame
from grail.operators.messages import Refusal, Vote
from grail.operators.transport import Transport
from grail.types import TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin

BEHIND = frozenset({"NotConfirmed", "ViewStale"})
"""What an operator answers that has not heard of the newest block yet."""

LAGS, LAG_SECONDS = 50, 0.1
"""How often and how long to wait for it."""


@dataclass(frozen=True)
class Attack:
    """A question that every operator must refuse, and the rule by which it does."""

    title: str
    rule: str
    frame: Frame = field(repr=False)

    @classmethod
    def voted(cls, title: str, rule: str, request: bytes) -> Attack:
        """A request that operators are asked to vote for."""
        return cls(title, rule, vote_frame(request))


def _purse(session: Session, account: Account) -> Purse:
    return Purse(session.usable(account.script), account.script, session.rate)


def _swap(
    session: Session, account: Account, pool: Contract, give: App, amount: int, *, more: int = 0
) -> Assembled:
    port = pool_port(session, pool)
    out = port.quote(give, amount).taken + more
    move = swapping(port, give, amount, out=out)
    return draft_move(session.context(), session.apps.pool, port, _purse(session, account), move)


async def _proven(built: Assembled) -> Assembled:
    return await anyio.to_thread.run_sync(built.prove)


async def greedy_swap(
    session: Session, thief: Account, pool: Contract, give: App, amount: int
) -> Attack:
    """A swap that takes one unit too much, with the proof of the honest one."""
    await session.refresh()
    honest = await _proven(_swap(session, thief, pool, give, amount))
    greedy = _swap(session, thief, pool, give, amount, more=1)
    forged = greedy.with_proofs(honest.spell.proofs if honest.spell else ())
    request = await session.request(forged, thief)
    return Attack.voted("a swap that takes one unit too much", "ProofInvalid", request)


async def replayed_proof(
    session: Session, thief: Account, pool: Contract, give: App, amount: int
) -> Attack:
    """The proof of one honest swap on another honest swap, of another amount."""
    await session.refresh()
    first = await _proven(_swap(session, thief, pool, give, amount))
    second = _swap(session, thief, pool, give, amount + 1)
    forged = second.with_proofs(first.spell.proofs if first.spell else ())
    request = await session.request(forged, thief)
    return Attack.voted("a proof replayed on another transaction", "ProofInvalid", request)


async def _peg_in(session: Session, pending: PendingDeposit) -> tuple[Assembled, Coin]:
    await session.refresh()
    coin = session.ledger.coin(pending.coin.outpoint) or pending.coin
    built = draft_peg_in(session.context(), session.apps.zkbtc, pending.deposit, coin, session.rate)
    return await _proven(built), coin


async def inflated_mint(session: Session, pending: PendingDeposit) -> Attack:
    """A peg-in that mints more than the vault gains, with the proof of the honest one."""
    honest, _ = await _peg_in(session, pending)
    token = session.zkbtc.token
    if honest.spell is None:
        raise GrailError("a peg-in has a spell")
    outs = tuple(
        {app: data + 1_000_000 if app == token else data for app, data in charms.items()}
        for charms in honest.spell.outs
    )
    forged = honest.with_spell(replace(honest.spell, outs=outs))
    return Attack.voted(
        "a mint larger than the deposit", "TurnstileBroken", await session.request(forged)
    )


async def diverted_mint(session: Session, pending: PendingDeposit, thief: Account) -> Attack:
    """A peg-in whose units go to a thief, while its row names the depositor."""
    honest, _ = await _peg_in(session, pending)
    return Attack.voted(
        "a mint to somebody other than the depositor",
        "RowPayee",
        await session.request(_paying(honest, thief)),
    )


async def claimed_mint(session: Session, pending: PendingDeposit, thief: Account) -> Attack:
    """The same with a row that names the thief: no such escrow address exists."""
    honest, _ = await _peg_in(session, pending)
    if honest.spell is None:
        raise GrailError("a peg-in has a spell")
    contract = session.zkbtc
    rows = tuple(
        replace(row, owner_script=thief.script) for row in honest.spell.inputs(contract).rows
    )
    spelled = replace(honest.spell, x={contract: Inputs(rows=rows)})
    forged = _paying(honest.with_spell(spelled), thief)
    return Attack.voted(
        "a mint with a row that names the thief", "UnknownGuard", await session.request(forged)
    )


def _paying(honest: Assembled, thief: Account) -> Assembled:
    """The same transaction with output 1, the depositor's payout, at the thief's address."""
    outputs = list(honest.tx.outputs)
    outputs[1] = TxOut(outputs[1].sats, thief.script)
    return replace(honest, tx=replace(honest.tx, outputs=tuple(outputs)))


async def unproven_move(session: Session, thief: Account, pool: Contract) -> Attack:
    """The pool's state and tokens moved out unchanged: to Charms alone a simple transfer."""
    await session.refresh()
    port = pool_port(session, pool)
    draft = Draft(session.context())
    draft.spend_guarded(pool, port.coin)
    draft.pay(thief.script, port.coin.sats, port.coin.charms)
    draft.fund(_purse(session, thief))
    request = await session.request(draft.assemble(), thief)
    return Attack.voted("moving the pool's tokens out unchanged", "ProofMissing", request)


async def undecided(session: Session, request: bytes, transport: Transport) -> Attack:
    """A certificate of one vote too few for an honest request, put where a decision is wanted.

    All operators are asked for their votes, so the transaction can and should be completed after.
    """
    keys = session.context().roster.keys
    votes: list[Vote] = []

    async def one(operator: int) -> None:
        reply = await transport.ask(operator, vote_frame(request))
        votes.append(Vote.parse(reply.unwrap()))

    async with anyio.create_task_group() as group:
        for operator in range(len(keys)):
            group.start_soon(one, operator)
    few = votes[: session.scope().quorum - 1]
    return Attack(f"a certificate of {len(few)} votes", "NotDecided", sign_frame(few, request))


@dataclass(frozen=True)
class Verdict:
    """What the operators said to an attack: their signed refusals, by operator."""

    attack: Attack
    refusals: Mapping[int, Refusal]
    others: Mapping[int, str]

    @property
    def refused(self) -> bool:
        """Whether everybody who was asked refused, signed, and by the expected rule."""
        rules = {refusal.rule for refusal in self.refusals.values()}
        return bool(self.refusals) and not self.others and rules == {self.attack.rule}


async def ask(session: Session, attack: Attack, transport: Transport, operators: int) -> Verdict:
    """Put an attack to operators 0 to `operators` - 1, in the order of their keys.

    Every refusal's signature is verified; what is no refusal is listed by what it was.
    """
    keys = session.context().roster.keys
    refusals: dict[int, Refusal] = {}
    others: dict[int, str] = {}

    async def one(operator: int) -> None:
        try:
            refusals[operator] = await _settled(session, attack, transport, operator)
        except GrailError as exc:
            others[operator] = str(exc)

    async with anyio.create_task_group() as group:
        for operator in range(min(operators, len(keys))):
            group.start_soon(one, operator)
    return Verdict(attack, dict(sorted(refusals.items())), others)


async def _settled(
    session: Session, attack: Attack, transport: Transport, operator: int
) -> Refusal:
    """An operator's refusal, once its chain holds the newest block: that it lags is no verdict."""
    for _ in range(LAGS):
        reply = await transport.ask(operator, attack.frame)
        refusal = verified(session, attack.frame, operator, reply)
        if refusal.rule not in BEHIND:
            break
        await anyio.sleep(LAG_SECONDS)
    return refusal


def verified(session: Session, frame: Frame, operator: int, reply: Reply) -> Refusal:
    """The refusal in a reply, its signature verified for this very frame.

    Raises `GrailError` when the operator did not refuse, `SignatureInvalid`.
    """
    if reply.refusal is None:
        raise GrailError(f"operator {operator} did not refuse")
    key = session.context().roster.keys[operator]
    reply.refusal.verify(session.network.id, key, frame.subject)
    return reply.refusal
