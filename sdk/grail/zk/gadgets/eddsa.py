"""EdDSA over BabyJubJub with Poseidon in a circuit: what an oracle signed, checked by an app.

The same signatures as `grail.crypto.babyjub` and circomlib's EdDSAPoseidonVerifier. Beyond that one
this states that key and nonce are on the curve, without which the addition law proves nothing.

Put into the message all that the signature is for: what it says, the app (`self_fact()`), the
network and a time. A signature is public: whoever saw it can show it again (PROTOCOL section 6).
"""

from __future__ import annotations

from grail.crypto import babyjub as reference
from grail.zk.field import Field, as_field, circuit_of
from grail.zk.gadgets.babyjub import Point, times_base
from grail.zk.gadgets.bits import is_zero, to_all_bits, to_bits
from grail.zk.gadgets.integers import UInt
from grail.zk.gadgets.poseidon import poseidon

_BITS = reference.ORDER.bit_length()


def assert_signed(key: Point, message: Field | int, r8: Point, s: Field | int) -> None:
    """State that (r8, s) is the key's signature over the field element. 4,987 constraints.

    The points must be on the curve by proof: make them by `Point.checked`. s is proven to be below
    the subgroup's order, so that nobody can make a second signature of one, and a key of small
    order is refused: it would hold for every message (threat Z4).

    Raises: Unsatisfied when all are constants and it is not.
    """
    known, factor = as_field(message), as_field(s)
    circuit = circuit_of(key.x, key.y, known, r8.x, r8.y, factor)
    if circuit is None:
        _state(key, known, r8, factor)
        return
    with circuit.statement("the signature does not verify", key=key.x, signed=known):
        _state(key, known, r8, factor)


def _state(key: Point, message: Field, r8: Point, s: Field) -> None:
    bits = to_bits(s, _BITS)
    UInt(s, (1 << _BITS) - 1).assert_less(reference.ORDER)
    eight = key.doubled().doubled().doubled()
    is_zero(eight.x).assert_false()  # of the points in the subgroup only the identity has x = 0
    challenge = poseidon([r8.x, r8.y, key.x, key.y, message])
    times_base(bits).assert_equal(r8 + eight.times(to_all_bits(challenge)))
