"""Our prover beside arkworks', snarkjs and rapidsnark on the same keys and witnesses, in one run.

    python benchmarks/prover.py                      domains of 2^10, 2^14, 2^16 and 2^18 rows
    python benchmarks/prover.py --sizes 10 14        only these
    python benchmarks/prover.py --alone              without snarkjs, which takes most of the time

The circuit is the dense chain x' = x^2 + i that fills its domain. Ours and arkworks' take turns, so
that what else the machine does falls on both; times are medians in ms, wall and CPU of all threads,
with the key loaded and after a first proof that is not counted. Ours includes reading the witness
and verifying the proof before it is handed out, and overflow checks are on; arkworks' (no such
checks) is handed the wires and verifies nothing. rapidsnark proves once a process: its
times have its start and reading the key in them. Each prover's proofs are verified here.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import arkworks
from reference import RUN_SECONDS, Failed, Missing, Snarkjs
from steps import Spent, chain, measured

from grail import native
from grail.zk import groth16, snarkjs

SIZES = (10, 14, 16, 18)
BATCHES = (1, 16, 256)
OURS, ARK, SNARKJS, RAPIDSNARK = "ours", "ark", "snarkjs", "rapidsnark"
PROGRAMS = ("rapidsnark", "prover")
"""rapidsnark's names; the second is what its own build calls it."""


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
        theirs, missing = others(
            Path(folder), path, witness, key.vk, max(1, count // 4), beside_snarkjs=beside_snarkjs
        )
    for proof in made[ARK] + made[OURS]:
        groth16.verify(key.vk, proved.publics, proof)
    return Row(power, {**spent, **theirs}, missing), [
        groth16.Statement(key.vk, proved.publics, proof) for proof in made[OURS]
    ]


def others(
    folder: Path, zkey: Path, wtns: Path, vk: bytes, count: int, *, beside_snarkjs: bool
) -> tuple[dict[str, Spent], dict[str, str]]:
    """What those took that may be missing, and why the missing ones are. Raises: Failed."""
    spent: dict[str, Spent] = {}
    missing = {} if beside_snarkjs else {SNARKJS: "not asked for"}
    for name, prover in ((SNARKJS, by_snarkjs), (RAPIDSNARK, by_rapidsnark)):
        if name in missing:
            continue
        try:
            spent[name] = prover(folder, zkey, wtns, vk, count)
        except Missing as exc:
            missing[name] = str(exc)
    return spent, missing


def by_snarkjs(folder: Path, zkey: Path, wtns: Path, vk: bytes, count: int) -> Spent:
    """The same by snarkjs; its proof is verified here. Raises: Missing, Failed."""
    theirs = Snarkjs(folder).run("prove", zkey.resolve(), wtns, count)
    groth16.verify(
        vk,
        snarkjs.public_from_json(json.dumps(theirs["publics"])),
        snarkjs.proof_from_json(json.dumps(theirs["proof"])),
    )
    return Spent.median(theirs["runs"])


def by_rapidsnark(folder: Path, zkey: Path, wtns: Path, vk: bytes, count: int) -> Spent:
    """The same by rapidsnark, a process a proof; each is verified here. Raises: Missing, Failed."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise Missing(
            f"no {' or '.join(PROGRAMS)} on PATH; its bindings on crates.io (rust-rapidsnark) "
            "download the libraries as they are built, so they cannot be built here"
        )
    proof, publics = folder / "proof.json", folder / "public.json"
    runs = []
    for turn in range(count + 1):
        wall, cpu = time.perf_counter(), _children()
        done = subprocess.run(
            [program, zkey.resolve(), wtns, proof, publics],
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        run = (time.perf_counter() - wall, _children() - cpu)
        if done.returncode:
            raise Failed(f"rapidsnark: {done.stderr.strip()[-500:]}")
        # it writes no curve: the one that it knows is bn128
        named = json.dumps({"curve": "bn128", **json.loads(proof.read_bytes())})
        groth16.verify(
            vk,
            snarkjs.public_from_json(publics.read_bytes()),
            snarkjs.proof_from_json(named),
        )
        if turn:
            runs.append(run)
    return Spent.median(runs)


def _children() -> float:
    """CPU seconds of all processes that were waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


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
