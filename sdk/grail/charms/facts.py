"""What a verifier derives from a transaction as the third public input of a proof.

Section 6 of the protocol: a closed list of thirteen facts, each a function of what the digest
covers, of the prevouts, and of the record. No fact comes from the request. The same code runs in
SDK and enclave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grail.charms.app import App, Contract, fe, script_fe, units
from grail.charms.classify import Classes, Place, Prevout
from grail.charms.descriptor import Action, AppRef, Fact, Name
from grail.charms.state import element
from grail.crypto.poseidon import poseidon

if TYPE_CHECKING:
    from grail.charms.case import Case

GROUP = 15
"""Facts per hash: Poseidon of 16 inputs takes the chain's value first."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one contract's proof must show: action, digest D, facts, and the public inputs."""

    contract: Contract
    action: Action
    digest: bytes
    facts: tuple[int, ...]
    public_inputs: tuple[int, int, int]


def derive_facts(action: Action, classes: Classes, case: Case) -> tuple[int, ...]:
    """The facts of an action, expanded in the order of its list.

    Section 6. The action's counts must have been checked (rule PortCount), and its states.
    """
    values: list[int] = []
    for fact in action.facts:
        values += _expand(fact, action, classes, case)
    return tuple(values)


def chain(facts: Sequence[int]) -> int:
    """F: Poseidon over groups of 15 facts, starting from a hash of their count."""
    h = fe(b"grail/facts/1" + len(facts).to_bytes(4, "little"))
    for at in range(0, len(facts), GROUP):
        group = list(facts[at : at + GROUP])
        h = poseidon([h, *group, *[0] * (GROUP - len(group))])
    return h


def _expand(fact: Fact, action: Action, classes: Classes, case: Case) -> list[int]:
    contract = classes.contract
    x = case.x(contract)
    match fact.number, fact.args:
        case Name.STATE, (int() as side, int() as kind, int() as j, int() as field):
            port = _port(classes, side, kind, j)
            bundle = case.bundle(contract)
            assert bundle is not None
            type_ = bundle.kinds[kind].fields[field][1]
            return [element(type_, port.holds.charms[contract.nft][1 + field])]
        case Name.SATS, (int() as side, int() as kind, int() as j):
            return [_port(classes, side, kind, j).holds.sats]
        case Name.UNITS, (int() as side, int() as kind, int() as j, _):
            app = case.resolve(fact.refs[0], classes)
            return [_units(_port(classes, side, kind, j).holds, app)]
        case Name.PLAIN, (int() as side,):
            return [classes.plain_sats(side)]
        case Name.SUPPLY, (int() as side, _):
            return [case.supply(contract, side)]
        case Name.FRESH, _:
            return [int(case.fresh(contract))]
        case Name.ROWS, _:
            return _rows(fact.refs, action, classes, case)
        case Name.PAY, (int() as i, *_):
            output = case.outputs[x.pays[i]]
            apps = [case.resolve(ref, classes) for ref in fact.refs]
            return [script_fe(output.script), output.sats, *(_units(output, app) for app in apps)]
        case Name.SIGNER, (int() as i,):
            return [script_fe(case.prevouts[x.signers[i]].script)]
        case Name.ARG, (int() as i,):
            return [x.args[i]]
        case Name.HEIGHT, _:
            return [case.tx.locktime]
        case Name.SELF, _:
            return [contract.fe]
        case _:
            return [fe(case.network.id)]


def _rows(refs: Sequence[AppRef], action: Action, classes: Classes, case: Case) -> list[int]:
    """The count, then N rows: present, sats in and paid, units in and paid per appref, terms."""
    apps = [case.resolve(ref, classes) for ref in refs]
    size = 3 + 2 * len(apps) + action.terms
    values = [len(classes.rows)]
    for placed in classes.rows:
        before, after = case.prevouts[placed.row.input], case.outputs[placed.row.output]
        values += [1, before.sats, after.sats]
        for app in apps:
            values += [_units(before, app), _units(after, app)]
        values += placed.row.terms
    return values + [0] * (size * (action.rows - len(classes.rows)))


def _port(classes: Classes, side: int, kind: int, j: int) -> Place:
    return classes.ports(side)[kind][j]


def _units(entry: Prevout, app: App | None) -> int:
    return 0 if app is None else units(entry.charms, app)
