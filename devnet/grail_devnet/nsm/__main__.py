"""The process of modules: `python -m grail_devnet.nsm --socket PATH --module FILE`, once or often.

Each socket serves the one enclave that it was made for, from a thread of its own: requests and
answers as on the device, with a little-endian u32 length before each. One line "ready <module id>"
on standard output for each, in order, says that its socket listens.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path

from grail.attestation import nsm
from grail.errors import GrailError, InvalidInput, TooLarge
from grail.folders import private_folder
from grail.operators.frames import announced, lengthened
from grail_devnet.nsm.module import EmulatedModule

SECONDS = 5.0
"""From a connection's start to the end of its request, and to the end of its answer."""


def listen(path: Path) -> socket.socket:
    """A socket that listens, in a private folder: where its path is, it takes connections.

    Raises `InvalidInput`.
    """
    private_folder(path.parent)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    beside = path.with_name(f"{path.name}~")
    try:
        beside.unlink(missing_ok=True)
        listener.bind(str(beside))
        listener.listen()
        beside.rename(path)
    except OSError as exc:
        listener.close()
        raise InvalidInput(f"socket {path.name}: {exc.strerror}") from exc
    return listener


def serve(listener: socket.socket, module: EmulatedModule) -> None:
    """Answer one connection after the other, as long as the process lives."""
    while True:
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(SECONDS)
            try:
                _one(stream, module)
            except (OSError, TooLarge):
                continue  # cut, slow or too long: that connection is over, nothing changed


def _one(stream: socket.socket, module: EmulatedModule) -> None:
    size = struct.calcsize("3i")
    credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    if struct.unpack("3i", credentials)[1] != os.geteuid():
        return
    with stream.makefile("rb") as sent:
        length = announced(sent.read(4), nsm.MAX_REQUEST)
        request = sent.read(length)
    if len(request) == length:
        stream.sendall(lengthened(module.answer(request)))


def main(arguments: list[str] | None = None) -> int:
    """The process: 0 when told to stop, 1 when it cannot start."""
    parser = argparse.ArgumentParser(prog="grail_devnet.nsm", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, action="append")
    parser.add_argument(
        "--module", type=Path, required=True, action="append", help="its PCRs and instance's key"
    )
    options = parser.parse_args(arguments)
    if len(options.socket) != len(options.module):
        parser.error("each --socket needs its --module")
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _stop)
    try:
        for path, file in zip(options.socket, options.module, strict=True):
            module, listener = EmulatedModule.load(file), listen(path)
            # One enclave that holds its socket up makes no other one wait.
            threading.Thread(target=serve, args=(listener, module), daemon=True).start()
            print(f"ready {module.module_id}", flush=True)  # noqa: T201
        while True:
            signal.pause()
    except GrailError as exc:
        print(f"grail_devnet.nsm: {exc}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        for path in options.socket:
            path.unlink(missing_ok=True)
    return 0


def _stop(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
