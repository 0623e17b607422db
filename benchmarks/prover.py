"""Our prover beside arkworks', snarkjs and rapidsnark on the same keys and witnesses, in one run.

    python benchmarks/prover.py                      domains of 2^10, 2^14, 2^16 and 2^18 rows
    python benchmarks/prover.py --sizes 10 14        only these
    python benchmarks/prover.py --alone              without snarkjs, which takes most of the time

The circuit is the dense chain x' = x^2 + i that fills its domain. Ours and arkworks' take turns, so
that what else the machine does falls on both; times are medians in ms, wall and CPU of all threads,
with the key loaded and after a first proof that is not counted. Ours includes reading the witness
and verifying the proof before it is handed out, and overflow checks are on; arkworks' (no such
checks) is handed the wires and verifies nothing. Each prover's proofs are verified here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import arkworks
from reference import Missing, Snarkjs
from steps import Spent, chain, measured

from grail import native
from grail.zk import groth16, snarkjs

SIZES = (10, 14, 16, 18)
BATCHES = (1, 16, 256)
OURS, ARK, SNARKJS, RAPIDSNARK = "ours", "ark", "snarkjs", "rapidsnark"


@dataclass(frozen=True)
class Row:
    """What one proof took at one size: prover by prover, and of those that did not run, why."""

    power: int
    spent: dict[str, Spent]
    missing: dict[str, str]

    def ratio(self, name: str) -> Spent:
        """How many times longer than ours it takes, by wall and by CPU time."""
        theirs, ours = self.spent[name], self.spent[OURS]
        return Spent(theirs.wall / ours.wall, theirs.cpu / ours.cpu)

    def __str__(self) -> str:
        lines = []
        for name, spent in self.spent.items():
            lines.append(f"  2^{self.power} {name:10} {spent}")
            if name != OURS:
                ratio = self.ratio(name)
                lines[-1] += f" {ratio.wall:7.2f} {ratio.cpu:7.2f}"
        lines += [
            f"  2^{self.power} {name:10} left out: {why}" for name, why in self.missing.items()
        ]
        return "\n".join(lines)

    def ratio_lines(self) -> list[str]:
        """`ratio PROVER SIZE R`: wall time; the same of CPU time behind it."""
        others = [name for name in self.spent if name != OURS]
        return [
            f"ratio {name} 2^{self.power} {self.ratio(name).wall:.2f} "
            f"(CPU {self.ratio(name).cpu:.2f})"
            for name in others
        ]


HEAD = f"  {'proving':15} {'wall ms':>9} {'CPU ms':>9} {'ratios':>7} {'CPU':>7}"


def repeats_for(power: int) -> int:
    """Runs of each prover: fewer where one takes seconds."""
    return max(3, 21 - 3 * max(0, power - 12))


def prove(power: int, *, beside_snarkjs: bool = True) -> tuple[Row, list[groth16.Statement]]:
    """One size by every prover that is there, and our proofs.

    Raises: Failed when a prover does not run to its end; ProofInvalid when a proof does not hold;
    Missing when arkworks' cannot be built: there is no table without it.
    """
    # with the constant and the public wire, the rows fill the domain
    r1cs, program, inputs = chain(2**power - 2)
    wtns = native.program_run(program, inputs)
    reference = arkworks.built()
    path = arkworks.key(reference, r1cs)
    key = snarkjs.Zkey(path.read_bytes())
    count = repeats_for(power)
    runs: dict[str, list[tuple[float, float]]] = {OURS: [], ARK: []}
    made: dict[str, list[bytes]] = {OURS: [], ARK: []}
    with tempfile.TemporaryDirectory() as folder:
        witness = Path(folder) / "witness.wtns"
        witness.write_bytes(wtns)
        with arkworks.running(reference, path, witness) as ark:
            for turn in range(count + 1):
                proof, run = ark.prove()
                wall, cpu = time.perf_counter(), time.process_time()
                proved = key.prove(wtns)
                own = (time.perf_counter() - wall, time.process_time() - cpu)
                made[ARK].append(proof)
                made[OURS].append(proved.proof)
                if turn:
                    runs[ARK].append(run)
                    runs[OURS].append(own)
        spent = {name: Spent.median(own) for name, own in runs.items()}
        missing = {RAPIDSNARK: without_rapidsnark()}
        if beside_snarkjs:
            try:
                spent[SNARKJS] = by_snarkjs(Path(folder), path, witness, key.vk, max(1, count // 4))
            except Missing as exc:
                missing[SNARKJS] = str(exc)
        else:
            missing[SNARKJS] = "not asked for"
    for proof in made[ARK] + made[OURS]:
        groth16.verify(key.vk, proved.publics, proof)
    return Row(power, spent, missing), [
        groth16.Statement(key.vk, proved.publics, proof) for proof in made[OURS]
    ]


def by_snarkjs(folder: Path, zkey: Path, wtns: Path, vk: bytes, count: int) -> Spent:
    """The same by snarkjs; its proof is verified here. Raises: Missing, Failed."""
    theirs = Snarkjs(folder).run("prove", zkey.resolve(), wtns, count)
    groth16.verify(
        vk,
        snarkjs.public_from_json(json.dumps(theirs["publics"])),
        snarkjs.proof_from_json(json.dumps(theirs["proof"])),
    )
    return Spent.median(theirs["runs"])


def without_rapidsnark() -> str:
    """Why it is not beside the others."""
    if shutil.which("rapidsnark"):
        return "it has no way to prove twice in one process, so it cannot be measured warm"
    return "in no package registry (npm, PyPI, crates.io, Debian), and not on this machine"


def verified(statements: Sequence[groth16.Statement], size: int) -> Spent:
    """Verifying so many proofs of one key in one equation, a proof; proofs recur if few are given.

    Raises: ProofInvalid.
    """
    batch = [statements[i % len(statements)] for i in range(size)]

    def work() -> None:
        if size == 1:
            groth16.verify(*batch[0])
        else:
            groth16.verify_batch(batch)

    work()
    _, whole = measured(max(3, 64 // size), work)
    return Spent(whole.wall / size, whole.cpu / size)


def main() -> None:
    """Print the table, then the ratios one a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="powers of two")
    parser.add_argument("--alone", action="store_true", help="without snarkjs")
    given = parser.parse_args()
    print(HEAD, flush=True)
    ratios: list[str] = []
    statements: list[groth16.Statement] = []
    for power in given.sizes:
        row, made = prove(power, beside_snarkjs=not given.alone)
        print(row, flush=True)
        ratios += row.ratio_lines()
        statements = statements or made
    print("  verifying, a proof of the first key")
    for size in BATCHES:
        print(f"  {f'batch of {size}' if size > 1 else 'alone':15} {verified(statements, size)}")
    print("\n".join(ratios))


if __name__ == "__main__":
    main()
