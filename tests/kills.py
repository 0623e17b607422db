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
from dataclasses import dataclass, field
from pathlib import Path

from kill_network import Sixteen, Small

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
    survived: int = 0
    by_victim: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    networks: int = 0
    seconds: float = 0.0

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
    result = Survived(seed)
    with tempfile.TemporaryDirectory(prefix="k") as folder:
        campaign = _Campaign(Path(folder), result, random.Random(seed), progress)
        try:
            campaign.run(only)
        except Exception as exc:
            raise AssertionError(f"{campaign.at} (seed {seed}): {exc}") from exc
        finally:
            campaign.close()
    result.seconds = time.monotonic() - begun
    return result


def sample(strikes: Sequence[Strike], chance: random.Random) -> list[Strike]:
    """Each victim twice, the slow manager once; each operation three times."""
    victims = [*VICTIMS, *VICTIMS[:-1]]
    operations = list(OPERATIONS) * 3
    chance.shuffle(operations)
    chosen = [
        chance.choice([s for s in strikes if (s.victim, s.operation) == wanted])
        for wanted in zip(victims, operations, strict=True)
    ]
    return sorted(chosen, key=strikes.index)


@dataclass
class _Campaign:
    folder: Path
    result: Survived
    chance: random.Random
    progress: Progress
    at: str = "before the first strike"
    sixteen: Sixteen | None = None
    small: Small | None = None

    def run(self, only: Choice | None) -> None:
        result = self.result
        for operation in OPERATIONS:
            self.at = f"{operation}, unharmed"
            result.steps[operation] = self._sixteen().steps(operation)
            self.progress(f"{operation}: {', '.join(result.steps[operation])}")
        strikes = [
            Strike(operation, step, victim)
            for operation, steps in result.steps.items()
            for step in steps
            for victim in VICTIMS
        ]
        chosen = strikes if only is None else only(strikes, self.chance)
        for strike in chosen:
            self.at = str(strike)
            result.kills += 1
            self._make(strike)
            result.survived += 1
            result.by_victim[strike.victim] += 1
            if result.kills % 10 == 0 or result.kills == len(chosen):
                self.progress(f"{result.survived} of {len(chosen)} survived; {strike}")
        self.at += ", and what came after it"
        if self.sixteen is not None:
            self.sixteen.settle()

    def _make(self, strike: Strike) -> None:
        if strike.victim == "manager":
            if self.small is None:
                self.small = Small(self.folder / "small", self.result.refused)
            self.small.strike(strike.operation, strike.step)
            self.result.networks += 1
            return
        sixteen = self._sixteen()
        sixteen.strike(strike.operation, strike.step, strike.victim)
        if sixteen.spent:
            sixteen.settle()
            self.sixteen = None
            sixteen.close()

    def _sixteen(self) -> Sixteen:
        if self.sixteen is None:
            self.sixteen = Sixteen(self.folder / "sixteen", self.chance, self.result.refused)
            self.result.networks += 1
        return self.sixteen

    def close(self) -> None:
        for network in (self.sixteen, self.small):
            if network is not None:
                network.close()
        self.sixteen = self.small = None
