"""One line that says what a long call is doing, in a terminal and in a notebook alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm  # type: ignore[import-untyped]  # it ships no types

Step = Callable[[str], None]
"""Says that the next step begins."""


class Showing:
    """A bar of some steps; each call names the step that begins."""

    def __init__(self, what: str, steps: int, *, shown: bool) -> None:
        self._what = what
        self._done = -1
        self._bar = tqdm(
            total=steps,
            desc=what,
            leave=False,
            disable=not shown,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}",
        )

    def __call__(self, step: str) -> None:
        """The step before is done; this one begins."""
        self._done += 1
        if self._done:
            self._bar.update(1)
        self._bar.set_description(f"{self._what}: {step}", refresh=True)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


@contextmanager
def showing(what: str, steps: int, *, shown: bool) -> Iterator[Step]:
    """A bar while the block runs."""
    bar = Showing(what, steps, shown=shown)
    try:
        yield bar
    finally:
        bar.close()
