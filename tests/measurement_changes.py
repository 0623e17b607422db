"""Files of the enclave's image with one bit changed: is every one noticed by who verifies?

Each change is made in a copy of the image, measured there, and shown to a verifier by a document of
a real module. A file is of one kind, and every kind comes up; the seed names the files.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image_world import AUTHORITY, Copies, asked, image_in

from grail.attestation.chain import Root
from grail.attestation.verifier import Measurement, Policy
from grail.errors import AttestationInvalid
from grail_devnet.image import launch
from grail_devnet.image.measure import Image, measure

CONFIGURATION = b'{"operators": 16}'


def kind(path: str) -> str:
    """What sort of thing a file of an image is."""
    own = path.startswith(("app/grail/", "app/grail_enclave/"))
    if path.endswith(".so") or ".so." in path:
        if path.startswith("app/"):
            return "extension modules"
        return "standard library" if path.startswith("lib/python") else "shared libraries"
    if path.startswith("app/"):
        if path.endswith(".pyc"):
            return "bytecode"
        return "enclave code" if own else "dependencies"
    if path.startswith("lib/python"):
        return "standard library"
    return "interpreter" if path.startswith("python3") else "settings"


@contextmanager
def images(folder: Path) -> Iterator[tuple[Image, Copies]]:
    """An image, and what makes copies of it; both are gone afterwards."""
    image, place = image_in(folder), folder / "copies"
    place.mkdir()
    copies = Copies(image, place)
    try:
        yield image, copies
    finally:
        copies.close()
        launch.removed(image.folder)
        shutil.rmtree(place)


def refused(policy: Policy, running: Measurement) -> bool:
    """Whether a verifier turns away what runs with this measurement, for its registers."""
    try:
        asked(policy, running)
    except AttestationInvalid as exc:
        return exc.rule == "PcrUnaccepted"
    return False


def drawn(image: Image, seed: int, each: int) -> list[str]:
    """Up to so many files of every kind."""
    rng = random.Random(seed)
    by_kind: dict[str, list[str]] = {}
    for entry, seen in zip(image.entries, image.seen, strict=True):
        if seen.size:  # an empty file has no bit to change
            by_kind.setdefault(kind(entry.path), []).append(entry.path)
    return [
        path
        for name in sorted(by_kind)
        for path in rng.sample(by_kind[name], min(each, len(by_kind[name])))
    ]


def campaign(folder: Path, seed: int, each: int) -> tuple[Counter[str], Counter[str]]:
    """Changes made and changes noticed, by kind; the configuration is a kind of its own."""
    made, noticed = Counter[str](), Counter[str]()
    with images(folder) as (image, copies):
        right = image.measurement(CONFIGURATION)
        policy = Policy(Root.from_pem(AUTHORITY.root_pem), (right,))
        assert not refused(policy, right), "the image itself is turned away"
        for path in drawn(image, seed, each):
            changed = measure(copies.with_bytes(path)).measurement(CONFIGURATION)
            made[kind(path)] += 1
            noticed[kind(path)] += refused(policy, changed)
            copies.close()
        for place in range(len(CONFIGURATION)):
            raw = bytearray(CONFIGURATION)
            raw[place] ^= 1 << place % 8
            made["configuration"] += 1
            noticed["configuration"] += refused(policy, image.measurement(bytes(raw)))
    return made, noticed
