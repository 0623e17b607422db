"""The process backend: a network's nodes as real subprocesses that die with their owner.

A node is a name and the processes that make it up: `bitcoind`, or `operator-03` with its `enclave`
and its `host`. No caller knows a process id: it says `kill("operator-03")` or, for one process
alone, `kill("operator-03/host")`.

A host comes from the `nursery`, which has read its code before. Only the process that makes it is
another: it has a log, an id and an end like the rest.

Three things keep a machine clean. The kernel kills every child when its manager dies, however
(PR_SET_PDEATHSIG, set before the command runs). A process is known by its id and its start time,
so a recycled id is never signalled (threat D12). And the ids stand in the state folder, so that
another process, such as the next `grail devnet down`, can finish what a dead manager left.

A confined command (`sandbox`) has bubblewrap between itself and this process: what stands under its
name is the command's own process, as soon as bubblewrap has told its id, so that pausing, killing
and its memory mean the command. Either of the two ends with the other. Bubblewrap's child waits for
its parent's word, and for ever where the parent was killed before; so bubblewrap has no leash until
the command runs. Then the kernel kills it when this process ends (F_SETSIG on its standard input,
a pipe whose other end this process alone holds). Where this process was gone before, the command
ends because it reads the end of that pipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from grail.errors import DecodeError, InvalidInput, Unavailable
from grail.folders import private_folder, write_private
from grail.network_file import start_time
from grail_devnet import nursery
from grail_devnet.nursery import Born, Hosted, Nursery
from grail_devnet.sandbox import Confined

FILE = "processes.json"
TERM_SECONDS = 2.0
"""How long a process may take to end by itself before it is killed."""
KILL_SECONDS = 5.0
"""How long the kernel may take to remove a killed process before that is an error."""

# No core files, which would hold keys; no file above 1 GiB (in blocks of 512), so a runaway log
# does not fill the disk. The shell compares its parent with the owner: one that died before the
# leash was set leaves nothing.
LEASH = 'ulimit -c 0; ulimit -f 2097152; [ "$PPID" = "$0" ] && exec "$@"'

# What children may see of the environment: never a secret that happens to be in the user's.
PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")


Command = Sequence[str] | Confined | Hosted


class Backend(Protocol):
    """Starts and stops nodes by name. `face` is the process of a node that the network reaches."""

    def start(self, node: str, commands: Mapping[str, Command], *, behind: bool = False) -> None:
        """Start a node's processes. The last one named is its face, unless it goes `behind`."""

    def stop(self, names: Iterable[str]) -> None:
        """End nodes in good order, and make sure that they are gone."""

    def kill(self, name: str) -> None:
        """End a node, or one process of it, without warning."""

    def pause(self, name: str) -> None:
        """Stop it where it stands; `resume` lets it go on."""

    def resume(self, name: str) -> None:
        """Let a paused or cut node go on."""

    def cut(self, node: str) -> None:
        """Take a node off the network; what is behind its face goes on. `resume` mends it."""

    def logs(self, name: str, lines: int) -> str:
        """The last lines that a node's processes wrote."""

    def processes(self) -> list[Process]:
        """All processes that were started, dead ones too."""


@dataclass(frozen=True, slots=True)
class Process:
    """A started process. `name` is `node/process`, `started` the kernel's start time."""

    name: str
    pid: int
    started: int
    log: str

    @property
    def node(self) -> str:
        """The node it belongs to."""
        return self.name.partition("/")[0]

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return start_time(self.pid) == self.started

    @property
    def paused(self) -> bool:
        """Whether it is stopped by a signal."""
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            return self.alive and state == "T"
        return False

    @property
    def memory(self) -> int:
        """Bytes of memory that it has for itself alone, and its share of what several have."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        # An enclave lets nobody look into it; what it has for itself alone is public.
        with contextlib.suppress(OSError, ValueError):
            _size, resident, shared = Path(f"/proc/{self.pid}/statm").read_text().split()[:3]
            return (int(resident) - int(shared)) * resource.getpagesize()
        return 0

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; False when it is gone.

        A pidfd holds on to the process while its start time is compared, so the signal cannot
        reach one that took over the number.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


class ProcessBackend:
    """Nodes as subprocesses of this process, or (by `attach`) those that another one started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: dict[str, Process] = {}
        self._children: dict[str, subprocess.Popen[bytes] | Born] = {}
        self._commands: dict[str, list[str] | Hosted] = {}
        self._nursery: Nursery | None = None
        # Files in memory in which bubblewrap will say what its child's id is, and its leash.
        self._untold: dict[str, tuple[int, int]] = {}
        self._learning = threading.Lock()
        # A pipe that nobody writes to: its end is read where this process is gone.
        self._life: tuple[int, int] | None = None
        # PR_SET_PDEATHSIG fires when the *thread* that forked ends: one thread forks, and stays.
        self._forker = ThreadPoolExecutor(1, thread_name_prefix="grail-forker")

    @classmethod
    def attach(cls, folder: Path) -> ProcessBackend:
        """The processes that stand in a state folder. Raises `DecodeError` when it is damaged."""
        backend = cls(folder)
        try:
            listed = json.loads((folder / FILE).read_text())
            backend._processes = {item["name"]: Process(**item) for item in listed}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise DecodeError(f"{folder / FILE}: not a list of processes") from exc
        return backend

    def start(self, node: str, commands: Mapping[str, Command], *, behind: bool = False) -> None:
        """Start a node's processes. The last one named is its face.

        What goes `behind` stands before those of the node that were started already, so that its
        face stays. Raises `Unavailable`.
        """
        before = [name for name in self._processes if behind and name.startswith(f"{node}/")]
        for process, command in commands.items():
            if isinstance(command, Confined):
                self._start_confined(f"{node}/{process}", command)
            elif isinstance(command, Hosted):
                self._start_hosted(f"{node}/{process}", command)
            else:
                self._start(f"{node}/{process}", list(command))
        for name in before:
            self._processes[name] = self._processes.pop(name)
        self._save()

    def _start_confined(self, name: str, command: Confined) -> None:
        # No pipe: bubblewrap would be ended by SIGPIPE where this process is gone.
        told = os.memfd_create("told", os.MFD_CLOEXEC)
        # Opened anew: who gets signals belongs to each opening.
        leash = os.open(f"/proc/self/fd/{self._end_of_life()}", os.O_RDONLY | os.O_CLOEXEC)
        program = None if command.filter is None else _readable(command.filter)
        passed = [each for each in (told, program) if each is not None]
        try:
            self._start(name, command.argv(told, program), passed, leash)
        except BaseException:
            os.close(told)
            os.close(leash)
            raise
        finally:
            if program is not None:
                os.close(program)
        del self._commands[name]  # its descriptors are gone: it cannot be started again by this
        self._untold[name] = told, leash

    def prepare_hosts(self) -> None:
        """Let the process that hosts come from read their code, beside whatever else goes on."""
        if self._nursery is not None:
            if self._nursery.process.poll() is None:
                return
            self._nursery.close()
        name = f"{nursery.NAME}/{nursery.NAME}"
        own, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            command = python("grail_devnet.nursery", str(its.fileno()))
            process = self._start(name, command, [its.fileno()])
        del self._commands[name]  # its descriptor is gone: it cannot be started again by this
        self._nursery = Nursery(process, own)

    def _start_hosted(self, name: str, command: Hosted) -> None:
        self._check_free(name)
        self.prepare_hosts()
        assert self._nursery is not None
        log = self._log(name)
        self._keep(name, command, self._nursery.bear(command, log), log)

    def start_again(self, name: str, *more: str) -> None:
        """Start one process that ended by its old command, with `more` arguments at its end.

        Raises `InvalidInput` when it runs, or was not started by this process.
        """
        if name not in self._commands:
            raise InvalidInput(f"{name[:60]} was not started here", hint="name it node/process")
        command = self._commands[name]
        if isinstance(command, Hosted):
            self._start_hosted(name, command)
        else:
            self._start(name, [*command, *(each for each in more if each not in command)])
        self._save()

    def _end_of_life(self) -> int:
        """A descriptor of the pipe that ends with this process."""
        self._life = self._life or os.pipe2(os.O_CLOEXEC)
        return self._life[0]

    def _start(
        self,
        name: str,
        command: list[str],
        passed: Sequence[int] = (),
        later: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process on a leash, or with a standard input that becomes its leash `later`."""
        self._check_free(name)
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise Unavailable(
                "setpriv is missing", hint="it is in Debian's package util-linux: install that"
            )
        leash = ["/bin/sh", "-c", LEASH, str(os.getpid())]
        if later is None:
            leash = [setpriv, "--pdeathsig", "KILL", *leash]
        log = self._log(name)
        with _appended(log) as out:
            try:
                child = self._forker.submit(
                    subprocess.Popen,
                    leash + command,
                    stdin=self._end_of_life() if later is None else later,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env={key: os.environ[key] for key in PASSED_ON if key in os.environ},
                    start_new_session=True,
                    umask=0o077,
                    pass_fds=passed,
                ).result()
            except OSError as exc:
                raise Unavailable(f"{name}: cannot be started: {exc}") from exc
        self._keep(name, command, child, log)
        return child

    def _check_free(self, name: str) -> None:
        if name in self._processes and self._processes[name].alive:
            raise InvalidInput(f"{name} is running already")

    def _log(self, name: str) -> Path:
        return private_folder(self.folder / "logs") / f"{name.replace('/', '.')}.log"

    def _keep(
        self,
        name: str,
        command: list[str] | Hosted,
        child: subprocess.Popen[bytes] | Born,
        log: Path,
    ) -> None:
        """Know a process by its name from now on."""
        started = start_time(child.pid)
        self._commands.setdefault(name, command)
        if name in self._children:
            # The one before it is asked how it ended, and let go. It was killed, but on a busy
            # machine the kernel may not have buried it yet.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._children[name].wait(KILL_SECONDS)
        self._children[name] = child
        self._processes[name] = Process(name, child.pid, started or 0, str(log))

    def _save(self) -> None:
        listed = [asdict(process) for process in self._processes.values()]
        write_private(self.folder / FILE, json.dumps(listed, indent=1).encode())

    def processes(self) -> list[Process]:
        """All processes that were started, dead ones too."""
        for child in self._children.values():
            child.poll()  # a child that ended is a zombie until its parent asks
        with self._learning:
            if self._untold:
                for name in list(self._untold):
                    self._learn(name)
                self._save()
        return list(self._processes.values())

    def _learn(self, name: str) -> None:
        """Put the confined process in bubblewrap's place, once it runs, and leash bubblewrap.

        One that failed before keeps its own place.
        """
        told, leash = self._untold.pop(name)
        child = self._children[name]
        deadline = time.monotonic() + KILL_SECONDS
        pid = 0
        while time.monotonic() < deadline:
            ended = child.poll() is not None
            with contextlib.suppress(ValueError, KeyError, TypeError):
                pid = int(json.loads(os.pread(told, 4_096, 0))["child-pid"])
            if ended or (pid and _program(pid) != _program(child.pid)):
                break
            time.sleep(0.002)
        if child.poll() is None:
            fcntl.fcntl(leash, fcntl.F_SETOWN, child.pid)
            fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)
        for each in (told, leash):
            os.close(each)
        if pid:
            self._processes[name] = replace(
                self._processes[name], pid=pid, started=start_time(pid) or 0
            )

    def named(self, name: str) -> list[Process]:
        """The processes of a node, or the one process. Raises `InvalidInput` for a stranger."""
        found = [p for p in self.processes() if name in (p.name, p.node)]
        if not found:
            nodes = ", ".join(dict.fromkeys(p.node for p in self.processes()))
            raise InvalidInput(f"no node is called {name[:60]!r}", hint=f"there are: {nodes}")
        return found

    def exit_code(self, name: str) -> int | None:
        """How a child of this process ended; None while it runs, or when it is not a child."""
        child = self._children.get(name)
        return None if child is None else child.poll()

    def kill(self, name: str) -> None:
        """End a node, or one process of it, without warning; it is gone on return."""
        self._end(self.named(name), signal.SIGKILL, KILL_SECONDS)

    def stop(self, names: Iterable[str] | None = None) -> None:
        """End nodes (all, if none is named): TERM, wait, KILL, and make sure that they are gone.

        Raises `Unavailable` naming what could not be ended.
        """
        chosen = self.processes()
        if names is not None:
            chosen = [process for name in names for process in self.named(name)]
        for process in chosen:
            if process.paused:
                process.signal(signal.SIGCONT)
        left = self._end(chosen, signal.SIGTERM, TERM_SECONDS, final=False)
        self._end(left, signal.SIGKILL, KILL_SECONDS)

    def _end(
        self, chosen: list[Process], number: signal.Signals, seconds: float, *, final: bool = True
    ) -> list[Process]:
        left = [process for process in chosen if process.signal(number)]
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(0.01)
            self.processes()
            left = [process for process in left if process.alive]
        if left and final:
            raise Unavailable(f"could not end {', '.join(process.name for process in left)}")
        return left

    def pause(self, name: str) -> None:
        """Stop a node, or one process of it, where it stands; it stands on return."""
        self._stop_in_place(name)

    def resume(self, name: str) -> None:
        """Let a paused or cut node go on."""
        self._signal(name, signal.SIGCONT)

    def cut(self, node: str) -> None:
        """Stop the node's face only: its socket takes connections and never answers.

        From outside that is a network that swallows packets, while the processes behind the face
        go on with all that they remember.
        """
        self._stop_in_place(self.named(node)[-1].name)

    def _stop_in_place(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)
        deadline = time.monotonic() + KILL_SECONDS
        for process in self.named(name):
            # The signal is taken when the process next gets to run, or comes out of the kernel.
            while process.alive and not process.paused:
                if time.monotonic() > deadline:
                    raise Unavailable(f"{process.name} could not be stopped")
                time.sleep(0.005)

    def _signal(self, name: str, number: signal.Signals) -> None:
        for process in self.named(name):
            if not process.signal(number):
                raise Unavailable(
                    f"{process.name} is not running",
                    hint="what was killed stays down: an operator's key dies with its process",
                )

    def logs(self, name: str, lines: int = 40) -> str:
        """The last lines that a node's processes wrote, terminal escapes made visible (D21)."""
        found = self.named(name)
        parts = []
        for process in found:
            text = _tail(Path(process.log), lines)
            parts.append(f"== {process.name} ==\n{text}" if len(found) > 1 else text)
        return "\n".join(parts)

    def close(self) -> None:
        """Let the forking thread end: what of it still runs is killed by the kernel then."""
        self._forker.shutdown()
        for end in self._life or ():
            os.close(end)
        self._life = None
        while self._untold:
            for each in self._untold.popitem()[1]:
                os.close(each)
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(KILL_SECONDS)
        if self._nursery is not None:
            self._nursery.close()


def _appended(log: Path) -> BinaryIO:
    """A log, open at its end; nobody else reads it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(log, flags, 0o600), "ab")


def _program(pid: int) -> str:
    """The name of the program that a process runs; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _readable(data: bytes) -> int:
    """A descriptor from which these bytes can be read, once."""
    handle = os.memfd_create("filter", os.MFD_CLOEXEC)
    os.write(handle, data)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours; -P keeps the current folder out of its path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _tail(log: Path, lines: int, limit: int = 1 << 20) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - limit))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(inert(line) for line in text.splitlines()[-lines:])


def inert(line: str) -> str:
    """A line of text with its control characters escaped."""
    return "".join(c if c.isprintable() or c == "\t" else repr(c)[1:-1] for c in line)
