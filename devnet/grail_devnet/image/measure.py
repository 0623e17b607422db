"""Measuring an image: what lies in its folder, in one order, hashed into three registers.

As with an image file of Nitro, PCR0 stands for all of it, PCR1 for what it boots (there kernel and
first ramdisk; here interpreter, loader, shared libraries and standard library), and PCR2 for the
application (`app/`: the enclave, what it imports, its dependencies down to their .so files).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from grail.attestation.pcr import CONFIGURATION, measured
from grail.attestation.verifier import Measurement
from grail.codec import encode
from grail.errors import InvalidInput

APPLICATION = "app/"
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an image: its path below the image's folder, its mode, its SHA-384."""

    path: str
    mode: int
    sha384: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel says of a file, without its bytes: it cannot change and leave all of this."""

    path: str
    inode: int
    size: int
    mode: int
    modified: int
    changed: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was measured. `seen` is what its files were like at that moment."""

    folder: Path
    entries: tuple[Entry, ...]
    seen: tuple[Seen, ...]

    @property
    def pcrs(self) -> dict[int, bytes]:
        """PCR0, 1 and 2: each measured over the manifest of its files."""
        platform = [each for each in self.entries if not each.path.startswith(APPLICATION)]
        application = [each for each in self.entries if each.path.startswith(APPLICATION)]
        parts = (self.entries, platform, application)
        return {index: measured(manifest(part)) for index, part in enumerate(parts)}

    @property
    def registers(self) -> tuple[bytes, ...]:
        """PCR0, 1 and 2 in order, as a roster's state has them."""
        pcrs = self.pcrs
        return tuple(pcrs[index] for index in sorted(pcrs))

    def measurement(self, configuration: bytes | None = None) -> Measurement:
        """What a policy accepts: this image, and one configuration file where it is given."""
        pcrs = self.pcrs
        if configuration is not None:
            pcrs[CONFIGURATION] = measured(configuration)
        return Measurement(pcrs)

    def check(self) -> None:
        """Raise `InvalidInput` unless its files are still those that were measured.

        Their bytes are not read again: a write changes a file's times, and no call sets the time
        of its last change to what it was.
        """
        now = look(self.folder)
        if now != self.seen:
            before, after = set(self.seen), set(now)
            names = sorted({each.path for each in before ^ after})
            raise InvalidInput(
                f"image: {names[0]} was changed after it was measured ({len(names)} files)",
                hint="start the network again, from files that nobody writes to",
            )


def manifest(entries: Iterable[Entry]) -> bytes:
    """The canonical bytes: an array of [path, mode, SHA-384], in the order of the paths' bytes."""
    ordered = sorted(entries, key=lambda each: each.path.encode())
    return encode([[each.path, each.mode, each.sha384] for each in ordered])


def measure(folder: Path) -> Image:
    """Read every file below a folder. Raises `InvalidInput` for a link, a device or a stranger."""
    seen = look(folder)
    with ThreadPoolExecutor(2) as pool:
        hashes = pool.map(lambda each: _hashed(folder / each.path), seen)
        entries = tuple(
            Entry(each.path, stat.S_IMODE(each.mode), sha384)
            for each, sha384 in zip(seen, hashes, strict=True)
        )
    image = Image(folder, entries, seen)
    image.check()
    return image


def look(folder: Path) -> tuple[Seen, ...]:
    """All files below a folder, in order; nothing but files and folders may lie there.

    Raises `InvalidInput`.
    """
    found = []
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            whole = Path(path, name)
            info = whole.lstat()
            place = str(whole.relative_to(folder))
            if info.st_uid != os.geteuid():
                raise InvalidInput(f"image: {place} belongs to another user")
            if stat.S_ISREG(info.st_mode):
                found.append(
                    Seen(
                        place,
                        info.st_ino,
                        info.st_size,
                        info.st_mode,
                        info.st_mtime_ns,
                        info.st_ctime_ns,
                    )
                )
            elif not stat.S_ISDIR(info.st_mode):
                raise InvalidInput(f"image: {place} is neither a file nor a folder")
    return tuple(sorted(found, key=lambda each: each.path.encode()))


def _hashed(path: Path) -> bytes:
    state = hashlib.sha384()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            state.update(piece)
    return state.digest()
