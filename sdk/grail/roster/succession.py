"""What may follow a state of the roster: number, epoch, how much may change, who may hold what.

Each enclave checks a proposal by these rules before it votes for it, so that no host and no owner
of a few seats can push a change through that the rules forbid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from grail.crypto.schnorr import NUMS
from grail.errors import InvalidInput, Refused
from grail.roster.state import RosterState


@dataclass(frozen=True, slots=True)
class SeatPolicy:
    """Caps of a roster. 0 lets any number pass; each cap is a count of seats.

    `churn`: seats that may come and seats that may go in one step (threat R15). `per_owner`,
    `per_account` and `per_zone`: what one of them may hold (threat R2).
    """

    churn: int = 4
    per_owner: int = 4
    per_account: int = 4
    per_zone: int = 0

    def __post_init__(self) -> None:
        if min(self.churn, self.per_owner, self.per_account, self.per_zone) < 0:
            raise InvalidInput("seat policy: caps are 0 or more")

    def concentrated(self, state: RosterState) -> tuple[tuple[str, str, int, int], ...]:
        """Who holds more than a cap allows: (what, name, seats, cap)."""
        caps = {"owner": self.per_owner, "account": self.per_account, "zone": self.per_zone}
        return tuple(
            (what, name, count, cap)
            for what, cap in caps.items()
            for name, count in sorted(state.shares(what).items())
            if cap and count > cap
        )

    def check_shares(self, state: RosterState) -> None:
        """Raise `Refused` RosterInvalid where somebody holds more seats than he may."""
        for what, name, count, cap in self.concentrated(state):
            raise Refused(
                "RosterInvalid",
                f"seats of one {what}: {name}",
                got=str(count),
                expected=f"at most {cap}",
                hint="spread the seats over more owners, accounts and zones",
            )


def check_follows(
    before: RosterState, after: RosterState, network: bytes, policy: SeatPolicy
) -> None:
    """Raise `Refused` RosterInvalid unless `after` may follow `before`."""
    linked(before, after, network)
    old, new = set(before.keys), set(after.keys)
    for what, changed in (("new", new - old), ("leaving", old - new)):
        if policy.churn and len(changed) > policy.churn:
            _refuse(f"{what} seats in one step", len(changed), f"at most {policy.churn}")
    if after.internal_key != NUMS:
        _refuse("the internal key", after.internal_key, NUMS)
    if not set(before.images) & set(after.images):
        _refuse("images that stay", 0, "at least one, so that whoever decides it can go on")
    policy.check_shares(after)


def following(before: RosterState, network: bytes, **changes: Any) -> RosterState:
    """The state that follows `before` with these fields changed, and nothing else.

    Raises `InvalidInput` for what can be no state.
    """
    changes |= {"number": before.number + 1, "previous": before.digest(network)}
    return replace(before, **changes)


def changed(
    before: RosterState, network: bytes, images: Sequence[tuple[bytes, ...]]
) -> RosterState:
    """The state that follows `before` with other images and nothing else changed.

    Raises `Refused` RosterInvalid for images that are none, too many, or not rising.
    """
    try:
        return following(before, network, images=tuple(images))
    except InvalidInput as exc:
        raise Refused("RosterInvalid", str(exc)) from exc


def linked(before: RosterState, after: RosterState, network: bytes) -> None:
    """Raise `Refused` RosterInvalid unless numbers, digests and epochs of the two fit."""
    if after.number != before.number + 1:
        _refuse("number", after.number, before.number + 1)
    if after.previous != before.digest(network):
        _refuse("previous state", after.previous.hex(), before.digest(network).hex())
    same = (before.keys, before.quorum, before.internal_key) == (
        after.keys,
        after.quorum,
        after.internal_key,
    )
    expected = before.epoch if same else before.epoch + 1
    if after.epoch != expected:
        _refuse("epoch", after.epoch, expected)


def _refuse(what: str, got: object, expected: object) -> None:
    raise Refused("RosterInvalid", f"roster state: {what}", got=str(got), expected=str(expected))
