"""An enclave's view of the roster as its host gets it, for people: unsigned, and no evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from grail.bitcoin.addresses import MAX_MEMBERS
from grail.errors import DecodeError
from grail.operators.attesting import PCR_BYTES
from grail.operators.messages import Fields
from grail.roster.state import MAX_STATE, RosterState
from grail.types import XOnlyKey


@dataclass(frozen=True, slots=True)
class Sight:
    """How an enclave sees one member, in milliseconds; None for never.

    `alive`: since when it is known to have lived. `attested`: since its last document here.
    `silent`: nothing was heard of it for so long that it should be replaced. `height` is that of
    the best block in its newest heartbeat, `leaving` what it says there of its seat. `image` is
    PCR0 of the document that its open link is good by; of the enclave itself, what its own module
    says. `linked`: there is such a link, and no answer is overdue on it.
    """

    key: XOnlyKey
    alive: int | None
    attested: int | None
    silent: bool = False
    height: int | None = None
    leaving: bool = False
    image: bytes | None = None
    linked: bool = False

    def fields(self) -> list[Any]:
        """[key, alive, attested, silent, height, leaving, image, linked]."""
        ages = [self.alive, self.attested]
        said = [self.silent, self.height, self.leaving]
        return [bytes(self.key), *ages, *said, self.image, self.linked]


@dataclass(frozen=True, slots=True)
class RosterShown:
    """The state agreed on, the view's digest (equal digests are equal views), who is guilty.

    `links` is how many others there is an open link to.
    """

    links: int
    state: RosterState | None
    view: bytes
    guilty: tuple[XOnlyKey, ...]
    sights: tuple[Sight, ...]

    def fields(self) -> list[Any]:
        """[links, state, view, [key..], [sight..]]."""
        return [
            self.links,
            None if self.state is None else self.state.serialize(),
            self.view,
            [bytes(key) for key in self.guilty],
            [each.fields() for each in self.sights],
        ]

    @classmethod
    def from_fields(cls, value: Any) -> RosterShown:
        """Read what `fields` wrote. Raises `DecodeError` or `InvalidInput`."""
        parts = Fields(value, "roster shown", 5)
        links = parts.uint("links", 16)
        raw = parts.optional("state")
        state = None if raw is None else RosterState.parse(_blob(raw, MAX_STATE))
        view = parts.blob("view", 32)
        guilty = tuple(XOnlyKey(_blob(key, 32)) for key in parts.items("guilty", MAX_MEMBERS))
        return cls(
            links, state, view, guilty, tuple(map(_sight, parts.items("sights", MAX_MEMBERS)))
        )


def _blob(value: Any, most: int) -> bytes:
    return Fields([value], "roster shown").blob("bytes", most=most)


def _sight(value: Any) -> Sight:
    parts = Fields(value, "sight", 8)
    key = XOnlyKey(parts.blob("key", 32))
    alive, attested = _number(parts, "alive"), _number(parts, "attested")
    silent = _flag(parts, "silent")
    height, leaving = _number(parts, "height"), _flag(parts, "leaving")
    raw = parts.optional("image")
    image = None if raw is None else Fields([raw], "sight").blob("image", PCR_BYTES)
    return Sight(key, alive, attested, silent, height, leaving, image, _flag(parts, "linked"))


def _number(parts: Fields, name: str) -> int | None:
    found = parts.optional(name)
    if found is not None and (type(found) is not int or found < 0):
        raise DecodeError(f"sight: {name}, expected an integer from 0, or null")
    return found


def _flag(parts: Fields, name: str) -> bool:
    found = parts.optional(name)
    if type(found) is not bool:
        raise DecodeError(f"sight: {name} is neither true nor false")
    return found
