"""What the rules establish: one type for each, made only when its check has passed."""

from __future__ import annotations

from dataclasses import dataclass

from grail.bitcoin.psbt import Psbt
from grail.bitcoin.tx import Tx
from grail.charms.record import Reign
from grail.charms.rules import Prevout
from grail.charms.spell import Spell
from grail.types import Txid, TxOut
from grail_enclave.caches import RequestBundles
from grail_enclave.history import History


@dataclass(frozen=True, slots=True)
class Parsed:
    """Step 1: the PSBT."""

    psbt: Psbt


@dataclass(frozen=True, slots=True)
class Shaped:
    """Step 2: the transaction with the witnesses of users."""

    tx: Tx


@dataclass(frozen=True, slots=True)
class Spent:
    """Step 3: what each input spends, from its full previous transaction."""

    prevouts: tuple[TxOut, ...]
    parents: tuple[Txid, ...]
    history: History
    bundles: RequestBundles


@dataclass(frozen=True, slots=True)
class Placed:
    """Step 4: where the parent of each input is confirmed (None: not yet)."""

    heights: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class ParentsSafe:
    """Step 4: how many unconfirmed transactions this one would hang on."""

    unconfirmed: int


@dataclass(frozen=True, slots=True)
class Viewed:
    """Step 5: the reign that rules at the next height."""

    reign: Reign


@dataclass(frozen=True, slots=True)
class Spelled:
    """Step 6: the one spell."""

    spell: Spell


@dataclass(frozen=True, slots=True)
class Charmed:
    """Step 7: every input with its charms."""

    prevouts: tuple[Prevout, ...]


@dataclass(frozen=True, slots=True)
class Deep:
    """Step 4 again, with the rows known: the height of each row's escrow, by input."""

    rows: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Payable:
    """Step 13: every output can be relayed and spent."""


@dataclass(frozen=True, slots=True)
class Fee:
    """Step 14: the fee and the true weight."""

    sats: int
    weight: int


@dataclass(frozen=True, slots=True)
class Timely:
    """Step 15: the transaction can be mined next, and the height that it shows is fresh."""


@dataclass(frozen=True, slots=True)
class Announced:
    """Step 15: a successor that is named counts no sooner than the delay allows."""


@dataclass(frozen=True, slots=True)
class Unhurried:
    """Step 16: no owner of an escrow can take it back soon."""


@dataclass(frozen=True, slots=True)
class Free:
    """Step 17: no rival stands in the way."""
