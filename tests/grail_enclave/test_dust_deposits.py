"""A thousand deposits of next to nothing: the vault neither takes part in them nor pays for them."""

from __future__ import annotations

import random

import pytest
import spellbook as book
from spellbook import ZKBTC, Draft, coin, escrow, guard, outpoint, person

from grail.charms.spell import Inputs
from grail.errors import InvalidInput, SpellIncorrect
from grail.types import TxOut
from grail_enclave.sizes import check_payable

DEPOSITS = 1_000
VAULT = 500_000


def served(dice: random.Random) -> tuple[Draft, int]:
    """A dust deposit served beside the vault, with whatever split its sender would like."""
    sats = dice.randrange(330, 3_000)
    fee = dice.choice([1, sats // 2, sats, 3_000])
    row = book.deposit_row(1, 1, fee=fee)
    minted = dice.randrange(0, sats + 500)
    carrier = dice.choice([330, sats, 1_000])
    kept = VAULT + dice.choice([minted, minted - 1, 0, sats - carrier, -carrier])
    charms = {ZKBTC.token: minted} if minted else {}
    draft = Draft(
        [
            (outpoint("vault"), coin(VAULT, guard(ZKBTC))),
            (outpoint(f"dust {sats}"), coin(sats, escrow(ZKBTC, row))),
        ],
        [(kept, guard(ZKBTC), {}), (carrier, person("bob"), charms)],
        {ZKBTC: 1},
        {ZKBTC: Inputs(rows=(row,))},
    )
    return draft, minted


def test_S24_a_thousand_dust_deposits_cost_the_vault_nothing() -> None:
    """Whatever passes: the vault gains each unit minted, and the sender alone pays carrier and fee."""
    dice, passed = random.Random(24), 0
    for _ in range(DEPOSITS):
        draft, minted = served(dice)
        try:
            checked = draft.check()
        except SpellIncorrect:
            continue
        passed += 1
        (vault, deposit), (after, payout) = checked.prevouts, draft.outs
        assert after[0] - vault.sats == minted >= 0
        fee = vault.sats + deposit.sats - after[0] - payout[0]
        assert fee == deposit.sats - minted - payout[0] <= deposit.sats
    assert 10 < passed < DEPOSITS // 2


def test_S24_outputs_below_the_dust_limit() -> None:
    """To the sat, for each type of output: nodes relay none that is smaller."""
    limits = {person("bob"): 294, b"\x51\x20" + bytes(book.key("bob")): 330}
    limits |= {b"\xa9\x14" + bytes(20) + b"\x87": 540, b"\x00\x20" + bytes(32): 330}
    for script, least in limits.items():
        check_payable(TxOut(least, script))
        with pytest.raises(InvalidInput):
            check_payable(TxOut(least - 1, script))
