"""The one error of the judge."""

from __future__ import annotations


class Unsafe(AssertionError):
    """An invariant does not hold. The text begins with its name and a colon."""
