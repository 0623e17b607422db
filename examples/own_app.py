"""An app of one's own: a dispenser that gives anybody a few units at a time, and never more.

Needs no network: it compiles the app, proves two steps, and shows what cannot be proven. Run it
with `python examples/own_app.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from grail.apps.compiler import CompiledApp, compile_app
from grail.apps.zkapp import Kind, Transaction, ZkApp, action
from grail.charms.facts import chain
from grail.errors import InvalidInput, Unsatisfied
from grail.zk import groth16

BOX = Kind(0, (("token", "id"), ("each", "u64")))
TOKEN = BOX.token("token")


class Dispenser(ZkApp):
    """The state says which token, and how many units a step may take."""

    @action(0, gives={BOX: 1}, changes="n", tokens=(TOKEN,), fresh=True)
    def fill(self, tx: Transaction) -> None:
        """Put the units under the quorum's guard."""
        box = tx.port_out(BOX)
        tx.fresh.assert_true()
        box.sats.assert_at_least(330)
        box.id("token").assert_nonzero("a dispenser of nothing")
        box.uint("each").assert_at_least(1, "a dispenser that gives nothing")
        box.units(TOKEN).assert_at_least(box.uint("each"), "fewer units than one step takes")
        box.units().assert_equal(0)

    @action(1, takes={BOX: 1}, gives={BOX: 1}, tokens=(TOKEN,))
    def take(self, tx: Transaction) -> None:
        """Take some: at most `each`, and nothing else changes."""
        old, new = tx.port_in(BOX), tx.port_out(BOX)
        taken = old.units(TOKEN) - new.units(TOKEN)
        taken.assert_at_most(old.uint("each"), "more than one step may take")
        new.uint("each").assert_equal(old.uint("each"))
        new.id("token").assert_equal(old.id("token"))
        new.sats.assert_equal(old.sats)
        for box in (old, new):
            box.units().assert_equal(0)


class Careless(ZkApp):
    """The same, by an author who forgets what is left behind."""

    @action(0, takes={BOX: 1}, gives={BOX: 1}, tokens=(TOKEN,))
    def take(self, tx: Transaction) -> None:
        """Take some; but what does the new state say?"""
        old, new = tx.port_in(BOX), tx.port_out(BOX)
        (old.units(TOKEN) - new.units(TOKEN)).assert_at_most(old.uint("each"))
        new.sats.assert_equal(old.sats)


DIGEST = bytes(32)
"""Of the spell that the proof is for; the wallet computes it from the transaction."""


def box(side: str, units: int) -> dict[str, int]:
    """What the verifier reads off the transaction about the box, before (in) or after (out)."""
    return {
        f"sats({side},0,0)": 1_000,
        f"state({side},0,0,token)": 4_711,
        f"state({side},0,0,each)": 5,
        f"units({side},0,0,t)": 0,
        f"units({side},0,0,field(0,0,token))": units,
    }


def prove(app: CompiledApp, name: str, facts: Mapping[str, int]) -> None:
    """Prove one step, and verify it as an operator's enclave does."""
    circuit = app.circuits[name]
    ordered = [facts[label] for label in circuit.facts]
    proof = app.prove(name, DIGEST, ordered)
    groth16.verify(circuit.vk, [0, 0, chain(ordered)], proof)
    print(f"{name}: proven in {len(proof)} bytes, verified")


def main() -> None:
    """Tell the story."""
    app = compile_app(Dispenser)
    print(app.report())
    prove(app, "fill", {"fresh()": 1, **box("out", 100)})
    prove(app, "take", {**box("in", 100), **box("out", 95)})

    try:
        prove(app, "take", {**box("in", 100), **box("out", 94)})
    except Unsatisfied as error:
        print("cannot be proven:", error)

    try:
        compile_app(Careless)
    except InvalidInput as error:
        print("does not compile:", error)


if __name__ == "__main__":
    main()
