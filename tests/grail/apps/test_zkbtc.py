"""zkBTC's circuits against plain sums, and everything that must not be provable."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from circuits import compiled, holds
from hypothesis import given, settings
from hypothesis import strategies as st

from grail.apps.zkbtc import (
    DEPLOY,
    GRAIL,
    MAX_CARRIER,
    NO_SUCCESSOR,
    ROSTER,
    ROWS,
    SETTLE,
    ZkBtc,
)
from grail.charms.app import blob_fe
from grail.zk.field import MODULUS

Row = tuple[int, int, int, int, int]
"""Sats in, sats paid, units in, units paid, max fee."""

ABSENT: Row = (0, 0, 0, 0, 0)


def settled(
    rows: list[Row], *, plain: tuple[int, int], supply: tuple[int, int], present: int | None = None
) -> dict[str, int]:
    """The facts of a settlement."""
    count = len(rows) if present is None else present
    facts = {
        "plain(in)": plain[0],
        "plain(out)": plain[1],
        "supply(in,t)": supply[0],
        "supply(out,t)": supply[1],
        "rows.count": count,
    }
    for i, row in enumerate(rows + [ABSENT] * (ROWS - len(rows))):
        sats_in, sats_paid, units_in, units_paid, fee = row
        facts |= {
            f"row[{i}].present": int(i < count),
            f"row[{i}].sats_in": sats_in,
            f"row[{i}].sats_paid": sats_paid,
            f"row[{i}].units_in(t)": units_in,
            f"row[{i}].units_paid(t)": units_paid,
            f"row[{i}].term[0]": fee,
        }
    return facts


DEPOSIT: Row = (500_000, 1_000, 0, 496_500, 3_000)
PAYOUT: Row = (1_000, 99_000, 100_000, 0, 2_000)


# ------------------------------------------------------------------ settle


def test_a_peg_in_a_peg_out_both_and_neither() -> None:
    assert holds(ZkBtc, SETTLE, settled([DEPOSIT], plain=(0, 496_500), supply=(0, 496_500)))
    assert holds(ZkBtc, SETTLE, settled([PAYOUT], plain=(700_000, 600_000), supply=(100_000, 0)))
    both = settled([DEPOSIT, PAYOUT], plain=(10**6, 1_396_500), supply=(100_000, 496_500))
    assert holds(ZkBtc, SETTLE, both)
    assert holds(ZkBtc, SETTLE, settled([], plain=(700_000, 700_000), supply=(0, 0)))
    assert holds(ZkBtc, SETTLE, settled([], plain=(700_000, 600_000), supply=(150_000, 50_000)))
    full = settled([DEPOSIT] * ROWS, plain=(5, 5 + 16 * 496_500), supply=(0, 16 * 496_500))
    assert holds(ZkBtc, SETTLE, full)


@pytest.mark.parametrize(
    ("plain", "supply"),
    [
        ((0, 496_500), (0, 496_501)),
        ((0, 496_500), (0, 496_499)),
        ((0, 496_500), (1, 496_500)),
        ((1, 496_500), (0, 496_500)),
        ((0, 0), (0, 496_500)),
        ((0, 496_500), (496_500, 0)),
        ((0, 496_500), (0, 496_500 + (1 << 64))),
        ((MODULUS - 496_500, 0), (0, 496_500)),
        ((0, 496_500), (MODULUS - 496_500, 0)),
    ],
)
def test_units_and_vault_change_by_the_same_amount(
    plain: tuple[int, int], supply: tuple[int, int]
) -> None:
    """A mint larger than the deposit, and the same through numbers that wrap (threat Z2)."""
    assert not holds(ZkBtc, SETTLE, settled([DEPOSIT], plain=plain, supply=supply))


BAD_ROWS: dict[str, Row] = {
    "one sat less than the terms allow": (500_000, 1_000, 0, 495_999, 3_000),
    "nothing for the owner": (500_000, 0, 0, 0, 3_000),
    "the carrier is too large": (500_000, 1_001, 0, 496_500, 3_000),
    "a deposit paid back in sats": (500_000, 497_000, 0, 0, 3_000),
    "a payout one sat short": (1_000, 98_999, 100_000, 0, 2_000),
    "a payout in units again": (1_000, 0, 100_000, 99_000, 2_000),
    "a payout with units beside": (1_000, 99_000, 100_000, 1, 2_000),
    "sats below zero": (MODULUS - 1, 0, 0, 0, 0),
    "sats paid below zero": (500_000, MODULUS - 1, 0, 497_000, 3_000),
    "a fee beyond 64 bits": (500_000, 0, 0, 0, 1 << 64),
    "a fee that wraps": (500_000, 0, 0, 0, MODULUS - 1),
    "units paid beyond 64 bits": (500_000, 0, 0, 1 << 64, 3_000),
}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("place", [0, 7, ROWS - 1])
def test_a_row_that_shorts_its_owner_has_no_witness(case: str, place: int) -> None:
    rows = [DEPOSIT] * ROWS
    rows[place] = BAD_ROWS[case]
    assert not holds(ZkBtc, SETTLE, settled(rows, plain=(0, 10**6), supply=(0, 10**6)))
    assert not holds(ZkBtc, SETTLE, settled(rows, plain=(0, 0), supply=(0, 0)))


def test_rows_at_their_limits() -> None:
    for row in (
        (500_000, 1_000, 0, 496_000, 3_000),
        (500_000, 0, 0, 497_000, 3_000),
        (500_000, 1_000, 0, 10**6, 0),
        (1_000, 101_000, 100_000, 0, 0),
        (1_000, 0, 1, 0, 1_001),
        (1, 0, 0, 1, 0),
        (500_000, 0, 0, 0, 500_000),
    ):
        assert holds(ZkBtc, SETTLE, settled([row], plain=(5, 5), supply=(9, 9))), row


def test_counts_and_absent_rows() -> None:
    good = settled([DEPOSIT], plain=(0, 0), supply=(0, 0))
    assert holds(ZkBtc, SETTLE, good)
    for count in (0, 2, 16, MODULUS - 1):
        assert not holds(ZkBtc, SETTLE, good | {"rows.count": count})
    assert not holds(ZkBtc, SETTLE, good | {"row[0].present": 0, "rows.count": 0})
    assert not holds(ZkBtc, SETTLE, good | {"row[0].present": 2, "rows.count": 2})
    assert not holds(ZkBtc, SETTLE, good | {"row[3].present": MODULUS - 1, "rows.count": 0})
    for name in ("sats_in", "sats_paid", "units_in(t)", "units_paid(t)", "term[0]"):
        assert not holds(ZkBtc, SETTLE, good | {f"row[5].{name}": 1})


rows = st.lists(
    st.tuples(
        st.integers(0, 2_000),
        st.integers(0, 2_000),
        st.sampled_from([0, 0, 1, 700]),
        st.sampled_from([0, 0, 1, 900]),
        st.integers(0, 2_000),
    ),
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(rows=rows, vault=st.integers(0, 10), more=st.sampled_from([0, 0, 0, 1]))
def test_settle_is_the_engines_own_rule(rows: list[Row], vault: int, more: int) -> None:
    """Rows as E4 of the protocol has them, in plain integers, against the circuit."""

    def good(row: Row) -> bool:
        sats_in, sats_paid, units_in, units_paid, fee = row
        if sats_paid + units_paid < sats_in + units_in - fee:
            return False
        return units_paid == 0 if units_in else sats_paid <= MAX_CARRIER

    facts = settled(rows, plain=(20, 20 + vault), supply=(3, 3 + vault + more))
    assert holds(ZkBtc, SETTLE, facts) == (all(map(good, rows)) and not more)


# ------------------------------------------------------------------ deploy, roster


def grail(side: str, **changed: int) -> dict[str, int]:
    where = f"({side},0,0"
    facts = {
        "epoch": 4 if side == "in" else 5,
        "keys": blob_fe(bytes(64)) if side == "in" else blob_fe(bytes([1] * 64)),
        "quorum": 12,
        "internal_key": blob_fe(bytes(32)),
        "successor": blob_fe(NO_SUCCESSOR),
        "successor_height": 0,
    }
    return {
        f"sats{where})": changed.pop("sats", 10_000),
        f"units{where},t)": changed.pop("units", 0),
        **{f"state{where},{name})": changed.get(name, value) for name, value in facts.items()},
    }


def deployed(fresh: int = 1, **changed: int) -> dict[str, int]:
    return {"fresh()": fresh, **grail("out", **{"epoch": 0, **changed})}


@pytest.mark.parametrize(
    ("changed", "good"),
    [
        ({}, True),
        ({"quorum": 1}, True),
        ({"quorum": 16}, True),
        ({"sats": 330}, True),
        ({"fresh": 0}, False),
        ({"epoch": 1}, False),
        ({"quorum": 0}, False),
        ({"quorum": 17}, False),
        ({"quorum": MODULUS - 1}, False),
        ({"keys": blob_fe(b"")}, False),
        ({"internal_key": blob_fe(b"")}, False),
        ({"successor": 5}, False),
        ({"successor_height": 1}, False),
        ({"sats": 329}, False),
        ({"units": 1}, False),
    ],
)
def test_deploy(changed: dict[str, int], good: bool) -> None:
    assert holds(ZkBtc, DEPLOY, deployed(**changed)) == good


def passed_on(
    old: dict[str, int], new: dict[str, int], plain: tuple[int, int] = (7, 7)
) -> dict[str, int]:
    return {
        "plain(in)": plain[0],
        "plain(out)": plain[1],
        **grail("in", **old),
        **grail("out", **new),
    }


SAME = {"epoch": 4, "keys": blob_fe(bytes(64))}
"""The roster that `grail("in")` has."""

SUCCESSOR = {"successor": blob_fe(bytes([9] * 32)), "successor_height": 900_000}


@pytest.mark.parametrize(
    ("old", "new", "plain", "good"),
    [
        ({}, {}, (7, 7), True),
        ({}, {"sats": 10_001}, (0, 0), True),
        ({}, SUCCESSOR, (7, 7), True),
        (SUCCESSOR, SUCCESSOR, (7, 7), True),
        (SUCCESSOR, {}, (7, 7), True),
        ({}, {"keys": blob_fe(bytes(64)), "quorum": 11}, (7, 7), True),
        ({}, {"keys": blob_fe(bytes(64)), "internal_key": 5}, (7, 7), True),
        ({}, {"keys": blob_fe(bytes(64))}, (7, 7), False),
        ({}, SAME | SUCCESSOR, (7, 7), True),
        ({}, SAME | SUCCESSOR | {"sats": 10_001}, (0, 0), True),
        ({}, SAME, (7, 7), False),
        ({}, SUCCESSOR | {"epoch": 4}, (7, 7), False),
        ({}, SAME | SUCCESSOR | {"epoch": 5}, (7, 7), False),
        ({}, SAME | SUCCESSOR | {"epoch": 3}, (7, 7), False),
        ({}, SAME | SUCCESSOR | {"quorum": 11}, (7, 7), False),
        ({}, SAME | SUCCESSOR | {"internal_key": 5}, (7, 7), False),
        ({}, SAME | SUCCESSOR | {"sats": 9_999}, (7, 7), False),
        ({}, SAME | SUCCESSOR | {"units": 1}, (7, 7), False),
        ({}, SAME | {"successor": 5}, (7, 7), False),
        ({}, SAME | SUCCESSOR, (7, 6), False),
        (SUCCESSOR, SAME | SUCCESSOR, (7, 7), False),
        (SUCCESSOR, SAME, (7, 7), False),
        (SUCCESSOR, SAME | SUCCESSOR | {"successor": 5}, (7, 7), False),
        (SUCCESSOR, SAME | SUCCESSOR | {"successor_height": 900_001}, (7, 7), False),
        ({}, {"epoch": 4}, (7, 7), False),
        ({}, {"epoch": 6}, (7, 7), False),
        ({"epoch": (1 << 64) - 1}, {"epoch": 0}, (7, 7), False),
        ({"epoch": (1 << 64) - 1}, {"epoch": 1 << 64}, (7, 7), False),
        ({}, {"sats": 9_999}, (7, 7), False),
        ({}, {"quorum": 0}, (7, 7), False),
        ({}, {"quorum": 17}, (7, 7), False),
        ({}, {"keys": blob_fe(b"")}, (7, 7), False),
        ({}, {"internal_key": blob_fe(b"")}, (7, 7), False),
        ({}, {"successor": 5}, (7, 7), False),
        ({}, {"successor_height": 5}, (7, 7), False),
        ({}, {"units": 1}, (7, 7), False),
        ({"units": 1}, {}, (7, 7), False),
        ({}, {}, (7, 6), False),
        ({}, {}, (7, 8), False),
    ],
)
def test_roster(
    old: dict[str, int], new: dict[str, int], plain: tuple[int, int], good: bool
) -> None:
    assert holds(ZkBtc, ROSTER, passed_on(old, new, plain)) == good


# ------------------------------------------------------------------ all of it


@pytest.mark.parametrize(
    ("action", "facts"),
    [
        (DEPLOY, deployed()),
        (ROSTER, passed_on({}, {})),
        (SETTLE, settled([DEPOSIT, PAYOUT], plain=(10**6, 1_396_500), supply=(100_000, 496_500))),
    ],
)
def test_Z2_no_fact_may_be_its_negative(action: str, facts: dict[str, int]) -> None:
    """p - 1 in the place of each fact that is a number: no witness."""
    assert holds(ZkBtc, action, facts)
    names = [n for n in facts if "keys" not in n and "internal_key" not in n]
    for name in random.Random(3).sample(names, min(len(names), 25)):
        assert not holds(ZkBtc, action, facts | {name: MODULUS - 1}), name


def test_states_by_name() -> None:
    charm = GRAIL.state(
        epoch=0,
        keys=bytes(64),
        quorum=1,
        internal_key=bytes(32),
        successor=NO_SUCCESSOR,
        successor_height=0,
    )
    assert charm[0] == 0
    assert GRAIL.read(charm)["quorum"] == 1


def test_no_fact_is_free() -> None:
    free: Callable[[str], object] = lambda action: compiled(ZkBtc).circuits[action].free  # noqa: E731
    assert [free(action) for action in (DEPLOY, SETTLE, ROSTER)] == [(), (), ()]
