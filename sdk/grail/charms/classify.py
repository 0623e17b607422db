"""Which inputs and outputs a contract guards, and as what: ports, plain outputs, escrow rows.

Section 4 of the protocol. A port holds one state of the contract at its guarded address; a plain
output holds sats there and no charms; a row is an escrow whose address the spell's x rebuilds. What
lies at a guarded address and is neither port nor plain is `undeclared`, and a rule refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from grail.bitcoin import addresses
from grail.bitcoin.addresses import Roster
from grail.bitcoin.network import Network
from grail.bitcoin.taproot import TaprootOutput
from grail.charms.app import App, Contract, Data
from grail.charms.descriptor import IN, Bundle
from grail.charms.record import Record
from grail.charms.spell import Row
from grail.charms.state import kind_of
from grail.errors import InvalidInput

PORT = "port"
PLAIN = "plain"
ROW = "row"
UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True)
class Prevout:
    """What an input spends: sats, script, and the charms that its correct history gave it."""

    sats: int
    script: bytes
    charms: Mapping[App, Data]


@dataclass(frozen=True, slots=True)
class Place:
    """An input's prevout or an output below n_outs, at a guarded address or at an escrow of x.

    `role` is PORT, PLAIN, ROW or UNDECLARED; `kind` is the state's kind at a port; `output` tells
    how to spend it.
    """

    index: int
    role: str
    epoch: int
    output: TaprootOutput
    holds: Prevout
    kind: int | None = None


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row of x, with the escrow that its input turned out to be (None: no epoch fits)."""

    row: Row
    escrow: Place | None


@dataclass(frozen=True)
class Classes:
    """What a contract guards in this transaction, inputs and outputs in their order."""

    contract: Contract
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    rows: tuple[PlacedRow, ...]

    def places(self, side: int) -> tuple[Place, ...]:
        """The guarded inputs or outputs (rows are apart)."""
        return self.inputs if side == IN else self.outputs

    @cached_property
    def ports_in(self) -> Mapping[int, tuple[Place, ...]]:
        """The ports among the inputs by kind; a port's j is its position."""
        return _by_kind(self.inputs)

    @cached_property
    def ports_out(self) -> Mapping[int, tuple[Place, ...]]:
        """The ports among the outputs by kind."""
        return _by_kind(self.outputs)

    def ports(self, side: int) -> Mapping[int, tuple[Place, ...]]:
        """The ports of one side by kind."""
        return self.ports_in if side == IN else self.ports_out

    def plain(self, side: int) -> tuple[Place, ...]:
        """The plain inputs or outputs."""
        return tuple(place for place in self.places(side) if place.role == PLAIN)

    def plain_sats(self, side: int) -> int:
        """Their sats: V when the contract is zkBTC."""
        return sum(place.holds.sats for place in self.plain(side))

    @cached_property
    def escrows(self) -> tuple[Place, ...]:
        """The escrow inputs that rows name and that fit."""
        return tuple(row.escrow for row in self.rows if row.escrow is not None)

    @cached_property
    def signed(self) -> tuple[Place, ...]:
        """The inputs that the quorum signs for this contract: ports, plain inputs, rows."""
        guarded = tuple(place for place in self.inputs if place.role != UNDECLARED)
        return (*guarded, *self.escrows)


def classify(  # noqa: PLR0917 - pure: all that it looks at comes in
    contract: Contract,
    bundle: Bundle | None,
    prevouts: Sequence[Prevout],
    outputs: Sequence[Prevout],
    rows: Sequence[Row],
    record: Record,
    network: Network,
) -> Classes:
    """What the contract guards among these prevouts and these outputs below n_outs.

    Section 4. `bundle` may be None when nothing of the contract is guarded here.
    """
    scripts = guard_scripts(record.rosters, contract.gid(network))
    return Classes(
        contract,
        _places(contract, bundle, prevouts, scripts),
        _places(contract, bundle, outputs, scripts),
        tuple(_placed_row(contract, row, prevouts, record, network) for row in rows),
    )


@lru_cache(maxsize=1024)
def guard_scripts(
    rosters: tuple[Roster, ...], gid: bytes
) -> Mapping[bytes, tuple[int, TaprootOutput]]:
    """guard(K, e) for every e, by scriptPubKey; kept, since a tweak costs more than a lookup."""
    found: dict[bytes, tuple[int, TaprootOutput]] = {}
    for roster in rosters:
        output = addresses.guard(roster, gid)
        found[output.script_pubkey] = (roster.epoch, output)
    return found


def _places(
    contract: Contract,
    bundle: Bundle | None,
    entries: Sequence[Prevout],
    scripts: Mapping[bytes, tuple[int, TaprootOutput]],
) -> tuple[Place, ...]:
    places: list[Place] = []
    for index, entry in enumerate(entries):
        guarded = scripts.get(entry.script)
        if guarded is None:
            continue
        epoch, output = guarded
        kind = kind_of(entry.charms.get(contract.nft))
        declared = bundle.kinds.get(kind) if bundle is not None and kind is not None else None
        if declared is not None and not declared.free:
            places.append(Place(index, PORT, epoch, output, entry, kind))
        else:
            role = UNDECLARED if entry.charms else PLAIN
            places.append(Place(index, role, epoch, output, entry))
    return tuple(places)


def _placed_row(
    contract: Contract, row: Row, prevouts: Sequence[Prevout], record: Record, network: Network
) -> PlacedRow:
    if row.input >= len(prevouts):
        return PlacedRow(row, None)
    held = prevouts[row.input]
    eid = addresses.escrow_id(network, bytes(contract), row.owner_script, row.terms)
    for roster in reversed(record.rosters):
        try:
            output = addresses.escrow(roster, eid, row.n, row.user_key)
        except InvalidInput:  # the user's key is not on the curve
            break
        if output.script_pubkey == held.script:
            return PlacedRow(row, Place(row.input, ROW, roster.epoch, output, held))
    return PlacedRow(row, None)


def _by_kind(places: Sequence[Place]) -> dict[int, tuple[Place, ...]]:
    kinds: dict[int, list[Place]] = {}
    for place in places:
        if place.role == PORT and place.kind is not None:
            kinds.setdefault(place.kind, []).append(place)
    return {kind: tuple(found) for kind, found in kinds.items()}
