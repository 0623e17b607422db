"""The one place that counts published vectors: each case passes, fails, or has its reason.

A module of this package gives the cases of some files as `Case`s; `SOURCES` says which files. A
file of the folder that no source names is an error, so nothing is left out in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One published case. `check` raises when we disagree with it.

    A case with a `reason` does not apply; its check, where it has one, says how it is refused.
    """

    name: str
    check: Callable[[], None] | None
    reason: str = ""


@dataclass(frozen=True)
class Source:
    """Some files of the folder, and the cases in them."""

    name: str
    files: tuple[str, ...]
    cases: Callable[[Path], Iterator[Case]]


@dataclass
class Tally:
    """What a run over some sources found."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def applicable(self) -> int:
        """Cases that apply."""
        return self.passed + len(self.failures)

    def add(self, source: str, cases: Iterable[Case]) -> None:
        """Run cases and count them; a file that does not read as it should is a failure too."""
        try:
            listed = list(cases)
        except Exception as exc:  # noqa: BLE001 - whatever it is, no case is lost
            self.failures.append(f"{source}: {type(exc).__name__}: {exc}"[:300])
            return
        for case in listed:
            try:
                if case.check is not None:
                    case.check()
                elif not case.reason:
                    raise ValueError("neither a check nor a reason")  # noqa: TRY301 - counted below
            except Exception as exc:  # noqa: BLE001 - whatever stands in its way, the case fails
                self.failures.append(f"{source}, {case.name}: {type(exc).__name__}: {exc}"[:300])
                continue
            if case.reason:
                self.reasons[case.reason] += 1
            else:
                self.passed += 1

    def __str__(self) -> str:
        away = "; ".join(f"{count} {reason}" for reason, count in sorted(self.reasons.items()))
        text = f"{self.passed:,} of {self.applicable:,}, not applicable {self.reasons.total():,}"
        return f"{text} ({away})" if away else text


def tally(folder: Path, sources: Iterable[Source]) -> dict[str, Tally]:
    """Run all cases, by source."""
    found: dict[str, Tally] = {}
    for source in sources:
        own = found[source.name] = Tally()
        own.add(source.name, source.cases(folder))
        if not own.applicable and not own.reasons:
            own.failures.append(f"{source.name}: no case was found")
    return found


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    whole = Tally()
    for one in tallies:
        whole.passed += one.passed
        whole.failures += one.failures
        whole.reasons += one.reasons
    return whole


def unclaimed(folder: Path, sources: Iterable[Source], elsewhere: Iterable[str]) -> list[str]:
    """Files that no source names, and files that two name."""
    patterns = [pattern for source in sources for pattern in source.files] + [*elsewhere]
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    cases = [name for name in files if not name.endswith("SOURCES.md")]
    return [name for name in cases if sum(fnmatch(name, pattern) for pattern in patterns) != 1]
