"""The crate's own fuzzers (`sdk/native/fuzz`): libFuzzer over the Rust decoders.

They are built by stable Rust: what cargo-fuzz asks a nightly for is the address sanitizer, and the
crate forbids unsafe code (docs/decisions/0070).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CRATE = ROOT / "sdk" / "native" / "fuzz"
COVERAGE = (
    "-sanitizer-coverage-level=4",
    "-sanitizer-coverage-inline-8bit-counters",
    "-sanitizer-coverage-pc-table",
    "-sanitizer-coverage-trace-compares",
)
FLAGS = ["-Cpasses=sancov-module", *(f"-Cllvm-args={each}" for each in COVERAGE)]
MEMORY = 2_048
"""MiB that a fuzzer may hold; one allocation above it is a finding."""
HANG = 10
"""Seconds for one execution, far more than any needs."""


def _seeds() -> Mapping[str, Callable[[], Sequence[bytes]]]:
    from sample_circuit import R1CS, keys

    from fuzz import bitcoin_targets as bitcoin
    from fuzz import seeds
    from fuzz.mutation import LENGTHS

    def keyed() -> list[bytes]:
        return [len(R1CS).to_bytes(4, "little") + R1CS + keys().pk]

    def lying(found: list[bytes]) -> Callable[[], list[bytes]]:
        """The files, and each with a header that claims 2^28 and more."""
        short = min(found, key=len)
        lies = [
            short[:at] + (length % (1 << 32)).to_bytes(4, "little") + short[at + 4 :]
            for at in range(8, min(len(short), 120), 4)
            for length in LENGTHS
        ]
        return lambda: [*found, *lies]

    return {
        "transaction": bitcoin.TARGETS[0].seeds,
        "psbt": bitcoin.TARGETS[1].seeds,
        "address": lambda: seeds.addresses(),
        "r1cs": lying(seeds.circuits("circuit.r1cs")),
        "wtns": lying(seeds.circuits("witness.wtns")),
        "zkey": lying(seeds.circuits("circuit.zkey")),
        "ptau": lying(seeds.ptaus()),
        "program": lambda: seeds.programs(),
        "proving_key": keyed,
        "proof": lambda: [seeds.proof()],
        "verifying_key": lambda: [keys().vk],
        "gnark_proof": lambda: seeds.gnark_proofs(),
        "gnark_key": lambda: seeds.gnark_keys(),
        "babyjub": lambda: seeds.babyjub_points(),
        "noise": lambda: seeds.noise(),
    }


DECODERS = (
    "transaction",
    "psbt",
    "address",
    "r1cs",
    "wtns",
    "zkey",
    "ptau",
    "program",
    "proving_key",
    "proof",
    "verifying_key",
    "gnark_proof",
    "gnark_key",
    "babyjub",
    "noise",
)
"""As in sdk/native/src/fuzz.rs."""

SIZES = {
    "address": 256,
    "proof": 512,
    "gnark_proof": 512,
    "verifying_key": 2_048,
    "babyjub": 64,
    "noise": 512,
}
"""Caps of inputs' lengths where the default of 8,192 is too much."""


def seeds(decoder: str) -> Sequence[bytes]:
    """Real objects of this decoder."""
    return _seeds()[decoder]()


def build() -> Path:
    """Build the fuzzers, and say where they are."""
    host = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    triple = re.search(r"host: (\S+)", host)
    assert triple is not None, host
    environment = {
        **os.environ,
        "PYO3_PYTHON": sys.executable,
        "RUSTFLAGS": " ".join([*FLAGS, "-Ccodegen-units=1", "--cfg=fuzzing"]),
    }
    # A target of its own name keeps the flags away from build scripts and macros.
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target", triple[1]]
    subprocess.run([*command, "--manifest-path", CRATE / "Cargo.toml"], env=environment, check=True)
    return CRATE / "target" / triple[1] / "release" / "decoders"


def command(binary: Path, decoder: str, folder: Path, runs: int, seconds: int) -> list[str]:
    """The command that fuzzes one decoder; `environment` goes with it."""
    return [
        str(binary),
        f"-runs={runs or -1}",
        f"-max_total_time={seconds}",
        f"-max_len={SIZES.get(decoder, 8_192)}",
        f"-timeout={HANG}",
        f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={folder / 'found'}/",
        "-verbosity=0",
        "-print_final_stats=1",
        str(folder / "corpus"),
        str(folder / "seeds"),
    ]


def environment(decoder: str) -> dict[str, str]:
    """Which decoder, and where the interpreter's library lies that the crate is linked to."""
    libraries = f"{sysconfig.get_config_var('LIBDIR')}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return {**os.environ, "GRAIL_FUZZ": decoder, "LD_LIBRARY_PATH": libraries}


def executions(said: str) -> int:
    """How many times a fuzzer ran, by its last words."""
    found = re.search(r"stat::number_of_executed_units:\s+(\d+)", said)
    return int(found[1]) if found else 0
