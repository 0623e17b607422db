"""The roster as its operators see it: who has a seat, what runs there, and who was heard of when.

What an operator says of its own view is unsigned; a table of all of them shows whether they agree.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

import anyio

from grail.connection.display import Cell, Shown
from grail.connection.session import Session
from grail.errors import GrailError, Unavailable
from grail.operators.frames import ROSTER_VIEW, Frame
from grail.roster.shown import RosterShown, Sight
from grail.roster.state import RosterState, Seat
from grail.types import XOnlyKey


@dataclass(frozen=True, slots=True)
class Member:
    """A seat, and how the others see who sits there.

    `alive` and `attested` are seconds, the median of what the others say; None: never, or nobody
    answered. `in_step`: its view is the one that most have; None when it did not answer. `silent`:
    most of those that answered have had no sign of life of it for long; `height` is the highest
    block of which any of them heard it tell. `leaving`: it asks for a roster without it. `image` is
    PCR0 of its document as most of those that have a link to it saw it; where none has, what its
    own module says, and None where it did not answer.
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
    image: bytes | None = None


@dataclass(frozen=True, repr=False)
class RosterView(Shown):
    """The newest state that an operator agreed on, and what all of them say of its members.

    `links` has, for each member's name that answered, the names that it has an open link to, on
    which no answer is overdue, and has not expelled.
    """

    state: RosterState
    members: tuple[Member, ...]
    links: Mapping[str, tuple[str, ...]]

    @property
    def shares(self) -> dict[str, Counter[str]]:
        """How many seats each owner, account and zone has."""
        return {what: self.state.shares(what) for what in ("owner", "account", "zone")}

    @property
    def largest(self) -> dict[str, int]:
        """How many seats the largest owner, account and zone have (threat R2)."""
        return {what: max(counts.values()) for what, counts in self.shares.items()}

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
                    "image": None if member.image is None else member.image.hex(),
                    "last_seen": member.alive,
                    "attested": member.attested,
                    "in_step": member.in_step,
                    "guilty": member.guilty,
                    "silent": member.silent,
                    "height": member.height,
                    "leaving": member.leaving,
                    "links": list(self.links.get(member.name, ())),
                }
                for member in self.members
            ],
            "shares": {what: dict(counts) for what, counts in self.shares.items()},
            "largest": self.largest,
        }

    def _title(self) -> str:
        state, seats = self.state, len(self.state.seats)
        builds = ", ".join(image[0].hex()[:12] for image in state.images)
        largest = ", ".join(f"{what} {count} of {seats}" for what, count in self.largest.items())
        return (
            f"roster state {state.number}, epoch {state.epoch}: {state.quorum} of {seats} sign; "
            f"accepted builds (PCR0): {builds};\nlargest {largest}"
        )

    def _head(self) -> Sequence[str]:
        return (
            "operator", "key", "owner", "account", "zone", "PCR0", "attested", "last seen", "view",
        )  # fmt: skip

    def _rows(self) -> Sequence[Sequence[Cell]]:
        return [
            (
                member.name,
                str(member.seat.key)[:12],
                member.seat.owner,
                member.seat.account,
                member.seat.zone,
                "unknown" if member.image is None else member.image.hex()[:12],
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


class Standing(StrEnum):
    """What there is to say of a member, the gravest of it alone."""

    IN_STEP = "in step"
    LEAVING = "in step, asks to leave"
    BEHIND = "behind"
    BEHIND_LEAVING = "behind, asks to leave"
    NO_ANSWER = "no answer"
    SILENT = "silent"
    EXPELLED = "expelled"


def standing(member: Member) -> Standing:
    """A member's standing."""
    if member.guilty:
        return Standing.EXPELLED
    if member.silent:
        return Standing.SILENT
    if member.in_step is None:
        return Standing.NO_ANSWER
    if member.in_step:
        return Standing.LEAVING if member.leaving else Standing.IN_STEP
    return Standing.BEHIND_LEAVING if member.leaving else Standing.BEHIND


def said_of(member: Member) -> str:
    """A member's standing in a word or two, and what more is known of it."""
    found = standing(member)
    if found is Standing.EXPELLED:
        return f"{found}: two words for one number"
    if found is Standing.SILENT and member.height is not None:
        return f"{found} since block {member.height:,}"
    return str(found)


def _seconds(milliseconds: Iterable[int | None]) -> float | None:
    known = [age for age in milliseconds if age is not None]
    return median(known) / 1_000 if known else None


def _image(sights: Iterable[Sight]) -> bytes | None:
    """The image that most of them saw."""
    counts = Counter(sight.image for sight in sights if sight.image is not None)
    return max(counts, key=lambda image: (counts[image], image), default=None)


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
        own = [s for s in shown[key].sights if s.key == key] if key in shown else []
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
            _image(sights) or _image(own),
        )

    members = tuple(map(member, state.seats))
    links = {
        name(key): tuple(
            name(sight.key)
            for sight in each.sights
            if sight.linked and sight.key not in (key, *each.guilty)
        )
        for key, each in shown.items()
    }
    return RosterView(state, tuple(sorted(members, key=lambda each: each.name)), links)
