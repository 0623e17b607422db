"""Making an image in a folder, and the command that runs it and nothing else.

The loader is called by its name with the image's own libraries, and the interpreter finds its
modules by the `._pth` file beside it: no environment, no search path, no cache of the machine is
asked.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from grail.errors import InvalidInput, Unavailable
from grail_devnet.image.measure import Image, measure

BUILD = "import sys; sys.path += sys.argv[1:-1]; from grail_devnet.image.build import main; main()"

LEASH = ("setpriv", "--pdeathsig", "KILL")
"""The build ends with the thread that waits for it."""

SECONDS = 60.0
"""How long a build may take; it takes about one."""

ENVIRONMENT = {"LC_ALL": "C", "OPENSSL_CONF": "etc/openssl.cnf", "OPENSSL_MODULES": "lib"}
"""All that an enclave gets; the last two are paths below the image."""


def made(folder: Path) -> Image:
    """Write an image of this machine's `grail_enclave` and measure it where it lies.

    Raises `Unavailable` when it cannot be made.
    """
    command = [*LEASH, sys.executable, "-I", "-S", "-B", "-c", BUILD, *_roots(), str(folder)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            start_new_session=True,  # Ctrl-C is for its parent, which waits for it and cleans up
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unavailable(f"the enclave's image cannot be made: {exc}") from exc
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise Unavailable(
            f"the enclave's image cannot be made: {last[:300]}",
            hint="it is copied from the installed packages into the state folder: 60 MB",
        )
    return measure(folder)


def _roots() -> list[str]:
    """The folders that the enclave's packages and their dependencies lie in."""
    found = []
    for package in ("grail_enclave", "grail", "grail_devnet"):
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InvalidInput(f"{package} is not installed")
        found.append(str(Path(spec.submodule_search_locations[0]).parent))
    found += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return list(dict.fromkeys(found))


def command(image: Image, root: Path, *arguments: str) -> list[str]:
    """The command that runs Python with these arguments, where the image lies at `root`."""
    (loader,) = (
        each.path
        for each in image.entries
        if each.path.startswith(("lib/ld-", "lib/ld.")) and each.mode & 0o100
    )
    python = str(root / "python3")
    libraries = ["--inhibit-cache", "--library-path", str(root / "lib")]
    return [str(root / loader), *libraries, "--argv0", python, python, "-I", "-B", *arguments]


def environment(root: Path) -> dict[str, str]:
    """The whole environment of an enclave whose image lies at `root`."""
    paths = {name: str(root / value) for name, value in ENVIRONMENT.items() if "/" in value}
    return {**ENVIRONMENT, **paths, "OPENSSL_MODULES": str(root / "lib")}


def removed(folder: Path) -> None:
    """Remove a folder that may hold an image, whose folders cannot be written to."""
    for path, _folders, _files in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder)
