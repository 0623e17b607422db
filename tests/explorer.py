"""Visits all states of small instances on the real acceptors, and prints what it saw (ROUNDS.md).

    python tests/explorer.py [--large]

Two searches: `exploration.ballots`, without restarts, over any number of rounds; and
`exploration.messages`, over every interleaving, with a second instance of operator 0. At every
state no two decisions in conflict can be made of all messages ever sent, so no two signatures are
in conflict either; and from every state, with any quorum up, an honest coordinator finishes
whatever is not in conflict with something finished. `exploration.guards` takes the rules' guards
out one by one and prints how the acceptors then go wrong.

What it does not show: two operators that restart, restarts with overlapping sets, more than one
classic ballot beside a restart, n = 16 itself. The simulator plays those by chance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(ROOT / folder) for folder in ("sdk", "enclave", "devnet", "tests")]

from exploration.ballots import Ballots
from exploration.guards import GUARDS, Counterexample, counterexample
from exploration.instances import signed_once
from exploration.messages import Messages
from exploration.search import Explored, Model, Progress, search

__all__ = ["LARGE", "SMALL", "Counterexample", "Explored", "counterexamples", "explore", "run_all"]

ONE = {"A": "a", "B": "a"}
CHAIN = {"A": "a", "B": "ab", "C": "b"}

Run = tuple[Callable[[], Model], str]
"""What to search, and what it means to have come to the end of it."""

SMALL: Mapping[str, Run] = {
    "2 rivals, any rounds": (partial(Ballots, n=4, quorum=3, spends=ONE), "closed"),
    "{a,b} {b,c}, any rounds": (
        partial(Ballots, n=4, quorum=3, spends={"A": "ab", "B": "bc"}),
        "closed",
    ),
    "every order, 2 rivals, ballots 0 and (1,A)": (
        partial(Messages, n=4, quorum=3, spends=ONE, ballots=((1, "A"),)),
        "exhausted",
    ),
    "operator 0 twice, 2 rivals, ballots 0 and (1,A)": (
        partial(
            Messages, n=4, quorum=3, spends=ONE, ballots=((1, "A"),), restart=True, shown=False
        ),
        "exhausted",
    ),
}
"""What `make test` visits."""

LARGE: Mapping[str, Run] = {
    **SMALL,
    "3 rivals on one outpoint, any rounds": (
        partial(Ballots, n=4, quorum=3, spends={"A": "a", "B": "a", "C": "a"}),
        "closed",
    ),
    "{a,b} {b,c} {c,a}, any rounds": (
        partial(Ballots, n=4, quorum=3, spends={"A": "ab", "B": "bc", "C": "ca"}),
        "closed",
    ),
    "n=5 q=4, 2 rivals, any rounds": (partial(Ballots, n=5, quorum=4, spends=ONE), "closed"),
    "{a} {a,b} {b}, in order of ballots, 2 rounds": (
        partial(Ballots, n=4, quorum=3, spends=CHAIN, most=2),
        "exhausted to that depth",
    ),
}
"""What `make accept` and `make nightly` visit."""


def explore(
    name: str, run: Run, progress: Progress | None = None, *, seconds: float | None = None
) -> Explored:
    """Visit all states of one instance."""
    make, verdict = run
    with signed_once():
        return search(make(name=name), verdict, progress, seconds=seconds)  # type: ignore[call-arg]


def run_all(large: bool = False, progress: Progress | None = None) -> list[Explored]:
    """Visit all states of each instance. Raises `AssertionError` at a state that must not be."""
    found = []
    for name, run in (LARGE if large else SMALL).items():
        seen = explore(name, run, progress)
        if progress:
            progress(str(seen))
        for wrong in seen.found:
            steps = "\n".join(step.text for step in wrong.steps)
            raise AssertionError(f"{name}: {wrong.what} after\n{steps}")
        found.append(seen)
    return found


def counterexamples(progress: Progress | None = None) -> list[Counterexample]:
    """One for each guard that is taken out; without a schedule where nothing went wrong."""
    found = []
    for guard in GUARDS:
        case = counterexample(guard, progress)
        if progress:
            progress(str(case))
        found.append(case)
    return found


def main(arguments: list[str]) -> int:
    """Print the table of runs and every counterexample."""
    explored = run_all("--large" in arguments, lambda text: print(text, file=sys.stderr))
    print("| run | states | transitions | deadlocks | violations | s of one core | verdict |")
    print("|---|---|---|---|---|---|---|")
    for run in explored:
        print(
            f"| {run.name} | {run.states:,} | {run.transitions:,} | {run.deadlocks} "
            f"| {run.violations} | {run.seconds:.1f} | {run.verdict} |"
        )
    cases = counterexamples()
    print()
    for case in cases:
        print(case, end="\n\n")
    good = sum(bool(case.schedule) for case in cases)
    print(f"counterexamples {good} of {len(cases)}")
    return 0 if good == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
