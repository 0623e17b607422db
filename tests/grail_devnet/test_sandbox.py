"""What a process under bubblewrap and the filter can reach, tried from inside; what is missing, said."""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from image_world import image_in

from grail.errors import Unavailable
from grail_devnet import sandbox, syscalls
from grail_devnet.image import launch
from grail_devnet.image.measure import Image
from grail_devnet.processes import ProcessBackend
from grail_devnet.sandbox import Confined, Sandbox

FOUND = sandbox.find()

needs_all = pytest.mark.skipif(bool(FOUND.missing), reason="; ".join(FOUND.missing))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    made = image_in(tmp_path_factory.mktemp("image"))
    yield made
    launch.removed(made.folder)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


def confined(image: Image, run_folder: Path, code: str) -> Confined:
    root = Path("/image")
    return FOUND.confined(
        launch.command(image, root, "-c", code),
        launch.environment(root),
        readable={image.folder: str(root)},
        writable={run_folder: "/run"},
    )


BEGIN = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *given):
    return 0 if getattr(libc, name)(*given) >= 0 else ctypes.get_errno()
def system(what, *given):
    return 0 if libc.syscall(what, *given) >= 0 else ctypes.get_errno()
def tried(what, *given):
    try:
        what(*given)
    except OSError as exc:
        return exc.errno
    return 0
"""


def inside(image: Image, run_folder: Path, expression: str) -> Any:
    """The value of an expression, told by a process in the sandbox."""
    backend = ProcessBackend(run_folder.parent)
    code = f"{BEGIN}\nprint(json.dumps({expression}))"
    try:
        backend.start("probe", {"probe": confined(image, run_folder, code)})
        child = backend._children["probe/probe"]
        assert child.wait(30) == 0, backend.logs("probe")
        return json.loads(backend.logs("probe"))
    finally:
        backend.stop()
        backend.close()
        (run_folder.parent / "logs" / "probe.probe.log").unlink(missing_ok=True)


def numbers(*names: str) -> dict[str, int]:
    """The numbers of system calls, by libseccomp."""
    import pyseccomp

    return {name: pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) for name in names}


@needs_all
def test_A13_no_socket_but_of_the_machine_itself(image: Image, run_folder: Path) -> None:
    families = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "alg": 38}
    families |= {"vsock": 40, "xdp": 44, "bluetooth": 31}
    found = inside(
        image,
        run_folder,
        f"{{n: tried(socket.socket, f, socket.SOCK_STREAM) for n, f in {families}.items()}}",
    )
    assert found == dict.fromkeys(families, errno.EPERM) | {"unix": 0}


@needs_all
def test_no_file_of_the_machine(image: Image, run_folder: Path) -> None:
    places = ["/etc/passwd", "/etc/hostname", str(Path.home()), "/proc/self/maps", "/sys", "/dev"]
    places += [str(image.folder), sys.executable, "/usr", "/tmp", str(run_folder)]
    found = inside(image, run_folder, f"[tried(os.stat, each) for each in {places}]")
    assert found == [errno.ENOENT] * len(places)
    assert inside(image, run_folder, "sorted(os.listdir('/'))") == ["image", "run"]


@needs_all
def test_its_image_cannot_be_written_to(image: Image, run_folder: Path) -> None:
    targets = ["/image/app/grail/codec.py", "/image/new", "/new", "/image/python3"]
    write = "lambda name: os.close(os.open(name, os.O_WRONLY | os.O_CREAT))"
    found = inside(image, run_folder, f"[tried({write}, each) for each in {targets}]")
    assert set(found) <= {errno.EROFS, errno.EACCES}  # there are no rights over modes either
    assert inside(image, run_folder, "tried(os.chmod, '/image/app', 0o700)") == errno.EROFS
    assert inside(image, run_folder, f"tried({write}, '/run/socket')") == 0
    image.check()


@needs_all
def test_I8_no_other_process_can_be_looked_into(image: Image, run_folder: Path) -> None:
    calls = numbers("process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "pidfd_open")
    assert inside(image, run_folder, "call('ptrace', 0, 0, 0, 0)") == errno.EPERM
    found = inside(
        image, run_folder, f"{{n: system(c, 1, 0, 0, 0, 0, 0) for n, c in {calls}.items()}}"
    )
    assert found == dict.fromkeys(calls, errno.EPERM)
    # It is the only process that there is, and may not become two.
    assert inside(image, run_folder, "[os.getpid(), os.getppid()]") == [1, 0]
    spawn = "tried(os.posix_spawn, '/image/python3', ['python3'], {})"
    assert inside(image, run_folder, f"[tried(os.fork), {spawn}]") == [errno.EPERM] * 2


@needs_all
def test_the_rest_of_the_kernel_is_closed(image: Image, run_folder: Path) -> None:
    calls = numbers(
        *("mount", "umount2", "unshare", "setns", "chroot", "pivot_root", "bpf", "keyctl"),
        *("add_key", "perf_event_open", "userfaultfd", "io_uring_setup", "init_module"),
        *("open_by_handle_at", "settimeofday", "reboot", "sethostname"),
    )
    found = inside(
        image, run_folder, f"{{n: system(c, 0, 0, 0, 0, 0, 0) for n, c in {calls}.items()}}"
    )
    assert found == dict.fromkeys(calls, errno.EPERM)


@needs_all
def test_D10_no_environment_no_rights_no_descriptors(
    image: Image, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "swordfish")
    found = inside(image, run_folder, "[sorted(os.environ), os.environ.get('PWD')]")
    assert found == [sorted([*launch.ENVIRONMENT, "PWD"]), "/"]
    # PR_CAPBSET_READ of every capability, and what may be gained by a program: nothing.
    assert (
        inside(image, run_folder, "sum(libc.prctl(23, each, 0, 0, 0) == 1 for each in range(41))")
        == 0
    )
    assert inside(image, run_folder, "libc.prctl(39, 0, 0, 0, 0)") == 1
    descriptors = "[each for each in range(64) if tried(os.fstat, each) == 0]"
    assert inside(image, run_folder, descriptors) == [0, 1, 2]


@needs_all
def test_threads_and_its_own_sockets_work(image: Image, run_folder: Path) -> None:
    code = """(lambda answers: [__import__('threading').Thread(target=answers.append, args=(7,)).run(), answers][1])([])"""
    assert inside(image, run_folder, code) == [7]
    started = "(lambda t: [t.start(), t.join(), t.is_alive()])(__import__('threading').Thread())"
    assert inside(image, run_folder, started) == [None, None, False]
    assert inside(image, run_folder, "len(socket.socketpair())") == 2


# --- the process that is known is the command's own ---

SLEEP = """
import time
from grail_enclave.hardening import end_with_parent
end_with_parent()
print('up', flush=True)
time.sleep(600)
"""


def wait_for_up(backend: ProcessBackend, name: str) -> None:
    deadline = time.monotonic() + 20
    while "up" not in backend.logs(name):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_all
def test_D18_D12_the_backend_knows_the_confined_process_itself(
    image: Image, run_folder: Path
) -> None:
    backend = ProcessBackend(run_folder.parent)
    try:
        backend.start("a", {"host": ["sleep", "600"]})
        backend.start("a", {"enclave": confined(image, run_folder, SLEEP)}, behind=True)
        enclave, host = backend.processes()
        assert (enclave.name, host.name) == ("a/enclave", "a/host")
        monitor = backend._children["a/enclave"]
        wait_for_up(backend, "a/enclave")
        assert enclave.pid != monitor.pid
        assert enclave.alive
        assert enclave.memory > 1_000_000
        assert [p.pid for p in ProcessBackend.attach(run_folder.parent).processes()] == [
            enclave.pid,
            host.pid,
        ]
        backend.pause("a/enclave")
        assert enclave.paused
        backend.resume("a")
        backend.cut("a")
        assert host.paused
        assert not enclave.paused
        backend.resume("a")
        backend.kill("a/enclave")
        assert not enclave.alive
        assert host.alive
        assert monitor.wait(5) != 0  # bubblewrap ends with its child
    finally:
        backend.stop()
        backend.close()


@needs_all
def test_D18_kill_9_of_bubblewrap_ends_its_child(image: Image, run_folder: Path) -> None:
    backend = ProcessBackend(run_folder.parent)
    try:
        backend.start("a", {"a": confined(image, run_folder, SLEEP)})
        (enclave,) = backend.processes()
        wait_for_up(backend, "a")
        assert enclave.alive
        backend._children["a/a"].kill()
        backend._children["a/a"].wait(5)
        deadline = time.monotonic() + 5
        while enclave.alive:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        backend.stop()
        backend.close()


@needs_all
def test_a_confined_command_that_fails_is_known_by_its_monitor(run_folder: Path) -> None:
    backend = ProcessBackend(run_folder.parent)
    try:
        command = FOUND.confined(
            ["/image/nothing"], {}, readable={Path("/nonexistent"): "/x"}, writable={}
        )
        backend.start("a", {"a": command})
        (process,) = backend.processes()
        assert backend._children["a/a"].wait(5) != 0
        assert not process.alive
        assert "/nonexistent" in backend.logs("a")
    finally:
        backend.stop()
        backend.close()


# --- where it is missing, that is said ---


def test_D16_a_missing_bubblewrap_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.shutil, "which", lambda _name: None)
    found = sandbox.find()
    assert found.bwrap is None
    assert any("no bubblewrap" in each for each in found.missing)
    with pytest.raises(Unavailable, match="cannot be used"):
        found.confined([], {}, readable={}, writable={})


def test_D16_refused_namespaces_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda _name: str(refusing))
    found = sandbox.find()
    assert found.bwrap is None
    assert "No permissions to create new namespace" in found.missing[-1]
    refusing.chmod(0o644)
    assert "refused" in sandbox.find().missing[-1]


def test_D16_a_missing_filter_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(Unavailable, match="pyseccomp is missing"):
        syscalls.program()
    found = sandbox.find()
    assert found.filter is None
    assert "no filter" in found.missing[0]


def test_without_a_filter_none_is_passed() -> None:
    bare = Sandbox("/usr/bin/bwrap", None).confined(["x"], {}, readable={}, writable={})
    assert "--seccomp" not in bare.argv(3, None)
    assert bare.argv(3, None)[:3] == ["/usr/bin/bwrap", "--info-fd", "3"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"missing": 1}'])
def test_a_damaged_note_is_no_all_clear(tmp_path: Path, text: str) -> None:
    (tmp_path / "sandbox.json").write_text(text)
    assert "nobody knows" in sandbox.lacks(tmp_path / "sandbox.json")[0]
    assert "nobody knows" in sandbox.lacks(tmp_path / "none")[0]
