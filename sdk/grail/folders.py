"""Folders of the person's own: state that must stay private, caches that may be lost.

What another local user could plant is refused (threat D8): a folder that is a link, that somebody
else owns, or that others may enter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from grail.errors import InvalidInput, Unavailable

NAME = "grail-pro"

HALF = re.compile(r"\..+\.(\d{1,10})\.[0-9a-f]{8}")
"""A file that is being written, with the number of the process that writes it."""


def state_root() -> Path:
    """Where running networks and wallets are kept: XDG_STATE_HOME/grail-pro."""
    return _root("XDG_STATE_HOME", ".local/state")


def cache_root() -> Path:
    """What can be made again, such as a built node: XDG_CACHE_HOME/grail-pro."""
    return _root("XDG_CACHE_HOME", ".cache")


def _root(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The XDG specification has relative values ignored.
    return (Path(value) if value.startswith("/") else Path.home() / default) / NAME


def private_folder(path: Path) -> Path:
    """Make the folder, mode 0700, or check the one that is there and sweep it.

    Raises `InvalidInput`, and `Unavailable` when the disk does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    check_private(path)
    sweep(path)
    return path


def check_private(path: Path) -> None:
    """Raise `InvalidInput` unless the folder is real, ours, and closed to others."""
    try:
        found = path.lstat()
    except OSError as exc:
        raise InvalidInput(f"folder {path}: {exc.strerror}") from exc
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidInput(f"folder {path}: it is a link or a file, expected a folder")
    if found.st_uid != os.geteuid():
        raise InvalidInput(f"folder {path}: it belongs to user {found.st_uid}, not to you")
    if found.st_mode & 0o077:
        raise InvalidInput(
            f"folder {path}: mode {stat.S_IMODE(found.st_mode):04o}, expected 0700",
            hint=f"chmod 700 {path}",
        )


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 whole or not at all, also when the process is killed half way.

    Raises `Unavailable` when the disk does not take it; what was there before is there still.
    """
    try:
        with _written_beside(path, data) as beside:
            beside.replace(path)
    except OSError as exc:
        raise unwritable(path, exc) from exc


def create_private(path: Path, data: bytes) -> None:
    """As `write_private`, on the disk itself on return, and never over a file that is there.

    Raises `FileExistsError` then, and `Unavailable` when the disk does not take it.
    """
    try:
        with _written_beside(path, data, lasting=True) as beside:
            os.link(beside, path)
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as exc:
        raise unwritable(path, exc) from exc


@contextlib.contextmanager
def _written_beside(path: Path, data: bytes, *, lasting: bool = False) -> Iterator[Path]:
    """The data in a file beside another, named by its writer, and gone at the end.

    `lasting` is for what must outlive a loss of power, too.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if lasting:
                os.fsync(file.fileno())
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk itself: a file's own `fsync` does not."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the halves of files that killed writers left in a folder."""
    for path in folder.glob(".*"):
        found = HALF.fullmatch(path.name)
        if found is not None and not Path(f"/proc/{found[1]}").exists():
            path.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> Unavailable:
    """The error that says that a file could not be written, and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return Unavailable(
        f"{path}: cannot be written: {error.strerror}",
        hint="make room on the disk, then do the same again" if full else "check the folder",
    )
