"""Poseidon over BN254's scalar field, with circomlib's parameters (x^5, 8 full rounds).

Width t = inputs + 1, t = 2 to 17; the state starts as (0, inputs) and the hash is its first element
after the last round. Fact chains (PROTOCOL section 6) use t = 17. The in-circuit gadget takes its
numbers from `constants`, so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from grail import native
from grail.errors import InvalidInput

MAX_INPUTS = 16
"""circomlib defines round numbers up to here."""


@cache
def constants(t: int) -> tuple[int, int, tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Full rounds, partial rounds, round constants (t a round, in order) and the MDS rows.

    Each round adds `round_constants[round * t : (round + 1) * t]`, raises to the fifth power (all
    elements in the first and last `full / 2` rounds, element 0 alone in the `partial` rounds
    between), then multiplies: new[i] = sum over j of mds[i][j] * old[j].

    Raises: InvalidInput when t is not 2 to 17.
    """
    full, partial, flat, matrix = native.poseidon_constants(t)
    rows = tuple(tuple(matrix[i * t : (i + 1) * t]) for i in range(t))
    return full, partial, tuple(flat), rows


def poseidon(inputs: Sequence[int]) -> int:
    """The hash of 1 to 16 field elements.

    Raises: InvalidInput when there are none or more than 16, or one is not in [0, r).
    """
    if not 1 <= len(inputs) <= MAX_INPUTS:
        raise InvalidInput(f"poseidon: got {len(inputs)} inputs, expected 1 to {MAX_INPUTS}")
    return native.poseidon(inputs)
