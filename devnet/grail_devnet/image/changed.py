"""An image like another one but for some lines more in one file.

Its other files are those of the image itself, by links.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from grail.errors import InvalidInput
from grail_devnet.image.measure import Image, measure


def copied(image: Path, target: Path, file: str, more: bytes) -> Image:
    """Write a copy of an image whose `file`, a path below its folder, has `more` at its end.

    Bytecode is never compared with its source, so that of a changed one is left out. The kernel
    notes links in the files' times: measure the image itself again before something starts from it.
    Raises `InvalidInput` where there is no such file.
    """
    if ".." in Path(file).parts or not (image / file).is_file():
        raise InvalidInput(
            f"the image has no {file[:80]!r}", hint="such as app/grail_enclave/signer.py"
        )
    for path, _folders, files in os.walk(image):
        inside = target / Path(path).relative_to(image)
        inside.mkdir(mode=0o700)
        for name in files:
            os.link(Path(path, name), inside / name)
    place = target / file
    raw, mode = place.read_bytes(), place.stat().st_mode
    place.unlink()
    place.write_bytes(raw + more)
    place.chmod(mode)
    if place.suffix == ".py":
        Path(importlib.util.cache_from_source(str(place))).unlink(missing_ok=True)
    return measure(target)
