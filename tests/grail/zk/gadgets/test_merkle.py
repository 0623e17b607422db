"""Membership paths: those that lead to the root, and the ways around it that must fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from forging import every_edit_is_refused, first_failure, forged

from grail.crypto.poseidon import poseidon as reference
from grail.errors import InvalidInput, Unsatisfied
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS
from grail.zk.gadgets.bits import Bool
from grail.zk.gadgets.merkle import assert_member, merkle_root
from grail.zk.program import evaluate

DEPTH = 4


@dataclass
class Tree:
    """A full tree in plain integers."""

    values: Sequence[int]

    def levels(self) -> list[list[int]]:
        levels = [[reference([value]) for value in self.values]]
        while len(levels[-1]) > 1:
            row = levels[-1]
            levels.append([reference(row[i : i + 2]) for i in range(0, len(row), 2)])
        return levels

    @property
    def root(self) -> int:
        return self.levels()[-1][0]

    def path(self, index: int) -> tuple[list[int], list[int]]:
        levels = self.levels()[:-1]
        siblings = [row[(index >> level) ^ 1] for level, row in enumerate(levels)]
        return siblings, [index >> level & 1 for level in range(len(levels))]


TREE = Tree([100 + i for i in range(1 << DEPTH)])


def member(depth: int = DEPTH) -> Circuit:
    circuit = Circuit()
    root, value = circuit.public("root"), circuit.private("value")
    siblings = [circuit.private(f"sibling{i}") for i in range(depth)]
    rights = [Bool.checked(circuit.private(f"right{i}")) for i in range(depth)]
    assert_member(value, siblings, rights, root)
    return circuit


CIRCUIT = member()


@pytest.mark.parametrize("index", [0, 1, 6, 9, 15])
def test_every_place_has_its_path(index: int) -> None:
    siblings, rights = TREE.path(index)
    CIRCUIT.solve([TREE.root, 100 + index, *siblings, *rights])
    constant = merkle_root(100 + index, siblings, [bool(right) for right in rights])
    assert constant.value == TREE.root


def test_a_wrong_value_sibling_side_or_root_is_refused() -> None:
    siblings, rights = TREE.path(6)
    good = [TREE.root, 106, *siblings, *rights]
    for at in range(len(good)):
        bad = [*good]
        bad[at] = 1 - bad[at] if at > 1 + DEPTH else bad[at] + 1
        with pytest.raises(Unsatisfied, match="another root"):
            CIRCUIT.solve(bad)
    with pytest.raises(Unsatisfied, match="another root"):
        assert_member(107, siblings, [bool(right) for right in rights], TREE.root)


def test_Z17_a_side_that_is_no_boolean_is_refused() -> None:
    """With side 2 a prover could mix node and sibling as he likes."""
    siblings, rights = TREE.path(6)
    for side in (2, MODULUS - 1, (MODULUS + 1) // 2):
        for level in range(DEPTH):
            bent = [*rights]
            bent[level] = side
            with pytest.raises(Unsatisfied, match="neither 0 nor 1"):
                CIRCUIT.solve([TREE.root, 106, *siblings, *bent])


def test_Z17_a_node_is_no_leaf() -> None:
    """The hash of two leaves, offered as a value one level up: a leaf has its own function."""
    levels = TREE.levels()
    shorter = member(DEPTH - 1)
    siblings, rights = TREE.path(6)
    inner = levels[1][3]
    for value in (inner, levels[0][6], 106):
        with pytest.raises(Unsatisfied):
            shorter.solve([TREE.root, value, *siblings[1:], *rights[1:]])


def test_Z17_a_path_of_another_length_has_no_witness() -> None:
    siblings, rights = TREE.path(6)
    with pytest.raises(InvalidInput, match="inputs"):
        CIRCUIT.solve([TREE.root, 106, *siblings[1:], *rights[1:]])
    deeper = member(DEPTH + 1)
    with pytest.raises(Unsatisfied):
        deeper.solve([TREE.root, 106, *siblings, 0, *rights, 0])


def test_Z1_nothing_is_free_and_nothing_can_be_edited() -> None:
    tree, circuit = Tree([100, 101]), member(1)
    siblings, rights = tree.path(1)
    inputs = [tree.root, 101, *siblings, *rights]
    assert circuit.free_signals(inputs) == ()
    assert every_edit_is_refused(circuit, inputs) == []
    honest = evaluate(circuit.program(), inputs)
    for wire in range(5, len(honest), 9):
        changed = {wire: (honest[wire] + 1) % MODULUS}
        assert first_failure(circuit, forged(circuit, inputs, changed)) is not None


@pytest.mark.parametrize(("siblings", "rights"), [(3, 2), (2, 3), (65, 65)])
def test_lists_that_do_not_fit_are_refused(siblings: int, rights: int) -> None:
    with pytest.raises(InvalidInput, match="merkle path"):
        merkle_root(1, [0] * siblings, [False] * rights)


def test_constraint_count_is_known() -> None:
    """A leaf of 213, for each level a side, a select and a hash of 240, and the root."""
    assert len(CIRCUIT.constraints) == 213 + DEPTH * (1 + 1 + 240) + 1
