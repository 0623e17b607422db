"""The process backend: nodes end with their owner, and nobody else's process is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grail.errors import DecodeError, InvalidInput, Unavailable
from grail.network_file import start_time
from grail_devnet.nursery import Hosted
from grail_devnet.processes import FILE, Process, ProcessBackend, inert

pytestmark = pytest.mark.devnet

SLEEP = ["sleep", "600"]
# Ignores TERM, and says when it is ready to.
STUBBORN = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]


@pytest.fixture
def backend(tmp_path: Path):
    backend = ProcessBackend(tmp_path)
    yield backend
    backend.stop()
    backend.close()


def wait_until(what, condition, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_start_names_processes_and_stop_ends_them(backend) -> None:
    backend.start("operator-01", {"enclave": SLEEP, "host": SLEEP})
    names = [process.name for process in backend.processes()]
    assert names == ["operator-01/enclave", "operator-01/host"]
    assert all(process.alive for process in backend.processes())
    backend.stop()
    assert not any(process.alive for process in backend.processes())


def test_stop_kills_what_ignores_term(backend) -> None:
    backend.start("a", {"a": STUBBORN})
    wait_until("the trap", lambda: "ready" in backend.logs("a"))
    backend.stop(["a"])
    assert backend.exit_code("a/a") == -signal.SIGKILL


def test_stop_ends_a_paused_node_in_good_order(backend) -> None:
    backend.start("a", {"a": SLEEP})
    backend.pause("a")
    backend.stop(["a"])
    assert backend.exit_code("a/a") == -signal.SIGTERM


def test_pause_cut_resume(backend) -> None:
    backend.start("a", {"enclave": SLEEP, "host": SLEEP})
    enclave, host = backend.processes()
    backend.cut("a")
    assert state(host.pid) == "T"
    assert state(enclave.pid) != "T"
    assert host.paused
    assert not enclave.paused
    backend.pause("a")
    assert state(enclave.pid) == "T"
    backend.resume("a")
    wait_until("both to go on", lambda: not enclave.paused and not host.paused)


def test_kill_of_one_process_leaves_its_neighbour(backend) -> None:
    backend.start("a", {"enclave": SLEEP, "host": SLEEP})
    backend.kill("a/enclave")
    assert [process.alive for process in backend.processes()] == [False, True]
    with pytest.raises(Unavailable, match="a/enclave is not running"):
        backend.pause("a/enclave")


def test_a_stranger_is_named_with_the_known(backend) -> None:
    backend.start("a", {"a": SLEEP})
    with pytest.raises(InvalidInput, match="'b'") as caught:
        backend.kill("b")
    assert "there are: a" in caught.value.hint


def test_starting_twice_is_refused(backend) -> None:
    backend.start("a", {"a": SLEEP})
    with pytest.raises(InvalidInput, match="running already"):
        backend.start("a", {"a": SLEEP})


def test_another_process_attaches_by_the_state_folder(backend, tmp_path) -> None:
    backend.start("a", {"a": SLEEP})
    other = ProcessBackend.attach(tmp_path)
    other.kill("a")
    assert not backend.processes()[0].alive
    other.close()


@pytest.mark.parametrize("text", ["{", "[1]", '[{"name": "a"}]', '{"a": 1}'])
def test_a_damaged_list_is_a_typed_error(tmp_path, text) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DecodeError, match="not a list of processes"):
        ProcessBackend.attach(tmp_path)


def test_D12_a_recycled_pid_is_left_alone(tmp_path) -> None:
    # The state folder names a process id that, since, belongs to somebody else: this stranger.
    stranger = subprocess.Popen(SLEEP)
    try:
        started = start_time(stranger.pid)
        assert started is not None
        listed = [{"name": "a/a", "pid": stranger.pid, "started": started - 1, "log": ""}]
        (tmp_path / FILE).write_text(json.dumps(listed))
        backend = ProcessBackend.attach(tmp_path)
        backend.kill("a")
        backend.stop()
        with pytest.raises(Unavailable, match="not running"):
            backend.pause("a")
        assert stranger.poll() is None
        assert state(stranger.pid) != "T"
        # The same with the right start time does reach it: the comparison is what saved it.
        assert Process("a/a", stranger.pid, started, "").signal(signal.SIGKILL)
        assert stranger.wait(5) == -signal.SIGKILL
    finally:
        stranger.kill()
        stranger.wait()
        backend.close()


def test_D18_kill_9_of_the_owner_leaves_nothing(tmp_path) -> None:
    code = """
import sys, time
from pathlib import Path
from grail_devnet.nursery import Hosted
from grail_devnet.processes import ProcessBackend
backend = ProcessBackend(Path(sys.argv[1]))
backend.start("h", {"host": Hosted(("--config", sys.argv[2]))})
for i in range(4):
    backend.start(f"n{i}", {"a": ["sleep", "600"], "b": ["sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done"]})
print("up", flush=True)
time.sleep(600)
"""
    endless = str(never_read(tmp_path))
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), endless], stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    listed = ProcessBackend.attach(tmp_path)
    assert [process.alive for process in listed.processes()] == [True] * 10
    owner.kill()
    owner.wait()
    owner.stdout.close()
    wait_until("all to end", lambda: not any(p.alive for p in listed.processes()), 5)
    listed.close()


def test_an_owner_that_is_gone_before_the_leash_leaves_nothing() -> None:
    # The leash compares the shell's parent with the owner it was told: here another one.
    from grail_devnet.processes import LEASH

    done = subprocess.run(["sh", "-c", LEASH, "1", "echo", "ran"], capture_output=True, check=False)
    assert os.getpid() != 1
    assert done.stdout == b""
    assert done.returncode != 0


def test_D10_children_see_no_secret_of_the_environment(backend, monkeypatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "swordfish")
    backend.start("a", {"a": SLEEP})
    wait_until("the command", lambda: b"sleep" in Path(f"/proc/{pid(backend)}/comm").read_bytes())
    environment = Path(f"/proc/{pid(backend)}/environ").read_bytes()
    assert b"swordfish" not in environment
    assert b"PATH=" in environment


def pid(backend: ProcessBackend) -> int:
    return backend.processes()[0].pid


def test_D21_terminal_escapes_in_logs_are_made_visible(backend) -> None:
    backend.start("a", {"a": ["printf", "red \\033[31mtext\\n"]})
    wait_until("the text", lambda: "text" in backend.logs("a"))
    assert backend.logs("a") == "red \\x1b[31mtext"
    assert inert("plain\ttext ü") == "plain\ttext ü"


def test_a_command_that_is_missing_says_so_in_the_log(backend) -> None:
    backend.start("a", {"a": ["/nonexistent/command"]})
    wait_until("its end", lambda: backend.exit_code("a/a") is not None)
    assert "not found" in backend.logs("a")


def test_memory_is_reported(backend) -> None:
    backend.start("a", {"a": SLEEP})
    assert 0 < backend.processes()[0].memory < 50_000_000


# Hosts come from a process that has read their code.


def never_read(folder: Path) -> Path:
    """Settings at whose reading a host waits for ever."""
    settings = folder / "settings"
    os.mkfifo(settings)
    return settings


def test_a_host_has_its_own_log_and_its_own_end(backend, tmp_path) -> None:
    backend.start("a", {"host": Hosted(("--config", str(tmp_path / "none")))})
    backend.start("b", {"host": Hosted(("--config", str(never_read(tmp_path))))})
    wait_until("its end", lambda: backend.exit_code("a/host") is not None)
    assert backend.exit_code("a/host") == 2
    assert backend.logs("a").startswith("grail_host: ")
    assert (backend.exit_code("b/host"), backend.logs("b")) == (None, "")
    assert backend.named("b")[0].alive
    with pytest.raises(InvalidInput, match="is running already"):
        backend.start_again("b/host")
    backend.start_again("a/host")
    wait_until("its end", lambda: backend.exit_code("a/host") == 2)
    assert backend.logs("a").count("grail_host: ") == 2


def test_a_stop_ends_hosts_and_then_what_they_came_from(backend, tmp_path) -> None:
    backend.start("a", {"host": Hosted(("--config", str(never_read(tmp_path))))})
    backend.stop()
    assert backend.exit_code("a/host") == -signal.SIGTERM
    assert backend.exit_code("nursery/nursery") is not None


def test_D18_hosts_end_with_what_they_came_from_and_another_begins(backend, tmp_path) -> None:
    backend.start("a", {"host": Hosted(("--config", str(never_read(tmp_path))))})
    (host,) = backend.named("a")
    backend.kill("nursery")
    wait_until("the host's end", lambda: not host.alive)
    assert backend.exit_code("a/host") == -signal.SIGKILL
    backend.start_again("a/host")
    assert backend.named("a")[0].alive
    assert backend.named("nursery")[0].alive


def test_D10_hosts_see_no_secret_of_the_environment(backend, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "swordfish")
    backend.start("a", {"host": Hosted(("--config", str(never_read(tmp_path))))})
    environment = Path(f"/proc/{backend.named('a')[0].pid}/environ").read_bytes()
    assert b"swordfish" not in environment
    assert b"PATH=" in environment
