"""bitcoind built from the Bitcoin Core source that a crate carries, pinned by its hash.

`node_source` is a Cargo package that only names crate libbitcoinkernel-sys; its lock file holds the
crate's SHA-256, and `cargo vendor` fetches exactly that. Wallet, IPC, tests and ZMQ are left out:
what remains is the daemon, some five minutes of two cores.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

from grail.errors import Unavailable

SOURCE = Path(__file__).with_name("node_source")
CRATE = "libbitcoinkernel-sys"
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=None",
    "-DCMAKE_C_FLAGS=-O1",
    "-DCMAKE_CXX_FLAGS=-O1",
    "-DENABLE_WALLET=OFF",
    "-DENABLE_IPC=OFF",
    "-DENABLE_EXTERNAL_SIGNER=OFF",
    "-DBUILD_TESTS=OFF",
    "-DBUILD_CLI=OFF",
    "-DBUILD_TX=OFF",
    "-DBUILD_UTIL=OFF",
    "-DBUILD_BITCOIN_BIN=OFF",
    "-DWITH_ZMQ=OFF",
    "-DWITH_EMBEDDED_ASMAP=OFF",
)

# What the build needs: a command, or a header, and Debian's package of it.
COMMANDS = {"cmake": "cmake", "ninja": "ninja-build", "g++": "g++", "strip": "binutils"}
HEADERS = {"boost/multi_index_container.hpp": "libboost-dev", "event2/event.h": "libevent-dev"}


def key(source: Path = SOURCE) -> str:
    """Names the binary that this source and these options give."""
    lock = tomllib.loads((source / "Cargo.lock").read_text())
    checksum = next(p["checksum"] for p in lock["package"] if p["name"] == CRATE)
    return hashlib.sha256("\n".join([checksum, *OPTIONS]).encode()).hexdigest()[:16]


def build(place: Path, progress: Callable[[str], None], *, source: Path = SOURCE) -> Path:
    """Build and put the binary at `place`. Raises `Unavailable` with the one line to type.

    A build that was interrupted goes on where it stopped; one that failed begins anew. The caller
    holds the lock of the folder.
    """
    _check_tools()
    work = place.with_name(f"{place.name}.build")
    work.mkdir(exist_ok=True)
    try:
        binary = _steps(work, source, progress)
    except Unavailable:
        shutil.rmtree(work)
        raise
    beside = place.with_name(f"{place.name}.part")
    shutil.copy2(binary, beside)
    beside.replace(place)
    shutil.rmtree(work)
    return place


def _steps(work: Path, source: Path, progress: Callable[[str], None]) -> Path:
    progress("fetching the Bitcoin Core source")
    vendor = ["cargo", "vendor", "--locked", "--versioned-dirs", "--manifest-path"]
    _run([*vendor, str(source / "Cargo.toml"), str(work / "vendor")], work, None)
    core = next(iter((work / "vendor").glob(f"{CRATE}-*/bitcoin")), None)
    if core is None:
        raise Unavailable(f"crate {CRATE} holds no Bitcoin Core source")
    progress("configuring Bitcoin Core")
    out = work / "build"
    _run(["cmake", "-S", str(core), "-B", str(out), "-G", "Ninja", *OPTIONS], work, None)
    _run(["cmake", "--build", str(out), "--target", "bitcoind"], work, progress)
    binary = out / "bin" / "bitcoind"
    if not binary.exists():
        raise Unavailable("building bitcoind: the build made none")
    _run(["strip", str(binary)], work, None)
    return binary


def _check_tools() -> None:
    if shutil.which("cargo") is None:
        raise Unavailable("building bitcoind: cargo is missing", hint="see https://rustup.rs")
    missing = [package for name, package in COMMANDS.items() if shutil.which(name) is None]
    if "g++" not in missing:
        missing += [package for name, package in HEADERS.items() if not _has_header(name)]
    elif missing:
        missing += HEADERS.values()
    if missing:
        raise Unavailable(
            f"building bitcoind: {', '.join(missing)} missing",
            hint=f"sudo apt-get install -y {' '.join(missing)}",
        )


def _has_header(name: str) -> bool:
    probe = f"#include <{name}>\n"
    command = ["g++", "-E", "-x", "c++", "-", "-o", os.devnull]
    done = subprocess.run(command, check=False, input=probe.encode(), capture_output=True)
    return done.returncode == 0


def _run(command: list[str], folder: Path, progress: Callable[[str], None] | None) -> None:
    """Run a build step, low in priority; its last lines are the error's text."""
    lines: list[str] = []
    with subprocess.Popen(
        ["nice", "-n", "10", *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines = [*lines[-40:], line.rstrip()]
                step = re.match(r"\[(\d+)/(\d+)\]", line)
                if step and progress:
                    progress(f"building bitcoind: {100 * int(step[1]) // int(step[2])} %")
        except BaseException:  # Ctrl-C: the compilers must not go on by themselves
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        tail = "\n".join(lines[-12:])
        raise Unavailable(f"building bitcoind: {' '.join(command[:2])} failed:\n{tail}")
