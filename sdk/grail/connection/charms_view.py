"""A spell of Charms itself, as an object that shows itself: what it says, and its proof's fate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grail.bitcoin.tx import Tx
from grail.charms import foreign
from grail.charms.envelope import MAGIC
from grail.charms.upstream import envelope, item, proof
from grail.charms.upstream.proof import Enchanted, Keys
from grail.charms.upstream.versions import TABLE, check_age
from grail.connection.display import Cell, Shown
from grail.errors import SpellIncorrect, Unavailable
from grail.types import Txid

VALID, INVALID, ABSENT = "valid", "invalid", "absent"
"""What is said of a proof."""

UNCHECKED, REFUSED = "unchecked", "refused"
"""And what is said instead: its key is not on this machine or its version is none that is known
here; or it holds, and its version is retired (threat C5)."""

_FATES = {"ProofAbsent": ABSENT, "VersionUnknown": UNCHECKED, "VersionRetired": REFUSED}


@dataclass(frozen=True, repr=False)
class CharmsView(Shown):
    """A transaction with a spell of Charms; `enchanted` is None where it cannot be read.

    A valid proof says nothing of the history of the charms, nor of the version's age where no
    height is known.
    """

    txid: Txid
    enchanted: Enchanted | None
    proof: str
    why: str = ""

    @property
    def verdict(self) -> str:
        """The proof's fate, with the reason where it has one."""
        return f"proof {self.proof}" + (f" ({self.why})" if self.why else "")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        found = self.enchanted
        shown: dict[str, Any] = {
            "txid": str(self.txid),
            "format": "charms",
            "verdict": self.verdict,
            "proof": self.proof,
        }
        if found is None:
            return shown | {"version": None, "apps": [], "outs": []}
        spell = found.spell
        apps = spell.apps
        return shown | {
            "version": spell.version,
            "last_height": self._last_height,
            "mock": spell.mock,
            "envelope": {"place": found.envelope.place.value, "index": found.envelope.index},
            "canonical": found.canonical,
            "apps": [str(app) for app in apps],
            "public_inputs": {str(app): item.plain(x) for app, x in spell.public_inputs.items()},
            "outs": [
                {str(apps[place]): item.plain(data) for place, data in out.items()}
                for out in spell.outs
            ],
            "refs": [str(ref) for ref in spell.refs or ()],
            "beamed_outs": {to: digest.hex() for to, digest in (spell.beamed_outs or {}).items()},
        }

    @property
    def _last_height(self) -> int | None:
        number = self.enchanted.spell.version if self.enchanted else None
        return next((row.last_height for row in TABLE if row.number == number), None)

    def __str__(self) -> str:
        return super().__str__() if self.enchanted else self._title()

    def _title(self) -> str:
        if self.enchanted is None:
            return f"{self.verdict}: a spell that cannot be read, in\n{self.txid}"
        last = self._last_height
        age = "" if last is None else f", retired above height {last:,}"
        version = self.enchanted.spell.version
        return f"{self.verdict}: a spell of Charms, version {version}{age}, in\n{self.txid}"

    def _head(self) -> Sequence[str]:
        return ("output", "app", "data")

    def _rows(self) -> Sequence[Sequence[Cell]]:
        if self.enchanted is None:
            return []
        spell = self.enchanted.spell
        met = {place for out in spell.outs for place in out}
        silent = [app for place, app in enumerate(spell.apps) if place not in met]
        rows: list[Sequence[Cell]] = [
            (index, str(spell.apps[place]), data if type(data) is int else _compact(data))
            for index, out in enumerate(spell.outs)
            for place, data in sorted(out.items(), key=lambda pair: pair[0])
        ]
        return [*rows, *((None, str(app), "in no output") for app in silent)]


def _compact(data: item.Item) -> str:
    return json.dumps(item.plain(data), ensure_ascii=False)


def is_of_charms(tx: Tx) -> bool:
    """Whether the transaction carries a spell, and not one that says it is of this project.

    What nobody can read is of Charms too: its reader names the reason, and upstream may read it.
    """
    try:
        found = envelope.find(tx)
    except SpellIncorrect:
        return True
    return found is not None and foreign.proof_prefix(found.payload, len(MAGIC)) != MAGIC


def charms_view(tx: Tx, keys: Keys, height: int | None = None) -> CharmsView:
    """Read a spell of Charms and check its proof, whatever comes of it.

    `height` is that of its block, or of the next one: a version that is retired by then is refused.
    """
    try:
        found = proof.read(tx)
    except SpellIncorrect as exc:
        return CharmsView(tx.txid, None, INVALID, str(exc))
    if found is None:
        return CharmsView(tx.txid, None, ABSENT)
    try:
        proof.verify(found, keys)
        if height is not None:
            check_age(found.spell.version, height)
    except SpellIncorrect as exc:
        fate = _FATES.get(exc.rule, INVALID)
        return CharmsView(tx.txid, found, fate, "" if fate == ABSENT else str(exc))
    except Unavailable as exc:
        return CharmsView(tx.txid, found, UNCHECKED, str(exc))
    return CharmsView(tx.txid, found, VALID)
