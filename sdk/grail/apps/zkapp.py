"""The class that you subclass to write an app, and what it compiles to.

    class Counter(ZkApp):
        KIND = Kind(0, (("count", "u64"),))

        @action(0, gives={KIND: 1}, changes="n", fresh=True)
        def create(self, tx: Transaction) -> None:
            tx.fresh.assert_true()
            tx.port_out(self.KIND).uint("count").assert_equal(0)
            ...

Each action becomes a circuit with three public inputs: the two halves of the spell's digest and
the hash chain over the action's facts (PROTOCOL sections 3 and 6). `compile_app` refuses an action
that lets a fact, a private input or a comparison stand without a constraint on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from grail.apps.declaration import ActionSpec, Kind, action
from grail.apps.view import Transaction, fact_labels
from grail.charms.app import fe
from grail.errors import InvalidInput
from grail.zk.circuit import Circuit
from grail.zk.field import Field
from grail.zk.gadgets.poseidon import poseidon

__all__ = ["ActionSpec", "Kind", "TracedAction", "Transaction", "ZkApp", "action", "trace"]

GROUP = 15
"""Facts that one Poseidon of the chain takes beside the value so far."""


class ZkApp:
    """An app: kinds of state as class attributes, actions as methods under `@action`.

    `backed` is "t" when the own token is backed by the sats of the plain guarded outputs.
    """

    backed: ClassVar[str | None] = None

    @classmethod
    def actions(cls) -> tuple[ActionSpec, ...]:
        """The declared actions by number. Raises: InvalidInput when two share a number."""
        found: dict[int, ActionSpec] = {}
        for name in dir(cls):
            spec = getattr(getattr(cls, name), "action_spec", None)
            if isinstance(spec, ActionSpec):
                if spec.number in found:
                    raise InvalidInput(
                        f"{cls.__name__}: {spec.name} and {found[spec.number].name} share a number"
                    )
                found[spec.number] = spec
        if not found:
            raise InvalidInput(f"{cls.__name__} declares no action")
        return tuple(found[number] for number in sorted(found))

    @classmethod
    def kinds(cls) -> dict[int, Kind]:
        """The kinds of state, by number. Raises: InvalidInput when two differ under one number."""
        listed = [value for value in map(cls.__dict__.get, cls.__dict__) if isinstance(value, Kind)]
        for spec in cls.actions():
            listed += [kind for kind, _ in (*spec.takes, *spec.gives)]
        found: dict[int, Kind] = {}
        for kind in listed:
            if found.setdefault(kind.number, kind) != kind:
                raise InvalidInput(f"{cls.__name__}: two kinds have number {kind.number}")
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class TracedAction:
    """An action as a circuit, before any keys."""

    spec: ActionSpec
    circuit: Circuit
    facts: tuple[str, ...]
    private: tuple[str, ...]
    free: tuple[tuple[str, str], ...]

    def inputs(
        self, digest: bytes, facts: Sequence[int], private: Mapping[str, int | Sequence[int]]
    ) -> list[int]:
        """The witness program's inputs in order. Raises: InvalidInput when they do not fit."""
        return program_inputs(self.facts, self.private, digest, facts, private)


def program_inputs(
    labels: Sequence[str],
    names: Sequence[str],
    digest: bytes,
    facts: Sequence[int],
    private: Mapping[str, int | Sequence[int]],
) -> list[int]:
    """Digest halves, facts, private inputs. Raises: InvalidInput when they do not fit."""
    if len(digest) != 32:
        raise InvalidInput(f"digest: got {len(digest)} bytes, expected 32")
    if len(facts) != len(labels):
        raise InvalidInput(f"facts: got {len(facts)}, expected {len(labels)}")
    given: dict[str, int] = {}
    for name, value in private.items():
        if isinstance(value, int):
            given[name] = int(value)
        else:
            given |= {f"{name}[{i}]": int(item) for i, item in enumerate(value)}
    if set(given) != set(names):
        missing = sorted(set(names) - set(given))
        unknown = sorted(set(given) - set(names))
        raise InvalidInput(f"private inputs: missing {missing}, unknown {unknown}")
    halves = [int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:], "big")]
    return [*halves, *facts, *(given[name] for name in names)]


def trace(app: type[ZkApp], spec: ActionSpec) -> TracedAction:
    """Run an action's method and record its constraints, then chain its facts to the public input.

    Raises: InvalidInput when a fact, a private input or a comparison is left without a constraint;
    Unsatisfied when a statement about constants does not hold.
    """
    circuit = Circuit()
    circuit.public("digest.high")
    circuit.public("digest.low")
    chain = circuit.reserve_public("facts")
    tx = Transaction(circuit, spec)
    spec.method(app(), tx)
    _refuse_idle(tx, circuit, spec)
    with circuit.statement("the facts are not the ones that the public input commits to"):
        circuit.bind(chain, fact_chain(tx.elements))
    labels = tuple(label for fact in spec.facts for label in fact_labels(spec, fact))
    free = tuple(tx.free_facts.items())
    names = tuple(name for name, _ in tx.private_inputs)
    return TracedAction(spec, circuit, labels, names, free)


def fact_chain(elements: Sequence[Field]) -> Field:
    """F of PROTOCOL section 6 in the circuit: the count, then 15 facts a hash."""
    chain = Field.constant(fe(b"grail/facts/1" + len(elements).to_bytes(4, "little")))
    for start in range(0, len(elements), GROUP):
        group: list[Field | int] = list(elements[start : start + GROUP])
        chain = poseidon([chain, *group, *[0] * (GROUP - len(group))])
    return chain


def _refuse_idle(tx: Transaction, circuit: Circuit, spec: ActionSpec) -> None:
    where = f"{spec.file}:{spec.line}: action {spec.name}"
    given = {wire for element in tx.elements for wire in element.terms}
    for unused in circuit.unused_comparisons():
        raise InvalidInput(
            f"{unused.file}:{unused.line}: a comparison whose answer nothing uses states nothing",
            hint="call assert_true() on it, or combine it with another",
        )
    touched = circuit.touched({*given, *range(circuit.n_public + 1)})
    idle = [
        element.name
        for element in tx.elements
        if not touched.intersection(element.terms) and element.name not in tx.free_facts
    ]
    if idle:
        raise InvalidInput(
            f"{where} states nothing about {', '.join(idle[:8])}"
            + (f" and {len(idle) - 8} more" if len(idle) > 8 else ""),
            hint="constrain each fact, or say tx.free(fact, reason)",
        )
    needless = [name for name in tx.free_facts if name in _touched_names(tx, touched)]
    if needless:
        raise InvalidInput(f"{where} frees {', '.join(needless)} and constrains it too")
    idle = [name for name, field in tx.private_inputs if not touched.intersection(field.terms)]
    if idle:
        raise InvalidInput(f"{where} states nothing about its private input {', '.join(idle)}")


def _touched_names(tx: Transaction, touched: set[int]) -> set[str]:
    return {element.name for element in tx.elements if touched.intersection(element.terms)}
