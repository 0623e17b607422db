"""An enclave's process under bubblewrap: its image read-only, its sockets, and nothing else.

No network, no processes but its own, no file of the machine, no capability, no environment; the
filter of `syscalls` on top. This is not isolation from
the machine's owner, who can still read its memory (threat D16); it is the enclave that cannot
reach out.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grail.errors import Unavailable
from grail_devnet import syscalls

ALONE = (
    *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
    *("--unshare-cgroup-try", "--cap-drop", "ALL", "--new-session"),
    *("--as-pid-1", "--clearenv"),
)
"""Namespaces and rights. `--as-pid-1`: bubblewrap has no second process inside.

No `--die-with-parent`: bubblewrap would be killed by it while its child waits for its word, and the
child would wait for ever. The backend has a leash that it puts on later."""

TRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Confined:
    """A command under bubblewrap. The process that matters is bubblewrap's child.

    `filter` goes to bubblewrap by a descriptor, and the child's id comes back by another.
    """

    bwrap: str
    flags: tuple[str, ...]
    command: tuple[str, ...]
    filter: bytes | None

    def argv(self, info: int, program: int | None) -> list[str]:
        """The whole command line, given both descriptors."""
        given = ["--info-fd", str(info)]
        if program is not None:
            given += ["--seccomp", str(program)]
        return [self.bwrap, *given, *self.flags, "--", *self.command]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What of it this machine has. `missing` says in words what it lacks, and what to do."""

    bwrap: str | None
    filter: bytes | None
    missing: tuple[str, ...] = ()

    def confined(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        readable: Mapping[Path, str],
        writable: Mapping[Path, str],
    ) -> Confined:
        """A command that sees these places only: a path of the machine, and its name inside.

        Raises `Unavailable` where there is no bubblewrap.
        """
        if self.bwrap is None:
            raise Unavailable("bubblewrap cannot be used", hint="; ".join(self.missing))
        flags = list(ALONE)
        for name, value in environment.items():
            flags += ["--setenv", name, value]
        for option, places in (("--ro-bind", readable), ("--bind", writable)):
            for outside, inside in places.items():
                flags += [option, str(outside), inside]
        flags += ["--remount-ro", "/", "--chdir", "/"]
        return Confined(self.bwrap, tuple(flags), tuple(command), self.filter)


def find() -> Sandbox:
    """What this machine has of it, tried once."""
    missing = []
    program = None
    try:
        program = syscalls.program()
    except Unavailable as exc:
        missing.append(f"no filter of system calls: {exc} ({exc.hint})")
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        missing.append("no bubblewrap (it is in Debian's package of that name: install it)")
        return Sandbox(None, None, tuple(missing))
    refused = _tried(bwrap)
    if refused is not None:
        missing.append(f"bubblewrap is refused: {refused} (it needs user namespaces)")
        return Sandbox(None, None, tuple(missing))
    return Sandbox(bwrap, program, tuple(missing))


def _tried(bwrap: str) -> str | None:
    """What bubblewrap says against it, or None when it can do what is asked of it."""
    command = [bwrap, *ALONE, "--ro-bind", "/", "/", "--", "/bin/true"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TRY_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)[:200]
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]


def lacks(file: Path) -> tuple[str, ...]:
    """What a devnet's machine lacked when it started, by the file that says so."""
    try:
        missing = json.loads(file.read_text())["missing"]
        return tuple(str(each) for each in missing)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        return (f"nobody knows: {file.name}: {type(exc).__name__}",)
