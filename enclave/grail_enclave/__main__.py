"""Start an operator's enclave: `python -m grail_enclave --socket PATH --config FILE --module PATH`.

The key is drawn here and lives as long as the process. One line "ready <key>" on standard output
says that the socket listens. No secret comes in by argument or environment, and none goes out.
The module (`/dev/nsm`, or a devnet's socket) says what runs here; without one nobody can tell.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from grail.errors import GrailError, InvalidInput
from grail.operators.configuration import MAX_FILE, Configuration
from grail_enclave import keys
from grail_enclave.enclave import started
from grail_enclave.execution import forbid_programs
from grail_enclave.hardening import end_with_parent, harden
from grail_enclave.measured import bind
from grail_enclave.nsm import Module
from grail_enclave.serve import Server


def read_configuration(path: Path) -> tuple[Configuration, bytes]:
    """The configuration of a file, and the file's bytes. Raises `InvalidInput` or `DecodeError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"configuration {path.name}: {exc}") from exc
    return Configuration.from_json(text), raw


async def run(
    socket: Path,
    configuration: Configuration,
    module: Module | None = None,
    *,
    while_open: bool = False,
) -> None:
    """Draw the key and serve until told to stop, or `while_open` until standard input ends."""
    key = keys.draw(keys.MemorySealer(), None if module is None else module.random)
    server = Server(socket, started(configuration, key, module=module).answer)
    task = asyncio.ensure_future(
        server.run(lambda: print(f"ready {key.public}", flush=True))  # noqa: T201
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    if while_open:
        loop.add_reader(sys.stdin.fileno(), lambda: os.read(sys.stdin.fileno(), 1) or task.cancel())
    try:
        await task
    except asyncio.CancelledError:
        return


def main(arguments: list[str] | None = None) -> int:
    """The process: 0 when told to stop, 1 when it cannot start."""
    parser = argparse.ArgumentParser(prog="grail_enclave", description="a Grail operator's enclave")
    parser.add_argument("--socket", type=Path, required=True, help="unix socket in a 0700 folder")
    parser.add_argument("--config", type=Path, required=True, help="the operator's configuration")
    parser.add_argument("--module", type=Path, help="/dev/nsm, or a devnet's socket in its place")
    parser.add_argument(
        "--while-open", action="store_true", help="end with the parent, and with standard input"
    )
    options = parser.parse_args(arguments)
    try:
        harden()
        forbid_programs()
        if options.while_open:
            end_with_parent()
        configuration, raw = read_configuration(options.config)
        module = None
        if options.module is not None:
            module = Module.at(options.module)
            bind(module, raw)
        asyncio.run(run(options.socket, configuration, module, while_open=options.while_open))
    except GrailError as exc:
        hint = f" ({exc.hint})" if exc.hint else ""
        print(f"grail_enclave: {exc}{hint}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
