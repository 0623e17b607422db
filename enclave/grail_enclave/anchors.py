"""What an enclave knows by itself, and never takes from a request (threat S4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from grail.bitcoin.addresses import Roster
from grail.bitcoin.spv import HeaderChain, Tip
from grail.charms.envelope import MAGIC
from grail.charms.record import Record, Reign
from grail.operators.configuration import Configuration
from grail.operators.messages import BestHeader
from grail.types import XOnlyKey
from grail_enclave.caches import BundleCache, VerdictCache


@dataclass(frozen=True)
class Anchors:
    """Configuration, headers, roster record and caches of one enclave at one moment.

    `heard` is the best header that each operator, by key, reported in a message that verified.
    `agreed` is the roster that the own operator wants to follow the newest one. `alive` are the
    members that are known to have lived just now, None where that is not asked; `told` is the
    roster of the newest state that they agreed on.
    """

    configuration: Configuration
    headers: HeaderChain
    record: Record
    bundles: BundleCache = field(default_factory=BundleCache)
    verdicts: VerdictCache = field(default_factory=lambda: VerdictCache(MAGIC))
    heard: Mapping[XOnlyKey, BestHeader] = field(default_factory=dict)
    agreed: Roster | None = None
    alive: Collection[XOnlyKey] | None = None
    told: Roster | None = None

    @property
    def tip(self) -> Tip:
        """The end of the heaviest chain."""
        return self.headers.tip

    @property
    def next_height(self) -> int:
        """The height at which what is signed now confirms at the soonest."""
        return self.headers.tip.height + 1

    def ruling(self) -> Reign | None:
        """The reign that rules at the next height."""
        return self.record.ruling(self.next_height)
