"""What an enclave's process loads: found by loading all of it, never by a list.

A process that has nothing but the standard library and the enclave's own folders imports every
module of `grail_enclave`, and then says which files its modules came from and which shared
libraries the kernel mapped. Whatever a module imports inside of a function would be missed, so no
module of the enclave may do that; a test says so.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path

APPLICATION = "grail_enclave"

PROJECT = ("grail", "grail_enclave")
"""Packages of which the image has the loaded modules alone: the rest is not for enclaves."""

LATER = (
    "encodings.idna",
    "linecache",
    "runpy",
    "shutil",
    "stringprep",
    "traceback",
    "unicodedata",
)
"""What is loaded for `-m`, a wrong argument, a traceback or a name, when it comes to that."""

NOT_MEASURED = "grail_devnet"
"""This tool's own package, which is loaded beside the enclave and not of it."""


@dataclass(frozen=True, slots=True)
class Closure:
    """What was loaded. `standard` and `application` are Python files and extension modules.

    They are named by their path below the folder that they were found in; `libraries` are all
    other shared libraries, the loader among them. `loaded` are the files that have modules: some
    more lie beside them, for when they are called for.
    """

    interpreter: Path
    loader: Path
    libraries: tuple[Path, ...]
    standard: dict[str, Path]
    application: dict[str, Path]
    loaded: frozenset[Path]


def closure() -> Closure:
    """Load all of the enclave into this process, and say what that took."""
    package = importlib.import_module(APPLICATION)
    for module in pkgutil.walk_packages(package.__path__, f"{APPLICATION}."):
        importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)
    loaded = _loaded()
    files = sorted(set(loaded.values()) | _rest(loaded))
    mapped = _mapped()
    interpreter = Path(sys.executable).resolve()
    standard_root = Path(importlib.import_module("os").__file__ or "").resolve().parent
    site = [Path(each).resolve() for each in sys.path if Path(each).is_dir()]
    standard, application = dict[str, Path](), dict[str, Path]()
    for file in files:
        root = max((each for each in site if file.is_relative_to(each)), key=lambda p: len(p.parts))
        if root.is_relative_to(standard_root):
            standard[str(file.relative_to(standard_root))] = file
        else:
            application[str(file.relative_to(root))] = file
    libraries = mapped - set(files) - {interpreter}
    (loader,) = {each for each in libraries if each.name.startswith(("ld-", "ld."))}
    return Closure(
        interpreter,
        loader,
        tuple(sorted(libraries)),
        standard,
        application,
        frozenset(loaded.values()),
    )


def _loaded() -> dict[str, Path]:
    """The files of all modules, by the modules' names."""
    return {
        name: Path(file).resolve()
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None)) is not None
        and name.partition(".")[0] not in (NOT_MEASURED, "__main__")
    }


def _rest(loaded: dict[str, Path]) -> set[Path]:
    """All of Python in the packages that others wrote, and all encodings.

    Those may load more of themselves when they are called, such as from their Rust.
    """
    found = set()
    for name, path in loaded.items():
        foreign = {"site-packages", "dist-packages"} & set(path.parts) and name not in PROJECT
        whole = foreign and "." not in name and path.name == "__init__.py"
        if whole or name == "encodings":
            found |= {each.resolve() for each in path.parent.rglob("*.py")}
    return found


def _mapped() -> set[Path]:
    """Every file that is mapped as a program or a shared library (those with code in them)."""
    found = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        _span, rights, _offset, _device, inode, *name = line.split(maxsplit=5)
        if "x" in rights and inode != "0" and name:
            found.add(Path(name[0]).resolve())
    return found
