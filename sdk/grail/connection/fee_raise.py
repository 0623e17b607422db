"""Raising the fee of a transaction that waits: by a child that pays, or by one narrow replacement.

A child is preferred: it changes nothing that anybody relies on. It spends an output of the
transaction that the wallet owns, charms and all, and pays for both. A replacement is the same
transaction with a smaller change output and nothing else touched; the operators sign it without a
new ballot because it is of the same family (threat G9), but it undoes whatever hangs on the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from grail.bitcoin import script
from grail.bitcoin.node import MempoolEntry
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.charms import spell as spells
from grail.connection.fate import DROPPED, OVERTAKEN, REPLACED, WAITING
from grail.connection.outbox import Sent
from grail.connection.receipt import Receipt
from grail.connection.session import Session
from grail.connection.unfinished import Unfinished
from grail.draft.assembled import Assembled
from grail.draft.draft import Draft, Payment
from grail.errors import InsufficientFunds, InvalidInput
from grail.operators.evidence import SigningRequest
from grail.types import Sats, Txid, TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin, plain

WHAT = "fee raise"

INCREMENT = 1
"""sat/vB that a replacement pays on top of what it replaces: the nodes' own rule (BIP 125)."""


By = Literal["child", "replacement"]
"""How a fee is raised."""


async def raise_fee(
    session: Session, account: Account, txid: Txid, rate: int, by: By | None = None
) -> Receipt:
    """Make a waiting transaction pay `rate` sat per virtual byte, by a child where one can be made.

    Raises `InvalidInput` where there is nothing to raise or no way to, `InsufficientFunds`,
    `Superseded`, and as `Session.complete` does.
    """
    raising = await _Raising.of(session, account, txid, rate)
    if by == "child" or (by is None and raising.mine):
        return await raising.child()
    return await raising.replacement()


@dataclass(frozen=True)
class _Raising:
    """A waiting transaction whose fee is raised, and what of it is the wallet's."""

    session: Session
    account: Account
    tx: Tx
    entry: MempoolEntry
    mine: Sequence[Coin]
    rate: int

    @classmethod
    async def of(cls, session: Session, account: Account, txid: Txid, rate: int) -> _Raising:
        """What is known of a transaction that waits. Raises `InvalidInput`, `Superseded`."""
        if not 1 <= rate <= session.configuration.max_fee_rate:
            raise InvalidInput(
                f"fee rate of {rate} sat/vB, expected 1 to {session.configuration.max_fee_rate}"
            )
        fate = await session.fate(txid)
        fate.check()
        if fate.state == DROPPED:
            return cls._dropped(session, account, txid, rate)
        if fate.state != WAITING:
            why = dict.fromkeys((OVERTAKEN, REPLACED), f"{fate.by} took its place")
            said = why.get(fate.state, "it is in a block already")
            raise InvalidInput(f"the fee of {txid} cannot be raised: {said}", hint=fate.why)
        mine = [c for c in session.ledger.coins(account.script) if c.outpoint.txid == txid]
        tx = await session.ledger.transaction(txid)
        return cls(session, account, tx, await session.node.getmempoolentry(txid), mine, rate)

    @classmethod
    def _dropped(cls, session: Session, account: Account, txid: Txid, rate: int) -> _Raising:
        """One that the node dropped: what was sent is here, and a child goes with it as a package.

        Only change counts as the wallet's then: no ledger says what charms its outputs hold.
        Raises `InvalidInput`.
        """
        sent = session.outbox.get(txid)
        if sent is None:
            raise InvalidInput(
                f"the fee of {txid} cannot be raised: the node dropped it",
                hint="whoever sent it has it, and can raise it",
            )
        above = session.outbox.dropped_parents(session.ledger, sent.tx)
        if above:
            raise InvalidInput(
                f"the fee of {txid} cannot be raised: it hangs on {above[0].txid}, which the node "
                "dropped too",
                hint="raise the fee of that one first",
            )
        mine = [
            Coin(sent.tx.outpoint(index), sent.tx.outputs[index])
            for index in _past_the_spell(sent.tx, account.script)
        ]
        # A child in the place of a payment that hangs on it, and waits too, would undo that one.
        taken = session.outbox.spoken_for(session.ledger)
        free = [coin for coin in mine if coin.outpoint not in taken]
        if mine and not free:
            raise InvalidInput(
                f"the fee of {txid} cannot be raised: what hangs on it, and waits too, spends its "
                "change",
                hint="wait: both are sent again when blocks made room",
            )
        size, fee = sent.tx.vsize, Sats(sent.fee)
        entry = MempoolEntry(txid, size, fee, 1, 1, (), (), size, fee)
        return cls(session, account, sent.tx, entry, free, rate)

    # ---- by a child

    async def child(self) -> Receipt:
        """Spend an output of it to the wallet itself, with the fee for both."""
        if not self.mine:
            raise InvalidInput(
                f"no output of {self.tx.txid} is wallet {self.account.name!r}'s",
                hint="whoever received it can raise it",
            )
        bare = plain(self.mine)
        first = bare[0] if bare else max(self.mine, key=lambda coin: coin.sats)
        paid = await self._paid()
        if paid >= self.rate:
            raise InvalidInput(
                f"{self.tx.txid} pays {paid:.1f} sat/vB with what it hangs on and what hangs on "
                f"it, asked for {self.rate}",
                hint="ask for a higher rate",
            )
        # Only what is in a block helps: another unconfirmed parent would want a fee of its own.
        purse = self.session.purse(self.account.script)
        spare = plain(coin for coin in purse.coins if coin.height is not None)
        for count in range(len(spare) + 1):
            built = self._child(first, spare[:count])
            if built is not None:
                return await self.session.complete(WHAT, built, self.account)
        raise InsufficientFunds(
            f"the {len(spare)} plain coins in blocks and the output of {first.sats} sats do not "
            f"pay {self.rate} sat/vB for {self.entry.ancestor_vsize} vB and the child",
            hint="get more plain sats, or ask for a lower rate",
        )

    def _child(self, first: Coin, extra: Sequence[Coin]) -> Assembled | None:
        """The child that spends these coins; None when they do not pay for it."""
        own = self.account.script
        trial = self._spending(first, extra, script.dust_limit(own))
        wanted = self.rate * (self.entry.ancestor_vsize + trial.vsize) - self.entry.ancestor_fees
        fee = max(wanted, self.session.rate * trial.vsize)
        left = script.dust_limit(own) + trial.fee - fee
        return self._spending(first, extra, left) if left >= script.dust_limit(own) else None

    def _spending(self, first: Coin, extra: Sequence[Coin], change: int) -> Assembled:
        draft = Draft(self.session.context())
        draft.spend(first, *extra)
        if first.charms:
            draft.keep_rest(self.account.script, first.sats)
        draft.change = Payment(self.account.script, change)
        return draft.assemble()

    async def _paid(self) -> float:
        """What miners find: the best rate of those that need it, each with all its ancestors."""
        best = self.entry.ancestor_fees / self.entry.ancestor_vsize
        queue, seen = [self.tx.txid], set[Txid]()
        while queue:
            for child in self.session.ledger.children(queue.pop()):
                if child not in seen:
                    seen.add(child)
                    queue.append(child)
                    entry = await self.session.node.getmempoolentry(child)
                    best = max(best, entry.ancestor_fees / entry.ancestor_vsize)
        return best

    # ---- by a replacement

    async def replacement(self) -> Receipt:
        """The same transaction with less change, signed again."""
        session, old = self.session, self.tx
        children = set(session.ledger.children(old.txid)) | session.outbox.children(old.txid)
        if children:
            raise InvalidInput(
                f"{len(children)} transactions hang on {old.txid}, which a replacement would undo",
                hint="raise it by a child",
            )
        prevouts = await self._prevouts()
        index = self._change()
        fee = self.rate * self.entry.vsize
        if fee <= self.entry.fee:
            raise InvalidInput(
                f"{old.txid} pays {self.entry.fee} sats for {self.entry.vsize} vB already",
                hint="ask for a higher rate",
            )
        fee = max(fee, self.entry.fee + INCREMENT * self.entry.vsize)
        left = old.outputs[index].sats - (fee - self.entry.fee)
        if left < script.dust_limit(self.account.script):
            raise InsufficientFunds(
                f"the change of {old.outputs[index].sats} sats does not pay {fee - self.entry.fee} "
                "more",
                hint="raise it by a child",
            )
        outputs = list(old.outputs)
        outputs[index] = TxOut(Sats(left), self.account.script)
        bare = tuple(replace(txin, witness=()) for txin in old.inputs)
        made = replace(old, inputs=bare, outputs=tuple(outputs))
        receipt = await self._signed(made, prevouts, fee)
        session.unfinished.drop(old.txid)  # its owner may still ask what became of it
        return receipt

    async def _signed(self, made: Tx, prevouts: Sequence[TxOut], fee: int) -> Receipt:
        """Sign the wallet's inputs again, have the quorum sign its own, publish."""
        session, quorum = self.session, self._quorum_inputs()
        for index in range(len(made.inputs)):
            if index not in quorum:
                made = self.account.sign(made, prevouts, index)
        if not quorum:
            return await session.publish_own(Sent(WHAT, made, fee, session.ledger.height), prevouts)
        sent = session.outbox.get(self.tx.txid)
        if sent is None or not sent.request:
            raise InvalidInput(
                f"the request behind {self.tx.txid} is not kept here",
                hint="raise it by a child, or where it was asked for",
            )
        before = SigningRequest.parse(sent.request)
        psbt = replace(
            Psbt.parse(before.psbt),
            tx=replace(made, inputs=tuple(replace(i, witness=()) for i in made.inputs)),
        )
        for index, txin in enumerate(made.inputs):
            if index not in quorum:
                psbt = psbt.with_input(index, final_script_witness=txin.witness)
        request = await session.renewed(replace(before, psbt=psbt.serialize()).serialize())
        return await session.ask(Unfinished(WHAT, request, fee, accounts=(self.account.script,)))

    async def _prevouts(self) -> tuple[TxOut, ...]:
        """What it spends. Raises `InvalidInput` where somebody else must sign again."""
        found, quorum = [], self._quorum_inputs()
        for index, txin in enumerate(self.tx.inputs):
            parent = await self.session.ledger.transaction(txin.outpoint.txid)
            output = parent.outputs[txin.outpoint.vout]
            if index not in quorum and output.script != self.account.script:
                raise InvalidInput(
                    f"input {index} of {self.tx.txid} is not wallet {self.account.name!r}'s",
                    hint="raise it by a child",
                )
            found.append(output)
        return tuple(found)

    def _quorum_inputs(self) -> frozenset[int]:
        """The inputs spent by a leaf: those that the operators sign."""
        return frozenset(i for i, txin in enumerate(self.tx.inputs) if len(txin.witness) > 2)

    def _change(self) -> int:
        """The one output past the spell's that is the wallet's. Raises `InvalidInput`."""
        own = _past_the_spell(self.tx, self.account.script)
        if not own:
            raise InvalidInput(
                f"{self.tx.txid} has no change of wallet {self.account.name!r} to take a fee from",
                hint="raise it by a child",
            )
        return own[-1]


def _past_the_spell(tx: Tx, own: bytes) -> list[int]:
    """The outputs with this script that no spell counts: they hold no charms."""
    spell = spells.parse(tx)
    first = 0 if spell is None else len(spell.outs)
    outputs = enumerate(tx.outputs)
    return [index for index, output in outputs if index >= first and output.script == own]
