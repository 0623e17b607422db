"""From an app's class to its bundle, and from inputs to proofs.

Keys come from a seed: a setup by one party, marked as such in the bundle (threat Z8), the same on
every machine. Circuits and keys are kept on disk under the hash of what made them, so a second
start neither traces nor sets up again. Only the project's own apps skip the trace, since only their
sources are known in full; an app of yours is traced once in each process, and its keys are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import grail
from grail import codec, native
from grail.apps.declaration import ActionSpec
from grail.apps.keys import Cache
from grail.apps.zkapp import TracedAction, ZkApp, program_inputs, trace
from grail.charms.descriptor import Bundle, Setup
from grail.crypto.schnorr import tagged_hash
from grail.errors import DecodeError, InvalidInput, Unsatisfied
from grail.zk import groth16
from grail.zk.program import evaluate
from grail.zk.r1cs import witness_file

DEVNET_SETUP = b"grail devnet setup 1"
"""The seed of the devnet's keys: public, so anybody can forge with them. Never for real money."""

Private = Mapping[str, int | Sequence[int]]
"""Private inputs by name; a list for what an action declares as many under one name."""


class _Files:
    """The large parts of one action, from the cache or made again."""

    def __init__(self, app: type[ZkApp], spec: ActionSpec, seed: bytes, cache: Cache) -> None:
        self._app = app
        self._spec = spec
        self._seed = seed
        self._cache = cache

    @cached_property
    def traced(self) -> TracedAction:
        """The action's circuit with its source lines."""
        return trace(self._app, self._spec)

    def circuit(self, digest: bytes | None) -> tuple[bytes, bytes]:
        """Constraint system and witness program; `digest` names them where it is known."""
        if digest is not None:
            parts = [self._cache.load(f"{digest.hex()}.{kind}") for kind in ("r1cs", "gwp")]
            if parts[0] is not None and parts[1] is not None:
                return parts[0], parts[1]
        r1cs = self.traced.circuit.r1cs().serialize()
        program = self.traced.circuit.program()
        name = circuit_digest(r1cs, program).hex()
        self._cache.store(f"{name}.r1cs", r1cs)
        self._cache.store(f"{name}.gwp", program)
        return r1cs, program

    def keys(self, r1cs: bytes) -> groth16.KeyPair:
        """Proving and verifying key."""
        seed = tagged_hash("grail/setup", hashlib.sha256(r1cs).digest() + self._seed)
        name = tagged_hash("grail/keys", _crate() + seed).hex()
        pk, vk = self._cache.load(f"{name}.pk"), self._cache.load(f"{name}.vk")
        if pk is None or vk is None:
            pk, vk = groth16.setup(r1cs, seed)
            self._cache.store(f"{name}.pk", pk)
            self._cache.store(f"{name}.vk", vk)
        return groth16.KeyPair(pk, vk)


@dataclass(frozen=True)
class CompiledCircuit:
    """One action's circuit with its verifying key. The large parts are read when needed.

    `facts` and `private` name the inputs in order; `free` tells which facts no constraint touches,
    and why.
    """

    name: str
    constraints: int
    wires: int
    facts: tuple[str, ...]
    private: tuple[str, ...]
    free: tuple[tuple[str, str], ...]
    digest: bytes
    vk: bytes
    _files: _Files

    @cached_property
    def _circuit(self) -> tuple[bytes, bytes]:
        return self._files.circuit(self.digest)

    @property
    def r1cs(self) -> bytes:
        """The constraint system (iden3 `.r1cs`)."""
        return self._circuit[0]

    @property
    def program(self) -> bytes:
        """The witness program (GWP1)."""
        return self._circuit[1]

    @property
    def pk(self) -> bytes:
        """The proving key."""
        return self._files.keys(self.r1cs).pk

    @cached_property
    def prover(self) -> groth16.Prover:
        """The circuit loaded for proving."""
        return groth16.Prover(self.r1cs, self.pk, self.program)

    def inputs(self, digest: bytes, facts: Sequence[int], private: Private) -> list[int]:
        """The witness program's inputs in order. Raises: InvalidInput when they do not fit."""
        return program_inputs(self.facts, self.private, digest, facts, private)

    def witness(self, inputs: Sequence[int]) -> bytes:
        """The witness (iden3 `.wtns`), constraints checked. It holds the private inputs.

        Raises: Unsatisfied with the line of the app's code; InvalidInput for wrong inputs.
        """
        wtns = witness_file(evaluate(self.program, inputs))
        if native.r1cs_check(self.r1cs, wtns) is not None:
            self.explain(inputs)
        return wtns

    def explain(self, inputs: Sequence[int]) -> None:
        """Raise `Unsatisfied` with file, line and values where these inputs break a constraint."""
        self._files.traced.circuit.solve(inputs)


@dataclass(frozen=True)
class CompiledApp:
    """An app with its keys: its bundle for everybody, its circuits for whoever proves."""

    name: str
    bundle: Bundle
    circuits: Mapping[str, CompiledCircuit]

    @property
    def vk(self) -> bytes:
        """SHA-256 of the bundle: the vk of every contract of this app."""
        return self.bundle.vk

    def report(self) -> str:
        """What the bundle holds, for people: each action's size, and the facts it leaves open."""
        lines = [f"{self.name} {self.vk.hex()}"]
        if self.bundle.setup.single_party:
            lines.append("keys of one party: whoever made them can forge proofs")
        for circuit in self.circuits.values():
            lines.append(
                f"{circuit.name}: {circuit.constraints} constraints, {len(circuit.facts)} facts, "
                f"{len(circuit.private)} private inputs"
            )
            lines += [f"  free: {fact}, {reason}" for fact, reason in circuit.free]
        return "\n".join(lines)

    def prove(
        self, action: str, digest: bytes, facts: Sequence[int], private: Private | None = None
    ) -> bytes:
        """A proof (128 bytes) that the action's rule holds of these facts, under this digest.

        Raises: Unsatisfied with file and line of the app's code, and the values there, when a
        constraint fails; InvalidInput when inputs are missing, unknown or out of range.
        """
        circuit = self._circuit(action)
        inputs = circuit.inputs(digest, facts, private or {})
        try:
            proved = circuit.prover.prove(inputs)
        except Unsatisfied as exc:
            failed = exc
        else:
            return proved.proof
        circuit.explain(inputs)
        raise failed  # the traced circuit is satisfied, so the loaded one is another

    def check(
        self, action: str, digest: bytes, facts: Sequence[int], private: Private | None = None
    ) -> None:
        """Raise what `prove` would raise, without making a proof.

        Raises: Unsatisfied, InvalidInput as `prove` does.
        """
        circuit = self._circuit(action)
        circuit.witness(circuit.inputs(digest, facts, private or {}))

    def _circuit(self, action: str) -> CompiledCircuit:
        if action not in self.circuits:
            raise InvalidInput(f"{self.name}: got {action!r}, expected {sorted(self.circuits)}")
        return self.circuits[action]


def compile_app(
    app: type[ZkApp], *, setup_seed: bytes = DEVNET_SETUP, cache: Path | None = None
) -> CompiledApp:
    """Compile every action, and make or load its keys. `cache` is a folder; there is a default.

    Raises: InvalidInput when an action leaves a fact, a private input or a comparison without a
    constraint, or a declaration is wrong; SpellIncorrect (DescriptorInvalid) when the descriptor
    breaks PROTOCOL section 5.
    """
    store = Cache(cache)
    files = {spec: _Files(app, spec, setup_seed, store) for spec in app.actions()}
    name = _manifest_name(app, setup_seed)
    known = _read_manifest(store.load(name), app, files) if name else None
    if known is not None:
        return known
    circuits = {spec.name: _compiled(spec, parts) for spec, parts in files.items()}
    bundle = _bundle(app, {name: circuit.vk for name, circuit in circuits.items()}, setup_seed)
    compiled = CompiledApp(app.__name__, Bundle.parse(bundle.serialize()), circuits)
    if name:
        store.store(name, _write_manifest(compiled))
    return compiled


def circuit_digest(r1cs: bytes, program: bytes) -> bytes:
    """What names a circuit: its constraints and how its witness is computed."""
    return tagged_hash("grail/circuit", hashlib.sha256(r1cs).digest() + program)


def _compiled(spec: ActionSpec, files: _Files) -> CompiledCircuit:
    traced = files.traced
    r1cs, program = files.circuit(None)
    return CompiledCircuit(
        name=spec.name,
        constraints=len(traced.circuit.constraints),
        wires=traced.circuit.n_wires,
        facts=traced.facts,
        private=traced.private,
        free=traced.free,
        digest=circuit_digest(r1cs, program),
        vk=files.keys(r1cs).vk,
        _files=files,
    )


def _bundle(app: type[ZkApp], vks: Mapping[str, bytes], seed: bytes) -> Bundle:
    # there is no powers-of-tau file: both hashes say which seed everything came from
    setup = Setup(
        ptau=tagged_hash("grail/setup/ptau", seed),
        contributions=(tagged_hash("grail/setup/contribution", seed),),
        single_party=True,
    )
    kinds = {number: kind.described() for number, kind in app.kinds().items()}
    actions = {spec.number: spec.described(vks[spec.name]) for spec in app.actions()}
    return Bundle(kinds, actions, setup, app.backed)


# ---------------------------------------------------------------------- the compiled app on disk


def _manifest_name(app: type[ZkApp], seed: bytes) -> str:
    """A name that changes with any source that the circuits depend on; empty for foreign apps."""
    if not app.__module__.startswith("grail.apps."):
        return ""
    root = Path(grail.__file__).parent
    sources = sorted(
        path
        for folder in ("apps", "charms", "crypto", "zk")
        for path in (root / folder).rglob("*.py")
    )
    state = hashlib.sha256(_crate() + app.__qualname__.encode() + b"\0" + seed)
    for path in (root / "codec.py", *sources):
        state.update(path.relative_to(root).as_posix().encode() + b"\0")
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{state.hexdigest()}.app"


@cache
def _crate() -> bytes:
    """The hash of the Rust extension, which makes the keys: another build, another cache."""
    state = hashlib.sha256()
    for path in sorted(Path(grail.__file__).parent.glob("_native*")):
        state.update(path.read_bytes())
    return state.digest()


def _write_manifest(compiled: CompiledApp) -> bytes:
    circuits = {
        circuit.name: [
            circuit.constraints,
            circuit.wires,
            list(circuit.facts),
            list(circuit.private),
            [list(pair) for pair in circuit.free],
            circuit.digest,
        ]
        for circuit in compiled.circuits.values()
    }
    return codec.encode([compiled.bundle.serialize(), circuits])


def _read_manifest(
    raw: bytes | None, app: type[ZkApp], files: Mapping[ActionSpec, _Files]
) -> CompiledApp | None:
    if raw is None:
        return None
    try:
        serialized, listed = codec.decode(raw)
        bundle = Bundle.parse(serialized)
        circuits = {}
        for spec, parts in files.items():
            constraints, wires, facts, private, free, digest = listed[spec.name]
            circuits[spec.name] = CompiledCircuit(
                name=spec.name,
                constraints=constraints,
                wires=wires,
                facts=tuple(facts),
                private=tuple(private),
                free=tuple((label, reason) for label, reason in free),
                digest=digest,
                vk=bundle.actions[spec.number].vk,
                _files=parts,
            )
    except (DecodeError, KeyError, TypeError, ValueError):
        return None  # written by another version, or damaged: compile again
    return CompiledApp(app.__name__, bundle, circuits)
