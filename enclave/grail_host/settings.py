"""What an operator's host is told at its start. Nothing here changes what its enclave decides."""

from __future__ import annotations

from pathlib import Path

import msgspec

from grail.errors import InvalidInput

LOOPBACK = "127.0.0.1"
"""The only address a host listens on (threat D4); a proxy in front of it is the operator's."""

MIN_TOKEN = 32
"""Characters: 128 bits in hex, so that a page in the same browser cannot guess it."""


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operator's own bitcoind: the URL of its RPC, and the path of its cookie."""

    url: str
    cookie: str


class PeerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another operator's host, asked when a decided transaction has to be finished."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"PeerSettings(url={self.url!r}, token=<secret>)"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The host's configuration file: JSON, these names and no others.

    `configuration` is the path of the enclave's own configuration. `peers` are all operators' hosts
    in any order, this one may be among them. `journal` is the host's own folder, for what it has to
    finish after it was killed; without one it forgets. `bundles` are paths of apps' bundles, of
    zkBTC's at least for an operator who joins: its enclave knows them by their hash. `cut` is a
    file that names hosts out of reach. `requests` and `megabytes` are what one requester may send
    in a minute; `finish_after` is in seconds.
    """

    socket: str
    port: int
    token: str
    node: NodeSettings
    configuration: str
    peers: tuple[PeerSettings, ...] = ()
    requests: int = 6_000
    megabytes: int = 2_000
    finish_after: float = 5.0
    journal: str = ""
    bundles: tuple[str, ...] = ()
    cut: str = ""

    def __repr__(self) -> str:
        return f"Settings(port={self.port}, socket={self.socket!r}, token=<secret>)"


def read_settings(path: Path) -> Settings:
    """The settings of a file. Raises `InvalidInput`, which never shows the token."""
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=Settings)
    except OSError as exc:
        raise InvalidInput(f"settings {path}: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        # What was read may hold the token, so nothing of it is repeated.
        reason = exc if isinstance(exc, msgspec.DecodeError) else "not JSON in UTF-8"
        raise InvalidInput(f"settings {path}: {reason}") from exc
    if len(settings.token) < MIN_TOKEN:
        raise InvalidInput(f"settings {path}: the token has fewer than {MIN_TOKEN} characters")
    if not 0 < settings.port < 1 << 16:
        raise InvalidInput(f"settings {path}: port {settings.port} is out of range")
    if settings.requests < 1 or settings.megabytes < 1 or settings.finish_after <= 0:
        raise InvalidInput(f"settings {path}: quotas and times are above zero")
    return settings
