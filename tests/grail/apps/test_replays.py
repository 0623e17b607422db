"""A proof serves one transaction, app, action, contract and network: replayed elsewhere, it fails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import pytest
import spellbook as book
from circuits import SHIPPED, compiled, ordered, pool_port, pool_step

from grail.apps.pool import Pool, PoolState, Side, quote_add, quote_create, quote_remove, quote_swap
from grail.apps.token import Token
from grail.apps.zkapp import ZkApp
from grail.apps.zkbtc import NO_SUCCESSOR, ROWS, ZkBtc
from grail.bitcoin.network import MAINNET, Network
from grail.charms import spell as spells
from grail.charms.app import Contract, blob_fe
from grail.charms.facts import chain
from grail.errors import ProofInvalid
from grail.zk import groth16

POOL = PoolState(bytes([1] * 32), bytes([2] * 32), 150_000, 600_000_000, 9_486_832)


def _grail(side: str, epoch: int) -> dict[str, int]:
    where = f"({side},0,0"
    fields = {"epoch": epoch, "keys": blob_fe(bytes([epoch] * 64)), "quorum": 12}
    fields |= {"internal_key": blob_fe(bytes(32)), "successor": blob_fe(NO_SUCCESSOR)}
    fields |= {"successor_height": 0}
    state = {f"state{where},{name})": value for name, value in fields.items()}
    return {f"sats{where})": 10_000, f"units{where},t)": 0, **state}


def _settled() -> dict[str, int]:
    facts = {
        "plain(in)": 7,
        "plain(out)": 7,
        "supply(in,t)": 5,
        "supply(out,t)": 5,
        "rows.count": 0,
    }
    names = ("present", "sats_in", "sats_paid", "units_in(t)", "units_paid(t)", "term[0]")
    return facts | {f"row[{i}].{name}": 0 for i in range(ROWS) for name in names}


def _stories() -> dict[tuple[type[ZkApp], str], dict[str, int]]:
    """True facts of every action of every shipped app."""
    made = quote_create(POOL.asset_a, POOL.asset_b, 150_000, 600_000_000)
    fresh = {"fresh()": 1, "supply(in,t)": 0, "supply(out,t)": made.shares}
    added, removed = quote_add(POOL, 1_000, 4_000_000), quote_remove(POOL, 1_000)
    swapped = quote_swap(POOL, 10_000, Side.A)
    return {
        (ZkBtc, "deploy"): {"fresh()": 1, **_grail("out", 0)},
        (ZkBtc, "roster"): {"plain(in)": 7, "plain(out)": 7, **_grail("in", 4), **_grail("out", 5)},
        (ZkBtc, "settle"): _settled(),
        (Token, "issue"): {"fresh()": 1, "arg(0)": 9, "supply(in,t)": 0, "supply(out,t)": 9},
        (Pool, "create"): fresh | pool_port("out", made.after),
        (Pool, "add"): pool_step(POOL, added.after, minted=added.shares),
        (Pool, "remove"): pool_step(POOL, removed.after, burned=1_000),
        (Pool, "swap"): pool_step(POOL, swapped.after),
    }


@dataclass(frozen=True)
class Statement:
    """What one action proves in one transaction; the transaction is one of the spellbook's."""

    app: type[ZkApp]
    action: str
    facts: tuple[int, ...]
    network: Network = book.NETWORK
    contract: Contract = book.POOL
    number: int = 1
    locktime: int = 0
    sats: int = 1_000

    @property
    def digest(self) -> bytes:
        draft = book.swap()
        draft.locktime = self.locktime
        draft.outs[0] = (self.sats, *draft.outs[0][1:])
        d0 = spells.digest0(self.network, draft.tx(), draft.spell)
        return spells.digest(d0, self.contract, self.number)

    def verify(self, proof: bytes) -> None:
        publics = (*spells.public_halves(self.digest), chain(self.facts))
        groth16.verify(compiled(self.app).circuits[self.action].vk, publics, proof)

    @cache  # noqa: B019 - a few statements, for as long as the process
    def proof(self) -> bytes:
        private = {"a_to_b": 1} if self.action == "swap" else {}
        return compiled(self.app).prove(self.action, self.digest, list(self.facts), private)


@pytest.fixture(scope="module")
def statements() -> list[Statement]:
    found = [
        Statement(app, action, tuple(ordered(app, action, facts)))
        for (app, action), facts in _stories().items()
    ]
    every = {(app, action) for app in SHIPPED for action in compiled(app).circuits}
    assert {(one.app, one.action) for one in found} == every
    return found


def test_Z6_the_replay_matrix_of_all_shipped_apps(statements: list[Statement]) -> None:
    """Every proof against every action's key and facts: it verifies in its own place alone."""
    for one in statements:
        one.verify(one.proof())
        for other in statements:
            if other == one:
                continue
            with pytest.raises(ProofInvalid):
                other.verify(one.proof())
            with pytest.raises(ProofInvalid):  # even for the same facts, under the other's key
                replace(other, facts=one.facts).verify(one.proof())


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"network": Network(MAINNET, book.NETWORK.grail_outpoint)},
        {"network": Network(book.NETWORK.chain, book.outpoint("another grail"))},
        {"contract": book.OTHER_POOL},
        {"number": 2},
        {"locktime": 1},
        {"sats": 1_001},
    ],
    ids=["chain", "network", "pool", "action", "lock time", "output"],
)
def test_Z6_another_transaction_contract_or_network(
    statements: list[Statement], elsewhere: dict[str, object]
) -> None:
    """The same facts, one thing changed that the digest binds."""
    for one in statements:
        with pytest.raises(ProofInvalid):
            replace(one, **elsewhere).verify(one.proof())  # type: ignore[arg-type]


def test_Z6_another_epoch(statements: list[Statement]) -> None:
    """A roster's proof of one epoch says nothing of the next."""
    one = next(each for each in statements if each.action == "roster")
    facts = {"plain(in)": 7, "plain(out)": 7, **_grail("in", 5), **_grail("out", 6)}
    later = replace(one, facts=tuple(ordered(ZkBtc, "roster", facts)))
    later.verify(later.proof())
    with pytest.raises(ProofInvalid):
        later.verify(one.proof())
