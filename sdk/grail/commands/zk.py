"""`grail zk`: circuits, witnesses, keys and proofs in the files of circom and snarkjs."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from grail.commands.opening import example
from grail.commands.terminal import LOCAL, Json, emit
from grail.errors import GrailError, InvalidInput, ProofInvalid, TooLarge

MAX_TEXT = 1 << 20
"""Bytes of a key, a proof or public inputs as JSON."""

MAX_FILE = 4 << 30
"""Bytes of a circuit, a witness or a proving key: more than the largest that is proven here."""

CHUNK = 1 << 20
"""Bytes that are read at once, so that a pipe without end is given up where the limit is."""

CHECK = "which constraint breaks: grail zk check --r1cs R --wtns W"

T = TypeVar("T")

zk = typer.Typer(help="Circuits, keys and proofs of circom and snarkjs.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the verbs to the `grail` command."""
    app.add_typer(zk, name="zk")


@zk.callback()
def group() -> None:
    """Circuits, keys and proofs in the files of circom and snarkjs (Groth16 over BN254)."""


def _option(name: str, help_: str) -> Any:
    return typer.Option(name, metavar="FILE", help=help_)


Key = Annotated[Path, _option("--key", "The verifying key: verification_key.json.")]
Proof = Annotated[Path, _option("--proof", "The proof: proof.json.")]
Public = Annotated[Path, _option("--public", "The public inputs: public.json.")]
ZkeyFile = Annotated[Path, _option("--zkey", "The proving key: circuit.zkey.")]
WtnsFile = Annotated[Path, _option("--wtns", "The witness: witness.wtns.")]
R1csFile = Annotated[Path, _option("--r1cs", "The circuit: circuit.r1cs.")]
ProofOut = Annotated[Path, _option("--out", "Where to write the proof.")]
PublicOut = Annotated[Path, _option("--public", "Where to write the public inputs.")]
KeyOut = Annotated[Path, _option("--out", "Where to write the verifying key.")]


@zk.command(epilog=example("zk verify --key key.json --proof proof.json --public u.json", LOCAL))
def verify(key: Key, proof: Proof, public: Public, *, as_json: Json = False) -> None:
    """Verify a proof: exit code 0 if it holds, 1 if not, 2 if a file is none of its kind.

    Nothing is reduced: a coordinate of q or more is refused, where snarkjs takes it.
    """
    from grail.zk import groth16, snarkjs

    vk = _content(key, MAX_TEXT, _binding_key)
    publics = _content(public, MAX_TEXT, snarkjs.public_from_json)
    points = _content(proof, MAX_TEXT, snarkjs.proof_from_json)
    with _named(proof, ProofInvalid), _named(public, InvalidInput):
        groth16.verify(vk, publics, points)
    emit(
        {"valid": True, "publics": [str(value) for value in publics]},
        as_json=as_json,
        text=f"the proof holds for {_inputs(len(publics))}",
    )


@zk.command(epilog=example("zk prove --zkey c.zkey --wtns w.wtns --out p.json --public u", LOCAL))
def prove(
    zkey: ZkeyFile, wtns: WtnsFile, out: ProofOut, public: PublicOut, *, as_json: Json = False
) -> None:
    """Prove a witness with a proving key of snarkjs, as `snarkjs groth16 prove` does.

    The proof is verified before it is written: exit code 1 if the witness breaks a constraint.
    """
    from grail.zk import snarkjs

    key = _content(zkey, MAX_FILE, snarkjs.Zkey)
    witness = _content(wtns, MAX_FILE, bytes)
    begun = time.monotonic()
    with _named(wtns, GrailError):
        try:
            proved = key.prove(witness)
        except ProofInvalid as exc:
            exc.hint = CHECK
            raise
    seconds = time.monotonic() - begun
    _write(out, snarkjs.proof_json(proved.proof))
    _write(public, snarkjs.public_json(proved.publics))
    emit(
        {
            "proof": str(out),
            "public": str(public),
            "publics": [str(value) for value in proved.publics],
            "seconds": round(seconds, 3),
        },
        as_json=as_json,
        text=f"proof in {out}, {_inputs(len(proved.publics))} in {public}, {seconds:.2f} s",
    )


@zk.command(epilog=example("zk check --r1cs circuit.r1cs --wtns witness.wtns", LOCAL))
def check(r1cs: R1csFile, wtns: WtnsFile, *, as_json: Json = False) -> None:
    """Check a witness against a circuit: exit code 1 names the first constraint that fails."""
    from grail import native
    from grail.errors import Unsatisfied

    circuit = _content(r1cs, MAX_FILE, bytes)
    with _named(r1cs, GrailError):
        info = native.r1cs_info(circuit)
    witness = _content(wtns, MAX_FILE, bytes)
    with _named(wtns, InvalidInput):
        broken = native.r1cs_check(circuit, witness)
    if broken is not None:
        raise Unsatisfied(
            f"{wtns}: constraint {broken} of {r1cs} does not hold", values={"constraint": broken}
        )
    emit(
        {"satisfied": True, "constraints": info.constraints},
        as_json=as_json,
        text=f"{info.constraints:,} of {info.constraints:,} constraints hold",
    )


@zk.command("key", epilog=example("zk key --zkey circuit.zkey --out verification_key.json", LOCAL))
def write_key(zkey: ZkeyFile, out: KeyOut, *, as_json: Json = False) -> None:
    """Write the verifying key of a proving key, as snarkjs reads it."""
    from grail.zk import snarkjs

    found = _content(zkey, MAX_FILE, snarkjs.Zkey)
    _write(out, snarkjs.verification_key_json(found.vk))
    emit(
        {"key": str(out), "publics": found.publics},
        as_json=as_json,
        text=f"verifying key for {_inputs(found.publics)} in {out}",
    )


@zk.command("show", epilog=example("zk show circuit.r1cs --json", LOCAL))
def show_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A circuit, a witness, a proving key or powers of tau."
        ),
    ],
    *,
    as_json: Json = False,
) -> None:
    """Read a whole .r1cs, .wtns, .zkey or .ptau file, check it and say what it holds.

    Values of a witness are not shown. Powers of tau are checked to be those of one secret.
    """
    shown = _content(file, MAX_FILE, _describe)
    lines = [f"{name:16} {value}" for name, value in shown.items()]
    emit(shown, as_json=as_json, text="\n".join(lines))


def _binding_key(raw: bytes) -> bytes:
    """A verifying key for which not everybody can forge."""
    from grail.zk import groth16, snarkjs

    vk = snarkjs.verification_key_from_json(raw)
    groth16.check_key(vk, json.loads(raw)["nPublic"])
    return vk


def _describe(raw: bytes) -> dict[str, Any]:
    from grail import native
    from grail.zk import snarkjs

    match raw[:4]:
        case b"r1cs":
            info = native.r1cs_info(raw)
            return {
                "kind": "r1cs",
                "constraints": info.constraints,
                "wires": info.wires,
                "public_outputs": info.public_outputs,
                "public_inputs": info.public_inputs,
                "private_inputs": info.private_inputs,
            }
        case b"wtns":
            return {"kind": "wtns", "wires": len(snarkjs.read_wtns(raw))}
        case b"zkey":
            zkey = snarkjs.Zkey(raw)
            return {
                "kind": "zkey",
                "wires": zkey.wires,
                "public_inputs": zkey.publics,
                "rows": zkey.domain,
                "terms": zkey.terms,
            }
        case b"ptau":
            ptau = native.ptau_info(raw)
            return {
                "kind": "ptau",
                "constraints": 1 << ptau.power,
                "power": ptau.power,
                "ceremony_power": ptau.ceremony_power,
                "contributions": ptau.contributions,
                "prepared": ptau.prepared,
                "sha256": hashlib.sha256(raw).hexdigest(),
            }
    raise InvalidInput(
        f"got a file that begins with {raw[:4]!r}, expected r1cs, wtns, zkey or ptau",
        hint="circom writes the first two, snarkjs the others",
    )


def _inputs(count: int) -> str:
    return f"{count} public input{'' if count == 1 else 's'}"


def _content(path: Path, limit: int, read: Callable[[bytes], T]) -> T:
    """What a file holds; errors name the file."""
    chunks: list[bytes] = []
    left = limit
    try:
        with path.open("rb") as file:
            while left >= 0 and (chunk := file.read(CHUNK)):
                chunks.append(chunk)
                left -= len(chunk)
    except OSError as exc:
        raise InvalidInput(f"{path}: {exc.strerror}", hint="give the path of a file") from exc
    if left < 0:
        raise TooLarge(f"{path}: more than {limit:,} bytes")
    with _named(path, GrailError):
        return read(b"".join(chunks))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as exc:
        raise InvalidInput(f"{path}: {exc.strerror}", hint="choose where to write") from exc


@contextmanager
def _named(path: Path, kind: type[GrailError]) -> Iterator[None]:
    """Put the file's name before what an error of this kind says."""
    try:
        yield
    except kind as exc:
        exc.args = (f"{path}: {exc}",)
        raise
