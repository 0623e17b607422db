"""The witness program: from a circuit's inputs to the value of every wire, without branches.

Written by the trace, evaluated in Rust when proving (`grail.native`) and here when a circuit is
tried out. Format GWP1, little-endian: "GWP1", u32 inputs, u32 constants, the constants (32 bytes
each), u32 operations, the operations (u8 code, three u32 operands), u32 wires, one u32 register a
wire. Registers count the inputs first, then the constants, then one for each operation in order.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from enum import IntEnum

from grail.errors import InvalidInput
from grail.zk.field import MODULUS

MAGIC = b"GWP1"

_OPERATION = struct.Struct("<BIII")


class Op(IntEnum):
    """What an operation computes; `b` is a number, not a register, where it says so."""

    ADD = 0
    """a + b"""
    SUB = 1
    """a - b"""
    MUL = 2
    """a * b"""
    DIV = 3
    """a / b in the field; 0 when b = 0"""
    IDIV = 4
    """whole part of a / b as integers; 0 when b = 0"""
    IMOD = 5
    """remainder of a / b as integers; 0 when b = 0"""
    BIT = 6
    """bit number b of a"""
    LT = 7
    """1 when a < b as integers, else 0"""
    EQ = 8
    """1 when a = b, else 0"""
    SELECT = 9
    """b when a is not 0, else c"""
    ISQRT = 10
    """whole part of the square root of a"""
    SHR = 11
    """a shifted right by the number b"""
    LOWBITS = 12
    """a's lowest b bits"""


class Program:
    """Operations as they are recorded. A register is named by its kind and its index there."""

    __slots__ = ("_constants", "_inputs", "_operations")

    _INPUT, _CONSTANT, _OPERATION_KIND = range(3)

    def __init__(self) -> None:
        self._inputs = 0
        self._constants: dict[int, int] = {}
        self._operations: list[tuple[int, int, int, int]] = []

    def input(self) -> int:
        """The register of the next input."""
        self._inputs += 1
        return (self._inputs - 1) << 2 | self._INPUT

    def constant(self, value: int) -> int:
        """The register of a constant; equal constants share one."""
        index = self._constants.setdefault(value % MODULUS, len(self._constants))
        return index << 2 | self._CONSTANT

    def emit(self, op: Op, a: int, b: int = 0, c: int = 0) -> int:
        """Record an operation on registers; its result's register."""
        self._operations.append((op, a, b, c))
        return (len(self._operations) - 1) << 2 | self._OPERATION_KIND

    def serialize(self, wires: Sequence[int]) -> bytes:
        """The program's GWP1 bytes, where wire i takes its value from register wires[i]."""
        base = (0, self._inputs, self._inputs + len(self._constants))

        def place(register: int) -> int:
            return base[register & 3] + (register >> 2)

        parts = [MAGIC, struct.pack("<II", self._inputs, len(self._constants))]
        parts += [value.to_bytes(32, "little") for value in self._constants]
        parts.append(struct.pack("<I", len(self._operations)))
        for op, a, b, c in self._operations:
            number = b if op in _NUMBER_B else place(b) if op in _REGISTER_B else 0
            parts.append(_OPERATION.pack(op, place(a), number, place(c) if op == Op.SELECT else 0))
        parts.append(struct.pack("<I", len(wires)))
        parts.append(struct.pack(f"<{len(wires)}I", *map(place, wires)))
        return b"".join(parts)


_NUMBER_B = frozenset({Op.BIT, Op.SHR, Op.LOWBITS})
_REGISTER_B = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.IDIV, Op.IMOD, Op.LT, Op.EQ, Op.SELECT})


def evaluate(program: bytes, inputs: Sequence[int]) -> list[int]:
    """Every wire's value, for a program that this module wrote.

    Raises: InvalidInput when the number of inputs is another, or one is not in [0, r).
    """
    assert program[:4] == MAGIC
    n_inputs, n_constants = struct.unpack_from("<II", program, 4)
    if len(inputs) != n_inputs:
        raise InvalidInput(f"witness program: got {len(inputs)} inputs, expected {n_inputs}")
    if not all(0 <= value < MODULUS for value in inputs):
        raise InvalidInput("witness program: an input is not in [0, r)")
    registers = list(inputs)
    at = 12
    for _ in range(n_constants):
        registers.append(int.from_bytes(program[at : at + 32], "little"))
        at += 32
    (n_operations,) = struct.unpack_from("<I", program, at)
    at += 4
    end = at + n_operations * _OPERATION.size
    for op, a, b, c in _OPERATION.iter_unpack(program[at:end]):
        registers.append(_apply(op, registers, a, b, c))
    (n_wires,) = struct.unpack_from("<I", program, end)
    return [registers[r] for r in struct.unpack_from(f"<{n_wires}I", program, end + 4)]


def _apply(op: int, registers: list[int], a: int, b: int, c: int) -> int:
    x = registers[a]
    if op == Op.MUL:
        return x * registers[b] % MODULUS
    if op == Op.ADD:
        return (x + registers[b]) % MODULUS
    if op == Op.BIT:
        return x >> b & 1
    if op == Op.SUB:
        return (x - registers[b]) % MODULUS
    if op == Op.DIV:
        return x * pow(registers[b], -1, MODULUS) % MODULUS if registers[b] else 0
    if op == Op.IDIV:
        return x // registers[b] if registers[b] else 0
    if op == Op.IMOD:
        return x % registers[b] if registers[b] else 0
    if op == Op.LT:
        return int(x < registers[b])
    if op == Op.EQ:
        return int(x == registers[b])
    if op == Op.SELECT:
        return registers[b] if x else registers[c]
    if op == Op.ISQRT:
        return math.isqrt(x)
    if op == Op.SHR:
        return x >> b
    assert op == Op.LOWBITS
    return x & ((1 << b) - 1)
