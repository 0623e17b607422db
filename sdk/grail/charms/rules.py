"""When a spell is correct: steps 6 to 12 of section 9, as one ordered list of rules.

`correct` is pure: the transaction, its prevouts with their charms, the bundles, the roster record
and the height come in; a `CheckedTx` or the first refusal comes out. The same function serves a
signing request, an ancestor in a history, and the index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from grail.charms.app import App, Contract, Data
from grail.charms.descriptor import Action, Bundle
from grail.charms.record import Record
from grail.charms.spell import Spell

if TYPE_CHECKING:
    from grail.bitcoin.network import Network
    from grail.bitcoin.taproot import Leaf, TaprootOutput
    from grail.bitcoin.tx import Tx

Verify = Callable[[bytes, Sequence[int], bytes], None]
"""The proof verifier: verifying key, public inputs, proof; raises `ProofInvalid`."""


@dataclass(frozen=True, slots=True)
class Prevout:
    """What an input spends: sats, script, and the charms that its correct history gave it."""

    sats: int
    script: bytes
    charms: Mapping[App, Data]


@dataclass(frozen=True, slots=True)
class QuorumInput:
    """An input that the quorum of `epoch` signs, by which leaf of which output, and as what."""

    index: int
    contract: Contract
    kind: str  # "port", "plain" or "row"
    epoch: int
    output: TaprootOutput
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class CheckedContract:
    """What one contract does here.

    `standing` is "kept", "action", "move" or "successor"; the rest is set for an action.
    """

    contract: Contract
    standing: str
    action: Action | None
    facts: tuple[int, ...]
    digest: bytes
    public_inputs: tuple[int, ...]


@dataclass(frozen=True)
class CheckedTx:
    """A transaction whose spell is correct. Made by `correct` alone.

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


class Rule(Protocol):
    """One rule: its refusal's name, the threats it answers, and the check."""

    @property
    def name(self) -> str:
        """The refusal's name in the protocol."""

    @property
    def threats(self) -> tuple[str, ...]:
        """Ids of the threats that this rule answers."""


RULES: tuple[Rule, ...] = ()
"""The shipped rules, in the order of section 9, steps 6 to 12."""


def correct(
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
) -> CheckedTx:
    """Check a transaction's spell by every rule in order, or raise the first refusal.

    `bundles` by vk. `height` is the confirming height, or tip + 1 while unconfirmed; only what is
    `confirmed` enjoys a retired roster's grace. `record` may or may not hold the epoch that this
    transaction itself makes. Raises `SpellIncorrect`, or `ProofInvalid`'s rule as one.
    """
    raise NotImplementedError


def outputs_allowed(checked: CheckedTx) -> None:
    """Step 13, for signing alone: past n_outs one OP_RETURN and at most one change, to no guard.

    Raises `SpellIncorrect` with rule OutputForbidden.
    """
    raise NotImplementedError
