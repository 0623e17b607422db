"""A spell: what a transaction does to charms, its bytes, its OP_RETURN, and the digest of a proof.

Sections 2 and 3 of the protocol. A spell is written in Charms' layout, version 15, as canonical
CBOR, and stands in one output `OP_RETURN "spell" <[spell, proof]>`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from grail import codec
from grail.bitcoin import script
from grail.bitcoin.network import Network
from grail.bitcoin.tx import Tx
from grail.charms import envelope
from grail.charms.app import App, Contract, Data, check_data
from grail.charms.envelope import MAGIC, MAX_PAYLOAD, WORD
from grail.charms.public_inputs import (
    NO_INPUTS,
    Inputs,
    Row,
    invalid,
    read_inputs,
    strictly_rising,
)
from grail.codec import cs
from grail.crypto.schnorr import tagged_hash
from grail.errors import DecodeError, InvalidInput, SpellIncorrect

__all__ = [
    "MAX_APPS",
    "MAX_CONTRACTS",
    "MAX_PAYLOAD",
    "NO_INPUTS",
    "PROOF_SIZE",
    "VERSION",
    "ContractProof",
    "Inputs",
    "Row",
    "Spell",
    "digest",
    "digest0",
    "digest0_preimage",
    "parse",
    "public_halves",
    "read",
]

VERSION = 15
PROOF_SIZE = 128
"""A Groth16 proof over BN254, compressed: A, B, C."""

MAX_CONTRACTS = 32
MAX_APPS = 64
"""Contracts and apps that a spell lists. Each contract is looked for at the guarded addresses of
every epoch, so their number is a cost that whoever writes a spell could drive up."""

SPELL_KEYS = frozenset({"version", "tx", "app_public_inputs"})


@dataclass(frozen=True, slots=True)
class ContractProof:
    """The proof of one contract's action; `contract` is the index in the spell's contracts."""

    contract: int
    action: int
    proof: bytes


@dataclass(frozen=True)
class Spell:
    """A spell and its proofs. Made by `build`, or read from a transaction by `parse`.

    `apps` are the listed apps in order, `outs` the charms of the first outputs, `x` the public
    inputs by contract (left out when null).
    """

    apps: tuple[App, ...]
    outs: tuple[Mapping[App, Data], ...]
    x: Mapping[Contract, Inputs] = field(default_factory=dict)
    proofs: tuple[ContractProof, ...] = ()

    @classmethod
    def build(
        cls,
        outs: Sequence[Mapping[App, Data]],
        *,
        spent: Iterable[App] = (),
        x: Mapping[Contract, Inputs] | None = None,
        acting: Iterable[Contract] = (),
    ) -> Spell:
        """The spell with exactly the apps it must list.

        They are the apps on `outs`, the apps on inputs (`spent`), and tag t of a contract that acts
        and has no charm. Raises `InvalidInput`.
        """
        apps = set(spent)
        for charms in outs:
            for app, data in charms.items():
                check_data(app, data)
                apps.add(app)
        present = {app.contract for app in apps}
        apps.update(contract.token for contract in acting if contract not in present)
        public = {contract: inputs for contract, inputs in (x or {}).items() if inputs != NO_INPUTS}
        spell = cls(tuple(sorted(apps)), tuple(dict(charms) for charms in outs), public)
        if len(spell.apps) > MAX_APPS or len(spell.contracts) > MAX_CONTRACTS:
            raise InvalidInput(
                f"spell: {len(spell.apps)} apps of {len(spell.contracts)} contracts, expected at "
                f"most {MAX_APPS} of {MAX_CONTRACTS}"
            )
        for contract in public:
            if contract not in spell.contracts:
                raise InvalidInput(f"x: contract {contract} lists no app in this spell")
        return spell

    @cached_property
    def contracts(self) -> tuple[Contract, ...]:
        """The distinct contracts of the listed apps, sorted by bytes: what proofs index."""
        return tuple(sorted({app.contract for app in self.apps}))

    def inputs(self, contract: Contract) -> Inputs:
        """The public inputs of this contract; four empty lists when x is null."""
        return self.x.get(contract, NO_INPUTS)

    @cached_property
    def S(self) -> bytes:
        """The canonical bytes of the spell without its proof."""
        index = {app: i for i, app in enumerate(self.apps)}
        public: dict[Data, Data] = {}
        told: set[Contract] = set()
        for app in self.apps:
            first = app.contract not in told
            told.add(app.contract)
            inputs = self.x.get(app.contract) if first else None
            public[app.to_cbor()] = None if inputs is None else inputs.to_cbor()
        outs = [{index[app]: data for app, data in charms.items()} for charms in self.outs]
        return codec.encode({"version": VERSION, "tx": {"outs": outs}, "app_public_inputs": public})

    def proof_bytes(self, proofs: Sequence[ContractProof] | None = None) -> bytes:
        """`GRL1`, the count, then contract index, action and proof of each."""
        entries = self.proofs if proofs is None else proofs
        for entry in entries:
            if len(entry.proof) != PROOF_SIZE:
                raise InvalidInput(f"proof: got {len(entry.proof)} bytes, expected {PROOF_SIZE}")
        body = b"".join(bytes([entry.contract, entry.action]) + entry.proof for entry in entries)
        return MAGIC + bytes([len(entries)]) + body

    def op_return(self, proofs: Sequence[ContractProof] | None = None) -> bytes:
        """The script that carries the spell; with its own proofs when none are given."""
        payload = b"\x82" + self.S + codec.encode(self.proof_bytes(proofs))
        if len(payload) > MAX_PAYLOAD:
            raise InvalidInput(f"spell: got {len(payload)} bytes, expected at most {MAX_PAYLOAD}")
        return script.op_return(WORD, payload)


def digest0_preimage(network: Network, tx: Tx, spell: Spell) -> bytes:
    """What D0 hashes: the network, all outpoints, the first n_outs outputs, nLockTime and S."""
    n_outs = len(spell.outs)
    parts = [network.id, len(tx.inputs).to_bytes(4, "little")]
    parts += [entry.outpoint.serialize() for entry in tx.inputs]
    parts.append(n_outs.to_bytes(4, "little"))
    for output in tx.outputs[:n_outs]:
        parts += [output.sats.to_bytes(8, "little"), cs(output.script)]
    parts += [tx.locktime.to_bytes(4, "little"), cs(spell.S)]
    return b"".join(parts)


def digest0(network: Network, tx: Tx, spell: Spell) -> bytes:
    """D0 of section 3: one hash of all that a proof in this transaction is bound to."""
    return tagged_hash("grail/spell/1", digest0_preimage(network, tx, spell))


def digest(d0: bytes, contract: Contract, action: int) -> bytes:
    """D = H("grail/proof/1", D0 || K || u8 action): what a proof is bound to."""
    return tagged_hash("grail/proof/1", d0 + bytes(contract) + bytes([action]))


def public_halves(proof_digest: bytes) -> tuple[int, int]:
    """The first two public inputs: the digest's halves as big-endian integers."""
    return int.from_bytes(proof_digest[:16], "big"), int.from_bytes(proof_digest[16:], "big")


def read(tx: Tx, index: int, raw: bytes) -> Spell:
    """The spell in this payload of the transaction's output `index`.

    Raises `SpellIncorrect` with rule SpellInvalid.
    """
    try:
        value = codec.decode(raw, max_bytes=MAX_PAYLOAD, free_keys=True)
    except DecodeError as exc:
        invalid(f"payload: {exc}", got=type(exc).__name__, expected="canonical CBOR")
    match value:
        case [dict() as body, bytes() as proof] if body.keys() == SPELL_KEYS:
            version, inner, public = body["version"], body["tx"], body["app_public_inputs"]
        case _:
            invalid("payload: not [{version, tx, app_public_inputs}, proof]")
    match inner, public:
        case {"outs": list() as outs}, dict() if len(inner) == 1:
            pass
        case _:
            invalid("payload: tx is not {outs: [..]}, or app_public_inputs no map")
    if type(version) is not int or version != VERSION:
        invalid("version", got=version, expected=VERSION)
    if len(outs) > len(tx.outputs):
        invalid("outs > outputs", got=len(outs), expected=f"at most {len(tx.outputs)}")
    if index < len(outs):
        invalid("OP_RETURN below n_outs", got=f"output {index}", expected=f"{len(outs)} or above")
    apps = _apps(public)
    check_counts(apps)
    x = _public_inputs(apps, list(public.values()))
    charms = tuple(_charms(apps, entry) for entry in outs)
    spell = Spell(apps, charms, x)
    spell = Spell(apps, charms, x, _proofs(proof, len(spell.contracts)))
    # The canonical payload is 0x82, S, proof: S need not be encoded again.
    spell.__dict__["S"] = raw[1 : len(raw) - len(codec.encode(proof))]
    return spell


def parse(tx: Tx) -> Spell | None:
    """The one spell of a transaction, or None when it carries none.

    Section 2. Raises `SpellIncorrect` with rule TwoSpells, ForeignSpell or SpellInvalid.
    """
    index = envelope.one_spell(tx)
    if index is None:
        return None
    raw = envelope.payload(tx, index)
    try:
        return read(tx, index, raw)
    except SpellIncorrect:
        # What was read begins with our magic; only what was not can be of another format.
        envelope.refuse_foreign(raw)
        raise


def check_counts(apps: Collection[App]) -> None:
    """Refuse more apps or contracts than a spell may list.

    Raises `SpellIncorrect` with rule SpellInvalid.
    """
    if len(apps) > MAX_APPS:
        invalid("too many apps", got=len(apps), expected=f"at most {MAX_APPS}")
    contracts = len({app.contract for app in apps})
    if contracts > MAX_CONTRACTS:
        invalid("too many contracts", got=contracts, expected=f"at most {MAX_CONTRACTS}")


def _apps(public: dict[Data, Data]) -> tuple[App, ...]:
    # Canonical CBOR orders keys by their bytes, which is the order of apps.
    try:
        return tuple(App.from_cbor(key) for key in public)
    except InvalidInput as exc:
        invalid(f"app_public_inputs: {exc}")


def _charms(apps: tuple[App, ...], entry: Data) -> dict[App, Data]:
    if not isinstance(entry, dict):
        invalid("outs: an entry is no map")
    charms: dict[App, Data] = {}
    for key, data in entry.items():
        if type(key) is not int or not 0 <= key < len(apps):
            invalid("outs: app index", got=key, expected=f"below {len(apps)}")
        try:
            check_data(apps[key], data)
        except InvalidInput as exc:
            invalid(f"outs: {exc}")
        charms[apps[key]] = data
    return charms


def _public_inputs(apps: tuple[App, ...], values: list[Data]) -> dict[Contract, Inputs]:
    public: dict[Contract, Inputs] = {}
    told: set[Contract] = set()
    for app, value in zip(apps, values, strict=True):
        first = app.contract not in told
        told.add(app.contract)
        if value is None:
            continue
        if not first:
            invalid("x on a second app of a contract", got=str(app))
        public[app.contract] = read_inputs(value)
    return public


def _proofs(proof: bytes, contracts: int) -> tuple[ContractProof, ...]:
    size = 2 + PROOF_SIZE
    if len(proof) < 5 or proof[:4] != MAGIC:
        invalid("proof: shorter than magic and count")
    count, body = proof[4], proof[5:]
    if len(body) != count * size:
        invalid("proof: length", got=len(body), expected=f"{count} x {size}")
    entries = tuple(
        ContractProof(body[at], body[at + 1], body[at + 2 : at + size])
        for at in range(0, len(body), size)
    )
    order = [entry.contract for entry in entries]
    strictly_rising("proof order", order)
    if order and order[-1] >= contracts:
        invalid("proof order: contract index", got=order[-1], expected=f"below {contracts}")
    return entries
