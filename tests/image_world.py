"""An image of the enclave, made once, and copies of it with something changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from grail.attestation.attested import Attested
from grail.attestation.verifier import Measurement, Policy, Verifier
from grail_devnet.image import launch
from grail_devnet.image.measure import Image
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import EmulatedModule, now
from grail_enclave.nsm import Module

AUTHORITY = Authority.draw(now())


def asked(policy: Policy, running: Measurement) -> Attested:
    """What a verifier says to the document of a module that holds this measurement."""
    module = Module(EmulatedModule.draw(AUTHORITY, running.pcrs).answer)
    verifier = Verifier(policy)
    nonce = verifier.nonce()
    return verifier.check(module.document(nonce, None, None), nonce)


def first_of(image: Image, ends: str, *begins: str) -> str:
    """The path of the first file of an image that begins and ends like this."""
    return next(
        e.path for e in image.entries if e.path.startswith(begins) and e.path.endswith(ends)
    )


def flipped(raw: bytes) -> bytes:
    """One bit of one byte in the middle is another."""
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


class Copies:
    """Copies of an image by links: a file is changed by putting another one in its place."""

    def __init__(self, image: Image, folder: Path) -> None:
        self.image = image
        self.folder = folder
        self.made: list[Path] = []

    def of(self, edit: Callable[[Path], None]) -> Path:
        """A copy's folder after an edit."""
        target = self.folder / str(len(self.made))
        self.made.append(target)
        for path, _folders, files in os.walk(self.image.folder):
            inside = target / Path(path).relative_to(self.image.folder)
            inside.mkdir(mode=0o700)
            for name in files:
                os.link(Path(path, name), inside / name)
        edit(target)
        return target

    def with_bytes(self, path: str, change: Callable[[bytes], bytes] = flipped) -> Path:
        """A copy in which one file has other bytes, and its old mode."""

        def edit(folder: Path) -> None:
            file = folder / path
            raw, mode = file.read_bytes(), file.stat().st_mode
            file.unlink()
            file.write_bytes(change(raw))
            file.chmod(mode)

        return self.of(edit)

    def close(self) -> None:
        """Remove them."""
        for each in self.made:
            shutil.rmtree(each)
        self.made.clear()


def image_in(folder: Path) -> Image:
    """A new image of this checkout's enclave."""
    return launch.made(folder / "image")
