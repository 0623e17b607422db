"""Which bitcoind is taken, fetched or built; and what is said when none can be had."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from grail.errors import DecodeError, NodeUnfit, Unavailable
from grail_devnet import bitcoind, node_build, node_release

CORE_31 = "Bitcoin Core daemon version v31.0.0 bitcoind"
KNOTS_29 = "Bitcoin Knots daemon version v29.4.knots20260101 bitcoind"


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path) -> Path:
    """A machine with an empty cache and a PATH with nothing but a shell."""
    monkeypatch.delenv("BITCOIND", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_the_one_that_is_named_comes_first(machine, monkeypatch) -> None:
    named = script(machine / "mine", f"echo '{CORE_31}'")
    script(machine / "bin" / "bitcoind", f"echo '{CORE_31}'")
    monkeypatch.setenv("BITCOIND", str(named))
    assert bitcoind.find() == named


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"echo '{KNOTS_29}'", "expected Bitcoin Core 30 or newer"),
        ("echo 'Bitcoin Core daemon version v29.0.0 bitcoind'", "expected Bitcoin Core 30"),
        ("echo 'hello v99.0'", "does not say that it is a bitcoind"),
        ("exit 1", "does not say that it is a bitcoind"),
    ],
)
def test_a_named_one_that_cannot_serve_is_refused_in_one_line(
    machine, monkeypatch, text, message
) -> None:
    monkeypatch.setenv("BITCOIND", str(script(machine / "mine", text)))
    with pytest.raises(NodeUnfit, match=message) as caught:
        bitcoind.find()
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_named_one_that_is_missing_is_refused(machine, monkeypatch) -> None:
    monkeypatch.setenv("BITCOIND", str(machine / "nothing"))
    with pytest.raises(NodeUnfit, match="cannot be run"):
        bitcoind.find()


def test_an_unfit_one_on_the_path_is_passed_over_and_said(machine) -> None:
    said: list[str] = []
    script(machine / "bin" / "bitcoind", f"echo '{KNOTS_29}'")
    assert bitcoind.on_path(said.append) is None
    assert "Knots" in said[0]
    fit = script(machine / "bin" / "bitcoind", f"echo '{CORE_31}'")
    assert bitcoind.find() == fit


# ---- the official release


def archive(content: bytes, name: str | None = None, kind: bytes = tarfile.REGTYPE) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        member = tarfile.TarInfo(name or f"bitcoin-{node_release.VERSION}/bin/bitcoind")
        member.size, member.type = (len(content), kind) if kind == tarfile.REGTYPE else (0, kind)
        member.linkname = "/etc/passwd"
        tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


@contextmanager
def serving(body: bytes, status: int = 200) -> Iterator[str]:
    """A real HTTP server on loopback that answers everything with this body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fetch(machine: Path, body: bytes, *, sha256: str | None = None, status: int = 200) -> Path:
    place = machine / "bitcoind"
    with serving(body, status) as url:
        digest = sha256 or hashlib.sha256(body).hexdigest()
        return node_release.fetch(place, lambda _: None, url=url, sha256=digest)


def test_the_release_is_unpacked_and_can_be_run(machine) -> None:
    place = fetch(machine, archive(f"#!/bin/sh\necho '{CORE_31}'\n".encode()))
    assert (
        subprocess.run([place], capture_output=True, text=True, check=True).stdout.strip()
        == CORE_31
    )
    assert not list(machine.glob("*.part"))


def test_a_release_with_another_hash_is_never_opened(machine) -> None:
    with pytest.raises(DecodeError, match=r"SHA-256 is .*, expected 6aa7"):
        fetch(machine, archive(b"evil"), sha256=node_release.SHA256["x86_64-linux-gnu"])
    assert not (machine / "bitcoind").exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no archive",
        archive(b"x", "../bitcoind"),
        archive(b"x", "/usr/bin/bitcoind"),
        archive(b"", kind=tarfile.SYMTYPE),
        archive(b"", kind=tarfile.LNKTYPE),
        archive(b"x" * 100_000)[:-40],
    ],
)
def test_D11_a_bad_archive_leaves_nothing(machine, body) -> None:
    before = sorted(machine.rglob("*"))
    with pytest.raises(DecodeError, match="release archive"):
        fetch(machine, body)
    assert sorted(machine.rglob("*")) == before


def test_a_release_that_is_not_there_is_unavailable(machine) -> None:
    with pytest.raises(Unavailable, match="404"):
        fetch(machine, b"", status=404)
    with pytest.raises(Unavailable, match="Bitcoin Core"):
        node_release.fetch(machine / "x", lambda _: None, url="http://127.0.0.1:9", sha256="00")


# ---- built from source, with stand-ins for cargo and the compiler that do what those would


CARGO = 'for a; do out=$a; done; mkdir -p "$out/libbitcoinkernel-sys-0.4.1/bitcoin"'
CMAKE = f"""
if [ "$1" = --build ]; then
    echo '[1/2] one'; /bin/sleep 0.2; mkdir -p "$2/bin"
    printf '#!/bin/sh\\necho "{CORE_31}"\\n' > "$2/bin/bitcoind"; chmod +x "$2/bin/bitcoind"
    echo '[2/2] two'; echo built >> "$COUNT"
else
    echo configured
fi
"""


@pytest.fixture
def toolchain(machine, monkeypatch) -> Path:
    tools = machine / "bin"
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("COUNT", str(machine / "count"))
    script(tools / "cargo", CARGO)
    script(tools / "cmake", CMAKE)
    for name in ("ninja", "g++", "strip"):
        script(tools / name, "exit 0")
    return tools


@pytest.mark.usefixtures("toolchain")
def test_it_is_built_once_and_kept(machine) -> None:
    said: list[str] = []
    first = bitcoind.made(said.append, release_url="http://127.0.0.1:9")
    assert (
        subprocess.run([first], capture_output=True, text=True, check=True).stdout.strip()
        == CORE_31
    )
    assert "building bitcoind: 50 %" in said
    assert "building bitcoind: 100 %" in said
    assert bitcoind.made(said.append, release_url="http://127.0.0.1:9") == first
    assert (machine / "count").read_text().split() == ["built"]
    assert sorted(path.name for path in first.parent.iterdir()) == sorted([first.name, "lock"])


@pytest.mark.usefixtures("toolchain")
def test_two_that_want_one_at_once_build_it_once(machine) -> None:
    code = (
        "from grail_devnet import bitcoind;"
        "print(bitcoind.made(release_url='http://127.0.0.1:9'), flush=True)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate(timeout=60)[0].strip() for process in both}
    assert len(paths) == 1
    assert (machine / "count").read_text().split() == ["built"]


def test_a_build_that_fails_says_why_and_leaves_nothing(toolchain) -> None:
    script(toolchain / "cmake", "echo 'CMake Error: no such thing'; exit 3")
    with pytest.raises(Unavailable, match="no such thing"):
        bitcoind.made(release_url="http://127.0.0.1:9")
    folder = bitcoind.cache_root() / "bitcoind"
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_an_interrupted_build_goes_on_where_it_stopped(toolchain) -> None:
    good = (toolchain / "cmake").read_text()
    half_way = 'if [ "$1" = --build ]; then touch "$2/half"; echo "[1/2] one"; sleep 600; fi'
    script(toolchain / "cmake", half_way)

    class Interrupted(BaseException):
        """Ctrl-C, or anything else that is no failure of the build."""

    def interrupt(text: str) -> None:
        if "%" in text:
            raise Interrupted

    script(toolchain / "cargo", CARGO + '; mkdir -p "$out/../build"')
    with pytest.raises(Interrupted):
        bitcoind.made(interrupt, release_url="http://127.0.0.1:9")
    folder = bitcoind.cache_root() / "bitcoind"
    (half,) = folder.glob("*.build/build/half")
    (toolchain / "cmake").write_text(good.replace("echo configured", f"ls {half} || exit 1"))
    place = bitcoind.made(release_url="http://127.0.0.1:9")
    assert sorted(path.name for path in folder.iterdir()) == sorted([place.name, "lock"])


def test_what_is_missing_comes_with_the_one_line_to_type(machine) -> None:
    script(machine / "bin" / "cargo", "exit 0")
    with pytest.raises(Unavailable) as caught:
        bitcoind.made(release_url="http://127.0.0.1:9")
    line = "sudo apt-get install -y cmake ninja-build g++ binutils libboost-dev libevent-dev"
    assert caught.value.hint == line


def test_a_missing_header_names_its_package(toolchain) -> None:
    script(toolchain / "g++", "read line; case $line in *boost*) exit 1;; esac")
    with pytest.raises(Unavailable) as caught:
        bitcoind.made(release_url="http://127.0.0.1:9")
    assert caught.value.hint == "sudo apt-get install -y libboost-dev"


def test_the_sources_hash_names_the_binary(machine) -> None:
    source = machine / "source"
    source.mkdir()
    lock = (node_build.SOURCE / "Cargo.lock").read_text()
    (source / "Cargo.lock").write_text(lock)
    assert node_build.key(source) == node_build.key()
    (source / "Cargo.lock").write_text(lock.replace("345d18a1", "00000000"))
    assert node_build.key(source) != node_build.key()


def test_the_command_prints_one_line_and_a_hint(machine, monkeypatch) -> None:
    monkeypatch.setenv("BITCOIND", str(machine / "nothing"))
    done = subprocess.run(
        [sys.executable, "-m", "grail_devnet.bitcoind"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("bitcoind: ")
    fit = script(machine / "mine", f"echo '{CORE_31}'")
    monkeypatch.setenv("BITCOIND", str(fit))
    done = subprocess.run(
        [sys.executable, "-m", "grail_devnet.bitcoind"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{fit}\n")
