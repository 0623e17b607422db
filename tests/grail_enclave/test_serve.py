"""The socket: whatever a peer sends, the next request is served and nothing is taken in."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from grail.errors import InvalidInput
from grail_enclave import serve
from grail_enclave.serve import Server, check_folder


def digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def frame(raw: bytes) -> bytes:
    return struct.pack("<I", len(raw)) + raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder / "socket"


@asynccontextmanager
async def serving(path: Path, **options: float) -> AsyncIterator[list[bytes]]:
    """A server that answers with a digest; yields the frames that it has seen."""
    seen: list[bytes] = []

    def answer(raw: bytes) -> bytes:
        seen.append(raw)
        return digest(raw)

    ready = asyncio.Event()
    task = asyncio.create_task(Server(path, answer, **options).run(ready.set))
    await asyncio.wait([task, asyncio.create_task(ready.wait())], return_when="FIRST_COMPLETED")
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(path: Path, raw: bytes) -> bytes:
    """One frame on a connection of its own; the reply, or nothing when it was cut."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(raw)
        size = struct.unpack("<I", await reader.readexactly(4))[0]
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        writer.close()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """All that comes before the server closes, which a late byte of ours may see as a reset."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_frames_are_answered_in_order(path: Path) -> None:
    async def test() -> None:
        async with serving(path):
            reader, writer = await asyncio.open_unix_connection(path)
            for raw in (b"", b"a", b"b" * 300_000):
                writer.write(frame(raw))
                assert await reader.readexactly(36) == frame(digest(raw))
            writer.close()

    run(test)


def test_A14_length_lie_and_four_gibibytes(path: Path) -> None:
    """A length above the cap closes the connection before anything is read or allocated."""

    async def test() -> None:
        async with serving(path) as seen:
            for size in (0xFFFFFFFF, 0x7FFFFFFF, 6_000_000):
                assert await ask(path, struct.pack("<I", size) + b"x" * 100) == b""
            assert seen == []
            assert await ask(path, frame(b"next")) == digest(b"next")

    run(test)


def test_A14_cut_frames(path: Path) -> None:
    """A frame that ends at any byte is dropped with its connection."""

    async def test() -> None:
        whole = frame(b"0123456789")
        async with serving(path) as seen:
            for cut in range(len(whole)):
                _reader, writer = await asyncio.open_unix_connection(path)
                writer.write(whole[:cut])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            assert await ask(path, whole) == digest(b"0123456789")
            assert seen == [b"0123456789"]

    run(test)


def test_A14_one_byte_a_minute(path: Path) -> None:
    """The deadline is for the whole frame: a byte now and then does not extend it."""

    async def test() -> None:
        async with serving(path, frame_deadline=0.3) as seen:
            reader, writer = await asyncio.open_unix_connection(path)
            closed = asyncio.create_task(until_closed(reader))
            for byte in frame(b"0123456789"):
                if closed.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)
            assert await closed == b""
            writer.close()
            assert seen == []
            assert await ask(path, frame(b"next")) == digest(b"next")

    run(test)


def test_A14_silence_is_closed(path: Path) -> None:
    async def test() -> None:
        async with serving(path, idle_deadline=0.1):
            reader, writer = await asyncio.open_unix_connection(path)
            assert await reader.read() == b""
            writer.close()

    run(test)


def test_A14_clients_are_not_mixed(path: Path) -> None:
    """Many clients, their bytes interleaved: each gets the reply to its own frame."""

    async def test() -> None:
        async with serving(path):

            async def client(number: int) -> None:
                raw = bytes([number]) * (1_000 + 7 * number)
                whole = frame(raw)
                reader, writer = await asyncio.open_unix_connection(path)
                for _ in range(5):
                    for at in range(0, len(whole), 97):
                        writer.write(whole[at : at + 97])
                        await asyncio.sleep(0)
                    assert await reader.readexactly(36) == frame(digest(raw))
                writer.close()

            await asyncio.gather(*(client(number) for number in range(32)))

    run(test)


def test_A14_clients_are_capped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection too many closes the one that was silent longest; the others live on."""
    monkeypatch.setattr(serve, "MAX_CLIENTS", 4)

    async def test() -> None:
        async with serving(path):
            held = []
            for _ in range(4):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(frame(b"held"))
                assert await reader.readexactly(36) == frame(digest(b"held"))
                held.append((reader, writer))
            held[0][1].write(frame(b"again"))
            assert await held[0][0].readexactly(36) == frame(digest(b"again"))
            assert await ask(path, frame(b"fifth")) == digest(b"fifth")
            assert await until_closed(held[1][0]) == b""
            for reader, writer in (held[0], held[2], held[3]):
                writer.write(frame(b"still"))
                assert await reader.readexactly(36) == frame(digest(b"still"))
            for _reader, writer in held:
                writer.close()

    run(test)


def test_D9_peer_of_another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer's uid is read from the kernel; another one's connection is closed unanswered."""

    async def test() -> None:
        async with serving(path) as seen:
            monkeypatch.setattr(os, "geteuid", lambda: 4242)
            assert await ask(path, frame(b"stranger")) == b""
            assert seen == []
            monkeypatch.undo()
            assert await ask(path, frame(b"own")) == digest(b"own")

    run(test)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_D9_connect_as_another_user(tmp_path: Path) -> None:
    """A child process of another uid, through a folder left open by mistake, is still refused."""
    path = tmp_path / "socket"
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/"):
            folder.chmod(0o755)

    async def test() -> None:
        listener = Server(path, digest)
        ready = asyncio.Event()
        # The folder check is what this test steps around, to reach the second defence.
        os.chmod(tmp_path, 0o700)  # noqa: PTH101
        task = asyncio.create_task(listener.run(ready.set))
        await ready.wait()
        os.chmod(tmp_path, 0o755)  # noqa: PTH101
        os.chmod(path, 0o777)  # noqa: PTH101
        child = await asyncio.create_subprocess_exec(
            "python3",
            "-c",
            "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);"
            "s.sendall(b'\\0\\0\\0\\0');print(len(s.recv(4)))",
            str(path),
            stdout=-1,
            user=65534,
        )
        out, _ = await child.communicate()
        assert out.strip() in {b"0", b""}
        assert await ask(path, frame(b"own")) == digest(b"own")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(test)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707, 0o701])
def test_D9_folder_open_to_others(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(InvalidInput, match="0700"):
        check_folder(folder)
    with pytest.raises(InvalidInput):
        asyncio.run(asyncio.wait_for(Server(folder / "socket", digest).run(), 5))
    with pytest.raises(InvalidInput):
        check_folder(folder / "absent")


def test_socket_of_a_dead_process_is_replaced(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()

    async def test() -> None:
        async with serving(path):
            assert await ask(path, frame(b"new")) == digest(b"new")

    run(test)
    assert not path.exists()


def test_socket_path_that_cannot_be(path: Path) -> None:
    with pytest.raises(InvalidInput):
        asyncio.run(asyncio.wait_for(Server(path.with_name("x" * 200), digest).run(), 5))
