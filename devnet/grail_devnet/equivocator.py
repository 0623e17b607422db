"""A build with a fault in it, which a network was started to accept, and the lie that it can tell.

The enclave signs one state of each number (`grail_enclave.society`), and no image of it has a way
around that. A devnet that is told to (`Devnet(rogue="operator-04")`) makes a second image, with
some lines more in that module, accepts both from the start, and runs one operator with the second.
So the liar has a seat, an attested link to everybody, and its own key: the others have nothing but
its two words to judge it by (threat R5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grail.errors import InvalidInput, Refused, Unavailable
from grail.folders import private_folder
from grail.network_file import Operator
from grail.operators.frames import ROSTER_SAY, ROSTER_VIEW, Frame
from grail.roster.shown import RosterShown
from grail.roster.state import RosterState
from grail.types import XOnlyKey
from grail_devnet.enclave_socket import SocketTransport
from grail_devnet.image.changed import copied
from grail_devnet.image.measure import Image

LONGER = "app/grail_enclave/society.py"
"""The file with the fault in it."""

FAULT = b'''

from dataclasses import replace

from grail.roster.gossip import Give

_honest = Society.say


def _say(self, state, *more):
    """Of a number that is agreed on: say another state too, to every second peer alone."""
    if self._view is None or state.number >= self._view.open:
        return _honest(self, state, *more)
    said = (thing.inside for thing in self._view.things(state.number))
    own = next(each for each in said if getattr(each, "key", None) == self._key.public)
    word = replace(own, state=state.digest(self._ground.network)).signed(self._key, self._ground)
    for number in sorted(self._board._open.values())[::2]:
        self._board.post(number, Give((Thing(word),), [], ()).serialize())


Society.say = _say
'''


def build(image: Path, target: Path) -> Image:
    """Make the second image out of the first one's files. Raises `InvalidInput`."""
    private_folder(target.parent)
    return copied(image, target, LONGER, FAULT)


@dataclass(frozen=True, slots=True)
class Equivocated:
    """Two states of one number, each with the word of the same member."""

    operator: str
    key: XOnlyKey
    number: int
    states: tuple[bytes, bytes]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "operator": self.operator,
            "key": str(self.key),
            "number": self.number,
            "states": [state.hex() for state in self.states],
        }

    def __str__(self) -> str:
        first, second = (state.hex()[:24] for state in self.states)
        return (
            f"{self.operator} signed two states of number {self.number}\n"
            f"  {first}... to everybody, {second}... to every second peer"
        )


async def equivocate(operators: Sequence[Operator], name: str, network: bytes) -> Equivocated:
    """Have an operator's enclave sign another state of the newest number, for half of its peers.

    Raises `InvalidInput` for a stranger, `Refused` where the enclave has no such fault.
    """
    operator = next((each for each in operators if each.name == name), None)
    if operator is None:
        raise InvalidInput(f"no operator is called {name[:60]!r}")
    sockets = SocketTransport([operator.socket])
    shown = RosterShown.from_fields((await sockets.ask(0, Frame(ROSTER_VIEW))).unwrap())
    if shown.state is None:
        raise Unavailable(f"{name} has agreed on no state of the roster yet")
    other = _another(shown.state, operator.key)
    try:
        (await sockets.ask(0, Frame(ROSTER_SAY, other.serialize()))).unwrap()
    except Refused as exc:
        raise Refused(
            exc.rule,
            exc.detail,
            operator=exc.operator,
            got=exc.got,
            expected=exc.expected,
            hint=f"its build has no fault: start a network with --rogue {name}",
        ) from exc
    states = shown.state.digest(network), other.digest(network)
    return Equivocated(name, operator.key, shown.state.number, states)


def _another(state: RosterState, key: XOnlyKey) -> RosterState:
    """The same roster with this member's seat in another zone."""
    seats = (
        replace(seat, zone=f"not {seat.zone}") if seat.key == key else seat for seat in state.seats
    )
    return replace(state, seats=tuple(seats))
