"""Whether the proof in a transaction is one of the spell in it.

SP1 proves that a program, named by its digest, ended well and returned certain bytes. Here those
bytes are rebuilt from the transaction, so that a proof holds for these inputs, these outputs and
this spell, or not at all:

    values   = CBOR of [the program's digest, the spell with the inputs and the coins]
    digest   = SHA-256 of values, its three top bits cleared
    proof    = prefix of the key (4), A, B, C (256)                          SP1 3 to 5
               prefix (4), exit code, vk root, nonce (32 each), A, B, C      SP1 6
    Groth16 checks A, B, C for: program, digest [, exit code, vk root, nonce]
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from grail import native
from grail.bitcoin.tx import Tx
from grail.charms.upstream import envelope, item
from grail.charms.upstream import spell as spells
from grail.charms.upstream.envelope import Envelope
from grail.charms.upstream.item import Item, Pairs
from grail.charms.upstream.spell import Spell
from grail.charms.upstream.versions import Coins, Inputs, Values, Version, version
from grail.errors import ProofInvalid, SpellIncorrect, Unavailable

Keys = Mapping[bytes, bytes]
"""Groth16 keys by the SHA-256 of their files."""

POINTS = 256
"""Bytes of A, B and C."""

_PREFIX, _FIELD = 4, 32


@dataclass(frozen=True, slots=True)
class Enchanted:
    """A transaction that carries a spell, taken apart; nothing of it is proven yet."""

    tx: Tx
    envelope: Envelope
    spell: Spell
    proof: bytes

    @property
    def canonical(self) -> bool:
        """Whether the payload is what upstream would write; a proof does not commit to that."""
        again = item.write((self.spell.committed(), tuple(self.proof)))
        return again == self.envelope.payload


def read(tx: Tx) -> Enchanted | None:
    """The spell of a transaction, None when it has none.

    Raises `SpellIncorrect`: TwoSpells, EnvelopeInvalid, SpellInvalid.
    """
    found = envelope.find(tx)
    if found is None:
        return None
    spell, proof = spells.parse(found.payload)
    if len(spell.outs) > len(tx.outputs):
        raise SpellIncorrect(
            "SpellInvalid",
            "the spell describes outputs that are not there",
            got=str(len(spell.outs)),
            expected=f"at most {len(tx.outputs)}",
        )
    return Enchanted(tx, found, spell, proof)


def public_values(enchanted: Enchanted) -> bytes:
    """What the program returned, if the proof holds. Raises `SpellIncorrect` (VersionUnknown)."""
    row = version(enchanted.spell.version)
    committed = enchanted.spell.committed(_ins(row, enchanted.tx), _coins(row, enchanted))
    program: Item = (
        f"0x{row.program.hex()}" if row.form.values is Values.TEXT else tuple(row.program)
    )
    return item.write((program, committed))


def digest(values: bytes) -> bytes:
    """SHA-256 with the three top bits cleared: a number below BN254's r."""
    hashed = hashlib.sha256(values).digest()
    return bytes([hashed[0] & 0x1F]) + hashed[1:]


def _ins(row: Version, tx: Tx) -> Item:
    seen = tx.inputs if row.form.inputs is Inputs.ALL else tx.inputs[:-1]
    return tuple(spent.outpoint.serialize() for spent in seen)


def _coins(row: Version, enchanted: Enchanted) -> Item:
    if row.form.coins is Coins.NONE:
        return None
    seen = enchanted.tx.outputs[: len(enchanted.spell.outs)]
    return tuple(
        Pairs((("amount", int(output.sats)), ("dest", tuple(output.script)))) for output in seen
    )


def verify(enchanted: Enchanted, keys: Keys) -> None:
    """Raise unless the proof is one of this spell in this transaction.

    Raises `SpellIncorrect`: MockSpell, ProofAbsent, VersionUnknown, ProofHeader, ProofInvalid;
    `Unavailable` when the version's key is not among `keys`. A version's age is another question:
    `versions.check_age`.
    """
    # Upstream publishes the key that mock proofs are made with; no table here has it (threat C4).
    if enchanted.spell.mock:
        raise SpellIncorrect("MockSpell", "the spell says of itself that its proof is a mock")
    if not enchanted.proof:
        raise SpellIncorrect("ProofAbsent", "the spell comes without a proof")
    row = version(enchanted.spell.version)
    fields, points = _header(row, enchanted.proof)
    key = keys.get(row.key.digest)
    if key is None or hashlib.sha256(key).digest() != row.key.digest:
        raise Unavailable(
            f"the Groth16 key of version {row.number} is not here: "
            f"a file with SHA-256 {row.key.digest.hex()}",
            hint="it is in the folder vk of the crate charms-client; see docs/charms.md",
        )
    statement = [row.program, digest(public_values(enchanted)), *fields]
    try:
        native.gnark_verify(key, statement, points)
    except ProofInvalid as exc:
        raise SpellIncorrect("ProofInvalid", str(exc)) from exc


def _header(row: Version, proof: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The fields in front of the points, checked: all but the nonce have one value (threat C6)."""
    fields = 3 if row.key.vk_root else 0
    size = _PREFIX + fields * _FIELD + POINTS
    if len(proof) != size:
        _refuse("length", f"{len(proof)} bytes", f"{size} bytes")
    if proof[:_PREFIX] != row.key.prefix:
        _refuse("key", proof[:_PREFIX].hex(), row.key.prefix.hex())
    points = proof[size - POINTS :]
    if not fields:
        return (), points
    exit_code, vk_root, nonce = (
        proof[at : at + _FIELD] for at in range(_PREFIX, size - POINTS, _FIELD)
    )
    if any(exit_code):
        _refuse("exit code", exit_code.hex(), "0")
    if vk_root != row.key.vk_root:
        _refuse("vk root", vk_root.hex(), row.key.vk_root.hex())
    if int.from_bytes(nonce, "big") >= native.R:
        _refuse("nonce", nonce.hex(), "a number below r")
    return (exit_code, vk_root, nonce), points


def _refuse(what: str, got: str, expected: str) -> NoReturn:
    raise SpellIncorrect("ProofHeader", f"{what} of the proof", got=got, expected=expected)
