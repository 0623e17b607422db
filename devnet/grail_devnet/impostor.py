"""An enclave with changed code that tries to join, and what it is told.

Everything about it is real: its image is the network's with one file changed, a module of the same
authority holds what was measured of it, and it runs from that image. So what turns it away is the
measurement, and nothing else.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grail.attestation.pcr import CONFIGURATION, measured
from grail.errors import Incorrect, Refused, Unavailable
from grail.folders import private_folder
from grail.operators.frames import LINK_ANSWER, LINK_DIAL, Frame
from grail.operators.link_frames import Sealed, carry_frame, read_messages
from grail.operators.transport import Transport
from grail_devnet.enclave_socket import SocketTransport
from grail_devnet.image import launch
from grail_devnet.image.changed import copied
from grail_devnet.image.launch import removed
from grail_devnet.image.measure import Image
from grail_devnet.nsm.authority import Authority
from grail_devnet.nsm.module import EmulatedModule
from grail_devnet.processes import python
from grail_devnet.state import StateFolder

CHANGED = "app/grail_enclave/signer.py"
"""The file that an impostor would change first."""

LINE = b"# an impostor\n"


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """What became of an impostor: the file that was changed, its PCR0, the refusal it got."""

    operator: str
    changed: str
    pcr0: bytes
    rule: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "operator": self.operator,
            "changed": self.changed,
            "pcr0": self.pcr0.hex(),
            "rule": self.rule,
            "message": self.message,
        }

    def __str__(self) -> str:
        return (
            f"turned away by {self.operator}: {self.rule}: {self.message}\n"
            f"  one line more in {self.changed}, so PCR0 is {self.pcr0.hex()[:24]}..."
        )


async def attempt(
    folder: StateFolder, operator: str, changed: str = CHANGED, line: bytes = LINE
) -> TurnedAway:
    """Let an impostor dial an operator's enclave. Raises `Incorrect` if it is let in.

    `changed` is the path of the file in the image that gets one line more. Raises `InvalidInput`
    where there is none of that name, `Unavailable` when something cannot start.
    """
    place = private_folder(folder.path / "run" / "im")
    try:
        image = copied(folder.image, place / "image", changed, line)
        async with _running(folder, image, place) as socket:
            sockets = SocketTransport([socket, folder.socket(operator)])
            try:
                await _link(sockets)
            except Refused as exc:
                pcr0 = image.pcrs[0]
                return TurnedAway(operator, changed, pcr0, exc.rule, exc.detail)
    finally:
        removed(place)
    raise Incorrect(
        f"an impostor was let in by {operator}",
        hint="its image differs in one line; this must never happen",
    )


@contextlib.asynccontextmanager
async def _running(folder: StateFolder, image: Image, place: Path) -> AsyncIterator[Path]:
    """An enclave of this image with a module of its own; its socket."""
    text = folder.configuration.read_bytes()
    pcrs = {**image.pcrs, CONFIGURATION: measured(text)}
    module = EmulatedModule.draw(Authority.load(folder.path), pcrs)
    module.save(place / "module.json")
    module_socket, socket = place / "m" / "s", private_folder(place / "e") / "s"
    serving = python(
        "grail_devnet.nsm", "--socket", str(module_socket), "--module", str(place / "module.json")
    )
    given = ["--socket", str(socket), "--config", str(folder.configuration)]
    enclave = launch.command(
        image, image.folder, "-m", "grail_enclave", *given, "--module", str(module_socket)
    )
    with _process(serving, None), _process(enclave, launch.environment(image.folder)):
        yield socket


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str] | None) -> Iterator[None]:
    """A child that has said that it is ready, and is gone afterwards. Raises `Unavailable`."""
    leash = ["setpriv", "--pdeathsig", "KILL", *command]
    child = subprocess.Popen(
        leash, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    try:
        assert child.stdout is not None
        if not child.stdout.readline().startswith("ready"):
            child.kill()
            said = child.communicate()[1].strip()
            raise Unavailable(f"an impostor could not start: {said[-200:]}")
        yield
    finally:
        child.kill()
        child.communicate()


async def _link(sockets: Transport) -> None:
    """Dial from the first enclave to the second. Raises what either refuses."""
    begun = Sealed.from_fields((await sockets.ask(0, Frame(LINK_DIAL))).unwrap())
    first = Frame(LINK_ANSWER, begun.messages[0])
    answered = Sealed.from_fields((await sockets.ask(1, first)).unwrap())
    back = list(answered.messages)
    while back:
        forth: list[bytes] = []
        for message in back:
            reply = await sockets.ask(0, carry_frame(begun.number, message))
            forth += read_messages(reply.unwrap())
        back = []
        for message in forth:
            reply = await sockets.ask(1, carry_frame(answered.number, message))
            back += read_messages(reply.unwrap())
