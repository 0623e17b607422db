"""The benchmark of provers measures what it says: proofs that hold, ratios of one run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from prover import OURS, Row, repeats_for, verified
from steps import Spent, chain

from grail import native
from grail.zk import groth16


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
