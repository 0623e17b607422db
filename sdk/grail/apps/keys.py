"""Keys and compiled circuits on disk, so that nothing is set up twice.

A cache may be lost or damaged at any time: every file carries the SHA-256 of its content, a file
that does not match is as good as absent, and writing replaces a file whole. Proving keys hold no
secrets.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from grail.errors import InvalidInput, Unavailable
from grail.folders import cache_root, check_private, private_folder, write_private

_DIGEST = 32


class Cache:
    """A folder of files, each named by the hash of what it is made from.

    Raises: InvalidInput when the folder is one that others could have planted files in.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else cache_root() / "circuits"
        if self.folder.is_dir() or self.folder.is_symlink():
            check_private(self.folder)

    def load(self, name: str) -> bytes | None:
        """A file's content, or None when it is absent or damaged."""
        try:
            raw = self._path(name).read_bytes()
        except OSError:
            return None
        content = raw[_DIGEST:]
        if hashlib.sha256(content).digest() != raw[:_DIGEST]:
            return None
        return content

    def store(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all. A folder that cannot be written to is no fault."""
        path = self._path(name)
        with contextlib.suppress(OSError, Unavailable):
            private_folder(self.folder)
            write_private(path, hashlib.sha256(content).digest() + content)

    def _path(self, name: str) -> Path:
        if not name or any(not (c.isalnum() or c in "-.") for c in name) or name[0] == ".":
            raise InvalidInput(f"cache: {name!r} is no file name")
        return self.folder / name
