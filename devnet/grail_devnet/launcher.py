"""Starts enclaves from a measured image: measure, tell the modules, then run what was measured.

The image lies read-only in the state folder before it is measured; what was measured is given to
one security module for each operator, in a process that enclaves reach by a socket; and what runs
is the image, under bubblewrap where this machine has it. Between measuring and each start the files
are compared with what the kernel said of them then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Self

from grail.attestation.chain import Root
from grail.attestation.pcr import CONFIGURATION, measured
from grail.attestation.verifier import Measurement, Policy
from grail.errors import DecodeError
from grail.folders import private_folder, write_private
from grail.operators.attesting import Attesting
from grail_devnet import equivocator, sandbox
from grail_devnet.image import launch
from grail_devnet.image.measure import Image, measure
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import EmulatedModule, now
from grail_devnet.processes import Command, python
from grail_devnet.sandbox import Sandbox
from grail_devnet.state import StateFolder

NAME = "nsm"
"""The node of the process that serves all modules."""

INSIDE = PurePosixPath("/")
IMAGE, CONFIG, RUN, MODULE = (INSIDE / each for each in ("image", "config", "run", "module"))
"""Where an enclave under bubblewrap finds its image, its configuration, and its two sockets."""


@dataclass(frozen=True, slots=True)
class Launcher:
    """Runs enclaves of one image for one network; `others` has the images of those that differ."""

    folder: StateFolder
    image: Image
    sandbox: Sandbox
    authority: Authority
    others: Mapping[str, Image] = field(default_factory=dict)

    @classmethod
    def prepare(cls, folder: StateFolder, rogue: str | None = None) -> Self:
        """Make and measure the image, see what the machine has, and draw the devnet's own root.

        `rogue` is the operator who runs a build with a fault, which is accepted too. Raises
        `Unavailable`.
        """
        found = sandbox.find()
        authority = Authority.draw(now())
        authority.save(folder.path)
        write_private(folder.sandbox, json.dumps({"missing": found.missing}).encode())
        image, others = launch.made(folder.image), dict[str, Image]()
        if rogue is not None:
            others[rogue] = equivocator.build(folder.image, folder.rogue(rogue))
            image = measure(folder.image)  # the other one's links stand in its files' times
        return cls(folder, image, found, authority, others)

    @classmethod
    def resume(cls, folder: StateFolder) -> Self:
        """The launcher of a network that runs: its newest build as it lies there, and its own root.

        Raises `InvalidInput` where these are damaged.
        """
        return cls(folder, measure(folder.builds[-1]), sandbox.find(), Authority.load(folder.path))

    def attesting(self) -> Attesting:
        """What the configuration says of whom to believe: this devnet's root, and the images."""
        root = Root.from_pem(self.authority.root_pem)
        images = sorted(image.registers for image in (self.image, *self.others.values()))
        return Attesting(root.sha256, tuple(images))

    def _image_of(self, operator: str) -> Image:
        return self.others.get(operator, self.image)

    def modules(self, operators: Sequence[str]) -> list[str]:
        """The command that serves a module to each operator; it must run before the enclaves.

        Each has an instance and a key of its own, the image's PCRs, and the configuration's.
        """
        register = {CONFIGURATION: measured(self.folder.configuration.read_bytes())}
        pcrs = self.image.pcrs | register
        listed = {str(index): pcr.hex() for index, pcr in pcrs.items()}
        first = self.image.folder == self.folder.image
        file = self.folder.measurement if first else self.image.folder.with_suffix(".json")
        write_private(file, json.dumps(listed, indent=1).encode())
        private_folder(self.folder.path / "modules")
        arguments = []
        for name in operators:
            pcrs, file = self._image_of(name).pcrs | register, self.folder.module(name)
            module = EmulatedModule.draw(self.authority, pcrs)
            module.save(file)
            private_folder(self.folder.module_socket(name).parent)
            arguments += ["--socket", str(self.folder.module_socket(name)), "--module", str(file)]
        return python("grail_devnet.nsm", *arguments)

    def enclave(self, operator: str) -> Command:
        """The command that runs an operator's enclave. Raises `InvalidInput` when files changed."""
        image = self._image_of(operator)
        image.check()
        socket, module = self.folder.socket(operator), self.folder.module_socket(operator)
        private_folder(socket.parent)
        if self.sandbox.bwrap is None:
            root, config = image.folder, self.folder.configuration
            command = _command(image, root, socket, config, module)
            # The image's own environment, not the one that other processes are started with.
            given = [f"{name}={value}" for name, value in launch.environment(root).items()]
            return ["env", "-i", *given, *command]
        places = _command(
            image, Path(IMAGE), Path(RUN / socket.name), Path(CONFIG), Path(MODULE / module.name)
        )
        return self.sandbox.confined(
            places,
            launch.environment(Path(IMAGE)),
            readable={
                image.folder: str(IMAGE),
                self.folder.configuration: str(CONFIG),
                module.parent: str(MODULE),
            },
            writable={socket.parent: str(RUN)},
        )


def _command(image: Image, root: Path, socket: Path, config: Path, module: Path) -> list[str]:
    given = ["--socket", str(socket), "--config", str(config), "--module", str(module)]
    return launch.command(image, root, "-m", "grail_enclave", *given, "--while-open")


def policy(folder: StateFolder) -> Policy:
    """Whom to believe on a devnet: its own root, and the builds and configuration that it measured.

    Raises `DecodeError` when its files are damaged.
    """
    try:
        found = []
        for file in folder.measurements:
            listed = json.loads(file.read_text())
            found.append(Measurement({int(at): bytes.fromhex(pcr) for at, pcr in listed.items()}))
        root = Root.from_pem(folder.root.read_bytes())
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        raise DecodeError(f"{folder.path}: no measurement: {type(exc).__name__}") from exc
    return Policy(root, tuple(found))
