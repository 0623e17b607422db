"""Hostile bytes: every fuzzer runs for a while, and none finds anything."""

from __future__ import annotations

import os
from collections.abc import Callable

EACH = 10_000
"""Executions of each fuzzer here; FUZZ_RUNS is another number, `make fuzz` the long campaign."""


def fuzzers() -> str:
    """Executions of each fuzzer, and crashes."""
    from fuzz import campaign

    wanted = int(os.environ.get("FUZZ_RUNS", EACH))
    outcomes = list(campaign.run(runs=wanted, at_once=2, under=campaign.FOLDER / "accept"))
    findings = [f"{each.name}: {what}" for each in outcomes for what in each.findings]
    least = min(outcomes, key=lambda each: each.executions)
    total = sum(each.executions for each in outcomes)
    lines = [f"fuzzers {len(outcomes)}, executions {total:,}, crashes {len(findings)} left"]
    lines += [f"  {each.name:24} {each.executions:10,}" for each in outcomes]
    text = "\n".join(lines)
    assert not findings, text + "\n" + "\n".join(findings)
    assert least.executions >= wanted, f"{text}\n{least.name} ended early"
    return text


PROMISES: dict[str, Callable[[], str]] = {"fuzzers": fuzzers}
"""In the order of the issue."""
