"""The evaluator of witness programs against a plain model in Python."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grail.errors import DecodeError, GrailError, InvalidInput, TooLarge, TrailingBytes, Truncated
from grail.native import R, program_run
from grail.zk.snarkjs import read_wtns

Operation = tuple[int, int, int, int]


def assemble(
    inputs: int, constants: list[int], operations: list[Operation], wires: list[int]
) -> bytes:
    raw = b"GWP1" + struct.pack("<II", inputs, len(constants))
    raw += b"".join(value.to_bytes(32, "little") for value in constants)
    raw += struct.pack("<I", len(operations))
    raw += b"".join(struct.pack("<BIII", *operation) for operation in operations)
    return raw + struct.pack(f"<I{len(wires)}I", len(wires), *wires)


def model(code: int, a: int, b: int, c: int, at: list[int]) -> int:
    """What the format says, in the plainest words. `b` is a number in 6, 11 and 12."""
    x = at[a]
    match code:
        case 6:
            return (x >> b) & 1
        case 10:
            return math.isqrt(x)
        case 11:
            return x >> b
        case 12:
            return x & ((1 << b) - 1)
    y = at[b]
    match code:
        case 0:
            return (x + y) % R
        case 1:
            return (x - y) % R
        case 2:
            return x * y % R
        case 3:
            return x * pow(y, -1, R) % R if y else 0
        case 4:
            return x // y if y else 0
        case 5:
            return x % y if y else 0
        case 7:
            return int(x < y)
        case 8:
            return int(x == y)
        case _:
            return y if x else at[c]


ELEMENTS = st.one_of(
    st.integers(0, 3),
    st.integers(0, (1 << 64) + 1),
    st.integers(0, R - 1),
    st.sampled_from([R - 1, R - 2, R // 2, R // 2 + 1, 1 << 64, 1 << 128, (1 << 253) - 1]),
)


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[int], list[int], list[Operation]]:
    inputs = draw(st.lists(ELEMENTS, max_size=4))
    constants = [1, *draw(st.lists(ELEMENTS, max_size=4))]
    operations: list[Operation] = []
    for _ in range(draw(st.integers(1, 30))):
        register = st.integers(0, len(inputs) + len(constants) + len(operations) - 1)
        code = draw(st.integers(0, 12))
        b = draw(st.integers(0, 254) if code in (6, 11, 12) else register)
        operations.append((code, draw(register), b, draw(register)))
    return inputs, constants, operations


@given(programs())
def test_evaluates_as_the_model_does(
    program: tuple[list[int], list[int], list[Operation]],
) -> None:
    inputs, constants, operations = program
    registers = [*inputs, *constants]
    for operation in operations:
        registers.append(model(*operation, registers))
    one = len(inputs)
    raw = assemble(len(inputs), constants, operations, [one, *range(len(registers))])
    assert read_wtns(program_run(raw, inputs)) == (1, *registers)


GOOD = assemble(1, [1, 7], [(2, 0, 2, 0)], [1, 3])


def test_the_sample_is_good() -> None:
    assert read_wtns(program_run(GOOD, [6])) == (1, 42)


REFUSED = {
    "another magic": (b"GWP2" + GOOD[4:], DecodeError),
    "cut off": (GOOD[:-1], Truncated),
    "a byte too many": (GOOD + b"\0", TrailingBytes),
    "an operation that reads itself": (assemble(1, [1], [(0, 0, 2, 0)], [1]), DecodeError),
    "an operation that reads a later one": (assemble(1, [1], [(9, 0, 0, 3)], [1]), DecodeError),
    "an operation that does not exist": (assemble(1, [1], [(13, 0, 0, 0)], [1]), DecodeError),
    "a bit beyond the field": (assemble(1, [1], [(6, 0, 255, 0)], [1]), DecodeError),
    "a shift beyond the field": (assemble(1, [1], [(11, 0, 1 << 31, 0)], [1]), DecodeError),
    "a wire without a register": (assemble(1, [1], [], [1, 2]), DecodeError),
    "no wires": (assemble(1, [1], [], []), InvalidInput),
    "wire 0 that is not one": (assemble(1, [2], [], [1]), InvalidInput),
    "a constant of r": (assemble(1, [R], [], [1]), DecodeError),
    "too many operations": (
        b"GWP1" + struct.pack("<III", 0, 0, 1 << 24) + bytes(64),
        TooLarge,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_Z22_malformed_programs_are_refused(case: str) -> None:
    raw, error = REFUSED[case]
    with pytest.raises(error):
        program_run(raw, [1])


@pytest.mark.parametrize("inputs", [[], [1, 2], [R], [-1]])
def test_inputs_must_be_the_programs(inputs: list[int]) -> None:
    with pytest.raises(InvalidInput):
        program_run(GOOD, inputs)


@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 8))
def test_Z25_any_bytes_give_a_witness_or_a_typed_error(
    noise: bytes, place: int, removed: int
) -> None:
    raw = GOOD[:place] + noise + GOOD[place + removed :]
    try:
        witness = read_wtns(program_run(raw, [6]))
    except GrailError:
        return
    assert witness[0] == 1
