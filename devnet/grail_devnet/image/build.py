"""Write an image: `python -I -S -c "..." FOLDER`, in a process of its own (see `image.made`).

    python3, python3._pth            the interpreter, and the only folders that it looks into
    lib/                             the loader, and every shared library by its own name
    lib/pythonX.Y/                   of the standard library what is loaded, and all encodings
    app/                             grail_enclave, what it imports of grail, and its dependencies
    etc/openssl.cnf                  empty: the machine's own could load what it likes

Python compiles a module when it finds no bytecode, and an image cannot be written to; so bytecode
lies beside each source that is loaded, made here from that source, of the kind that is never
compared with it (PEP 552). It is measured like everything else.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import shutil
import sys
from pathlib import Path

from grail_devnet.image.closure import Closure, closure
from grail_devnet.image.elf import soname

FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o400, 0o500, 0o500

UNCHECKED = 1
"""PEP 552: named by its source's hash, and not compared with it."""


def main() -> None:
    """Write the image of what is found into the folder that is named last."""
    write(closure(), Path(sys.argv[-1]))


def write(found: Closure, folder: Path) -> None:
    """Write an image of these files into a folder that is not there yet."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _copy(found.interpreter, folder / "python3", PROGRAM_MODE)
    roots = f"lib/{version}\nlib/{version}/lib-dynload\napp\n"
    _put(folder / "python3._pth", roots.encode())
    for library in found.libraries:
        name = soname(library.read_bytes()) or library.name
        mode = PROGRAM_MODE if library == found.loader else FILE_MODE
        _copy(library, folder / "lib" / name, mode)
    sources = []
    for root, files in ((f"lib/{version}", found.standard), ("app", found.application)):
        for name, source in files.items():
            _copy(source, folder / root / name, FILE_MODE)
            if source in found.loaded and source.suffix == ".py":
                sources.append(f"{root}/{name}")
    _put(folder / "etc" / "openssl.cnf", b"")
    _compile_all(folder, sources)
    for path, _folders, _files in os.walk(folder, topdown=False):
        Path(path).chmod(FOLDER_MODE)


def _compile_all(folder: Path, names: list[str]) -> None:
    """Compile, on two processors where there are two: it is most of the work."""
    for name in names:
        cache_from = importlib.util.cache_from_source(str(folder / name))
        Path(cache_from).parent.mkdir(exist_ok=True, mode=0o700)
    other = os.fork()
    if other == 0:
        done = False
        try:
            for name in names[1::2]:
                _compile(folder / name, name)
            done = True
        finally:
            os._exit(0 if done else 1)
    for name in names[::2]:
        _compile(folder / name, name)
    _pid, status = os.waitpid(other, 0)
    if status != 0:
        raise ChildProcessError("image: bytecode could not be made")


def _compile(source: Path, name: str) -> None:
    raw = source.read_bytes()
    code = compile(raw, name, "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + UNCHECKED.to_bytes(4, "little")
    body = head + importlib.util.source_hash(raw) + marshal.dumps(code)
    _put(Path(importlib.util.cache_from_source(str(source))), body)


def _copy(source: Path, target: Path, mode: int) -> None:
    _new(target)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _put(target: Path, data: bytes) -> None:
    _new(target)
    target.write_bytes(data)
    target.chmod(FILE_MODE)


def _new(target: Path) -> None:
    """Make room for a file. Raises `FileExistsError` where two would have one name."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if target.exists():
        raise FileExistsError(f"image: two files are called {target.name}")
