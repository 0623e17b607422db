"""What other processes ask of a network's manager, and its answer: a file each in the state folder.

A process has to be started by the manager, whose death ends it. A request is an object with one
name in it, of what is to be done; it is gone when that is done, or says what went wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from grail.errors import GrailError, InvalidInput, Unavailable
from grail.folders import private_folder, write_private
from grail_devnet.state import StateFolder

SECONDS = 60.0
"""How long a manager may take over a request."""


def ask_manager(folder: StateFolder, what: str, about: object, seconds: float = SECONDS) -> None:
    """Have the manager in the background do something; return when it has.

    Raises `InvalidInput` or `Unavailable`, by its answer.
    """
    manager = folder.manager()
    if manager is None or not manager.daemon:
        raise Unavailable(
            "processes start and end in the program that runs this network alone",
            hint="there: net.restart, net.change_roster, net.retire",
        )
    name = f"{what}.{os.getpid()}.{secrets.token_hex(4)}"
    request = private_folder(folder.requests) / name
    write_private(request, json.dumps({what: about}).encode())
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and folder.manager() == manager:
        try:
            told = json.loads(request.read_text())
        except FileNotFoundError:
            return
        if "error" in told:
            request.unlink(missing_ok=True)
            kind = InvalidInput if told["error"] == "InvalidInput" else Unavailable
            raise kind(told["message"], hint=told["hint"])
        time.sleep(0.02)
    request.unlink(missing_ok=True)
    raise Unavailable(f"the manager did not {what} {about} in {seconds:.0f} s")


def serve_requests(folder: StateFolder, does: Mapping[str, Callable[[Any], object]]) -> None:
    """Do what was asked of this manager since it last looked, and answer where it went wrong.

    `does` has what is done, by the names that requests have for it.
    """
    for request in sorted(folder.requests.glob("[!.]*")):
        try:
            asked = dict(json.loads(request.read_text()))
            if "error" in asked:
                continue  # an answer that nobody has taken yet
            ((what, about),) = asked.items()
            does[what](about)
            request.unlink(missing_ok=True)
        except (GrailError, OSError, ValueError, TypeError, KeyError) as exc:
            said = {"error": type(exc).__name__, "message": str(exc)}
            said["hint"] = getattr(exc, "hint", "")
            # On a full disk the asker waits in vain; the network, and its keys, must not end by it.
            with contextlib.suppress(Unavailable):
                write_private(request, json.dumps(said).encode())
