"""Brings a new instance's Hello to the other operators and their grants back (ROUNDS.md, rule 6).

The carrier is an operator's own host, and trusted with nothing: what it drops or delays keeps its
own enclave from voting, and what it invents is refused there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from grail.errors import Unavailable
from grail.operators.asking import Operators
from grail.operators.frames import Frame, Reply
from grail.operators.messages import Family

Own = Callable[[Frame], Awaitable[Reply]]
"""Asks the own enclave."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """An instance that may vote again: its epoch, who granted it, and what could not be found.

    `accusers` granted too, but were left out: their V says of another who granted that it was
    replaced. `lacking` are families whose body nobody gave.
    """

    epoch: int
    grantors: tuple[int, ...]
    accusers: tuple[int, ...] = ()
    lacking: tuple[Family, ...] = ()


async def recover(own: Own, operators: Operators, index: int) -> Recovered:
    """Make the own enclave, operator `index`, its operator's newest instance.

    Raises `QuorumNotReached` when too few others grant it an epoch, `Refused` when the own enclave
    needs none or refuses what the others sent.
    """
    raise Unavailable("no operator was asked yet")
