"""The circuit that says: this key signed this field element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from grail.zk.circuit import Circuit
from grail.zk.gadgets.babyjub import Point
from grail.zk.gadgets.eddsa import assert_signed

NAMES = ("key_x", "key_y", "message", "r8_x", "r8_y", "s")


@dataclass(frozen=True)
class Compiled:
    """A circuit and what Rust needs of it."""

    circuit: Circuit
    r1cs: bytes
    program: bytes


def stated() -> Circuit:
    """Key and message are public, the signature is private."""
    circuit = Circuit()
    key_x, key_y, message = (circuit.public(name) for name in NAMES[:3])
    x, y, s = (circuit.private(name) for name in NAMES[3:])
    assert_signed(Point.checked(key_x, key_y), message, Point.checked(x, y), s)
    return circuit


@cache
def signed_message() -> Compiled:
    """Built once for all tests."""
    circuit = stated()
    return Compiled(circuit, circuit.r1cs().serialize(), circuit.program())
