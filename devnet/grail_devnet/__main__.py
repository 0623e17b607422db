"""The manager of a devnet in the background: starts it, waits for a signal, ends it.

`grail devnet up` runs `python -m grail_devnet`, which tells on its output, a line of JSON at a
time, how far it is, and at last that it is ready or what went wrong. From then on it writes to its
log. TERM and INT end the network in good order; kill -9 ends it too, by the kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from grail.errors import GrailError
from grail_devnet.devnet import Devnet
from grail_devnet.sandbox import lacks

LOOK_SECONDS = 0.2
"""Between two looks at what children did and what others ask."""


def main() -> int:
    """Run one devnet until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m grail_devnet", description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--operators", type=int, default=16)
    parser.add_argument("--quorum", type=int, default=12)
    parser.add_argument("--node-port", type=int)
    parser.add_argument("--no-deploy", action="store_true")
    parser.add_argument("--rogue", help="who runs a build with a fault, which is accepted too")
    parser.add_argument("--salvage", action="store_true", help="bring back a dead one's chain")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)  # at any time, also while the network starts
    try:
        devnet = _salvaged(options) if options.salvage else _started(options)
    except GrailError as exc:
        _tell(error=type(exc).__name__, message=str(exc), hint=exc.hint)
        return 1
    except KeyboardInterrupt:
        _tell(error="Unavailable", message="stopped while it started", hint="")
        return 1
    try:
        _tell(ready=devnet.name, folder=str(devnet.folder.path))
        _write_to_log(devnet.folder.path / "logs" / "manager.log")
        for lack in lacks(devnet.folder.sandbox):
            print(f"enclaves are not kept apart from this machine: {lack}", flush=True)  # noqa: T201
        while True:
            devnet.processes()  # takes leave of children that ended: no zombies stay
            devnet.serve_requests()
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        pass
    finally:
        if options.salvage:
            devnet.close()  # its folder is what it was brought back for
        else:
            devnet.down()
    return 0


def _started(options: argparse.Namespace) -> Devnet:
    return Devnet(
        options.name,
        operators=options.operators,
        quorum=options.quorum,
        node_port=options.node_port,
        deploy=not options.no_deploy,
        rogue=options.rogue,
        folder=options.folder,
        progress=lambda text: _tell(progress=text),
        daemon=True,
    )


def _salvaged(options: argparse.Namespace) -> Devnet:
    return Devnet.salvage(
        options.name,
        folder=options.folder,
        progress=lambda text: _tell(progress=text),
        daemon=True,
    )


def _interrupt(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first one ends the network; let it
    raise KeyboardInterrupt


def _tell(**fields: str) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def _write_to_log(path: Path) -> None:
    """From here on nobody reads the pipe: output and errors go to a file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    os.dup2(handle, sys.stdout.fileno())
    os.dup2(handle, sys.stderr.fileno())
    os.close(handle)


if __name__ == "__main__":
    sys.exit(main())
