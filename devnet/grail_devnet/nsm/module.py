"""One enclave's security module: PCRs, and documents about them.

Emulated: PCRs are what the devnet's manager measured of the files that it starts, and the key lies
in a process of the same user. It shows that the format, the chain and every check are right; it
isolates nothing (threat D16).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from grail.attestation import nsm
from grail.attestation.cose import PROTECTED, SCALAR
from grail.attestation.document import PCR_BYTES
from grail.codec import decode_any_form, encode
from grail.errors import DecodeError, InvalidInput, TooLarge
from grail.folders import write_private
from grail_devnet.nsm.authority import LEAF_HOURS, Authority, Holder, issue_leaf

PCRS = 32
FIXED = 16
"""PCR0 to 15 are the platform's, and locked from the start; the others are the enclave's own."""

RANDOM_BYTES = 256
VERSION = (1, 0, 0)

Clock = Callable[[], datetime]


def now() -> datetime:
    """The module's clock: the machine's."""
    return datetime.now(UTC)


class Complaint(Exception):
    """The request gets an error for its answer; `code` is one of `nsm.ERRORS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class EmulatedModule:
    """Answers requests. `pcrs` has 32 values of 48 bytes, `locked` the indexes in documents."""

    instance: Holder
    module_id: str
    pcrs: list[bytes]
    locked: set[int] = field(default_factory=lambda: set(range(FIXED)))
    clock: Clock = now
    _leaf: Holder | None = field(default=None, repr=False)

    @classmethod
    def draw(
        cls, authority: Authority, measured: Mapping[int, bytes], *, clock: Clock = now
    ) -> Self:
        """A module of a new instance; PCRs not measured are zero, those measured are locked.

        Raises `InvalidInput`.
        """
        name, instance = authority.instance(clock())
        pcrs = [measured.get(index, bytes(PCR_BYTES)) for index in range(PCRS)]
        if any(len(pcr) != PCR_BYTES for pcr in pcrs) or not set(measured) <= set(range(PCRS)):
            raise InvalidInput("module: PCRs have indexes below 32 and 48 bytes")
        locked = set(range(FIXED)) | set(measured)
        return cls(instance, f"{name}-enc{secrets.token_hex(8)}", pcrs, locked, clock)

    def save(self, path: Path) -> None:
        """Write what the process needs, with the instance's key (mode 0600)."""
        body = {
            "module_id": self.module_id,
            "pcrs": [pcr.hex() for pcr in self.pcrs],
            "locked": sorted(self.locked),
            "instance": self.instance.to_dict(),
        }
        write_private(path, json.dumps(body).encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises `InvalidInput`."""
        try:
            body = json.loads(path.read_text())
            pcrs = [bytes.fromhex(pcr) for pcr in body["pcrs"]]
            locked = {int(index) for index in body["locked"]}
            made = cls(Holder.from_dict(body["instance"]), str(body["module_id"]), pcrs, locked)
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise InvalidInput(f"module {path.name}: {type(exc).__name__}") from exc
        if len(pcrs) != PCRS or any(len(pcr) != PCR_BYTES for pcr in pcrs):
            raise InvalidInput(f"module {path.name}: expected 32 PCRs of 48 bytes")
        if not set(range(FIXED)) <= locked <= set(range(PCRS)):
            raise InvalidInput(f"module {path.name}: PCR0 to 15 are always locked")
        return made

    def answer(self, raw: bytes) -> bytes:
        """The bytes of the answer to any bytes. Never raises."""
        try:
            value = decode_any_form(raw, max_bytes=nsm.MAX_REQUEST, max_depth=nsm.MAX_DEPTH)
            return encode(self._answer(value), any_order=True)
        except Complaint as exc:
            return encode({"Error": exc.code})
        except TooLarge:
            return encode({"Error": "InputTooLarge"})
        except DecodeError:
            return encode({"Error": "InvalidArgument"})

    def _answer(self, value: Any) -> Any:
        if value == nsm.DESCRIBE:
            return {nsm.DESCRIBE: self._description()}
        if value == nsm.RANDOM:
            return {nsm.RANDOM: {"random": secrets.token_bytes(RANDOM_BYTES)}}
        if not isinstance(value, dict) or len(value) != 1:
            raise Complaint("InvalidArgument")
        ((name, fields),) = value.items()
        commands: dict[Any, Callable[[dict[str, Any]], Any]] = {
            "Attestation": self._attestation,
            "DescribePCR": self._describe_pcr,
            "ExtendPCR": self._extend,
            "LockPCR": self._lock,
            "LockPCRs": self._lock_below,
        }
        if name not in commands or not isinstance(fields, dict):
            raise Complaint("InvalidOperation")
        made = commands[name](fields)
        return name if made is None else {name: made}

    def _description(self) -> dict[str, Any]:
        major, minor, patch = VERSION
        return {
            "version_major": major,
            "version_minor": minor,
            "version_patch": patch,
            "module_id": self.module_id,
            "max_pcrs": PCRS,
            "locked_pcrs": sorted(self.locked),
            "digest": "SHA384",
        }

    def _describe_pcr(self, fields: dict[str, Any]) -> dict[str, Any]:
        index = _index(fields, "index")
        return {"lock": index in self.locked, "data": self.pcrs[index]}

    def _extend(self, fields: dict[str, Any]) -> dict[str, Any]:
        index, data = _index(fields, "index"), fields.get("data")
        if not isinstance(data, bytes):
            raise Complaint("InvalidArgument")
        if index in self.locked:
            raise Complaint("ReadOnlyIndex")
        self.pcrs[index] = hashlib.sha384(self.pcrs[index] + data).digest()
        return {"data": self.pcrs[index]}

    def _lock(self, fields: dict[str, Any]) -> None:
        index = _index(fields, "index")
        if index in self.locked:
            raise Complaint("ReadOnlyIndex")
        self.locked.add(index)

    def _lock_below(self, fields: dict[str, Any]) -> None:
        count = fields.get("range")
        if type(count) is not int or not 0 <= count <= PCRS:
            raise Complaint("InvalidIndex")
        self.locked.update(range(count))

    def _attestation(self, fields: dict[str, Any]) -> dict[str, Any]:
        given = []
        for name in ("public_key", "user_data", "nonce"):
            value = fields.get(name)
            if value is not None and (not isinstance(value, bytes) or len(value) > nsm.MAX_FIELD):
                raise Complaint("InvalidArgument")
            given.append(value)
        return {"document": self._document(*given)}

    def _document(
        self, public_key: bytes | None, user_data: bytes | None, nonce: bytes | None
    ) -> bytes:
        time = self.clock()
        leaf = self._current_leaf(time)
        payload = {
            "module_id": self.module_id,
            "digest": "SHA384",
            "timestamp": round(time.timestamp() * 1000),
            "pcrs": {index: self.pcrs[index] for index in sorted(self.locked)},
            "certificate": leaf.ders[-1],
            "cabundle": leaf.ders[:-1],
            "public_key": public_key,
            "user_data": user_data,
            "nonce": nonce,
        }
        return sign(indefinite(encode(payload, any_order=True)), leaf.key)

    def _current_leaf(self, time: datetime) -> Holder:
        """The leaf, or a new one when half of its three hours are over."""
        leaf = self._leaf
        half = timedelta(hours=LEAF_HOURS / 2)
        if leaf is None or leaf.certificate.not_valid_after_utc - time < half:
            leaf = self._leaf = issue_leaf(self.instance, self.module_id, time)
        return leaf


def indefinite(payload: bytes) -> bytes:
    """The map with an indefinite outermost head, as AWS's module writes it since 2026."""
    return b"\xbf" + payload[1:] + b"\xff"


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """COSE_Sign1 over a payload: untagged, ES384, r and s in 48 bytes each."""
    signed = encode(["Signature1", PROTECTED, b"", payload])
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA384())))
    signature = r.to_bytes(SCALAR, "big") + s.to_bytes(SCALAR, "big")
    return encode([PROTECTED, {}, payload, signature])


def _index(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < PCRS:
        raise Complaint("InvalidIndex")
    return value
