"""One line that says what a long call is doing, in a terminal and in a notebook alike."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm  # type: ignore[import-untyped]  # it ships no types

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
        self._done = -1
        self._readable_at = time.monotonic() + DELAY
        self._bar = tqdm(
            total=steps,
            desc=what,
            leave=False,
            disable=not (shown and watched()),
            delay=DELAY,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}",
        )

    def __call__(self, step: str) -> None:
        """The step before is done; this one begins."""
        self._done += 1
        if self._done:
            self._bar.update(1)
        refresh = time.monotonic() >= self._readable_at
        self._bar.set_description(f"{self._what}: {step}", refresh=refresh)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def watched() -> bool:
    """Whether somebody looks: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def showing(what: str, steps: int, *, shown: bool) -> Iterator[Step]:
    """A bar while the block runs."""
    bar = Showing(what, steps, shown=shown)
    try:
        yield bar
    finally:
        bar.close()
