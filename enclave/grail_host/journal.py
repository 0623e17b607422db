"""What the finisher waits for, on the host's disk, so that a killed host goes on with it.

One file a decided transaction: the sign frame that its enclave answered. A file that was lost,
changed or is not there costs liveness only: the enclave checks the votes in it like anybody's.
"""

from __future__ import annotations

import logging
from pathlib import Path

from grail.errors import GrailError, Unavailable
from grail.folders import private_folder, write_private
from grail.operators.frames import SIGN, Frame, read_sign
from grail.operators.messages import Family

log = logging.getLogger("grail_host")


class Journal:
    """Sign frames by family, in a private folder. Raises `InvalidInput` when it is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._unwritten: dict[Family, Frame] = {}
        self._full = False

    def keep(self, family: Family, frame: Frame) -> None:
        """Write a frame down; a full disk is no reason not to sign, which promises no file."""
        self._unwritten[family] = frame
        self.write()

    def write(self) -> None:
        """Write what found no room before; that there is none, or is again, is said once."""
        if not self._unwritten:
            return
        for family, frame in list(self._unwritten.items()):
            try:
                write_private(self._folder / family.hex(), frame.raw)
            except Unavailable as exc:
                if not self._full:
                    log.warning("what was decided is in memory only: %s", exc)
                self._full = True
                return
            del self._unwritten[family]
        if self._full:
            log.info("what was decided is on disk again")
        self._full = False

    def drop(self, family: Family) -> None:
        """Forget a frame that nothing is left to do for."""
        self._unwritten.pop(family, None)
        (self._folder / family.hex()).unlink(missing_ok=True)

    def frames(self) -> list[Frame]:
        """What an earlier process of this host left to do, oldest first; what is damaged goes."""
        found = []
        for path in sorted(self._folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime_ns):
            try:
                frame = Frame.parse(path.read_bytes())
                votes, _ = read_sign(frame.body)
                if frame.kind == SIGN and votes[0].family.hex() == path.name:
                    found.append(frame)
                    continue
            except (OSError, GrailError) as exc:
                log.warning("%s: %s", path.name[:64], exc)
            path.unlink(missing_ok=True)
        return found
