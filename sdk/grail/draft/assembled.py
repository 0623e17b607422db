"""A transaction whose inputs, outputs and spell are fixed: checked, proven, signed.

The facts that a proof is made for come from `grail.charms.rules.correct`, the very code that the
enclaves run, so a draft that they would refuse fails here, with the same name for the reason.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from grail.apps.compiler import CompiledApp, Private
from grail.bitcoin import addresses
from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import Network
from grail.bitcoin.psbt import Psbt, TapLeafScript
from grail.bitcoin.taproot import TaprootOutput
from grail.bitcoin.tx import Tx
from grail.charms import rules, spell
from grail.charms.app import Contract
from grail.charms.consent import check_consent
from grail.charms.descriptor import Bundle
from grail.charms.record import Record
from grail.charms.rules import CheckedTx, Prevout
from grail.charms.spell import ContractProof, Spell
from grail.draft import sizes
from grail.errors import InvalidInput
from grail.types import Txid, TxOut
from grail.wallet.account import Account
from grail.wallet.coins import Coin


@dataclass(frozen=True)
class Context:
    """What a draft must know of its network: the rules' own inputs, nothing more.

    `height` is that of the block that will hold the transaction: the tip's and one. `bundles` are
    those of contracts that were met before; a draft adds its own apps'.
    """

    network: Network
    record: Record
    height: int
    bundles: Mapping[bytes, Bundle] = field(default_factory=dict)

    @property
    def zkbtc(self) -> Contract:
        """The contract of zkBTC and the Grail NFT."""
        return self.record.zkbtc

    @property
    def roster(self) -> Roster:
        """The roster that rules now. Raises `InvalidInput` when none does."""
        reign = self.record.ruling(self.height)
        if reign is None:
            raise InvalidInput(
                f"no roster rules at height {self.height}",
                hint="the deploy spell counts k blocks after its own",
            )
        return reign.roster

    def guard(self, contract: Contract, roster: Roster | None = None) -> TaprootOutput:
        """The guarded address of a contract, of the ruling roster unless another is given."""
        return addresses.guard(roster or self.roster, contract.gid(self.network))


@dataclass(frozen=True)
class Spend:
    """An input: the coin, and a witness of the size that the real one will have."""

    coin: Coin
    witness: sizes.Witness
    sequence: int = 0xFFFFFFFD


@dataclass(frozen=True)
class Act:
    """One action of one contract, with what its circuit is told privately."""

    contract: Contract
    app: CompiledApp
    action: str
    private: Private = field(default_factory=dict, repr=False)
    args: tuple[int, ...] = ()
    pays: tuple[int, ...] = ()
    signers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Assembled:
    """A transaction without signatures; its proofs are zeros until `prove`."""

    context: Context
    tx: Tx
    spends: tuple[Spend, ...]
    acts: tuple[Act, ...]
    spell: Spell | None
    proving_seconds: float = 0.0

    @property
    def prevouts(self) -> tuple[Prevout, ...]:
        """What the inputs spend, with charms."""
        return tuple(Prevout(s.coin.sats, s.coin.output.script, s.coin.charms) for s in self.spends)

    @property
    def spent_outputs(self) -> tuple[TxOut, ...]:
        """What the inputs spend, as signatures see it."""
        return tuple(s.coin.output for s in self.spends)

    @property
    def vsize(self) -> int:
        """The virtual size that the transaction will have with all its witnesses."""
        return sizes.vsize_with(self.tx, [s.witness for s in self.spends])

    @property
    def fee(self) -> int:
        """Sats in less sats out; below zero while a draft is not funded yet."""
        return sum(s.coin.sats for s in self.spends) - sum(out.sats for out in self.tx.outputs)

    @property
    def constraints(self) -> int:
        """The number of constraints that the proofs of this transaction stand for."""
        return sum(act.app.circuits[act.action].constraints for act in self.acts)

    @property
    def bundles(self) -> dict[bytes, Bundle]:
        """The bundles of all contracts that were met, by vk."""
        return {**self.context.bundles, **{a.app.bundle.vk: a.app.bundle for a in self.acts}}

    def _correct(self, verify: rules.Verify | None) -> CheckedTx:
        context = self.context
        return rules.correct(
            self.tx,
            self.prevouts,
            self.bundles,
            context.record,
            context.height,
            context.network,
            verify=verify,
        )

    def check_unproven(self) -> CheckedTx:
        """Run every rule but the proofs themselves; the facts are in the result.

        Raises `SpellIncorrect` with the name that an operator would answer.
        """
        return self._correct(_any_proof)

    def check(self) -> CheckedTx:
        """Run every rule, proofs included, and what signing alone asks of the outputs.

        Raises `SpellIncorrect`, as the operators would refuse.
        """
        checked = self._correct(None)
        rules.outputs_allowed(checked)
        return checked

    def check_private(self) -> None:
        """Evaluate every circuit without proving.

        Raises `Unsatisfied`, which names the line of the app that does not hold, and
        `SpellIncorrect`.
        """
        checked = self.check_unproven()
        for act in self.acts:
            found = _of(checked, act.contract)
            act.app.check(act.action, found.digest, found.facts, act.private)

    def prove(self) -> Assembled:
        """The same transaction with a proof for each action.

        Raises `SpellIncorrect` when a rule breaks, `Unsatisfied` when a circuit does not hold.
        """
        if self.spell is None or not self.acts:
            return self
        checked = self.check_unproven()
        start = time.perf_counter()
        proofs = []
        for act in self.acts:
            found = _of(checked, act.contract)
            proof = act.app.prove(act.action, found.digest, found.facts, act.private)
            number = act.app.bundle.action(act.action).number
            proofs.append(ContractProof(self.spell.contracts.index(act.contract), number, proof))
        seconds = time.perf_counter() - start
        return replace(self.with_proofs(proofs), proving_seconds=seconds)

    def with_proofs(self, proofs: Sequence[ContractProof]) -> Assembled:
        """The same transaction with these proofs in its OP_RETURN."""
        if self.spell is None:
            raise InvalidInput("a transaction without a spell has no place for proofs")
        ordered = tuple(sorted(proofs, key=lambda proof: proof.contract))
        return self.with_spell(replace(self.spell, proofs=ordered))

    def with_spell(self, spelled: Spell) -> Assembled:
        """The same transaction with another spell in its OP_RETURN."""
        if self.spell is None:
            raise InvalidInput("a transaction without a spell has no place for another")
        carrier = self.spell.op_return()
        outputs = tuple(
            TxOut(out.sats, spelled.op_return()) if out.script == carrier else out
            for out in self.tx.outputs
        )
        return replace(self, tx=replace(self.tx, outputs=outputs), spell=spelled)

    def signed_by(self, *accounts: Account) -> Tx:
        """The transaction with the witnesses of all inputs that these accounts own."""
        tx = self.tx
        for account in accounts:
            for index, spent in enumerate(self.spends):
                if spent.coin.output.script == account.script:
                    tx = account.sign(tx, self.spent_outputs, index)
        return tx

    def psbt(self, previous: Mapping[Txid, Tx], *accounts: Account) -> Psbt:
        """The PSBT for the operators: previous transactions, and the accounts' final witnesses.

        The leaves that the quorum spends by stand in it, so that whoever finds the decision can
        finish the transaction. Raises `SpellIncorrect` with rule SignerSighash, as the operators
        would, for a signer's witness that is no consent.
        """
        signed = self.signed_by(*accounts)
        for index in sorted({index for act in self.acts for index in act.signers}):
            if signed.inputs[index].witness:  # others sign later
                check_consent(signed, self.spent_outputs, index)
        psbt = Psbt.of(self.tx)
        for index, (txin, spent) in enumerate(zip(signed.inputs, self.spends, strict=True)):
            psbt = psbt.with_input(
                index,
                non_witness_utxo=previous[txin.outpoint.txid],
                witness_utxo=spent.coin.output,
                final_script_witness=txin.witness or None,
                tap_leaf_scripts=() if txin.witness else _leaf_scripts(spent.witness),
            )
        return psbt


def _leaf_scripts(witness: sizes.Witness) -> tuple[TapLeafScript, ...]:
    """The leaf that a script-path witness spends by; none for a key path."""
    return (TapLeafScript(witness[-1], witness[-2]),) if len(witness) > 1 else ()


def _of(checked: CheckedTx, contract: Contract) -> rules.CheckedContract:
    return next(found for found in checked.contracts if found.contract == contract)


def _any_proof(_vk: bytes, _publics: Sequence[int], _proof: bytes) -> None:
    """The facts are wanted before there is a proof; `check` and every enclave verify it after."""


def unproven(contracts: Sequence[Contract], acts: Sequence[Act]) -> tuple[ContractProof, ...]:
    """Proofs of the right size and place, all zeros: they hold the room of the real ones."""
    return tuple(
        sorted(
            (
                ContractProof(
                    contracts.index(act.contract),
                    act.app.bundle.action(act.action).number,
                    bytes(spell.PROOF_SIZE),
                )
                for act in acts
            ),
            key=lambda proof: proof.contract,
        )
    )
