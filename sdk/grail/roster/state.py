"""A state of the roster: who has a seat, how many must sign, which images may run.

States are numbered from 0, each names the one before it, and the members of that one grant the
seats of the next (threat R1: a document says which code runs, not whose it is). `epoch` is the
chain's number of the roster that signs spends: it grows with a state that alters keys or quorum,
and stays where only seats' places or images change.

    digest = H("grail/roster/state/1", NET || canonical CBOR of `fields`)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from grail.attestation.attested import MEASURED
from grail.attestation.document import PCR_BYTES
from grail.attestation.verifier import Measurement
from grail.bitcoin.addresses import MAX_MEMBERS, Roster
from grail.codec import decode, encode
from grail.crypto.schnorr import tagged_hash
from grail.errors import InvalidInput
from grail.operators.attesting import MAX_IMAGES
from grail.operators.messages import Fields
from grail.types import XOnlyKey

NOTHING: Final = bytes(32)
"""In the place of the state before the first."""
MAX_NAME: Final = 64
MAX_STATE: Final = 56_000
"""Bytes of a state, so that it goes over a link in one message: 999 seats of short names."""


@dataclass(frozen=True, slots=True, order=True)
class Seat:
    """One operator's place: whose key it is, who runs it, by which account, in which zone.

    The names are for people and for caps; the ruling quorum vouches for them, nothing proves them.
    """

    key: XOnlyKey
    owner: str
    account: str
    zone: str

    def __post_init__(self) -> None:
        for what, name in (("owner", self.owner), ("account", self.account), ("zone", self.zone)):
            if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
                raise InvalidInput(
                    f"seat {self.key}: {what} {name[:MAX_NAME]!r}",
                    hint=f"1 to {MAX_NAME} printable characters",
                )


@dataclass(frozen=True)
class RosterState:
    """One numbered state. `images` are the accepted measurements: PCR0, 1 and 2 of each, rising.

    Raises `InvalidInput` for what can be no roster: keys that do not rise, a quorum of two thirds
    or less, an image of zeros, a predecessor of the first state (threat R3).
    """

    number: int
    previous: bytes
    epoch: int
    seats: tuple[Seat, ...]
    quorum: int
    internal_key: XOnlyKey
    images: tuple[tuple[bytes, ...], ...]

    def __post_init__(self) -> None:
        if not 0 <= self.number < 1 << 64 or len(self.previous) != 32:
            raise InvalidInput("roster state: number of 64 bits, previous of 32 bytes")
        if (self.number == 0) != (self.previous == NOTHING) or self.epoch > self.number:
            raise InvalidInput(
                f"roster state {self.number}: previous or epoch {self.epoch} do not fit"
            )
        if not 1 <= len(self.images) <= MAX_IMAGES or list(self.images) != sorted(set(self.images)):
            raise InvalidInput(f"roster state: 1 to {MAX_IMAGES} images, rising")
        _ = self.roster, self.measurements
        if 3 * self.quorum <= 2 * len(self.seats):
            raise InvalidInput(
                f"roster state: quorum {self.quorum} of {len(self.seats)}",
                hint="more than two thirds, so that two quorums share an honest member",
            )
        if len(self.serialize()) > MAX_STATE:
            raise InvalidInput(f"roster state: over {MAX_STATE} bytes", hint="shorter names")

    @cached_property
    def roster(self) -> Roster:
        """Who signs spends in this state's epoch."""
        return Roster(self.epoch, self.keys, self.quorum, self.internal_key)

    @cached_property
    def keys(self) -> tuple[XOnlyKey, ...]:
        """The members' keys, rising."""
        return tuple(seat.key for seat in self.seats)

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """The accepted images, as a verifier's policy wants them."""
        made = []
        for image in self.images:
            if len(image) != len(MEASURED):
                raise InvalidInput(f"roster state: an image has {len(MEASURED)} PCRs")
            made.append(Measurement(dict(zip(MEASURED, image, strict=True))))
        return tuple(made)

    def digest(self, network: bytes) -> bytes:
        """What its members sign, and what the next state names."""
        return tagged_hash("grail/roster/state/1", network + self._written)

    def shares(self, what: str) -> Counter[str]:
        """How many seats each owner, account or zone has; `what` is the field's name."""
        return Counter(getattr(seat, what) for seat in self.seats)

    def fields(self) -> list[Any]:
        """[number, previous, epoch, [[key, owner, account, zone]..], quorum, internal, images]."""
        return [
            self.number,
            self.previous,
            self.epoch,
            [[bytes(seat.key), seat.owner, seat.account, seat.zone] for seat in self.seats],
            self.quorum,
            bytes(self.internal_key),
            [list(image) for image in self.images],
        ]

    def serialize(self) -> bytes:
        """The canonical bytes."""
        return self._written

    @cached_property
    def _written(self) -> bytes:
        return encode(self.fields())

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read what `serialize` wrote. Raises `DecodeError` or `InvalidInput`."""
        parts = Fields(decode(raw, max_bytes=MAX_STATE, max_depth=4), "roster state", 7)
        return cls(
            parts.uint("number", 64),
            parts.blob("previous", 32),
            parts.uint("epoch", 64),
            tuple(_seat(item) for item in parts.items("seats", MAX_MEMBERS)),
            parts.uint("quorum", 16),
            XOnlyKey(parts.blob("internal key", 32)),
            tuple(_image(item) for item in parts.items("images", MAX_IMAGES)),
        )


def _seat(value: Any) -> Seat:
    parts = Fields(value, "seat", 4)
    return Seat(
        XOnlyKey(parts.blob("key", 32)),
        *(parts.text(name, MAX_NAME) for name in ("owner", "account", "zone")),
    )


def _image(value: Any) -> tuple[bytes, ...]:
    parts = Fields(value, "image", len(MEASURED))
    return tuple(parts.blob("PCR", PCR_BYTES) for _ in MEASURED)
