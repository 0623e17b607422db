"""What a pool's history costs an enclave that has just begun: in full, and by anchors.

    python benchmarks/history.py                   2,000 swaps
    python benchmarks/history.py 2000 10000        and their growth

In full: every transaction back to the mints is checked, in parts of 64 that fill the enclave's
cache one after the other, and at the end it votes for the next swap with no quorum's word taken.
By anchors: it votes for the same swap, on what twelve members signed before. Frames cross as bytes.
The chain is made with real proofs and kept in the cache folder; making it is not measured.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

# The packages first: beside a script, `tests/grail` would stand for `grail`.
sys.path[:0] = [
    str(Path(__file__).resolve().parents[1] / folder) for folder in ("sdk", "enclave", "tests")
]

from enclave_world import ask
from made_pool import TRADERS, MadePool

from grail import codec
from grail.operators import frames
from grail.operators.evidence import HistoryPart, SigningRequest, assemble
from grail.operators.full_history import ancestors, parts
from grail.types import Txid
from grail_enclave.enclave import Enclave

Progress = Callable[[str], None]


@dataclass
class Cost:
    """Seconds and bytes of one way to get ready for a vote."""

    wall: float = 0.0
    cpu: float = 0.0
    bytes: int = 0
    frames: int = 0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add what runs inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        self.frames += 1

    def __str__(self) -> str:
        return f"{self.wall:.2f} s, {self.cpu:.2f} s of CPU, {self.bytes:,} bytes"


@dataclass(frozen=True)
class Measured:
    """The figures of one size. `checked` counts the transactions with a spell, `proofs` theirs.

    `headers` is what both ways need besides: the headers and the deploy. `parts` is the CPU time
    of each part of the full history, in order: it must not grow.
    """

    swaps: int
    checked: int
    full: Cost
    anchored: Cost
    headers: Cost
    parts: tuple[float, ...]

    @property
    def drift(self) -> float:
        """CPU of the last third of the full parts by that of the first third: 1 when linear."""
        third = max(1, len(self.parts[:-1]) // 3)
        return sum(self.parts[:-1][-third:]) / sum(self.parts[:third])

    def __str__(self) -> str:
        full = self.full
        return (
            f"{self.swaps:,} swaps: in full {full} in {full.frames} frames, "
            f"{full.cpu / self.swaps * 1e3:.2f} ms of CPU and {full.bytes / self.swaps:,.0f} bytes "
            f"a swap, last third of the parts / first third {self.drift:.2f}; "
            f"by anchors {self.anchored}; headers and deploy in both {self.headers}"
        )

    def table(self) -> str:
        """The figures for people."""
        rows = [
            f"{self.swaps:,} swaps, {self.checked:,} transactions with a spell",
            f"{'':24}{'wall s':>10}{'CPU s':>10}{'bytes':>14}{'frames':>8}",
        ]
        for name, cost in (
            ("in full", self.full),
            ("by anchors", self.anchored),
            ("headers and deploy", self.headers),
        ):
            rows.append(
                f"{name:24}{cost.wall:10.3f}{cost.cpu:10.3f}{cost.bytes:14,}{cost.frames:8,}"
            )
        full, anchored = self.full, self.anchored
        n = self.swaps
        for name, wall, cpu, size in (
            ("in full, a swap", full.wall / n, full.cpu / n, full.bytes / n),
            ("by anchors, a swap", anchored.wall / n, anchored.cpu / n, anchored.bytes / n),
            (
                "in full / by anchors",
                full.wall / anchored.wall,
                full.cpu / anchored.cpu,
                full.bytes / anchored.bytes,
            ),
        ):
            rows.append(f"{name:24}{wall:10.5f}{cpu:10.5f}{size:14,.1f}")
        rows.append(f"last third of the parts / first third, CPU: {self.drift:.2f}")
        return "\n".join(rows)


def measure(swaps: int, progress: Progress = lambda _text: None) -> Measured:
    """Let two fresh enclaves get ready for the swap after so many, one each way.

    `swaps` is a multiple of 20, a block's worth. Raises AssertionError when an enclave refuses, or
    when the full way left something unchecked.
    """
    made = MadePool.with_swaps(swaps, progress)
    request = _request(made)
    progress(f"{swaps} swaps are there; by anchors")
    anchored, by_anchors = _ready(made)
    _vote(anchored, request, by_anchors.cost)
    progress("in full")
    enclave, in_full = _ready(made)
    known = made.known()
    order = ancestors([item.tx.txid for item in request.evidence], known)
    spent_on: list[float] = []
    for part in parts(order, known, made.bundles):
        before = in_full.cost.cpu
        _teach(enclave, part, in_full.cost)
        spent_on.append(in_full.cost.cpu - before)
    missing = [txid for txid in order if not _whole(enclave, txid)]
    assert not missing or len(order) > _held(enclave), f"not checked in full: {missing[:3]}"
    assert {tx.txid for tx in made.swaps} <= set(order)
    assert _whole(enclave, made.swaps[-1].txid), "the pool's newest output is not checked in full"
    _vote(enclave, _bare(request), in_full.cost)
    return Measured(
        swaps, len(order), in_full.cost, by_anchors.cost, in_full.headers, tuple(spent_on)
    )


@dataclass
class _Run:
    headers: Cost
    cost: Cost


def _ready(made: MadePool) -> tuple[Enclave, _Run]:
    """An enclave with headers and record, and what they cost."""
    world, run = made.world, _Run(Cost(), Cost())
    first, record = world.first_roster.fields(), world.deploy_record().to_value()
    headers = [header.serialize() for header in world.chain.headers]
    with run.headers.timed():
        enclave = world.bare()
        ask(enclave, frames.FIRST_ROSTER_ACCEPT, first).unwrap()
        ask(enclave, frames.RECORD, record).unwrap()
    run.headers.bytes = sum(map(len, headers)) + len(codec.encode(record))
    return enclave, run


def _request(made: MadePool) -> SigningRequest:
    """The next swap, with the evidence that a client assembles."""
    built, known = made.swap(), made.known()
    psbt = built.psbt(made.world.transactions, *TRADERS)
    return assemble(psbt, made.bundles, known)


def _bare(request: SigningRequest) -> SigningRequest:
    """The request without a word of any quorum: no prevouts, so no anchors."""
    items = tuple(replace(item, prevouts=None) for item in request.evidence)
    return replace(request, evidence=items)


def _teach(enclave: Enclave, part: HistoryPart, cost: Cost) -> None:
    body = part.to_value()
    cost.bytes += len(codec.encode(body))
    with cost.timed():
        judged, alarm = ask(enclave, frames.HISTORY, body).unwrap()
    wanted = sum(item.inclusion is not None for item in part.evidence)
    assert (judged, alarm) == (wanted, None), (judged, alarm)


def _vote(enclave: Enclave, request: SigningRequest, cost: Cost) -> None:
    cost.bytes += len(request.serialize())
    with cost.timed():
        ask(enclave, frames.VOTE, request.serialize()).unwrap()


def _whole(enclave: Enclave, txid: Txid) -> bool:
    anchors = enclave.anchors()
    verdict = anchors.verdicts.get(txid, anchors.headers.height_of)
    return verdict is not None and verdict.whole


def _held(enclave: Enclave) -> int:
    return len(enclave.anchors().verdicts)


def main() -> int:
    """Measure the sizes given, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("swaps", nargs="*", type=int, default=[2_000])
    found = []
    for swaps in parser.parse_args().swaps:
        found.append(measure(swaps, lambda text: print(text, file=sys.stderr)))
        print(found[-1].table(), end="\n\n")
    for before, after in itertools.pairwise(found):
        size = after.swaps / before.swaps
        print(
            f"{size:.1f} times the swaps: in full {after.full.cpu / before.full.cpu:.2f} times the "
            f"CPU, by anchors {after.anchored.cpu / before.anchored.cpu:.2f} times"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
