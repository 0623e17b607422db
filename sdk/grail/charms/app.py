"""Apps, contracts, and the data an app holds in an output.

Section 1 of the protocol: an app is `tag/identity/vk`; a contract is identity and vk, all its tags
together. `fe` maps bytes to a field element below 2^253.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from grail import codec
from grail.bitcoin import addresses
from grail.bitcoin.network import Network
from grail.codec import cs
from grail.crypto.schnorr import tagged_hash
from grail.errors import InvalidInput
from grail.types import OutPoint

Data: TypeAlias = Any
"""What an app holds in one output: None, bool, int, bytes, str, lists and maps of them."""

TOKEN = "t"  # noqa: S105 - a tag, no password
"""The tag of fungible units."""

NFT = "n"
"""The tag of states."""

MAX_UNITS = (1 << 64) - 1
"""The largest amount of a token in one output: a CBOR unsigned integer."""


def fe(message: bytes) -> int:
    """H("grail/fe", m) as a big-endian integer with its top 3 bits cleared, so below 2^253."""
    return int.from_bytes(tagged_hash("grail/fe", message), "big") & ((1 << 253) - 1)


@lru_cache(maxsize=4096)
def script_fe(script: bytes) -> int:
    """fe("spk" || cs(script)): a scriptPubKey as a field element."""
    return fe(b"spk" + cs(script))


@lru_cache(maxsize=4096)
def blob_fe(blob: bytes) -> int:
    """fe("blob" || bytes): a state's blob as a field element."""
    return fe(b"blob" + blob)


def identity_of(outpoint: OutPoint) -> bytes:
    """SHA-256 of `txid:vout` as RPC shows it: the identity that spending it creates."""
    return hashlib.sha256(str(outpoint).encode()).digest()


@dataclass(frozen=True, order=True, slots=True)
class Contract:
    """The identity and vk that all apps of a contract share; K is their 64 bytes."""

    identity: bytes
    vk: bytes

    def __post_init__(self) -> None:
        if len(self.identity) != 32 or len(self.vk) != 32:
            raise InvalidInput("contract: identity and vk are 32 bytes each")

    def __bytes__(self) -> bytes:
        return self.identity + self.vk

    def __str__(self) -> str:
        return f"{self.identity.hex()}/{self.vk.hex()}"

    def __repr__(self) -> str:
        return f"Contract.from_text({str(self)!r})"

    @classmethod
    def parse(cls, raw: bytes) -> Contract:
        """Read the 64 bytes identity || vk. Raises `InvalidInput`."""
        if len(raw) != 64:
            raise InvalidInput(f"contract: got {len(raw)} bytes, expected 64")
        return cls(raw[:32], raw[32:])

    @classmethod
    def from_text(cls, text: str) -> Contract:
        """Read `identity/vk` in hexadecimal. Raises `InvalidInput`."""
        identity, slash, vk = text.partition("/")
        if not slash:
            raise InvalidInput(f"contract: got {text[:160]!r}, expected identity/vk")
        return cls(_unhex(identity), _unhex(vk))

    @property
    def fe(self) -> int:
        """The contract as a field element, fe of "contract" || K: the fact `self`."""
        return _contract_fe(bytes(self))

    @property
    def token(self) -> App:
        """The contract's token, tag t."""
        return App(TOKEN, self.identity, self.vk)

    @property
    def nft(self) -> App:
        """The contract's states, tag n."""
        return App(NFT, self.identity, self.vk)

    def app(self, tag: str) -> App:
        """The contract's app of this tag."""
        return App(tag, self.identity, self.vk)

    def gid(self, network: Network) -> bytes:
        """GID(K) = H("grail/guard", NET || K): what a guarded address commits to."""
        return _gid(network, bytes(self))


@dataclass(frozen=True, order=True, slots=True)
class App:
    """An app: `tag/identity/vk`. Compared and shown whole, never by a part of it."""

    tag: str
    identity: bytes
    vk: bytes

    def __post_init__(self) -> None:
        if len(self.tag) != 1:
            raise InvalidInput(f"app: got tag {self.tag[:20]!r}, expected one character")
        if len(self.identity) != 32 or len(self.vk) != 32:
            raise InvalidInput("app: identity and vk are 32 bytes each")

    def __str__(self) -> str:
        return f"{self.tag}/{self.identity.hex()}/{self.vk.hex()}"

    def __repr__(self) -> str:
        return f"App.from_text({str(self)!r})"

    @classmethod
    def from_text(cls, text: str) -> App:
        """Read `tag/identity/vk`; the tag may itself be a slash. Raises `InvalidInput`."""
        identity, slash, vk = text[2:].partition("/")
        if text[1:2] != "/" or not slash:
            raise InvalidInput(f"app: got {text[:160]!r}, expected tag/identity/vk")
        return cls(text[0], _unhex(identity), _unhex(vk))

    @classmethod
    def from_cbor(cls, value: object) -> App:
        """Read the array `[tag, identity, vk]` with byte strings. Raises `InvalidInput`."""
        match value:
            case [str() as tag, bytes() as identity, bytes() as vk]:
                return cls(tag, identity, vk)
            case (str() as tag, bytes() as identity, bytes() as vk):
                return cls(tag, identity, vk)
        raise InvalidInput("app: expected an array of a tag and two byte strings")

    def to_cbor(self) -> tuple[str, bytes, bytes]:
        """The array `[tag, identity, vk]`."""
        return (self.tag, self.identity, self.vk)

    @property
    def contract(self) -> Contract:
        """The contract whose app this is."""
        return Contract(self.identity, self.vk)

    @property
    def fe(self) -> int:
        """The app as a field element: fe of "app" || cs(tag) || identity || vk."""
        return _app_fe(self)


def units(charms: Mapping[App, Data], app: App) -> int:
    """How many units of a token an output's charms hold; 0 when the app is absent."""
    amount: int = charms.get(app, 0)
    return amount


def check_data(app: App, data: Data) -> None:
    """Refuse data that no spell may hold: floats, other tags, amounts that are no u64 above zero.

    Section 2. Token amounts are of CBOR major type 0 (`True` is not 1). Raises `InvalidInput`.
    """
    if app.tag == TOKEN and (type(data) is not int or not 0 < data <= MAX_UNITS):
        raise InvalidInput(f"token amount: got {str(data)[:40]}, expected 1 to 2^64 - 1")
    _check_value(data)


def _check_value(value: Data) -> None:
    match value:
        case None | bool() | bytes() | str():
            return
        case int():
            if value < -(1 << 64):
                raise InvalidInput("data: a negative integer below -2^64")
        case list() | tuple():
            for item in value:
                _check_value(item)
        case dict():
            for key, item in value.items():
                small = type(key) is int and 0 <= key < codec.MAX_KEY
                if not small and not isinstance(key, (bytes, str)):
                    raise InvalidInput("data: map keys are below 2^53, byte strings or text")
                _check_value(item)
        case _:
            raise InvalidInput(f"data: a {type(value).__name__} has no place in a charm")


def canonical(data: Data) -> bytes:
    """The canonical bytes of data: the only form in which states are compared (1 is not True)."""
    return codec.encode(data)


@lru_cache(maxsize=1024)
def _contract_fe(raw: bytes) -> int:
    return fe(b"contract" + raw)


@lru_cache(maxsize=4096)
def _app_fe(app: App) -> int:
    return fe(b"app" + cs(app.tag.encode()) + app.identity + app.vk)


@lru_cache(maxsize=4096)
def _gid(network: Network, contract: bytes) -> bytes:
    return addresses.guard_id(network, contract)


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise InvalidInput(f"app: {text[:80]!r} is not hexadecimal") from exc
