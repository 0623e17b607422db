"""One signing request, with what its collector must know of it: what is voted on, what is signed.

All of it is computed from the request's bytes. The inputs without a witness are the quorum's; the
leaves that they are spent by stand in the PSBT (PSBT_IN_TAP_LEAF_SCRIPT). Where they are of several
rosters, the oldest one's are signed first, and then stand in the request to the next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from grail.bitcoin.network import Network
from grail.bitcoin.psbt import Psbt
from grail.bitcoin.taproot import Leaf, check_leaf, leaf_hash
from grail.bitcoin.tx import Tx, sighash, verify_input
from grail.charms import spell
from grail.crypto import schnorr
from grail.errors import DecodeError, Incorrect, InvalidInput, SignatureInvalid
from grail.operators.certificates import Proposal, family
from grail.operators.evidence import SigningRequest
from grail.operators.frames import Signatures
from grail.operators.messages import Scope
from grail.types import Txid, TxOut, XOnlyKey

OP_CHECKSIG, OP_CHECKSIGADD, OP_NUMEQUAL = 0xAC, 0xBA, 0x9C


@dataclass(frozen=True, slots=True)
class QuorumLeaf:
    """The quorum leaf: one signature a key, as many as the quorum, an empty item for the others."""

    keys: tuple[XOnlyKey, ...]
    quorum: int
    leaf: Leaf

    @classmethod
    def of(cls, leaf: Leaf) -> QuorumLeaf:
        """From a leaf whose script is leafQ. Raises `DecodeError`."""
        keys, quorum = read_quorum_leaf(leaf.script)
        return cls(keys, quorum, leaf)

    def signs(self, scope: Scope) -> bool:
        """Whether it is the leaf of this roster."""
        return (self.keys, self.quorum) == (scope.keys, scope.quorum)

    def digest(self, tx: Tx, prevouts: Sequence[TxOut], index: int) -> bytes:
        """The signature hash of BIP 342 for this leaf, type DEFAULT."""
        return sighash(tx, prevouts, index, leaf_hash=self.leaf.leaf_hash)

    def witness(self, signatures: Mapping[XOnlyKey, bytes]) -> tuple[bytes, ...]:
        """Exactly `quorum` signatures, the first key's on top, then script and control block.

        NUMEQUAL wants the exact number, so those of the first keys are taken. Raises
        `InvalidInput`.
        """
        chosen = [key for key in self.keys if key in signatures][: self.quorum]
        if len(chosen) < self.quorum:
            raise InvalidInput(f"{len(chosen)} of {self.quorum} signatures")
        stack = [signatures[key] if key in chosen else b"" for key in reversed(self.keys)]
        return self.leaf.witness(stack)


def read_quorum_leaf(script: bytes) -> tuple[tuple[XOnlyKey, ...], int]:
    """The keys, in the leaf's order, and the quorum of leafQ. Raises `DecodeError`."""
    keys: list[XOnlyKey] = []
    at = 0
    while script[at : at + 1] == b"\x20":
        wanted = OP_CHECKSIGADD if keys else OP_CHECKSIG
        if script[at + 33 : at + 34] != bytes([wanted]):
            raise DecodeError("quorum leaf: a key is not followed by its check")
        keys.append(XOnlyKey(script[at + 1 : at + 33]))
        at += 34
    rest = script[at:]
    if keys and len(rest) == 2 and 0x51 <= rest[0] <= 0x60 and rest[1] == OP_NUMEQUAL:
        return tuple(keys), rest[0] - 0x50
    if keys and len(rest) >= 3 and rest[0] == len(rest) - 2 <= 2 and rest[-1] == OP_NUMEQUAL:
        return tuple(keys), int.from_bytes(rest[1:-1], "little")
    raise DecodeError("quorum leaf: expected keys, their checks, a number and NUMEQUAL")


@dataclass(frozen=True)
class SigningJob:
    """A signing request and what its collector knows of it.

    `tx` has the users' witnesses, and those of older rosters; `leaves` has one for each input that
    this quorum signs, `later` tells whether younger rosters have to sign after it.
    """

    proposal: Proposal
    tx: Tx
    prevouts: tuple[TxOut, ...]
    leaves: Mapping[int, QuorumLeaf] = field(repr=False)
    later: bool = False

    @classmethod
    def read(cls, network: Network, body: bytes, scope: Scope | None = None) -> SigningJob:
        """From the bytes of a signing request: the inputs without a witness are the quorums'.

        Of these the job has the ones of `scope`, where that is given, else all. Raises
        `DecodeError`, `InvalidInput`, `SpellIncorrect`, or `Incorrect` when a user's witness is not
        valid, or a leaf none of its output's.
        """
        request = SigningRequest.parse(body)
        psbt = Psbt.parse(request.psbt)
        prevouts = spent_outputs(psbt, request)
        leaves = quorum_leaves(psbt, prevouts)
        mine = {i: leaf for i, leaf in leaves.items() if scope is None or leaf.signs(scope)}
        if not mine:
            raise InvalidInput("request: no input is left for the operators to sign")
        found = spell.parse(psbt.tx)
        proposal = Proposal(
            family(network.id, psbt.tx, len(found.outs) if found else len(psbt.tx.outputs)),
            tuple(sorted(psbt.tx.inputs[index].outpoint for index in mine)),
            psbt.tx.txid,
            body,
        )
        # The family says nothing of witnesses: who shows another's request may spoil them.
        later = len(mine) < len(leaves)
        return cls(proposal, witnessed(psbt, prevouts), prevouts, mine, later)

    def continued(self, tx: Tx) -> bytes:
        """The request to the next roster: the same, with this one's witnesses in place."""
        request = SigningRequest.parse(self.proposal.body)
        psbt = Psbt.parse(request.psbt)
        for index in self.leaves:
            psbt = psbt.with_input(
                index, final_script_witness=tx.inputs[index].witness, tap_leaf_scripts=()
            )
        return replace(request, psbt=psbt.serialize()).serialize()

    def check(self, key: XOnlyKey, signed: Signatures) -> dict[int, bytes]:
        """One operator's signatures by input, once all are there and verify.

        Raises `SignatureInvalid`.
        """
        given = dict(signed.signatures)
        if signed.txid != self.tx.txid or sorted(given) != sorted(self.leaves):
            raise SignatureInvalid("signatures: for another transaction, or not for every input")
        for index, leaf in self.leaves.items():
            if key not in leaf.keys:
                raise SignatureInvalid(f"key {key} is not in the quorum leaf of input {index}")
            schnorr.verify(key, leaf.digest(self.tx, self.prevouts, index), given[index])
        return given

    def finalised(self, signatures: Mapping[XOnlyKey, Mapping[int, bytes]]) -> Tx:
        """The transaction with every witness; `signatures` by operator, then by input.

        Raises `InvalidInput` when there are too few.
        """
        tx = self.tx
        for index, leaf in self.leaves.items():
            contributed = {key: given[index] for key, given in signatures.items()}
            tx = tx.with_witness(index, leaf.witness(contributed))
        return tx


def deciding(body: bytes, scopes: Sequence[Scope]) -> Scope:
    """Whose request it is: the oldest of the rosters whose inputs lack a witness.

    `scopes` are all rosters', the oldest first. Raises `DecodeError`, or `InvalidInput` where it is
    none of theirs.
    """
    request = SigningRequest.parse(body)
    psbt = Psbt.parse(request.psbt)
    leaves = quorum_leaves(psbt, spent_outputs(psbt, request)).values()
    for scope in scopes:
        if any(leaf.signs(scope) for leaf in leaves):
            return scope
    raise InvalidInput("request: no input is left for a roster on record to sign")


def quorum_leaves(psbt: Psbt, prevouts: Sequence[TxOut]) -> dict[int, QuorumLeaf]:
    """How each input without a witness is spent, by the PSBT's own leaf scripts.

    Without them, or with spoiled ones, nobody could put the witness together. Raises
    `InvalidInput` where one is missing, `Incorrect` where one is none of the output's.
    """
    found: dict[int, QuorumLeaf] = {}
    for index, known in enumerate(psbt.inputs):
        if known.final_script_witness is not None:
            continue
        for each in known.tap_leaf_scripts:
            leaf = Leaf(each.script, leaf_hash(each.script), each.control_block)
            check_leaf(prevouts[index].script, leaf)
            with contextlib.suppress(DecodeError):  # another of its leaves, such as recovery
                found[index] = QuorumLeaf.of(leaf)
        if index not in found:
            raise InvalidInput(
                f"request: input {index} has neither a witness nor the quorum's leaf",
                hint="give PSBT_IN_TAP_LEAF_SCRIPT for each guarded input",
            )
    return found


def witnessed(psbt: Psbt, prevouts: Sequence[TxOut]) -> Tx:
    """The transaction with the witnesses that the PSBT has, each valid by consensus rules.

    Raises `Incorrect`.
    """
    witnesses = {
        index: known.final_script_witness
        for index, known in enumerate(psbt.inputs)
        if known.final_script_witness is not None
    }
    tx = psbt.tx
    for index, witness in witnesses.items():
        tx = tx.with_witness(index, witness)
    for index in witnesses:
        try:
            verify_input(tx, prevouts, index)
        except Incorrect as exc:
            raise Incorrect(f"the witness of input {index} is not valid: {exc}") from exc
    return tx


def spent_outputs(psbt: Psbt, request: SigningRequest) -> tuple[TxOut, ...]:
    """What each input spends, from its full previous transaction, as the enclaves read it.

    A bare `witness_utxo` is bound to no txid: whoever shows another's request could change its
    amount, and every honest signature would look like a lie. Raises `InvalidInput` where the
    transaction is missing or another one, or disagrees with the `witness_utxo`.
    """
    evidence: dict[Txid, Tx] = {}
    if any(known.non_witness_utxo is None for known in psbt.inputs):
        evidence = {item.tx.txid: item.tx for item in request.evidence}
    found = []
    for txin, known in zip(psbt.tx.inputs, psbt.inputs, strict=True):
        outpoint = txin.outpoint
        previous = known.non_witness_utxo or evidence.get(outpoint.txid)
        if previous is None or previous.txid != outpoint.txid:
            raise InvalidInput(
                f"request: the transaction that made {outpoint} is missing",
                hint="give it whole as PSBT_IN_NON_WITNESS_UTXO, or in the evidence",
            )
        if outpoint.vout >= len(previous.outputs):
            raise InvalidInput(f"request: {outpoint} does not exist")
        output = previous.outputs[outpoint.vout]
        if known.witness_utxo not in {None, output}:
            raise InvalidInput(f"request: the witness UTXO given for {outpoint} is not that output")
        found.append(output)
    return tuple(found)
