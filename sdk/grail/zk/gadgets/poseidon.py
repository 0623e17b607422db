"""Poseidon inside a circuit: the same function as `grail.crypto.poseidon`, in constraints.

Each fifth power costs three constraints, everything linear is free: (8 t + partial) * 3 in all, 612
for the 16 inputs of a fact chain, less what constants save. In the partial rounds only one element
passes an S-box, so a state element is a combination of the t outputs of the last full round and
one output for each partial round since: at most 17 + 68 terms. Those combinations are the same for
every hash of one width and are worked out once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from grail.crypto import poseidon as reference
from grail.errors import InvalidInput
from grail.zk.field import MODULUS, Field, as_field, circuit_of

Row = tuple[int, ...]


def poseidon(inputs: Sequence[Field | int]) -> Field:
    """The hash of 1 to 16 field elements.

    Proves that the result is Poseidon of exactly these elements, in this order and number. It
    proves nothing about what they mean: a caller that hashes things of several kinds tells them
    apart by their number (as `merkle` does) or by a first element of its own (threat Z17).

    Raises: InvalidInput when there are none or more than 16.
    """
    fields = [as_field(value) for value in inputs]
    if not 1 <= len(fields) <= reference.MAX_INPUTS:
        raise InvalidInput(f"poseidon: got {len(fields)} inputs, expected 1 to 16")
    circuit = circuit_of(*fields)
    if circuit is None:
        return Field.constant(reference.poseidon([field.value for field in fields]))
    with circuit.statement("is not the Poseidon hash of its inputs"):
        return _permuted(fields)


def _permuted(fields: list[Field]) -> Field:
    t = len(fields) + 1
    full, partial, constants, mds = reference.constants(t)
    half = full // 2
    state = [Field.constant(0), *fields]
    for number in range(half):
        powers = [_fifth(x + c) for x, c in zip(state, constants[number * t :], strict=False)]
        if number < half - 1:
            state = [_combined(row, powers) for row in mds]
    middle = _middle(t)
    basis = powers  # the outputs of the last full round, then one for each partial round
    for row, constant in zip(middle.inputs, middle.constants, strict=True):
        basis = [*basis, _fifth(_combined(row, basis) + constant)]
    state = [_combined(row, basis) for row in middle.outputs]
    state = [x + c for x, c in zip(state, middle.tail, strict=True)]
    for number in range(half + partial, full + partial):
        powers = [_fifth(x + c) for x, c in zip(state, constants[number * t :], strict=False)]
        state = [_combined(row, powers) for row in mds]
    return state[0]


def _fifth(x: Field) -> Field:
    if x.is_constant:
        return Field.constant(pow(x.value, 5, MODULUS))
    square = x * x
    return square * square * x


def _combined(row: Sequence[int], fields: Sequence[Field]) -> Field:
    """The sum of coefficient times field, each field being one wire or a constant."""
    terms: dict[int, int] = {}
    secret = False
    for coefficient, field in zip(row, fields, strict=True):
        secret = secret or field.secret
        for wire, factor in field.terms.items():
            terms[wire] = (terms.get(wire, 0) + coefficient * factor) % MODULUS
    return Field({w: c for w, c in terms.items() if c}, circuit_of(*fields), secret=secret)


@dataclass(frozen=True, slots=True)
class _Middle:
    """The partial rounds as linear algebra over (y, p).

    y are the t outputs of the last full round before them, p_k the S-box output of partial round k.
    inputs[k] and constants[k] give the S-box input of round k from y and p_0 .. p_(k-1); outputs
    and tail give the state after the last partial round.
    """

    inputs: tuple[Row, ...]
    constants: Row
    outputs: tuple[Row, ...]
    tail: Row


@cache
def _middle(t: int) -> _Middle:
    """Work out the partial rounds for one width.

    With s the state before a partial round, x = (s + c)[0] its S-box input, M the matrix, m its
    column 0 and N = M without column 0 (zeros there): s' = N (s + c) + m p. So x_k is row 0 of N^k
    times s_0 = M y, plus row 0 of N^(k-1-j) times m p_j for each j < k, plus the constants' share.
    """
    full, partial, constants, mds = reference.constants(t)
    start = full // 2 * t
    rounds = [constants[start + k * t : start + (k + 1) * t] for k in range(partial)]
    column = tuple(row[0] for row in mds)
    bare = tuple((0, *row[1:]) for row in mds)
    unit = tuple(tuple(int(i == j) for j in range(t)) for i in range(t))
    powers = [unit[0]]  # row 0 of N^k
    columns = [column]  # N^k m
    for _ in range(partial):
        powers.append(_row_times(powers[-1], bare))
        columns.append(tuple(_dot(row, columns[-1]) for row in bare))
    reach = [_dot(power, column) for power in powers]
    inputs = tuple(
        _row_times(powers[k], mds) + tuple(reach[k - 1 - j] for j in range(k))
        for k in range(partial)
    )
    shares = tuple(
        sum(_dot(powers[k - j], rounds[j]) for j in range(k + 1)) % MODULUS for k in range(partial)
    )
    tail: Row = (0,) * t
    for k in range(partial):
        tail = tuple(_dot(row, _added(tail, rounds[k])) for row in bare)
    final = _product(_power(bare, partial), mds)
    outputs = tuple(
        final[i] + tuple(columns[partial - 1 - j][i] for j in range(partial)) for i in range(t)
    )
    return _Middle(inputs, shares, outputs, tail)


def _dot(left: Sequence[int], right: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True)) % MODULUS


def _added(left: Row, right: Row) -> Row:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _row_times(row: Row, matrix: Sequence[Row]) -> Row:
    return tuple(_dot(row, column) for column in zip(*matrix, strict=True))


def _product(left: Sequence[Row], right: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(_row_times(row, right) for row in left)


def _power(matrix: Sequence[Row], exponent: int) -> tuple[Row, ...]:
    if exponent == 1:
        return tuple(matrix)
    half = _power(matrix, exponent // 2)
    square = _product(half, half)
    return _product(square, matrix) if exponent % 2 else square
