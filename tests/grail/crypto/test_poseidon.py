"""Poseidon's constants against the hash; circomlib's values are in tests/published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grail.crypto.poseidon import constants, poseidon
from grail.errors import InvalidInput
from grail.native import R


def from_constants(inputs: list[int]) -> int:
    """The permutation written out from the exported constants, as a gadget would."""
    t = len(inputs) + 1
    full, partial, added, mds = constants(t)
    state = [0, *inputs]
    for round_ in range(full + partial):
        state = [(x + added[round_ * t + i]) % R for i, x in enumerate(state)]
        every = not full // 2 <= round_ < full // 2 + partial
        state = [pow(x, 5, R) if every or i == 0 else x for i, x in enumerate(state)]
        state = [sum(m * x for m, x in zip(row, state, strict=True)) % R for row in mds]
    return state[0]


@pytest.mark.parametrize("count", range(1, 17))
def test_constants_define_the_hash(count: int) -> None:
    inputs = [R - 1 - i * i for i in range(count)]
    assert from_constants(inputs) == poseidon(inputs)


def test_chains_of_facts(vectors: Path) -> None:
    facts = json.loads((vectors / "protocol" / "facts.json").read_text())
    groups = [group for expansion in facts["expansions"] for group in expansion["groups"]]
    assert groups
    for group in groups:
        inputs = [int(group["h_before"]), *map(int, group["elements"])]
        assert poseidon(inputs) == int(group["h_after"])


@pytest.mark.parametrize("inputs", [[], [0] * 17, [R], [R + 1], [-1], [1 << 256]])
def test_refuses_what_it_cannot_hash(inputs: list[int]) -> None:
    with pytest.raises(InvalidInput):
        poseidon(inputs)


@pytest.mark.parametrize("t", [-1, 0, 1, 18, 1 << 70])
def test_refuses_widths_outside_the_table(t: int) -> None:
    with pytest.raises(InvalidInput):
        constants(t)
