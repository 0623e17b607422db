"""Everything that changes an operator's decision, in one object with one digest.

The digest stands in every signed message, so an enclave that was started with another quorum,
network or cap is seen by its peers at once (threat A13). The file is JSON in one strict form: the
names below and no others, integers and text only, keys sorted, two spaces of indent; the digest is
taken over canonical CBOR of the same map.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from grail import codec
from grail.bitcoin.network import Chain, Network
from grail.bitcoin.spv import Header, PinnedHeader
from grail.charms.record import NO_SUCCESSOR
from grail.charms.rules import RULES as SPELL_RULES
from grail.crypto.schnorr import tagged_hash
from grail.errors import DecodeError, InvalidInput, NotCanonical
from grail.operators.attesting import Attesting
from grail.types import BlockHash, OutPoint

UNKNOWN_GUARD = "UnknownGuard"
BEFORE_IT = "RowUnknown"
"""Signing alone asks who signs every input: in step 9, before a row that fits nothing is named."""

_SPELL_RULES = tuple(
    name
    for rule in SPELL_RULES
    for name in ((UNKNOWN_GUARD, rule.name) if rule.name == BEFORE_IT else (rule.name,))
)

SIGNING_RULES = (
    "PsbtInvalid",
    "TxShape",
    "PrevoutMismatch",
    "NotConfirmed",
    "ParentUnsafe",
    "ViewStale",
    "SpellInvalid",
    "HistoryMissing",
    *_SPELL_RULES,
    "DepositDepth",
    "OutputForbidden",
    "FeeOutOfRange",
    "HeightStale",
    "RosterInvalid",
    "RecoveryNear",
    "OutpointTaken",
    "NotDecided",
)
"""The names of the enclave's rules in their order (section 9): what a digest stands for."""

FORMAT = "grail/configuration/1"

MAX_FILE = 65_536
"""A configuration is some 2 KB; a longer file is no configuration."""


@dataclass(frozen=True)
class Configuration:
    """An operator's policy. `pinned` is the header that the chain is followed from.

    `operators` and `quorum` describe the first roster (later ones come from the chain).
    `min_fee_rate` and `max_fee_rate` are sat/vB over the true virtual size, `max_fee` is sats;
    `recovery_margin` is blocks before an escrow's owner may take it back; `max_ancestors` and
    `max_unconfirmed` bound what a request may lean on; `header_lag` is how many blocks of work an
    operator may be behind a decision's best header. `single_party` tells whether keys of a setup
    with one contributor are taken: in a devnet only. `successor` is GID(K') of the one contract
    that these operators let zkBTC name as its successor, or zeros: they sign no other naming.
    `attesting` says whom they take for one of theirs; None: whoever the first roster names.
    """

    network: Network
    pinned: PinnedHeader
    zkbtc_vk: bytes
    operators: int = 16
    quorum: int = 12
    min_fee_rate: int = 1
    max_fee_rate: int = 1_000
    max_fee: int = 10_000_000
    recovery_margin: int = 36
    max_ancestors: int = 64
    max_unconfirmed: int = 20
    header_lag: int = 2
    void_depth: int = 1
    single_party: bool = False
    successor: bytes = NO_SUCCESSOR
    attesting: Attesting | None = None
    rules: tuple[str, ...] = SIGNING_RULES

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant. Raises `InvalidInput`."""
        n, q = self.operators, self.quorum
        if not 0 < q <= n:
            raise InvalidInput(f"configuration: quorum {q} of {n}, expected 1 to {n}")
        if 3 * q <= 2 * n:
            raise InvalidInput(
                f"configuration: quorum {q} of {n}, expected more than two thirds",
                hint="the fast ballot is safe only when 3q > 2n",
            )
        if len(self.zkbtc_vk) != 32:
            raise InvalidInput(f"configuration: vk of {len(self.zkbtc_vk)} bytes, expected 32")
        if len(self.successor) != 32:
            raise InvalidInput(
                f"configuration: successor of {len(self.successor)} bytes, expected 32"
            )
        if not 1 <= self.min_fee_rate <= self.max_fee_rate:
            raise InvalidInput("configuration: fee rates, expected 1 <= least <= most")
        if self.max_fee <= 0 or self.recovery_margin < 1 or self.void_depth < 1:
            raise InvalidInput("configuration: fee cap, margin and depths are at least 1")
        if not 1 <= self.max_unconfirmed <= self.max_ancestors:
            raise InvalidInput("configuration: expected 1 <= max_unconfirmed <= max_ancestors")
        if self.network.k < 1 or self.network.staleness < 1 or self.header_lag < 0:
            raise InvalidInput("configuration: k and staleness are at least 1")

    @property
    def zkbtc_identity(self) -> bytes:
        """The identity of zkBTC: SHA-256 of "txid:vout" of the grail outpoint, as RPC shows it."""
        return hashlib.sha256(str(self.network.grail_outpoint).encode("ascii")).digest()

    @property
    def zkbtc(self) -> bytes:
        """The contract K of zkBTC: identity || vk."""
        return self.zkbtc_identity + self.zkbtc_vk

    @cached_property
    def digest(self) -> bytes:
        """H("grail/configuration", canonical CBOR of all of it)."""
        return tagged_hash("grail/configuration", codec.encode(self._map()))

    def _map(self) -> dict[str, object]:
        chain = self.network.chain
        return {
            "format": FORMAT,
            "chain": {
                "name": chain.name,
                "hrp": chain.hrp,
                "genesis_hash": str(chain.genesis_hash),
                "pow_limit_bits": chain.pow_limit_bits,
                "retarget_interval": chain.retarget_interval,
                "target_spacing": chain.target_spacing,
                "no_retarget": chain.no_retarget,
            },
            "grail_outpoint": str(self.network.grail_outpoint),
            "k": self.network.k,
            "staleness": self.network.staleness,
            "pinned": {
                "height": self.pinned.height,
                "header": self.pinned.header.serialize().hex(),
            },
            "zkbtc_vk": self.zkbtc_vk.hex(),
            **{name: getattr(self, name) for name in _NUMBERS},
            "single_party": self.single_party,
            "successor": self.successor.hex(),
            "attesting": None if self.attesting is None else _attesting_map(self.attesting),
            "rules": list(self.rules),
        }

    def to_json(self) -> str:
        """The file's text. `from_json` takes exactly this form."""
        return json.dumps(self._map(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Configuration:
        """Read the file's text. Raises `DecodeError`, `NotCanonical` or `InvalidInput`."""
        if len(text) > MAX_FILE:
            raise DecodeError(f"configuration: got {len(text)} characters, at most {MAX_FILE}")
        try:
            value = json.loads(text, parse_float=_no_float, parse_constant=_no_float)
        except (ValueError, RecursionError) as exc:
            raise DecodeError(f"configuration: {exc}") from exc
        made = _from_map(value)
        if made.to_json() != text:
            raise NotCanonical(
                "configuration: not in its one form",
                hint="write it with Configuration.to_json",
            )
        return made


_NUMBERS = (
    "operators",
    "quorum",
    "min_fee_rate",
    "max_fee_rate",
    "max_fee",
    "recovery_margin",
    "max_ancestors",
    "max_unconfirmed",
    "header_lag",
    "void_depth",
)


_CAPS = (
    "fresh_seconds",
    "reattest_seconds",
    "silent_seconds",
    "churn",
    "per_owner",
    "per_account",
    "per_zone",
)


def _attesting_map(attesting: Attesting) -> dict[str, object]:
    return {
        "root": attesting.root.hex(),
        "images": [[pcr.hex() for pcr in image] for image in attesting.images],
        **{name: getattr(attesting, name) for name in _CAPS},
    }


def _attesting_from(value: object) -> Attesting | None:
    if value is None:
        return None
    parts = _Fields(value, "attesting")
    images = parts.take("images")
    if not isinstance(images, list) or not all(isinstance(image, list) for image in images):
        raise DecodeError("attesting: images, expected a list of lists")
    made = Attesting(
        parts.hexadecimal("root"),
        tuple(tuple(_hexadecimal(pcr, "attesting: images") for pcr in image) for image in images),
        **{name: parts.number(name) for name in _CAPS},
    )
    parts.end()
    return made


def _no_float(text: str) -> object:
    raise ValueError(f"number {text[:20]} is no integer")


def _from_map(value: object) -> Configuration:
    top = _Fields(value, "configuration")
    if top.text("format") != FORMAT:
        raise DecodeError(f"configuration: expected format {FORMAT}")
    chain, pinned = _Fields(top.take("chain"), "chain"), _Fields(top.take("pinned"), "pinned")
    network = Network(
        Chain(
            name=chain.text("name"),
            hrp=chain.text("hrp"),
            genesis_hash=BlockHash.from_hex(chain.text("genesis_hash")),
            pow_limit_bits=chain.number("pow_limit_bits"),
            retarget_interval=chain.number("retarget_interval"),
            target_spacing=chain.number("target_spacing"),
            no_retarget=chain.flag("no_retarget"),
        ),
        OutPoint.from_text(top.text("grail_outpoint")),
        k=top.number("k"),
        staleness=top.number("staleness"),
    )
    header = PinnedHeader(pinned.number("height"), Header.parse(pinned.hexadecimal("header")))
    numbers = {name: top.number(name) for name in _NUMBERS}
    rules = top.take("rules")
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        raise DecodeError("configuration: rules, expected a list of names")
    made = Configuration(
        network=network,
        pinned=header,
        zkbtc_vk=top.hexadecimal("zkbtc_vk"),
        single_party=top.flag("single_party"),
        successor=top.hexadecimal("successor"),
        attesting=_attesting_from(top.take("attesting")),
        rules=tuple(rules),
        **numbers,
    )
    for fields in (top, chain, pinned):
        fields.end()
    return made


class _Fields:
    """The fields of a JSON object; each is taken once and with its type."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, Mapping):
            raise DecodeError(f"{what}: expected an object")
        self._left = dict(value)
        self._what = what

    def take(self, name: str) -> object:
        if name not in self._left:
            raise DecodeError(f"{self._what}: {name} is missing")
        return self._left.pop(name)

    def number(self, name: str) -> int:
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
            raise DecodeError(f"{self._what}: {name}, expected an integer from 0")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise DecodeError(f"{self._what}: {name}, expected true or false")
        return value

    def text(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str):
            raise DecodeError(f"{self._what}: {name}, expected text")
        return value

    def hexadecimal(self, name: str) -> bytes:
        return _hexadecimal(self.text(name), f"{self._what}: {name}")

    def end(self) -> None:
        if self._left:
            raise DecodeError(f"{self._what}: {min(self._left)!r} is no known field")


def _hexadecimal(text: object, what: str) -> bytes:
    if not isinstance(text, str):
        raise DecodeError(f"{what}, expected text")
    try:
        return bytes.fromhex(text)
    except ValueError as exc:
        raise DecodeError(f"{what}, expected hexadecimal") from exc
