"""The seam to Rust: bytes in, bytes out, and our errors instead of its own.

The only module that imports `grail._native`. Field elements (BN254's scalar field, modulus r)
cross as 32 big-endian bytes and are integers in [0, r) on this side; nothing is ever reduced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from grail import _native
from grail.errors import DecodeError, GrailError, InvalidInput, ProofInvalid, Unsatisfied

R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""The order of BN254: the modulus of the field that circuits compute in."""


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn the crate's exceptions into ours. The order matters: the first two are ValueErrors."""
    try:
        yield
    except GrailError:
        raise
    except _native.ProofFault as exc:
        raise ProofInvalid(str(exc)) from None
    except _native.UnsatisfiedFault as exc:
        index = int(exc.args[0])
        raise Unsatisfied(
            f"constraint {index} does not hold", values={"constraint": index}
        ) from None
    except (ValueError, OverflowError) as exc:
        raise DecodeError(str(exc)) from None


# ------------------------------------------------------------------- field elements and Poseidon


def scalar(value: int) -> bytes:
    """A field element as 32 bytes. Raises: InvalidInput unless 0 <= value < r (threat Z4)."""
    if not 0 <= value < R:
        # the value itself may be private, so it is not shown
        raise InvalidInput("field element: expected an integer from 0 to r - 1")
    return value.to_bytes(32, "big")


def scalars(values: Sequence[int]) -> list[bytes]:
    """Field elements as 32 bytes each. Raises: InvalidInput unless all are in [0, r)."""
    return [scalar(value) for value in values]


def _integers(raw: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(raw[i : i + 32], "big") for i in range(0, len(raw), 32))


def poseidon(inputs: Sequence[int]) -> int:
    """Poseidon of 1 to 16 elements. Raises: InvalidInput."""
    with _mapped():
        return int.from_bytes(_native.poseidon(scalars(inputs)), "big")


def poseidon_constants(t: int) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """Full rounds, partial rounds, round constants, MDS row by row. Raises: InvalidInput."""
    with _mapped():
        full, partial, rounds, matrix = _native.poseidon_constants(t)
    return full, partial, _integers(rounds), _integers(matrix)
