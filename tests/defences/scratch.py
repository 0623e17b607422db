"""A copy of the tree in which a guard is taken out and put back; the tree itself is never touched."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .defence import ROOT, Patch

CACHE = ROOT / ".cache" / "defences"
SOURCES = ("sdk", "enclave", "devnet", "tests", "benchmarks")
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".tools", ".cache", ".hypothesis", ".*_cache", "target", "build", "dist"
)


def _library() -> Path:
    """Where the compiled crate lies in the tree: its name tells how it was built."""
    found = importlib.util.find_spec("grail._native")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).relative_to(ROOT)


class Unbuildable(Exception):
    """The crate does not build with the patch: the patch is wrong, not the defence."""


class Scratch:
    """One worker's copy of the tree."""

    def __init__(self, name: str) -> None:
        folder = CACHE / name
        shutil.rmtree(folder, ignore_errors=True)
        self.tree = folder / "tree"
        # Times are kept, so that what was compiled from the sources stays valid.
        shutil.copytree(ROOT, self.tree, ignore=_LEFT_OUT, symlinks=True)
        beside = ROOT.parent / "shared"
        if beside.is_dir():
            (folder / "shared").symlink_to(beside)
        self._library = self.tree / _library()
        self._compiled = self._library.read_bytes()

    @property
    def environment(self) -> dict[str, str]:
        """The copy's packages come before any that are installed; nothing is compiled to disk."""
        paths = os.pathsep.join(str(self.tree / source) for source in SOURCES)
        own = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "NO_SHRINKING": "1"}
        return {**os.environ, **own}

    def remove(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self.tree.parent, ignore_errors=True)

    @contextmanager
    def without(self, patches: Sequence[Patch]) -> Iterator[None]:
        """The copy with these snippets replaced, and as it was afterwards.

        Raises `ValueError` when a snippet is not there exactly once, `Unbuildable`.
        """
        before: dict[Path, tuple[bytes, os.stat_result]] = {}
        native = any(patch.file.endswith(".rs") for patch in patches)
        try:
            for patch in patches:
                path = self.tree / patch.file
                before.setdefault(path, (path.read_bytes(), path.stat()))
                path.write_text(replaced(path.read_text(), patch))
                # Compiled files are found by time and size: a patch must change the time.
                later = before[path][1].st_mtime_ns + 10_000_000_000
                os.utime(path, ns=(later, later))
            if native:
                self._build()
            yield
        finally:
            for path, (raw, stat) in before.items():
                path.write_bytes(raw)
                os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
            if native:
                self._library.write_bytes(self._compiled)

    def _build(self) -> None:
        """Build the patched crate; all workers share one folder, so that little is built anew."""
        crate = CACHE / "crate"
        with (CACHE / "building").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._mirror(self.tree / "sdk" / "native", crate)
            command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path"]
            environment = {
                **os.environ,
                "PYO3_PYTHON": sys.executable,
                "CARGO_TARGET_DIR": str(CACHE / "target"),
                "CARGO_INCREMENTAL": "1",
            }
            done = subprocess.run(
                [*command, str(crate / "Cargo.toml")],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise Unbuildable(done.stderr[-2_000:])
            # Another inode: the old library may still be mapped by a process of this worker.
            self._library.unlink()
            shutil.copyfile(CACHE / "target" / "release" / "lib_native.so", self._library)

    @staticmethod
    def _mirror(source: Path, target: Path) -> None:
        """Make `target` equal to `source`; a file whose bytes are the same is not touched."""
        wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        for path in list(target.rglob("*")) if target.is_dir() else []:
            if path.is_file() and path.relative_to(target) not in wanted:
                path.unlink()
        for name in wanted:
            raw, path = (source / name).read_bytes(), target / name
            if not path.is_file() or path.read_bytes() != raw:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(raw)


def replaced(text: str, patch: Patch) -> str:
    """The text without the guard. Raises `ValueError` unless the snippet stands there once."""
    found = text.count(patch.old)
    if found != 1:
        raise ValueError(f"{patch.file}: found {found} times, expected once: {patch.old!r}")
    return text.replace(patch.old, patch.new)
