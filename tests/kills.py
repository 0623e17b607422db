"""kill -9 of every process at every step of a peg-in, a swap and a peg-out (of I11 and I12).

The steps are no list: a client that says where it is (kill_client.py) does each operation once
unharmed, and what it said are the steps. Then, for each step and each victim, the operation is
done again, stopped at that step, the victim killed, and the operation let go on:

    host     any operator's; it is started again afterwards
    enclave  any operator's; its key is gone, so it counts as down from then on, four to a network
    node     started again with its chain; what the client meets meanwhile has to be a typed error
    client   another process of the same user, with the same files, asks for the same again
    manager  everything dies with it; the chain is salvaged, and every sat is found on it

Afterwards the operation is done, and done once (where no operator is left: refused, and its deposit
recovered); the books are exact, every file is whole. The next operation is another user's on the
same vault and pool, and has to complete: a lock that stayed would stop it.
"""

from __future__ import annotations

import random
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

from kill_network import Managed, Sixteen

OPERATIONS = ("peg-in", "swap", "peg-out")
VICTIMS = ("host", "node", "client", "enclave", "manager")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Strike:
    """Whom to kill, and where."""

    operation: str
    step: str
    victim: str

    def __str__(self) -> str:
        return f"{self.operation}, {self.victim} killed at {self.step!r}"


@dataclass
class Survived:
    """What was survived: `steps` by operation, strikes by victim, clean refusals by their kind."""

    seed: int
    steps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kills: int = 0
    by_victim: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    networks: int = 0
    seconds: float = 0.0
    failed: str = ""

    @property
    def survived(self) -> int:
        """How many strikes were survived."""
        return self.by_victim.total()

    def __str__(self) -> str:
        steps = ", ".join(f"{name} {len(steps)} steps" for name, steps in self.steps.items())
        victims = ", ".join(f"{victim} {self.by_victim[victim]}" for victim in VICTIMS)
        return (
            f"{steps}; {victims}; {sum(self.refused.values())} clean refusals on the way; "
            f"{self.networks} networks, {self.seconds:.0f} s, seed {self.seed}"
        )


Choice = Callable[[Sequence[Strike], random.Random], Sequence[Strike]]
"""Which of all strikes to make."""


def survive(
    progress: Progress = lambda _: None, only: Choice | None = None, seed: int | None = None
) -> Survived:
    """Make all strikes, or those that `only` chooses.

    Raises `AssertionError` naming operation, step, victim and seed.
    """
    begun = time.monotonic()
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    chance, result = random.Random(seed), Survived(seed)
    with tempfile.TemporaryDirectory(prefix="k") as folder:
        big, small = (
            Big(Path(folder), result, progress, chance),
            Small(Path(folder), result, progress),
        )
        with big, small:
            result.steps = big.record()
            strikes = [
                Strike(operation, step, victim)
                for operation, steps in result.steps.items()
                for step in steps
                for victim in VICTIMS
            ]
            chosen = strikes if only is None else only(strikes, chance)
            # Two cores, two lanes: a manager's networks are others than those of the rest.
            with ThreadPoolExecutor(2) as both:
                lanes = [both.submit(lane.make, chosen) for lane in (big, small)]
                for lane in as_completed(lanes):
                    lane.result()
    result.seconds = time.monotonic() - begun
    return result


def sample(strikes: Sequence[Strike], chance: random.Random) -> list[Strike]:
    """Each victim once and the client, who matters most, once more; each operation twice."""
    victims = [*VICTIMS, "client"]
    operations = list(OPERATIONS) * 2
    chance.shuffle(operations)
    chosen = [
        chance.choice([s for s in strikes if (s.victim, s.operation) == wanted])
        for wanted in zip(victims, operations, strict=True)
    ]
    return sorted(chosen, key=strikes.index)


@dataclass
class Lane:
    """Strikes one after the other; it stops when any lane has failed."""

    folder: Path
    result: Survived
    progress: Progress

    victims: ClassVar[tuple[str, ...]]

    def make(self, chosen: Sequence[Strike]) -> None:
        """Make those of the strikes that are this lane's. Raises `AssertionError` naming one."""
        mine = [strike for strike in chosen if strike.victim in self.victims]
        for number, strike in enumerate(mine, 1):
            if self.result.failed:
                return
            self.result.kills += 1
            self._try(str(strike), lambda strike=strike: self.strike(strike))
            self.result.by_victim[strike.victim] += 1
            if number % 10 == 0 or number == len(mine):
                self.progress(f"{number} of {len(mine)}: {strike}")
        if mine:
            self._try(f"after {mine[-1]}", self.settle)

    def _try(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as exc:
            self.result.failed = what
            raise AssertionError(f"{what} (seed {self.result.seed}): {exc}") from exc

    def strike(self, strike: Strike) -> None:
        """Make one."""
        raise NotImplementedError

    def settle(self) -> None:
        """Look whether others are served after the last one."""


@dataclass
class Big(Lane):
    """Hosts, the node, clients, enclaves: networks of sixteen, each until four enclaves are down."""

    chance: random.Random
    network: Sixteen | None = None

    victims = ("host", "node", "client", "enclave")

    def record(self) -> dict[str, tuple[str, ...]]:
        """The steps of each operation, done unharmed."""
        found = {}
        for operation in OPERATIONS:
            found[operation] = self._up().steps(operation)
            self.progress(f"{operation}: {', '.join(found[operation])}")
        return found

    def strike(self, strike: Strike) -> None:
        network = self._up()
        network.strike(strike.operation, strike.step, strike.victim)
        if network.spent:
            network.settle()
            self.close()

    def settle(self) -> None:
        if self.network is not None:
            self.network.settle()

    def _up(self) -> Sixteen:
        if self.network is None:
            where = self.folder / "sixteen"
            self.network = Sixteen(where, self.chance, self.result.refused)
            self.result.networks += 1
        return self.network

    def close(self) -> None:
        network, self.network = self.network, None
        if network is not None:
            network.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Small(Lane):
    """Managers: a network for each, and each over what the last one left."""

    victims = ("manager",)

    def strike(self, strike: Strike) -> None:
        self._networks.strike(strike.operation, strike.step)
        self.result.networks += 1

    @cached_property
    def _networks(self) -> Managed:
        return Managed(self.folder / "small", self.result.refused)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._networks.close()
