"""The seam to Rust: bytes in, bytes out, and our errors instead of its own.

The only module that imports `grail._native`. Every call releases the GIL while it works; wrong
Python types stay TypeErrors, since they are bugs. Field elements (BN254's scalar field, modulus r)
cross as 32 big-endian bytes and are integers in [0, r) on this side; nothing is ever reduced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from grail import _native
from grail.errors import (
    DecodeError,
    GrailError,
    Incorrect,
    InvalidInput,
    NotCanonical,
    ProofInvalid,
    TooLarge,
    TrailingBytes,
    Truncated,
    Unsatisfied,
)

R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""The order of BN254: the modulus of the field that circuits compute in."""


_DECODE: dict[str, type[DecodeError]] = {
    kind.__name__: kind for kind in (DecodeError, NotCanonical, TooLarge, TrailingBytes, Truncated)
}


@contextmanager
def _mapped(other: type[InvalidInput] = DecodeError) -> Iterator[None]:
    """Turn the crate's exceptions into ours; `other` is for the faults that name no kind.

    The order matters: the crate's own classes are ValueErrors.
    """
    try:
        yield
    except GrailError:
        raise
    except _native.DecodeFault as exc:
        kind, text = exc.args
        raise _DECODE[kind](text) from None
    except (_native.ScriptFault, _native.LinkFault) as exc:
        raise Incorrect(str(exc)) from None
    except _native.ProofFault as exc:
        raise ProofInvalid(str(exc)) from None
    except _native.UnsatisfiedFault as exc:
        index = int(exc.args[0])
        raise Unsatisfied(
            f"constraint {index} does not hold", values={"constraint": index}
        ) from None
    except (ValueError, OverflowError) as exc:
        raise other(str(exc)) from None


# ------------------------------------------------------------------------------------------ Bitcoin

Prevouts = Sequence[tuple[int, bytes]]
"""Of each input in order: satoshi and scriptPubKey of the output that it spends."""

RawInput = tuple[bytes, int, bytes, int, list[bytes]]
"""Txid (internal order), index, script, sequence, witness."""

RawTx = tuple[int, list[RawInput], list[tuple[int, bytes]], int, bytes, int]
"""Version, inputs, outputs (sats, script), lock time, txid, weight."""

RawMap = list[tuple[int, bytes, bytes]]
"""A PSBT map: key type, key data, value; keys rising."""


def tx_parse(raw: bytes) -> RawTx:
    """Read a transaction. Raises a kind of `DecodeError`."""
    with _mapped(InvalidInput):
        return _native.tx_parse(raw)


def sighash_taproot(
    raw: bytes, prevouts: Prevouts, index: int, sighash_type: int, leaf_hash: bytes | None
) -> bytes:
    """The signature hash of BIP 341, with a leaf that of BIP 342. Raises `InvalidInput`."""
    with _mapped(InvalidInput):
        return _native.sighash_taproot(raw, prevouts, index, sighash_type, leaf_hash)


def sighash_p2wpkh(raw: bytes, prevout: tuple[int, bytes], index: int, sighash_type: int) -> bytes:
    """The signature hash of BIP 143 for P2WPKH. Raises `InvalidInput`."""
    with _mapped(InvalidInput):
        return _native.sighash_p2wpkh(raw, prevout, index, sighash_type)


def taproot_output(
    internal_key: bytes, leaves: Sequence[tuple[int, int, bytes]]
) -> tuple[bytes, int, bytes, list[tuple[bytes, bytes]]]:
    """Output key, parity, root, and of each leaf (depth, version, script) hash and control block.

    Raises `InvalidInput`.
    """
    with _mapped(InvalidInput):
        return _native.taproot_output(internal_key, leaves)


def taproot_check_leaf(output: bytes, script: bytes, control_block: bytes) -> None:
    """Raise `Incorrect` unless they lead to the output's key.

    Raises `InvalidInput` for what is no control block.
    """
    with _mapped(InvalidInput):
        _native.taproot_check_leaf(output, script, control_block)


def xonly_check(key: bytes) -> None:
    """Raise `InvalidInput` unless the bytes are an x-only key on the curve."""
    with _mapped(InvalidInput):
        _native.xonly_check(key)


def address_encode(script: bytes, hrp: str) -> str:
    """The address of a scriptPubKey. Raises `InvalidInput`."""
    with _mapped(InvalidInput):
        return _native.address_encode(script, hrp)


def address_decode(text: str, hrp: str) -> bytes:
    """The scriptPubKey of an address. Raises `InvalidInput`."""
    with _mapped(InvalidInput):
        return _native.address_decode(text, hrp)


def psbt_read(raw: bytes) -> tuple[RawMap, list[RawMap], list[RawMap]]:
    """The checked maps of a PSBT: global, inputs, outputs. Raises a kind of `DecodeError`."""
    with _mapped(InvalidInput):
        return _native.psbt_read(raw)


def verify_input(raw: bytes, prevouts: Prevouts, index: int) -> None:
    """Raise `Incorrect` unless the input is valid by consensus rules (libbitcoinconsensus)."""
    with _mapped(InvalidInput):
        _native.verify_input(raw, prevouts, index)


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
    with _mapped(InvalidInput):
        return int.from_bytes(_native.poseidon(scalars(inputs)), "big")


def poseidon_constants(t: int) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """Full rounds, partial rounds, round constants, MDS row by row. Raises: InvalidInput."""
    with _mapped(InvalidInput):
        full, partial, rounds, matrix = _native.poseidon_constants(t)
    return full, partial, _integers(rounds), _integers(matrix)


# --------------------------------------------------------------------------- BabyJubJub and EdDSA

Coordinates = tuple[int, int]
"""x and y of a point, in [0, r)."""


def _pair(raw: bytes) -> Coordinates:
    x, y = _integers(raw)
    return x, y


def _number(value: int) -> bytes:
    if not 0 <= value < 1 << 256:
        raise InvalidInput("factor: expected an integer from 0 to 2^256 - 1")
    return value.to_bytes(32, "big")


def babyjub_add(left: Coordinates, right: Coordinates) -> Coordinates:
    """The sum of two points of BabyJubJub. Raises: DecodeError off the curve, InvalidInput."""
    with _mapped(InvalidInput):
        return _pair(_native.babyjub_add(scalars(left), scalars(right)))


def babyjub_times(point: Coordinates, number: int) -> Coordinates:
    """A point times a number below 2^256. Raises: DecodeError off the curve, InvalidInput."""
    with _mapped(InvalidInput):
        return _pair(_native.babyjub_times(scalars(point), _number(number)))


def babyjub_pack(point: Coordinates) -> bytes:
    """The 32 bytes that stand for a point. Raises: DecodeError off the curve, InvalidInput."""
    with _mapped(InvalidInput):
        return _native.babyjub_pack(scalars(point))


def babyjub_unpack(packed: bytes) -> Coordinates:
    """The point that 32 bytes stand for. Raises: DecodeError."""
    with _mapped():
        return _pair(_native.babyjub_unpack(packed))


def eddsa_public_key(secret: bytes) -> Coordinates:
    """The public key of 32 secret bytes. Raises: InvalidInput."""
    with _mapped(InvalidInput):
        return _pair(_native.eddsa_public_key(secret))


def eddsa_sign(secret: bytes, message: int) -> tuple[int, int, int]:
    """R8's x and y, and S, over one field element. Raises: InvalidInput."""
    with _mapped(InvalidInput):
        x, y, s = _integers(_native.eddsa_sign(secret, scalar(message)))
    return x, y, s


def eddsa_verify(key: Coordinates, message: int, r8: Coordinates, s: int) -> None:
    """Check a signature over one field element. Raises: ProofInvalid, InvalidInput."""
    with _mapped(InvalidInput):
        _native.eddsa_verify(scalars(key), scalar(message), scalars(r8), _number(s))


# -------------------------------------------------------------- constraint systems and witnesses


@dataclass(frozen=True, slots=True)
class R1csInfo:
    """What the header of an `.r1cs` says, checked against the rest of the file."""

    wires: int
    public_outputs: int
    public_inputs: int
    private_inputs: int
    labels: int
    constraints: int

    @property
    def publics(self) -> int:
        """How many public inputs a proof has: outputs first, then inputs."""
        return self.public_outputs + self.public_inputs


def r1cs_info(r1cs: bytes) -> R1csInfo:
    """Read the whole file and say what it holds. Raises: DecodeError."""
    with _mapped(InvalidInput):
        return R1csInfo(*_native.r1cs_info(r1cs))


@dataclass(frozen=True, slots=True)
class PtauInfo:
    """Powers of tau: good for circuits of up to 2^power constraints.

    `ceremony_power` is that of the ceremony that they were cut from; `contributions` are counted,
    not verified; `prepared` says whether the points that phase 2 starts from are there.
    """

    power: int
    ceremony_power: int
    contributions: int
    prepared: bool


def ptau_info(ptau: bytes) -> PtauInfo:
    """Read a whole `.ptau` file, and check that it is made of one tau, alpha and beta.

    Raises: DecodeError when it does not hold together, or when nobody contributed to it.
    """
    with _mapped(InvalidInput):
        return PtauInfo(*_native.ptau_info(ptau))


def r1cs_check(r1cs: bytes, wtns: bytes) -> int | None:
    """The index of the first constraint that the witness breaks. Raises: DecodeError."""
    with _mapped(InvalidInput):
        return _native.r1cs_check(r1cs, wtns)


def program_run(program: bytes, inputs: Sequence[int]) -> bytes:
    """Evaluate a witness program: all wires as `.wtns` bytes. Raises: DecodeError, InvalidInput."""
    with _mapped(InvalidInput):
        return _native.program_run(program, scalars(inputs))


def wtns_wires(wtns: bytes) -> tuple[int, ...]:
    """All wires of a witness. Raises: DecodeError."""
    with _mapped(InvalidInput):
        return _integers(_native.wtns_wires(wtns))


# ---------------------------------------------------------------------------------------- Groth16


def vk_check(vk: bytes, n_public: int) -> None:
    """PROTOCOL section 12, "Binding in Groth16". Raises: DecodeError."""
    with _mapped(InvalidInput):
        _native.vk_check(vk, n_public)


def groth16_verify(vk: bytes, publics: Sequence[int], proof: bytes) -> None:
    """Check one proof. Raises: ProofInvalid, InvalidInput."""
    with _mapped(InvalidInput):
        _native.groth16_verify(vk, scalars(publics), proof)


def gnark_verify(vk: bytes, publics: Sequence[bytes], proof: bytes) -> None:
    """Check one proof of 256 bytes that gnark wrote, by a key in gnark's form.

    Public inputs are 32 big-endian bytes, as SP1 has them; one that is not below r is refused.
    Raises: ProofInvalid, InvalidInput.
    """
    with _mapped(InvalidInput):
        _native.gnark_verify(vk, list(publics), proof)


def groth16_verify_batch(statements: Sequence[tuple[bytes, Sequence[int], bytes]]) -> None:
    """Check many proofs in one equation. Raises: ProofInvalid, InvalidInput."""
    with _mapped(InvalidInput):
        _native.groth16_verify_batch(
            [(vk, scalars(publics), proof) for vk, publics, proof in statements]
        )


def groth16_setup(r1cs: bytes, seed: bytes) -> tuple[bytes, bytes]:
    """Proving and verifying key, a function of circuit and seed. Raises: DecodeError."""
    with _mapped(InvalidInput):
        return _native.groth16_setup(r1cs, seed)


def prove_wtns(pk: bytes, r1cs: bytes, wtns: bytes) -> tuple[bytes, tuple[int, ...]]:
    """A proof and its public inputs. Raises: Unsatisfied, DecodeError."""
    with _mapped(InvalidInput):
        proof, publics = _native.prove_wtns(pk, r1cs, wtns)
    return proof, _integers(publics)


class Prover:
    """A circuit, its proving key and its witness program, held in Rust."""

    def __init__(self, r1cs: bytes, pk: bytes, program: bytes) -> None:
        with _mapped(InvalidInput):
            self._prover = _native.Prover(r1cs, pk, program)

    def witness(self, inputs: Sequence[int]) -> bytes:
        """All wires as `.wtns` bytes. Raises: InvalidInput."""
        with _mapped(InvalidInput):
            return self._prover.witness(scalars(inputs))

    def prove(self, inputs: Sequence[int]) -> tuple[bytes, tuple[int, ...]]:
        """A proof and its public inputs. Raises: Unsatisfied, InvalidInput."""
        with _mapped(InvalidInput):
            proof, publics = self._prover.prove(scalars(inputs))
        return proof, _integers(publics)

    def prove_wtns(self, wtns: bytes) -> tuple[bytes, tuple[int, ...]]:
        """The same for a witness made elsewhere. Raises: Unsatisfied, DecodeError."""
        with _mapped(InvalidInput):
            proof, publics = self._prover.prove_wtns(wtns)
        return proof, _integers(publics)


class Zkey:
    """A proving key of snarkjs, held in Rust."""

    def __init__(self, zkey: bytes) -> None:
        with _mapped(InvalidInput):
            self._zkey = _native.Zkey(zkey)

    def info(self) -> tuple[int, int, int, int]:
        """Wires, public inputs, rows of the domain, coefficients."""
        return self._zkey.info()

    def vk(self) -> bytes:
        """The verifying key."""
        return self._zkey.vk()

    def prove(self, wtns: bytes) -> tuple[bytes, tuple[int, ...]]:
        """A proof and its public inputs. Raises: ProofInvalid, DecodeError, InvalidInput."""
        with _mapped(InvalidInput):
            proof, publics = self._zkey.prove(wtns)
        return proof, _integers(publics)


def vk_points(vk: bytes) -> tuple[int, ...]:
    """Affine coordinates: alpha x y; beta, gamma, delta (x0 x1 y0 y1 each); then the IC points.

    Raises: DecodeError.
    """
    with _mapped(InvalidInput):
        return _integers(_native.vk_points(vk))


def vk_from_points(coordinates: Sequence[int]) -> bytes:
    """The inverse of `vk_points`; points off the curve are refused. Raises: DecodeError."""
    with _mapped(InvalidInput):
        return _native.vk_from_points(_coordinates(coordinates))


def proof_points(proof: bytes) -> tuple[int, ...]:
    """Affine coordinates: A x y, B x0 x1 y0 y1, C x y. Raises: ProofInvalid."""
    with _mapped(InvalidInput):
        return _integers(_native.proof_points(proof))


def proof_from_points(coordinates: Sequence[int]) -> bytes:
    """The inverse of `proof_points`; points off the curve are refused. Raises: ProofInvalid."""
    with _mapped(InvalidInput):
        return _native.proof_from_points(_coordinates(coordinates))


def _coordinates(values: Sequence[int]) -> list[bytes]:
    if not all(0 <= value < 1 << 256 for value in values):
        raise DecodeError("coordinate: expected 256 bits")
    return [value.to_bytes(32, "big") for value in values]


# -------------------------------------------------------------------------------------------- links


@dataclass(frozen=True, slots=True)
class Ends:
    """The static keys of a link's two ends, and the hash of the transcript; 32 bytes each."""

    own: bytes
    remote: bytes
    transcript: bytes


class NoiseSession:
    """One end of Noise_XX_25519_ChaChaPoly_SHA256; its static key is drawn for it, and kept in.

    Both ends must give the same prologue. A message that is not what the other end wrote next ends
    the session for good.
    """

    def __init__(self, *, initiator: bool, prologue: bytes) -> None:
        with _mapped(InvalidInput):
            self._session = _native.NoiseSession(initiator, prologue)

    def write(self, payload: bytes) -> bytes:
        """The next message. Raises `InvalidInput` for what is too long, `Incorrect` when dead."""
        with _mapped(InvalidInput):
            return bytes(self._session.write(payload))

    def read(self, message: bytes) -> bytes:
        """The payload of the next message. Raises `Incorrect`."""
        with _mapped(InvalidInput):
            return bytes(self._session.read(message))

    def ends(self) -> Ends:
        """Who is at both ends. Raises `InvalidInput` before the handshake is through."""
        own, remote, transcript = self._session.ends()
        if not transcript:
            raise InvalidInput("link: the handshake is not through")
        return Ends(bytes(own), bytes(remote), bytes(transcript))
