"""Shipped circuits asked about facts by name: would a prover find a proof for these?

The witness is computed by the program in Rust and checked constraint by constraint, as a prover
does before it proves; only the proof itself, which takes longer, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from grail import native
from grail.apps.compiler import CompiledApp, Private, compile_app
from grail.apps.pool import Pool, PoolState
from grail.apps.token import Token
from grail.apps.zkapp import ZkApp
from grail.apps.zkbtc import ZkBtc

SHIPPED: tuple[type[ZkApp], ...] = (ZkBtc, Token, Pool)
DIGEST = bytes(range(32))


@cache
def compiled(app: type[ZkApp]) -> CompiledApp:
    return compile_app(app)


def ordered(app: type[ZkApp], action: str, facts: Mapping[str, int]) -> list[int]:
    labels = compiled(app).circuits[action].facts
    assert set(facts) == set(labels)
    return [facts[label] for label in labels]


def holds(
    app: type[ZkApp], action: str, facts: Mapping[str, int], private: Private | None = None
) -> bool:
    """Whether the action's rule holds of these facts."""
    circuit = compiled(app).circuits[action]
    inputs = circuit.inputs(DIGEST, ordered(app, action, facts), private or {})
    return native.r1cs_check(circuit.r1cs, circuit.prover.witness(inputs)) is None


def pool_port(side: str, state: PoolState, sats: int = 1_000) -> dict[str, int]:
    """The facts of the pool's port on one side."""
    where = f"({side},0,0"
    return {
        f"sats{where})": sats,
        f"state{where},assetA)": int.from_bytes(state.asset_a, "big"),
        f"state{where},assetB)": int.from_bytes(state.asset_b, "big"),
        f"state{where},a)": state.a,
        f"state{where},b)": state.b,
        f"state{where},lp)": state.lp,
        f"state{where},fee)": state.fee,
        f"state{where},minLP)": state.min_lp,
        f"units{where},t)": 0,
        f"units{where},field(0,0,assetA))": state.a,
        f"units{where},field(0,0,assetB))": state.b,
    }


def pool_step(
    before: PoolState, after: PoolState, *, minted: int = 0, burned: int = 0
) -> dict[str, int]:
    """The facts of a transaction that takes the pool from one state to another."""
    # 7 shares of the user's own lie in the transaction beside those made or burned
    supply = {"supply(in,t)": 7 + burned, "supply(out,t)": 7 + minted}
    return {**supply, **pool_port("in", before), **pool_port("out", after)}
