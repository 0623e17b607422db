"""zkBTC: sats in the vault, as many units outside, and the roster that guards both.

The Grail NFT's state names the roster (PROTOCOL section 8). `settle` serves deposits and payouts,
each an escrow row, and any change of the vault: units appear and vanish only as sats enter and
leave it. The engine states the same in plain integers on every transaction (E4, E5), so that a
broken circuit alone mints nothing (threat Z26).
"""

from __future__ import annotations

from grail.apps.zkapp import Kind, Transaction, ZkApp, action
from grail.charms.app import blob_fe
from grail.charms.fact_list import OWN
from grail.zk.field import Field, assert_product
from grail.zk.gadgets.bits import Bool, equal, is_zero
from grail.zk.gadgets.integers import UInt

DEPLOY, SETTLE, ROSTER = "deploy", "settle", "roster"

GRAIL = Kind(
    0,
    (
        ("epoch", "u64"),
        ("keys", "blob"),
        ("quorum", "u64"),
        ("internal_key", "blob"),
        ("successor", "blob"),
        ("successor_height", "u64"),
    ),
)
"""The Grail NFT's state; `keys` are the sorted 32-byte keys one after the other."""

ROWS = 16
"""Escrows that one settlement serves at most."""

MAX_QUORUM = 16
"""The largest roster of this version."""

MAX_CARRIER = 1_000
"""Sats that the payout of a deposit holds at most, beside its units."""

MIN_PORT_SATS = 330
"""What an output at a taproot address must hold to be relayed."""

NO_SUCCESSOR = bytes(32)
"""No contract is named to take over."""

_EMPTY = blob_fe(b"")
_NO_SUCCESSOR = blob_fe(NO_SUCCESSOR)


class ZkBtc(ZkApp):
    """The token and the Grail NFT."""

    GRAIL = GRAIL
    backed = "t"

    @action(0, gives={GRAIL: 1}, changes="n", fresh=True)
    def deploy(self, tx: Transaction) -> None:
        """Create the Grail NFT with the first roster, epoch 0."""
        grail = tx.port_out(GRAIL)
        tx.fresh.assert_true("the Grail NFT is created where its identity is, and nowhere else")
        grail.uint("epoch").assert_equal(0, "the first roster has epoch 0")
        grail.sats.assert_at_least(MIN_PORT_SATS, "the Grail NFT's output is too small to relay")
        grail.units().assert_equal(0, "the Grail NFT's output holds zkBTC")
        _quorum_in_range(grail.uint("quorum"))
        _not_empty(grail.blob("keys"), grail.blob("internal_key"))
        grail.blob("successor").assert_equal(_NO_SUCCESSOR, "a successor before there is a vault")
        grail.uint("successor_height").assert_equal(0, "a successor before there is a vault")

    @action(1, changes="t", plain=True, rows=ROWS, terms=1, row_tokens=(OWN,))
    def settle(self, tx: Transaction) -> None:
        """Peg in, peg out, or move the vault's sats between its outputs."""
        present = UInt(sum((row.present.field for row in tx.rows), Field.constant(0)), ROWS)
        tx.row_count.assert_equal(present, "the count of rows is not how many are present")
        for row in tx.rows:
            (units_in,), (units_paid,), (max_fee,) = row.units_in, row.units_paid, row.terms
            held = row.sats_in + units_in
            paid = row.sats_paid + units_paid
            (paid + max_fee).assert_at_least(held, "the owner is paid less than his terms allow")
            # none is negative, so all five are zero where their sum is
            total = (held + paid + max_fee).field
            assert_product(total, 1 - row.present.field, 0, "an absent row that is not all zeros")
            deposit = is_zero(units_in.field)
            carrier = UInt(deposit.field * row.sats_paid.field, row.sats_paid.bound)
            carrier.assert_at_most(MAX_CARRIER, "a deposit's payout holds too many sats")
            assert_product(
                units_in.field, units_paid.field, 0, "a payout for units pays in units again"
            )
        (tx.supply_out + tx.plain_in).assert_equal(
            tx.supply_in + tx.plain_out, "units and vault do not change by the same amount"
        )

    @action(2, takes={GRAIL: 1}, gives={GRAIL: 1}, changes="n", plain=True)
    def roster(self, tx: Transaction) -> None:
        """Pass the Grail NFT to the next roster, or name a successor contract within a reign.

        Either the epoch rises by one and the roster is another one, or epoch and roster stay, and
        the successor, of which there was none, is named. A successor once named stays named until
        the reign ends; the next roster's state says anew.
        """
        old, new = tx.port_in(GRAIL), tx.port_out(GRAIL)
        # equal in all three, two epochs would share one address (PROTOCOL section 14)
        same = (
            equal(old.blob("keys"), new.blob("keys"))
            & equal(old.uint("quorum").field, new.uint("quorum").field)
            & equal(old.blob("internal_key"), new.blob("internal_key"))
        )
        (new.uint("epoch") + UInt(same.field, 1)).assert_equal(
            old.uint("epoch") + 1, "the epoch does not rise by one, or rises with the old roster"
        )
        new.sats.assert_at_least(old.sats, "the Grail NFT's sats fall")
        old.units().assert_equal(0, "the Grail NFT's output holds zkBTC")
        new.units().assert_equal(0, "the Grail NFT's output holds zkBTC")
        _quorum_in_range(old.uint("quorum"))
        _quorum_in_range(new.uint("quorum"))
        _not_empty(new.blob("keys"), new.blob("internal_key"))
        had = _successor_named(old.blob("successor"), old.uint("successor_height"))
        has = _successor_named(new.blob("successor"), new.uint("successor_height"))
        same.implies(~had & has, "the old roster stays, and no successor is named")
        tx.plain_out.assert_equal(tx.plain_in, "a roster change moves sats of the vault")


def _quorum_in_range(quorum: UInt) -> None:
    quorum.assert_at_least(1, "a quorum of nobody")
    quorum.assert_at_most(MAX_QUORUM, "a quorum larger than any roster")


def _not_empty(keys: Field, internal_key: Field) -> None:
    (keys - _EMPTY).assert_nonzero("a roster without keys")
    (internal_key - _EMPTY).assert_nonzero("a roster without an internal key")


def _successor_named(successor: Field, height: UInt) -> Bool:
    """Whether a successor is named: with a height from which it counts, and none without one."""
    none = equal(successor, _NO_SUCCESSOR)
    none.assert_equal(is_zero(height.field), "a successor without its height, or the reverse")
    return ~none
