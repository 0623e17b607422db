"""What others made: their vectors pass, and each that does not apply says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "vectors"


def vectors() -> str:
    """Every published case is run, or listed with its reason."""
    from published.ledger import tally, total, unclaimed
    from published.sources import ELSEWHERE, SOURCES

    assert PUBLISHED.is_dir(), f"the published vectors are not at {PUBLISHED}"
    found = tally(PUBLISHED, SOURCES)
    whole = total(found.values())
    left_out = unclaimed(PUBLISHED, SOURCES, ELSEWHERE)
    lines = [f"{whole.passed:,} of {whole.applicable:,} passed"]
    lines[0] += f", not applicable {whole.reasons.total():,}"
    for name, own in found.items():
        away = f"{own.reasons.total():,}" if own.reasons else ""
        lines.append(f"  {name:18} {own.passed:6,} of {own.applicable:6,} {away:>6}")
    lines += [f"  not applicable: {n:4} {why}" for why, n in sorted(whole.reasons.items())]
    lines += [f"  counted elsewhere: {files} ({why})" for files, why in ELSEWHERE.items()]
    text = "\n".join(lines)
    assert not whole.failures, f"{text}\n" + "\n".join(whole.failures[:20])
    assert not left_out, f"{text}\nno source, or two, for {left_out}"
    return text


PROMISES: dict[str, Callable[[], str]] = {"vectors": vectors}
"""In the order of the issue."""
