"""What an enclave has checked and keeps: bundles by vk, and verdicts on transactions. All bounded.

A cache is never evidence: every entry was made by a whole check of this process (threat G13), and
losing one costs time only.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from grail.charms.app import App, Data
from grail.charms.descriptor import Bundle
from grail.types import BlockHash, Txid

K = TypeVar("K")
V = TypeVar("V")

Charms = tuple[Mapping[App, Data], ...]
"""The charms of each output of a transaction, in order."""

MAX_BUNDLE = 65_536
"""Bytes of a bundle (section 5)."""


class Bounded(Generic[K, V]):
    """The newest entries up to a total size; the least recently used go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> V | None:
        """The entry, if it is still there."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep an entry of this size; one that is larger than the whole cache is not kept."""
        if size > self._most:
            return
        old = self._held.pop(key, None)
        self._size += size - (old[1] if old else 0)
        self._held[key] = (value, size)
        while self._size > self._most:
            _, (_, freed) = self._held.popitem(last=False)
            self._size -= freed

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._size = 0


class BundleCache(Bounded[bytes, Bundle]):
    """Parsed bundles by vk."""

    def __init__(self, most: int = 16_000_000) -> None:
        super().__init__(most)


class RequestBundles(Mapping[bytes, Bundle]):
    """The bundles of one request over those in the cache, by vk; each is parsed when first used.

    A bundle that breaks the grammar raises `SpellIncorrect` at that moment, which is step 8 and not
    sooner. A vk that neither side has is a KeyError, as in any mapping.
    """

    def __init__(self, raws: tuple[bytes, ...], cache: BundleCache) -> None:
        self._raws = {hashlib.sha256(raw).digest(): raw for raw in raws}
        self._cache = cache

    def __getitem__(self, vk: bytes) -> Bundle:
        known = self._cache.get(vk)
        if known is not None:
            return known
        raw = self._raws[vk]
        bundle = Bundle.parse(raw)
        # A parsed bundle takes a few times its bytes: counted four times.
        self._cache.put(vk, bundle, 4 * len(raw))
        return bundle

    def __contains__(self, vk: object) -> bool:
        return vk in self._raws or (isinstance(vk, bytes) and self._cache.get(vk) is not None)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._raws)

    def __len__(self) -> int:
        return len(self._raws)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The charms of a transaction's outputs; `whole` when no quorum's word was taken for them."""

    charms: Charms
    whole: bool


class VerdictCache:
    """The charms of confirmed transactions by txid and format magic.

    An entry counts while its block is on the heaviest chain, since a verdict depends on the height.
    """

    def __init__(self, magic: bytes, most: int = 32_000_000) -> None:
        self._magic = magic
        self._held: Bounded[tuple[Txid, bytes], tuple[BlockHash, Verdict]] = Bounded(most)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, txid: Txid, on_chain: Callable[[BlockHash], int | None]) -> Verdict | None:
        """The verdict on it, when it was checked in a block that is still there."""
        held = self._held.get((txid, self._magic))
        if held is None or on_chain(held[0]) is None:
            return None
        return held[1]

    def put(self, txid: Txid, block: BlockHash, verdict: Verdict, size: int) -> None:
        """Keep the outcome of a whole check; `size` is that of the transaction's bytes."""
        self._held.put((txid, self._magic), (block, verdict), 256 + 4 * size)

    def clear(self) -> None:
        """Forget everything: the roster record changed."""
        self._held.clear()
