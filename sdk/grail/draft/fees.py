"""Fees that come out of an output of the spell, where there is no change to absorb them."""

from __future__ import annotations

from collections.abc import Callable

from grail.draft.assembled import Assembled
from grail.errors import InvalidInput

_ROUNDS = 8


def at_rate(build: Callable[[int], Assembled], rate: int) -> Assembled:
    """Build with the smallest fee that pays `rate` sat per virtual byte.

    An amount's CBOR may grow or shrink by a few bytes with the fee that is taken off it, so the
    size is counted again until it fits. Raises `InvalidInput` as `build` does.
    """
    if rate < 1:
        raise InvalidInput(f"fee rate of {rate} sat/vB, expected at least 1")
    fee = 0
    for _ in range(_ROUNDS):
        built = build(fee)
        need = rate * built.vsize
        if need <= fee:
            return built
        fee = need
    raise InvalidInput("the fee does not settle", hint="take another amount")
