"""grail.bitcoin.taproot by BIP 341's rules; its wallet vectors are in tests/published."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail.bitcoin import taproot
from grail.bitcoin.script import p2wpkh
from grail.bitcoin.taproot import TapScript
from grail.crypto.schnorr import NUMS, tagged_hash
from grail.errors import Incorrect, InvalidInput
from grail.types import XOnlyKey

scripts = st.binary(max_size=40).map(TapScript)
trees = st.recursive(scripts, lambda inner: st.tuples(inner, inner), max_leaves=12)


def check_leaf(output, leaf):
    """BIP 341's rule for a script path, written out once more: the control block leads to the key."""
    assert leaf.control_block[0] == 0xC0 | output.parity
    assert leaf.control_block[1:33] == output.internal_key
    node = taproot.leaf_hash(leaf.script)
    assert node == leaf.leaf_hash
    path = leaf.control_block[33:]
    for at in range(0, len(path), 32):
        node = tagged_hash("TapBranch", b"".join(sorted([node, path[at : at + 32]])))
    assert node == output.merkle_root


@given(trees)
def test_every_control_block_proves_its_leaf(tree):
    output = taproot.output(NUMS, tree)
    for leaf in output.leaves:
        check_leaf(output, leaf)
        taproot.check_leaf(output.script_pubkey, leaf)
        other = replace(leaf, script=leaf.script + b"\x51")
        with pytest.raises(Incorrect):
            taproot.check_leaf(output.script_pubkey, other)
        with pytest.raises(InvalidInput):
            taproot.check_leaf(output.script_pubkey, replace(leaf, control_block=b"\xc0"))
    with pytest.raises(Incorrect):
        taproot.check_leaf(p2wpkh(bytes(20)), output.leaves[0])


def test_equal_leaves_keep_their_places():
    """The same script at two depths, and twice at one depth."""
    one, two = TapScript(b"\x51", "deep"), TapScript(b"\x51", "shallow")
    output = taproot.output(NUMS, ((one, TapScript(b"\x52", "other")), two))
    assert len(output.leaf("deep").control_block) == 33 + 64
    assert len(output.leaf("shallow").control_block) == 33 + 32
    twins = taproot.output(NUMS, (one, two))
    for leaf in (*output.leaves, *twins.leaves):
        check_leaf(output if leaf in output.leaves else twins, leaf)


def test_a_leaf_is_found_by_name():
    output = taproot.output(NUMS, (TapScript(b"\x51", "a"), TapScript(b"\x52", "b")))
    assert output.leaf("b").script == b"\x52"
    assert output.leaf("b").witness([b"x", b"y"]) == (
        b"x",
        b"y",
        b"\x52",
        output.leaf("b").control_block,
    )
    with pytest.raises(InvalidInput, match="no leaf 'c', it has a, b"):
        output.leaf("c")
    with pytest.raises(InvalidInput, match="none"):
        taproot.output(NUMS).leaf("a")


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32])
def test_an_internal_key_off_the_curve(key):
    with pytest.raises(InvalidInput, match="curve"):
        taproot.output(XOnlyKey(key))


@pytest.mark.parametrize("version", [0x50, 0xC1])
def test_leaf_versions_that_cannot_be(version):
    """0x50 would read as an annex, odd ones have the parity's bit set."""
    with pytest.raises(InvalidInput, match="leaf version"):
        taproot.output(NUMS, TapScript(b"\x51", version=version))


@pytest.mark.parametrize(("depth", "good"), [(128, True), (129, False)])
def test_depth(depth, good):
    tree = TapScript(b"\x51")
    for _ in range(depth):
        tree = (tree, TapScript(b"\x52"))
    if good:
        assert len(taproot.output(NUMS, tree).leaves[0].control_block) == 33 + 32 * 128
    else:
        with pytest.raises(InvalidInput, match="deeper than 128"):
            taproot.output(NUMS, tree)
