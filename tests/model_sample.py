"""One transaction as both models get it: raw bytes, prevouts, bundles' bytes, record, height.

Written from a draft by hand, so that a spell which the SDK would refuse to build can be written too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from spellbook import Draft

from grail.bitcoin.network import Network
from grail.bitcoin.tx import Tx
from grail.charms import rules
from grail.charms.app import App
from grail.charms.descriptor import Bundle
from grail.charms.record import Record
from grail.charms.rules import Prevout
from grail.errors import ProofInvalid, SpellIncorrect

Change = Callable[[dict[str, Any], list[Any]], None]
"""Spoils the spell's map, and the list of its proofs, before they are written."""


def proof_of(vk: bytes, publics: Sequence[int]) -> bytes:
    """The one proof that the ideal verifier takes for this key and these public inputs."""
    text = vk + b"".join(value.to_bytes(32, "big") for value in publics)
    return b"".join(hashlib.sha256(bytes([i]) + text).digest() for i in range(4))


def ideal(vk: bytes, publics: Sequence[int], proof: bytes) -> None:
    """An ideal proof system: one proof holds for a statement, and nobody finds another."""
    if proof != proof_of(vk, publics):
        raise ProofInvalid("no proof of this statement")


@lru_cache(maxsize=512)
def _parsed(raw: bytes) -> Bundle:
    return Bundle.parse(raw)


_RAWS: dict[bytes, bytes] = {}


def _serialized(bundle: Bundle) -> bytes:
    if bundle.vk not in _RAWS:
        _RAWS[bundle.vk] = bundle.serialize()
    return _RAWS[bundle.vk]


@dataclass(frozen=True)
class Bundles(Mapping[bytes, Bundle]):
    """Bundles by the vk that they are offered for, each read when the engine first asks."""

    raws: Mapping[bytes, bytes]

    def __getitem__(self, vk: bytes) -> Bundle:
        return _parsed(self.raws[vk])

    def __contains__(self, vk: object) -> bool:
        return vk in self.raws

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.raws)

    def __len__(self) -> int:
        return len(self.raws)


@dataclass(frozen=True)
class Sample:
    """What a verdict depends on; `bundles` are bytes by the vk that they are offered for."""

    raw: bytes
    prevouts: tuple[Prevout, ...]
    bundles: Mapping[bytes, bytes]
    record: Record
    height: int
    network: Network
    confirmed: bool

    def engine(
        self, rules_: Sequence[rules.Rule] = rules.RULES
    ) -> str | dict[bytes, tuple[tuple[int, ...], bytes]]:
        """The engine's verdict in the slow model's form: a refusal's name, or facts and digests."""
        try:
            checked = rules.correct(
                Tx.parse(self.raw),
                self.prevouts,
                Bundles(self.bundles),
                self.record,
                self.height,
                self.network,
                confirmed=self.confirmed,
                rules=rules_,
                verify=ideal,
            )
        except SpellIncorrect as refusal:
            return refusal.rule
        return {bytes(c.contract): (c.facts, c.digest) for c in checked.contracts if c.action}


def written(
    draft: Draft,
    proofs: Mapping[bytes, bytes],
    change: Change | None = None,
    spoil: Callable[[bytes], bytes] = lambda payload: payload,
    envelope: Callable[[list[tuple[int, bytes]], bytes], None] | None = None,
) -> Sample:
    """The draft as a sample; `proofs` by contract, zeros where there is none.

    `change` works on the spell's parts, `spoil` on the payload's bytes, `envelope` on the outputs.
    """
    # Imported here: the slow model's own modules look at samples.
    from slow_bundles import encoded

    outs = [charms for _, _, charms in draft.outs]
    apps = draft.apps if draft.apps is not None else _listed(draft)
    order = sorted(set(apps), key=lambda app: encoded(app.to_cbor()))
    contracts = sorted({bytes(app.contract) for app in order})
    public: dict[Any, Any] = {}
    told = set()
    for app in order:
        x = draft.x.get(app.contract) if app.contract not in told else None
        told.add(app.contract)
        empty = x is None or not (x.args or x.rows or x.pays or x.signers)
        public[app.to_cbor()] = None if empty or x is None else x.to_cbor()
    index = {app: i for i, app in enumerate(order)}
    spell: dict[str, Any] = {
        "version": 15,
        "tx": {"outs": [{index[a]: v for a, v in out.items() if a in index} for out in outs]},
        "app_public_inputs": public,
    }
    acts = {bytes(K): action for K, action in draft.acts.items()}
    entries: list[Any] = [
        [contracts.index(K), acts[K], proofs.get(K, bytes(128))]
        for K in sorted(acts)
        if K in contracts
    ]
    if change is not None:
        change(spell, entries)
    proof = b"GRL1" + bytes([len(entries) % 256])
    proof += b"".join(bytes([K % 256, action % 256]) + raw for K, action, raw in entries)
    payload = spoil(b"\x82" + encoded(spell) + encoded(proof))
    outputs = [(sats, script) for sats, script, _ in draft.outs]
    outputs += [(0, b"\x6a\x05spell" + pushed(payload))]
    outputs += [(output.sats, output.script) for output in draft.change]
    if envelope is not None:
        envelope(outputs, payload)
    raws = {
        vk: one if isinstance(one, bytes) else _serialized(one) for vk, one in draft.bundles.items()
    }
    return Sample(
        _raw(draft, outputs),
        tuple(prevout for _, prevout in draft.inputs),
        raws,
        draft.record,
        draft.height,
        draft.network,
        draft.confirmed,
    )


def pushed(data: bytes, width: int | None = None) -> bytes:
    """A push of the data, with a length of so many bytes, or the shortest."""
    size = len(data)
    if width is None:
        width = 0 if size < 76 else 1 if size < 256 else 2 if size < 65_536 else 4
    if width == 0:
        return bytes([size]) + data
    return {1: b"\x4c", 2: b"\x4d", 4: b"\x4e"}[width] + size.to_bytes(width, "little") + data


def _listed(draft: Draft) -> set[App]:
    entries = [*(held.charms for _, held in draft.inputs), *(out for _, _, out in draft.outs)]
    apps = {app for charms in entries for app in charms}
    present = {app.contract for app in apps}
    return apps | {K.token for K in draft.acts if K not in present}


def _size(n: int) -> bytes:
    if n < 253:
        return bytes([n])
    return b"\xfd" + n.to_bytes(2, "little") if n < 65_536 else b"\xfe" + n.to_bytes(4, "little")


def _raw(draft: Draft, outputs: list[tuple[int, bytes]]) -> bytes:
    parts = [b"\2\0\0\0", _size(len(draft.inputs))]
    for i, (spent, _) in enumerate(draft.inputs):
        sequence = draft.sequences.get(i, 0xFFFFFFFD)
        parts += [spent.serialize(), b"\0", sequence.to_bytes(4, "little")]
    parts.append(_size(len(outputs)))
    for sats, script in outputs:
        parts += [sats.to_bytes(8, "little"), _size(len(script)), script]
    return b"".join(parts) + draft.locktime.to_bytes(4, "little")
