"""arkworks' own prover in a process of its own, built once from the crate beside this file.

Its profile is cargo's release as it is, which is without overflow checks; ours has them. Both are
compiled for the same processors by the same compiler. Nothing of it is shipped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reference import CACHE, HERE, RUN_SECONDS, Failed, Missing

BUILD_SECONDS = 1_200


def built() -> Path:
    """The program. Raises: Missing when there is no cargo or it cannot build it."""
    if not shutil.which("cargo"):
        raise Missing("cargo is not installed")
    home = HERE / "ark"
    done = subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet"],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Missing(f"cargo build failed: {done.stderr.strip()[-300:]}")
    return home / "target" / "release" / "ark-reference"


def key(program: Path, r1cs: bytes) -> Path:
    """A zkey of a circuit, made from a seed that everybody knows, or the one made before.

    Raises: Failed.
    """
    made_by = hashlib.sha256(program.read_bytes() + r1cs).hexdigest()[:16]
    made = CACHE / f"circuit-{made_by}.zkey"
    if not made.is_file():
        CACHE.mkdir(exist_ok=True)
        circuit, part = made.with_suffix(".r1cs"), made.with_suffix(".part")
        circuit.write_bytes(r1cs)
        done = subprocess.run(
            [program, "setup", circuit, part],
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        circuit.unlink()
        if done.returncode:
            raise Failed(f"arkworks' setup: {done.stderr.strip()[-300:]}")
        part.replace(made)
    return made


class Ark:
    """A running prover, its key and witness loaded."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.threads: int = self._answer()["threads"]
        """Of its pool, which is rayon's own choice, as ours is."""

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"arkworks' prover ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def prove(self) -> tuple[bytes, tuple[float, float]]:
        """A proof, and what it took: wall and CPU seconds. Raises: Failed."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        wall, cpu = answer["run"]
        return bytes.fromhex(answer["proof"]), (wall, cpu)


@contextmanager
def running(program: Path, zkey: Path, wtns: Path) -> Iterator[Ark]:
    """Arkworks' prover, until the block is left."""
    command = [program, "prove", zkey, wtns]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Ark(process)
        finally:
            process.kill()
