"""How many rounds of gossip until all views of a roster are equal, at 16, 100 and 1,000 operators.

In a round each operator talks to one other, drawn by chance. All say a new state at once, each to
itself alone; then everybody has to hear everybody. Keys, signatures and messages are real ones; a
signature that one view checked is remembered for the others, or a thousand of them would check a
million. A roster has 999 seats at most: whoever comes beyond them is a newcomer that knows nothing
but the first roster.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

if __name__ == "__main__":  # the packages first: beside a script, `grail` would be `tests/grail`
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "sdk"), str(Path(__file__).parent)]

from roster_world import OTHER_IMAGE, Network, following, spare

from grail.bitcoin.addresses import MAX_MEMBERS
from grail.crypto import schnorr
from grail.types import XOnlyKey

SIZES = (16, 100, 1_000)
MOST = 40


@dataclass(frozen=True, slots=True)
class Convergence:
    """Of so many operators: rounds until equal, bytes that each sent, seconds it took here."""

    operators: int
    rounds: int
    sent: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.operators:,} in {self.rounds} rounds ({self.sent / 1_000:,.0f} KB each)"


@contextmanager
def remembered() -> Iterator[None]:
    """Within it a signature is checked once, whoever asks."""
    right = schnorr.verify
    known: set[tuple[bytes, bytes, bytes]] = set()

    def verify(key: XOnlyKey, digest: bytes, signature: bytes) -> None:
        name = (bytes(key), digest, signature)
        if name not in known:
            right(key, digest, signature)
            known.add(name)

    with patch.object(schnorr, "verify", verify):
        yield


def converge(operators: int, seed: int = 1, told: Callable[[str], None] = print) -> Convergence:
    """One new state, from everybody's own word to equal views."""
    begun = time.monotonic()
    with remembered():
        seats = min(operators, MAX_MEMBERS)
        net = Network.of(seats, seed)
        state = net.agreed_first()
        after = following(state, images=(OTHER_IMAGE,))
        for member in net.members:
            member.says(after)
        for number in range(operators - seats):
            net.join(spare(number))
        net.sent = 0
        rounds = 0
        while not net.equal():
            assert rounds < MOST, f"views differ after {rounds} rounds"
            net.round()
            rounds += 1
            told(f"{operators} operators: round {rounds}")
        assert net.agreed == {after}
    return Convergence(operators, rounds, net.sent // operators, time.monotonic() - begun)


if __name__ == "__main__":
    for size in map(int, sys.argv[1:] or SIZES):
        found = converge(size)
        print(found, f"{found.seconds:.0f} s")
