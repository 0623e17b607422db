"""Folders of the person's own: state that must stay private, caches that may be lost.

What another local user could plant is refused (threat D8): a folder that is a link, that somebody
else owns, or that others may enter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from grail.errors import InvalidInput, Unavailable

NAME = "grail-pro"


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
    """Make the folder, mode 0700, or check the one that is there.

    Raises `InvalidInput`, and `Unavailable` when the disk does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    check_private(path)
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
    """Write a file of mode 0600 whole or not at all: beside it first, then renamed.

    Raises `Unavailable` when the disk does not take it; what was there before is there still.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise unwritable(path, exc) from exc


def unwritable(path: Path, error: OSError) -> Unavailable:
    """The error that says that a file could not be written, and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return Unavailable(
        f"{path}: cannot be written: {error.strerror}",
        hint="make room on the disk, then do the same again" if full else "check the folder",
    )
