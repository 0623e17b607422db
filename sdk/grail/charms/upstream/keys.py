"""Groth16 keys of SP1, read from files and known by their SHA-256.

No crate that carries them is small enough to be built in (the smallest that has two of the four
brings 70 others), so they are read where they lie. Whose files they are does not matter: a key that
is not the one of the table is not taken.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from grail.charms.upstream.versions import TABLE

VARIABLE = "GRAIL_SP1_KEYS"
"""The environment variable that names a folder with keys."""

MAX_KEY = 4_096
"""Bytes: a key takes 396 or 492."""

_WANTED = frozenset(row.key.digest for row in TABLE)


def folders() -> list[Path]:
    """Where keys are looked for: GRAIL_SP1_KEYS, then crates that cargo has unpacked."""
    named = os.environ.get(VARIABLE)
    cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    unpacked = sorted(cargo.glob("registry/src/*/charms-client-*/vk"))
    return [*([Path(named)] if named else []), *unpacked]


def read(where: Iterable[Path]) -> dict[bytes, bytes]:
    """The keys of the table that lie in these folders, or in folders in them; by SHA-256."""
    found: dict[bytes, bytes] = {}
    for folder in where:
        for path in sorted((*folder.glob("*.bin"), *folder.glob("*/*.bin"))):
            if found.keys() >= _WANTED:
                return found
            try:
                if path.stat().st_size > MAX_KEY:
                    continue
                raw = path.read_bytes()
            except OSError:
                continue
            digest = hashlib.sha256(raw).digest()
            if digest in _WANTED:
                found[digest] = raw
    return found
