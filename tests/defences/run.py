"""Switch each defence off in a copy of the tree, and see its test fail."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import a, c, d, g, r, rosters, s_chain, s_policy, s_requests, z
from .defence import Defence, issue_rows
from .judging import Verdicts, run_tests
from .scratch import Scratch, Unbuildable

DEFENCES: tuple[Defence, ...] = tuple(
    entry
    for part in (a, r, rosters, s_requests, s_chain, s_policy, c, g, z, d)
    for entry in part.DEFENCES
)

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Summary:
    """How many defences were switched off, how many turned their tests red, and which did not."""

    red: int
    total: int
    survivors: tuple[str, ...]
    rows: int
    """Rows of the issue's list with at least one defence, all of which turned red."""
    seconds: float


def chosen(threats: Sequence[str] = ()) -> tuple[Defence, ...]:
    """The defences of these rows, or all. Raises `ValueError` for a row without any."""
    for threat in threats:
        if not any(defence.threat == threat for defence in DEFENCES):
            raise ValueError(f"{threat}: no defence is listed for it")
    return tuple(entry for entry in DEFENCES if not threats or entry.threat in threats)


def switch_off(
    threats: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
    workers: int = WORKERS,
) -> Summary:
    """Take out each defence of these rows (all by default), one at a time."""
    begun = time.monotonic()
    # The crate's first build takes longest, so those go first.
    wanted = sorted(chosen(threats), key=lambda entry: not entry.native)
    # What no worker came to shows nothing: only its own run takes an entry out of here.
    faults: dict[Defence, str] = dict.fromkeys(wanted, "was not run")
    work: queue.SimpleQueue[Callable[[Scratch], None]] = queue.SimpleQueue()
    printing = threading.Lock()

    def tell(text: str) -> None:
        with printing:
            progress(text)

    green = Verdicts()

    def before(part: int) -> Callable[[Scratch], None]:
        tests = sorted({test for entry in wanted for test in entry.tests})[part::workers]

        def job(scratch: Scratch) -> None:
            found = run_tests(scratch, tests, timeout=1_200) if tests else Verdicts()
            with printing:
                green.passed |= found.passed
                green.red |= found.red
                green.broken |= found.broken

        return job

    def off(entry: Defence) -> Callable[[Scratch], None]:
        def job(scratch: Scratch) -> None:
            started = time.monotonic()
            fault = _survives(scratch, entry)
            if fault:
                faults[entry] = fault
            else:
                del faults[entry]
            said = f"NOT RED: {fault}" if fault else "red"
            tell(f"{entry.threat:4} {entry.place:52} {said} ({time.monotonic() - started:.1f} s)")

        return job

    def serve(name: str) -> None:
        scratch = Scratch(name)
        try:
            while True:
                try:
                    job = work.get_nowait()
                except queue.Empty:
                    return
                job(scratch)
        finally:
            scratch.remove()

    for part in range(workers):
        work.put(before(part))
    for entry in wanted:
        work.put(off(entry))
    threads = [threading.Thread(target=serve, args=(f"worker{i}",)) for i in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for entry in wanted:
        fault = green.why_not_green(entry.tests)
        if fault:
            tell(f"{entry.threat:4} {entry.place:52} NOT GREEN BEFORE: {fault}")
            faults[entry] = fault
    survivors = tuple(
        f"{entry.threat} {entry.place}: {faults[entry]}" for entry in wanted if entry in faults
    )
    fallen = {entry.threat for entry in faults}
    rows = {entry.threat for entry in wanted}.intersection(issue_rows()) - fallen
    return Summary(
        len(wanted) - len(survivors), len(wanted), survivors, len(rows), time.monotonic() - begun
    )


def _survives(scratch: Scratch, entry: Defence) -> str:
    """Empty when the defence's tests fail without it; else why that is not shown."""
    try:
        with scratch.without(entry.patches):
            return run_tests(scratch, entry.tests).why_not_red(entry.tests)
    except Unbuildable as exc:
        return f"the crate does not build: {exc}"
    except Exception as exc:  # noqa: BLE001 - whatever it is: it shows nothing of the guard
        return f"{type(exc).__name__}: {exc}"
