"""When a spell is correct: steps 6 to 12 of section 9, as one ordered list of rules.

`correct` is pure: the transaction, its prevouts with their charms, the bundles, the roster record
and the height come in; a `CheckedTx` or the first refusal comes out. The same function serves a
signing request, an ancestor in a history, and the index. It runs no code of any app: what it knows
of one is its descriptor, and of one app alone, zkBTC, how the Grail NFT names a roster.

In order: 6 two_spells, foreign_spell, spell_invalid; 8 bundle_mismatch, key_unsafe, single_party;
9 app_extra, guard_undeclared_charm, row_unknown, output_claimed_twice, proof_missing, proof_extra,
action_unknown, app_missing, state_invalid, roster_invalid; 10 not_kept (E1), port_count,
nft_outside, not_fresh, port_token_unnamed (E2), row_payee, row_charm, pay_invalid, signer_invalid,
signer_sighash (E3), turnstile_broken, mint_unseen, row_short, vault_shape (E4), retired_roster
(E5), move_not_equal (E6), successor_unequal (E7); 11 height_stale; 12 proof_invalid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from grail.bitcoin.addresses import QUORUM
from grail.bitcoin.network import Network
from grail.bitcoin.script import Op
from grail.bitcoin.taproot import Leaf, TaprootOutput
from grail.bitcoin.tx import Tx
from grail.charms import (
    guard_rules,
    kept_rules,
    move_rules,
    proof_rules,
    spell_rules,
    vault_rules,
)
from grail.charms.app import App, Contract, Data
from grail.charms.case import Case, Verify
from grail.charms.classify import Prevout, guard_scripts
from grail.charms.descriptor import Action, Bundle
from grail.charms.record import Record
from grail.charms.rule import Rule, refuse
from grail.charms.spell import Spell
from grail.errors import InvalidInput
from grail.types import OutPoint
from grail.zk import groth16

__all__ = [
    "RULES",
    "CheckedContract",
    "CheckedTx",
    "Prevout",
    "QuorumInput",
    "Rule",
    "Verify",
    "correct",
    "outputs_allowed",
    "to_prove",
]


@dataclass(frozen=True, slots=True)
class QuorumInput:
    """An input that the quorum of `epoch` signs: as what, and by which leaf of which output.

    `kind` is "port", "plain" or "row".
    """

    index: int
    contract: Contract
    kind: str
    epoch: int
    output: TaprootOutput

    @property
    def leaf(self) -> Leaf:
        """The quorum leaf."""
        return self.output.leaf(QUORUM)


@dataclass(frozen=True, slots=True)
class CheckedContract:
    """What one contract does here.

    `standing` is "kept", "action", "move" or "successor"; the rest is empty but for an action.
    """

    contract: Contract
    standing: str
    action: Action | None = None
    facts: tuple[int, ...] = ()
    digest: bytes = b""
    public_inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class CheckedTx:
    """A transaction whose spell is correct. Made by `correct` and `to_prove` alone.

    `charms` has one entry per output of the transaction (empty past n_outs); `quorum_inputs` are
    exactly the inputs that the operators sign; `record` is the record after this transaction.
    """

    tx: Tx
    spell: Spell
    prevouts: tuple[Prevout, ...]
    contracts: tuple[CheckedContract, ...]
    quorum_inputs: tuple[QuorumInput, ...]
    charms: tuple[Mapping[App, Data], ...]
    record: Record
    height: int
    network: Network

    @cached_property
    def guarded(self) -> tuple[OutPoint, ...]:
        """The outpoints that operators vote on: those of `quorum_inputs`, in order of inputs."""
        return tuple(self.tx.inputs[entry.index].outpoint for entry in self.quorum_inputs)

    @property
    def n_outs(self) -> int:
        """How many outputs the spell covers."""
        return len(self.spell.outs)

    def contract(self, contract: Contract) -> CheckedContract:
        """What this contract does here. Raises `InvalidInput` when it has no part in it."""
        for entry in self.contracts:
            if entry.contract == contract:
                return entry
        raise InvalidInput(f"contract {contract} has no part in this transaction")


RULES: tuple[Rule, ...] = (
    # 6
    spell_rules.two_spells,
    spell_rules.foreign_spell,
    spell_rules.spell_invalid,
    # 8
    spell_rules.bundle_mismatch,
    spell_rules.key_unsafe,
    spell_rules.single_party,
    # 9
    guard_rules.app_extra,
    guard_rules.guard_undeclared_charm,
    guard_rules.row_unknown,
    guard_rules.output_claimed_twice,
    guard_rules.proof_missing,
    guard_rules.proof_extra,
    guard_rules.action_unknown,
    guard_rules.app_missing,
    guard_rules.state_invalid,
    guard_rules.roster_invalid,
    # 10
    kept_rules.not_kept,
    kept_rules.port_count,
    kept_rules.nft_outside,
    kept_rules.not_fresh,
    kept_rules.port_token_unnamed,
    kept_rules.row_payee,
    kept_rules.row_charm,
    kept_rules.pay_invalid,
    kept_rules.signer_invalid,
    kept_rules.signer_sighash,
    vault_rules.turnstile_broken,
    vault_rules.mint_unseen,
    vault_rules.row_short,
    vault_rules.vault_shape,
    vault_rules.retired_roster,
    move_rules.move_not_equal,
    move_rules.successor_unequal,
    # 11
    proof_rules.height_stale,
    # 12
    proof_rules.proof_invalid,
)
"""The shipped rules, in the order of section 9, steps 6 to 12."""


def correct(  # noqa: PLR0917 - what a verdict depends on, one by one
    tx: Tx,
    prevouts: Sequence[Prevout],
    bundles: Mapping[bytes, Bundle],
    record: Record,
    height: int,
    network: Network,
    *,
    confirmed: bool = False,
    rules: Sequence[Rule] = RULES,
    verify: Verify | None = None,
    spell: Spell | None = None,
) -> CheckedTx:
    """Check a transaction's spell by every rule in order; the first that fails answers.

    `bundles` by vk. `height` is the confirming height, or tip + 1 while unconfirmed; only what is
    `confirmed` enjoys a retired roster's grace for its outputs. `record` may or may not hold the
    epoch that this transaction itself makes. `verify` stands in for Groth16's verifier in tests.
    `spell` is this transaction's, where the caller has read it already (`spell.parse`).
    No witness is looked at: no txid covers it, and a verdict must not change with it.

    Raises: SpellIncorrect with the rule's name; InvalidInput when prevouts and inputs differ in
    number, which is the caller's fault.
    """
    if len(prevouts) != len(tx.inputs) or not tx.inputs:
        raise InvalidInput(f"got {len(prevouts)} prevouts, expected {len(tx.inputs)}, at least 1")
    verifier = groth16.verify if verify is None else verify
    case = Case(tx, tuple(prevouts), bundles, record, height, network, confirmed, verifier, spell)
    for rule in rules:
        rule.check(case)
    return _checked(case)


def to_prove(  # noqa: PLR0917 - as above
    tx: Tx,
    prevouts: Sequence[Prevout],
    bundles: Mapping[bytes, Bundle],
    record: Record,
    height: int,
    network: Network,
) -> CheckedTx:
    """Check all but the proofs, whose bytes may be anything: what a prover must show, if at all.

    The statements in the result (digest, facts, public inputs) do not change when the real proofs
    take their place in the OP_RETURN, which the digest does not cover. Raises as `correct`.
    """
    rules = tuple(rule for rule in RULES if rule is not proof_rules.proof_invalid)
    return correct(tx, prevouts, bundles, record, height, network, rules=rules)


def outputs_allowed(checked: CheckedTx) -> None:
    """Step 13, for signing alone: past n_outs one OP_RETURN and at most one change, to no guard.

    Section 3. What the change must not be: guard(K, e) of a contract in the spell or of zkBTC, or
    the script of an input that the quorum signs. Raises `SpellIncorrect`, rule OutputForbidden.
    """
    spell_scripts = {checked.spell.op_return()}
    contracts = {*checked.spell.contracts, checked.record.zkbtc}
    forbidden = {entry.output.script_pubkey for entry in checked.quorum_inputs}
    for contract in contracts:
        gid = contract.gid(checked.network)
        forbidden.update(guard_scripts(checked.record.rosters, gid))
    changes = 0
    for index, output in enumerate(checked.tx.outputs):
        if index < checked.n_outs or output.script in spell_scripts:
            continue
        changes += 1
        if output.script[:1] == bytes([Op.RETURN]):
            refuse("OutputForbidden", f"output {index}", got="an OP_RETURN", expected="one change")
        if output.script in forbidden:
            got = output.script.hex()
            refuse("OutputForbidden", f"output {index}", got=got, expected="no guarded script")
        if changes > 1:
            refuse("OutputForbidden", f"output {index}", got="a second change", expected="one")


def _checked(case: Case) -> CheckedTx:
    contracts = tuple(_contract(case, contract) for contract in case.contracts)
    signed = [
        QuorumInput(place.index, contract, place.role, place.epoch, place.output)
        for contract, classes in case.classes.items()
        for place in classes.signed
    ]
    empty: dict[App, Data] = {}
    past = len(case.tx.outputs) - len(case.spell.outs)
    return CheckedTx(
        case.tx,
        case.spell,
        case.prevouts,
        contracts,
        tuple(sorted(signed, key=lambda entry: entry.index)),
        (*case.spell.outs, *[empty] * past),
        case.record,
        case.height,
        case.network,
    )


def _contract(case: Case, contract: Contract) -> CheckedContract:
    standing, statement = case.standing(contract), case.statements.get(contract)
    if statement is None:
        return CheckedContract(contract, standing)
    return CheckedContract(
        contract,
        standing,
        statement.action,
        statement.facts,
        statement.digest,
        statement.public_inputs,
    )
