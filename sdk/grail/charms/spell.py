"""A spell: what a transaction does to charms, its bytes, its OP_RETURN, and the digest of a proof.

Sections 2 and 3 of the protocol. A spell is written in Charms' layout, version 15, as canonical
CBOR, and stands in one output `OP_RETURN "spell" <[spell, proof]>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from grail.charms.app import TOKEN, App, Contract, Data
from grail.types import XOnlyKey

if TYPE_CHECKING:
    from grail.bitcoin.network import Network
    from grail.bitcoin.tx import Tx

VERSION = 15
MAGIC = b"GRL1"
PROOF_SIZE = 128
MAX_PAYLOAD = 65_536
"""Bytes of the OP_RETURN's payload: 16 rows need some 4 KB; far below a node's own limit."""

MAX_ARGS = 8
MAX_ROWS = 32
MAX_TERMS = 8
MAX_PAYS = 8
MAX_SIGNERS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One escrow that a transaction settles: its input, its payout, and what rebuilds its address."""

    input: int
    output: int
    owner_script: bytes
    terms: tuple[int, ...]
    n: int
    user_key: XOnlyKey


@dataclass(frozen=True, slots=True)
class Inputs:
    """The public inputs x of a contract: args, rows, pays (output indexes), signers (input indexes)."""

    args: tuple[int, ...] = ()
    rows: tuple[Row, ...] = ()
    pays: tuple[int, ...] = ()
    signers: tuple[int, ...] = ()


NO_INPUTS = Inputs()
"""What x = null means: all four lists are empty."""


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
        raise NotImplementedError

    @cached_property
    def contracts(self) -> tuple[Contract, ...]:
        """The distinct contracts of the listed apps, sorted by bytes: what proofs index."""
        return tuple(sorted({app.contract for app in self.apps}))

    def inputs(self, contract: Contract) -> Inputs:
        """The public inputs of this contract; four empty lists when x is null."""
        return self.x.get(contract, NO_INPUTS)

    @cached_property
    def S(self) -> bytes:  # noqa: N802
        """The canonical bytes of the spell without its proof."""
        raise NotImplementedError

    def proof_bytes(self, proofs: Sequence[ContractProof] | None = None) -> bytes:
        """"GRL1" || count || (contract, action, proof) each."""
        raise NotImplementedError

    def op_return(self, proofs: Sequence[ContractProof] | None = None) -> bytes:
        """The script of the output that carries the spell; with its own proofs when none are given."""
        raise NotImplementedError


def parse(tx: Tx) -> Spell | None:
    """The one spell of a transaction, or None when it carries none.

    Section 2. Raises `SpellIncorrect` with rule TwoSpells, ForeignSpell or SpellInvalid.
    """
    raise NotImplementedError


def digest0(network: Network, tx: Tx, spell: Spell) -> bytes:
    """D0: the network, all outpoints, the first n_outs outputs, nLockTime and S."""
    raise NotImplementedError


def digest(d0: bytes, contract: Contract, action: int) -> bytes:
    """D = H("grail/proof/1", D0 || K || u8 action): what a proof is bound to."""
    raise NotImplementedError


def public_halves(digest_: bytes) -> tuple[int, int]:
    """The first two public inputs: the digest's halves as big-endian integers."""
    return int.from_bytes(digest_[:16], "big"), int.from_bytes(digest_[16:], "big")
