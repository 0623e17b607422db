"""Setup, witness, prove and verify beside snarkjs, on the same circuit in the same run.

    python benchmarks/steps.py                              a pool's swap; chains x' = x^2 + i
    python benchmarks/steps.py --r1cs FILE --wtns FILE      any circuit, such as circom's

Wall and CPU time; the median of several runs. Both sides are warm: the key is loaded, and Node has
compiled what it runs. Ratios are snarkjs' time by ours, wall and CPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from reference import Failed, Missing, Snarkjs, powers_of_tau

from grail import native
from grail.apps.pool import Pool, PoolState, Side, quote_swap
from grail.apps.zkapp import trace
from grail.zk import groth16, snarkjs
from grail.zk.r1cs import Constraint, R1cs

T = TypeVar("T")

SEED = b"benchmark of the prover".ljust(32, b".")


@dataclass(frozen=True)
class Spent:
    """Seconds: the median of the runs."""

    wall: float
    cpu: float

    @classmethod
    def median(cls, runs: Sequence[Sequence[float]]) -> Spent:
        """Of (wall, CPU) pairs."""
        return cls(*(statistics.median(column) for column in zip(*runs, strict=True)))

    def __str__(self) -> str:
        return f"{self.wall * 1e3:9.2f} {self.cpu * 1e3:9.2f}"


@dataclass(frozen=True)
class Result:
    """What one circuit cost, step by step; `reference` lacks what snarkjs was not asked."""

    name: str
    constraints: int
    ours: dict[str, Spent]
    reference: dict[str, Spent]
    missing: str
    """Why there is no reference, when there is none."""

    def ratio(self, step: str) -> Spent | None:
        """How many times longer snarkjs takes, by wall and by CPU time; None without reference."""
        theirs, ours = self.reference.get(step), self.ours[step]
        return theirs and Spent(theirs.wall / ours.wall, theirs.cpu / ours.cpu)

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.constraints} constraints",
            f"  {'ms':8} {'wall':>9} {'CPU':>9}     {'snarkjs':>9} {'CPU':>9} {'ratios':>13}",
        ]
        for step, spent in self.ours.items():
            line = f"  {step:8} {spent}"
            if ratio := self.ratio(step):
                line += f"     {self.reference[step]} {ratio.wall:6.1f} {ratio.cpu:6.1f}"
            lines.append(line)
        if self.missing:
            lines.append(f"  no snarkjs: {self.missing}")
        return "\n".join(lines)


def measured(count: int, work: Callable[[], T]) -> tuple[T, Spent]:
    """The last result, and the median of `count` runs. CPU time is that of all threads."""
    runs = []
    for _ in range(count):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result, Spent.median(runs)


def compare(
    name: str,
    r1cs: bytes,
    wtns: bytes | None = None,
    *,
    program: bytes | None = None,
    inputs: Sequence[int] = (),
    repeats: int = 5,
    beside_snarkjs: bool = True,
) -> Result:
    """Measure one circuit with one witness, given or made by a program from inputs.

    Raises: Unsatisfied when the witness breaks a constraint; Failed when snarkjs and we disagree;
    ValueError without any witness.
    """
    ours: dict[str, Spent] = {}
    keys, ours["setup"] = measured(max(1, repeats // 2), lambda: groth16.setup(r1cs, SEED))
    if program is not None:
        made = program
        wtns, ours["witness"] = measured(repeats, lambda: native.program_run(made, inputs))
    if wtns is None:
        raise ValueError("a witness, or a program that makes one, is needed")
    witness = wtns
    # the prover wants a program; this one only says that there are as many wires
    idle = _idle_program(native.r1cs_info(r1cs).wires)
    prover, ours["load"] = measured(1, lambda: groth16.Prover(r1cs, keys.pk, idle))
    prover.prove_witness(witness)
    proved, ours["prove"] = measured(repeats, lambda: prover.prove_witness(witness))
    proof, publics = proved
    groth16.verify(keys.vk, publics, proof)
    _, ours["verify"] = measured(4 * repeats, lambda: groth16.verify(keys.vk, publics, proof))
    reference: dict[str, Spent] = {}
    missing = "" if beside_snarkjs else "not asked for"
    if beside_snarkjs:
        try:
            reference = _reference(r1cs, witness, keys.vk, proved, repeats)
        except Missing as exc:
            missing = str(exc)
    return Result(name, native.r1cs_info(r1cs).constraints, ours, reference, missing)


def _reference(
    r1cs: bytes, wtns: bytes, vk: bytes, proved: groth16.Proved, repeats: int
) -> dict[str, Spent]:
    """The same steps by snarkjs, with its own key; it checks our proof, and we check its."""
    info = native.r1cs_info(r1cs)
    power = (info.constraints + info.publics).bit_length()
    with tempfile.TemporaryDirectory() as folder:
        node = Snarkjs(Path(folder))
        circuit, witness = node.path("circuit.r1cs", r1cs), node.path("witness.wtns", wtns)
        ptau = powers_of_tau(node, power)
        made = node.run("setup", circuit, ptau, "bare.zkey", "circuit.zkey")
        theirs = node.run("prove", "circuit.zkey", witness, repeats)
        check = node.verify(
            snarkjs.verification_key_json(vk),
            snarkjs.public_json(proved.publics),
            snarkjs.proof_json(proved.proof),
            repeats,
        )
        if check["holds"] is not True:
            raise Failed("snarkjs refuses our proof")
        groth16.verify(
            snarkjs.verification_key_from_json(json.dumps(made["contributed"])),
            snarkjs.public_from_json(json.dumps(theirs["publics"])),
            snarkjs.proof_from_json(json.dumps(theirs["proof"])),
        )
    return {
        "setup": Spent(*made["run"]),
        "prove": Spent.median(theirs["runs"]),
        "verify": Spent.median(check["runs"]),
    }


def _idle_program(wires: int) -> bytes:
    return (
        b"GWP1"
        + struct.pack("<II", 0, 1)
        + (1).to_bytes(32, "little")
        + struct.pack(f"<II{wires}I", 0, wires, *bytes(wires))
    )


def chain(rows: int) -> tuple[bytes, bytes, list[int]]:
    """The dense chain x' = x^2 + i of so many rows: circuit, program, inputs."""
    # wires: one, last x (public), then x_0 to x_(rows - 1)
    wire = [*range(2, rows + 2), 1]
    constraints: list[Constraint] = [
        ({wire[i]: 1}, {wire[i]: 1}, {wire[i + 1]: 1, 0: native.R - i} if i else {wire[1]: 1})
        for i in range(rows)
    ]
    circuit = R1cs(n_wires=rows + 2, n_public=1, constraints=tuple(constraints)).serialize()
    constants = [1, *range(rows)]
    first = 1 + len(constants)
    xs = [0, *range(first + 1, first + 1 + 2 * rows, 2)]
    parts = [b"GWP1", struct.pack("<II", 1, len(constants))]
    parts += [value.to_bytes(32, "little") for value in constants]
    parts.append(struct.pack("<I", 2 * rows))
    for i in range(rows):
        parts.append(struct.pack("<BIII", 2, xs[i], xs[i], 0))
        parts.append(struct.pack("<BIII", 0, first + 2 * i, 2 + i, 0))
    parts.append(struct.pack(f"<I{rows + 2}I", rows + 2, 1, xs[-1], *xs[:-1]))
    program = b"".join(parts)
    return circuit, program, [3]


def swap() -> tuple[bytes, bytes, list[int]]:
    """A pool's swap of 10,000 units, in a spell that nobody made: circuit, program, inputs."""
    traced = next(trace(Pool, spec) for spec in Pool.actions() if spec.name == "swap")
    before = PoolState(
        bytes([1]) * 32,
        bytes([2]) * 32,
        a=150_000,
        b=600_000_000,
        lp=9_486_832,
        fee=30,
        min_lp=1_000,
    )
    after = quote_swap(before, 10_000, Side.A).after
    values = {"sats(in,0,0)": 1_000, "sats(out,0,0)": 1_000}
    for way, state in (("in", before), ("out", after)):
        fields = {
            "assetA": int.from_bytes(state.asset_a, "big"),
            "assetB": int.from_bytes(state.asset_b, "big"),
            "a": state.a,
            "b": state.b,
            "lp": state.lp,
            "fee": state.fee,
            "minLP": state.min_lp,
        }
        values |= {f"state({way},0,0,{name})": value for name, value in fields.items()}
        values[f"units({way},0,0,field(0,0,assetA))"] = state.a
        values[f"units({way},0,0,field(0,0,assetB))"] = state.b
        values |= {f"units({way},0,0,t)": 0, f"supply({way},t)": 0}
    facts = [values[label] for label in traced.facts]
    inputs = traced.inputs(bytes(range(32)), facts, {"a_to_b": 1})
    return traced.circuit.r1cs().serialize(), traced.circuit.program(), inputs


def main() -> None:
    """Print one table a circuit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--r1cs", type=Path, help="a circuit in iden3's format")
    parser.add_argument("--wtns", type=Path, help="a witness of that circuit")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each step")
    parser.add_argument("--alone", action="store_true", help="without snarkjs")
    given = parser.parse_args()
    if bool(given.r1cs) != bool(given.wtns):
        parser.error("--r1cs and --wtns go together")
    beside = not given.alone
    if given.r1cs:
        r1cs, wtns = given.r1cs.read_bytes(), given.wtns.read_bytes()
        print(compare(given.r1cs.name, r1cs, wtns, repeats=given.repeats, beside_snarkjs=beside))
        return
    for name, (r1cs, program, inputs) in (
        ("swap", swap()),
        ("chain of 1,000", chain(1_000)),
        ("chain of 4,000", chain(4_000)),
    ):
        result = compare(
            name,
            r1cs,
            program=program,
            inputs=inputs,
            repeats=given.repeats,
            beside_snarkjs=beside,
        )
        print(result, flush=True)


if __name__ == "__main__":
    main()
