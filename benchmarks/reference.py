"""snarkjs under Node.js, the reference that ours is measured and checked against.

Installed once by `npm ci` from the lock file beside this one into .cache/, where it is kept under
the lock file's hash. Nothing of it is shipped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"

INSTALL_SECONDS = 300
RUN_SECONDS = 600


class Missing(Exception):
    """The reference cannot be run here; the text says why."""


class Failed(Exception):
    """The reference ran and did not do what was asked."""


class Snarkjs:
    """An installed snarkjs, and a folder for its files."""

    def __init__(self, folder: Path) -> None:
        self._node = shutil.which("node") or ""
        self._modules = installed()
        self._folder = folder

    def path(self, name: str, content: str | bytes | None = None) -> Path:
        """A file of this run's folder, written when there is content."""
        path = self._folder / name
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, command: str, *args: str | Path | int) -> dict[str, Any]:
        """One command of reference.cjs. Raises: Failed."""
        done = subprocess.run(
            [self._node, str(HERE / "reference.cjs"), command, *map(str, args)],
            env={**os.environ, "NODE_PATH": str(self._modules)},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        if done.returncode:
            raise Failed(f"snarkjs {command}: {done.stderr.strip()[-500:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def verify(self, vk: str, publics: str, proof: str, count: int = 1) -> dict[str, Any]:
        """Whether snarkjs takes a proof, all three as its JSON."""
        return self.run(
            "verify",
            self.path("key.json", vk),
            self.path("public.json", publics),
            self.path("proof.json", proof),
            count,
        )


def installed() -> Path:
    """The folder of Node modules. Raises: Missing when there is no Node or it cannot be filled."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise Missing(f"{program} is not installed")
    lock = (HERE / "package-lock.json").read_bytes()
    home = CACHE / f"snarkjs-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not home.is_dir():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as made:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, made)
            # no package of the lock needs its install script
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=made,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
            if done.returncode:
                raise Missing(f"npm ci failed: {done.stderr.strip()[-300:]}")
            try:
                Path(made).replace(home)
            except OSError:
                if not home.is_dir():  # else another process was faster
                    raise
            else:
                Path(made).mkdir()  # for the context manager to remove
    return home / "node_modules"


def powers_of_tau(snarkjs: Snarkjs, power: int) -> Path:
    """A phase 1 for 2^power rows: the published one where it is and fits, else one made here."""
    published = HERE.parents[1] / "shared" / "vectors" / "circom" / "pot12_final.ptau"
    if power <= 12 and published.is_file():
        return published
    made = CACHE / f"development-{power}.ptau"
    if not made.is_file():
        CACHE.mkdir(exist_ok=True)
        part = made.with_suffix(f".{os.getpid()}")
        snarkjs.run("ptau", power, part)
        part.replace(made)
    return made
