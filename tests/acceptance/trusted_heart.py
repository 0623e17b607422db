"""What the enclave withstands: each defence alone, two models, all states, schedules, kills."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.campaigns import Campaign

ROOT = Path(__file__).resolve().parents[2]
PATHS = [str(ROOT / folder) for folder in ("sdk", "enclave", "devnet", "tests", "benchmarks")]
sys.path.append(PATHS[-1])

TRANSACTIONS = 20_000
SCHEDULES, PLAIN = 2_000, 2_000
USERS, SWAPS = 20, 200
HISTORY = 2_000


def first_seed() -> int:
    """`SEED` of the environment, or a fresh one; every line that used it names it."""
    return int(os.environ.get("SEED", "0")) or secrets.randbelow(1 << 48)


def progress(text: str) -> None:
    """Long work says where it is."""
    print(f"          {text}", flush=True)


def threats() -> str:
    """Every row of the list has a test, and every defence switched off turns one red."""
    from defences.defence import part
    from defences.run import DEFENCES, switch_off
    from threats import rows

    listed = rows()
    found = switch_off(progress=progress)
    green = Counter(part(survivor.split()[0]) for survivor in found.survivors)
    off = Counter(part(entry.threat) for entry in DEFENCES)
    asked = Counter(part(row.threat) for row in listed)
    tested = Counter(part(row.threat) for row in listed if row.tests)
    text = "; ".join(
        f"{of}: rows with test {tested[of]} of {asked[of]}, "
        f"defences switched off: red {off[of] - green[of]} of {off[of]}"
        for of in asked
    )
    missing = [row.threat for row in listed if not row.tests]
    assert (missing, found.survivors) == ([], ()), f"{text}; {missing} {found.survivors}"
    return text


def model() -> str:
    """The engine and the slow model over random transactions, most of them broken."""
    from model_campaign import compare

    seed = first_seed()
    found = compare(seed, TRANSACTIONS, progress)
    text = (
        f"{found.equal:,} of {found.total:,} verdicts equal, {found.correct:,} correct, seed {seed}"
    )
    assert found.equal == found.total == TRANSACTIONS, text
    assert TRANSACTIONS // 5 < found.correct < TRANSACTIONS // 2, text
    return text


def explorer() -> str:
    """All states of small instances, and a counterexample for each guard taken out."""
    from explorer import counterexamples, run_all

    explored = run_all(large=True, progress=progress)
    states = sum(run.states for run in explored)
    deadlocks = sum(run.deadlocks for run in explored)
    violations = sum(run.violations for run in explored)
    broken = counterexamples(progress)
    good = [case for case in broken if case.schedule]
    text = (
        f"{states:,} states of {len(explored)} instances, deadlocks {deadlocks}, "
        f"violations {violations}; counterexamples {len(good)} of {len(broken)}"
    )
    assert (deadlocks, violations) == (0, 0), text
    assert len(good) == len(broken) >= 5, text
    return text


def schedules() -> str:
    """Random schedules of rivals, faults, blocks and rosters over real enclaves."""
    seed = first_seed()
    living, plain = (
        _played(seed, count, alone) for count, alone in ((SCHEDULES, False), (PLAIN, True))
    )
    assert (living.schedules, plain.schedules) == (SCHEDULES, PLAIN), (living, plain)
    return (
        f"{SCHEDULES:,} of {SCHEDULES:,} hold I1 to I7, I11, I12, seed {seed}; {living}; "
        f"of rounds alone among sixteen {PLAIN} of {PLAIN}; {plain}"
    )


def _played(seed: int, count: int, alone: bool) -> Campaign:
    """Half of them in each of two processes."""
    half = count // 2
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as both:
        parts = [both.submit(_schedules, seed + first, half, alone) for first in (0, half)]
        one, two = (part.result() for part in parts)
    return one.merged(two)


def _schedules(first: int, count: int, alone: bool) -> Campaign:
    sys.path[:0] = PATHS
    from simulation.campaigns import campaign
    from simulation.schedule import drawn, living

    return campaign(first, count, progress, draw=drawn if alone else living)


def crowd() -> str:
    """Many users swap on one pool at once, with a reorganisation in the middle."""
    from crowd import play

    found = play(USERS, SWAPS, progress)
    text = (
        f"{found.completed} swaps by {USERS} users complete, difference {found.difference} sat, "
        f"{found.stuck} stuck; {found}"
    )
    assert (found.completed, found.difference, found.stuck) == (SWAPS, 0, 0), text
    assert min(found.rebased, found.reorged) > 0, text
    return text


def kills() -> str:
    """kill -9 of every process at every step."""
    from kills import survive

    found = survive(progress)
    text = f"{found.survived} of {found.kills} steps survived; {found}"
    assert found.survived == found.kills > 0, text
    return text


def history() -> str:
    """A fresh enclave and a pool's whole past."""
    from history import measure

    return f"{measure(HISTORY, progress)}"


PROMISES: dict[str, Callable[[], str]] = {
    "threats": threats,
    "model against engine": model,
    "explorer": explorer,
    "schedules": schedules,
    "crowd": crowd,
    "kills": kills,
    "history": history,
}
"""In the order of the issue; `crowd` is the issue's line of 200 swaps by 20 users."""
