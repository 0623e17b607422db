"""bitcoind from the official release archive, checked against a pinned SHA-256.

The sums are those of the release's own attestations (repository bitcoin-core/guix.sigs, folder
30.2, where the builders agree).
"""

from __future__ import annotations

import hashlib
import io
import platform
import tarfile
from collections.abc import Callable
from pathlib import Path

from grail.errors import DecodeError, TooLarge, Unavailable

VERSION = "30.2"
URL = f"https://bitcoincore.org/bin/bitcoin-core-{VERSION}"
SHA256 = {
    "x86_64-linux-gnu": "6aa7bb4feb699c4c6262dd23e4004191f6df7f373b5d5978b5bcdd4bb72f75d8",
    "aarch64-linux-gnu": "73e76c14edc79808a0511c744d102ffbb494807ee90cbcba176568243254b532",
}
MAX_ARCHIVE = 200_000_000
"""Bytes; the archives have some 50 MB."""
MAX_BINARY = 200_000_000
"""Bytes of bitcoind itself; it has some 20 MB."""


def target() -> str:
    """This machine's name in the archive's name."""
    return f"{platform.machine()}-{platform.system().lower()}-gnu"


def fetch(
    place: Path,
    progress: Callable[[str], None],
    *,
    url: str = URL,
    sha256: str | None = None,
    seconds: float = 5,
) -> Path:
    """Fetch the archive and put its bitcoind at `place`.

    Raises `Unavailable` when the release cannot be reached, `DecodeError` when it is not the
    pinned one.
    """
    expected = sha256 or SHA256.get(target())
    if expected is None:
        raise Unavailable(f"Bitcoin Core {VERSION}: no pinned archive for {target()}")
    name = f"bitcoin-{VERSION}-{target()}.tar.gz"
    archive = _download(f"{url}/{name}", seconds, progress)
    got = hashlib.sha256(archive).hexdigest()
    if got != expected:
        raise DecodeError(f"{name}: SHA-256 is {got}, expected {expected}")
    binary = _member(archive, f"bitcoin-{VERSION}/bin/bitcoind")
    beside = place.with_name(f"{place.name}.part")
    beside.write_bytes(binary)
    beside.chmod(0o755)
    beside.replace(place)
    return place


def _download(url: str, seconds: float, progress: Callable[[str], None]) -> bytes:
    import httpx  # a tenth of a second that a found node never pays

    raw = bytearray()
    try:
        with httpx.stream("GET", url, timeout=seconds, follow_redirects=True) as response:
            response.raise_for_status()
            total = int(response.headers.get("Content-Length", "0"))
            for piece in response.iter_bytes(1 << 20):
                raw += piece
                if len(raw) > MAX_ARCHIVE:
                    raise TooLarge(f"{url}: more than {MAX_ARCHIVE} bytes")
                share = f" of {total >> 20}" if total else ""
                progress(f"fetching Bitcoin Core {VERSION}: {len(raw) >> 20}{share} MB")
    except httpx.HTTPError as exc:
        raise Unavailable(f"Bitcoin Core {VERSION}: {exc or type(exc).__name__}") from exc
    except ValueError as exc:
        raise Unavailable(f"Bitcoin Core {VERSION}: the server's answer is malformed") from exc
    return bytes(raw)


def _member(archive: bytes, name: str) -> bytes:
    """One regular file of the archive, by its exact name; nothing is unpacked by path (D11)."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            member = tar.getmember(name)
            file = tar.extractfile(member) if member.isreg() else None
            if file is None or member.size > MAX_BINARY:
                raise DecodeError(f"release archive: {name} is no file, or too large")
            return file.read()
    except (tarfile.TarError, KeyError, OSError, EOFError) as exc:
        raise DecodeError(f"release archive: {exc}") from exc
