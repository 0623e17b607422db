"""The roster as its operators see it: who has a seat, what runs there, and who was heard of when.

What an operator says of its own view is unsigned; a table of all of them shows whether they agree.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import anyio

from grail.connection.display import Cell, Shown
from grail.connection.session import Session
from grail.errors import GrailError, Unavailable
from grail.operators.frames import ROSTER_VIEW, Frame
from grail.roster.shown import RosterShown
from grail.roster.state import RosterState, Seat
from grail.types import XOnlyKey


@dataclass(frozen=True, slots=True)
class Member:
    """A seat, and how the others see who sits there.

    `alive` and `attested` are seconds, the median of what the others say; None: never, or nobody
    answered. `in_step`: its view is the one that most have; None when it did not answer. `silent`:
    most of those that answered have had no sign of life of it for long; `height` is the highest
    block of which any of them heard it tell. `leaving`: it asks for a roster without it.
    """

    name: str
    seat: Seat
    alive: float | None
    attested: float | None
    in_step: bool | None
    guilty: bool
    silent: bool = False
    height: int | None = None
    leaving: bool = False


@dataclass(frozen=True, repr=False)
class RosterView(Shown):
    """The newest state that an operator agreed on, and what all of them say of its members.

    `links` has, for each member's name that answered, the names that it heard of within a minute
    and has not expelled.
    """

    state: RosterState
    members: tuple[Member, ...]
    links: Mapping[str, tuple[str, ...]]

    @property
    def shares(self) -> dict[str, Counter[str]]:
        """How many seats each owner, account and zone has."""
        return {what: self.state.shares(what) for what in ("owner", "account", "zone")}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; ages in seconds."""
        return {
            "number": self.state.number,
            "epoch": self.state.epoch,
            "quorum": self.state.quorum,
            "images": [[pcr.hex() for pcr in image] for image in self.state.images],
            "members": [
                {
                    "name": member.name,
                    "key": str(member.seat.key),
                    "owner": member.seat.owner,
                    "account": member.seat.account,
                    "zone": member.seat.zone,
                    "last_seen": member.alive,
                    "attested": member.attested,
                    "in_step": member.in_step,
                    "guilty": member.guilty,
                    "silent": member.silent,
                    "height": member.height,
                    "leaving": member.leaving,
                }
                for member in self.members
            ],
            "shares": {what: dict(counts) for what, counts in self.shares.items()},
        }

    def _title(self) -> str:
        state = self.state
        builds = ", ".join(image[0].hex()[:12] for image in state.images)
        return (
            f"roster state {state.number}, epoch {state.epoch}: {state.quorum} of "
            f"{len(state.seats)} sign; accepted builds (PCR0): {builds}"
        )

    def _head(self) -> Sequence[str]:
        return ("operator", "key", "owner", "zone", "attested", "last seen", "view")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        return [
            (
                member.name,
                str(member.seat.key)[:12],
                member.seat.owner,
                member.seat.zone,
                ago(member.attested),
                ago(member.alive),
                said_of(member),
            )
            for member in self.members
        ]


def ago(seconds: float | None) -> str:
    """An age for people."""
    if seconds is None:
        return "never"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{math.floor(seconds / size)} {unit} ago"
    return f"{math.floor(seconds)} s ago"


def said_of(member: Member) -> str:
    """A member's standing, in a word or two."""
    if member.guilty:
        return "expelled: two words for one number"
    if member.silent:
        return "silent" if member.height is None else f"silent since block {member.height:,}"
    if member.in_step is None:
        return "no answer"
    view = "in step" if member.in_step else "behind"
    return f"{view}, asks to leave" if member.leaving else view


def _seconds(milliseconds: Iterable[int | None]) -> float | None:
    known = [age for age in milliseconds if age is not None]
    return median(known) / 1_000 if known else None


async def roster_view(session: Session) -> RosterView:
    """Ask all operators. Raises `Unavailable` where none has a roster that it keeps in step."""
    operators = session.file.operators
    shown: dict[XOnlyKey, RosterShown] = {}

    async def ask(rank: int, key: XOnlyKey) -> None:
        try:
            reply = await session.transport.ask(rank, Frame(ROSTER_VIEW))
            shown[key] = RosterShown.from_fields(reply.unwrap())
        except GrailError:
            return  # a dead one says nothing, and is a row of the table

    async with anyio.create_task_group() as group:
        for rank, operator in enumerate(operators):
            group.start_soon(ask, rank, operator.key)
    states = [each.state for each in shown.values() if each.state is not None]
    if not states:
        raise Unavailable(
            "no operator shows a roster",
            hint="its operators are down, or do not attest to each other: grail devnet status",
        )
    names = {operator.key: operator.name for operator in operators}
    return together(max(states, key=lambda state: state.number), shown, names)


def together(
    state: RosterState, shown: Mapping[XOnlyKey, RosterShown], names: Mapping[XOnlyKey, str]
) -> RosterView:
    """One table from what each operator said."""
    (common, _), *_ = Counter(each.view for each in shown.values()).most_common(1)
    guilty = {key for each in shown.values() for key in each.guilty}

    def name(key: XOnlyKey) -> str:
        return names.get(key, str(key)[:12])

    def member(seat: Seat) -> Member:
        key = seat.key
        sights = [s for o, each in shown.items() for s in each.sights if s.key == key and o != key]
        return Member(
            name(key),
            seat,
            _seconds(sight.alive for sight in sights),
            _seconds(sight.attested for sight in sights),
            shown[key].view == common if key in shown else None,
            key in guilty,
            2 * sum(sight.silent for sight in sights) > len(sights),
            max((s.height for s in sights if s.height is not None), default=None),
            any(sight.leaving for sight in sights),
        )

    members = tuple(map(member, state.seats))
    links = {
        name(key): tuple(
            name(sight.key)
            for sight in each.sights
            if sight.key not in (key, *each.guilty)
            and sight.alive is not None
            and sight.alive <= 60_000
        )
        for key, each in shown.items()
    }
    return RosterView(state, tuple(sorted(members, key=lambda each: each.name)), links)
