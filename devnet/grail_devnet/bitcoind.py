"""Which bitcoind: the one that you name, the one on PATH, the official release, or one built here.

`python -m grail_devnet.bitcoind` prints the path, and makes the binary first if it must. Binaries
are kept in the cache folder under the hash of what they were made from; two processes that want
one at once wait for one another.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grail.errors import DecodeError, GrailError, NodeUnfit, Unavailable
from grail.folders import cache_root
from grail_devnet import node_build, node_release

Progress = Callable[[str], None]

OLDEST = 30
"""A spell is an OP_RETURN of 300 to 1,000 bytes, which Bitcoin Core relays from version 30 on."""


def find(progress: Progress = lambda _: None, *, release_url: str = node_release.URL) -> Path:
    """The path of a fit bitcoind, made first where none is found.

    Raises `NodeUnfit` for a BITCOIND that cannot serve, `Unavailable` when none can be made.
    """
    return from_environment() or on_path(progress) or made(progress, release_url=release_url)


def from_environment() -> Path | None:
    """The bitcoind that BITCOIND names. Raises `NodeUnfit` when it is not one that can serve."""
    name = os.environ.get("BITCOIND")
    if not name:
        return None
    path = Path(name)
    _check_version(path)
    return path.absolute()


def on_path(progress: Progress = lambda _: None) -> Path | None:
    """A fit bitcoind on PATH; an unfit one is passed over, and said."""
    name = shutil.which("bitcoind")
    if name is None:
        return None
    try:
        _check_version(Path(name))
    except NodeUnfit as exc:
        progress(f"passing over {exc}")
        return None
    return Path(name).absolute()


def made(progress: Progress = lambda _: None, *, release_url: str = node_release.URL) -> Path:
    """The cached bitcoind, fetched or built first where there is none. Raises `Unavailable`."""
    folder = cache_root() / "bitcoind"
    released = folder / f"release-{node_release.VERSION}-{node_release.target()}"
    built = folder / f"built-{node_build.key()}"
    for path in (released, built):
        if path.exists():
            return path
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(folder / "lock", progress):
        for path in (released, built):
            if path.exists():
                return path
        try:
            return node_release.fetch(released, progress, url=release_url)
        except (Unavailable, DecodeError) as exc:
            progress(f"{exc}: building it instead (some five minutes, once)")
        return node_build.build(built, progress)


def _check_version(path: Path) -> None:
    """Raise `NodeUnfit` unless this is Bitcoin Core, new enough. `up` probes the rest."""
    try:
        done = subprocess.run(
            [str(path), "-version"],
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NodeUnfit(f"{path}: cannot be run as a bitcoind ({exc})") from exc
    first = done.stdout.partition("\n")[0][:100]
    found = re.search(r"\bv(\d+)\.", first)
    if done.returncode or found is None or "bitcoin" not in first.lower():
        raise NodeUnfit(f"{path}: does not say that it is a bitcoind", hint="check BITCOIND")
    if int(found[1]) < OLDEST:
        raise NodeUnfit(
            f"{path}: {first}, expected Bitcoin Core {OLDEST} or newer",
            hint="unset BITCOIND to have one fetched or built",
        )


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a file's lock, waiting for whoever makes a node already."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that makes a bitcoind")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def terminal_progress() -> Progress:
    """Progress on stderr: one line rewritten on a terminal, else a line every ten seconds."""
    terminal = sys.stderr.isatty()
    last_subject, last_time = "", 0.0

    def show(text: str) -> None:
        nonlocal last_subject, last_time
        subject = text.partition(":")[0]
        if terminal:
            end = "\n" if last_subject and last_subject != subject else ""
            sys.stderr.write(f"{end}\r\x1b[K{text}")
        elif last_subject != subject or time.monotonic() - last_time > 10:
            sys.stderr.write(f"{text}\n")
            last_time = time.monotonic()
        last_subject = subject
        sys.stderr.flush()

    return show


def main() -> int:
    """Print the path of a fit bitcoind."""
    parser = argparse.ArgumentParser(prog="python -m grail_devnet.bitcoind", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="do not print the path")
    options = parser.parse_args()
    try:
        path = find(terminal_progress())
    except GrailError as exc:
        hint = f"\n    {exc.hint}" if exc.hint else ""
        sys.stderr.write(f"bitcoind: {exc}{hint}\n")
        return 1
    if not options.quiet:
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
