"""The public inputs x of a contract: what an action is told beside the facts of the transaction.

Section 2 of the protocol: x = null or [args, rows, pays, signers].
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NoReturn

from grail.bitcoin.addresses import MAX_RECOVERY, MIN_RECOVERY
from grail.charms.app import Data
from grail.errors import InvalidInput, SpellIncorrect
from grail.types import XOnlyKey

MAX_U32 = (1 << 32) - 1
MAX_U64 = (1 << 64) - 1
MAX_ARGS = 8
MAX_ROWS = 32
MAX_TERMS = 8
MAX_PAYS = 8
MAX_SIGNERS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One escrow that is settled: its input, its payout, and what rebuilds its address."""

    input: int
    output: int
    owner_script: bytes
    terms: tuple[int, ...]
    n: int
    user_key: XOnlyKey


@dataclass(frozen=True, slots=True)
class Inputs:
    """x of one contract; `pays` are output indexes, `signers` input indexes."""

    args: tuple[int, ...] = ()
    rows: tuple[Row, ...] = ()
    pays: tuple[int, ...] = ()
    signers: tuple[int, ...] = ()

    def to_cbor(self) -> list[Data]:
        """The array [args, rows, pays, signers]."""
        rows = [
            [row.input, row.output, row.owner_script, list(row.terms), row.n, bytes(row.user_key)]
            for row in self.rows
        ]
        return [list(self.args), rows, list(self.pays), list(self.signers)]


NO_INPUTS = Inputs()
"""What x = null means: all four lists are empty."""


def read_inputs(value: Data) -> Inputs:
    """Read x when it is not null. Raises `SpellIncorrect` with rule SpellInvalid."""
    match value:
        case [list() as args, list() as rows, list() as pays, list() as signers]:
            pass
        case _:
            invalid("x: not [args, rows, pays, signers]")
    if not (args or rows or pays or signers):
        invalid("x must be null when all four lists are empty")
    for name, found, cap in (
        ("args", args, MAX_ARGS),
        ("rows", rows, MAX_ROWS),
        ("pays", pays, MAX_PAYS),
        ("signers", signers, MAX_SIGNERS),
    ):
        if len(found) > cap:
            invalid(f"x: too many {name}", got=len(found), expected=f"at most {cap}")
    _unsigned("args", args, MAX_U64)
    strictly_rising("pays", pays)
    strictly_rising("signers", signers)
    read_rows = tuple(_row(row) for row in rows)
    strictly_rising("rows' inputs", [row.input for row in read_rows])
    strictly_rising("rows' outputs", [row.output for row in read_rows])
    return Inputs(tuple(args), read_rows, tuple(pays), tuple(signers))


def _row(value: Data) -> Row:
    match value:
        case [i, o, bytes() as owner, list() as terms, n, bytes() as key]:
            pass
        case _:
            invalid("x: a row is not [input, output, owner script, terms, n, user key]")
    _unsigned("row", [i, o, n], MAX_U32)
    _unsigned("terms", terms, MAX_U64)
    if not 1 <= len(terms) <= MAX_TERMS:
        invalid("x: count of terms", got=len(terms), expected=f"1 to {MAX_TERMS}")
    if not MIN_RECOVERY <= n <= MAX_RECOVERY:
        invalid("x: n of a row", got=n, expected=f"{MIN_RECOVERY} to {MAX_RECOVERY}")
    try:
        return Row(i, o, owner, tuple(terms), n, XOnlyKey(key))
    except InvalidInput as exc:
        invalid(f"x: {exc}")


def _unsigned(name: str, values: list[Data], most: int) -> None:
    for value in values:
        if type(value) is not int or not 0 <= value <= most:
            invalid(f"x: {name}", got=value, expected=f"unsigned, at most {most}")


def strictly_rising(name: str, values: list[Data]) -> None:
    """Refuse indexes that are no unsigned integers, equal, or out of order."""
    _unsigned(name, values, MAX_U32)
    if any(a >= b for a, b in itertools.pairwise(values)):
        invalid(f"{name}: not strictly rising", got=values)


def invalid(
    message: str, *, got: object = "another form", expected: object = "the form of section 2"
) -> NoReturn:
    """Raise `SpellIncorrect` with rule SpellInvalid."""
    raise SpellIncorrect("SpellInvalid", message, got=str(got)[:200], expected=str(expected))
