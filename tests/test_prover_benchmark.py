"""The benchmark of provers measures what it says: proofs that hold, ratios of one run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "benchmarks"))

from prover import OURS, PROGRAMS, RAPIDSNARK, SNARKJS, Row, others, repeats_for, verified
from reference import Failed
from steps import Spent, chain

from grail import native
from grail.errors import ProofInvalid
from grail.zk import groth16, snarkjs

MULTIPLIER = ROOT / "examples" / "multiplier"
BUSY = 0.1
"""Seconds of CPU that the program below takes at least."""
PROVES = f"""#!{sys.executable}
import json, sys, time
from pathlib import Path
from grail.zk import snarkjs
zkey, wtns, proof, publics = map(Path, sys.argv[1:])
proved = snarkjs.Zkey(zkey.read_bytes()).prove(wtns.read_bytes())
found = json.loads(snarkjs.proof_json(proved.proof))
del found["curve"]
proof.write_text(json.dumps(found))
publics.write_text(snarkjs.public_json(proved.publics))
while time.process_time() < {BUSY}:
    pass
with open(sys.argv[0] + ".calls", "a") as calls:
    print("called", file=calls)
"""
"""A program that is called as rapidsnark is, and writes what it writes."""


def test_a_ratio_is_their_time_by_ours() -> None:
    row = Row(14, {OURS: Spent(0.2, 0.4), "ark": Spent(0.5, 0.6)}, {"snarkjs": "not asked for"})
    assert row.ratio_lines() == ["ratio ark 2^14 2.50 (CPU 1.50)"]
    assert "2^14 snarkjs    left out: not asked for" in str(row)
    assert f"{row.ratio('ark').wall:.1f}" == "2.5"


def test_the_chain_fills_its_domain_and_is_proven() -> None:
    """With the constant and the public wire: 2^10 rows; a batch verifies them as one."""
    r1cs, program, inputs = chain(2**10 - 2)
    info = native.r1cs_info(r1cs)
    assert (info.constraints, info.publics) == (2**10 - 2, 1)
    wtns = native.program_run(program, inputs)
    assert native.r1cs_check(r1cs, wtns) is None
    keys = groth16.setup(r1cs, bytes(32))
    statements = []
    for _ in range(2):
        proof, publics = groth16.prove_witness(keys.pk, r1cs, wtns)
        statements.append(groth16.Statement(keys.vk, publics, proof))
    for size in (1, 3):
        assert verified(statements, size).cpu > 0


def test_large_sizes_are_measured_fewer_times() -> None:
    assert repeats_for(10) > repeats_for(14) > repeats_for(18) >= 3


@pytest.fixture
def beside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[], tuple[dict[str, Spent], dict[str, str]]]:
    """The example's circuit by all others, two proofs each; nothing but `tmp_path` is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    zkey, wtns = MULTIPLIER / "circuit.zkey", MULTIPLIER / "witness.wtns"
    vk = snarkjs.Zkey(zkey.read_bytes()).vk
    return lambda: others(tmp_path, zkey, wtns, vk, 2, beside_snarkjs=False)


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o700)


@pytest.mark.parametrize("name", PROGRAMS)
def test_rapidsnark_is_measured_where_it_is(beside, tmp_path: Path, name: str) -> None:
    """By wall and by its own CPU time, after one proof that is not counted."""
    program(tmp_path, name, PROVES)
    spent, missing = beside()
    assert (spent.keys(), missing) == ({RAPIDSNARK}, {SNARKJS: "not asked for"})
    assert min(spent[RAPIDSNARK].wall, spent[RAPIDSNARK].cpu) >= BUSY
    assert (tmp_path / f"{name}.calls").read_text() == 3 * "called\n"


def test_rapidsnark_that_fails_or_lies_is_no_time(beside, tmp_path: Path) -> None:
    program(tmp_path, "rapidsnark", "#!/bin/sh\necho no such file >&2\nexit 1\n")
    with pytest.raises(Failed, match="rapidsnark: no such file"):
        beside()
    # another statement: the proof is of 33, not of 34
    told = PROVES.replace("snarkjs.public_json(proved.publics)", "'[\"34\"]'")
    program(tmp_path, "rapidsnark", told)
    with pytest.raises(ProofInvalid):
        beside()


def test_without_rapidsnark_the_table_says_why(beside) -> None:
    spent, missing = beside()
    assert not spent
    assert missing[RAPIDSNARK].startswith("no rapidsnark or prover on PATH")
