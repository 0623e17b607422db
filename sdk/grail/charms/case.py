"""One transaction under check: what came in, and what is derived from it once for all rules.

Every derived value is computed when a rule first asks for it and kept, so that rules stay short
and nothing is hashed twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from grail.bitcoin.network import Network
from grail.bitcoin.tx import Tx
from grail.charms import envelope
from grail.charms import spell as spells
from grail.charms.app import TOKEN, App, Contract, Data, canonical, identity_of
from grail.charms.classify import Classes, Prevout, classify, guard_scripts
from grail.charms.descriptor import IN, Action, AppRef, Bundle, FieldRef
from grail.charms.fact_list import OWN, ZKBTC
from grail.charms.facts import Statement, chain, derive_facts
from grail.charms.record import Record, Reign
from grail.charms.spell import ContractProof, Inputs, Spell
from grail.errors import SpellIncorrect

Verify: TypeAlias = Callable[[bytes, Sequence[int], bytes], None]
"""The proof verifier: verifying key, public inputs, proof; raises `ProofInvalid`."""

ACTION = "action"
KEPT = "kept"
MOVE = "move"
SUCCESSOR = "successor"
UNPROVEN = "unproven"
"""What a contract is here; the last one lacks the proof that it needs."""


@dataclass(frozen=True)
class Case:
    """What `correct` is given, and what follows from it (sections 2 to 4)."""

    tx: Tx
    prevouts: tuple[Prevout, ...]
    bundles: Mapping[bytes, Bundle]
    known_record: Record
    height: int
    network: Network
    confirmed: bool
    verify: Verify
    parsed: Spell | None = None

    # -- section 2: the spell

    @cached_property
    def spell_output(self) -> int:
        """The index of the output that carries the spell."""
        index = envelope.one_spell(self.tx)
        if index is None:
            raise SpellIncorrect(
                "SpellInvalid", "no output carries a spell", got="none", expected="one"
            )
        return index

    @cached_property
    def payload(self) -> bytes:
        """The bytes of [spell, proof]."""
        return envelope.payload(self.tx, self.spell_output)

    @cached_property
    def reading(self) -> Spell | SpellIncorrect:
        """The spell, or why there is none that can be read: its bytes are read once."""
        if self.parsed is not None:
            return self.parsed
        try:
            return spells.read(self.tx, self.spell_output, self.payload)
        except SpellIncorrect as refusal:
            return refusal

    @property
    def spell(self) -> Spell:
        """The spell; `SpellIncorrect` with rule SpellInvalid when it is none of ours."""
        if isinstance(self.reading, SpellIncorrect):
            raise self.reading
        return self.reading

    @cached_property
    def outputs(self) -> tuple[Prevout, ...]:
        """The outputs below n_outs with the charms that the spell gives them."""
        pairs = zip(self.tx.outputs, self.spell.outs, strict=False)
        return tuple(Prevout(output.sats, output.script, charms) for output, charms in pairs)

    def entries(self, side: int) -> tuple[Prevout, ...]:
        """All prevouts, or all outputs below n_outs."""
        return self.prevouts if side == IN else self.outputs

    @cached_property
    def spent_apps(self) -> frozenset[App]:
        """The apps on inputs."""
        return frozenset(app for prevout in self.prevouts for app in prevout.charms)

    # -- section 4: contracts and what they guard

    @property
    def zkbtc(self) -> Contract:
        """The network's zkBTC contract."""
        return self.known_record.zkbtc

    @cached_property
    def record(self) -> Record:
        """The record with the epoch that this transaction makes, if it makes a well-formed one.

        Only an action of zkBTC makes a roster, and at most one, so that whoever writes states of
        rosters into a spell does not fill the record with epochs to look for.
        """
        nft = self.zkbtc.nft
        state = next((entry.charms[nft] for entry in self.outputs if nft in entry.charms), None)
        if state is None or self.zkbtc not in self.proofs:
            return self.known_record
        try:
            return self.known_record.extended(state, self.height, self.network)
        except SpellIncorrect:
            return self.known_record  # rule RosterInvalid names it, after what comes before it

    @cached_property
    def ruling(self) -> Reign | None:
        """The reign at this height."""
        return self.record.ruling(self.height)

    @cached_property
    def contracts(self) -> tuple[Contract, ...]:
        """Listed contracts, those on an input's charms, and zkBTC, in order of bytes."""
        found = {app.contract for app in self.spent_apps}
        return tuple(sorted(found.union(self.spell.contracts, (self.zkbtc,))))

    @cached_property
    def guarded(self) -> frozenset[Contract]:
        """The contracts of which a guarded address stands among prevouts or outputs."""
        scripts = {entry.script for entry in (*self.prevouts, *self.outputs)}
        rosters = self.record.rosters
        return frozenset(
            contract
            for contract in self.contracts
            if not scripts.isdisjoint(guard_scripts(rosters, contract.gid(self.network)))
        )

    @cached_property
    def need_bundle(self) -> tuple[Contract, ...]:
        """Contracts with a proof, a guarded address or an n-unit here (step 8)."""
        everywhere = {app for output in self.outputs for app in output.charms} | self.spent_apps
        return tuple(
            contract
            for contract in self.contracts
            if contract in self.proofs or contract in self.guarded or contract.nft in everywhere
        )

    def bundle(self, contract: Contract) -> Bundle | None:
        """The contract's bundle, None when none came with the request or nothing here needs it.

        What is not needed is not read, so that no verdict changes with what came along.
        """
        return self.bundles.get(contract.vk) if contract in self.need_bundle else None

    @cached_property
    def classes(self) -> Mapping[Contract, Classes]:
        """What each contract guards here."""
        return {
            contract: classify(
                contract,
                self.bundle(contract),
                self.prevouts,
                self.outputs,
                self.spell.inputs(contract).rows,
                self.record,
                self.network,
            )
            for contract in self.contracts
        }

    @cached_property
    def guarded_outputs(self) -> frozenset[int]:
        """The indexes of outputs at guarded addresses."""
        return frozenset(place.index for found in self.classes.values() for place in found.outputs)

    def x(self, contract: Contract) -> Inputs:
        """The contract's public inputs."""
        return self.spell.inputs(contract)

    @cached_property
    def proofs(self) -> Mapping[Contract, ContractProof]:
        """The proof of each contract that has one."""
        listed = self.spell.contracts
        return {listed[entry.contract]: entry for entry in self.spell.proofs}

    def action(self, contract: Contract) -> Action | None:
        """The action that the contract's proof names, if there is a proof and such an action."""
        entry, bundle = self.proofs.get(contract), self.bundle(contract)
        return None if entry is None or bundle is None else bundle.actions.get(entry.action)

    @cached_property
    def actions(self) -> tuple[tuple[Classes, Action], ...]:
        """The contracts that act, with their actions, in order."""
        pairs = ((classes, self.action(contract)) for contract, classes in self.classes.items())
        return tuple((classes, action) for classes, action in pairs if action is not None)

    def fresh(self, contract: Contract) -> bool:
        """Whether this transaction creates the contract: its input 0 gives the identity."""
        return contract.identity == identity_of(self.tx.inputs[0].outpoint)

    # -- what is kept

    @cached_property
    def _held(self) -> tuple[_Held, _Held]:
        return _held(self.prevouts), _held(self.outputs)

    def supply(self, contract: Contract, side: int) -> int:
        """S: the contract's own tokens over all inputs, or all outputs."""
        return self._held[side].units[contract.token]

    def minted(self, contract: Contract) -> int:
        """S_out - S_in."""
        return self.supply(contract, 1) - self.supply(contract, IN)

    @cached_property
    def changed(self) -> Mapping[Contract, frozenset[str]]:
        """The tags of each contract that are not kept: token sums differ, or sets of states."""
        before, after = self._held
        changed: dict[Contract, set[str]] = {contract: set() for contract in self.contracts}
        for app in self.spent_apps.union(self.spell.apps):
            if before.units[app] != after.units[app] or before.states.get(app) != after.states.get(
                app
            ):
                changed[app.contract].add(app.tag)
        return {contract: frozenset(tags) for contract, tags in changed.items()}

    # -- what a contract is here

    def standing(self, contract: Contract) -> str:
        """Section 4: action, kept, move (E6), to a successor (E7), or in need of a proof."""
        return self._standings[contract]

    @cached_property
    def _standings(self) -> Mapping[Contract, str]:
        return {contract: self._stand(contract) for contract in self.contracts}

    def _stand(self, contract: Contract) -> str:
        if contract in self.proofs:
            return ACTION
        if not self.needs_action(contract):
            return KEPT
        classes = self.classes[contract]
        if classes.inputs and not classes.rows:
            # A move keeps every app; where units go over to the successor, S falls.
            if TOKEN in self.changed[contract] and self.successor(contract) is not None:
                return SUCCESSOR
            ruling = self.ruling
            if ruling is not None and all(place.epoch < ruling.epoch for place in classes.inputs):
                return MOVE
        return UNPROVEN

    def needs_action(self, contract: Contract) -> bool:
        """Whether the contract guards an input, gives a port, or has an app that is not kept."""
        classes = self.classes[contract]
        return bool(classes.signed or classes.ports_out or self.changed[contract])

    def successor(self, contract: Contract) -> Contract | None:
        """The listed contract that zkBTC's units may go over to at this height, if any (E7)."""
        ruling = self.ruling
        if contract != self.zkbtc or ruling is None or not any(ruling.successor):
            return None
        if self.height < ruling.successor_from or self.classes[contract].ports_in:
            return None
        gid = ruling.successor
        listed = self.spell.contracts
        return next((other for other in listed if other.gid(self.network) == gid), None)

    # -- sections 3 and 6: what the proofs must show

    @cached_property
    def d0(self) -> bytes:
        """D0: what all proofs of this transaction are bound to."""
        return spells.digest0(self.network, self.tx, self.spell)

    @cached_property
    def statements(self) -> Mapping[Contract, Statement]:
        """The statement of each contract that acts."""
        found: dict[Contract, Statement] = {}
        for classes, action in self.actions:
            contract = classes.contract
            d = spells.digest(self.d0, contract, action.number)
            facts = derive_facts(action, classes, self)
            public = (*spells.public_halves(d), chain(facts))
            found[contract] = Statement(contract, action, d, facts, public)
        return found

    # -- apprefs

    def resolve(self, ref: AppRef, classes: Classes) -> App | None:
        """The token that an appref names here, None when a field names none (section 5)."""
        if isinstance(ref, App):
            return ref
        if isinstance(ref, FieldRef):
            ports = classes.ports_in.get(ref.kind, ())
            if ref.j >= len(ports):
                ports = classes.ports_out.get(ref.kind, ())
            if ref.j >= len(ports):
                return None
            state: Data = ports[ref.j].holds.charms[classes.contract.nft]
            return self._tokens.get(int.from_bytes(state[1 + ref.field], "big"))
        return {OWN: classes.contract.token, ZKBTC: self.zkbtc.token}[ref]

    @cached_property
    def _tokens(self) -> Mapping[int, App]:
        listed = self.spent_apps.union(self.spell.apps)
        return {app.fe: app for app in listed if app.tag == TOKEN}


@dataclass(frozen=True, slots=True)
class _Held:
    """What all inputs, or all outputs, hold: sums of tokens, and states as multisets of bytes."""

    units: Counter[App]
    states: Mapping[App, Counter[bytes]]


def _held(entries: Sequence[Prevout]) -> _Held:
    """One pass over all charms."""
    sums: Counter[App] = Counter()
    states: defaultdict[App, Counter[bytes]] = defaultdict(Counter)
    for entry in entries:
        for app, data in entry.charms.items():
            if app.tag == TOKEN:
                sums[app] += data
            else:
                states[app][canonical(data)] += 1
    return _Held(sums, states)
