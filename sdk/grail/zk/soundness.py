"""Whether a circuit pins down every signal that it computes (threat Z1).

A wire that the witness program computes and no constraint fixes is a hole: a prover writes another
number there. Two searches find such wires. `free_signals` looks at one witness and asks which wires
could move a little, by the rank of the constraints' derivatives: fast, for whole apps. `solutions`
lists every witness there is for given inputs: exact, for circuits of a few bits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from grail.zk.field import MODULUS, inverse
from grail.zk.r1cs import Constraint, R1cs, value_of

Row = dict[int, int]
Partial = dict[int, int]


def free_signals(
    r1cs: R1cs, witness: Sequence[int], given: Collection[int], auxiliary: Collection[int]
) -> tuple[int, ...]:
    """The wires that could differ at this witness while the given ones stay as they are.

    `given` are the inputs' wires, `auxiliary` those that may be free, feeding nothing (the hint of
    `is_zero`). An empty answer means that this witness is isolated, not that it is the only one.
    """
    rows = [row for c in r1cs.constraints if (row := _derivative(c, witness, given))]
    moving = _propagated(rows, set(range(1, r1cs.n_wires)).difference(given))
    return tuple(sorted(_not_fixed(rows, moving).difference(auxiliary)))


def _derivative(constraint: Constraint, witness: Sequence[int], given: Collection[int]) -> Row:
    """Coefficients of d(a * b - c) over the wires that are not given."""
    a, b, c = constraint
    a_value, b_value = value_of(a, witness), value_of(b, witness)
    row: Row = {}
    for terms, factor in ((a, b_value), (b, a_value), (c, MODULUS - 1)):
        for wire, coefficient in terms.items():
            if wire and wire not in given:
                row[wire] = (row.get(wire, 0) + coefficient * factor) % MODULUS
    return {wire: coefficient for wire, coefficient in row.items() if coefficient}


def _propagated(rows: list[Row], unknown: set[int]) -> set[int]:
    """Drop wires that some row fixes alone, again and again; what is left unknown."""
    at: dict[int, list[Row]] = {}
    for row in rows:
        for wire in row:
            at.setdefault(wire, []).append(row)
    ready = [next(iter(row)) for row in rows if len(row) == 1]
    while ready:
        wire = ready.pop()
        if wire not in unknown:
            continue
        unknown.discard(wire)
        for row in at.get(wire, ()):
            row.pop(wire, None)
            if len(row) == 1:
                ready.append(next(iter(row)))
    return unknown


def _not_fixed(rows: list[Row], unknown: set[int]) -> set[int]:
    """Gauss-Jordan on what propagation left: wires that depend on a free one, and the free ones."""
    pivots: dict[int, Row] = {}
    for original in rows:
        row = dict(original)
        for wire in [w for w in row if w in pivots]:
            _subtract(row, pivots[wire], row[wire])
        if not row:
            continue
        pivot = min(row)
        scale = inverse(row[pivot])
        row = {wire: coefficient * scale % MODULUS for wire, coefficient in row.items()}
        for other in pivots.values():
            if pivot in other:
                _subtract(other, row, other[pivot])
        pivots[pivot] = row
    fixed = {wire for wire, row in pivots.items() if len(row) == 1}
    return unknown - fixed


def _subtract(row: Row, other: Mapping[int, int], factor: int) -> None:
    for wire, coefficient in other.items():
        value = (row.get(wire, 0) - factor * coefficient) % MODULUS
        if value:
            row[wire] = value
        else:
            row.pop(wire, None)


# ---------------------------------------------------------------------- every witness there is


def solutions(r1cs: R1cs, given: Mapping[int, int]) -> Iterator[Partial]:
    """Every witness that has these values on the given wires.

    A wire that is absent from a solution is free there: no constraint tells its value from the
    others'. Work grows with two to the number of bits that the given wires leave open.
    """
    known = {0: 1, **given}
    left = [_reduced(constraint, known) for constraint in r1cs.constraints]
    yield from _search([c for c in left if c is not None], known)


def _search(constraints: list[Constraint], known: Partial) -> Iterator[Partial]:
    """Fix wires one by one: those with one possible value first, then one with two."""
    while True:
        fixed: tuple[int, int] | None = None
        choice: tuple[int, tuple[int, ...]] | None = None
        for constraint in constraints:
            unknown = {wire for part in constraint for wire in part if wire}
            if len(unknown) > 1:
                continue
            if not unknown:
                a, b, c = (part.get(0, 0) for part in constraint)
                if (a * b - c) % MODULUS:
                    return
                continue
            (wire,) = unknown
            roots = _roots(constraint, wire)
            if roots is None:
                continue  # holds whatever the wire is
            if not roots:
                return
            if len(roots) == 1:
                fixed = (wire, roots[0])
                break
            choice = choice or (wire, roots)
        if fixed is None:
            break
        known = {**known, fixed[0]: fixed[1]}
        constraints = _with(constraints, *fixed)
    if choice is None:
        yield known
        return
    wire, roots = choice
    for root in roots:
        yield from _search(_with(constraints, wire, root), {**known, wire: root})


def _with(constraints: list[Constraint], wire: int, value: int) -> list[Constraint]:
    """The constraints once a wire is known; those that hold by now are left out."""
    changed = []
    for constraint in constraints:
        if any(wire in part for part in constraint):
            reduced = _reduced(constraint, {0: 1, wire: value})
            if reduced is not None:
                changed.append(reduced)
        else:
            changed.append(constraint)
    return changed


def _reduced(constraint: Constraint, known: Partial) -> Constraint | None:
    """A constraint with known wires folded into the constants; None when it holds."""
    parts = []
    for part in constraint:
        folded: Row = {}
        constant = 0
        for wire, coefficient in part.items():
            if wire in known:
                constant += coefficient * known[wire]
            else:
                folded[wire] = coefficient
        if constant % MODULUS:
            folded[0] = constant % MODULUS
        parts.append(folded)
    a, b, c = parts
    if not a or not b:  # a zero factor takes the other one out
        return ({}, {}, c) if c else None
    return (a, b, c)


def _roots(constraint: Constraint, wire: int) -> tuple[int, ...] | None:
    """The values of the one unknown wire that satisfy a constraint; None when all do."""
    (a0, a1), (b0, b1), (c0, c1) = ((part.get(0, 0), part.get(wire, 0)) for part in constraint)
    square = a1 * b1 % MODULUS
    linear = (a0 * b1 + a1 * b0 - c1) % MODULUS
    constant = (a0 * b0 - c0) % MODULUS
    if square:
        return _quadratic(square, linear, constant)
    if linear:
        return (-constant * inverse(linear) % MODULUS,)
    return () if constant else None


@lru_cache(maxsize=4096)
def _quadratic(square: int, linear: int, constant: int) -> tuple[int, ...]:
    """The roots of square w^2 + linear w + constant; nearly always the ones of a boolean."""
    half = linear * inverse(2 * square) % MODULUS
    root = _square_root((half * half - constant * inverse(square)) % MODULUS)
    if root is None:
        return ()
    return tuple(sorted({(root - half) % MODULUS, (-root - half) % MODULUS}))


_TWO_ADICITY = 28
"""r - 1 is 2^28 times an odd number."""

_NON_RESIDUE = 5
"""Has no square root modulo r, and so generates the 2^28-th roots of unity."""


def _square_root(value: int) -> int | None:
    """Tonelli and Shanks' algorithm; None when there is no root."""
    if value == 0:
        return 0
    if pow(value, (MODULUS - 1) // 2, MODULUS) != 1:
        return None
    odd = (MODULUS - 1) >> _TWO_ADICITY
    order, unity = _TWO_ADICITY, pow(_NON_RESIDUE, odd, MODULUS)
    power, root = pow(value, odd, MODULUS), pow(value, (odd + 1) // 2, MODULUS)
    while power != 1:
        least, square = 0, power
        while square != 1:
            square = square * square % MODULUS
            least += 1
        step = pow(unity, 1 << (order - least - 1), MODULUS)
        order, unity = least, step * step % MODULUS
        power, root = power * unity % MODULUS, root * step % MODULUS
    return root
