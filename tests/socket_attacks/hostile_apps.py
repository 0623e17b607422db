"""Circuits that say yes to everything, in the honest descriptor's shape, and an app of a thief's.

What a broken proof system, or an app's author, could prove is proven here for real: the circuit
binds facts and digest and states nothing else, so no attack of this package is stopped by its proof
unless it is meant to be. What still refuses is the engine and the enclave.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from unittest import mock

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkapp import ActionSpec, Kind, Transaction, ZkApp, action
from grail.apps.zkbtc import ZkBtc
from grail.charms import fact_list
from grail.charms.fact_list import OWN, Name


def anything(self: ZkApp, tx: Transaction) -> None:  # noqa: ARG001
    """No constraint but the one that binds the facts to the public input."""
    tx.free_facts.update({element.name: "hostile" for element in tx.elements})


def lax(app: type[ZkApp]) -> type[ZkApp]:
    """The app with every constraint taken out: same kinds, actions and facts."""
    parts: dict[str, object] = {
        name: kind for name, kind in vars(app).items() if isinstance(kind, Kind)
    }
    for spec in app.actions():
        parts[spec.name] = _lax_action(spec)
    return type(f"Lax{app.__name__}", (ZkApp,), {**parts, "backed": app.backed})


def _lax_action(spec: ActionSpec) -> object:
    def method(self: ZkApp, tx: Transaction) -> None:
        anything(self, tx)

    method.__dict__["action_spec"] = replace(spec, method=method)
    return method


HOLDING = Kind(0, (("owner", "blob"), ("count", "u64"), ("asset", "id")))
NOTE = Kind(1, (("text", "blob"),), free=True)
ASSET = HOLDING.token("asset")
ONE = {HOLDING: 1}


class House(ZkApp):
    """A contract whose author is the thief: a port with a reserve, shares, and free notes."""

    HOLDING = HOLDING
    NOTE = NOTE

    @action(0, gives={HOLDING: 2}, changes="nt", fresh=True, tokens=(ASSET,))
    def open(self, tx: Transaction) -> None:
        """Two ports at once."""

    @action(1, takes=ONE, gives=ONE, changes="n", tokens=(ASSET,))
    def use(self, tx: Transaction) -> None:
        """A new state."""

    @action(2, takes=ONE, gives=ONE, changes="nt", tokens=(ASSET,))
    def share(self, tx: Transaction) -> None:
        """A new state and another number of shares."""

    @action(3, takes=ONE, gives=ONE, changes="n", tokens=(ASSET,), pays=1)
    def pay(self, tx: Transaction) -> None:
        """What the house owes is paid to somebody."""

    @action(4, takes=ONE, gives=ONE, changes="n", tokens=(ASSET,), signers=1)
    def agree(self, tx: Transaction) -> None:
        """Somebody agrees."""

    @action(5, takes=ONE, gives=ONE, changes="n", tokens=(ASSET,), height=True)
    def clock(self, tx: Transaction) -> None:
        """Something that depends on the time."""

    @action(6, changes="t")
    def grow(self, tx: Transaction) -> None:
        """Shares without a port."""

    @action(7, rows=1, terms=1, row_tokens=(OWN,), signers=1)
    def promise(self, tx: Transaction) -> None:
        """An escrow of the house's and somebody who agrees, without a port."""

    @action(8, self_id=True)
    def claim(self, tx: Transaction) -> None:
        """Nothing changes; it only says something."""


@cache
def lax_zkbtc() -> CompiledApp:
    """ZkBTC with a circuit that says yes."""
    return compile_app(lax(ZkBtc))


@cache
def house() -> CompiledApp:
    """The thief's app."""
    return compile_app(lax(House))


class Bond(ZkApp):
    """A token without a guard."""

    @action(0, changes="t", self_id=True)
    def issue(self, tx: Transaction) -> None:
        """Units, as many as the circuit is shown."""


@cache
def bond() -> CompiledApp:
    """A token whose circuit says yes."""
    return compile_app(lax(Bond))


@cache
def incomplete_bond() -> CompiledApp:
    """The same with a descriptor that leaves out what no descriptor may: the supply."""
    app = lax(Bond)
    method = app.issue  # type: ignore[attr-defined]
    spec = method.action_spec
    facts = tuple(fact for fact in spec.facts if fact.number == Name.SELF)
    method.__dict__["action_spec"] = replace(spec, facts=facts)
    with mock.patch.object(fact_list, "automatic", return_value=set()):
        return compile_app(app)
