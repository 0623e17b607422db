"""The seam to Rust: its stub says what the extension has, its faults are ours."""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from grail import errors, native
from grail.errors import DecodeError, InvalidInput

STUB = Path(native.__file__).with_name("_native.pyi")
RAW = bytes.fromhex("0200000001" + "07" * 36 + "00fdffffff01" + "01" + "00" * 7 + "00" + "09000000")


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_the_stub_names_what_the_extension_has():
    tree = ast.parse(STUB.read_text())
    stated = {
        node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    assert public(stated) == public(vars(native._native))
    for name, node in stated.items():
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [ast.unparse(base) for base in node.bases]
        assert bases in ([], ["ValueError"])
        if not bases:
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            assert public(methods) == public(vars(getattr(native._native, name)))


def test_every_kind_of_decode_fault_is_a_class_of_ours():
    source = (Path(native.__file__).parents[1] / "native" / "src" / "edge.rs").read_text()
    body = source.split("pub enum Kind {")[1].split("}")[0]
    kinds = {line.strip(" ,") for line in body.splitlines() if line.strip().endswith(",")}
    assert kinds == set(native._DECODE)
    for kind in kinds:
        assert getattr(errors, kind) is native._DECODE[kind]
        assert issubclass(native._DECODE[kind], DecodeError)


def test_faults_have_no_foreign_cause():
    with pytest.raises(DecodeError) as caught:
        native.tx_parse(b"")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "call",
    [
        lambda: native.sighash_taproot(RAW, [(1 << 64, b"")], 0, 0, None),
        lambda: native.sighash_taproot(RAW, [(-1, b"")], 0, 0, None),
        lambda: native.sighash_taproot(RAW, [(1, b"")], 1 << 64, 0, None),
        lambda: native.sighash_taproot(RAW, [(1, b"")], 0, 256, None),
        lambda: native.sighash_taproot(RAW, [(1, b"")], 0, 0, bytes(31)),
        lambda: native.taproot_output(bytes(31), []),
        lambda: native.taproot_output(bytes(32), [(0, 0xC0, b"")]),
        lambda: native.taproot_output(RAW[:32], [(300, 0xC0, b"")]),
        lambda: native.xonly_check(b""),
        lambda: native.verify_input(RAW, [], 0),
    ],
)
def test_numbers_and_lengths_out_of_range(call):
    with pytest.raises(InvalidInput):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: native.tx_parse("text"),
        lambda: native.tx_parse(None),
        lambda: native.xonly_check(bytearray(32)),
        lambda: native.sighash_taproot(RAW, [("1", b"")], 0, 0, None),
        lambda: native.address_decode(b"bytes", "bc"),
    ],
)
def test_wrong_types_are_bugs_and_stay_type_errors(call):
    with pytest.raises(TypeError):
        call()


def test_threads_do_not_disturb_each_other():
    expected = native.tx_parse(RAW)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(native.tx_parse, [RAW] * 400))
    assert all(one == expected for one in found)
