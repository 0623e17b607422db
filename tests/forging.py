"""Provers who cheat: every witness of a small circuit, and witnesses with hints of one's own.

`outcomes` lists what a circuit's outputs can be at given inputs, whatever the prover does: one value
where the circuit is sound, none where it must refuse. `forged` follows the witness program, except
that chosen wires get other numbers and all that depends on them follows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from grail.zk.circuit import Circuit
from grail.zk.field import Field
from grail.zk.program import _OPERATION, _apply, evaluate
from grail.zk.r1cs import R1cs, value_of
from grail.zk.soundness import solutions

FREE = "free"
"""Stands for an output, or a wire, that no constraint fixes."""


@dataclass(frozen=True)
class Gadget:
    """A gadget on small numbers: how it is built, and what plain Python says.

    `plain` returns the outputs, or None where no witness must exist.
    """

    build: Callable[..., Sequence[Field]]
    plain: Callable[..., tuple[int, ...] | None]
    domain: Sequence[tuple[int, ...]]

    def circuit(self) -> tuple[Circuit, list[Field], Sequence[Field]]:
        circuit = Circuit()
        inputs = [circuit.private(f"x{i}") for i in range(len(self.domain[0]))]
        return circuit, inputs, self.build(*inputs)


def outcomes(
    r1cs: R1cs, given: Mapping[int, int], outputs: Sequence[Field], auxiliary: Iterable[int]
) -> set[tuple[int | str, ...]]:
    """What the outputs can be; a solution with a free wire anywhere else counts as one of its own."""
    found: set[tuple[int | str, ...]] = set()
    needed = set(range(r1cs.n_wires)).difference(auxiliary)
    for solution in solutions(r1cs, given):
        values: list[int | str] = [
            FREE if set(field.terms) - set(solution) else _value(field, solution)
            for field in outputs
        ]
        if needed - set(solution):
            values.append(FREE)
        found.add(tuple(values))
    return found


def _value(field: Field, solution: Mapping[int, int]) -> int:
    witness = [solution.get(wire, 0) for wire in range(max(field.terms, default=0) + 1)]
    return value_of(field.terms, witness)


def deviations(gadget: Gadget, without: int | None = None) -> list[tuple[int, ...]]:
    """The inputs at which the circuit, less one constraint, allows anything but the plain answer."""
    circuit, inputs, outputs = gadget.circuit()
    r1cs = circuit.r1cs()
    if without is not None:
        left = [c for i, c in enumerate(r1cs.constraints) if i != without]
        r1cs = replace(r1cs, constraints=tuple(left))
    wires = [next(iter(field.terms)) for field in inputs]
    wrong = []
    for values in gadget.domain:
        plain = gadget.plain(*values)
        expected = set() if plain is None else {plain}
        given = dict(zip(wires, values, strict=True))
        if outcomes(r1cs, given, outputs, circuit.auxiliary) != expected:
            wrong.append(values)
            if without is not None:
                break
    return wrong


def forged(circuit: Circuit, inputs: Sequence[int], changed: Mapping[int, int]) -> list[int]:
    """The witness of a prover who writes `changed` and computes everything else from it."""
    program = circuit.program()
    (n_constants,) = struct.unpack_from("<I", program, 8)
    at = 12 + 32 * n_constants
    (n_operations,) = struct.unpack_from("<I", program, at)
    end = at + 4 + n_operations * _OPERATION.size
    (n_wires,) = struct.unpack_from("<I", program, end)
    registers_of = struct.unpack_from(f"<{n_wires}I", program, end + 4)
    forced = {registers_of[wire]: value for wire, value in changed.items()}
    constants = range(12, at, 32)
    registers = [*inputs, *(int.from_bytes(program[i : i + 32], "little") for i in constants)]
    for op, a, b, c in _OPERATION.iter_unpack(program[at + 4 : end]):
        honest = _apply(op, registers, a, b, c)
        registers.append(forced.get(len(registers), honest))
    return [forced.get(register, registers[register]) for register in registers_of]


def first_failure(circuit: Circuit, witness: Sequence[int]) -> int | None:
    return circuit.r1cs().first_failure(witness)


def every_edit_is_refused(circuit: Circuit, inputs: Sequence[int], by: int = 1) -> list[int]:
    """The wires that can be changed in a good witness without a constraint failing."""
    witness = evaluate(circuit.program(), inputs)
    r1cs = circuit.r1cs()
    assert r1cs.first_failure(witness) is None
    open_wires = []
    for wire in range(1, len(witness)):
        edited = [*witness]
        edited[wire] += by
        if r1cs.first_failure(edited) is None:
            open_wires.append(wire)
    return open_wires
