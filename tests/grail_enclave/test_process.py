"""The enclave as a process: started by command, asked over its socket, told to stop."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from enclave_world import World

from grail.operators import frames
from grail.operators.frames import Frame, Reply, Status, lengthened
from grail_enclave.hardening import harden

pytestmark = pytest.mark.devnet

READY_SECONDS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "enclave"
    made.mkdir(mode=0o700)
    return made


class Process:
    """A started enclave with its socket."""

    def __init__(self, folder: Path, text: str) -> None:
        self.socket = folder / "socket"
        self.config = folder / "configuration.json"
        self.config.write_text(text)
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "grail_enclave",
                "--socket",
                str(self.socket),
                "--config",
                str(self.config),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> str:
        """The line that says so."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, kind: str, body: object = None) -> Reply:
        """One frame on a connection of its own."""
        with socket.socket(socket.AF_UNIX) as peer:
            # Where many wait to be accepted, a connect with a timeout fails at once (EAGAIN, unix(7)).
            peer.connect(str(self.socket))
            peer.settimeout(10)
            peer.sendall(lengthened(Frame(kind, body).serialize()))
            with peer.makefile("rb") as stream:
                size = int.from_bytes(stream.read(4), "little")
                return Reply.parse(stream.read(size))


@pytest.fixture
def started(folder: Path) -> Iterator[Process]:
    world = World.begun()
    process = Process(folder, world.configuration.to_json())
    yield process
    process.process.kill()
    process.process.communicate()


def test_start_ask_stop(started: Process) -> None:
    """Ready line, status over the socket, an end by TERM with code 0 that leaves no socket."""
    word, key = started.ready().split()
    assert word == "ready"
    status = Status.from_fields(started.ask(frames.STATUS).unwrap())
    assert str(status.key) == key
    assert started.ask(frames.VOTE, b"junk").refusal is not None
    started.process.send_signal(signal.SIGTERM)
    out, err = started.process.communicate(timeout=READY_SECONDS)
    assert (started.process.returncode, out, err) == (0, "", "")
    assert not started.socket.exists()


def test_D10_hardened_it_is_not_dumpable() -> None:
    """Asked of the kernel by the process itself: root's own files look the same either way."""
    child = os.fork()
    if child == 0:
        get_dumpable = 3
        harden()
        os._exit(ctypes.CDLL(None).prctl(get_dumpable, 0, 0, 0, 0))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_D10_no_secret_outside_the_process(started: Process) -> None:
    """No core dumps, not traceable, nothing in arguments or environment but names of files."""
    started.ready()
    proc = Path("/proc") / str(started.process.pid)
    limits = next(
        line for line in (proc / "limits").read_text().splitlines() if "core file" in line
    )
    assert limits.split()[4:6] == ["0", "0"]
    # Not dumpable: the kernel gives the process's files to root, nobody of the same user reads them.
    assert (proc / "environ").stat().st_uid == 0
    arguments = (proc / "cmdline").read_bytes().split(b"\0")
    assert arguments[1:-1] == [
        b"-m",
        b"grail_enclave",
        b"--socket",
        str(started.socket).encode(),
        b"--config",
        str(started.config).encode(),
    ]
    assert sorted(path.name for path in started.socket.parent.iterdir()) == [
        "configuration.json",
        "socket",
    ]
    assert started.socket.stat().st_mode & 0o077 == 0


def test_A14_process_outlives_hostile_peers(started: Process) -> None:
    """Lies about length, cuts and noise on many connections; the next frame is served, memory flat."""
    started.ready()
    before = resident(started.process.pid)
    for number in range(200):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(started.socket))
            peer.sendall([b"\xff" * 4, b"\xff\xff\x0f\x00cut", b"\x00", os.urandom(64)][number % 4])
    Status.from_fields(started.ask(frames.STATUS).unwrap())
    assert resident(started.process.pid) < before + 20_000_000


def resident(pid: int) -> int:
    pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def failing(folder: Path, text: str) -> str:
    process = Process(folder, text).process
    out, err = process.communicate(timeout=READY_SECONDS)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith("grail_enclave: ")
    assert "Traceback" not in err
    return err


def test_A13_start_with_a_bad_configuration(folder: Path) -> None:
    """One line on standard error and code 1; no enclave runs by defaults."""
    world = World.begun()
    good = world.configuration.to_json()
    assert "configuration" in failing(folder, good[:-2])
    assert "configuration" in failing(folder, good.replace('"quorum": 12', '"quorum": 1'))
    fewer = replace(world.configuration, rules=world.configuration.rules[:-1])
    assert "rules" in failing(folder, fewer.to_json())
    folder.chmod(0o755)
    assert "0700" in failing(folder, good)


def test_memory_and_time_of_a_start(started: Process) -> None:
    """The figures of the design: a process that answers, below 60 MB."""
    begun = time.monotonic()
    started.ready()
    assert time.monotonic() - begun < READY_SECONDS
    assert resident(started.process.pid) < 60_000_000


def test_D18_it_ends_when_its_standard_input_does(folder: Path) -> None:
    """The other end is its owner's alone: where bubblewrap's own leash comes too late."""
    config = folder / "configuration.json"
    config.write_text(World.begun().configuration.to_json())
    command = [sys.executable, "-m", "grail_enclave", "--socket", str(folder / "socket")]
    with subprocess.Popen(
        [*command, "--config", str(config), "--while-open"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready ")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.stdin.close()
        assert process.wait(5) == 0
    assert not (folder / "socket").exists()
