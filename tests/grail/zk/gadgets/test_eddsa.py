"""Signatures in a circuit: the real one holds, and every way around it that we know does not."""

from __future__ import annotations

import pytest
from signed_circuit import signed_message

from grail import native
from grail.crypto import babyjub as reference
from grail.crypto.babyjub import BASE, ORDER, Signature, SigningKey
from grail.errors import DecodeError, InvalidInput, NotCanonical, SignatureInvalid, Unsatisfied
from grail.zk import groth16
from grail.zk.circuit import Circuit
from grail.zk.field import MODULUS
from grail.zk.gadgets.babyjub import Point, identity, times_base
from grail.zk.gadgets.bits import to_bits
from grail.zk.gadgets.eddsa import assert_signed

KEY = SigningKey(bytes(range(32)))
MESSAGE = 123_456_789
SIGNED = KEY.sign(MESSAGE)
HONEST = (KEY.public.x, KEY.public.y, MESSAGE, SIGNED.r8.x, SIGNED.r8.y, SIGNED.s)
IDENTITY = reference.Point(0, 1)
MINUS = reference.Point(0, MODULUS - 1)
"""The point of order 2."""


def refused(inputs: tuple[int, ...]) -> bool:
    compiled = signed_message()
    witness = native.program_run(compiled.program, inputs)
    return native.r1cs_check(compiled.r1cs, witness) is not None


def test_a_signature_holds_and_is_proven() -> None:
    compiled = signed_message()
    assert not refused(HONEST)
    keys = groth16.setup(compiled.r1cs, bytes(32))
    proof, publics = groth16.prove_witness(
        keys.pk, compiled.r1cs, native.program_run(compiled.program, HONEST)
    )
    assert publics == HONEST[:3]
    groth16.verify(keys.vk, publics, proof)


@pytest.mark.parametrize("at", range(6))
def test_any_other_number_is_refused(at: int) -> None:
    bad = [*HONEST]
    bad[at] = (bad[at] + 1) % MODULUS
    assert refused(tuple(bad))


def test_Z4_a_second_s_for_one_signature_is_refused() -> None:
    """S plus the order satisfies the equation: it must not be taken, in or out of a circuit."""
    for more in (SIGNED.s + ORDER, SIGNED.s + 2 * ORDER):
        assert refused((*HONEST[:5], more % MODULUS))
        with pytest.raises(SignatureInvalid, match="below the order"):
            reference.verify(KEY.public, MESSAGE, Signature(SIGNED.r8, more))
    with pytest.raises(InvalidInput):
        Signature(SIGNED.r8, ORDER).pack()
    with pytest.raises(NotCanonical):
        Signature.unpack(SIGNED.r8.pack() + ORDER.to_bytes(32, "little"))


def test_Z4_a_key_of_small_order_signs_nothing() -> None:
    """With A of order 1 or 2, 8A is the identity: R8 = S * Base8 would hold for every message."""
    for key in (IDENTITY, MINUS):
        r8 = BASE.times(5)
        assert refused((key.x, key.y, MESSAGE, r8.x, r8.y, 5))
        with pytest.raises(SignatureInvalid, match="small order"):
            reference.verify(key, MESSAGE, Signature(r8, 5))


def test_points_off_the_curve_are_refused() -> None:
    x, y = SIGNED.r8.x, SIGNED.r8.y
    for point in ((y, x), (0, 0), (x, MODULUS - y + 1)):
        assert refused((*HONEST[:3], *point, HONEST[5]))
        assert refused((*point, *HONEST[2:]))
        with pytest.raises(InvalidInput):
            reference.Point(*point)
        with pytest.raises(Unsatisfied, match="not on the curve"):
            Point.checked(*point)


def test_Z1_no_signal_is_free() -> None:
    assert signed_message().circuit.free_signals(HONEST) == ()


def test_constants_are_judged_at_once() -> None:
    public, r8 = Point.constant(KEY.public), Point.constant(SIGNED.r8)
    assert_signed(public, MESSAGE, r8, SIGNED.s)
    with pytest.raises(Unsatisfied):
        assert_signed(public, MESSAGE + 1, r8, SIGNED.s)


def test_constraint_count_is_known() -> None:
    assert len(signed_message().circuit.constraints) == 4_993


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (BASE, BASE),
        (BASE, BASE.times(7)),
        (BASE, BASE.times(ORDER - 1)),
        (BASE, IDENTITY),
        (IDENTITY, IDENTITY),
        (MINUS, BASE),
        (MINUS, MINUS),
    ],
)
def test_sums_have_no_exceptions(left: reference.Point, right: reference.Point) -> None:
    """Equal points, opposite ones, the identity, and those outside the subgroup."""
    circuit = Circuit()
    p, q = (Point.checked(circuit.private(f"{n}x"), circuit.private(f"{n}y")) for n in "pq")
    outputs = [p + q, p.doubled()]
    wires = [circuit.materialise(value) for point in outputs for value in (point.x, point.y)]
    inputs = [left.x, left.y, right.x, right.y]
    witness = circuit.solve(inputs)
    plain = [left + right, left + left]
    values = [witness[next(iter(wire.terms))] for wire in wires]
    assert values == [value for point in plain for value in (point.x, point.y)]
    assert circuit.free_signals(inputs) == ()


@pytest.mark.parametrize("factor", [0, 1, 2, 3, 4, 5, 62, 127, 128, 254, 255])
def test_multiples_agree_with_the_curve(factor: int) -> None:
    start = BASE.times(9)
    circuit = Circuit()
    number = circuit.private("number")
    point = Point.checked(circuit.private("x"), circuit.private("y"))
    bits = to_bits(number, 8)
    wires = [
        circuit.materialise(value)
        for result in (point.times(bits), times_base(bits))
        for value in (result.x, result.y)
    ]
    witness = circuit.solve([factor, start.x, start.y])
    values = [witness[next(iter(wire.terms))] for wire in wires]
    plain = [start.times(factor), BASE.times(factor)]
    assert values == [value for point in plain for value in (point.x, point.y)]


def test_no_bits_are_the_number_zero() -> None:
    for point in (Point.constant(BASE).times(()), times_base(()), identity()):
        assert (point.x.value, point.y.value) == (0, 1)


def test_the_secret_is_not_shown() -> None:
    assert bytes(range(32)).hex() not in repr(KEY)
    with pytest.raises(TypeError):
        KEY.__reduce__()
    with pytest.raises(InvalidInput, match="32"):
        SigningKey(bytes(31))
    assert SigningKey.generate().public != SigningKey.generate().public


def test_packed_forms_are_canonical() -> None:
    assert Signature.unpack(SIGNED.pack()) == SIGNED
    assert reference.Point.unpack(KEY.public.pack()) == KEY.public
    for raw in (b"", bytes(31), b"\xff" * 32):
        with pytest.raises(DecodeError):
            reference.Point.unpack(raw)
    with pytest.raises(DecodeError, match="64"):
        Signature.unpack(SIGNED.pack()[:-1])
    signed_zero = bytearray(IDENTITY.pack())
    signed_zero[31] |= 0x80
    with pytest.raises(NotCanonical):
        reference.Point.unpack(bytes(signed_zero))


def test_messages_outside_the_field_are_refused() -> None:
    for message in (-1, MODULUS):
        with pytest.raises(InvalidInput):
            KEY.sign(message)
