"""Hostile bytes without a fuzzer: saved findings, and some changed seeds of every target."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from fuzz import mutation, native, seeds
from fuzz.table import TARGETS
from fuzz.target import Finding, Target, place
from fuzz.wire_targets import READERS

from grail.errors import DecodeError, InvalidInput
from grail.operators.frames import KINDS, Frame
from grail.zk import snarkjs

SAVED = Path(__file__).with_name("fuzz") / "saved"
FOLDERS = {name.replace(" ", "-").replace("'", ""): name for name in TARGETS}
EACH = 150


@pytest.mark.parametrize(
    "path", sorted(SAVED.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_what_was_a_finding_once_is_refused(path: Path) -> None:
    TARGETS[FOLDERS[path.parent.name]].once(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds_of_every_target(name: str) -> None:
    """One process has no coverage to go by: make fuzz has."""
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert seeds, "nothing to start from"
    for raw in mutation.inputs(seeds, EACH, 1, target.most):
        target.once(raw)
    target.bounded(b"")


def test_every_kind_of_frame_is_fuzzed_from_a_real_body() -> None:
    """A kind that has no reader there has no body: an enclave takes none with it."""
    real = set()
    for frame in seeds.frames():
        if frame.body is not None and frame.kind in READERS:
            with contextlib.suppress(InvalidInput):
                READERS[frame.kind](frame.body)
                real.add(frame.kind)
    assert real == set(READERS)
    for kind in set(KINDS) - set(READERS):
        refusal = seeds.attested().reply(Frame(kind, [0]).raw).refusal
        assert refusal is not None, kind
        assert refusal.message == f"{kind}: got a body, expected null"


def test_the_fuzzers_of_the_crate_are_those_that_it_lists() -> None:
    text = (native.CRATE.parent / "src" / "fuzz.rs").read_text()
    assert tuple(re.findall(r'^    \("(\w+)", \|raw\|', text, re.MULTILINE)) == native.DECODERS
    assert tuple(native._seeds()) == native.DECODERS


def test_there_is_a_real_key_to_start_from_in_any_clone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(seeds, "PUBLISHED", tmp_path)
    (raw,) = seeds.circuits("circuit.zkey")
    assert snarkjs.Zkey(raw).publics == 1


def broken(raw: bytes) -> None:
    """A decoder with three faults."""
    match raw[:1]:
        case b"k":
            raise KeyError(raw)
        case b"m":
            bytearray(100 << 20)
        case b"p":
            raise DecodeError("x: internal fault of the native crate")
        case b"r":
            raise DecodeError("refused")


def test_a_fault_is_a_finding_and_a_refusal_is_none() -> None:
    target = Target("broken", broken, lambda: [b""])
    assert target.once(b"")
    assert target.bounded(b"")
    assert not target.once(b"r")
    for fault in (b"k", b"p"):
        with pytest.raises(Finding):
            target.once(fault)
    with pytest.raises(Finding, match="100 MiB"):
        target.bounded(b"m")
    with pytest.raises(Finding) as caught:
        target.once(b"k")
    assert place(caught.value) == "KeyError in target.py:once > test_fuzz.py:broken"


def test_mutations_are_a_function_of_their_number() -> None:
    seeds = [b"abc", bytes(100), b"longer than the cap" * 100]
    one, again, other = (list(mutation.inputs(seeds, 50, n, 200)) for n in (1, 1, 2))
    assert one == again != other
    assert max(map(len, one)) <= 200


def test_slow_decoders_are_findings() -> None:
    def slow(_raw: bytes) -> None:
        sum(range(1_000_000))

    with pytest.raises(Finding, match="of CPU"):
        Target("slow", slow, lambda: [b""], seconds=0.001).once(b"")


def test_only_the_errors_of_a_target_are_refusals() -> None:
    def wrong(_raw: bytes) -> None:
        raise InvalidInput("no")

    assert not Target("a", wrong, lambda: [b""]).once(b"")
    with pytest.raises(Finding):
        Target("a", wrong, lambda: [b""], refusals=(DecodeError,)).once(b"")
