"""Membership paths: a value stands at a place in a tree whose root is known.

Leaf = Poseidon of one element, node = Poseidon of two: the two functions differ in width, so no
leaf passes for a node (threat Z17). The depth is the number of siblings and fixed when the circuit
is built, so a path of another length has no witness.
"""

from __future__ import annotations

from collections.abc import Sequence

from grail.errors import InvalidInput
from grail.zk.field import Field, as_field, circuit_of
from grail.zk.gadgets.bits import Bool, as_bool, select
from grail.zk.gadgets.poseidon import poseidon

MAX_DEPTH = 64
"""Deeper than any tree that anyone can fill."""


def merkle_root(
    value: Field | int, siblings: Sequence[Field | int], rights: Sequence[Bool | bool]
) -> Field:
    """The root above `value`, given the sibling at each level from the leaf up.

    `rights` says at each level whether our node is the right one of the two; together, lowest level
    first, they are the bits of the leaf's index. Proves nothing by itself: state that the result is
    the root you know. That each entry of `rights` is 0 or 1 is `Bool`'s claim, so make them by
    `Bool.checked`.

    Raises: InvalidInput when the lists differ in length, or are longer than 64.
    """
    if len(siblings) != len(rights) or len(siblings) > MAX_DEPTH:
        raise InvalidInput(
            f"merkle path: got {len(siblings)} siblings and {len(rights)} sides, "
            f"expected as many, at most {MAX_DEPTH}"
        )
    node = poseidon([value])
    for sibling, right in zip(siblings, rights, strict=True):
        other = as_field(sibling)
        left = select(as_bool(right), other, node)
        node = poseidon([left, node + other - left])
    return node


def assert_member(
    value: Field | int,
    siblings: Sequence[Field | int],
    rights: Sequence[Bool | bool],
    root: Field | int,
) -> None:
    """State that `value` stands under `root` at the place that `rights` spell.

    Raises: InvalidInput as `merkle_root` does; Unsatisfied when all are constants and it does not.
    """
    known = as_field(root)
    circuit = circuit_of(known, as_field(value), *map(as_field, siblings))
    if circuit is None:
        merkle_root(value, siblings, rights).assert_equal(known, "the path ends at another root")
        return
    with circuit.statement("the path ends at another root", value=as_field(value), root=known):
        merkle_root(value, siblings, rights).assert_equal(known)
