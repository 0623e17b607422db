"""A plain token: issued once, in the amount that the spell states, and moved freely ever after.

No guarded address and no operator is needed: moving a token is kept or refused by the rules of
Charms alone, and nobody can issue again, since an identity is fresh only where it is created.
"""

from __future__ import annotations

from grail.apps.zkapp import Transaction, ZkApp, action

ISSUE = "issue"


class Token(ZkApp):
    """A token of fixed supply."""

    @action(0, changes="t", args=1, fresh=True)
    def issue(self, tx: Transaction) -> None:
        """Create `arg(0)` units in the transaction that creates the identity."""
        tx.fresh.assert_true("a token is issued where its identity is created, and nowhere else")
        tx.supply_in.assert_equal(0, "there are units before the token is issued")
        tx.arg(0).assert_nonzero("a token of no units")
        tx.supply_out.assert_equal(tx.arg(0), "the units issued are not as stated")
