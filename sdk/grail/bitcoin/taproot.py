"""Taproot outputs: leaves, tree, tweak, control blocks (BIP 341)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grail import native
from grail.bitcoin.script import p2tr
from grail.codec import cs
from grail.crypto.schnorr import tagged_hash
from grail.errors import InvalidInput
from grail.types import XOnlyKey

LEAF_VERSION = 0xC0
"""The leaf version of BIP 342, the only one whose scripts are checked today."""

MAX_DEPTH = 128
"""The deepest leaf that a control block can prove (BIP 341)."""


@dataclass(frozen=True, slots=True)
class TapScript:
    """A script that a tree shall hold; `name` finds its leaf again."""

    script: bytes
    name: str = ""
    version: int = LEAF_VERSION


Tree: TypeAlias = "TapScript | tuple[Tree, Tree]"
"""A leaf, or a branch of two trees."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a finished output: script, hash, and the control block that spends by it."""

    script: bytes
    leaf_hash: bytes
    control_block: bytes
    name: str = ""

    def witness(self, stack: Sequence[bytes]) -> tuple[bytes, ...]:
        """The witness that runs this leaf: the stack (bottom first), script, control block."""
        return (*stack, self.script, self.control_block)


@dataclass(frozen=True, slots=True)
class TaprootOutput:
    """A taproot output and all that spending it needs; no tree: `merkle_root` is empty."""

    script_pubkey: bytes
    output_key: XOnlyKey
    parity: int
    internal_key: XOnlyKey
    merkle_root: bytes
    leaves: tuple[Leaf, ...]

    def leaf(self, name: str) -> Leaf:
        """The leaf of this name. Raises `InvalidInput`."""
        for leaf in self.leaves:
            if leaf.name == name:
                return leaf
        known = ", ".join(leaf.name for leaf in self.leaves)
        raise InvalidInput(f"taproot output: no leaf {name!r}, it has {known or 'none'}")


def leaf_hash(script: bytes, version: int = LEAF_VERSION) -> bytes:
    """The hash of a leaf: k0 = H("TapLeaf", version || cs(script)) of BIP 341."""
    return tagged_hash("TapLeaf", bytes([version]) + cs(script))


def tweak(internal_key: XOnlyKey, merkle_root: bytes = b"") -> bytes:
    """What is added to the internal key: t = H("TapTweak", P || root)."""
    return tagged_hash("TapTweak", bytes(internal_key) + merkle_root)


def output(internal_key: XOnlyKey, tree: Tree | None = None) -> TaprootOutput:
    """The output of this internal key and tree; leaves in the tree's order, left to right.

    Raises `InvalidInput` when the key is not on the curve or the tree is deeper than 128.
    """
    leaves = list(_walk(tree, 0)) if tree is not None else []
    output_key, parity, merkle_root, found = native.taproot_output(
        bytes(internal_key), [(depth, leaf.version, leaf.script) for depth, leaf in leaves]
    )
    return TaprootOutput(
        p2tr(output_key),
        XOnlyKey(output_key),
        parity,
        internal_key,
        merkle_root,
        tuple(
            Leaf(leaf.script, hashed, control_block, leaf.name)
            for (_, leaf), (hashed, control_block) in zip(leaves, found, strict=True)
        ),
    )


def check_leaf(script_pubkey: bytes, leaf: Leaf) -> None:
    """Raise `Incorrect` unless the leaf and its control block lead to this output's key (BIP 341).

    Raises `InvalidInput` when the control block is none.
    """
    native.taproot_check_leaf(script_pubkey, leaf.script, leaf.control_block)


def _walk(tree: Tree, depth: int) -> Iterator[tuple[int, TapScript]]:
    if depth > MAX_DEPTH:
        raise InvalidInput(f"taproot tree: deeper than {MAX_DEPTH}")
    if isinstance(tree, TapScript):
        yield depth, tree
        return
    for branch in tree:
        yield from _walk(branch, depth + 1)
