"""What a target is, and when an execution of it is a finding."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grail.errors import GrailError, InvalidInput

INTERNAL = "internal fault of the native crate"
"""What the seam to Rust says of a panic: a refusal by its type, a finding by its meaning."""

ALLOWED = 64 << 20
"""Bytes of Python's own memory that one execution may take at once."""


class Finding(AssertionError):
    """An execution did what none may do; the cause says what."""


@dataclass(frozen=True)
class Target:
    """A decoder or an endpoint.

    `run` takes any bytes and returns, or raises one of `refusals`, within `seconds` of CPU.
    `seeds` makes real objects; `most` caps an input's length. An input is a finding when anything
    else happens: another error, an `AssertionError` of a round trip that does not close, too much
    time or memory.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    refusals: tuple[type[GrailError], ...] = (InvalidInput,)
    most: int = 4_096
    seconds: float = 2.0

    def once(self, raw: bytes) -> bool:
        """Run one input: whether it was taken. Raises `Finding`."""
        begun = time.process_time()
        try:
            self.run(raw)
            taken = True
        except self.refusals as exc:
            if INTERNAL in str(exc):
                raise Finding(f"{self.name}: a panic in the crate") from exc
            taken = False
        except Exception as exc:
            raise Finding(f"{self.name}: {type(exc).__name__}: {exc}"[:500]) from exc
        spent = time.process_time() - begun
        if spent > self.seconds:
            raise Finding(f"{self.name}: {spent:.1f} s of CPU, at most {self.seconds:g}")
        return taken

    def bounded(self, raw: bytes) -> bool:
        """As `once`, and the peak of memory is looked at too. Raises `Finding`."""
        tracemalloc.start()
        try:
            taken = self.once(raw)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if peak > ALLOWED:
            raise Finding(f"{self.name}: {peak >> 20} MiB at once, at most {ALLOWED >> 20}")
        return taken


def place(finding: BaseException) -> str:
    """Where a finding comes from, so that one fault is counted once: its error and last lines."""
    cause = finding.__cause__ or finding
    lines: list[str] = []
    trace = cause.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f"{code.co_filename.rpartition('/')[2]}:{code.co_name}")
        trace = trace.tb_next
    return f"{type(cause).__name__} in {' > '.join(lines[-3:])}"
