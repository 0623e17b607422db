"""One line that says what a long call is doing, in a terminal and in a notebook alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

DELAY = 0.4
"""Seconds below which a bar would only flicker."""

Step = Callable[[str], None]
"""Says that the next step begins."""


class Showing:
    """A bar of some steps; each call names the step that begins.

    It is drawn only where somebody looks, and only when it takes long enough to be read.
    """

    def __init__(self, what: str, steps: int, *, shown: bool) -> None:
        self._what = what
        self._steps = steps
        self._done = -1
        self._readable_at = time.monotonic() + DELAY
        self._cell = CellLine() if shown and "ipykernel" in sys.modules else None
        self._bar = tqdm(
            total=steps,
            desc=what,
            leave=False,
            disable=not (shown and sys.stderr.isatty()),
            delay=DELAY,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}",
        )

    def __call__(self, step: str) -> None:
        """The step before is done; this one begins."""
        self._done += 1
        if self._done:
            self._bar.update(1)
        readable = time.monotonic() >= self._readable_at
        self._bar.set_description(f"{self._what}: {step}", refresh=readable)
        if self._cell is not None and readable:
            self._cell.say(f"{self._what}: {step} ({self._done + 1} of {self._steps})")

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
        if self._cell is not None:
            self._cell.close()


class CellLine:
    """One line under a notebook's cell that is written over, and gone at the end.

    A bar on stderr would stay in the saved notebook, a line for each step.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def say(self, text: str) -> None:
        """Show a text in place of the one before."""
        shown = {"text/plain": text}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown, raw=True)

    def close(self) -> None:
        """Leave nothing."""
        if self._handle is not None:
            self._handle.update({}, raw=True)


@contextmanager
def showing(what: str, steps: int, *, shown: bool) -> Iterator[Step]:
    """A bar while the block runs."""
    bar = Showing(what, steps, shown=shown)
    try:
        yield bar
    finally:
        bar.close()
