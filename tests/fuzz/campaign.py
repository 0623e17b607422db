"""All fuzzers, and what came of them.

campaign.run(names, runs=1_000_000)      a number of executions each
campaign.run(names, seconds=600)         ten minutes each
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fuzz import native
from fuzz.table import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".cache" / "fuzz"
ONE = Path(__file__).with_name("one.py")
TAIL = 2_000
"""Characters of a fuzzer's last words that a finding repeats."""

NAMES = (*TARGETS, *(f"Rust {name}" for name in native.DECODERS))


@dataclass(frozen=True)
class Outcome:
    """What one fuzzer did: `findings` say what, and which file of `folder` brings it back."""

    name: str
    executions: int
    seconds: float
    findings: tuple[str, ...]
    folder: Path

    def __str__(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0
        return (
            f"{self.name:24} {self.executions:>10,} executions {len(self.findings):>3} crashes "
            f"{rate:>9,.0f}/s"
        )


@cache
def _binary() -> Path:
    return native.build()


def prepared(name: str, under: Path = FOLDER) -> Path:
    """The folder of a target, with its seeds; what earlier campaigns found worth keeping stays."""
    folder = under / name.replace(" ", "-").replace("'", "").replace("/", "-")
    decoder = name.removeprefix("Rust ")
    made = native.seeds(decoder) if decoder != name else TARGETS[name].seeds()
    for part in ("seeds", "corpus", "found"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for old in (*(folder / "found").iterdir(), *(folder / "seeds").iterdir()):
        old.unlink()
    for number, raw in enumerate(made):
        (folder / "seeds" / f"{number:03}").write_bytes(raw)
    (folder / "result.json").unlink(missing_ok=True)
    return folder


def fuzz(name: str, folder: Path, *, runs: int = 0, seconds: int = 0) -> Outcome:
    """One fuzzer until it has run so often or so long."""
    decoder = name.removeprefix("Rust ")
    if decoder != name:
        command = native.command(_binary(), decoder, folder, runs, seconds)
        environment = native.environment(decoder)
    else:
        command = [sys.executable, str(ONE), name, str(folder), str(runs), str(seconds)]
        environment = dict(os.environ)
    begun = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    taken = time.monotonic() - begun
    (folder / "log").write_text(done.stderr)
    if decoder != name:
        executions, findings = native.executions(done.stderr), []
    else:
        said = _result(folder)
        executions, findings = said["executions"], list(said["findings"].values())
    if done.returncode:
        findings.append(f"ended by {done.returncode}: {done.stderr[-TAIL:]}")
    return Outcome(name, executions, taken, tuple(findings), folder)


def _result(folder: Path) -> dict[str, object] | dict[str, dict[str, str]]:
    try:
        return json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        return {"executions": 0, "findings": {}}


def run(
    names: Iterable[str] = NAMES,
    *,
    runs: int = 0,
    seconds: int = 0,
    at_once: int = 1,
    under: Path = FOLDER,
    told: Callable[[Outcome], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Every fuzzer, in order; `told` hears of each when it is done.

    Two campaigns at the same time want two folders.
    """
    wanted = list(names)
    if any(name.startswith("Rust ") for name in wanted):
        _binary()
    folders = {name: prepared(name, under) for name in wanted}

    def one(name: str) -> Outcome:
        outcome = fuzz(name, folders[name], runs=runs, seconds=seconds)
        told(outcome)
        return outcome

    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(one, wanted)
