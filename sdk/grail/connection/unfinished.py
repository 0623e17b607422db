"""Transactions that the operators were asked to sign: kept, so that nobody builds their like.

Such a transaction may complete without whoever asked: operators that voted for it remember, and
anybody may finish it. Built again it would be another transaction, and both could happen one after
the other. So the request itself is on disk before the first operator hears of it, until its owner
was told that it completed, or that it no longer can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from grail import codec
from grail.bitcoin.psbt import Psbt
from grail.errors import DecodeError, GrailError
from grail.folders import private_folder, write_private
from grail.operators.evidence import SigningRequest
from grail.types import Txid

MAX_FILE = 4_000_000
"""A signing request of the largest size with a few fields beside it."""


@dataclass(frozen=True)
class Unfinished:
    """A request that may still complete.

    `accounts` are the scripts of those who asked for it, `intent` says what they wanted (opaque
    bytes), `taken` what they would get. The rest is for the receipt.
    """

    what: str
    request: bytes = field(repr=False)
    fee: int
    constraints: int = 0
    proving_microseconds: int = 0
    accounts: tuple[bytes, ...] = ()
    intent: bytes = b""
    taken: int = 0

    @property
    def psbt(self) -> Psbt:
        """The transaction with its users' witnesses. Raises `DecodeError`."""
        return Psbt.parse(SigningRequest.parse(self.request).psbt)

    def serialize(self) -> bytes:
        """The bytes of its file."""
        return codec.encode([getattr(self, name) for name in _FIELDS])

    @classmethod
    def parse(cls, raw: bytes) -> Unfinished:
        """Read a file's bytes. Raises `DecodeError`."""
        match codec.decode(raw, max_bytes=MAX_FILE):
            case [
                str() as what,
                bytes() as request,
                int() as fee,
                int() as constraints,
                int() as proving,
                list() as accounts,
                bytes() as intent,
                int() as taken,
            ] if all(isinstance(script, bytes) for script in accounts):
                return cls(what, request, fee, constraints, proving, tuple(accounts), intent, taken)
        raise DecodeError("unfinished: not a request that was kept")


_FIELDS = tuple(Unfinished.__dataclass_fields__)


class UnfinishedFolder:
    """The unfinished transactions of one network, one file each, for their owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)

    def keep(self, job: Unfinished) -> Txid:
        """Write a request down; returns its txid."""
        txid = job.psbt.tx.txid
        write_private(self._folder / str(txid), job.serialize())
        return txid

    def drop(self, txid: Txid) -> None:
        """Forget one that completed, or can no longer."""
        (self._folder / str(txid)).unlink(missing_ok=True)

    def get(self, txid: Txid) -> Unfinished | None:
        """The request of this txid, if it is kept. A damaged file counts as none."""
        try:
            return Unfinished.parse((self._folder / str(txid)).read_bytes())
        except (OSError, GrailError):
            return None

    def __iter__(self) -> Iterator[Txid]:
        """The txids that are kept, in order of their text."""
        for path in sorted(self._folder.iterdir()):
            if len(path.name) == 64:
                yield Txid.from_hex(path.name)

    def of(self, account: bytes, intent: bytes | None = None) -> list[Txid]:
        """Those that an account asked for, with this intent if one is given."""
        found = []
        for txid in self:
            job = self.get(txid)
            if job is None or account not in job.accounts:
                continue
            if intent is None or job.intent == intent:
                found.append(txid)
        return found
