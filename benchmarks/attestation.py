"""What attestation costs: a document, a handshake, and gossip of a network at rest.

    python benchmarks/attestation.py

Each is measured beside what it cannot do without, in one run: a document beside its five ECDSA
signatures by `cryptography`, a handshake beside Noise XX by another library (noiseprotocol). CPU
time stands beside wall time. Bytes are those of sixteen real enclaves that are ticked as often as
their hosts would.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# The packages first: beside a script, `tests/grail` would stand for `grail`.
sys.path[:0] = [
    str(Path(__file__).resolve().parents[1] / folder)
    for folder in ("sdk", "enclave", "devnet", "tests")
]

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from link_world import POLICY, World, linked, own, pair, shake
from noise.connection import Keypair, NoiseConnection
from society_world import Towns

from grail.attestation.attested import attested
from grail.native import NoiseSession
from grail_host.carrier import PAUSE, TALKS

SIGNATURES = 5
"""A document's own, and those of the four certificates below the root."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of one execution."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} ms, {self.cpu:.2f} ms of CPU"


def cost(work: Callable[[], object], seconds: float = 1.0) -> Cost:
    """The mean over as many executions as go into so many seconds."""
    work()
    wall, cpu, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < seconds:
        work()
        count += 1
    return Cost(
        1_000 * (time.perf_counter() - wall) / count, 1_000 * (time.process_time() - cpu) / count
    )


def document() -> tuple[Cost, Cost, Cost]:
    """Making one, verifying one, and five bare signatures."""
    enclave = own()
    raw = enclave.module.document(bytes(32), bytes(32), bytes(32))
    key = ec.generate_private_key(ec.SECP384R1())
    signature, public = key.sign(raw, ec.ECDSA(SHA384())), key.public_key()

    def bare() -> None:
        for _ in range(SIGNATURES):
            public.verify(signature, raw, ec.ECDSA(SHA384()))

    made = cost(lambda: enclave.module.document(bytes(32), bytes(32), bytes(32)))
    return made, cost(lambda: attested(raw, POLICY.root)), cost(bare)


def handshake() -> tuple[Cost, Cost, Cost]:
    """Both ends of a link; of Noise alone; and of Noise by another library."""
    world, one, two = World(), own(), own()

    def ours() -> None:
        ends = [NoiseSession(initiator=first, prologue=b"x") for first in (True, False)]
        for number in range(3):
            ends[(number + 1) % 2].read(ends[number % 2].write(b""))

    def theirs() -> None:
        ends = []
        for first in (True, False):
            made = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
            made.set_keypair_from_private_bytes(Keypair.STATIC, bytes([5]) * 32)
            made.set_prologue(b"x")
            made.set_as_initiator() if first else made.set_as_responder()
            made.start_handshake()
            ends.append(made)
        for number in range(3):
            ends[(number + 1) % 2].read_message(ends[number % 2].write_message())

    return cost(lambda: shake(*pair(world, one, two))), cost(ours), cost(theirs)


def message() -> Cost:
    """1,000 bytes over an open link."""
    one, two = linked(World())
    return cost(lambda: two.receive(one.send(bytes(1_000))))


def gossip(minutes: int = 2) -> tuple[int, int]:
    """Bytes that each of sixteen operators sends in a minute at rest, and how many live."""
    towns = Towns.of(16, 12)
    towns.start()
    towns.sent = 0
    alive = 16
    for _ in range(int(60 * minutes / PAUSE)):
        towns.now += PAUSE
        for at in range(16):
            alive = min(alive, towns.tick(at, TALKS).alive)
    return towns.sent // 16 // minutes, alive


def report() -> list[str]:
    """The lines of `make accept`."""
    made, verified, bare = document()
    link, noise, other = handshake()
    sent, alive = gossip()
    ratio, times = verified.cpu / bare.cpu, other.cpu / noise.cpu
    return [
        f"a document: made {made}; verified {verified}",
        f"  ratio to its {SIGNATURES} bare signatures {ratio:.2f}",
        f"a link: both ends {link}; of it Noise {noise}",
        f"  ratio noiseprotocol to it {times:.1f}",
        f"a message of 1,000 bytes, sealed and opened: {message()}",
        f"gossip at rest: {sent:,} bytes an operator and minute, {alive} of 16 alive throughout",
    ]


if __name__ == "__main__":
    print("\n".join(report()))
