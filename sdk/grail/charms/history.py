"""What one transaction does to charms, given what its inputs are known to hold.

Section 11 of the protocol. There are three answers: charms by output; none at all, because there is
no spell or an incorrect one; and "unknown", when something that the verdict needs is missing. What
is unknown is never taken for empty: a charm that nobody could check is neither credited nor burned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from grail.bitcoin.network import Network
from grail.bitcoin.tx import Tx
from grail.charms import spell as spells
from grail.charms.anchor import check_anchor
from grail.charms.app import App, Data
from grail.charms.descriptor import Bundle
from grail.charms.record import Record
from grail.charms.rules import RULES, CheckedTx, Prevout, Rule, Verify, correct
from grail.charms.spell import Spell
from grail.errors import Incorrect, SpellIncorrect
from grail.types import OutPoint, Txid, TxOut

Charms: TypeAlias = Mapping[App, Data] | None
"""The charms of an output, or None while they are unknown."""

HistoryKind: TypeAlias = Literal["anchored", "full"]
"""How far back a verdict looks: to the last transaction that a quorum signed, or to the mints."""

NO_CHARMS: Mapping[App, Data] = {}
MISSING = frozenset({"HistoryMissing", "BundleMismatch"})
"""Refusals that say nothing of a transaction: what its verdict needs is not at hand."""

NOT_YET = frozenset({"RetiredRoster"})
"""Refusals that are final only in a block: the same transaction may be correct in another one."""

COINBASE = OutPoint(Txid(bytes(32)), 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output; `charms` None while unknown, `height` None while unconfirmed."""

    sats: int
    script: bytes
    charms: Charms
    height: int | None

    def prevout(self, outpoint: OutPoint) -> Prevout:
        """The coin as `correct` takes it. Raises `SpellIncorrect` with rule HistoryMissing."""
        if self.charms is None:
            raise SpellIncorrect(
                "HistoryMissing",
                f"the charms of {outpoint} are unknown",
                got="an unchecked history",
                expected="every ancestor's bytes and bundles",
            )
        return Prevout(self.sats, self.script, self.charms)


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on one transaction: charms per output, the record after it, and why.

    `checked` is there when the spell is correct, `refusal` when it is not (its charms are burned)
    or when there is no verdict (rules MISSING, or NOT_YET outside a block; charms are None).
    `signed` says that a quorum's word was taken instead: then neither is there.
    """

    tx: Tx
    charms: tuple[Charms, ...]
    record: Record
    checked: CheckedTx | None = None
    refusal: SpellIncorrect | None = None
    signed: bool = False

    @property
    def unknown(self) -> bool:
        """Whether something was missing."""
        return any(charms is None for charms in self.charms)


@dataclass(frozen=True)
class Judge:
    """The parameters of every verdict: network, rules and verifier.

    Index, wallets and enclaves all judge by this one function, so that no transaction has charms
    for some of them and none for others. `history` "anchored" takes an anchor (section 11) as
    correct and needs nothing below it; "full" takes nobody's word.
    """

    network: Network
    rules: Sequence[Rule] = RULES
    verify: Verify | None = None
    history: HistoryKind = "full"

    def judge(
        self,
        tx: Tx,
        coins: Sequence[Coin | None],
        bundles: Mapping[bytes, Bundle],
        record: Record,
        height: int,
        *,
        confirmed: bool,
        spell: Spell | None = None,
    ) -> Judged:
        """What the transaction does to charms; `coins` are its prevouts, None where not at hand.

        `spell` is the transaction's, where the caller has read it already.
        """
        burned = Judged(tx, (NO_CHARMS,) * len(tx.outputs), record)
        if tx.inputs[0].outpoint == COINBASE:
            return burned
        try:
            spell = spells.parse(tx) if spell is None else spell
        except SpellIncorrect as refusal:
            return Judged(tx, burned.charms, record, refusal=refusal)
        if spell is None:
            return burned
        # An output at or past n_outs has no charms, whatever the spell turns out to be.
        n_outs = len(spell.outs)
        if self.history == "anchored" and _is_anchor(tx, coins, spell, record, height):
            return Judged(tx, (*spell.outs, *burned.charms[n_outs:]), record, signed=True)
        unknown: tuple[Charms, ...] = (None,) * n_outs + burned.charms[n_outs:]
        try:
            prevouts = _prevouts(tx, coins)
            checked = correct(
                tx,
                prevouts,
                bundles,
                record,
                height,
                self.network,
                confirmed=confirmed,
                rules=self.rules,
                verify=self.verify,
                spell=spell,
            )
        except SpellIncorrect as refusal:
            open_ = refusal.rule in MISSING or (refusal.rule in NOT_YET and not confirmed)
            return Judged(tx, unknown if open_ else burned.charms, record, refusal=refusal)
        return Judged(tx, checked.charms, checked.record, checked=checked)


def _is_anchor(
    tx: Tx, coins: Sequence[Coin | None], spell: Spell, record: Record, height: int
) -> bool:
    """Whether a quorum signed it that rules at this height (section 11).

    What makes or moves the Grail NFT is always checked: the record says whose word counts.
    """
    if record.zkbtc.nft in spell.apps:
        return False
    outputs = [TxOut(coin.sats, coin.script) for coin in coins if coin is not None]
    try:
        return any(reign.rules(height) for reign in check_anchor(tx, outputs, record))
    except Incorrect:
        return False


def _prevouts(tx: Tx, coins: Sequence[Coin | None]) -> list[Prevout]:
    prevouts = []
    for entry, coin in zip(tx.inputs, coins, strict=True):
        if coin is None:
            raise SpellIncorrect(
                "HistoryMissing",
                f"{entry.outpoint} is not at hand",
                got="no prevout",
                expected="its sats and script",
            )
        prevouts.append(coin.prevout(entry.outpoint))
    return prevouts
